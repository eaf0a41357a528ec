"""`python -m tests.torture [--service N] [--handheld N] [--seed S]`: exits 1 if one is lost."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
from pathlib import Path

from tests.torture.torture import torture


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.torture")
    options.add_argument("--service", type=int, default=300, metavar="N", help="kills of it")
    options.add_argument("--handheld", type=int, default=300, metavar="N", help="kills of them")
    options.add_argument("--seed", type=int, default=1, metavar="S", help="of when, and of what")
    options.add_argument("--minutes", type=float, default=math.inf, help="of killing, at most")
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="patrouille-torture-"))
    try:
        figures = torture(
            folder,
            service=chosen.service,
            handheld=chosen.handheld,
            seed=chosen.seed,
            seconds=chosen.minutes * 60,
        )
    except AssertionError as error:
        print(f"{error}\n\nwhat was left: {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    print(f"{figures} (seed {chosen.seed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
