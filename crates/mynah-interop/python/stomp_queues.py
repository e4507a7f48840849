"""stomp.py on queues: `stomp_queues.py PORT SCENARIO`. Says what it expects, and `SCENARIO: ok` at the end."""

import functools
import sys
import time

import stomp

import stomp_listening
from stomp_listening import CONNECTIONS, Heard, acknowledge, leave

PORT = int(sys.argv[1])
connect = functools.partial(stomp_listening.connect, PORT)


def fill(destination, bodies, **headers):
    """Sends these, and waits until they are safe."""
    connection, heard = connect()
    for body in bodies:
        connection.send(destination, body, headers={"persistent": "true", **headers}, receipt=body)
    assert sorted(heard.receipts.get(timeout=10) for _ in bodies) == sorted(bodies)
    leave(connection, heard)


def drain(destination, count, **headers):
    """Takes so many messages, and finds that there are no more."""
    connection, heard = connect()
    connection.subscribe(destination, id="drain", headers=headers)
    frames = [heard.message() for _ in range(count)]
    heard.silence()
    leave(connection, heard)
    return [(frame.body, frame.headers["redelivered"]) for frame in frames]


def modes():
    """Each mode of acknowledgement in each version: what was not acknowledged comes again, and says so."""
    for version in CONNECTIONS:
        for ack, left in (
            ("auto", []),
            ("client", [("d", "true"), ("e", "true")]),
            ("client-individual", [("a", "true"), ("b", "true"), ("d", "true"), ("e", "true")]),
        ):
            destination = f"/queue/modes.{version}.{ack}"
            fill(destination, "abcde")
            connection, heard = connect(version)
            connection.subscribe(destination, id="1", ack=ack)
            frames = [heard.message() for _ in range(5)]
            assert [frame.headers["redelivered"] for frame in frames] == ["false"] * 5
            assert ("ack" in frames[0].headers) == (version == "1.2" and ack != "auto")
            if ack != "auto":
                acknowledge(connection, frames[2], version, receipt="ack")
                heard.receipt("ack")
            leave(connection, heard)
            assert drain(destination, len(left)) == left, (version, ack)


def refusals():
    """What is refused comes again in its place, or is a dead letter that says where it died and why."""
    for version in ("1.1", "1.2"):
        destination, dead = f"/queue/refused.{version}", f"/queue/dead.{version}"
        letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"dead.{version}"}
        connection, heard = connect(version)
        connection.subscribe(dead, id="dead", receipt="dead")
        heard.receipt("dead")
        connection.subscribe(destination, id="1", ack="client-individual", headers=letters, receipt="s")
        heard.receipt("s")
        connection.send(destination, "x", headers={"k": "v"})
        first = heard.message()
        acknowledge(connection, first, version, refuses=True)
        again = heard.message()
        assert (again.body, again.headers["redelivered"]) == ("x", "true"), again.headers
        acknowledge(connection, again, version, refuses=True, requeue="false")
        letter = heard.message()
        assert (letter.headers["subscription"], letter.body, letter.headers["k"]) == ("dead", "x", "v")
        died = [letter.headers[f"x-death-{word}"] for word in ("queue", "reason", "count")]
        assert died == [f"refused.{version}", "rejected", "1"], died
        heard.silence()
        leave(connection, heard)


def transactions():
    """What is sent and acknowledged in a transaction happens together, at its end, or not at all."""
    for version in CONNECTIONS:
        source, target = f"/queue/source.{version}", f"/queue/target.{version}"
        fill(source, ["work"])
        for ends in ("abort", "commit"):
            connection, heard = connect(version)
            connection.subscribe(source, id="1", ack="client")
            work = heard.message()
            connection.begin("t")
            for body in ("one", "two"):
                connection.send(target, body, transaction="t", persistent="true")
            acknowledge(connection, work, version, transaction="t")
            observer, observed = connect()
            observer.subscribe(target, id="2", receipt="s")
            observed.receipt("s")
            observed.silence()
            getattr(connection, ends)("t", receipt="end")
            heard.receipt("end")
            if ends == "commit":
                assert observed.bodies(2) == ["one", "two"]
            observed.silence()
            leave(observer, observed)
            leave(connection, heard)
        assert drain(source, 0) == []
        # One that is open when its client leaves is as if it had never been.
        connection, heard = connect(version)
        connection.begin("t")
        connection.send(target, "lost", transaction="t")
        leave(connection, heard)
        assert drain(target, 0) == []


