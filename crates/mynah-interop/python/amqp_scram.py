"""SCRAM-SHA-256 (RFC 7677) over AMQP 0-9-1: `amqp_scram.py PORT USER PASSWORD`. No client that is published does this by itself: the
frames are pika's, the arithmetic is that of Python's library. Says what became of it: `open`, or `refused CODE`."""

import base64
import hashlib
import hmac
import secrets
import socket
import sys

from pika import frame, spec

PORT, USER, PASSWORD = int(sys.argv[1]), sys.argv[2], sys.argv[3]
PROPERTIES = {"capabilities": {"authentication_failure_close": True}}


class Connection:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", PORT), 10)
        self.socket.sendall(frame.ProtocolHeader().marshal())
        self.input = b""

    def say(self, method):
        self.socket.sendall(frame.Method(0, method).marshal())

    def hear(self):
        while True:
            taken, heard = frame.decode_frame(self.input)
            if heard:
                self.input = self.input[taken:]
                return heard.method
            more = self.socket.recv(4096)
            assert more, "the broker has closed"
            self.input += more


def sign(key, text):
    return hmac.digest(key, text, "sha256")


def answer(first, challenge):
    """The last message of the client, and the signature that the broker has to know."""
    said = dict(part.split("=", 1) for part in challenge.decode().split(","))
    assert said["r"].startswith(first.rpartition("r=")[2]), challenge
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), base64.b64decode(said["s"]), int(said["i"]))
    key = sign(salted, b"Client Key")
    bare = f"c=biws,r={said['r']}"
    text = ",".join((first.removeprefix("n,,"), challenge.decode(), bare)).encode()
    proof = bytes(a ^ b for a, b in zip(key, sign(hashlib.sha256(key).digest(), text)))
    signature = base64.b64encode(sign(sign(salted, b"Server Key"), text))
    return f"{bare},p={base64.b64encode(proof).decode()}".encode(), b"v=" + signature


def main():
    connection = Connection()
    start = connection.hear()
    assert b"SCRAM-SHA-256" in start.mechanisms.split(), start.mechanisms
    first = f"n,,n={USER},r={secrets.token_urlsafe(18)}"
    connection.say(spec.Connection.StartOk(PROPERTIES, "SCRAM-SHA-256", first, "en_US"))
    heard = connection.hear()
    expected = None
    while isinstance(heard, spec.Connection.Secure):
        challenge = heard.challenge if isinstance(heard.challenge, bytes) else heard.challenge.encode()
        if challenge.startswith(b"v="):
            assert challenge == expected, (challenge, expected)
            connection.say(spec.Connection.SecureOk(""))
        else:
            last, expected = answer(first, challenge)
            connection.say(spec.Connection.SecureOk(last))
        heard = connection.hear()
    if isinstance(heard, spec.Connection.Close):
        print(f"refused {heard.reply_code}")
        return
    assert isinstance(heard, spec.Connection.Tune), heard
    connection.say(spec.Connection.TuneOk(heard.channel_max, heard.frame_max, 0))
    connection.say(spec.Connection.Open("/"))
    assert isinstance(connection.hear(), spec.Connection.OpenOk)
    print("open")


main()
