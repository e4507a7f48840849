"""Certificates and users that change under live connections by AMQP 0-9-1 and STOMP: `renewed.py PORT-OF-AMQPS PORT-OF-STOMPS
CA`. Says `again` once what is there was looked at, and is to be renewed, and `renewed: ok` at the end."""

import hashlib
import socket
import ssl
import sys
import time

import pika
from pika.exceptions import ProbableAuthenticationError

import stomp_listening

AMQP, STOMP = int(sys.argv[1]), int(sys.argv[2])
CA = sys.argv[3]
PATIENCE = 10


def shown(port):
    """What the certificate at a port is told from others by."""
    context = ssl.create_default_context(cafile=CA)
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost") as wrapped:
        return hashlib.sha256(wrapped.getpeercert(binary_form=True)).hexdigest()


def by_amqp(user, password):
    options = pika.SSLOptions(ssl.create_default_context(cafile=CA), "localhost")
    credentials = pika.PlainCredentials(user, password)
    parameters = pika.ConnectionParameters("127.0.0.1", AMQP, credentials=credentials, ssl_options=options)
    return pika.BlockingConnection(parameters)


def by_stomp(user, password):
    connection = stomp_listening.CONNECTIONS["1.2"]([("localhost", STOMP)])
    connection.set_ssl([("localhost", STOMP)], ca_certs=CA)
    heard = stomp_listening.Heard()
    connection.set_listener("", heard)
    connection.connect(user, password, wait=True)
    return connection, heard


old = [shown(AMQP), shown(STOMP)]
live = by_amqp("ada", "engine")
channel = live.channel()
channel.confirm_delivery()
name = channel.queue_declare("", exclusive=True).method.queue
stomper, heard = by_stomp("ada", "engine")
stomper.subscribe("/topic/news", "1", receipt="subscribed")
heard.receipt("subscribed")
try:
    by_amqp("bob", "builder")
    raise AssertionError("nobody has made bob yet")
except ProbableAuthenticationError:
    pass
print("again", flush=True)
until = time.monotonic() + PATIENCE
while any(now == then for now, then in zip([shown(AMQP), shown(STOMP)], old)):
    assert time.monotonic() < until, "the certificates are the old ones"
    time.sleep(0.05)
by_amqp("bob", "builder").close()
stomp_listening.leave(*by_stomp("bob", "builder"))
# Who was there goes on as if nothing had been.
channel.basic_publish("", name, "queued", mandatory=True)
assert channel.basic_get(name, auto_ack=True)[2] == b"queued"
channel.basic_publish("amq.topic", "news", "told", mandatory=True)
assert heard.bodies(1) == ["told"]
stomp_listening.leave(stomper, heard)
live.close()
print("renewed: ok")
