"""How many plates a copy of a site holds at a sequence, counted once and then kept up.

Counting a site of a million permits takes a second; there are hundreds of devices, and each change
moves them all. So the count at the newest level is kept, and brought to another sequence by the
plates that changed in between alone.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Connection, select

from enforcement_api.database.tables import permit_versions
from enforcement_api.feed import store

_MOST_CHANGES = 20_000
"""Changed versions beyond which counting everything takes no longer."""
_IN_ONE_QUERY = 500
_COUNTS_KEPT = 10_000

_c = permit_versions.c
_COLUMNS = (_c.id, _c.base, _c.superseded_at, _c.removed, _c.plate, _c.jurisdiction, _c.fold)


class PlateCounts:
    """The counts of all sites, for one process. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._level: dict[str, tuple[int, int]] = {}
        self._counts: dict[tuple[str, int], int] = {}

    def known(self, site: str, sequence: int) -> int | None:
        """The count, if it was made before."""
        return self._counts.get((site, sequence))

    def at(self, tx: Connection, site: str, sequence: int) -> int:
        """How many different plates a replica at this sequence holds."""
        with self._lock:
            return self._at(tx, site, sequence)

    def unless_busy(self, tx: Connection, site: str, sequence: int) -> int | None:
        """The same, or None while somebody else is counting."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._at(tx, site, sequence)
        finally:
            self._lock.release()

    def _at(self, tx: Connection, site: str, sequence: int) -> int:
        known = self.known(site, sequence)
        if known is None:
            if len(self._counts) >= _COUNTS_KEPT:
                self._counts.clear()
            known = self._counted(tx, site, sequence)
            self._counts[site, sequence] = known
        return known

    def _counted(self, tx: Connection, site: str, sequence: int) -> int:
        here = store.level(tx, site)
        level = here.sequence
        kept, count = self._level.get(site, (level + 1, 0))
        # Of what ended before the horizon nobody can tell any more what it was.
        is_known = here.horizon <= kept <= level
        moved = _changed(tx, site, since=kept) if is_known else None
        if moved is None:
            count = store.plates_at(tx, site, level)
        else:
            before, after = moved
            count += after - before
        self._level[site] = (level, count)
        if sequence >= level:
            return count
        moved = _changed(tx, site, since=sequence)
        if moved is None:
            return store.plates_at(tx, site, sequence)
        before, after = moved
        return count + before - after


def _changed(tx: Connection, site: str, *, since: int) -> tuple[int, int] | None:
    """Of the plates that changed since a sequence: how many were held then, and are held now.

    None: too many changed. A version is superseded by another of the same id alone, so whatever
    ended since then shares its id with something that began since then.
    """
    here = select(*_COLUMNS).where(_c.site == site)
    begun = tx.execute(here.where(_c.sequence > since).limit(_MOST_CHANGES + 1)).all()
    if len(begun) > _MOST_CHANGES:
        return None
    ended = [
        row
        for bases in _chunks({row.base for row in begun})
        for row in tx.execute(
            here.where(_c.base.in_(bases), _c.sequence <= since, _c.superseded_at > since)
        )
    ]
    touched = {_plate(row) for row in [*begun, *ended]}
    lasting = {
        _plate(row)
        for folds in _chunks({row.fold for row in [*begun, *ended]})
        for row in tx.execute(
            here.where(
                _c.fold.in_(folds),
                _c.superseded_at.is_(None),
                _c.sequence <= since,
                _c.removed.is_(False),
            )
        )
    } & touched
    before = {_plate(row) for row in ended if not row.removed} | lasting
    after = {_plate(row) for row in begun if row.superseded_at is None and not row.removed}
    return len(before), len(after | lasting)


def _plate(row: Any) -> tuple[str, str]:
    return row.plate, row.jurisdiction


def _chunks(values: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(values)
    for start in range(0, len(ordered), _IN_ONE_QUERY):
        yield ordered[start : start + _IN_ONE_QUERY]
