"""Runs the client tests of Eclipse's paho.mqtt.testing against a broker that is running:

    python3 paho_testing.py CHECKOUT PORT [LEVEL] [TEST...]

CHECKOUT is a clone of github.com/eclipse/paho.mqtt.testing, whose interoperability tests are used where they are: with
LEVEL 4 (the default) client_test.py for MQTT 3.1.1, its ten tests and will_message_test, which its own main program
leaves out because of its name; with LEVEL 5 client_test5.py for MQTT 5.0. Names of tests after the level run these
alone. The broker listens on PORT of this machine, lets everybody in, refuses subscriptions to test/nosubscribe with
0x80, and keeps nothing of an earlier run: start it anew. For MQTT 5.0 it also caps the keep-alive at 60 seconds, and
its Receive Maximum is small: test_flow_control2 sends one message more.

Prints the verdict of each test, then "PASSED of TOTAL".
"""

import importlib
import os
import sys
import unittest
from pathlib import Path

# What the main program of each suite sets before it runs its tests.
SETTINGS = {
    "topics": ("TopicA", "TopicA/B", "Topic/C", "TopicA/C", "/TopicA"),
    "wildtopics": ("TopicA/+", "+/C", "#", "/#", "/+", "+/+", "TopicA/#"),
    "nosubscribe_topics": ("test/nosubscribe",),
    "topic_prefix": "client_test5/",
}

# The module of each protocol level, and the tests that its names hide.
SUITES = {4: ("client_test", ["will_message_test"]), 5: ("client_test5", [])}


def main(checkout, port, level, names):
    module, hidden = SUITES[level]
    folder = (Path(checkout) / "interoperability").resolve()
    if not (folder / f"{module}.py").is_file():
        sys.exit(f"{folder} has no {module}.py: is {checkout} a clone of paho.mqtt.testing?")
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    suite = importlib.import_module(module)

    for name, value in {**SETTINGS, "host": "127.0.0.1", "port": port}.items():
        setattr(suite, name, value)
    if not names:
        names = [name for name in dir(suite.Test) if name.startswith("test")] + hidden
    tests = unittest.TestSuite(suite.Test(name) for name in names)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(tests)
    print(f"{result.testsRun - len(result.failures) - len(result.errors)} of {len(names)}")
    return result.wasSuccessful()


if __name__ == "__main__":
    wanted = sys.argv[3] if len(sys.argv) > 3 else "4"
    if len(sys.argv) < 3 or not wanted.isdecimal() or int(wanted) not in SUITES:
        sys.exit(__doc__)
    sys.exit(0 if main(sys.argv[1], int(sys.argv[2]), int(wanted), sys.argv[4:]) else 1)
