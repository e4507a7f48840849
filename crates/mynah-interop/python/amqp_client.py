"""pika, aio-pika and amqpstorm against the broker: `amqp_client.py SCENARIO PORT [PORT-OF-MQTT PORT-OF-STOMP]`. Says what it
expects, and `SCENARIO: ok` at the end."""

import asyncio
import queue
import socket
import ssl
import sys
import threading
import time

import aio_pika
import amqpstorm
import paho.mqtt.client as mqtt
import pika
import stomp
import websocket
from pika.exceptions import (
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)

PORT = int(sys.argv[2])
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def connect(user="guest", password="guest", **more):
    credentials = pika.PlainCredentials(user, password)
    return pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", PORT, credentials=credentials, **more)
    )


def refused(code, act, error=ChannelClosedByBroker):
    """What is done has to end the channel, or the connection, with this code. Returns the words."""
    try:
        act()
    except error as closed:
        assert closed.reply_code == code, closed
        return closed.reply_text
    raise AssertionError(f"not refused with {code}")


def queues():
    """Messages go through queues, wait for acknowledgements, and come again."""
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    assert channel.queue_declare("q", durable=True).method.message_count == 0
    for number in range(4):
        channel.basic_publish("", "q", b"%d" % number, PERSISTENT)
    assert channel.queue_declare("q", passive=True).method.message_count == 4
    method, properties, body = channel.basic_get("q")
    assert (method.message_count, method.redelivered, body) == (3, False, b"0")
    assert (method.exchange, method.routing_key, properties.delivery_mode) == ("", "q", 2)
    channel.basic_nack(method.delivery_tag, requeue=True)
    method, _, body = channel.basic_get("q")
    assert (method.redelivered, body) == (True, b"0")
    channel.basic_ack(method.delivery_tag)
    tags = [channel.basic_get("q")[0].delivery_tag for _ in range(2)]
    channel.basic_ack(tags[-1], multiple=True)
    channel.basic_get("q")
    # What was not acknowledged goes back with its channel.
    channel.close()
    channel = connection.channel()
    method, _, body = channel.basic_get("q", auto_ack=True)
    assert (method.redelivered, body) == (True, b"3")
    assert channel.basic_get("q") == (None, None, None)
    channel.basic_publish("", "q", b"x")
    assert channel.queue_purge("q").method.message_count == 1
    channel.basic_publish("", "q", b"x")
    assert channel.queue_delete("q").method.message_count == 1
    assert channel.queue_delete("q").method.message_count == 0
    connection.close()


def keys():
    """A message goes by all the keys that it names; one without a priority comes last where there are priorities."""
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    names = [channel.queue_declare("", exclusive=True).method.queue for _ in range(3)]
    channel.basic_publish("", names[0], b"x", pika.BasicProperties(headers={"CC": [names[1]], "BCC": [names[2]]}))
    for name in names:
        method, properties, _ = channel.basic_get(name, auto_ack=True)
        assert (method.routing_key, properties.headers) == (names[0], {"CC": [names[1]]})
    name = channel.queue_declare("", exclusive=True, arguments={"x-max-priority": 3}).method.queue
    for body, priority in [(b"d", None), (b"c", 1), (b"e", 0), (b"a", 9), (b"b", 3)]:
        channel.basic_publish("", name, body, pika.BasicProperties(priority=priority))
    found = [channel.basic_get(name, auto_ack=True)[2] for _ in range(5)]
    assert found == [b"a", b"b", b"c", b"d", b"e"], found
    connection.close()


