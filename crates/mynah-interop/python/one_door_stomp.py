"""Logs in with stomp.py over TLS and tells what came of it: as `one_door.py`, with the same lines, of which the version and the
transport say nothing. Topics are in MQTT's spelling.

The answers are the command of the broker's frame, or the message of its ERROR.
"""

import queue
import sys
from concurrent.futures import ThreadPoolExecutor

try:
    import stomp
except ImportError:
    sys.exit(f"{sys.executable} has no stomp.py: set MYNAH_PYTHON to an interpreter that has it, or let "
             "`cargo xtask test interop` install it")

PATIENCE = 20
AT_A_TIME = 8


class Door(stomp.ConnectionListener):
    """A client, new for each question: a refusal ends its connection."""

    def __init__(self, port, ca, keys):
        self.answers = queue.Queue()
        host = [("localhost", int(port))]
        self.connection = stomp.Connection12(host, reconnect_attempts_max=1)
        self.connection.set_ssl(host, key_file=keys.get("key"), cert_file=keys.get("certificate"), ca_certs=ca)
        self.connection.set_listener("", self)
        try:
            self.connection.connect(keys.get("user"), keys.get("password"))
        except stomp.exception.ConnectFailedException:
            self.answers.put("no connection")

    def on_connected(self, frame):
        self.answers.put(frame.cmd)

    def on_receipt(self, frame):
        self.answers.put(frame.cmd)

    def on_error(self, frame):
        self.answers.put(frame.headers["message"])

    def on_disconnected(self):
        self.answers.put("no connection")

    def answer(self):
        return self.answers.get(timeout=PATIENCE)

    def close(self):
        if self.connection.is_connected():
            self.connection.disconnect()


def answers(ca, line):
    """What one client is answered."""
    port, _, _, *pairs = line.rstrip("\n").split("\t")
    keys = dict(pair.split("=", 1) for pair in pairs)
    destination = lambda key: "/topic/" + keys[key].replace("/", ".")
    door = Door(port, ca, keys)
    told = [door.answer()]
    door.close()
    if told != ["CONNECTED"]:
        return told
    for ask in (
        lambda connection: connection.send(destination("allowed"), "x", retain="true", receipt="1"),
        lambda connection: connection.send(destination("denied"), "x", retain="true", receipt="1"),
        lambda connection: connection.subscribe(destination("hidden"), id="1", receipt="1"),
    ):
        door = Door(port, ca, keys)
        assert door.answer() == "CONNECTED"
        ask(door.connection)
        told.append(door.answer())
        door.close()
    return told


def main():
    # Most of the time is spent waiting.
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for told in pool.map(lambda line: answers(sys.argv[1], line), sys.stdin.readlines()):
            print("\t".join(told))


main()
