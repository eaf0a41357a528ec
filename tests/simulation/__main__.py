"""`python -m tests.simulation [--seeds N] [--first SEED] [--minutes M]`: exits 1 if one fails, and
names it. When the minutes are over it says how many seeds they were enough for.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time

from tests.simulation.seeds import live_through

_SHOWN_EVERY_S = 10.0


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.simulation")
    options.add_argument("--seeds", type=int, default=100, metavar="N")
    options.add_argument("--first", type=int, default=0, metavar="SEED")
    options.add_argument("--minutes", type=float, default=float("inf"), metavar="M")
    options.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N")
    chosen = options.parse_args()
    began = shown = time.monotonic()
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    context, processes = multiprocessing.get_context("spawn"), min(chosen.processes, len(seeds))
    # A seed leaves a megabyte in cycles: not worth looking for often.
    with context.Pool(processes, gc.set_threshold, (50_000, 50, 50)) as pool:
        for done, (seed, trace, wrong) in enumerate(
            pool.imap_unordered(live_through, seeds, chunksize=1), 1
        ):
            if wrong:
                print(f"{wrong}\n\nagain: make simulate SEEDS=1 FIRST={seed}", file=sys.stderr)
                pool.terminate()
                return 1
            if chosen.seeds == 1:
                print(f"seed {seed}: trace {trace}")
            if time.monotonic() - shown > _SHOWN_EVERY_S or done == len(seeds):
                shown = time.monotonic()
                print(f"{done} of {len(seeds)} seeds, {shown - began:.0f} s", flush=True)
            if time.monotonic() - began > chosen.minutes * 60 and done < len(seeds):
                print(f"the time is over: {done} of {len(seeds)} seeds, none of them failed")
                pool.terminate()
                return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
