"""Users by RabbitMQ's management, with amqpstorm: `amqp_users.py PORT PORT-OF-AMQP`, where `guest` may administer. Says what it
expects, and `ok` at the end."""

import sys
import time

import amqpstorm
import requests
from amqpstorm.management import ApiError, ManagementApi

URL, AMQP = f"http://127.0.0.1:{sys.argv[1]}", int(sys.argv[2])
api = ManagementApi(URL, "guest", "guest")


def refused(code, act):
    try:
        act()
    except ApiError as error:
        assert error.error_code == code, error
        return
    raise AssertionError(f"{code} expected")


def log_in(user, password):
    return amqpstorm.Connection("127.0.0.1", user, password, port=AMQP, timeout=5)


def is_let_in(user, password):
    try:
        log_in(user, password).close()
        return True
    except amqpstorm.AMQPError:
        return False


assert requests.get(f"{URL}/healthz").status_code == 200
for path in ["/api/overview", "/admin/v1/queues", "/metrics"]:
    nobody = requests.get(URL + path)
    assert (nobody.status_code, nobody.headers["www-authenticate"][:5]) == (401, "Basic"), path
    assert requests.get(URL + path, auth=("guest", "wrong")).status_code == 401, path
    assert requests.get(URL + path, auth=("guest", "guest")).status_code == 200, path
assert api.whoami() == {"name": "guest", "tags": ["administrator"]}

assert [user["name"] for user in api.user.list()] == ["ada", "guest"]
refused(404, lambda: api.user.get("bob"))
assert not is_let_in("bob", "first")
api.user.create("bob", "first", tags="monitoring")
assert api.user.get("bob")["tags"] == ["monitoring"]
assert api.user.get("bob")["password_hash"] == ""
assert is_let_in("bob", "first")
api.user.create("bob", "second", tags=["engineers"])
assert (is_let_in("bob", "first"), is_let_in("bob", "second")) == (False, True)

# What guest may do by the rules, and ada may not.
assert api.user.get_permission("guest", "/")["write"] == ".*"
assert api.user.get_permission("ada", "/")["write"] == "^$"
refused(400, lambda: api.user.set_permission("ada", "/"))
refused(400, lambda: api.virtual_host.create("factory"))
refused(403, ManagementApi(URL, "ada", "engine").overview)

# The rules decide what is published here, as anywhere.
api.queue.declare("jobs", durable=True)
assert api.basic.publish("x", "jobs") == {"routed": True}
bob = ManagementApi(URL, "bob", "second")
refused(403, lambda: bob.basic.publish("x", "jobs"))

# Who is removed is not here any more.
connection = log_in("bob", "second")
api.user.delete("bob")
refused(404, lambda: api.user.delete("bob"))
for _ in range(100):
    if connection.is_closed:
        break
    time.sleep(0.05)
assert connection.is_closed and not is_let_in("bob", "second")
for name in ["cy", "dee"]:
    api.user.create(name, "password")
api.user.delete(["cy", "dee", "nobody"])
assert [user["name"] for user in api.user.list()] == ["ada", "guest"]
print("ok")
