"""Where STOMP meets the others: `stomp_crossings.py PORT SCENARIO PORT-OF-THE-OTHER`. Live and durable, properties as
`docs/mapping.md` has them. Says what it expects, and `SCENARIO: ok` at the end."""

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

import stomp_listening
from stomp_listening import leave

PORT, SCENARIO, OTHER = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])

# What STOMP says of a message, in each of its words that others have too.
SAID = {
    "persistent": "true", "priority": "7", "content-type": "text/plain", "content-encoding": "gzip",
    "correlation-id": "c1", "reply-to": "/queue/answers", "amqp-message-id": "m1", "timestamp": "784111777000",
    "expiration": "60000", "k": "v:1", "e": "ä\\\n",
}
BODY = "hällo\nStomp"


def subscribed(destination, durable=None):
    """Hears live, and, if it has a name, as a durable subscription that acknowledges."""
    connection, heard = stomp_listening.connect(PORT)
    headers = {"durable": "true", "auto-delete": "false"} if durable else {}
    connection.subscribe(destination, id=durable or "live", ack="client" if durable else "auto", headers=headers, receipt="s")
    heard.receipt("s")
    return connection, heard


def absent(destination, name):
    """Leaves a durable subscription behind: what is published comes when somebody is there again."""
    leave(*subscribed(destination, name))


def say(topic, **more):
    connection, heard = stomp_listening.connect(PORT)
    headers = {name: value for name, value in {**SAID, **more}.items() if value is not None}
    connection.send(topic, BODY, headers=headers, receipt="m")
    heard.receipt("m")
    leave(connection, heard)


def check(frame, expected):
    told = {name: frame.headers.get(name) for name in expected}
    assert told == expected, (told, expected)


def meets_mqtt():
    """With MQTT 5.0: live, a session that was away, a durable subscription that was away, and a retained value."""
    def client(name, topic, **more):
        told, subscribed = queue.Queue(), queue.Queue()
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, protocol=mqtt.MQTTv5)
        client.on_message = lambda _, __, message: told.put(message)
        client.on_subscribe = lambda *_: subscribed.put(True)
        stays = mqtt.Properties(mqtt.PacketTypes.CONNECT)
        stays.SessionExpiryInterval = 600
        client.connect("127.0.0.1", OTHER, clean_start=False, properties=stays)
        client.loop_start()
        client.subscribe(topic, 1)
        subscribed.get(timeout=10)
        return client, told

    def end(client):
        client.disconnect()
        client.loop_stop()

    live, heard_live = client("live", "by/stomp/+")
    end(client("away", "by/stomp/+")[0])
    say("/topic/by.stomp.a%2Eb")
    away, heard_away = client("away", "by/stomp/+")
    for told in (heard_live, heard_away):
        message = told.get(timeout=10)
        assert (message.topic, message.payload.decode(), message.qos) == ("by/stomp/a.b", BODY, 1)
        properties = message.properties
        assert (properties.ContentType, properties.CorrelationData) == ("text/plain", b"c1")
        assert properties.ResponseTopic == "/queue/answers", properties
        assert 0 < properties.MessageExpiryInterval <= 60
        assert properties.PayloadFormatIndicator == 1
        user = dict(properties.UserProperty)
        expected = {
            "k": "v:1", "e": "ä\\\n", "mynah-priority": "7", "mynah-message-id": "m1", "mynah-created": "784111777000",
            "mynah-content-encoding": "gzip",
        }
        assert user == expected, user

    absent("/topic/by.mqtt.#", "mqtt")
    connection, heard = subscribed("/topic/by.mqtt.#")
    said = mqtt.Properties(mqtt.PacketTypes.PUBLISH)
    said.ContentType, said.CorrelationData, said.ResponseTopic = "a/b", b"c2", "answers/x"
    said.MessageExpiryInterval, said.UserProperty = 60, [("k", "1"), ("k", "2"), ("colon", "a:b\\c")]
    live.publish("by/mqtt/a.b", b"\0hi\0", 1, retain=True, properties=said).wait_for_publish(10)
    again, heard_again = subscribed("/topic/by.mqtt.#", "mqtt")
    for listener in (heard, heard_again):
        frame = listener.message()
        expected = {
            "destination": "/topic/by.mqtt.a%2Eb", "content-type": "a/b", "correlation-id": "c2", "reply-to": "answers/x",
            "k": "1", "colon": "a:b\\c", "persistent": "true", "content-length": "4",
        }
        check(frame, expected)
        assert frame.body == "\0hi\0"
    connection.subscribe("/topic/by.*.*", id="kept", headers={"x-mqtt-retain-handling": "0"})
    frame = heard.message()
    check(frame, {"subscription": "kept", "destination": "/topic/by.mqtt.a%2Eb", "retain": "true"})
    connection.send("/topic/by.mqtt.a%2Eb", "", headers={"retain": "true"}, receipt="cleared")
    heard.receipt("cleared")
    end(live)
    end(away)
    leave(connection, heard)
    leave(again, heard_again)


