"""Logs in with stomp.py over TLS and tells what came of it: as `one_door.py`, with the same arguments, of which the version and
the transport say nothing. Topics are in MQTT's spelling.

Prints the command of the broker's answer, or the message of its ERROR.
"""

import queue
import sys

try:
    import stomp
except ImportError:
    sys.exit(f"{sys.executable} has no stomp.py: set MYNAH_PYTHON to an interpreter that has it, or let "
             "`cargo xtask test interop` install it")

PATIENCE = 20


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


def main():
    port, ca, keys = sys.argv[1], sys.argv[4], dict(pair.split("=", 1) for pair in sys.argv[5:])
    destination = lambda key: "/topic/" + keys[key].replace("/", ".")
    door = Door(port, ca, keys)
    login = door.answer()
    print("login:", login)
    door.close()
    if login != "CONNECTED":
        return
    for key, ask in {
        "allowed": lambda connection: connection.send(destination("allowed"), "x", receipt="1"),
        "denied": lambda connection: connection.send(destination("denied"), "x", receipt="1"),
        "hidden": lambda connection: connection.subscribe(destination("hidden"), id="1", receipt="1"),
    }.items():
        door = Door(port, ca, keys)
        assert door.answer() == "CONNECTED"
        ask(door.connection)
        print(f"{key}:", door.answer())
        door.close()


main()
