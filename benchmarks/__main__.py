"""`python -m benchmarks [--short]`: prints a table, writes bench.json; 1 if a goal is missed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    checking,
    console,
    importing,
    installing,
    keeping,
    material,
    polling,
    service,
    updating,
    verdicts,
    window,
)
from benchmarks.measuring import Line
from sync.replica import Replica


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks")
    options.add_argument(
        "--short",
        action="store_true",
        help="100,000 permits instead of 1,000,000, fewer requests and repetitions",
    )
    options.add_argument(
        "--show", action="store_true", help="show the table without judging it: exit 0"
    )
    options.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE")
    chosen = options.parse_args()
    permits = 100_000 if chosen.short else 1_000_000
    repetitions = 3 if chosen.short else 7
    requests = 2_000 if chosen.short else 10_000

    with tempfile.TemporaryDirectory(prefix="patrouille-bench-") as name:
        lines = []
        for line in _measure(Path(name), permits, requests, repetitions):
            _say(f"  {line.name}: {line.ratio:.2f}")
            lines.append(line)
    machine = _machine()
    print(table(lines, machine, permits))
    about = {"permits": permits, "short": chosen.short, "machine": machine}
    found = about | {"lines": [line.as_json() for line in lines]}
    chosen.json.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return 0 if chosen.show or all(line.reached for line in lines) else 1


def _measure(folder: Path, permits: int, requests: int, repetitions: int) -> Iterable[Line]:
    _say(f"an index of {permits:,} permits is made …")
    started = time.monotonic()
    replica = Replica(folder / "index")
    known: list[str] = []
    replica.apply(material.catch_up(permits, random.Random(1), known), after=None)
    _say(f"  in {time.monotonic() - started:.0f} s; measuring …")
    yield verdicts.run(replica, known, repetitions=2 * repetitions + 1)
    yield installing.run(replica, folder, repetitions=repetitions)
    applied, page = keeping.delta(replica, folder, repetitions=repetitions)
    yield from applied
    yield from keeping.on_the_wire(replica, folder, page)
    yield from window.run(
        replica,
        known,
        folder / "window",
        touches=requests // 10,
        seconds=20 if permits < 1_000_000 else 300,
        repetitions=repetitions,
    )
    replica.wipe()
    yield keeping.outbox(folder / "outbox", repetitions=repetitions)
    yield from polling.run(folder / "polled", repetitions=repetitions)
    yield importing.run(folder / "imported", repetitions=repetitions)
    yield from importing.commands(folder / "commands", permits=permits)
    _say(f"a record of {permits:,} infractions is made …")
    yield from console.run(folder / "console", infractions=permits, repetitions=repetitions)
    with service.patrouille(folder / "service") as server:
        found, pushed = updating.run(server, folder / "service", repetitions=repetitions)
        yield from found
        yield checking.run(server, pushed, requests=requests, repetitions=repetitions)


def table(lines: Iterable[Line], machine: dict[str, Any], permits: int) -> str:
    """The table, in Markdown that reads as plain text too."""
    rows = [
        ("", "ours", "the limit", "ratio", "min–max", "goal", ""),
        ("---", "--:", "--:", "--:", "--:", "--:", "---"),
    ]
    notes = []
    for line in lines:
        rows.append(
            (
                line.name,
                f"{line.our_cost:.3g} {line.unit}",
                f"{line.limit_cost:.3g} {line.unit}",
                f"{line.ratio:.2f}",
                f"{min(line.ratios):.2f}–{max(line.ratios):.2f}",
                "" if line.goal is None else f"≤ {line.goal:g}",
                "" if line.goal is None else "reached" if line.reached else "MISSED",
            )
        )
        notes.append(f"{line.name}: {line.ours};\n    against {line.limit}. n={line.repetitions}")
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    shown = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    where = (
        f"{machine['at']}, {machine['cores']} cores ({machine['cpu']}), Python {machine['python']},"
        f" SQLite {machine['sqlite']}; {permits:,} permits."
        " CPU time, median of the repetitions; each ratio is of two neighbours in time."
    )
    return "\n".join([*shown, "", *notes, "", where])


def _machine() -> dict[str, Any]:
    cpu = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": os.cpu_count(),
        "cpu": cpu,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
