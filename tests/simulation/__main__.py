"""`python -m tests.simulation [--seeds N] [--first SEED]`: exits 1 at the first that fails."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.simulation.faults import Simulation


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.simulation")
    options.add_argument("--seeds", type=int, default=100, metavar="N")
    options.add_argument("--first", type=int, default=0, metavar="SEED")
    chosen = options.parse_args()
    began = time.monotonic()
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        with tempfile.TemporaryDirectory(prefix="patrouille-simulation-") as folder:
            try:
                Simulation(seed, Path(folder)).run()
            except AssertionError as failed:
                print(f"{failed}\n\nagain: --seeds 1 --first {seed}", file=sys.stderr)
                return 1
        done = seed - chosen.first + 1
        if done % 10 == 0 or done == chosen.seeds:
            print(f"{done} of {chosen.seeds} seeds, {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