def meets_amqp():
    """With AMQP 0-9-1: queues that either has declared, topics, transactions, dead letters."""
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", OTHER))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("jobs", durable=True)
    channel.queue_bind("jobs", "amq.topic", "by.stomp.*")
    say("/queue/jobs")
    say("/topic/by.stomp.x")
    for routed in (("", "jobs"), ("amq.topic", "by.stomp.x")):
        method, properties, body = channel.basic_get("jobs", auto_ack=True)
        assert (method.exchange, method.routing_key, body.decode()) == (*routed, BODY), (method, properties, body)
        assert (properties.delivery_mode, properties.priority, properties.content_type) == (2, 7, "text/plain")
        assert (properties.content_encoding, properties.correlation_id) == ("gzip", "c1")
        assert (properties.reply_to, properties.message_id) == ("/queue/answers", "m1")
        assert properties.timestamp == 784111777 and 0 < int(properties.expiration) <= 60000
        assert properties.headers == {"k": "v:1", "e": "ä\\\n"}, properties.headers

    stomper, heard = stomp_listening.connect(PORT)
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "jobs", "prefetch-count": "10"}
    stomper.subscribe("/queue/theirs", id="1", ack="client-individual", headers=letters, receipt="s")
    heard.receipt("s")
    said = pika.BasicProperties(
        content_type="a/b", content_encoding="gzip", correlation_id="c2", reply_to="r", message_id="m2", timestamp=784111777,
        delivery_mode=2, expiration="60000", priority=3, headers={"text": "ä", "number": 5, "flag": True},
    )
    for body in (b"0", b"1", b"2"):
        channel.basic_publish("", "theirs", body, said, mandatory=True)
    frames = [heard.message() for _ in range(3)]
    assert [frame.body for frame in frames] == ["0", "1", "2"]
    expected = {
        "destination": "/queue/theirs", "content-type": "a/b", "content-encoding": "gzip", "correlation-id": "c2", "reply-to": "r",
        "amqp-message-id": "m2", "timestamp": "784111777000", "persistent": "true", "priority": "3", "text": "ä", "number": "5",
        "flag": "true", "redelivered": "false",
    }
    check(frames[0], expected)
    stomper.begin("t")
    stomper.ack(frames[0].headers["ack"], transaction="t")
    stomper.nack(frames[1].headers["ack"], transaction="t", requeue="false")
    stomper.send("/queue/jobs", "in a transaction", headers={"k": "v"}, transaction="t")
    stomper.commit("t", receipt="t")
    heard.receipt("t")
    leave(stomper, heard)
    method, _, body = channel.basic_get("theirs", auto_ack=True)
    assert (method.redelivered, body) == (True, b"2")
    assert channel.basic_get("theirs")[0] is None
    found, until = {}, time.monotonic() + 10
    while len(found) < 2 and time.monotonic() < until:
        method, properties, body = channel.basic_get("jobs", auto_ack=True)
        if method:
            found[body] = properties.headers
    assert found[b"in a transaction"] == {"k": "v"}, found
    death = found[b"1"]["x-death"][0]
    assert (death["queue"], death["reason"], death["count"]) == ("theirs", "rejected", 1), death
    assert found[b"1"]["number"] == 5

    # A durable subscription is a queue that AMQP sees, too.
    absent("/topic/by.amqp.#", "amqp")
    channel.basic_publish("amq.topic", "by.amqp.x/y", b"later", said)
    stomper, heard = subscribed("/topic/by.amqp.#", "amqp")
    frame = heard.message()
    assert frame.body == "later"
    check(frame, {**expected, "destination": "/topic/by.amqp.x/y"})
    leave(stomper, heard)
    connection.close()