def receipts():
    """Every frame may ask for a receipt; that of DISCONNECT comes when all else is done."""
    connection, heard = connect()
    connection.begin("t", receipt="begin")
    heard.receipt("begin")
    connection.send("/queue/receipts", "x", receipt="send", transaction="t")
    heard.receipt("send")
    connection.commit("t", receipt="commit")
    heard.receipt("commit")
    connection.subscribe("/queue/receipts", id="1", ack="client-individual", receipt="subscribe")
    heard.receipt("subscribe")
    frame = heard.message()
    connection.nack(frame.headers["ack"], receipt="nack")
    heard.receipt("nack")
    connection.ack(heard.message().headers["ack"], receipt="ack")
    heard.receipt("ack")
    connection.unsubscribe("1", receipt="unsubscribe")
    heard.receipt("unsubscribe")
    for number in range(500):
        connection.send("/queue/receipts", str(number), headers={"persistent": "true"})
    leave(connection, heard)
    assert [body for body, _ in drain("/queue/receipts", 500)] == [str(number) for number in range(500)]


def prefetch():
    """A subscription has as much under way as it has asked for: messages and bytes, each in its own header."""
    for number, (headers, under_way) in enumerate((
        ({"prefetch-count": "2"}, 2),
        ({"activemq.prefetchSize": "3"}, 3),
        ({"consumer-window-size": "1500"}, 2),
        ({"prefetch-count": "1", "activemq.prefetchSize": "9"}, 1),
    )):
        destination = f"/queue/prefetch.{number}"
        fill(destination, [letter * 1000 for letter in "abcdefgh"])
        connection, heard = connect()
        connection.subscribe(destination, id="1", ack="client-individual", headers=headers)
        frames = [heard.message() for _ in range(under_way)]
        heard.silence()
        for letter in "abcdefgh"[under_way:]:
            connection.ack(frames.pop(0).headers["ack"])
            frames.append(heard.message())
            assert frames[-1].body == letter * 1000
        leave(connection, heard)
        assert len(drain(destination, len(frames))) == under_way


DIALECTS = {
    "rabbitmq": ({"durable": "true", "auto-delete": "false"}, {"durable": "true", "auto-delete": "false"}),
    "activemq": ({"activemq.subscriptionName": "sub"}, {"activemq.subscriptionName": "sub"}),
    "artemis": ({"durable-subscription-name": "sub"}, {"durable-subscription-name": "sub"}),
}


def durable_begins():
    """Durable subscriptions in all dialects; then messages come while nobody is there."""
    for dialect, (headers, _) in DIALECTS.items():
        connection, heard = connect(headers={"client-id": dialect})
        topic = f"/topic/durable.{dialect}"
        connection.subscribe(topic, id=dialect, ack="client", headers=headers, receipt="s")
        heard.receipt("s")
        connection.send(topic, "live", headers={"persistent": "true"}, receipt="m")
        heard.receipt("m")
        frame = heard.message()
        assert (frame.body, frame.headers["destination"]) == ("live", topic)
        connection.ack(frame.headers["ack"])
        connection.unsubscribe(dialect)
        leave(connection, heard)
        fill(topic, ["1", "2", "3"])


def durable_ends():
    """What came meanwhile is there, in its order; a subscription that is ended gets nothing more."""
    for dialect, (headers, end) in DIALECTS.items():
        topic = f"/topic/durable.{dialect}"
        for ends in (False, True, True):
            connection, heard = connect(headers={"client-id": dialect})
            connection.subscribe(topic, id=dialect, ack="client", headers=headers, receipt="s")
            heard.receipt("s")
            if not ends:
                frames = [heard.message() for _ in range(3)]
                assert [frame.body for frame in frames] == ["1", "2", "3"]
                connection.ack(frames[-1].headers["ack"], receipt="ack")
                heard.receipt("ack")
            heard.silence()
            if ends:
                connection.unsubscribe(dialect, headers=end)
            leave(connection, heard)
            if ends:
                fill(topic, ["nobody gets this"])


def replies():
    """Requests with temporary queues and topics as their reply addresses."""
    server, asked = connect()
    server.subscribe("/queue/service", id="1", receipt="s")
    asked.receipt("s")
    client, answered = connect()
    client.subscribe("/temp-topic/answers", id="topic", receipt="s")
    answered.receipt("s")
    for own, remote in (("/temp-queue/answers", "/reply-queue/"), ("/temp-topic/answers", "/remote-temp-topic/")):
        for number in range(3):
            client.send("/queue/service", "ask", headers={"reply-to": own, "correlation-id": str(number)})
            headers = asked.message().headers
            assert headers["reply-to"].startswith(remote), headers
            answer = {"correlation-id": headers["correlation-id"]}
            server.send(headers["reply-to"], f"answer {number}", headers=answer)
            frame = answered.message()
            assert (frame.body, frame.headers["correlation-id"]) == (f"answer {number}", str(number))
            assert frame.headers["subscription"] == ("topic" if own.startswith("/temp-topic") else own)
    reply_to = headers["reply-to"]
    leave(client, answered)
    # The address is gone with its client: nobody hears this.
    server.send(reply_to, "late", receipt="late")
    asked.receipt("late")
    leave(server, asked)


