"""Where AMQP 0-9-1 meets the others: `amqp_crossings.py PORT SCENARIO PORT-OF-THE-OTHER`, and the same with `later` once
the broker has been killed and is back. Properties as `docs/mapping.md` has them. Says what it expects, and `SCENARIO: ok`
at the end."""

import asyncio
import http.client
import json
import queue
import sys
import time

import aiocoap
import paho.mqtt.client as mqtt
import pika
from aiocoap.numbers.codes import Code

PORT, SCENARIO, OTHER = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
LATER = "later" in sys.argv[4:]

BODY = "hällo\nqueue"
# What AMQP says of a message, in each of its words that others have too.
SAID = {
    "content_type": "text/plain", "content_encoding": "gzip", "correlation_id": "c1", "reply_to": "answers/x", "message_id": "m1",
    "timestamp": 784111777, "delivery_mode": 2, "expiration": "600000", "priority": 7,
    "headers": {"text": "ä", "number": 5, "list": [1, "x"]},
}


def connect():
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", PORT))
    channel = connection.channel()
    channel.confirm_delivery()
    return connection, channel


def bound(channel, name, key, **more):
    channel.queue_declare(name, **more)
    channel.queue_bind(name, "amq.topic", key)


def say(key, retain=False, **more):
    connection, channel = connect()
    words = {**SAID, **more}
    if retain:
        words["headers"] = {**words["headers"], "x-mqtt-retain": True}
    channel.basic_publish("amq.topic", key, BODY.encode(), pika.BasicProperties(**words))
    connection.close()


