"""`patrouille import`, against `executemany` of the rows that its lines become; and its memory."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import bare, material, service
from benchmarks.measuring import Line, cpu, measure
from enforcement_api.database.engine import Record
from enforcement_api.infractions.store import recheck_open
from enforcement_api.permits import intake
from enforcement_api.permits.files import read_file
from enforcement_api.security import Principal
from enforcement_api.settings import Settings

LINES = 2 * intake.AT_ONCE
"""Of a file: two transactions."""


def run(folder: Path, *, repetitions: int) -> Line:
    """Files of permits never seen before, in each repetition another: what the command does of one,
    in this process.
    """
    with service.patrouille(folder):
        pass  # it made the record and the site
    record = Record(Settings.load(folder, {}).database_url)
    sent = material.updates(LINES * (repetitions + 1), random.Random(4), now=_now())
    path, file, taken = folder / "permits.ndjson", folder / "record.db", 0
    ((before,),) = bare.rows(file, "SELECT sequence FROM counters")
    # As enforcement_api.database.engine opens its own.
    alone = bare.copy_of(file, folder / "bare.db", "permit_versions", "FULL", 65536)

    def import_() -> float:
        nonlocal taken
        _write(path, islice(sent, LINES))
        took = cpu(lambda: _import(record, path))
        taken += LINES
        return took

    def insert() -> float:
        rows = bare.rows(
            file,
            "SELECT * FROM permit_versions WHERE sequence > ? ORDER BY sequence",
            before + taken - LINES,
        )
        assert len(rows) == LINES

        def in_parts() -> None:
            for at in range(0, LINES, intake.AT_ONCE):
                bare.insert(alone, "permit_versions", rows[at : at + intake.AT_ONCE])

        return cpu(in_parts)

    with contextlib.closing(alone):
        line = measure(
            "import",
            ours=import_,
            limit=insert,
            told=(
                f"a file of {LINES:,} new permits (NDJSON): read, validated, applied, durable after"
                f" each {intake.AT_ONCE:,}",
                "executemany of the same rows into the same table with its indexes, in as many"
                " transactions, the same pragmas",
            ),
            unit="µs",
            per=LINES,
            goal=5,
            repetitions=repetitions,
        )
    record.close()
    return line


def commands(folder: Path, *, permits: int) -> Iterable[Line]:
    """The command itself, once: the most memory that it has at one time, for so many permits and
    for half as many; and what the same file costs with --full, when all of it is known.
    """
    half, whole = folder / "half", folder / "whole"
    few, many = _imported(half, permits // 2), _imported(whole, permits)
    yield Line(
        name="import memory",
        ours=f"peak resident memory of {many.told}",
        limit=f"that of {few.told}",
        unit="MB",
        # Fewer do not fill SQLite's cache.
        goal=1.1 if permits >= 1_000_000 else None,
        ratios=[many.bytes / few.bytes],
        our_cost=many.bytes / 1e6,
        limit_cost=few.bytes / 1e6,
    )
    again = _patrouille_import(whole, permits, "unchanged", "--full", "--site", material.SITE.id)
    yield Line(
        name="import --full",
        ours=again.told,
        limit=f"the same file when it was new: {many.told}",
        unit="µs",
        goal=None,
        ratios=[again.cpu_seconds / many.cpu_seconds],
        our_cost=again.cpu_seconds / permits * 1e6,
        limit_cost=many.cpu_seconds / permits * 1e6,
    )


@dataclass(frozen=True)
class _Command:
    """What one import cost its process."""

    permits: int
    seconds: float
    cpu_seconds: float
    bytes: int
    options: str

    @property
    def told(self) -> str:
        """The command, and how quick it was."""
        return (
            f"`patrouille import{self.options}` of {self.permits:,} permits (NDJSON),"
            f" {self.bytes / 1e6:.0f} MB: {self.seconds:.1f} s on the wall"
            f" ({self.permits / self.seconds:,.0f} permits/s), {self.cpu_seconds:.1f} s of CPU"
        )


def _imported(folder: Path, permits: int) -> _Command:
    """Import so many permits into a new record."""
    with service.patrouille(folder):
        pass
    updates = material.updates(permits, random.Random(5), now=_now())
    _write(folder / "permits.ndjson", updates)
    return _patrouille_import(folder, permits, "applied")


def _patrouille_import(folder: Path, permits: int, effect: str, *options: str) -> _Command:
    """Run the command on a folder's file, whose permits must all come to this."""
    given = [*options, "--data-dir", folder, folder / "permits.ndjson"]
    command = [sys.executable, "-m", "enforcement_api", "import", *map(str, given)]
    told = subprocess.run(
        [sys.executable, "-c", _WEIGHED, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    counts, cost = map(json.loads, told.stdout.splitlines())
    assert counts[effect] == permits, counts
    return _Command(permits, **cost, options=" --full" if "--full" in options else "")


# A process begins with the memory of the one that started it, as far as Linux tells; so a small one
# does.
_WEIGHED = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
seconds = time.perf_counter() - began
used = resource.getrusage(resource.RUSAGE_CHILDREN)
spent = {"seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime}
print(json.dumps(spent | {"bytes": used.ru_maxrss * 1024}))
"""


def _write(path: Path, updates: Iterable[dict[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for update in updates:
            file.write(json.dumps(update, ensure_ascii=False) + "\n")


def _now() -> datetime:
    return datetime.now(UTC)


def _import(record: Record, path: Path) -> None:
    taken = intake.take_lines(
        record,
        read_file(path, site=None, progress=lambda read: None),
        by=Principal(id="cli", role="admin", name="cli", source="import", sites=None),
        now=_now,
        at_once=intake.AT_ONCE,
        on_change=recheck_open,
    )
    assert sum(part.applied for part in taken) == LINES