def selectors():
    """Selectors choose among the messages of a queue, and of a topic."""
    connection, heard = connect()
    wanted = {"selector": "JMSPriority > 4 AND colour LIKE 'r%'"}
    connection.subscribe("/topic/chosen", id="t", headers=wanted, receipt="s")
    heard.receipt("s")
    for destination in ("/topic/chosen", "/queue/chosen"):
        for colour, priority in (("red", 1), ("blue", 9), ("red", 5), ("rose", 7)):
            connection.send(destination, f"{colour} {priority}", headers={"colour": colour, "priority": priority})
    assert heard.bodies(2) == ["red 5", "rose 7"]
    connection.subscribe("/queue/chosen", id="q", headers={"selector": "colour <> 'red'"})
    assert heard.bodies(2) == ["blue 9", "rose 7"]
    connection.subscribe("/queue/chosen", id="rest")
    assert heard.bodies(2) == ["red 1", "red 5"]
    heard.silence()
    connection.subscribe("/queue/chosen", id="wrong", headers={"selector": "colour >"}, receipt="wrong")
    error = heard.errors.get(timeout=5)
    assert error.headers["receipt-id"] == "wrong", error.headers
    assert heard.ends.get(timeout=5)


def exchanges():
    """Exchanges by their names, and queues whose names the subscribers choose."""
    connection, heard = connect()
    for number, destination in enumerate((
        "/exchange/amq.direct/key", "/exchange/amq.fanout", "/exchange/amq.topic/to.*", "/amq/queue/named",
    )):
        headers = {"x-queue-name": "named"} if number == 0 else {}
        connection.subscribe(destination, id=str(number), headers=headers, receipt="s")
        heard.receipt("s")
    connection.unsubscribe("3", receipt="u")
    heard.receipt("u")
    for number, destination in enumerate(("/exchange/amq.direct/key", "/exchange/amq.fanout", "/topic/to.you")):
        connection.send(destination, str(number), receipt="m")
        heard.receipt("m")
        frame = heard.message()
        assert (frame.body, frame.headers["subscription"]) == (str(number), str(number)), frame.headers
        assert frame.headers["destination"] == destination, frame.headers
    connection.send("/exchange/amq.direct/other", "nobody", receipt="n")
    heard.receipt("n")
    heard.silence()
    connection.subscribe("/exchange/none", id="none", receipt="none")
    assert heard.errors.get(timeout=5).headers["message"] == "no such queue or exchange"


def streams():
    """A stream is read from each kind of offset, as often as it is wanted."""
    connection, heard = connect()
    kind = {"x-queue-type": "stream"}
    connection.subscribe("/queue/log", id="declares", ack="client", headers=kind, receipt="s")
    heard.receipt("s")
    connection.unsubscribe("declares", receipt="u")
    heard.receipt("u")
    fill("/queue/log", [str(number) for number in range(10)])
    places = []

    def read(offset, expected):
        headers = {**kind, "x-stream-offset": offset}
        connection.subscribe("/queue/log", id=offset, ack="client", headers=headers, receipt="s")
        heard.receipt("s")
        frames = [heard.message() for _ in range(expected)]
        assert [frame.body for frame in frames] == [str(number) for number in range(10 - expected, 10)], offset
        heard.silence()
        connection.unsubscribe(offset, receipt="u")
        heard.receipt("u")
        places[:] = places or [int(frame.headers["x-stream-offset"]) for frame in frames]

    read("first", 10)
    assert places == list(range(places[0], places[0] + 10)), places
    for offset, expected in ((f"offset={places[7]}", 3), ("timestamp=0", 10), ("last", 1), ("next", 0)):
        read(offset, expected)
    leave(connection, heard)


def expiry():
    """Messages that nobody takes in time are gone, wherever they are in the queue, and delayed ones come when they are due."""
    connection, heard = connect()
    for body, headers in (("stays", {}), ("goes", {"expiration": "200"}), ("stays too", {})):
        connection.send("/queue/expiry", body, headers=headers, receipt="m")
        heard.receipt("m")
    soon = {"expires": str(round(time.time() * 1000) + 200)}
    connection.send("/queue/expiry", "goes", headers=soon, receipt="m")
    heard.receipt("m")
    began = time.monotonic()
    connection.send("/queue/later", "late", headers={"x-delay": "700"}, receipt="m")
    heard.receipt("m")
    connection.subscribe("/queue/later", id="later")
    assert heard.bodies(1) == ["late"]
    assert 0.6 < time.monotonic() - began < 3
    connection.subscribe("/queue/expiry", id="1")
    assert heard.bodies(2) == ["stays", "stays too"]
    heard.silence()
    leave(connection, heard)


