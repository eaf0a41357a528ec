"""`patrouille import`, against `executemany` of the rows that its lines become; and its memory."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import bare, material, service
from benchmarks.measuring import Line, cpu, measure
from enforcement_api.database.engine import Record
from enforcement_api.infractions.store import recheck_open
from enforcement_api.permits import intake, reconciling
from enforcement_api.permits.files import read_file
from enforcement_api.security import Principal
from enforcement_api.settings import Settings

LINES = 2 * intake.AT_ONCE
"""Of a file: two transactions."""


def run(folder: Path, *, repetitions: int) -> Iterable[Line]:
    """Files of permits never seen before, in each repetition others: what the command does of one,
    in this process; and what it does of one with --full, each from another source.
    """
    with service.patrouille(folder):
        pass  # it made the record and the site
    record = Record(Settings.load(folder, {}).database_url)
    sent = material.updates(2 * LINES * (repetitions + 1), random.Random(4), now=datetime.now(UTC))
    path, done = folder / "permits.ndjson", 0

    def ours(import_: Callable[[Record, Path, Principal], intake.Taken]) -> float:
        nonlocal done
        _write(path, islice(sent, LINES))
        by = Principal(id="cli", role="admin", name="cli", source=f"source {done}", sites=None)
        spent = cpu(lambda: import_(record, path, by))
        done += LINES
        return spent

    def limit() -> float:
        query = "SELECT * FROM permit_versions WHERE sequence > ? ORDER BY sequence"
        rows = bare.rows(file, query, before + done - LINES)
        parts = [rows[at : at + intake.AT_ONCE] for at in range(0, LINES, intake.AT_ONCE)]
        assert sum(map(len, parts)) == LINES

        def insert() -> None:
            for part in parts:
                bare.insert(rows_alone, "permit_versions", part)

        return cpu(insert)

    file = folder / "record.db"
    ((before,),) = bare.rows(file, "SELECT sequence FROM counters")
    # As enforcement_api.database.engine opens its own.
    rows_alone = bare.copy_of(file, folder / "bare.db", "permit_versions", "FULL", 65536)
    told = (
        "executemany of the same rows into the same table with its indexes, in as many"
        " transactions, the same pragmas"
    )
    with contextlib.closing(rows_alone):
        yield measure(
            "import",
            ours=lambda: ours(_import),
            limit=limit,
            told=(
                f"a file of {LINES:,} new permits (NDJSON): read, validated, applied, durable after"
                f" each {intake.AT_ONCE:,}",
                told,
            ),
            unit="µs",
            per=LINES,
            goal=5,
            repetitions=repetitions,
        )
        yield measure(
            "import --full",
            ours=lambda: ours(_import_full),
            limit=limit,
            told=("the same of a list of all permits of a source, which is read twice", told),
            unit="µs",
            per=LINES,
            goal=None,
            repetitions=repetitions,
        )
    record.close()


def memory(folder: Path, *, permits: int) -> Line:
    """The most memory that the command has at once, for so many permits and for half as many."""
    half, whole = _command(folder / "half", permits // 2), _command(folder / "whole", permits)
    told = [
        f"peak resident memory of `patrouille import` of {one.permits:,} permits into a new record:"
        f" {one.seconds:.1f} s on the wall ({one.permits / one.seconds:,.0f} permits/s),"
        f" {one.cpu_seconds:.1f} s of CPU"
        for one in (whole, half)
    ]
    return Line(
        name="import memory",
        ours=told[0],
        limit=told[1],
        unit="MB",
        # Less than this does not fill SQLite's cache.
        goal=1.1 if permits >= 1_000_000 else None,
        ratios=[whole.bytes / half.bytes],
        our_cost=whole.bytes / 1e6,
        limit_cost=half.bytes / 1e6,
    )


@dataclass(frozen=True)
class _Command:
    """What one import cost its process."""

    permits: int
    seconds: float
    cpu_seconds: float
    bytes: int


def _command(folder: Path, permits: int) -> _Command:
    """Import so many permits into a new record by the real command."""
    with service.patrouille(folder):
        pass
    path = folder / "permits.ndjson"
    _write(path, material.updates(permits, random.Random(5), now=datetime.now(UTC)))
    command = [sys.executable, "-m", "enforcement_api", "import", path, "--data-dir", folder]
    told = subprocess.run(
        [sys.executable, "-c", _WEIGHED, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    counts, cost = map(json.loads, told.stdout.splitlines())
    assert counts["applied"] == permits, counts
    return _Command(permits, **cost)


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


def _lines(path: Path) -> Iterator[Any]:
    return read_file(path, site=None, progress=lambda read: None)


def _now() -> datetime:
    return datetime.now(UTC)


def _import(record: Record, path: Path, by: Principal) -> intake.Taken:
    total = intake.Taken()
    for taken in intake.take_lines(
        record,
        _lines(path),
        by=by,
        now=_now,
        at_once=intake.AT_ONCE,
        on_change=recheck_open,
    ):
        total.applied += taken.applied
    assert total.applied == LINES
    return total


def _import_full(record: Record, path: Path, by: Principal) -> intake.Taken:
    taken = reconciling.reconcile(
        record,
        material.SITE.id,
        lambda: _lines(path),
        by=by,
        as_of=_now(),
        count=LINES,
        max_cancel=0,
        now=_now(),
        at_once=intake.AT_ONCE,
        on_change=recheck_open,
    )
    assert taken.applied == LINES
    return taken
