"""Logs in with paho-mqtt over TLS and tells what came of it: python3 one_door.py CA, the file of the broker's authority

Each line that comes in is one client: PORT VERSION TRANSPORT [KEY=VALUE ...], separated by tabs. VERSION is "3.1.1" or "5.0",
TRANSPORT "tcp" or "websockets". The keys are `user`, `password`, `certificate` and `key`, the client's own files, `allowed` and
`denied`, topics to publish to, and `hidden`, a filter to subscribe to.

For each a line comes back, in their order and separated by tabs: what the broker answers to CONNECT, and, if that is
success, what it answers to the other three.
"""

import queue
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

try:
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion
except ImportError:
    sys.exit(f"{sys.executable} has no paho-mqtt 2: set MYNAH_PYTHON to an interpreter that has it, or let "
             "`cargo xtask test interop` install it")

PATIENCE = 20
AT_A_TIME = 8


class Door:
    """A client, new for each question: a refusal may end its connection."""

    def __init__(self, port, version, transport, ca, keys):
        self.answers = queue.Queue()
        protocol = {"3.1.1": mqtt.MQTTv311, "5.0": mqtt.MQTTv5}[version]
        self.paho = mqtt.Client(CallbackAPIVersion.VERSION2, "", protocol=protocol, transport=transport)
        self.paho.tls_set(ca, keys.get("certificate"), keys.get("key"))
        if "user" in keys:
            self.paho.username_pw_set(keys["user"], keys.get("password"))
        self.paho.on_connect = lambda c, u, flags, reason, p: self.answers.put(reason.getName())
        self.paho.on_disconnect = lambda c, u, flags, reason, p: self.answers.put("connection closed")
        self.paho.on_publish = lambda c, u, mid, reason, p: self.answers.put(reason.getName())
        self.paho.on_subscribe = lambda c, u, mid, reasons, p: self.answers.put(reasons[0].getName())
        try:
            self.paho.connect("localhost", int(port))
        except (ssl.SSLError, ConnectionError):
            self.answers.put("no connection")
            return
        self.paho.loop_start()

    def answer(self):
        return self.answers.get(timeout=PATIENCE)

    def close(self):
        self.paho.disconnect()
        self.paho.loop_stop()


def answers(ca, line):
    """What one client is answered."""
    port, version, transport, *pairs = line.rstrip("\n").split("\t")
    where, keys = (port, version, transport, ca), dict(pair.split("=", 1) for pair in pairs)
    door = Door(*where, keys)
    login = door.answer()
    door.close()
    if login != "Success":
        # What refuses a certificate in TLS 1.3 comes after the handshake.
        return ["no connection" if login == "connection closed" else login]
    told = [login]
    for ask in (
        lambda paho: paho.publish(keys["allowed"], "x", 1, True),
        lambda paho: paho.publish(keys["denied"], "x", 1, True),
        lambda paho: paho.subscribe(keys["hidden"], 1),
    ):
        door = Door(*where, keys)
        assert door.answer() == "Success"
        ask(door.paho)
        told.append(door.answer())
        door.close()
    return told


def main():
    # Most of the time is spent waiting.
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for told in pool.map(lambda line: answers(sys.argv[1], line), sys.stdin.readlines()):
            print("\t".join(told))


main()
