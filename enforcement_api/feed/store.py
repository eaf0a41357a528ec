"""The feed's SQL: the counter row, what is appended, and pages of changes.

A transaction that changes replicated state locks its site's counter row first and until it
commits, so that sequence order is commit order and has no gaps.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, insert, select, update

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import (
    counters,
    earlier_epochs,
    feed_entries,
    meta,
    permit_versions,
)
from enforcement_api.feed.core import Cursor, CursorExpired
from enforcement_api.sites.core import UnknownSite, is_site_id
from sync import codec
from sync.entities import Permit, Vehicle
from sync.messages import EMPTY_DIGEST, PROTOCOL_VERSION, Change, ChangePage, Digest
from sync.plates import Plate


@dataclass
class Counter:
    """A site's counter row, locked: numbers to take and the digest to keep."""

    site: str
    sequence: int
    digest: Digest

    def take(self) -> int:
        """The next sequence number."""
        self.sequence += 1
        return self.sequence


@dataclass(frozen=True, slots=True)
class Level:
    """How far a site's feed has come."""

    site: str
    epoch: str
    sequence: int
    digest: Digest
    fed_at: datetime | None
    horizon: int
    """From which sequence number on everything is still known."""


# Statements of every poll are put together once: that takes longer than executing them.
_SITE: BindParameter[str] = bindparam("of_site")
_LOCK = (
    update(counters)
    .where(counters.c.site == _SITE)
    .values(sequence=counters.c.sequence)
    .returning(counters.c.sequence, counters.c.digest_count, counters.c.digest_sum)
)
_EPOCH = select(meta.c.value).where(meta.c.name == "epoch").scalar_subquery().label("epoch")
_LEVELS = select(counters, _EPOCH).order_by(counters.c.site)
_LEVEL = _LEVELS.where(counters.c.site == _SITE)
_NUMBERS: dict[str, BindParameter[Any]] = {
    "sequence": bindparam("new_sequence"),
    "digest_count": bindparam("new_count"),
    "digest_sum": bindparam("new_sum"),
}
_SAVE = update(counters).where(counters.c.site == _SITE).values(_NUMBERS)
_SAVE_FED = _SAVE.values(fed_at=bindparam("new_fed_at"))
_HERE = (
    feed_entries.c.site == _SITE,
    feed_entries.c.kind == bindparam("of_kind"),
    feed_entries.c.id == bindparam("of_id"),
)
_ENTRY = select(feed_entries.c.record, feed_entries.c.hash).where(*_HERE)
_ADD_ENTRY = insert(feed_entries)
_CHANGE_ENTRY = (
    update(feed_entries)
    .where(*_HERE)
    .values(
        sequence=bindparam("new_sequence"),
        record=bindparam("new_record"),
        hash=bindparam("new_hash"),
    )
)


def open_feed(tx: Connection, site: str) -> None:
    """Give a new site its counter row."""
    tx.execute(
        insert(counters).values(
            site=site, sequence=0, digest_count=EMPTY_DIGEST.count, digest_sum=EMPTY_DIGEST.sum
        )
    )


def lock(tx: Connection, site: str) -> Counter:
    """Lock the site's counter row until the transaction ends. Raises UnknownSite."""
    if not is_site_id(site):  # engines refuse some texts
        raise UnknownSite(site=site)
    row = tx.execute(_LOCK, {"of_site": site}).first()
    if row is None:
        raise UnknownSite(site=site)
    return Counter(site, row.sequence, Digest(row.digest_count, row.digest_sum))


def save(tx: Connection, counter: Counter, *, fed_at: datetime | None = None) -> None:
    """Write the counter row back: the numbers taken and the digest are part of the commit."""
    values: dict[str, Any] = {
        "of_site": counter.site,
        "new_sequence": counter.sequence,
        "new_count": counter.digest.count,
        "new_sum": counter.digest.sum,
    }
    if fed_at is None:
        tx.execute(_SAVE, values)
    else:
        tx.execute(_SAVE_FED, values | {"new_fed_at": fed_at})


