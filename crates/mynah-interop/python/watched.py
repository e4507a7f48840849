"""Who logs in by AMQP 0-9-1 and by STOMP, what rules deny them, and rules that change under their live connections, as an
administrator sees it by MQTT: `watched.py PORT-OF-AMQP PORT-OF-STOMP PORT-OF-MQTT RULES`. Says `again` once the file with the
rules has changed and is to be read again, and `watched: ok` at the end."""

import json
import queue
import sys
import time

import paho.mqtt.client as mqtt
import pika
import stomp
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError

import stomp_listening

AMQP, STOMP, MQTT = (int(port) for port in sys.argv[1:4])
RULES = sys.argv[4]
PATIENCE = 10


class Watcher:
    """Hears all events, and keeps those that nobody has waited for yet."""

    def __init__(self):
        self.told, self.waiting, subscribed = queue.Queue(), [], queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "watcher", protocol=mqtt.MQTTv5)
        self.client.username_pw_set("ada", "engine")
        self.client.on_message = lambda _, __, message: self.told.put((message.topic, json.loads(message.payload)))
        self.client.on_subscribe = lambda _, __, ___, reasons, ____: subscribed.put(reasons[0].is_failure)
        self.client.connect("127.0.0.1", MQTT)
        self.client.loop_start()
        self.client.subscribe("$events/#", 0)
        assert not subscribed.get(timeout=PATIENCE)

    def sees(self, topic, **expected):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for place, (at, event) in enumerate(self.waiting):
                if at == "$events/" + topic and all(event.get(key) == value for key, value in expected.items()):
                    del self.waiting[place]
                    return
            try:
                self.waiting.append(self.told.get(timeout=0.1))
            except queue.Empty:
                pass
        raise AssertionError((topic, expected, self.waiting))


def by_amqp(password="builder"):
    credentials = pika.PlainCredentials("bob", password)
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", AMQP, credentials=credentials))
    channel = connection.channel()
    channel.confirm_delivery()
    return connection, channel


def by_stomp(password="builder"):
    return stomp_listening.connect(STOMP, login="bob", passcode=password)


def amqp_is_refused():
    try:
        by_amqp("wrong")
    except ProbableAuthenticationError:
        return
    raise AssertionError("let in")


def stomp_is_refused():
    try:
        by_stomp("wrong")
    except stomp.exception.ConnectFailedException:
        return
    raise AssertionError("let in")


def amqp_may(publishes=None, hears=None):
    connection, channel = by_amqp()
    try:
        if publishes:
            channel.basic_publish("amq.topic", publishes, b"x")
        else:
            name = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(name, "amq.topic", hears)
        return True
    except ChannelClosedByBroker as closed:
        assert closed.reply_code == 403, closed
        return False
    finally:
        connection.close()


def stomp_may(publishes=None, hears=None):
    connection, heard = by_stomp()
    if publishes:
        connection.send("/topic/" + publishes, "x", receipt="r")
    else:
        connection.subscribe("/topic/" + hears, id="1", receipt="r")
    until = time.monotonic() + PATIENCE
    while heard.receipts.empty() and heard.errors.empty():
        assert time.monotonic() < until, "no answer"
        time.sleep(0.005)
    is_done = not heard.receipts.empty()
    if is_done:
        connection.disconnect()
    return is_done


def rules_change(watcher):
    """What is live stays, and hears; what is new is in force within a second."""
    connection, channel = by_amqp()
    name = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(name, "amq.topic", "news.#")
    stomper, heard = by_stomp()
    stomper.subscribe("/topic/news.#", id="1", receipt="s")
    heard.receipt("s")
    assert amqp_may(publishes="late.a") and stomp_may(publishes="late.a")
    with open(RULES, "a", encoding="utf-8") as rules:
        rules.write('[[rule]]\nidentity = "bob"\naction = "publish"\ndeny = ["late/#"]\n')
    print("again", flush=True)
    watcher.sees("change/rules", done=True)
    changed = time.monotonic()
    assert not amqp_may(publishes="late.a") and not stomp_may(publishes="late.a")
    assert time.monotonic() - changed < 1
    for protocol in ("amqp091", "stomp"):
        watcher.sees("denied/publish", protocol=protocol, identity="bob", target="late/a", reason="denied")
    channel.basic_publish("amq.topic", "news.amqp", b"1")
    stomper.send("/topic/news.stomp", "2", receipt="n")
    heard.receipt("n")
    assert sorted(heard.bodies(2)) == ["1", "2"]
    bodies = [channel.basic_get(name, auto_ack=True)[2] for _ in range(2)]
    assert bodies == [b"1", b"2"], bodies
    connection.close()
    stomp_listening.leave(stomper, heard)


def main():
    watcher = Watcher()
    for protocol, is_refused, may in (("amqp091", amqp_is_refused, amqp_may), ("stomp", stomp_is_refused, stomp_may)):
        is_refused()
        watcher.sees("login/refused", protocol=protocol, user="bob", method="password")
        assert not may(publishes="closed.a")
        watcher.sees("login/accepted", protocol=protocol, identity="bob", method="password")
        watcher.sees("denied/publish", protocol=protocol, identity="bob", target="closed/a", reason="denied")
        assert not may(hears="hidden.#")
        watcher.sees("denied/subscribe", protocol=protocol, identity="bob", target="hidden/#", reason="denied")
        assert may(publishes="open.a") and may(hears="open.#")
    rules_change(watcher)
    watcher.client.disconnect()
    watcher.client.loop_stop()
    print("watched: ok")


main()