def taken(channel, name):
    """The next message of a queue, which has to be there soon."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        method, properties, body = channel.basic_get(name, auto_ack=True)
        if method:
            return method, properties, body
        time.sleep(0.02)
    raise AssertionError(f"nothing in {name}")


def check(properties, **expected):
    told = {name: getattr(properties, name) for name in expected}
    assert told == expected, (told, expected)


def heard(key, body, **expected):
    """What the other has published is in the queue of who is there, and, once the broker is back, in the durable one."""
    connection, channel = connect()
    for name in ["kept"] if LATER else ["live"]:
        method, properties, got = taken(channel, name)
        assert (method.exchange, method.routing_key, got) == ("amq.topic", key, body), (method, got)
        check(properties, delivery_mode=2, **expected)
        assert channel.basic_get(name)[0] is None
    connection.close()


def stage():
    """A queue of who is there, and one that is durable, of all that the others publish."""
    connection, channel = connect()
    bound(channel, "live", "by.#", durable=False)
    bound(channel, "kept", "by.#", durable=True)
    connection.close()


def paho(name):
    told, subscribed = queue.Queue(), queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, protocol=mqtt.MQTTv5)
    client.on_message = lambda _, __, message: told.put(message)
    client.on_subscribe = lambda *_: subscribed.put(True)
    stays = mqtt.Properties(mqtt.PacketTypes.CONNECT)
    stays.SessionExpiryInterval = 600
    client.connect("127.0.0.1", OTHER, clean_start=False, properties=stays)
    client.loop_start()
    client.subscribe("of/amqp/+", 1)
    subscribed.get(timeout=10)
    return client, told


def end(client):
    client.disconnect()
    client.loop_stop()


def is_told_to_mqtt(message):
    assert (message.topic, message.payload.decode(), message.qos) == ("of/amqp/a.b", BODY, 1), message.topic
    properties = message.properties
    assert (properties.ContentType, properties.CorrelationData) == ("text/plain", b"c1")
    assert properties.ResponseTopic == "answers/x", properties
    assert 0 < properties.MessageExpiryInterval <= 600
    expected = {
        "text": "ä", "number": "5", "list": '[1,"x"]', "mynah-priority": "7", "mynah-message-id": "m1",
        "mynah-created": "784111777000", "mynah-content-encoding": "gzip",
    }
    assert dict(properties.UserProperty) == expected, properties.UserProperty


def meets_mqtt():
    """With MQTT 5.0: live, and a session that is away until the broker has been killed and is back."""
    if not LATER:
        stage()
        live, told = paho("live")
        end(paho("away")[0])
        say("of.amqp.a%2Eb")
        is_told_to_mqtt(told.get(timeout=10))
        said = mqtt.Properties(mqtt.PacketTypes.PUBLISH)
        said.ContentType, said.CorrelationData, said.ResponseTopic = "a/b", b"c2", "answers/x"
        said.MessageExpiryInterval, said.UserProperty = 600, [("k", "1"), ("k", "2")]
        live.publish("by/mqtt/a.b", b"\0hi\0", 1, properties=said).wait_for_publish(10)
        end(live)
    else:
        away, told = paho("away")
        is_told_to_mqtt(told.get(timeout=10))
        end(away)
    heard(
        "by.mqtt.a%2Eb", b"\0hi\0", content_type="a/b", correlation_id="c2", reply_to="answers/x",
        headers={"k": "1", "x-opt-mynah-user-properties": ["k", "1", "k", "2"]},
    )


def ask(method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", OTHER, timeout=10)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    read = answer.status, answer.headers, answer.read()
    connection.close()
    return read


def hears_an_event():
    events = http.client.HTTPConnection("127.0.0.1", OTHER, timeout=10)
    events.request("GET", "/v1/topics?filter=of/amqp/%23", headers={"Accept": "text/event-stream"})
    stream = events.getresponse()
    assert stream.status == 200, stream.read()
    time.sleep(0.5)
    say("of.amqp.a%2Eb", retain=True)
    while not (line := stream.readline().decode()).startswith("data:"):
        assert line, "the stream ended"
    events.close()
    event = json.loads(line.removeprefix("data:"))
    assert 0 < event.pop("expiry_ms") <= 600000
    event["properties"] = sorted(event["properties"])
    expected = {
        "topic": "of/amqp/a.b", "payload": BODY, "content_type": "text/plain", "content_encoding": "gzip", "correlation": "c1",
        "reply_to": "answers/x", "message_id": "m1", "qos": 1, "retain": True, "priority": 7, "created": "1994-11-06T08:49:37Z",
        "properties": [["list", '[1,"x"]'], ["number", 5], ["text", "ä"]],
    }
    assert event == expected, event


def meets_http():
    """With HTTP: a stream of events, a retained value, what is posted, and a queue that either fills and empties."""
    said = {
        "Content-Type": "text/plain", "Mynah-Correlation": "c2", "Mynah-Reply-To": "r", "Mynah-Message-Id": "m2",
        "Mynah-Priority": "3", "Mynah-Expiry": "600", "Mynah-Property": "k=v%20w",
    }
    if not LATER:
        stage()
        hears_an_event()
        assert ask("POST", "/v1/topics/by/http/a.b", b"hello", said)[0] == 204
        connection, channel = connect()
        channel.queue_declare("jobs", durable=True)
        channel.basic_publish("", "jobs", b"leased", pika.BasicProperties(**SAID), mandatory=True)
        connection.close()
        assert ask("POST", "/v1/queues/jobs/messages", b"posted", said)[0] in (201, 202, 204)
    status, headers, body = ask("GET", "/v1/topics/of/amqp/a.b")
    assert (status, body.decode()) == (200, BODY)
    assert headers["Content-Type"].startswith("text/plain") and headers["Content-Encoding"] == "gzip", headers
    assert (headers["Mynah-QoS"], headers["Mynah-Priority"], headers["Mynah-Correlation"]) == ("1", "7", "c1")
    heard("by.http.a%2Eb", b"hello", correlation_id="c2", reply_to="r", message_id="m2", priority=3, headers={"k": "v w"})
    if LATER:
        status, _, body = ask("POST", "/v1/queues/jobs/leases?max=1&ttl=30")
        assert status == 200, (status, body)
        assert b"leased" in body and b'"c1"' in body and b'"m1"' in body, body
        connection, channel = connect()
        method, properties, body = taken(channel, "jobs")
        assert (method.exchange, method.routing_key, body) == ("", "jobs", b"posted"), (method, body)
        check(properties, correlation_id="c2", message_id="m2", priority=3, headers={"k": "v w"})
        connection.close()


async def with_coap():
    client = await aiocoap.Context.create_client_context()
    base = f"coap://127.0.0.1:{OTHER}"

    async def ask(code, path, payload=b"", **options):
        message = aiocoap.Message(code=code, uri=base + path, payload=payload, **options)
        response = await asyncio.wait_for(client.request(message).response, 20)
        if response.code == Code.UNAUTHORIZED and response.opt.echo is not None:
            message = aiocoap.Message(code=code, uri=base + path, payload=payload, **options)
            message.opt.echo = response.opt.echo
            response = await asyncio.wait_for(client.request(message).response, 20)
        return response

    # Whose address is known to be its own is answered at once from here on.
    await ask(Code.GET, "/t/none")
    if not LATER:
        observing = client.request(aiocoap.Message(code=Code.GET, uri=base + "/t/of/amqp/a.b", observe=0))
        first = await asyncio.wait_for(observing.response, 20)
        assert (first.code, first.payload) == (Code.CONTENT, b""), first
        states = observing.observation.__aiter__()
        text = "text/plain; charset=utf-8"
        await asyncio.to_thread(say, "of.amqp.a%2Eb", True, content_encoding=None, content_type=text)
        notified = await asyncio.wait_for(states.__anext__(), 20)
        assert notified.payload.decode() == BODY, notified
        observing.observation.cancel()
        posted = await ask(Code.POST, "/t/by/coap/a.b?priority=3&expiry=600&k=v", b"hello", content_format=0)
        assert posted.code.is_successful(), posted
    read = await ask(Code.GET, "/t/of/amqp/a.b")
    assert (read.code, read.payload.decode(), read.opt.content_format) == (Code.CONTENT, BODY, 0), read
    assert 0 < read.opt.max_age <= 600, read
    await client.shutdown()


def meets_coap():
    """With CoAP: an observed topic, a value that is read, and what is posted."""
    if not LATER:
        stage()
    asyncio.run(with_coap())
    heard("by.coap.a%2Eb", b"hello", priority=3, headers={"k": "v"})


{f.__name__: f for f in (meets_mqtt, meets_http, meets_coap)}[SCENARIO]()
print(f"{SCENARIO}: ok")