def large():
    """Far more than may wait to be written comes as fast as it is read, however little else there is to do."""
    body, count = "x" * 500_000, 40
    connection, heard = connect()
    for number in range(count):
        connection.send("/queue/large", body, receipt=str(number))
    for number in range(count):
        heard.receipt(str(number))
    began = time.monotonic()
    connection.subscribe("/queue/large", id="1")
    assert heard.bodies(count) == [body] * count
    took = time.monotonic() - began
    assert took < 5, took
    leave(connection, heard)


def by_websocket():
    """Queues by WebSocket, with a sub-protocol and, at a listener of STOMP, without."""
    for offer in ({"Sec-WebSocket-Protocol": "v12.stomp"}, {"Sec-WebSocket-Protocol": "v11.stomp"}, {}):
        connection = stomp.WSStompConnection([("127.0.0.1", PORT)], ws_path="/ws", header=offer)
        heard = Heard()
        connection.set_listener("", heard)
        connection.connect(wait=True)
        connection.subscribe("/queue/web", id="1", ack="client-individual", receipt="s")
        heard.receipt("s")
        for number in range(20):
            connection.send("/queue/web", f"ä{number}", headers={"persistent": "true"})
        for number in range(20):
            frame = heard.message()
            assert frame.body == f"ä{number}"
            connection.ack(frame.headers["ack"])
        connection.disconnect(receipt="leave")
        heard.receipt("leave")


def profiles():
    """`PORT` is where destinations are as ActiveMQ has them, the one behind the scenario where they are plain."""
    activemq, heard = connect()
    plain, heard_plainly = stomp_listening.connect(int(sys.argv[3]))
    activemq.subscribe("/topic/site.>", id="1", receipt="s")
    heard.receipt("s")
    plain.subscribe("/topic/site/+/a.b", id="1", receipt="s")
    heard_plainly.receipt("s")
    sendings = ((activemq, "/topic/site.1.a%2Eb", "from ActiveMQ"), (plain, "/topic/site/2/a.b", "plain"))
    for number, (connection, destination, body) in enumerate(sendings, 1):
        connection.send(destination, body)
        for listener, spelled in ((heard, "/topic/site.{}.a%2Eb"), (heard_plainly, "/topic/site/{}/a.b")):
            frame = listener.message()
            assert (frame.body, frame.headers["destination"]) == (body, spelled.format(number))
    # What ActiveMQ's clients refuse is a dead letter.
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    activemq.subscribe("/queue/dead", id="dead", receipt="s")
    heard.receipt("s")
    activemq.subscribe("/queue/work", id="work", ack="client", headers=letters, receipt="s")
    heard.receipt("s")
    activemq.send("/queue/work", "x")
    activemq.nack(heard.message().headers["ack"])
    assert heard.message().headers["subscription"] == "dead"
    leave(activemq, heard)
    leave(plain, heard_plainly)


def tenants():
    """The host is a tenant: whoever belongs there has topics and queues of their own."""
    inside, heard = connect(login="ada", passcode="steam", vhost="factory")
    outside, heard_outside = connect(login="bob", passcode="engine", vhost="elsewhere")
    for connection, listener in ((inside, heard), (outside, heard_outside)):
        for number, destination in enumerate(("/topic/plan", "/queue/plan")):
            connection.subscribe(destination, id=str(number), receipt="s")
            listener.receipt("s")
    for destination in ("/topic/plan", "/queue/plan"):
        inside.send(destination, "of the factory")
        outside.send(destination, "of all")
    assert heard.bodies(2) == ["of the factory"] * 2
    assert heard_outside.bodies(2) == ["of all"] * 2
    heard.silence()
    for login, passcode, host in (("bob", "engine", "factory"), ("ada", "steam", "elsewhere")):
        try:
            connect(login=login, passcode=passcode, vhost=host)
        except stomp.exception.ConnectFailedException:
            continue
        raise AssertionError("let in")


SCENARIO = sys.argv[2]
SCENARIOS = (
    modes, refusals, transactions, receipts, prefetch, durable_begins, durable_ends, replies, selectors, exchanges,
    streams, expiry, large, by_websocket, profiles, tenants,
)
{f.__name__: f for f in SCENARIOS}[SCENARIO]()
print(f"{SCENARIO}: ok")