def consumers():
    """Consumers get what their prefetch allows, in order; who is cancelled gets no more; who loses its queue is told."""
    connection = connect()
    channel = connection.channel()
    name = channel.queue_declare("", exclusive=True).method.queue
    for number in range(3000):
        channel.basic_publish("", name, str(number).encode())
    channel.basic_qos(prefetch_count=10)
    for number, (method, _, body) in enumerate(channel.consume(name, inactivity_timeout=10)):
        assert int(body) == number
        assert method.delivery_tag == number + 1
        if number % 5 == 4:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if number == 2999:
            break
    assert channel.cancel() == 0
    channel.queue_declare("large", durable=True)
    channel.basic_publish("", "large", b"ab" * 3_000_000, PERSISTENT)
    assert channel.basic_get("large", auto_ack=True)[2] == b"ab" * 3_000_000
    ended = []
    channel.add_on_cancel_callback(ended.append)
    tag = channel.basic_consume("large", lambda *_: None)
    connection.channel().queue_delete("large")
    deadline = time.monotonic() + 10
    while not ended and time.monotonic() < deadline:
        connection.process_data_events(0.1)
    assert ended[0].method.consumer_tag == tag
    connection.close()


def confirms():
    """A message that reaches nobody comes back; a full queue refuses."""
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        channel.basic_publish("", "nowhere", b"back", mandatory=True)
        raise AssertionError("nobody has it")
    except UnroutableError as unroutable:
        assert unroutable.messages[0].body == b"back"
        assert unroutable.messages[0].method.reply_code == 312
    channel.basic_publish("", "nowhere", b"gone")
    channel.queue_declare("small", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.basic_publish("", "small", b"1")
    try:
        channel.basic_publish("", "small", b"2")
        raise AssertionError("the queue is full")
    except pika.exceptions.NackError:
        pass
    channel.queue_delete("small")
    connection.close()


def transactions():
    """What is published and acknowledged in a transaction happens at its end, or not."""
    connection = connect()
    channel = connection.channel()
    name = channel.queue_declare("", exclusive=True).method.queue
    count = lambda: channel.queue_declare(name, passive=True).method.message_count
    channel.tx_select()
    channel.basic_publish("", name, b"1")
    assert count() == 0
    channel.tx_rollback()
    assert count() == 0
    channel.basic_publish("", name, b"2")
    returned = []
    channel.add_on_return_callback(lambda channel, method, properties, body: returned.append(body))
    channel.basic_publish("", "nowhere", b"back", mandatory=True)
    channel.tx_commit()
    assert count() == 1
    connection.process_data_events(0)
    assert returned == [b"back"], returned
    method, _, body = channel.basic_get(name)
    assert body == b"2"
    channel.basic_ack(method.delivery_tag)
    channel.tx_rollback()
    channel.basic_ack(method.delivery_tag)
    channel.tx_commit()
    channel.close()
    channel = connection.channel()
    assert count() == 0
    connection.close()


def dead_letters():
    """What is rejected, or has waited for too long, goes elsewhere with its story."""
    connection = connect()
    channel = connection.channel()
    dead = channel.queue_declare("", exclusive=True).method.queue
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    channel.queue_declare("alive", arguments={**letters, "x-message-ttl": 400})
    headers = {"k": 7, "list": [1, {"a": True}]}
    channel.basic_publish("", "alive", b"late", pika.BasicProperties(headers=headers))
    channel.basic_publish("", "alive", b"bad", pika.BasicProperties(expiration="60000"))
    bad = next(m for m in (channel.basic_get("alive") for _ in range(2)) if m[2] == b"bad")
    channel.basic_reject(bad[0].delivery_tag, requeue=False)
    told = {}
    for method, properties, body in channel.consume(dead, auto_ack=True, inactivity_timeout=10):
        told[body] = properties
        assert (method.exchange, method.routing_key) == ("", dead)
        if len(told) == 1:
            channel.basic_recover(requeue=True)
        if len(told) == 2:
            break
    story = told[b"bad"].headers["x-death"][0]
    assert (story["reason"], story["queue"], story["count"]) == ("rejected", "alive", 1), story
    assert (story["exchange"], story["routing-keys"]) == ("", ["alive"])
    assert story["original-expiration"] == "60000" and told[b"bad"].expiration is None
    late = told[b"late"].headers
    assert late["x-first-death-reason"] == "expired" and late["k"] == 7, late
    assert late["list"] == [1, {"a": True}]
    connection.close()


def replies():
    """Direct reply-to: the answer comes by the asker's own channel."""
    connection = connect()
    asker, answerer = connection.channel(), connection.channel()
    heard = []
    on_reply = lambda channel, method, properties, body: heard.append((properties.correlation_id, body))
    asker.basic_consume("amq.rabbitmq.reply-to", on_reply, auto_ack=True)
    answerer.queue_declare("asked", auto_delete=True)

    def answer(channel, method, properties, body):
        assert properties.app_id == "asker"
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, body.upper(), reply)

    answerer.basic_consume("asked", answer, auto_ack=True)
    wanted = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="7", app_id="asker")
    asker.basic_publish("", "asked", b"question", wanted)
    deadline = time.monotonic() + 10
    while not heard and time.monotonic() < deadline:
        connection.process_data_events(0.1)
    assert heard == [("7", b"QUESTION")], heard
    without = connection.channel()
    without.basic_publish("", "asked", b"x", wanted)
    refused(406, lambda: without.queue_declare("asked", passive=True))
    connection.close()


