"""Why a plate gets its verdict: at any instant, in any zone, by what was known at any time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from enforcement_api.feed import store as feed
from enforcement_api.permits import checking, store
from enforcement_api.permits.checking import Answer, Place
from enforcement_api.sites import store as sites
from sync.entities import Permit, Zone
from sync.plates import Plate
from sync.validity import Judgement, Reason, Timeline, explain, judge, timeline


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to a check; what each permit of the plate says to it, those that no longer count
    included; and how the verdict changes over time, with the same permits.
    """

    answer: Answer
    reasons: tuple[Reason, ...]
    timeline: Timeline


def explained(
    tx: Connection,
    site: str,
    zone: str,
    plate: Plate,
    *,
    at: datetime,
    as_known_at: int | None = None,
    most: int = 20,
) -> Explanation:
    """Why the plate gets its verdict in a zone at an instant, as it is known now or was at a
    sequence number; with up to `most` turns of the verdict before and after.

    The site's own settings and zones are today's. Raises UnknownSite, UnknownZone, Invalid,
    Forgotten.
    """
    place = Place.find(tx, site, zone)
    answer = checking.judged(tx, place, plate, at=at, as_known_at=as_known_at)
    permits = store.permits_for(tx, site, plate, as_known_at=as_known_at)
    retention = place.site.retention
    return Explanation(
        answer,
        explain(permits, zone=zone, at=at, retention=retention),
        timeline(permits, zone=zone, at=at, retention=retention, most=most),
    )


def in_every_zone(
    tx: Connection, site: str, plate: Plate, *, at: datetime, as_known_at: int | None = None
) -> list[tuple[Zone, Judgement]]:
    """The judgement on a plate in each zone of a site, in their order.

    Raises UnknownSite, Invalid, Forgotten.
    """
    plan = sites.plan(tx, site)
    if as_known_at is not None:
        checking.check_known(as_known_at, feed.level(tx, site))
    permits = store.permits_for(tx, site, plate, as_known_at=as_known_at)
    retention = plan.site.retention
    return [(zone, judge(permits, zone=zone.id, at=at, retention=retention)) for zone in plan.zones]


def permits_ever_of(tx: Connection, site: str, plate: Plate) -> list[Permit]:
    """The permits that have this plate or once had it, by id, as they stand: one that has another
    plate by now is among them. `showing.whole` tells all versions of one.
    """
    found = store.permits_named(tx, site, store.ids_of(tx, site, plate))
    return [found[id] for id in sorted(found)]
