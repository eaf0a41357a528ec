"""`python -m tests.soak [--checks N] [--infractions N] [--kills N]`: exits 1 if one is lost."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.soak import soak


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.soak")
    options.add_argument("--checks", type=int, default=2000, metavar="N")
    options.add_argument("--infractions", type=int, default=200, metavar="N", help="among them")
    options.add_argument("--kills", type=int, default=50, metavar="N")
    options.add_argument("--seed", type=int, default=1, metavar="S", help="of what, and of when")
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="patrouille-soak-"))
    try:
        figures = soak(
            folder,
            checks=chosen.checks,
            infractions=chosen.infractions,
            kills=chosen.kills,
            seed=chosen.seed,
        )
    except AssertionError as error:
        print(f"{error}\n\nwhat was left: {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    print(f"{figures} (seed {chosen.seed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
