"""amqpstorm's client of RabbitMQ's management against the broker: `amqp_management.py PORT PORT-OF-AMQP`. Says what it expects,
and `ok` at the end."""

import sys
import time

import amqpstorm
from amqpstorm.management import ApiError, ManagementApi

api = ManagementApi(f"http://127.0.0.1:{sys.argv[1]}", "guest", "guest")


def refused(code, act):
    try:
        act()
    except ApiError as error:
        assert error.error_code == code, error
        return
    raise AssertionError(f"{code} expected")


def until(what, act):
    for _ in range(100):
        if act() == what:
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} expected, not {act()}")


def messages(kind="messages"):
    return api.queue.get("jobs")[kind]


assert api.overview()["product_name"] == "Mynah"
assert api.aliveness_test() == {"status": "ok"}
assert api.healthchecks.get() == {"status": "ok"}
[node] = api.nodes()
assert api.node(node["name"])["running"]
assert [host["name"] for host in api.virtual_host.list()] == ["/"]

api.queue.declare("jobs", durable=True, arguments={"x-message-ttl": 60000, "x-max-length": 100})
api.queue.declare("jobs", durable=True, arguments={"x-message-ttl": 60000, "x-max-length": 100})
refused(400, lambda: api.queue.declare("jobs", durable=True))
assert api.queue.declare("jobs", passive=True)["arguments"] == {"x-message-ttl": 60000, "x-max-length": 100}
api.queue.declare("jobs.other", durable=True)
assert [found["name"] for found in api.queue.list(page_size=1)] == ["jobs", "jobs.other"]

api.exchange.declare("news", "topic", durable=True)
api.exchange.declare("more", "fanout", durable=True)
api.queue.bind("jobs", "news", "a.*.#")
api.exchange.bind("more", "news", "b.#")
keys = {found["routing_key"]: found["properties_key"] for found in api.queue.bindings("jobs")}
assert keys == {"jobs": "jobs", "a.*.#": "a.%2A.%23"}, keys
ends = [(found["destination"], found["routing_key"]) for found in api.exchange.bindings("news")]
assert sorted(ends) == [("jobs", "a.*.#"), ("more", "b.#")], ends

connection = amqpstorm.Connection("127.0.0.1", "guest", "guest", port=int(sys.argv[2]))
channel = connection.channel()
channel.confirm_deliveries()
for number in range(3):
    channel.basic.publish(f"{number}", "a.b.c", "news")
assert messages() == 3
[found] = api.connection.list()
assert api.connection.get(found["name"])["peer_host"] == "127.0.0.1"
assert found["client_properties"]["product"] == "AMQPStorm", found
[open_channel] = api.channel.list()
assert (open_channel["number"], open_channel["confirm"]) == (1, True), open_channel
channel.basic.qos(2)
channel.basic.consume(lambda message: None, "jobs")
until(2, lambda: messages("messages_unacknowledged"))
assert (messages("messages_ready"), messages("consumers"), messages()) == (1, 1, 3)
[open_channel] = api.channel.list()
assert (open_channel["prefetch_count"], open_channel["messages_unacknowledged"]) == (2, 2), open_channel
api.connection.close(found["name"], reason="enough")
until(0, lambda: len(api.connection.list()))
until(True, lambda: connection.is_closed)
[error] = connection.exceptions
assert error.error_code == 320, error
refused(404, lambda: api.connection.close(found["name"]))
until(3, lambda: messages("messages_ready"))

api.queue.purge("jobs")
properties = {"content_type": "text/plain", "delivery_mode": 2, "headers": {"n": 1, "deep": {"list": [True, "x"]}}}
assert api.basic.publish("héllo", "a.b.c", "news", properties=properties) == {"routed": True}
assert api.basic.publish("aGk=", "jobs", payload_encoding="base64") == {"routed": True}
assert api.basic.publish("lost", "nobody", "news") == {"routed": False}
refused(404, lambda: api.basic.publish("x", "y", "no-such-exchange"))
[first, second] = api.basic.get("jobs", requeue=True, to_dict=True, count=5)
assert (first["payload"], first["exchange"], first["routing_key"]) == ("héllo", "news", "a.b.c"), first
assert (first["properties"], first["message_count"], first["redelivered"]) == (properties, 1, False), first
assert second["payload"] == "hi"
[again] = api.basic.get("jobs", to_dict=True)
assert (again["payload"], again["redelivered"]) == ("héllo", True), again
assert messages() == 1
api.queue.purge("jobs")
assert messages() == 0
api.queue.unbind("jobs", "news", "a.*.#", properties_key=keys["a.*.#"])
api.exchange.unbind("more", "news", "b.#", properties_key="b.%23")
assert api.exchange.bindings("news") == []
api.exchange.delete("news")
refused(404, lambda: api.exchange.get("news"))
api.queue.delete("jobs")
refused(404, lambda: api.queue.get("jobs"))
refused(404, lambda: api.queue.get("jobs.other", virtual_host="elsewhere"))
refused(401, api.user.list)
print("ok")
