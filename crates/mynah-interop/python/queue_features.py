"""pika against what queues and exchanges can do: `queue_features.py SCENARIO PORT [FILE]`. Says what it expects, and
`SCENARIO: ok` at the end."""

import json
import random
import socket
import sys
import time
from collections import Counter

import pika

PORT = int(sys.argv[2])
PERSISTENT = pika.BasicProperties(delivery_mode=2)
PATIENCE = 10


def connect():
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", PORT))


def bodies(channel, name, count, silence=0.3):
    """So many messages, and no more."""
    found = []
    for _, _, body in channel.consume(name, auto_ack=True, inactivity_timeout=PATIENCE):
        assert body is not None, (name, len(found), count)
        found.append(body.decode())
        if len(found) == count:
            break
    channel.cancel()
    until = time.monotonic() + silence
    while time.monotonic() < until:
        more = channel.basic_get(name, auto_ack=True)[2]
        assert more is None, more
        channel.connection.process_data_events(0.05)
    return found


def bound(channel, exchange, key="", **arguments):
    """A new queue that is bound to an exchange."""
    name = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(name, exchange, key, arguments=arguments.pop("arguments", None))
    return name


def exchanges():
    """Each kind of exchange routes as it is to, alternates get what is left over, and cycles of links end."""
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    for kind in ("direct", "fanout", "topic", "headers"):
        channel.exchange_declare(f"x.{kind}", kind)
    direct, fanout = bound(channel, "x.direct", "k"), bound(channel, "x.fanout", "whatever")
    topic, anywhere = bound(channel, "x.topic", "a.*.c"), bound(channel, "x.topic", "a.#.z")
    match_all = bound(channel, "x.headers", arguments={"x-match": "all", "n": 1, "s": "x"})
    match_any = bound(channel, "x.headers", arguments={"x-match": "any", "n": 1, "s": "x"})
    for kind in ("direct", "fanout"):
        for key in ("k", "other"):
            channel.basic_publish(f"x.{kind}", key, key)
    assert bodies(channel, direct, 1) == ["k"] and bodies(channel, fanout, 2) == ["k", "other"]
    for key in ("a.b.c", "a.b.b.c", "a.z", "a.b.c.z"):
        channel.basic_publish("x.topic", key, key)
    assert bodies(channel, topic, 1) == ["a.b.c"] and bodies(channel, anywhere, 2) == ["a.z", "a.b.c.z"]
    for headers in ({"n": 1, "s": "x"}, {"n": 1, "s": "y"}, {"n": "1"}, {}):
        channel.basic_publish("x.headers", "", json.dumps(headers), pika.BasicProperties(headers=headers))
    assert bodies(channel, match_all, 1) == ['{"n": 1, "s": "x"}']
    assert bodies(channel, match_any, 2) == ['{"n": 1, "s": "x"}', '{"n": 1, "s": "y"}']
    # What nobody is bound for goes to the alternate.
    channel.exchange_declare("x.left", "fanout")
    channel.exchange_declare("x.main", "direct", arguments={"alternate-exchange": "x.left"})
    left, wanted = bound(channel, "x.left"), bound(channel, "x.main", "wanted")
    for key in ("wanted", "unwanted"):
        channel.basic_publish("x.main", key, key, mandatory=True)
    assert bodies(channel, wanted, 1) == ["wanted"] and bodies(channel, left, 1) == ["unwanted"]
    # One copy for each queue, however many ways lead there.
    channel.exchange_declare("x.one", "fanout")
    channel.exchange_declare("x.two", "fanout")
    channel.exchange_bind("x.one", "x.two")
    channel.exchange_bind("x.two", "x.one")
    both = bound(channel, "x.one")
    channel.queue_bind(both, "x.two")
    channel.basic_publish("x.two", "", "once")
    assert bodies(channel, both, 1) == ["once"]
    channel.exchange_unbind("x.one", "x.two")
    channel.exchange_unbind("x.two", "x.one")
    # A key stays where it is, and queues share keys by their weight.
    channel.exchange_declare("x.hash", "x-consistent-hash")
    light, heavy = bound(channel, "x.hash", "1"), bound(channel, "x.hash", "3")
    for number in range(2000):
        channel.basic_publish("x.hash", f"key {number % 1000}", str(number % 1000))
    counts = [channel.queue_declare(name, passive=True).method.message_count for name in (light, heavy)]
    keys = [Counter(bodies(channel, name, count)) for name, count in zip((light, heavy), counts)]
    assert sum(counts) == 2000 and not keys[0].keys() & keys[1].keys(), counts
    assert set(keys[0].values()) == set(keys[1].values()) == {2}
    assert 0.1 < counts[0] / 2000 < 0.45, counts
    connection.close()


def single_active():
    """One consumer at a time gets messages; when it is lost the next goes on with what it held."""
    first, second = connect(), connect()
    channels = [connection.channel() for connection in (first, second)]
    channels[0].queue_declare("sac", durable=True, arguments={"x-single-active-consumer": True})
    heard = [[], []]
    for place, channel in enumerate(channels):
        channel.basic_qos(prefetch_count=3)
        take = lambda _, method, __, body, place=place: heard[place].append((body.decode(), method.redelivered))
        channel.basic_consume("sac", take)
    publisher = connect()
    sender = publisher.channel()
    sender.confirm_delivery()
    for number in range(6):
        sender.basic_publish("", "sac", str(number), PERSISTENT)
    for connection in (first, second):
        connection.process_data_events(0.5)
    assert heard == [[("0", False), ("1", False), ("2", False)], []], heard
    # Without a good-bye.
    first._impl._transport._sock.shutdown(socket.SHUT_RDWR)
    until = time.monotonic() + PATIENCE
    while len(heard[1]) < 3 and time.monotonic() < until:
        second.process_data_events(0.1)
    assert heard[1] == [("0", True), ("1", True), ("2", True)], heard
    second.close()
    publisher.close()


