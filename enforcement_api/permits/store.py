"""The permits' SQL: versions are appended; all that changes later is what superseded them."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    or_,
    select,
)

from enforcement_api.database.bulk import each_text, insert_rows, update_rows
from enforcement_api.database.tables import permit_versions
from enforcement_api.feed.store import PERMIT_COLUMNS, Counter, permit_of
from enforcement_api.permits.core import Facts, GivenVehicle, StoredPermit, number_before
from enforcement_api.problems import N_, Problem
from sync import codec
from sync.entities import Permit
from sync.plates import Plate

MOST_OF_A_NUMBER = 100
"""Permits of one number beyond which it is nobody's: some feeders may give all the same."""
_c = permit_versions.c
_CURRENT = _c.superseded_at.is_(None)

# Put together once, as every upload asks them: that takes longer than executing them.
_Query = Select[Any]
_FOLDED: _Query = select(*PERMIT_COLUMNS).where(
    _c.site == bindparam("of_site"), _c.fold == bindparam("of_fold")
)
_PLATED = _FOLDED.where(
    _c.plate == bindparam("of_plate"), _c.jurisdiction == bindparam("of_jurisdiction")
)
_KNOWN_AT: BindParameter[int] = bindparam("known_at")
_THEN = (_c.sequence <= _KNOWN_AT, or_(_CURRENT, _c.superseded_at > _KNOWN_AT))
_ALIKE, _ALIKE_THEN = _FOLDED.where(_CURRENT), _FOLDED.where(*_THEN)
_OF_PLATE, _OF_PLATE_THEN = _PLATED.where(_CURRENT), _PLATED.where(*_THEN)
_NUMBERED = (
    select(_c.plate, _c.jurisdiction)
    .where(
        _c.site == bindparam("of_site"),
        _c.permit_number == bindparam("of_number"),
        _CURRENT,
        or_(_c.ends_at.is_(None), _c.ends_at > bindparam("of_at")),
    )
    .limit(MOST_OF_A_NUMBER + 1)
)
_BASES = each_text(bindparam("of_bases", type_=Text)).table_valued("value")
_OF_BASES = select(permit_versions).where(
    _c.site == bindparam("of_site"), _CURRENT, _c.base.in_(select(_BASES.c.value))
)


class UnknownPermit(Problem):
    """No such permit."""

    status = 404
    slug = "unknown-permit"
    title = N_("There is no such permit")
    detail = N_("Site {site} has no permit {id}: check the id that its feeder uses.")


@dataclass(slots=True)
class Version:
    """A version as it stands in the record, or is about to."""

    permit: StoredPermit
    sequence: int
    hash: int = 0
    superseded_at: int | None = None
    is_new: bool = False


def _base(id: str) -> str:
    return id.partition("~")[0]


def _version(row: Sequence[Any]) -> Version:
    """The version in a row of the whole table."""
    # By position: a row's names cost more than all the rest.
    (
        _, sequence, id, _, superseded_at, removed, source, version, recorded_at,
        plate, jurisdiction, _, plate_raw, zones, permit_number,
        valid_from, valid_until, confirmed_at, given_ends_at, status, make, model, year, colour,
        starts_at, ends_at, active_from, cancelled_at, hash, reconciled,
    ) = row  # fmt: skip
    facts = Facts(
        Plate(plate, jurisdiction),
        tuple(zones.split(" ")),
        permit_number,
        valid_from,
        valid_until,
        confirmed_at,
        given_ends_at,
        status,
        GivenVehicle(make, model, year, colour),
    )
    permit = StoredPermit(
        id=id,
        source=source,
        version=version,
        plate_raw=plate_raw,
        facts=facts,
        starts_at=starts_at,
        ends_at=ends_at,
        active_from=active_from,
        recorded_at=recorded_at,
        cancelled_at=cancelled_at,
        removed=removed,
        reconciled=reconciled,
    )
    return Version(permit, sequence, hash, superseded_at)


