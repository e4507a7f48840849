"""Logs in with paho-mqtt and tells what came of it: python3 logins.py PORT VERSION TRANSPORT [KEY=VALUE ...]

VERSION is "3.1.1" or "5.0", TRANSPORT "tcp" or "websockets". The keys are `ca`, the authority of a broker with TLS; `name`, the
name of the host that TLS is to ask for, whatever the certificate says; `user` and `password` for CONNECT; or, for MQTT 5.0, `mechanism`, OAUTHBEARER with
`token` and `authzid`, or PLAIN with `user` and `password`; `again`, a token to be shown in a second exchange once the first
is over; `publish` and `payload`, a value to be retained; `subscribe`, a filter whose messages are told; `stay`, for how many seconds the connection has to last then; `end`, that its end is waited for.

Prints a line for each: "login: ANSWER", "again: ANSWER", "published", "subscribed", "message: TOPIC PAYLOAD", "stayed",
"end: REASON".
"""

import queue
import socket
import sys

try:
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
except ImportError:
    sys.exit(f"{sys.executable} has no paho-mqtt 2: set MYNAH_PYTHON to an interpreter that has it, or let "
             "`cargo xtask test interop` install it")

PATIENCE = 20
AUTH = 0xF0
SUCCESS, GO_ON, AGAIN = 0x00, 0x18, 0x19


class Client(mqtt.Client):
    """paho-mqtt with the packet AUTH, which it does not have."""

    answers = None
    mechanism = None

    def _create_socket_connection(self):
        # Whatever the name of the host is, the broker is here.
        return socket.create_connection(("localhost", self._port), timeout=PATIENCE)

    def say(self, reason, data):
        properties = Properties(PacketTypes.AUTH)
        properties.AuthenticationMethod = self.mechanism
        properties.AuthenticationData = data
        packed = bytes([reason]) + properties.pack()
        length, head = len(packed), bytearray([AUTH])
        while True:
            length, rest = divmod(length, 128)
            head.append(rest | (0x80 if length else 0))
            if not length:
                break
        return self._packet_queue(AUTH, bytes(head) + packed, 0, 0)

    def _packet_handle(self):
        if self._in_packet["command"] & 0xF0 != AUTH:
            return super()._packet_handle()
        reason = self._in_packet["packet"][0]
        if reason == GO_ON:
            # Who is told why it fails says that it has heard (RFC 7628, section 3.2.3).
            return self.say(GO_ON, b"\x01")
        self.answers.put("Success" if reason == SUCCESS else f"{reason:#x}")
        return mqtt.MQTT_ERR_SUCCESS


def bearer(token, authzid=""):
    header = f"n,a={authzid}," if authzid else "n,,"
    return f"{header}\x01auth=Bearer {token}\x01\x01".encode()


def message(keys):
    if keys["mechanism"] == "PLAIN":
        return f"\0{keys['user']}\0{keys['password']}".encode()
    return bearer(keys["token"], keys.get("authzid", ""))


def main():
    port, version, transport = sys.argv[1:4]
    keys = dict(pair.split("=", 1) for pair in sys.argv[4:])
    protocol = {"3.1.1": mqtt.MQTTv311, "5.0": mqtt.MQTTv5}[version]
    client = Client(CallbackAPIVersion.VERSION2, keys.get("id", ""), protocol=protocol, transport=transport)
    client.answers, ends = queue.Queue(), queue.Queue()
    properties = None
    if "ca" in keys:
        client.tls_set(keys["ca"])
        client.tls_insecure_set("name" in keys)
    if "mechanism" in keys:
        client.mechanism = keys["mechanism"]
        properties = Properties(PacketTypes.CONNECT)
        properties.AuthenticationMethod = client.mechanism
        properties.AuthenticationData = message(keys)
    elif "user" in keys:
        client.username_pw_set(keys["user"], keys.get("password"))
    client.on_connect = lambda c, u, flags, reason, p: client.answers.put(reason.getName())
    client.on_disconnect = lambda c, u, flags, reason, p: ends.put(reason.getName())
    client.on_publish = lambda c, u, mid, reason, p: client.answers.put("published")
    client.on_subscribe = lambda c, u, mid, reasons, p: client.answers.put("subscribed")
    client.on_message = lambda c, u, m: print("message:", m.topic, m.payload.decode(), flush=True)
    client.connect(keys.get("name", "localhost"), int(port), properties=properties)
    client.loop_start()
    login = client.answers.get(timeout=PATIENCE)
    print("login:", login, flush=True)
    if login != "Success":
        return
    if "again" in keys:
        client.say(AGAIN, bearer(keys["again"]))
        print("again:", client.answers.get(timeout=PATIENCE), flush=True)
    if "publish" in keys:
        client.publish(keys["publish"], keys["payload"], 1, True)
        print(client.answers.get(timeout=PATIENCE), flush=True)
    if "subscribe" in keys:
        client.subscribe(keys["subscribe"], 1)
        print(client.answers.get(timeout=PATIENCE), flush=True)
    if "stay" in keys:
        try:
            print("end:", ends.get(timeout=float(keys["stay"])), flush=True)
            return
        except queue.Empty:
            print("stayed", flush=True)
    if "end" in keys:
        print("end:", ends.get(timeout=PATIENCE), flush=True)


main()
