"""The cases of the Autobahn test suite against the broker's framing: python3 autobahn.py PROGRAM [CASES...]

PROGRAM is the example websocket_echo of mynah-interop. The cases are driven by kosoku; those of compression
(permessage-deflate, 12.* and 13.*) are left out, because the broker does not offer that extension. Prints each case
that is not as it should be, and at last "N cases, N failed". CASES are patterns such as 1.* (else: all).
"""

import asyncio
import os
import subprocess
import sys

try:
    from kosoku import FailureError, run_fuzzingclient
except ImportError:
    sys.exit(f"{sys.executable} has no kosoku: run `pip install kosoku==0.1.0` for it, set MYNAH_PYTHON to an "
             "interpreter that has it, or let `cargo xtask test interop` do both")

EXCLUDED = ["12.*", "13.*"]
AT_ONCE = 4
# What takes longer than this has come to a stand: it takes three seconds, or five on a busy machine.
PATIENCE_S = 12


async def run(address, cases, at_once=AT_ONCE):
    """Runs cases, and returns how many they were and the lines of those that failed."""
    try:
        return len(await run_fuzzingclient(address, cases or None, EXCLUDED, concurrency=at_once)), []
    except FailureError as failure:
        failed = [line.strip() for line in str(failure).splitlines() if "behavior=" in line]
        return len(failure.results), failed or [str(failure)]


async def run_twice(address, cases):
    """The cases have deadlines of their own, which a busy machine misses: those that fail are run again alone. If they
    do not come to an end, all are run again."""
    try:
        count, failed = await asyncio.wait_for(run(address, cases), PATIENCE_S)
    except asyncio.TimeoutError:
        return await run(address, cases)
    if failed and all("behavior=" in line for line in failed):
        _, failed = await run(address, [line.split(":")[0] for line in failed], at_once=1)
    return count, failed


def main(program, cases):
    server = subprocess.Popen([program, "0"], stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().split()[-1]
        count, failed = asyncio.run(run_twice(address, cases))
    finally:
        server.kill()
    for line in failed:
        print(line)
    print(f"{count} cases, {len(failed)} failed", flush=True)
    # kosoku leaves threads that may abort an interpreter which ends in the ordinary way.
    os._exit(1 if failed else 0)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