def append(tx: Connection, counter: Counter, changes: Iterable[Change]) -> None:
    """Put records (all kinds but permits, which have a table of versions) into the feed.

    A record that is in the feed already, word for word, takes no number.
    """
    for kind, id, record in changes:
        here = {"of_site": counter.site, "of_kind": kind, "of_id": id}
        old = tx.execute(_ENTRY, here).first()
        text = None if record is None else codec.canonical(record)
        if (None if old is None else old.record) == text:
            continue
        if old is not None and old.record is not None:
            counter.digest -= old.hash
        hash = None
        if text is not None:
            hash = codec.record_hash(kind, id, text)
            counter.digest += hash
        sequence = counter.take()
        if old is None:
            key = {"site": counter.site, "kind": kind, "id": id}
            tx.execute(_ADD_ENTRY, key | {"sequence": sequence, "record": text, "hash": hash})
        else:
            values = {"new_sequence": sequence, "new_record": text, "new_hash": hash}
            tx.execute(_CHANGE_ENTRY, here | values)


def publish(tx: Connection, site: str, changes: Iterable[Change]) -> None:
    """Lock, append and save: the whole way for a change that is not a permit."""
    counter = lock(tx, site)
    append(tx, counter, changes)
    save(tx, counter)


def level(tx: Connection, site: str) -> Level:
    """How far the feed of a site has come. Raises UnknownSite."""
    if is_site_id(site):  # engines refuse some texts
        for found in levels(tx, site):
            return found
    raise UnknownSite(site=site)


def levels(tx: Connection, site: str | None = None) -> list[Level]:
    """How far the feeds of all sites have come."""
    found = tx.execute(_LEVELS) if site is None else tx.execute(_LEVEL, {"of_site": site})
    return [
        Level(
            row.site,
            row.epoch,
            row.sequence,
            Digest(row.digest_count, row.digest_sum),
            row.fed_at,
            row.horizon,
        )
        for row in found
    ]


def held_of(tx: Connection, site: str, epoch: str) -> int | None:
    """Up to which sequence number the site's feed in an epoch before a restore is this record's.

    None: no epoch of that name is known to have been.
    """
    table = earlier_epochs.c
    found = select(table.sequence).where(table.site == site, table.epoch == epoch)
    return tx.execute(found).scalar()


def forget_before(tx: Connection, site: str, sequence: int) -> None:
    """What was superseded before this sequence number may be gone: older cursors expire, and
    whoever has a later one knows of all removals up to here.
    """
    here = (counters.c.site == site, counters.c.horizon < sequence)
    tx.execute(update(counters).where(*here).values(horizon=sequence))
    table = feed_entries.c
    known = (table.site == site, table.record.is_(None), table.sequence <= sequence)
    tx.execute(delete(feed_entries).where(*known))


def fed(tx: Connection, site: str, at: datetime) -> None:
    """Remember a contact of the subscription system that changed nothing."""
    tx.execute(update(counters).where(counters.c.site == site).values(fed_at=at))


# Reading

PERMIT_COLUMNS = (
    permit_versions.c.id,
    permit_versions.c.plate,
    permit_versions.c.jurisdiction,
    permit_versions.c.zones,
    permit_versions.c.permit_number,
    permit_versions.c.starts_at,
    permit_versions.c.ends_at,
    permit_versions.c.active_from,
    permit_versions.c.status,
    permit_versions.c.make,
    permit_versions.c.colour,
)


_AFTER: BindParameter[int] = bindparam("after")
_PERMITS = (
    select(permit_versions.c.sequence, permit_versions.c.removed, *PERMIT_COLUMNS)
    .where(
        permit_versions.c.site == _SITE,
        permit_versions.c.sequence > _AFTER,
        permit_versions.c.superseded_at.is_(None),
    )
    .order_by(permit_versions.c.sequence)
)
_ENTRIES = (
    select(feed_entries.c.sequence, feed_entries.c.kind, feed_entries.c.id, feed_entries.c.record)
    .where(feed_entries.c.site == _SITE, feed_entries.c.sequence > _AFTER)
    .order_by(feed_entries.c.sequence)
)
_SOME_PERMITS = _PERMITS.limit(bindparam("most"))
_SOME_ENTRIES = _ENTRIES.limit(bindparam("most"))


def permit_of(row: Sequence[Any]) -> Permit:
    """The permit in a row of PERMIT_COLUMNS."""
    # By position: a row's names cost more than all the rest.
    id, plate, jurisdiction, zones, number, starts, ends, active, status, make, colour = row
    return Permit(
        id,
        Plate(plate, jurisdiction),
        tuple(zones.split(" ")),
        number,
        starts,
        ends,
        active,
        status,
        vehicle_of(make, colour),
    )