def retained():
    """Who binds a queue may ask for the values that topics have; the binding is there when all of them are."""
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    value = pika.BasicProperties(delivery_mode=2, headers={"x-mqtt-retain": True, "k": "v"})
    for number in range(300):
        channel.basic_publish("amq.topic", f"kept.{number}", str(number).encode(), value)
    name = channel.queue_declare("values", durable=True).method.queue
    count = lambda: channel.queue_declare(name, passive=True).method.message_count
    bind = lambda key, handling: channel.queue_bind(
        name, "amq.topic", key, {"x-mqtt-retain-handling": handling}
    )
    channel.queue_bind(name, "amq.topic", "kept.0")
    bind("kept.1", 2)
    assert count() == 0
    bind("kept.#", 1)
    assert count() == 300
    bind("kept.#", 1)
    assert count() == 300, "it was there"
    bind("kept.7", 0)
    bind("kept.7", 0)
    bind("kept.elsewhere", 0)
    assert count() == 302
    found = [channel.basic_get(name, auto_ack=True) for _ in range(302)]
    assert {int(body) for _, _, body in found} == set(range(300))
    assert all(method.routing_key == f"kept.{body.decode()}" for method, _, body in found)
    assert all(properties.headers["k"] == "v" for _, properties, _ in found)
    channel.basic_publish("amq.topic", "kept.7", b"live", PERSISTENT)
    assert channel.basic_get(name, auto_ack=True)[2] == b"live"
    assert count() == 0
    words = refused(406, lambda: bind("kept.8", 3))
    assert "x-mqtt-retain-handling" in words, words
    connection.close()


def wrong():
    """What is refused has the code of the specification, and says why."""
    connection = connect()
    channel = connection.channel
    channel().queue_declare("there", durable=True)
    words = refused(406, lambda: channel().queue_declare("there", durable=False))
    assert "'true'" in words and "'false'" in words, words
    words = refused(404, lambda: channel().queue_declare("nowhere", passive=True))
    assert words == "NOT_FOUND - no queue 'nowhere' in vhost '/'", words
    refused(404, lambda: channel().basic_consume("nowhere", print))
    refused(403, lambda: channel().queue_declare("amq.mine"))
    refused(406, lambda: channel().queue_declare("odd", arguments={"x-max-length": "many"}))
    own = channel().queue_declare("own", exclusive=True)
    other = connect()
    refused(405, lambda: other.channel().queue_declare("own", exclusive=True))
    taken = channel()
    taken.basic_consume("there", print, exclusive=True)
    refused(403, lambda: channel().basic_consume("there", print))
    unknown = channel()
    unknown.basic_ack(99)
    refused(406, lambda: unknown.queue_declare("there", passive=True))
    for attempt in range(2):
        again = connect()
        refused(503, lambda: again.channel().exchange_declare("x", "odd"), ConnectionClosedByBroker)
    try:
        connect(virtual_host="elsewhere")
        raise AssertionError("there is no such virtual host")
    except ProbableAccessDeniedError as error:
        assert "(530)" in str(error), error
    other.close()
    connection.close()