def bounds():
    """Queues with bounds drop, refuse or hand on what is too much; queues that nobody uses end."""
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()

    def queue(**arguments):
        words = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
        return channel.queue_declare("", exclusive=True, arguments=words).method.queue

    dead = queue()
    to_dead = {"dead_letter_exchange": "", "dead_letter_routing_key": dead}
    for words, kept, lost in (
        ({"max_length": 2}, "cd", "ab"),
        ({"max_length_bytes": 3}, "bcd", "a"),
        ({"max_length": 2, "overflow": "reject-publish-dlx"}, "ab", "cd"),
    ):
        name = queue(**words, **to_dead)
        for body in "abcd":
            try:
                channel.basic_publish("", name, body)
            except pika.exceptions.NackError:
                assert "overflow" in words
        assert bodies(channel, name, len(kept), 0) == list(kept), words
        assert bodies(channel, dead, len(lost), 0) == list(lost), words
    levels = queue(max_priority=5)
    for body, level in (("a", 0), ("b", 5), ("c", 3), ("d", 5), ("e", 9)):
        channel.basic_publish("", levels, body, pika.BasicProperties(priority=level))
    assert bodies(channel, levels, 5, 0) == ["b", "d", "e", "c", "a"]
    channel.queue_declare("unused", arguments={"x-expires": 300})
    channel.queue_declare("unused", passive=True)
    time.sleep(1.5)
    try:
        channel.queue_declare("unused", passive=True)
        raise AssertionError("it is still there")
    except pika.exceptions.ChannelClosedByBroker as closed:
        assert closed.reply_code == 404
    connection.close()


def stream_begins():
    """A stream of far more than a segment of the journal; what is too much has gone from its beginning."""
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("log", durable=True, arguments={"x-queue-type": "stream", "x-max-length-bytes": 40_000_000})
    for number in range(4000):
        if number == 3000:
            time.sleep(2.1)
            open(sys.argv[3], "w").write(str(int(time.time())))
        channel.basic_publish("", "log", str(number).ljust(16_384), PERSISTENT)
    connection.close()


def stream_ends():
    """After a crash it is read from each kind of offset."""
    connection = connect()
    channel = connection.channel()
    channel.basic_qos(prefetch_count=500)

    def read(offset, count):
        found = []
        for method, properties, body in channel.consume(
            "log", arguments={"x-stream-offset": offset}, inactivity_timeout=PATIENCE if count else 0.5
        ):
            if method is None:
                break
            found.append((properties.headers["x-stream-offset"], int(body)))
            channel.basic_ack(method.delivery_tag)
            if found[-1][1] == 3999:
                break
        channel.cancel()
        return found

    everything = read("first", 1)
    numbers = [number for _, number in everything]
    assert numbers == list(range(numbers[0], 4000)) and 1500 < numbers[0] < 1700, (numbers[0], numbers[-1])
    places = [place for place, _ in everything]
    assert places == list(range(places[0], places[0] + len(places)))
    assert read("last", 1)[-1] == everything[-1]
    assert read("next", 0) == []
    assert read(places[1000], 1) == everything[1000:]
    since = read(pika_timestamp(int(open(sys.argv[3]).read())), 1)
    assert since == everything[-len(since) :] and 2900 < since[0][1] <= 3000, since[0]
    connection.close()


def pika_timestamp(seconds):
    from datetime import datetime, timezone

    return datetime.fromtimestamp(seconds, timezone.utc)


SECONDS = 6


def times_begins():
    """Messages with random delays and lifetimes, in random order, before a crash."""
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("late", durable=True)
    channel.queue_declare("gone", durable=True)
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "gone"}
    channel.queue_declare("short", durable=True, arguments=letters)
    channel.exchange_declare("x.later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"})
    channel.queue_bind("late", "x.later")
    for number in range(1000):
        span = random.randrange(1, SECONDS * 1000)
        due = f"{number} {time.time() + span / 1000}"
        if number % 2:
            properties = pika.BasicProperties(delivery_mode=2, expiration=str(span))
            channel.basic_publish("", "short", due, properties)
        else:
            channel.basic_publish("x.later", "", due, pika.BasicProperties(delivery_mode=2, headers={"x-delay": span}))
    connection.close()


def times_ends():
    """Each comes once it is due, and not before, though the broker was away meanwhile."""
    began, connection = time.time(), connect()
    channel = connection.channel()
    late = {}

    def take(_, method, __, body):
        # A dead letter that was on its way between workers when the broker was killed may come twice.
        number, due = body.split()
        late.setdefault(int(number), time.time() - max(float(due), began))
        channel.basic_ack(method.delivery_tag)

    for name in ("late", "gone"):
        channel.basic_consume(name, take)
    until = time.monotonic() + SECONDS + PATIENCE
    while len(late) < 1000 and time.monotonic() < until:
        connection.process_data_events(0.2)
    assert len(late) == 1000, len(late)
    by = sorted(late.values())
    # Not before its time, as far as two clocks go; how much after is the machine's business.
    assert by[0] > -0.05 and by[-1] < 5, (by[0], by[-1])
    assert channel.queue_declare("short", durable=True, passive=True).method.message_count == 0
    print(f"{by[500] * 1000:.1f} ms late in the middle, {by[-1] * 1000:.1f} ms at most", file=sys.stderr)
    connection.close()


SCENARIO = sys.argv[1]
globals()[SCENARIO]()
print(f"{SCENARIO}: ok")
