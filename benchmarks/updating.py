"""Plate updates through the API, against `executemany` of the rows that they become."""

from __future__ import annotations

import contextlib
import json
import random
import statistics
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import bare, material
from benchmarks.measuring import Line, cpu, measure
from benchmarks.service import Server

UPDATES = 10_000


def run(server: Server, folder: Path, *, repetitions: int) -> tuple[list[Line], list[str]]:
    """10,000 permits never seen before, in each repetition others; and all their plates.

    An update becomes a row of the record and a row of the service's index, and is answered when
    both are there: the limit writes both. A second line tells the ratio to the record's alone.
    """
    chance = random.Random(3)
    sent = list(material.updates(UPDATES * (repetitions + 1), chance, now=datetime.now(UTC)))
    to_push = [
        json.dumps({"updates": sent[at : at + UPDATES]}).encode()
        for at in range(0, len(sent), UPDATES)
    ]
    record = folder / "record.db"
    index = folder / "index" / material.SITE.id
    index /= (index / "current").read_text()
    # As enforcement_api.database.engine and sync.replica open theirs.
    bare_record = bare.copy_of(record, folder / "bare-record.db", "permit_versions", "FULL", 65536)
    bare_index = bare.copy_of(index, folder / "bare-index.db", "permit", "NORMAL", 16384)
    pushed: list[float] = []
    alone: list[float] = []

    def push() -> float:
        before = server.cpu_seconds()
        answer = server.send("POST", "/v1/plate-updates", to_push[len(pushed)])
        pushed.append(server.cpu_seconds() - before)
        assert answer["applied"] == UPDATES, answer
        return pushed[-1]

    def insert() -> float:
        rows = bare.rows(
            record, "SELECT * FROM permit_versions ORDER BY sequence DESC LIMIT ?", UPDATES
        )
        rows.reverse()
        ids = {row[2] for row in rows}
        entries = [row for row in bare.rows(index, "SELECT * FROM permit") if row[3] in ids]
        assert len(rows) == len(entries) == UPDATES
        alone.append(cpu(lambda: bare.insert(bare_record, "permit_versions", rows)))
        return alone[-1] + cpu(lambda: bare.insert(bare_index, "permit", entries))

    with contextlib.closing(bare_record), contextlib.closing(bare_index):
        line = measure(
            "updates",
            ours=push,
            limit=insert,
            told=(
                f"POST of {UPDATES:,} new permits to a real uvicorn process; answered when they"
                " are durable and the index has followed",
                "executemany of the same rows, those of the record and those of the index, into"
                " the same tables with their indexes; a commit each, the same pragmas",
            ),
            unit="µs",
            per=UPDATES,
            goal=8,
            repetitions=repetitions,
        )
    ratios = [ours / limit for ours, limit in zip(pushed[1:], alone[1:], strict=True)]
    narrow = Line(
        name="updates (record)",
        ours="the same",
        limit="executemany of the record's rows alone, without the index's",
        unit="µs",
        goal=None,
        ratios=ratios,
        our_cost=line.our_cost,
        limit_cost=statistics.median(alone[1:]) * 1e6 / UPDATES,
    )
    return [line, narrow], [update["plate"] for update in sent]
