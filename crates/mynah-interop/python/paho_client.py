"""Scenarios of an MQTT 3.1.1 client, with paho-mqtt: python3 paho_client.py PORT SCENARIO [TRANSPORT [CA]]

TRANSPORT is "tcp" or "websockets"; with CA, the file of an authority, it is over TLS.

Prints "SCENARIO: ok", or fails with a traceback. The broker is on 127.0.0.1 and lets everybody in. Nothing is waited
for by time: each step waits, at most PATIENCE seconds, for what it needs.
"""

import queue
import socket
import sys

try:
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion
except ImportError:
    sys.exit(f"{sys.executable} has no paho-mqtt 2: run `pip install paho-mqtt==2.1.0` for it, set MYNAH_PYTHON to "
             "an interpreter that has it, or let `cargo xtask test interop` do both")

HOST = "127.0.0.1"
TRANSPORT = sys.argv[3] if len(sys.argv) > 3 else "tcp"
CA = sys.argv[4] if len(sys.argv) > 4 else ""
PATIENCE = 20


class Client:
    """A client whose callbacks end up in queues."""

    def __init__(self, port, client_id, clean_session=True, keepalive=60, will=None):
        self.connected, self.disconnected = queue.Queue(), queue.Queue()
        self.subscribed, self.published = queue.Queue(), queue.Queue()
        self.messages, self.log = queue.Queue(), queue.Queue()
        self.paho = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, clean_session, protocol=mqtt.MQTTv311,
                                transport=TRANSPORT)
        if CA:
            self.paho.tls_set(CA)
        self.paho.max_queued_messages_set(0)
        self.paho.on_connect = lambda c, u, flags, reason, p: self.connected.put((flags.session_present, reason.value))
        self.paho.on_disconnect = lambda c, u, flags, reason, p: self.disconnected.put(flags.is_disconnect_packet_from_server)
        self.paho.on_subscribe = lambda c, u, mid, reasons, p: self.subscribed.put([r.value for r in reasons])
        self.paho.on_publish = lambda c, u, mid, reason, p: self.published.put(mid)
        self.paho.on_message = lambda c, u, m: self.messages.put((m.topic, m.payload, m.qos, m.retain))
        self.paho.on_log = lambda c, u, level, text: self.log.put(text)
        if will:
            self.paho.will_set(**will)
        self.paho.connect("localhost" if CA else HOST, port, keepalive)
        self.paho.loop_start()
        self.session_present, code = self.connected.get(timeout=PATIENCE)
        assert code == 0, code

    def subscribe(self, *filters):
        """Subscribes to pairs of filter and QoS, and returns the broker's answers."""
        self.paho.subscribe(list(filters))
        return self.subscribed.get(timeout=PATIENCE)

    def publish(self, topic, payload, qos, retain=False):
        self.paho.publish(topic, payload, qos, retain).wait_for_publish(PATIENCE)

    def message(self):
        return self.messages.get(timeout=PATIENCE)

    def log_line(self, wanted):
        while wanted not in self.log.get(timeout=PATIENCE):
            pass

    def disconnect(self):
        self.paho.disconnect()
        self.disconnected.get(timeout=PATIENCE)
        self.paho.loop_stop()

    def break_off(self):
        """Closes the socket without DISCONNECT, and does not come back."""
        self.paho.loop_stop()
        self.paho.socket().close()


def order(port):
    """1,000 messages of each QoS, from each of two clients to both and to a third, in order and without loss."""
    clients = [Client(port, f"order-{name}") for name in ("one", "two", "three")]
    for client in clients:
        assert client.subscribe(("order/#", 2)) == [2]
    count, senders = 1000, clients[:2]
    for qos in (0, 1, 2):
        for number in range(count):
            for index, sender in enumerate(senders):
                sender.paho.publish(f"order/{index}", b"%d" % number, qos)
        for client in clients:
            expected = [0] * len(senders)
            for _ in range(count * len(senders)):
                topic, payload, got_qos, _ = client.message()
                sender = int(topic.split("/")[1])
                assert (int(payload), got_qos) == (expected[sender], qos), (topic, payload, got_qos, expected, qos)
                expected[sender] += 1
        for sender in senders:
            for _ in range(count):
                sender.published.get(timeout=PATIENCE)
    # What came twice would be here by now: order is kept between it and these.
    senders[0].publish("order/0", "end", 2)
    for client in clients:
        assert client.message()[1] == b"end" and client.messages.empty()
        client.disconnect()


