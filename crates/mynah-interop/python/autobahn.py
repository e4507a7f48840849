"""The cases of the Autobahn test suite against the broker's framing: python3 autobahn.py PROGRAM

PROGRAM is the example websocket_echo of mynah-interop. The cases are driven by kosoku; those of compression
(permessage-deflate, 12.* and 13.*) are left out, because the broker does not offer that extension. Prints each case
that is not as it should be, and at last "N cases, N failed".
"""

import asyncio
import subprocess
import sys

try:
    from kosoku import FailureError, run_fuzzingclient
except ImportError:
    sys.exit(f"{sys.executable} has no kosoku: run `pip install kosoku==0.1.0` for it, set MYNAH_PYTHON to an "
             "interpreter that has it, or let `cargo xtask test interop` do both")

EXCLUDED = ["12.*", "13.*"]
AT_ONCE = 4


async def run(address):
    try:
        return await run_fuzzingclient(address, None, EXCLUDED, concurrency=AT_ONCE), ""
    except FailureError as failure:
        return failure.results, str(failure)


def main(program):
    server = subprocess.Popen([program, "0"], stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().split()[-1]
        results, failures = asyncio.run(run(address))
    finally:
        server.kill()
    failed = [line for line in failures.splitlines() if "behavior=" in line]
    for line in failed:
        print(line)
    print(f"{len(results)} cases, {len(failed)} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
