"""Logs in with pika over TLS and tells what came of it: as `one_door.py`, with the same lines, of which the version and the
transport say nothing. Topics are in MQTT's spelling.

The answers are the method of the broker's that a question ended with, with its code if it closed something.
"""

import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

try:
    import pika
except ImportError:
    sys.exit(f"{sys.executable} has no pika: set MYNAH_PYTHON to an interpreter that has it, or let "
             "`cargo xtask test interop` install it")

PATIENCE = 20
AT_A_TIME = 8
RETAINED = pika.BasicProperties(headers={"x-mqtt-retain": True})


def connect(port, ca, keys):
    context = ssl.create_default_context(cafile=ca)
    credentials = pika.PlainCredentials(keys.get("user", ""), keys.get("password", ""))
    if "certificate" in keys:
        context.load_cert_chain(keys["certificate"], keys["key"])
        credentials = pika.credentials.ExternalCredentials()
    return pika.BlockingConnection(pika.ConnectionParameters(
        "localhost", int(port), credentials=credentials, ssl_options=pika.SSLOptions(context, "localhost"),
        socket_timeout=PATIENCE, stack_timeout=PATIENCE, blocked_connection_timeout=PATIENCE,
    ))


def publish(connection, key):
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish("amq.topic", key, b"x", RETAINED)
    return "ack"


def subscribe(connection, key):
    channel = connection.channel()
    name = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(name, "amq.topic", key)
    return "bind-ok"


def answers(ca, line):
    """What one client is answered."""
    port, _, _, *pairs = line.rstrip("\n").split("\t")
    keys = dict(pair.split("=", 1) for pair in pairs)
    key = lambda name: keys[name].replace("/", ".")
    try:
        connection = connect(port, ca, keys)
    except pika.exceptions.ProbableAuthenticationError as error:
        return ["close 403" if "(403)" in str(error) else str(error)]
    except pika.exceptions.AMQPConnectionError:
        return ["no connection"]
    told = ["open-ok"]
    for ask, name in ((publish, "allowed"), (publish, "denied"), (subscribe, "hidden")):
        try:
            told.append(ask(connection, key(name)))
        except pika.exceptions.ChannelClosedByBroker as closed:
            told.append(f"close {closed.reply_code}")
    connection.close()
    return told


def main():
    # Most of the time is spent waiting.
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for told in pool.map(lambda line: answers(sys.argv[1], line), sys.stdin.readlines()):
            print("\t".join(told))


main()
