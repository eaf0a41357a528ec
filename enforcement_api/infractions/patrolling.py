"""What patrols are doing, as far as they have told: where each device was last, the shifts under
way, checks by the hour, and the questions that wait for an answer. SQL, for reading alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

from sqlalchemy import Connection, case, func, literal_column, select

from enforcement_api.database.tables import devices, events, infractions, patrollers, reviews
from enforcement_api.devices.events import CHECK, LONGEST_PLACE, Event, event_of

SHIFT_LASTS = timedelta(hours=16)
"""A shift that began longer ago and was not ended has been forgotten: its device is not asked."""
MOST_SHIFTS = 2_000
"""Beginnings of shifts that are looked through for each patroller's last one."""
MOST_QUESTIONS = 500

LATELY = timedelta(days=7)
"""How far back a device's events are told, besides its checks."""

_e, _i, _d, _r = events.c, infractions.c, devices.c, reviews.c
# As the index of checks has it: with a parameter in its place, no engine would see that it fits.
_is_check = _e.kind == literal_column(f"'{CHECK}'")
_OF_DEVICES = (
    "shift_started",
    "shift_ended",
    "alert_acknowledged",
    "infraction_voided",
    "answer",
    "message_read",
    "number_spoiled",
)


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The last that a device told of a patrol. Of a check only the lot is known, of an infraction
    the position too, if the device knew it; `id`: the infraction's.
    """

    what: Literal["check", "infraction"]
    device: str
    at: datetime
    patroller: str | None
    zone: str | None
    lot: str | None
    place: str | None
    id: str | None = None
    lat: float | None = None
    lon: float | None = None
    accuracy_m: float | None = None


@dataclass(frozen=True, slots=True)
class OpenShift:
    """A shift that was begun and not ended, as far as is known."""

    id: str
    device: str
    patroller: str
    zone: str | None
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Activity:
    """When a patroller was last heard of: the beginning of a shift, and whatever came last."""

    shift_at: datetime | None = None
    shift_device: str | None = None
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a patroller that nobody has answered. The device that recorded the infraction
    is told it, and no other.
    """

    infraction: str
    number: str | None
    plate: str | None
    device: str
    patroller: str
    observed_at: datetime
    asked_at: datetime
    by_name: str
    text: str | None


def last_told(tx: Connection, site: str, ids: Collection[str]) -> dict[str, Whereabouts]:
    """The last check or infraction of each of these devices at a site, whichever was later."""
    found = {seen.device: seen for seen in _last_infractions(tx, site, ids)}
    for seen in _last_checks(tx, site, ids):
        known = found.get(seen.device)
        if known is None or known.at < seen.at:
            found[seen.device] = seen
    return found


def last_positions(tx: Connection, site: str, ids: Collection[str]) -> dict[str, Whereabouts]:
    """The last infraction of each of these devices at a site, if its position is known."""
    return {seen.device: seen for seen in _last_infractions(tx, site, ids) if seen.lat is not None}


