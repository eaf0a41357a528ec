"""`python -m tests.fuzz [--examples N] [--minutes M] [--seed SEED]`: all that is fuzzed, longer.

So many inputs, and so many minutes of requests. Prints how many these were; exits 1 if one was not
answered as it must be. The seed is printed: with it, the same again.
"""

from __future__ import annotations

import argparse
import math
import secrets
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.fuzz.inputs import FUZZERS, arena, hunt
from tests.fuzz.openapi import ROLES, prey

PHASES = "examples,coverage,fuzzing,stateful"


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.fuzz")
    options.add_argument("--examples", type=int, default=1000, metavar="N")
    options.add_argument("--minutes", type=float, default=12.0, metavar="M")
    options.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    chosen = options.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    failed = 0

    inputs = 0
    with tempfile.TemporaryDirectory(prefix="patrouille-fuzz-") as name, arena(Path(name)) as here:
        before = len(here.service.bridge.requests)
        for fuzzer in FUZZERS:
            began, fed = time.monotonic(), 0
            try:
                fed = hunt(fuzzer, here, examples=chosen.examples, chance=chosen.seed)
            except Exception:
                failed += 1
                traceback.print_exc()
            inputs += fed
            print(f"  {fuzzer.name}: {fed:,} inputs, {time.monotonic() - began:.0f} s", flush=True)
        requests = len(here.service.bridge.requests) - before

    with tempfile.TemporaryDirectory(prefix="patrouille-fuzz-") as name, prey(Path(name)) as there:
        for role in ROLES:
            began = time.monotonic()
            seconds = math.ceil(60 * chosen.minutes / len(ROLES))
            found = there.hunt(role, phases=PHASES, seed=chosen.seed, seconds=seconds)
            requests += found.requests
            if not found.passed:
                failed += 1
                print(found.told, file=sys.stderr)
            took = time.monotonic() - began
            print(f"  as {role}: {found.requests:,} requests, {took:.0f} s", flush=True)

    print(f"{inputs:,} inputs, {requests:,} requests; {failed} of the fuzzers found something")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
