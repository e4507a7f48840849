"""Clients of three protocols at one queue, with paho-mqtt, stomp.py and pika:
python3 queue_client.py SCENARIO PORT-OF-MQTT PORT-OF-STOMP PORT-OF-AMQP

Prints "SCENARIO: ok", or fails with a traceback. The broker is on 127.0.0.1 and lets everybody in. Nothing is waited
for by time: each step waits, at most PATIENCE seconds, for what it needs.
"""

import queue
import sys

import paho.mqtt.client as mqtt
import pika
import stomp

SCENARIO = sys.argv[1]
MQTT, STOMP, AMQP = map(int, sys.argv[2:])
PATIENCE = 20
TOPIC = "$queue/jobs"


class Client:
    """An MQTT client that acknowledges only what it is told to."""

    def __init__(self, name, version=mqtt.MQTTv5, keeps=False, **connect):
        self.connected, self.subscribed, self.messages = queue.Queue(), queue.Queue(), queue.Queue()
        terms = {} if version == mqtt.MQTTv5 else {"clean_session": not keeps}
        self.paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, protocol=version, manual_ack=True, **terms)
        self.paho.on_connect = lambda c, u, flags, reason, p: self.connected.put(flags.session_present)
        self.paho.on_subscribe = lambda c, u, mid, reasons, p: self.subscribed.put([r.value for r in reasons])
        self.paho.on_message = lambda c, u, message: self.messages.put(message)
        self.paho.connect("127.0.0.1", MQTT, **connect)
        self.paho.loop_start()
        self.session_present = self.connected.get(timeout=PATIENCE)

    def subscribe(self, *filters):
        self.paho.subscribe(list(filters))
        return self.subscribed.get(timeout=PATIENCE)

    def publish(self, payload, qos=1, topic=TOPIC, **more):
        self.paho.publish(topic, payload, qos, **more).wait_for_publish(PATIENCE)

    def message(self):
        return self.messages.get(timeout=PATIENCE)

    def ack(self, message):
        self.paho.ack(message.mid, message.qos)

    def break_off(self):
        """Closes the socket without DISCONNECT, and does not come back."""
        self.paho.loop_stop()
        self.paho.socket().close()

    def leave(self):
        self.paho.disconnect()
        self.paho.loop_stop()


def shared():
    """Two consumers share what is in a queue, and what one held when it was lost the other gets, marked."""
    first, second = (Client(name) for name in ("first", "second"))
    assert first.subscribe((TOPIC, 1)) == [1] and second.subscribe((TOPIC, 2)) == [2]
    publisher = Client("publisher", mqtt.MQTTv311)
    for number in range(100):
        publisher.publish(str(number), 2 if number % 3 else 1)
    of_first = [first.message() for _ in range(50)]
    of_second = [second.message() for _ in range(50)]
    assert {message.topic for message in of_first + of_second} == {TOPIC}
    numbers = sorted(int(message.payload) for message in of_first + of_second)
    assert numbers == list(range(100)), numbers
    for message in of_first[:20]:
        first.ack(message)
    # When this is answered its acknowledgements have come.
    first.subscribe(("other", 0))
    first.break_off()
    again = [second.message() for _ in range(30)]
    missed = [message.payload for message in of_first[20:]]
    assert sorted(message.payload for message in again) == sorted(missed), (again, missed)
    assert all(message.dup for message in again)
    second.leave()
    publisher.leave()


def resumed():
    """A session that is away holds nothing, and consumes again when it is back; before MQTT 5.0 too."""
    worker = Client("worker", mqtt.MQTTv311, keeps=True)
    assert worker.subscribe((TOPIC, 1)) == [1]
    publisher = Client("publisher")
    publisher.publish("a")
    assert worker.message().payload == b"a"
    worker.break_off()
    substitute = Client("substitute")
    assert substitute.subscribe((TOPIC, 1)) == [1]
    message = substitute.message()
    assert (message.payload, message.dup) == (b"a", True)
    substitute.ack(message)
    substitute.leave()
    publisher.publish("b")
    worker = Client("worker", mqtt.MQTTv311, keeps=True)
    assert worker.session_present
    message = worker.message()
    assert message.payload == b"b"
    worker.ack(message)
    worker.leave()
    publisher.leave()


def crosses():
    """What any of them publishes any of them gets."""
    connection = pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", AMQP, credentials=pika.PlainCredentials("guest", "guest"))
    )
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("jobs", durable=True)
    channel.queue_bind("jobs", "amq.topic", "orders.*")
    client = Client("mqtt")
    frames = queue.Queue()
    listener = stomp.ConnectionListener()
    listener.on_message = listener.on_receipt = frames.put
    stomper = stomp.Connection12([("127.0.0.1", STOMP)])
    stomper.set_listener("", listener)
    stomper.connect(wait=True)
    headers = {"persistent": "true", "k": "v"}

    # To MQTT.
    assert client.subscribe((TOPIC, 1)) == [1]
    channel.basic_publish("", "jobs", b"by amqp", pika.BasicProperties(delivery_mode=2, headers={"k": "v"}))
    stomper.send("/queue/jobs", "by stomp", headers=headers)
    channel.basic_publish("amq.topic", "orders.new", b"by topic", pika.BasicProperties(delivery_mode=2))
    got = {}
    for _ in range(3):
        message = client.message()
        assert (message.topic, message.qos) == (TOPIC, 1)
        got[message.payload] = dict(getattr(message.properties, "UserProperty", []))
        client.ack(message)
    assert got[b"by amqp"] == {"k": "v"}, got
    assert got[b"by stomp"]["k"] == "v" and "mynah-topic" not in got[b"by stomp"], got
    assert got[b"by topic"] == {"mynah-topic": "orders/new"}, got
    client.paho.unsubscribe(TOPIC)

    # From MQTT.
    told = mqtt.Properties(mqtt.PacketTypes.PUBLISH)
    told.UserProperty = [("k", "v")]
    for payload in ("one", "two"):
        client.publish(payload, properties=told)
    method, properties, body = next(channel.consume("jobs", inactivity_timeout=PATIENCE))
    assert (method.exchange, method.routing_key, body) == ("", "jobs", b"one"), method
    assert (properties.headers["k"], properties.delivery_mode) == ("v", 2)
    channel.basic_ack(method.delivery_tag)
    channel.cancel()
    connection.close()
    stomper.subscribe("/queue/jobs", id="1", ack="auto")
    frame = frames.get(timeout=PATIENCE)
    assert (frame.headers["destination"], frame.headers["k"], frame.body) == ("/queue/jobs", "v", "two")
    stomper.disconnect()
    client.leave()


globals()[SCENARIO]()
print(f"{SCENARIO}: ok")
