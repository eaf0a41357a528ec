"""Plate updates through the API, against `executemany` of the rows that they become."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import material
from benchmarks.measuring import Line, cpu, measure
from benchmarks.service import Server

UPDATES = 10_000


def run(server: Server, folder: Path, *, repetitions: int) -> tuple[Line, list[str]]:
    """10,000 permits never seen before, in each repetition others; and all their plates."""
    sent = material.updates(UPDATES * (repetitions + 1), random.Random(3), now=datetime.now(UTC))
    bodies = [
        json.dumps({"updates": sent[i : i + UPDATES]}).encode()
        for i in range(0, len(sent), UPDATES)
    ]
    to_push = iter(bodies)

    def push() -> float:
        body = next(to_push)
        before = server.cpu_seconds()
        answer = server.send("POST", "/v1/plate-updates", body)
        spent = server.cpu_seconds() - before
        assert answer["applied"] == UPDATES, answer
        return spent

    record = folder / "record.db"
    with contextlib.closing(_bare(record, folder / "bare.db")) as bare:
        to_insert = _batches(record)

        def insert() -> float:
            rows = next(to_insert)
            statement = f"INSERT INTO permit_versions VALUES ({', '.join('?' * len(rows[0]))})"

            def work() -> None:
                bare.execute("BEGIN IMMEDIATE")
                bare.executemany(statement, rows)
                bare.execute("COMMIT")

            return cpu(work)

        line = measure(
            "updates",
            ours=push,
            limit=insert,
            told=(
                f"POST of {UPDATES:,} new permits to a real uvicorn process; its answer comes"
                " when they are durable and the index has followed",
                "executemany of the same rows into the same table with its indexes,"
                " one durable commit, the same pragmas; no index file",
            ),
            unit="µs",
            per=UPDATES,
            goal=8,
            repetitions=repetitions,
        )
    return line, [update["plate"] for update in sent]


def _bare(record: Path, path: Path) -> sqlite3.Connection:
    """An empty file with the record's table of permits and its indexes."""
    bare = sqlite3.connect(path, isolation_level=None)
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("PRAGMA synchronous = FULL")
    bare.execute("PRAGMA cache_size = -65536")
    with contextlib.closing(sqlite3.connect(record)) as source:
        for (sql,) in source.execute(
            "SELECT sql FROM sqlite_schema WHERE tbl_name = 'permit_versions' AND sql IS NOT NULL"
            " ORDER BY type DESC"
        ):
            bare.execute(sql)
    return bare


def _batches(record: Path) -> Iterator[list[tuple[Any, ...]]]:
    """The rows that each push became, in order."""
    last = 0
    while True:
        with contextlib.closing(sqlite3.connect(record)) as source:
            found = source.execute(
                "SELECT * FROM permit_versions WHERE sequence > ? ORDER BY sequence LIMIT ?",
                (last, UPDATES),
            )
            names = [column[0] for column in found.description]
            rows = found.fetchall()
        assert len(rows) == UPDATES
        last = rows[-1][names.index("sequence")]
        yield rows
