"""Verdicts on a large replica, against the bare SELECT of the same plates."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from itertools import islice

from benchmarks import material
from benchmarks.measuring import Line, cpu, measure
from sync.plates import Plate, fold
from sync.replica import Replica

PLATES = 10_000

_SELECT = """
    SELECT id, plate, jurisdiction, zones, permit_number,
           starts_at, ends_at, active_from, status, make, colour
    FROM permit WHERE fold = ? AND plate = ? AND jurisdiction = ?
"""


def run(replica: Replica, known: list[str], *, repetitions: int) -> Line:
    """10,000 distinct plates in random order, half of them with a permit."""
    chance = random.Random(2)
    here = set(known)
    wanted = chance.sample(known, PLATES // 2)
    strangers = (plate for plate in material.plates(chance) if plate not in here)
    wanted += islice(strangers, PLATES // 2)
    chance.shuffle(wanted)
    typed = [material.typed(plate, chance) for plate in wanted]
    keys = [(fold(text), text, "CA-QC") for text in (p.replace(" ", "") for p in wanted)]

    def verdicts() -> None:
        found = 0
        with replica.reading() as view:
            for text in typed:
                judgement = view.judge(
                    Plate.parse(text, view.site.jurisdiction), zone=material.ZONE, at=material.NOW
                )
                found += judgement.verdict != "unknown"
        assert found == PLATES // 2, found

    with contextlib.closing(connection(replica)) as bare:

        def selects() -> None:
            execute = bare.execute
            execute("BEGIN")
            found = 0
            for key in keys:
                found += bool(execute(_SELECT, key).fetchall())
            execute("COMMIT")
            assert found == PLATES // 2, found

        return measure(
            "verdicts",
            ours=lambda: cpu(verdicts),
            limit=lambda: cpu(selects),
            told=(
                f"{PLATES:,} distinct plates, half unknown: typed text to verdict, no cache,"
                f" {len(known):,} plates known",
                "the prepared SELECT of the same plates in one read transaction",
            ),
            unit="µs",
            per=PLATES,
            goal=3,
            repetitions=repetitions,
        )


def connection(replica: Replica) -> sqlite3.Connection:
    """The index file, opened as the replica opens it."""
    path = replica.folder / (replica.folder / "current").read_text()
    bare = sqlite3.connect(path, isolation_level=None)
    bare.execute("PRAGMA cache_size = -16384")
    bare.execute("PRAGMA mmap_size = 1073741824")
    return bare