def take_over(port):
    """A second connection with the same client identifier ends the first and has its session."""
    first = Client(port, "twin", clean_session=False)
    assert not first.session_present
    first.subscribe(("twin", 1))
    first.paho.on_connect = None
    first.paho.reconnect_delay_set(PATIENCE, PATIENCE)
    second = Client(port, "twin", clean_session=False)
    first.disconnected.get(timeout=PATIENCE)
    first.paho.loop_stop()
    assert second.session_present
    publisher = Client(port, "publisher")
    publisher.publish("twin", "to the second", 1)
    assert second.message() == ("twin", b"to the second", 1, False)
    assert first.messages.empty()
    publisher.disconnect()
    second.disconnect()


def retained(port):
    """A retained message is set, replaced and cleared; what is live is not flagged as retained."""
    live = Client(port, "live")
    live.subscribe(("state/#", 1))
    publisher = Client(port, "publisher")
    for payload, qos in (("1", 0), ("2", 1), ("3", 2)):
        publisher.publish("state/a", payload, qos, retain=True)
    for payload, qos in ((b"1", 0), (b"2", 1), (b"3", 1)):
        assert live.message() == ("state/a", payload, qos, False)
    late = Client(port, "late")
    late.subscribe(("state/+", 2))
    assert late.message() == ("state/a", b"3", 2, True)
    publisher.publish("state/a", b"", 1, retain=True)
    assert late.message() == ("state/a", b"", 1, False)
    latest = Client(port, "latest")
    latest.subscribe(("state/#", 1))
    publisher.publish("state/end", "end", 1)
    assert latest.message() == ("state/end", b"end", 1, False)
    for client in (live, publisher, late, latest):
        client.disconnect()


def persistent_session(port):
    """What was published meanwhile is there after a reconnection; QoS 0 need not be."""
    subscriber = Client(port, "sleeper", clean_session=False)
    subscriber.subscribe(("night/#", 2))
    subscriber.break_off()
    publisher = Client(port, "publisher")
    for number in range(100):
        publisher.publish("night/1", b"%d" % number, 1)
        publisher.publish("night/2", b"%d" % number, 2)
    subscriber = Client(port, "sleeper", clean_session=False)
    assert subscriber.session_present
    found = {1: [], 2: []}
    while len(found[1]) + len(found[2]) < 200:
        topic, payload, qos, _ = subscriber.message()
        assert topic == f"night/{qos}"
        found[qos].append(int(payload))
    assert found[1] == found[2] == list(range(100)), found
    subscriber.disconnect()
    assert not Client(port, "sleeper", clean_session=True).session_present
    publisher.disconnect()


def keep_alive(port):
    """A client that pings stays; one that has gone silent is closed, and its will is published."""
    # paho looks at the clock once a second: with a short interval it pings too late.
    lively = Client(port, "lively", keepalive=4)
    lively.subscribe(("wills", 1))
    silent = socket.create_connection((HOST, port), PATIENCE)
    silent.sendall(b"\x10\x1c\x00\x04MQTT\x04\x06\x00\x01\x00\x06silent\x00\x05wills\x00\x01x")
    assert silent.recv(4) == b"\x20\x02\x00\x00"
    lively.log_line("Received PINGRESP")
    assert silent.recv(1) == b""
    assert lively.message() == ("wills", b"x", 0, False)
    lively.log_line("Received PINGRESP")
    assert lively.disconnected.empty()
    lively.disconnect()


def will(port):
    """A lost client leaves its will, one that takes leave does not."""
    witness = Client(port, "witness")
    witness.subscribe(("wills/#", 2))
    Client(port, "polite", will={"topic": "wills/polite", "payload": "x", "qos": 1}).disconnect()
    Client(port, "lost", will={"topic": "wills/lost", "payload": "y", "qos": 2}).break_off()
    assert witness.message() == ("wills/lost", b"y", 2, False)
    witness.disconnect()


def refused_subscription(port):
    """One filter of several is refused, and the others are served. The broker forbids secret/#."""
    client = Client(port, "curious")
    assert client.subscribe(("open/a", 1), ("secret/plan", 1), ("open/b", 2)) == [1, 128, 2]
    client.publish("secret/plan", "x", 1)
    client.publish("open/b", "y", 1)
    assert client.message() == ("open/b", b"y", 1, False)
    client.disconnect()


if __name__ == "__main__":
    scenarios = {f.__name__: f for f in (order, take_over, retained, persistent_session, keep_alive, will,
                                         refused_subscription)}
    if len(sys.argv) not in (3, 4, 5) or sys.argv[2] not in scenarios:
        sys.exit(f"{__doc__}\nScenarios: {', '.join(scenarios)}")
    scenarios[sys.argv[2]](int(sys.argv[1]))
    print(f"{sys.argv[2]}: ok")