def _row(site: str, version: Version) -> tuple[Any, ...]:
    """The version as a row of the whole table."""
    permit = version.permit
    facts = permit.facts
    plate, vehicle = facts.plate, facts.vehicle
    return (
        site, version.sequence, permit.id, _base(permit.id), version.superseded_at,
        permit.removed, permit.source, permit.version, permit.recorded_at,
        plate.text, plate.jurisdiction, plate.fold, permit.plate_raw, " ".join(facts.zones),
        facts.permit_number, facts.valid_from, facts.valid_until, facts.confirmed_at,
        facts.ends_at, facts.status, vehicle.make, vehicle.model, vehicle.year, vehicle.colour,
        permit.starts_at, permit.ends_at, permit.active_from, permit.cancelled_at, version.hash,
        permit.reconciled,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _midnight(at: datetime) -> str:
    # Most permits begin and end at one of few.
    return codec.instant(at)


def _hash(permit: StoredPermit) -> int:
    """The hash of what the feed says of a version; 0 of one that is not in it."""
    if permit.removed:
        return 0
    facts = permit.facts
    plate, vehicle = facts.plate, facts.vehicle
    return codec.permit_hash(
        permit.id,
        plate.text,
        plate.jurisdiction,
        " ".join(facts.zones),
        facts.permit_number,
        _midnight(permit.starts_at),
        None if permit.ends_at is None else _midnight(permit.ends_at),
        codec.instant(permit.active_from),
        facts.status,
        vehicle.make,
        vehicle.colour,
    )


class Ledger:
    """The permits of some ids at one site, as one transaction changes them.

    Made after the site's counter row is locked, so that what it read stays so.
    """

    def __init__(self, tx: Connection, counter: Counter, ids: Iterable[str]) -> None:
        self._tx = tx
        self._counter = counter
        self._current: dict[str, Version] = {}
        self._superseded: dict[int, int] = {}
        self._new: list[Version] = []
        self._gone: list[Version] = []
        self._before: dict[str, list[StoredPermit]] = {}
        wanted = sorted({_base(id) for id in ids})
        asked = {"of_site": counter.site, "of_bases": json.dumps(wanted)}
        for row in tx.execute(_OF_BASES, asked):
            version = _version(row)
            self._current[version.permit.id] = version
        earlier = (v.permit for id, v in self._current.items() if "~" in id)
        for permit in sorted(earlier, key=lambda permit: number_before(permit.id)):
            self._keep_before(permit)

    def current(self, id: str) -> StoredPermit | None:
        """The permit as it stands."""
        version = self._current.get(id)
        return None if version is None else version.permit

    def before(self, id: str) -> Sequence[StoredPermit]:
        """The plates that the permit had before, the oldest first."""
        return self._before.get(id, ())

    def _keep_before(self, permit: StoredPermit) -> None:
        plates = self._before.setdefault(_base(permit.id), [])
        at = bisect_left(plates, number_before(permit.id), key=lambda p: number_before(p.id))
        is_known = at < len(plates) and plates[at].id == permit.id
        plates[at : at + is_known] = [permit]  # not at its number: those before may be forgotten

    def put(self, permit: StoredPermit) -> StoredPermit | None:
        """Record a version; the one before, which it supersedes."""
        sequence = self._counter.take()
        old = self._current.get(permit.id)
        if old is not None:
            old.superseded_at = sequence
            if not old.is_new:
                self._superseded[old.sequence] = sequence
            if not old.permit.removed:
                self._gone.append(old)
        version = Version(permit, sequence, is_new=True)
        self._current[permit.id] = version
        self._new.append(version)
        if "~" in permit.id:
            self._keep_before(permit)
        return None if old is None else old.permit

    def save(self) -> None:
        """Write what was put, and bring the digest of the counter row up to it."""
        counter = self._counter
        if self._superseded:
            here = _c.site == counter.site
            update_rows(self._tx, here, _c.sequence, _c.superseded_at, self._superseded)
        if self._new:
            insert_rows(self._tx, permit_versions, self._rows())
        shown = (version.hash for version in self._new if not version.permit.removed)
        gone = (version.hash for version in self._gone)
        counter.digest = counter.digest.with_rows(shown).without_rows(gone)

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        """What was put as rows, each hashed while it is at hand."""
        for version in self._new:
            version.hash = _hash(version.permit)
            yield _row(self._counter.site, version)


# Reading


def plates_of(tx: Connection, site: str, permit_number: str, at: datetime) -> set[Plate]:
    """The plates that a permit number has at a site from an instant on; none, if it is on more
    than MOST_OF_A_NUMBER permits.
    """
    asked = {"of_site": site, "of_number": permit_number, "of_at": at}
    rows = tx.execute(_NUMBERED, asked).all()
    if len(rows) > MOST_OF_A_NUMBER:
        return set()
    return {Plate(row.plate, row.jurisdiction) for row in rows}


def permits_for(
    tx: Connection, site: str, plate: Plate, *, as_known_at: int | None = None
) -> list[Permit]:
    """Every permit that the record knows of a plate, or knew at a sequence number, those removed
    from the feed included: they count no more, or the instant is one that the index refuses.
    """
    return _permits(tx, site, plate, as_known_at, now=_OF_PLATE, then=_OF_PLATE_THEN)


def ids_of(tx: Connection, site: str, plate: Plate) -> list[str]:
    """The ids of the permits of which a version has this plate."""
    query = (
        select(_c.id)
        .where(
            _c.site == site,
            _c.fold == plate.fold,
            _c.plate == plate.text,
            _c.jurisdiction == plate.jurisdiction,
        )
        .distinct()
    )
    return sorted(tx.execute(query).scalars())


def look_alikes(
    tx: Connection, site: str, plate: Plate, *, as_known_at: int | None = None
) -> list[Permit]:
    """Every permit whose plate folds like this one."""
    return _permits(tx, site, plate, as_known_at, now=_ALIKE, then=_ALIKE_THEN)


def permits_named(tx: Connection, site: str, ids: Sequence[str]) -> dict[str, Permit]:
    """The permits of these ids, as they stand."""
    query = select(*PERMIT_COLUMNS).where(_c.site == site, _CURRENT, _c.id.in_(ids))
    found = (permit_of(row) for row in tx.execute(query)) if ids else ()
    return {permit.id: permit for permit in found}


def plates_before(tx: Connection, site: str, id: str) -> list[Permit]:
    """The plates that a permit had before, as permits of their own, as they stand."""
    query = select(*PERMIT_COLUMNS).where(_c.site == site, _CURRENT, _c.base == id, _c.id != id)
    return [permit_of(row) for row in tx.execute(query)]


def _permits(
    tx: Connection, site: str, plate: Plate, as_known_at: int | None, *, now: _Query, then: _Query
) -> list[Permit]:
    asked = {
        "of_site": site,
        "of_fold": plate.fold,
        "of_plate": plate.text,
        "of_jurisdiction": plate.jurisdiction,
        "known_at": as_known_at,
    }
    return [permit_of(row) for row in tx.execute(now if as_known_at is None else then, asked)]


def history(tx: Connection, site: str, id: str) -> list[tuple[int, StoredPermit]]:
    """Every version of a permit, the oldest first, each with its sequence number."""
    if "\0" in id:  # PostgreSQL refuses to be asked
        raise UnknownPermit(site=site, id=id)
    found = tx.execute(
        select(permit_versions).where(_c.site == site, _c.base == _base(id), _c.id == id)
    )
    # Put in order here: SQLite would rather read the site's whole feed in its order.
    ordered = sorted(map(_version, found), key=lambda version: version.sequence)
    versions = [(version.sequence, version.permit) for version in ordered]
    if not versions:
        raise UnknownPermit(site=site, id=id)
    return versions


@dataclass(frozen=True, slots=True)
class Contact:
    """What a source pushed lately: how many versions of those looked at, and when the last."""

    source: str
    versions: int
    last_at: datetime


def last_contacts(tx: Connection, site: str, *, among: int) -> list[Contact]:
    """The sources of the last `among` versions, the busiest first. (What the retention writes keeps
    the source of what it writes it of.)
    """
    latest = (
        select(_c.source, _c.recorded_at)
        .where(_c.site == site)
        .order_by(_c.sequence.desc())
        .limit(among)
        .subquery()
    )
    number = func.count()
    query = (
        select(latest.c.source, number, func.max(latest.c.recorded_at))
        .group_by(latest.c.source)
        .order_by(number.desc(), latest.c.source)
    )
    return [Contact(source, int(count), at) for source, count, at in tx.execute(query)]


@dataclass(frozen=True, slots=True)
class Count:
    """How many permits of a status are in the feed, and how many of them have not ended."""

    status: str
    permits: int
    not_ended: int


def counted(tx: Connection, site: str, *, at: datetime) -> list[Count]:
    """The permits in the feed by status. It reads all of them."""
    lives = case((or_(_c.ends_at.is_(None), _c.ends_at > at), 1), else_=0)
    query = (
        select(_c.status, func.count(), func.sum(lives))
        .where(_c.site == site, _CURRENT, _c.removed.is_(False))
        .group_by(_c.status)
        .order_by(_c.status)
    )
    return [Count(status, int(all_), int(some)) for status, all_, some in tx.execute(query)]


def has_permits(tx: Connection, site: str) -> bool:
    """Whether the site ever had a permit."""
    return bool(tx.execute(select(exists().where(_c.site == site))).scalar_one())


def zones_named(tx: Connection, site: str) -> set[str]:
    """The zones that the site's permits in the feed name."""
    found = tx.execute(
        select(_c.zones).where(_c.site == site, _CURRENT, _c.removed.is_(False)).distinct()
    )
    return {zone for (zones,) in found for zone in zones.split(" ")}


def live_permits(tx: Connection, site: str, source: str, at: datetime) -> dict[str, datetime]:
    """A source's permits that have not ended at `at`, and when each was last recorded. The plates
    that a permit had before go with it, and are not among them.
    """
    found = tx.execute(
        select(_c.id, _c.recorded_at).where(
            _c.site == site,
            _CURRENT,
            _c.removed.is_(False),
            _c.source == source,
            _c.id == _c.base,
            _c.status != "cancelled",
            or_(_c.ends_at.is_(None), _c.ends_at > at),
        )
    )
    return {row.id: row.recorded_at for row in found}


@dataclass(frozen=True, slots=True)
class OldVersion:
    """A version of which nothing is needed any more, and the sequence number from which on."""

    sequence: int
    plate: Plate
    needless_from: int


def old_versions(tx: Connection, site: str, before: datetime) -> list[OldVersion]:
    """Versions that were superseded, or removed from the feed, before an instant."""
    newer = permit_versions.alias("newer")
    superseded = (
        select(_c.sequence, _c.plate, _c.jurisdiction, newer.c.sequence.label("needless_from"))
        .join(newer, and_(newer.c.site == _c.site, newer.c.sequence == _c.superseded_at))
        .where(_c.site == site, newer.c.recorded_at < before)
    )
    removed = select(
        _c.sequence, _c.plate, _c.jurisdiction, _c.sequence.label("needless_from")
    ).where(_c.site == site, _CURRENT, _c.removed, _c.recorded_at < before)
    return [
        OldVersion(row.sequence, Plate(row.plate, row.jurisdiction), row.needless_from)
        for query in (superseded, removed)
        for row in tx.execute(query)
    ]


def delete_versions(tx: Connection, site: str, sequences: Sequence[int]) -> None:
    """Delete versions, for good."""
    for at in range(0, len(sequences), 10_000):
        some = sequences[at : at + 10_000]
        tx.execute(delete(permit_versions).where(_c.site == site, _c.sequence.in_(some)))


def ended_before(tx: Connection, site: str, at: datetime, retention: timedelta) -> list[str]:
    """The permits in the feed that no longer count at `at`, or later (DOMAIN 2.6, test 1)."""
    past = _c.ends_at <= at - retention
    found = tx.execute(select(_c.id).where(_c.site == site, _CURRENT, _c.removed.is_(False), past))
    return list(found.scalars())


def removed_but_counting(
    tx: Connection, site: str, at: datetime, retention: timedelta
) -> list[str]:
    """The permits that a retention run removed but that count at `at`, were it run today."""
    counts = _c.ends_at > at - retention
    found = tx.execute(select(_c.id).where(_c.site == site, _CURRENT, _c.removed, counts))
    return list(found.scalars())
