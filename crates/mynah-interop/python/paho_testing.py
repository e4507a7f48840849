"""Runs the client tests of Eclipse's paho.mqtt.testing against a broker that is running:

    python3 paho_testing.py CHECKOUT PORT

CHECKOUT is a clone of github.com/eclipse/paho.mqtt.testing, whose interoperability/client_test.py is used where it is:
its ten tests, and will_message_test, which its own main program leaves out because of its name. The broker listens on
PORT of this machine, lets everybody in, refuses subscriptions to test/nosubscribe, and keeps nothing of an earlier
run: start it anew.

Prints the verdict of each test, then "PASSED of TOTAL".
"""

import os
import sys
import unittest
from pathlib import Path

# What the suite's main program sets before it runs its tests.
SETTINGS = {
    "topics": ("TopicA", "TopicA/B", "Topic/C", "TopicA/C", "/TopicA"),
    "wildtopics": ("TopicA/+", "+/C", "#", "/#", "/+", "+/+", "TopicA/#"),
    "nosubscribe_topics": ("test/nosubscribe",),
}


def main(checkout, port):
    folder = (Path(checkout) / "interoperability").resolve()
    if not (folder / "client_test.py").is_file():
        sys.exit(f"{folder} has no client_test.py: is {checkout} a clone of paho.mqtt.testing?")
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    import client_test

    for name, value in {**SETTINGS, "host": "127.0.0.1", "port": port}.items():
        setattr(client_test, name, value)
    names = [name for name in dir(client_test.Test) if name.startswith("test")] + ["will_message_test"]
    tests = unittest.TestSuite(client_test.Test(name) for name in names)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(tests)
    print(f"{result.testsRun - len(result.failures) - len(result.errors)} of {len(names)}")
    return result.wasSuccessful()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(0 if main(sys.argv[1], int(sys.argv[2])) else 1)