def _last_infractions(tx: Connection, site: str, ids: Collection[str]) -> list[Whereabouts]:
    last = (
        select(_i.id)
        .where(_i.site == site, _i.device == _d.id)
        .order_by(_i.received_at.desc(), _i.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    wanted = list(tx.execute(select(last).where(_d.id.in_(ids))).scalars())
    rows = tx.execute(select(infractions).where(_i.id.in_([id for id in wanted if id])))
    return [
        Whereabouts(
            "infraction",
            row.device,
            row.observed_at,
            row.patroller,
            row.zone,
            row.lot,
            row.place,
            row.id,
            row.lat,
            row.lon,
            row.accuracy_m,
        )
        for row in rows
    ]


def _last_checks(tx: Connection, site: str, ids: Collection[str]) -> list[Whereabouts]:
    last = (
        select(_e.id)
        .where(_e.site == site, _e.device == _d.id, _is_check)
        .order_by(_e.at.desc())
        .limit(1)
        .scalar_subquery()
    )
    wanted = list(tx.execute(select(last).where(_d.id.in_(ids))).scalars())
    rows = tx.execute(select(events).where(_e.id.in_([id for id in wanted if id])))
    return [
        Whereabouts(
            "check",
            row.device,
            row.at,
            _text(row.facts, "patroller"),
            _text(row.facts, "zone"),
            _text(row.facts, "lot"),
            _text(row.facts, "place"),
        )
        for row in rows
    ]


def latest_of(tx: Connection, site: str, device: str, at: datetime, *, most: int) -> list[Event]:
    """The last events of a device at a site, the newest first: its checks, and whatever else it
    told in the week before an instant.
    """
    query = select(events).where(_e.site == site, _e.device == device)
    # The others without an order: SQLite would rather read all of a site in order than sort a few.
    rows = [
        *tx.execute(query.where(_is_check).order_by(_e.at.desc()).limit(most)),
        *tx.execute(query.where(_e.kind.in_(_OF_DEVICES), _e.at > at - LATELY)),
    ]
    return sorted(map(event_of, rows), key=lambda each: (each.at, each.id), reverse=True)[:most]


@dataclass(frozen=True, slots=True)
class Brief:
    """An infraction in one line."""

    id: str
    number: str | None
    plate: str | None
    observed_at: datetime
    state: str
    patroller: str


def infractions_of(tx: Connection, site: str, device: str, *, most: int) -> list[Brief]:
    """The last infractions of a device at a site, the last received first."""
    query = (
        select(_i.id, _i.number, _i.plate, _i.observed_at, _i.state, _i.patroller)
        .where(_i.site == site, _i.device == device)
        .order_by(_i.received_at.desc(), _i.id.desc())
        .limit(most)
    )
    return [Brief(*row) for row in tx.execute(query)]


def open_shifts(tx: Connection, site: str, at: datetime) -> list[OpenShift]:
    """The shifts that are under way at an instant, the last begun first."""
    query = select(_e.kind, _e.at, _e.device, _e.id, _e.facts).where(
        _e.site == site,
        _e.kind.in_(("shift_started", "shift_ended")),
        _e.at > at - SHIFT_LASTS,
        _e.at <= at + timedelta(minutes=5),  # a handheld's clock may be a little ahead
    )
    begun: dict[str, OpenShift] = {}
    ended: set[str] = set()
    rows = sorted(tx.execute(query), key=lambda row: (row.at, row.id))  # as in latest_of
    for kind, when, device, _, facts in rows:
        shift = _text(facts, "shift")
        if shift is None:
            continue
        if kind == "shift_ended":
            ended.add(shift)
        else:
            who = _text(facts, "patroller") or ""
            begun[shift] = OpenShift(shift, device, who, _text(facts, "zone"), when)
    return [shift for shift in reversed(begun.values()) if shift.id not in ended]


def checks_between(tx: Connection, site: str, edges: Sequence[datetime]) -> list[int]:
    """How many checks were made from each of these instants up to the next."""
    spans = list(pairwise(edges))
    if not spans:
        return []
    counted = (
        func.count(case((_e.at.between(begins, ends - timedelta(microseconds=1)), 1)))
        for begins, ends in spans
    )
    here = (_e.site == site, _e.kind == CHECK, _e.at >= edges[0], _e.at < edges[-1])
    return list(tx.execute(select(*counted).where(*here)).one())


def activities(tx: Connection, site: str) -> dict[str, Activity]:
    """When each patroller of a site was last heard of, by id and by badge as they are told."""
    shifts: dict[str, tuple[datetime, str]] = {}
    query = select(_e.at, _e.device, _e.facts).where(_e.site == site, _e.kind == "shift_started")
    query = query.order_by(_e.at.desc(), _e.id.desc()).limit(MOST_SHIFTS)
    for at, device, facts in tx.execute(query):
        who = _text(facts, "patroller")
        if who is not None:
            shifts.setdefault(who, (at, device))
    p = patrollers.c
    last = (
        select(_i.observed_at)
        .where(_i.site == site, _i.patroller == p.id)
        .order_by(_i.received_at.desc(), _i.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    by_badge = (
        select(_i.observed_at)
        .where(_i.site == site, _i.patroller == p.badge)
        .order_by(_i.received_at.desc(), _i.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    found: dict[str, Activity] = {}
    for id, badge, *seen in tx.execute(select(p.id, p.badge, last, by_badge).where(p.site == site)):
        begun = max((shifts[name] for name in {id, badge} if name in shifts), default=None)
        times = [at for at in (*seen, begun and begun[0]) if at is not None]
        found[id] = Activity(
            None if begun is None else begun[0],
            None if begun is None else begun[1],
            max(times, default=None),
        )
    return found


def unanswered(tx: Connection, site: str) -> list[Asked]:
    """The questions of a site that wait for an answer, the longest first."""
    query = (
        select(_i.id, _i.number, _i.plate, _i.device, _i.patroller, _i.observed_at)
        .where(_i.site == site, _i.state == "information_requested")
        .order_by(_i.received_at, _i.id)
        .limit(MOST_QUESTIONS)
    )
    rows = tx.execute(query).all()
    asked: dict[str, Any] = {}
    by_ids = select(reviews).where(
        _r.site == site,
        _r.infraction.in_([row.id for row in rows]),
        _r.decision == "request_information",
    )
    for row in tx.execute(by_ids.order_by(_r.position)):
        asked[row.infraction] = row
    found = [
        Asked(
            row.id,
            row.number,
            row.plate,
            row.device,
            row.patroller,
            row.observed_at,
            asked[row.id].at,
            asked[row.id].by_name,
            asked[row.id].note,
        )
        for row in rows
        if row.id in asked
    ]
    return sorted(found, key=lambda each: (each.asked_at, each.infraction))


def _text(facts: Any, name: str) -> str | None:
    fact = facts.get(name)
    return fact[:LONGEST_PLACE] if isinstance(fact, str) and fact.strip() else None