def passwords():
    """Whoever has no password stays outside, and hears why."""
    connect("alice", "secret").close()
    for user, password in [("alice", "wrong"), ("guest", "guest")]:
        try:
            connect(user, password)
        except (ProbableAuthenticationError, ConnectionClosedByBroker) as error:
            assert "403" in str(error) or "ACCESS_REFUSED" in str(error), error
            continue
        raise AssertionError("let in")


def denied():
    """What a rule forbids ends the channel."""
    connection = connect()
    channel = connection.channel()
    channel.basic_publish("amq.topic", "secret.a", b"x")
    refused(403, lambda: channel.queue_declare("q"))
    channel = connection.channel()
    name = channel.queue_declare("", exclusive=True).method.queue
    refused(403, lambda: channel.queue_bind(name, "amq.topic", "secret.#"))
    connection.close()


def blocked():
    """Who publishes what the disk has no room for is told so; what need not be stored goes on."""
    connection = connect()
    told = []
    connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("q", durable=True)
    for _ in range(2):
        try:
            channel.basic_publish("", "q", b"x", PERSISTENT)
            raise AssertionError("there is no room")
        except pika.exceptions.NackError:
            pass
    name = channel.queue_declare("", exclusive=True).method.queue
    connection.process_data_events(0.1)
    assert told == ["no room to store it"], told
    channel.basic_publish("", name, b"x", mandatory=True)
    assert channel.basic_get(name, auto_ack=True)[2] == b"x"
    assert channel.queue_declare("q", passive=True).method.message_count == 0
    connection.close()


def others():
    """The same with aio-pika and amqpstorm."""
    asyncio.run(with_aio_pika())
    storm = amqpstorm.Connection("127.0.0.1", "guest", "guest", port=PORT)
    channel = storm.channel()
    channel.confirm_deliveries()
    channel.queue.declare("storm", auto_delete=True)
    assert channel.basic.publish("hello", "storm", properties={"headers": {"k": "v"}}, mandatory=True)
    heard = queue.Queue()

    def hear(message):
        heard.put((message.body, message.properties["headers"]))
        message.ack()
        channel.stop_consuming()

    channel.basic.qos(1)
    channel.basic.consume(hear, "storm")
    channel.start_consuming()
    assert heard.get(timeout=5) == ("hello", {"k": "v"})
    storm.close()


