"""What a handheld writes, an infraction and a delta; and what it is sent, in bytes."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import sqlite3
import statistics
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import zstandard

from benchmarks import material
from benchmarks.measuring import Line, cpu, measure
from sync import codec
from sync.entities import Permit
from sync.messages import PROTOCOL_VERSION, Change, ChangePage, Digest
from sync.outbox import Outbox
from sync.replica import Replica

DELTA = 10_000
NEWS = 1_000
_COLUMNS = (
    "id, plate, jurisdiction, zones, permit_number, starts_at, ends_at, active_from, status, make,"
    " colour, fold"
)
_FOLD = itemgetter(11)
"""What leads the table's key: sorted by it, as Replica.apply does, rows are inserted quicker."""


def outbox(folder: Path, *, repetitions: int) -> Line:
    """The only wait here is for the disk, which no CPU clock sees: seconds on the wall, of two
    neighbours in time, and the median of their ratios.
    """
    kept = Outbox(folder)
    log = folder / "outbox.db-wal"
    body = {"site": "1085", "zone": "G1", "plate": "ABC123", "note": "x" * 1500, "photos": []}
    numbers = iter(range(1 << 30))
    with open(folder / "bare.bin", "wb", buffering=0) as bare:
        written = 0

        def put() -> float:
            nonlocal written
            id = f"01939a7e-5c1b-7c7e-8f5e-{next(numbers):012x}"
            before = log.stat().st_size if log.exists() else 0
            began = time.perf_counter()
            kept.put_infraction(id, body, [], at=datetime.now(UTC))
            took = time.perf_counter() - began
            written = max(log.stat().st_size - before, 4096)
            return took

        def write() -> float:
            content = b"\1" * written
            began = time.perf_counter()
            bare.write(content)
            os.fdatasync(bare.fileno())
            return time.perf_counter() - began

        put(), write()
        rounds = [(put(), write()) for _ in range(repetitions * 15)]
    kept.close()
    return Line(
        name="outbox commit",
        ours="an infraction of 2 kB put, durable; seconds on the wall, the disk's included",
        limit="write and fdatasync of the same bytes, at the end of a file",
        unit="ms",
        goal=1.5,
        ratios=[ours / limit for ours, limit in rounds],
        our_cost=statistics.median(ours for ours, _ in rounds) * 1e3,
        limit_cost=statistics.median(limit for _, limit in rounds) * 1e3,
    )


def delta(replica: Replica, folder: Path, *, repetitions: int) -> tuple[list[Line], ChangePage]:
    """10,000 permits never seen before, applied to the index; and a recount of all of it."""
    fresh = _permits(DELTA * (repetitions + 1))
    state = replica.state()
    assert state is not None
    digest, cursor = state.digest, state.cursor
    pages: list[ChangePage] = []
    for at in range(0, len(fresh), DELTA):
        changes = tuple(codec.change_of(permit) for permit in fresh[at : at + DELTA])
        digest = _with(digest, changes)
        pages.append(_page(changes, f"delta-{at}", digest))
    path = replica.folder / (replica.folder / "current").read_text()
    bare = _bare(path, folder / "bare.db")
    waiting, done = iter(pages), []

    def apply() -> float:
        nonlocal cursor
        page = next(waiting)
        took = cpu(lambda: replica.apply([page], after=cursor))
        cursor = page.cursor
        done.append(page)
        return took

    def insert() -> float:
        rows = _rows(path, [change.id for change in done[-1].changes])
        return cpu(lambda: _insert(bare, rows))

    with contextlib.closing(bare):
        applied = measure(
            "delta",
            ours=apply,
            limit=insert,
            told=(
                f"{DELTA:,} new permits applied to the index: rows, digest, cursor, one commit",
                "executemany of the same rows, sorted as ours are, into a copy of the same table"
                " with its indexes, one commit, the same pragmas",
            ),
            unit="µs",
            per=DELTA,
            goal=1.5,
            repetitions=repetitions,
        )
    count = replica.state().digest.count  # type: ignore[union-attr]

    def recount() -> None:
        with replica.reading() as view:
            assert view.recount() == view.state.digest

    def scan() -> None:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(f"SELECT {_COLUMNS} FROM permit").fetchall()

    recounted = measure(
        "recount",
        ours=lambda: cpu(recount),
        limit=lambda: cpu(scan),
        told=(
            f"the digest of {count:,} rows from the rows themselves",
            "the SELECT of the same rows, fetched",
        ),
        unit="µs",
        per=count,
        goal=None,
        repetitions=min(3, repetitions),
    )
    return [applied, recounted], pages[-1]


