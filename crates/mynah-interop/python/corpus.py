"""Runs Mosquitto's corpus of packet sequences against a broker that is running:

    python3 corpus.py CHECKOUT PORT [LEVEL]

CHECKOUT is a clone of github.com/eclipse-mosquitto/mosquitto, whose test/broker/data/*.json is the corpus and whose
test/broker/msg_sequence_test.py knows what its lines mean; both are used where they are. The broker listens on PORT of
this machine, lets everybody in, and keeps nothing of an earlier run: start it anew. LEVEL is the protocol level: 4
(the default) is MQTT 3.1.1, 3 is 3.1, 5 is 5.0, and "all" is each of them.

Prints each case that failed with its reason, "PASSED of TOTAL" for each file that has cases of the level, and then for
all of them. Succeeds if it has run all, whatever they came to.
"""

import json
import os
import sys
from pathlib import Path

TIMEOUT_S = 2


def cases(path, levels):
    """The enabled cases of a file: level, name, case, and a look-up that falls back to the case's group."""
    for group in json.loads(path.read_text()):
        if group.get("disable"):
            continue
        for case in group["tests"]:
            def setting(key, default, case=case, group=group):
                return case.get(key, group.get(key, default))
            level = setting("ver", 4)
            if level in levels:
                yield level, f"{group['group']}: {case['name']}", case, setting


def sequence(suite, level, name, case, setting, port):
    """The suite's own object for a case. The name of a case is the client identifier of its connection."""
    made = suite.MsgSequence(name.replace(": ", " "), port=port, proto_ver=level,
                             default_connect=setting("connect", True),
                             expect_disconnect=setting("expect_disconnect", True))
    for message in case["msgs"]:
        kind, comment = message["type"], message.get("comment", "")
        if kind == "send":
            made.add_send(suite.parse_message(message["payload"]))
        elif kind == "recv":
            made.add_recv(suite.parse_message(message["payload"]), comment)
        else:
            getattr(made, f"add_{kind}")(message, comment)
    return made


def failure(suite, made, port):
    """Plays a case. Returns why it failed, or None."""
    socket = suite.mosq_test.client_connect_only(hostname="127.0.0.1", port=port, timeout=TIMEOUT_S, protocol="mqtt")
    try:
        made.process_all(socket)
    except (Exception, SystemExit) as error:  # The suite leaves by either.
        return f"{type(error).__name__}: {error}".replace("\n", " ")
    finally:
        socket.close()
    return None


def main(checkout, port, levels):
    folder = (Path(checkout) / "test" / "broker").resolve()
    if not (folder / "msg_sequence_test.py").is_file():
        sys.exit(f"{folder} has no msg_sequence_test.py: is {checkout} a clone of Mosquitto of 2025 or later?")
    os.chdir(folder)
    sys.path[:0] = [str(folder), str(folder.parent)]
    import msg_sequence_test as suite

    passed_of_all = total_of_all = 0
    for path in sorted((folder / "data").glob("*.json")):
        passed = total = 0
        for level, name, case, setting in cases(path, levels):
            total += 1
            why = failure(suite, sequence(suite, level, name, case, setting, port), port)
            if why is None:
                passed += 1
            else:
                print(f"{path.name}: {name}\n    {why}", flush=True)
        if total:
            print(f"{path.name}: {passed} of {total}", flush=True)
        passed_of_all += passed
        total_of_all += total
    print(f"{passed_of_all} of {total_of_all}")


if __name__ == "__main__":
    wanted = sys.argv[3] if len(sys.argv) == 4 else "4"
    if len(sys.argv) not in (3, 4) or wanted not in ("3", "4", "5", "all"):
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]), (3, 4, 5) if wanted == "all" else (int(wanted),))