async def with_aio_pika():
    connection = await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{PORT}/")
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.set_qos(5)
        named = await channel.declare_queue("aio", auto_delete=True)
        await named.bind("amq.topic", "aio.#")
        exchange = await channel.get_exchange("amq.topic")
        for number in range(100):
            message = aio_pika.Message(str(number).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await exchange.publish(message, f"aio.{number}")
        expected = 0
        async with named.iterator() as messages:
            async for message in messages:
                async with message.process():
                    assert int(message.body) == expected
                    assert message.routing_key == f"aio.{expected}"
                expected += 1
                if expected == 100:
                    break


def by_tls():
    """pika over TLS."""
    context = ssl.create_default_context(cafile=sys.argv[3])
    options = pika.SSLOptions(context, "localhost")
    connection = connect(ssl_options=options)
    channel = connection.channel()
    name = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_publish("", name, b"x" * 100_000)
    assert channel.basic_get(name, auto_ack=True)[2] == b"x" * 100_000
    connection.close()


def by_websocket():
    """pika, whose bytes go through WebSocket."""
    web = websocket.create_connection(f"ws://127.0.0.1:{PORT}/ws", subprotocols=["amqp"])
    assert web.getsubprotocol() == "amqp"
    door = socket.create_server(("127.0.0.1", 0))

    def carry():
        peer = door.accept()[0]
        threading.Thread(target=bring, args=[peer], daemon=True).start()
        while piece := web.recv():
            peer.sendall(piece)

    def bring(peer):
        while piece := peer.recv(30_000):
            web.send_binary(piece)

    threading.Thread(target=carry, daemon=True).start()
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", door.getsockname()[1]))
    channel = connection.channel()
    channel.confirm_delivery()
    name = channel.queue_declare("", exclusive=True).method.queue
    for body in (b"", b"x" * 300_000):
        channel.basic_publish("", name, body, PERSISTENT, mandatory=True)
        assert channel.basic_get(name, auto_ack=True)[2] == body
    connection.close()


class Heard(stomp.ConnectionListener):
    """Keeps what comes by STOMP."""

    def __init__(self):
        self.frames = queue.Queue()

    def on_message(self, frame):
        self.frames.put(frame)

    def on_receipt(self, frame):
        self.frames.put(frame)


def crosses():
    """AMQP, MQTT and STOMP hear one another, with their properties."""
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    name = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(name, "amq.topic", "from.#")
    by_mqtt = queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_message = lambda _, __, message: by_mqtt.put(message)
    subscribed = queue.Queue()
    client.on_subscribe = lambda *_: subscribed.put(True)
    client.connect("127.0.0.1", int(sys.argv[3]))
    client.loop_start()
    client.subscribe("from/amqp/#", 1)
    subscribed.get(timeout=5)
    stomper, heard = stomp.Connection12([("127.0.0.1", int(sys.argv[4]))]), Heard()
    stomper.set_listener("", heard)
    stomper.connect(wait=True)
    stomper.subscribe("/topic/from.amqp.#", id="1", receipt="s")
    assert heard.frames.get(timeout=5).cmd == "RECEIPT"

    properties = pika.BasicProperties(
        content_type="text/plain", correlation_id="c", reply_to="r", message_id="m", delivery_mode=2,
        expiration="60000", priority=7, headers={"text": "ä", "number": 5, "list": [1, "x"]},
    )
    channel.basic_publish("amq.topic", "from.amqp.x/y", "hällo".encode(), properties, mandatory=True)
    message = by_mqtt.get(timeout=5)
    assert (message.topic, message.payload.decode(), message.qos) == ("from/amqp/x%2Fy", "hällo", 1)
    told = message.properties
    assert (told.ContentType, told.CorrelationData, told.ResponseTopic) == ("text/plain", b"c", "r")
    user = dict(told.UserProperty)
    assert (user["text"], user["number"], user["list"]) == ("ä", "5", '[1,"x"]'), user
    assert 0 < told.MessageExpiryInterval <= 60
    frame = heard.frames.get(timeout=5)
    assert (frame.headers["destination"], frame.body) == ("/topic/from.amqp.x/y", "hällo"), frame.headers
    named = {"content-type": "text/plain", "correlation-id": "c", "priority": "7", "number": "5", "text": "ä"}
    assert all(frame.headers[key] == value for key, value in named.items()), frame.headers

    told = mqtt.Properties(mqtt.PacketTypes.PUBLISH)
    told.ContentType, told.CorrelationData, told.UserProperty = "a/b", b"c2", [("k", "1"), ("k", "2")]
    client.publish("from/mqtt/a.b", b"\xff", 1, properties=told).wait_for_publish(5)
    stomper.send("/topic/from.stomp", "hi", content_type="text/plain", headers={"k": "v", "persistent": "true"})
    stomper.send(f"/amq/queue/{name}", "direct")
    messages = {}
    for method, properties, body in channel.consume(name, auto_ack=True, inactivity_timeout=5):
        messages[method.routing_key] = (method.exchange, properties, body)
        if len(messages) == 4:
            break
    assert messages["from.amqp.x/y"][1].headers["list"] == [1, "x"]
    exchange, properties, body = messages["from.mqtt.a%2Eb"]
    assert (exchange, properties.content_type, properties.correlation_id, body) == ("amq.topic", "a/b", "c2", b"\xff")
    assert properties.headers == {"k": "1", "x-opt-mynah-user-properties": ["k", "1", "k", "2"]}, properties
    assert properties.delivery_mode == 2
    exchange, properties, body = messages["from.stomp"]
    assert (properties.content_type, properties.headers["k"], body) == ("text/plain", "v", b"hi")
    assert messages[name][0] == "" and messages[name][2] == b"direct"
    client.loop_stop()
    stomper.disconnect()
    connection.close()


SCENARIO = sys.argv[1]
globals()[SCENARIO]()
print(f"{SCENARIO}: ok")
