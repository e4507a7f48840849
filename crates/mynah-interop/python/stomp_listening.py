"""What the scripts with stomp.py share: connections of each version, and a listener that keeps what comes."""

import queue

import stomp

CONNECTIONS = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}


class Heard(stomp.ConnectionListener):
    """Keeps what comes."""

    def __init__(self):
        self.messages, self.receipts = queue.Queue(), queue.Queue()
        self.errors, self.ends, self.beats = queue.Queue(), queue.Queue(), 0

    def on_message(self, frame):
        self.messages.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.errors.put(frame)

    def on_disconnected(self):
        self.ends.put(True)

    def on_heartbeat(self):
        self.beats += 1

    def receipt(self, name):
        """Waits for this receipt, which has to be the next."""
        try:
            told = self.receipts.get(timeout=10)
        except queue.Empty:
            told = [(frame.headers, frame.body) for frame in self.errors.queue]
        assert told == name, (told, name)

    def message(self):
        return self.messages.get(timeout=10)

    def bodies(self, count):
        return [self.message().body for _ in range(count)]

    def silence(self, seconds=0.3):
        """Nothing more comes."""
        try:
            frame = self.messages.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(frame)


def connect(port, version="1.2", login=None, passcode=None, headers=None, **more):
    connection = CONNECTIONS[version]([("127.0.0.1", port)], **more)
    heard = Heard()
    connection.set_listener("", heard)
    connection.connect(login, passcode, wait=True, headers=headers)
    return connection, heard


def leave(connection, heard):
    """Takes leave; all that was said before has been done then."""
    connection.disconnect(receipt="leave")
    heard.receipt("leave")


def acknowledge(connection, frame, version, refuses=False, **more):
    """Acknowledges a message, or refuses it, as each version does."""
    headers = frame.headers
    act = connection.nack if refuses else connection.ack
    if version == "1.2":
        act(headers["ack"], **more)
    elif version == "1.1":
        act(headers["message-id"], headers["subscription"], **more)
    else:
        connection.ack(headers["message-id"], **more)