def on_the_wire(replica: Replica, folder: Path, page: ChangePage) -> list[Line]:
    """Bytes, not seconds: a snapshot and a delta, against their columns one after another."""
    snapshot = replica.export(folder / "wire")
    path = replica.folder / (replica.folder / "current").read_text()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM permit").fetchall()
    whole = _bytes_line(
        "snapshot bytes",
        f"the snapshot of {len(rows):,} permits as it travels, for each permit",
        snapshot.bytes,
        rows,
        goal=2.3,
    )
    news = page.changes[:NEWS]
    told = codec.json_text(codec.change_page_json(_page(news, "c", page.digest))).encode()
    ids = {change.id for change in news}
    some = [row for row in rows if row[0] in ids]
    return [
        whole,
        _bytes_line(
            "delta bytes", f"a page of {NEWS:,} changes, JSON, for each", len(told), some, goal=None
        ),
        _bytes_line(
            "delta bytes (gzip)",
            "the same page if it were gzipped",
            len(gzip.compress(told)),
            some,
            goal=None,
        ),
    ]


def _bytes_line(
    name: str, ours: str, size: int, rows: list[tuple[Any, ...]], *, goal: float | None
) -> Line:
    columns = b"".join(
        json.dumps(column, separators=(",", ":")).encode() for column in zip(*rows, strict=True)
    )
    packed = len(zstandard.ZstdCompressor(level=3).compress(columns))
    return Line(
        name=name,
        ours=ours,
        limit="the same rows column by column, as JSON, compressed by zstd at its usual level",
        unit="B",
        goal=goal,
        ratios=[size / packed],
        our_cost=size / len(rows),
        limit_cost=packed / len(rows),
    )


def _permits(count: int) -> list[Permit]:
    """Permits whose ids no other material has."""
    chance = random.Random(6)
    found: list[Permit] = []
    for n, plate in enumerate(material.plates(chance)):
        if len(found) >= count:
            break
        found.append(next(material.permits(plate, 400_000_000 + n, chance)))
    return found


def _with(digest: Digest, changes: Iterable[Change]) -> Digest:
    for kind, id, record in changes:
        assert record is not None
        digest += codec.record_hash(kind, id, codec.canonical(record))
    return digest


def _page(changes: tuple[Change, ...], cursor: str, digest: Digest | None) -> ChangePage:
    now = material.NOW
    return ChangePage(PROTOCOL_VERSION, "bench", cursor, 1, False, changes, digest, now, now)


def _bare(source: Path, path: Path) -> sqlite3.Connection:
    """A copy of the index, opened as the replica opens it."""
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.execute("VACUUM INTO ?", (str(path),))
    bare = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -16384"):
        bare.execute(f"PRAGMA {pragma}")
    bare.execute("PRAGMA mmap_size = 1073741824")
    return bare


def _rows(path: Path, ids: list[str]) -> list[tuple[Any, ...]]:
    select = f"SELECT {_COLUMNS} FROM permit WHERE id = ?"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [connection.execute(select, (id,)).fetchone() for id in ids]


def _insert(bare: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
    insert = f"INSERT INTO permit ({_COLUMNS}) VALUES ({', '.join('?' * len(rows[0]))})"
    bare.execute("BEGIN IMMEDIATE")
    bare.executemany(insert, sorted(rows, key=_FOLD))
    bare.execute("COMMIT")