def vehicle_of(make: str | None, colour: str | None) -> Vehicle | None:
    """What handhelds are told of a vehicle; None when nothing of it is known."""
    return None if make is None and colour is None else Vehicle(make, colour)


def _permit_changes(
    tx: Connection, site: str, after: int, limit: int | None
) -> Iterator[tuple[int, Change]]:
    query = _PERMITS if limit is None else _SOME_PERMITS
    found = tx.execute(query, {"of_site": site, "after": after, "most": limit})
    for sequence, removed, *row in found:
        record = None if removed else codec.permit_record(permit_of(row))
        yield sequence, Change("permit", row[0], record)


def _entry_changes(
    tx: Connection, site: str, after: int, limit: int | None
) -> Iterator[tuple[int, Change]]:
    query = _ENTRIES if limit is None else _SOME_ENTRIES
    found = tx.execute(query, {"of_site": site, "after": after, "most": limit})
    for row in found:
        record = None if row.record is None else json.loads(row.record)
        yield row.sequence, Change(row.kind, row.id, record)


def page(
    tx: Connection, *, site: str, after: Cursor | None, limit: int, now: datetime
) -> ChangePage:
    """One page of changes after a cursor (None: from the beginning), read at one moment.

    Raises UnknownSite, CursorExpired.
    """
    here = level(tx, site)
    sequence = 0
    if after is not None:
        is_ahead = max(after.sequence, after.knows) > here.sequence
        if after.epoch != here.epoch or is_ahead or after.knows < here.horizon:
            raise CursorExpired(extra={"snapshot": f"/v1/sites/{site}/snapshot"})
        sequence = after.sequence
    if sequence == here.sequence:
        return _last_page(here, [], now)
    found = sorted(
        [
            *_permit_changes(tx, site, sequence, limit + 1),
            *_entry_changes(tx, site, sequence, limit + 1),
        ],
        key=itemgetter(0),
    )
    if len(found) <= limit:
        return _last_page(here, found, now)
    reached = found[limit - 1][0]
    began = here.sequence if after is None else after.began
    cursor = Cursor(site, here.epoch, reached, began)
    return replace(_last_page(here, found[:limit], now), cursor=str(cursor), more=True, digest=None)


def nothing_new(here: Level, after: Cursor | None, *, now: datetime) -> ChangePage | None:
    """The page of whoever is level, for which nothing has to be read; None for anybody else."""
    if after is None or after != Cursor(here.site, here.epoch, here.sequence):
        return None
    return _last_page(here, [], now)


def _last_page(here: Level, found: Sequence[tuple[int, Change]], now: datetime) -> ChangePage:
    return ChangePage(
        protocol=PROTOCOL_VERSION,
        epoch=here.epoch,
        cursor=str(Cursor(here.site, here.epoch, here.sequence)),
        sequence=here.sequence,
        more=False,
        changes=tuple(change for _, change in found),
        digest=here.digest,
        server_time=now,
        fed_at=here.fed_at,
    )


def pages(
    record: Record, *, site: str, after: Cursor | None, limit: int, now: datetime
) -> Generator[ChangePage, None, None]:
    """A whole catch-up, read at one moment. Raises UnknownSite, CursorExpired."""
    with record.reading() as tx:
        while True:
            found = page(tx, site=site, after=after, limit=limit, now=now)
            yield found
            if not found.more:
                return
            after = Cursor.parse(found.cursor, site=site)


def recount(tx: Connection, site: str) -> Digest:
    """The digest of a site's feed, from its rows and not from what was kept along the way."""
    digest = EMPTY_DIGEST
    for changes in (_permit_changes, _entry_changes):
        for _, change in changes(tx, site, 0, None):
            if change.record is not None:
                text = codec.canonical(change.record)
                digest += codec.record_hash(change.kind, change.id, text)
    return digest


def plates_at(tx: Connection, site: str, sequence: int) -> int:
    """How many plates a replica at this sequence holds."""
    table = permit_versions.c
    held = (
        select(table.plate, table.jurisdiction)
        .where(
            table.site == site,
            table.sequence <= sequence,
            (table.superseded_at.is_(None)) | (table.superseded_at > sequence),
            table.removed.is_(False),
        )
        .distinct()
        .subquery()
    )
    return int(tx.execute(select(func.count()).select_from(held)).scalar_one())
