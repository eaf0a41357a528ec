"""What the service has ever told, kept apart from it: what a handheld at a cursor must say.

The feed is read as it grows, with the record's own pages; digests are counted here by the words of
CONTRACT ("Digest"), not by the code that is under test.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from enforcement_api.feed import store as feed
from enforcement_api.feed.core import Cursor
from sync import codec
from sync.plates import Plate
from sync.validity import judge
from tests.simulation.service import SITE, SimulatedService

_Rows = Mapping[tuple[str, str], Any]


def _hash(kind: str, id: str, record: Any) -> int:
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    text = f"{kind}\0{id}\0{canonical}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


class Known:
    """All rows at one level of the feed."""

    def __init__(self, rows: _Rows, total: int) -> None:
        self.rows = rows
        self.total = total % (1 << 64)

    @property
    def digest(self) -> tuple[int, int]:
        return len(self.rows), self.total

    def verdict(self, plate: Plate, zone: str, at: datetime) -> tuple[str, datetime | None]:
        """What is to be said of a plate."""
        permits = [
            codec.entity("permit", record)
            for (kind, _), record in self.rows.items()
            if kind == "permit"
            and (record["plate"], record["jurisdiction"]) == (plate.text, plate.jurisdiction)
        ]
        site = codec.entity("site", self.rows["site", SITE])
        found = judge(permits, zone=zone, at=at, retention=site.retention)
        return found.verdict, found.changes_at


class Knowledge:
    """Every level that the service has had, by epoch and sequence."""

    def __init__(self, service: SimulatedService) -> None:
        self._service = service
        self._levels: dict[tuple[str, int], Known] = {}
        self._epoch = ""
        self._sequence = -1
        self._seen = (-1, 0)

    def look(self) -> None:
        """Read what is new. Called whenever the record may have changed."""
        parts, seen = self._service.parts, (self._service.life, self._service.disk.handed_over)
        if parts is None or seen == self._seen:
            return
        self._seen = seen
        # A second connection sees what is committed, and costs little.
        found = self._service.rows("SELECT sequence FROM counters WHERE site = ?", SITE)
        sequence = found[0][0] if found else -1
        if sequence == self._sequence and self._life == self._service.life:
            return
        with parts.record.reading() as tx:
            epoch = feed.level(tx, SITE).epoch
            goes_on = epoch == self._epoch and self._life == self._service.life
            after = Cursor(SITE, epoch, self._sequence) if goes_on else None
            page = feed.page(tx, site=SITE, after=after, limit=10**6, now=self._service.world.now())
        before = self._levels[epoch, self._sequence] if goes_on else Known({}, 0)
        rows, total = dict(before.rows), before.total
        for kind, id, record in page.changes:
            if (old := rows.pop((kind, id), None)) is not None:
                total -= _hash(kind, id, old)
            if record is not None:
                rows[kind, id] = record
                total += _hash(kind, id, record)
        self._epoch, self._sequence, self._life = epoch, page.sequence, self._service.life
        self._levels[epoch, page.sequence] = Known(rows, total)

    _life = -1

    @property
    def epoch(self) -> str:
        return self._epoch

    def at(self, epoch: str, sequence: int) -> Known | None:
        """What was known; None if there never was such a level."""
        return self._levels.get((epoch, sequence))

    def newest(self) -> Known:
        return self._levels[self._epoch, self._sequence]
