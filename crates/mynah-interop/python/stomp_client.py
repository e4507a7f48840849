"""stomp.py against the broker: `stomp_client.py PORT SCENARIO`. Says what it expects, and `SCENARIO: ok` at the end."""

import functools
import sys
import time

import stomp

import stomp_listening
from stomp_listening import CONNECTIONS, Heard

PORT = int(sys.argv[1])
connect = functools.partial(stomp_listening.connect, PORT)


def topics():
    """Every version sends and gets, with escapes, and with receipts."""
    for version in CONNECTIONS:
        connection, heard = connect(version)
        connection.subscribe("/topic/a.*.c", id="1", receipt="s")
        assert heard.receipts.get(timeout=5) == "s"
        value = "plain" if version == "1.0" else "a:b\\c\nd"
        connection.send("/topic/a.b.c", "ä" * 5000, headers={"k": value}, receipt="m")
        frame = heard.messages.get(timeout=5)
        assert frame.headers["destination"] == "/topic/a.b.c", frame.headers
        assert frame.headers["k"] == value, frame.headers
        assert frame.body == "ä" * 5000
        assert heard.receipts.get(timeout=5) == "m"
        connection.unsubscribe(id="1", receipt="u")
        assert heard.receipts.get(timeout=5) == "u"
        connection.send("/topic/a.b.c", "nobody", receipt="n")
        assert heard.receipts.get(timeout=5) == "n"
        assert heard.messages.empty()
        connection.disconnect(receipt="d")
        assert heard.receipts.get(timeout=5) == "d"


def order():
    """Thousands of messages, persistent ones with receipts, come in their order."""
    connection, heard = connect()
    connection.subscribe("/topic/numbers", id="1", receipt="s")
    heard.receipts.get(timeout=5)
    for number in range(3000):
        connection.send("/topic/numbers", str(number), headers={"persistent": "true"}, receipt=f"r{number}")
    for number in range(3000):
        assert heard.messages.get(timeout=10).body == str(number)
    assert {heard.receipts.get(timeout=10) for _ in range(3000)} == {f"r{n}" for n in range(3000)}
    connection.disconnect()


def heart_beats():
    """Both ends give signs of life, and a client that is silent loses its connection."""
    connection, heard = connect(heartbeats=(400, 400))
    time.sleep(3)
    assert connection.is_connected() and heard.beats >= 3, heard.beats
    connection.disconnect()


def by_websocket():
    """The same by WebSocket, whose messages are text on the way in and binary on the way out."""
    offer = {"Sec-WebSocket-Protocol": "v12.stomp"}
    connection = stomp.WSStompConnection([("127.0.0.1", PORT)], ws_path="/ws", header=offer)
    heard = Heard()
    connection.set_listener("", heard)
    connection.connect(wait=True)
    connection.subscribe("/topic/ws", id="1", receipt="s")
    assert heard.receipts.get(timeout=5) == "s"
    connection.send("/topic/ws", "ä" * 70000, receipt="m")
    assert heard.messages.get(timeout=5).body == "ä" * 70000
    assert heard.receipts.get(timeout=5) == "m"
    connection.disconnect()


def wrong():
    """An error says why, names the receipt, and ends the connection."""
    connection, heard = connect()
    connection.send("/nowhere/a", "x", receipt="r")
    frame = heard.errors.get(timeout=5)
    assert frame.headers["message"] == "destination not usable here", frame.headers
    assert frame.headers["receipt-id"] == "r" and frame.headers["x-header"] == "destination"
    assert heard.ends.get(timeout=5)


def passwords():
    """Whoever has no password stays outside."""
    connection, heard = connect(login="alice", passcode="secret")
    connection.send("/topic/a", "x", receipt="r")
    assert heard.receipts.get(timeout=5) == "r"
    connection.disconnect()
    for login, passcode in [("alice", "wrong"), (None, None)]:
        try:
            _, heard = connect(login=login, passcode=passcode)
        except stomp.exception.ConnectFailedException:
            continue
        raise AssertionError("let in")


def denied():
    """What a rule forbids is an error."""
    connection, heard = connect()
    connection.send("/topic/secret.a", "x", receipt="r")
    frame = heard.errors.get(timeout=5)
    assert frame.headers["message"] == "access denied", frame.headers
    assert heard.ends.get(timeout=5)
    connection, heard = connect()
    connection.subscribe("/topic/secret.#", id="1", receipt="s")
    assert heard.errors.get(timeout=5).headers["receipt-id"] == "s"


SCENARIO = sys.argv[2]
{f.__name__: f for f in (topics, order, heart_beats, by_websocket, wrong, passwords, denied)}[SCENARIO]()
print(f"{SCENARIO}: ok")