def meets_http():
    """With HTTP: a stream of events, retained values, and what is posted, live and later."""
    def ask(method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", OTHER, timeout=10)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        read = answer.status, answer.headers, answer.read()
        connection.close()
        return read

    events = http.client.HTTPConnection("127.0.0.1", OTHER, timeout=10)
    events.request("GET", "/v1/topics?filter=by/stomp/%23", headers={"Accept": "text/event-stream"})
    stream = events.getresponse()
    assert stream.status == 200, stream.read()
    time.sleep(0.5)
    say("/topic/by.stomp.a%2Eb", retain="true")
    while not (line := stream.readline().decode()).startswith("data:"):
        assert line, "the stream ended"
    event = json.loads(line.removeprefix("data:"))
    expiry = event.pop("expiry_ms")
    assert 0 < expiry <= 60000
    assert event == {
        "topic": "by/stomp/a.b", "payload": BODY, "content_type": "text/plain; charset=utf-8", "content_encoding": "gzip",
        "correlation": "c1", "reply_to": "/queue/answers", "message_id": "m1", "qos": 1, "retain": True, "priority": 7,
        "created": "1994-11-06T08:49:37Z", "properties": [["e", "ä\\\n"], ["k", "v:1"]],
    }, event
    events.close()
    status, headers, body = ask("GET", "/v1/topics/by/stomp/a.b")
    assert (status, body.decode()) == (200, BODY)
    assert headers["Content-Type"].startswith("text/plain") and headers["Content-Encoding"] == "gzip", headers
    assert (headers["Mynah-QoS"], headers["Mynah-Priority"], headers["Mynah-Correlation"]) == ("1", "7", "c1")

    absent("/topic/by.http.#", "http")
    connection, heard = subscribed("/topic/by.http.#")
    said = {
        "Content-Type": "text/plain", "Mynah-Correlation": "c2", "Mynah-Reply-To": "r", "Mynah-Message-Id": "m2",
        "Mynah-Priority": "3", "Mynah-Expiry": "60", "Mynah-Property": "k=v%20w",
    }
    assert ask("POST", "/v1/topics/by/http/a.b", "hällo".encode(), said)[0] == 204
    again, heard_again = subscribed("/topic/by.http.#", "http")
    for listener in (heard, heard_again):
        frame = listener.message()
        assert frame.body == "hällo"
        check(frame, {
            "destination": "/topic/by.http.a%2Eb", "correlation-id": "c2", "reply-to": "r", "amqp-message-id": "m2",
            "priority": "3", "k": "v w", "persistent": "true",
        })
        assert frame.headers["content-type"].startswith("text/plain")
        assert 0 < int(frame.headers["expires"]) - time.time() * 1000 <= 61000, frame.headers
    leave(connection, heard)
    leave(again, heard_again)


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
    observing = client.request(aiocoap.Message(code=Code.GET, uri=base + "/t/by/stomp/a.b", observe=0))
    first = await asyncio.wait_for(observing.response, 20)
    assert (first.code, first.payload) == (Code.CONTENT, b""), first
    states = observing.observation.__aiter__()
    await asyncio.to_thread(say, "/topic/by.stomp.a%2Eb", retain="true", **{"content-encoding": None})
    notified = await asyncio.wait_for(states.__anext__(), 20)
    assert notified.payload.decode() == BODY, notified
    # The observation began without a value, hence with 42: the type stands in an option of its own.
    (kind,) = (option.value for option in notified.opt.option_list() if option.number == 65008)
    assert (notified.opt.content_format, kind) == (42, b"text/plain; charset=utf-8"), notified.opt
    observing.observation.cancel()
    read = await ask(Code.GET, "/t/by/stomp/a.b")
    assert (read.code, read.payload.decode(), read.opt.content_format) == (Code.CONTENT, BODY, 0), read
    assert 0 < read.opt.max_age <= 60, read

    await asyncio.to_thread(absent, "/topic/by.coap.#", "coap")
    connection, heard = await asyncio.to_thread(subscribed, "/topic/by.coap.#")
    posted = await ask(Code.POST, "/t/by/coap/a.b?priority=3&expiry=60&k=v", b"hello", content_format=0)
    assert posted.code.is_successful(), posted
    again, heard_again = await asyncio.to_thread(subscribed, "/topic/by.coap.#", "coap")
    for listener in (heard, heard_again):
        frame = await asyncio.to_thread(listener.message)
        assert frame.body == "hello"
        check(frame, {"destination": "/topic/by.coap.a%2Eb", "priority": "3", "k": "v", "persistent": "true"})
        assert frame.headers["content-type"].startswith("text/plain")
    for session in ((connection, heard), (again, heard_again)):
        await asyncio.to_thread(leave, *session)
    await client.shutdown()


def meets_coap():
    """With CoAP: an observed topic, a value that is read, and what is posted, live and later."""
    asyncio.run(with_coap())


{f.__name__: f for f in (meets_mqtt, meets_amqp, meets_http, meets_coap)}[SCENARIO]()
print(f"{SCENARIO}: ok")
