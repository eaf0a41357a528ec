"""Courtesy permits: one plate, active at once, for a few days, with a reason: a loan car's, say.

Its number says what it is (`COURTOISIE-…`), so that whoever is shown the permit is shown that too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, Select, and_, select, update

from enforcement_api.database.tables import courtesy_permits
from enforcement_api.permits.core import UnknownZone
from enforcement_api.permits.updates import PlateUpdateIn
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import core, store
from enforcement_api.subscriptions.office import Office
from enforcement_api.subscriptions.store import Action, Wanted
from sync import codec
from sync.entities import ALL_ZONES, COURTESY, Site
from sync.plates import Plate

PERMIT = "courtesy-"
"""What the id of such a permit begins with in the feed; its own id follows."""


class UnknownCourtesyPermit(Problem):
    """No such courtesy permit."""

    status = 404
    slug = "unknown-courtesy-permit"
    title = N_("There is no such courtesy permit")
    detail = N_("Check the id {id}; GET /v1/courtesy-permits lists them.")


@dataclass(frozen=True, slots=True)
class CourtesyPermit:
    """A plate that staff let in for a few days."""

    site: str
    id: str
    number: str
    content_hash: str
    subscription: str | None
    plate: Plate
    plate_raw: str
    zones: tuple[str, ...]
    reason: str
    granted_at: datetime
    granted_by: str
    expires_at: datetime
    ended_at: datetime | None = None
    permit_version: int = 1

    def permit(self, site: Site) -> PlateUpdateIn:
        """What is pushed of it. It is confirmed as long before it was granted as the site's delay
        lasts, so that it is active from that very instant.
        """
        granted = self.granted_at.astimezone(ZoneInfo(site.time_zone))
        return PlateUpdateIn(
            id=PERMIT + self.id,
            version=self.permit_version,
            plate=self.plate_raw,
            jurisdiction=self.plate.jurisdiction,
            site=self.site,
            zones=list(self.zones),
            permit_number=self.number,
            valid_from=granted.date(),
            confirmed_at=self.granted_at - timedelta(hours=site.activation_hours),
            ends_at=self.ended_at or self.expires_at,
            status="active" if self.ended_at is None else "cancelled",
        )

    def as_json(self) -> dict[str, Any]:
        """A courtesy permit as it is answered."""
        return {
            "id": self.id,
            "site": self.site,
            "number": self.number,
            "subscription": self.subscription,
            "plate": self.plate.text,
            "jurisdiction": self.plate.jurisdiction,
            "plate_raw": self.plate_raw,
            "zones": list(self.zones),
            "reason": self.reason,
            "granted_at": codec.instant(self.granted_at),
            "granted_by": self.granted_by,
            "expires_at": codec.instant(self.expires_at),
            "ended_at": codec.optional_instant(self.ended_at),
        }


def grant(
    office: Office, tx: Connection, wanted: CourtesyPermit, *, most: timedelta, action: Action
) -> tuple[CourtesyPermit, bool]:
    """Let a plate in at once; whether that is new. Its number is given here.

    Raises Invalid, UnknownZone, UnknownSubscription, NotInThisState, ActionConflict.
    """
    known = find(tx, wanted.id, lock=True)
    if known is not None:
        return _same(known, wanted), False
    at = action.at
    if wanted.expires_at <= at:
        raise Invalid(errors=[Problem.Error("/expires_at", N_("is over"))])
    if wanted.expires_at > at + most:
        told = N_("must be within {days} days")
        raise Invalid(errors=[Problem.Error("/expires_at", told, days=most.days)])
    site = sites.site(tx, wanted.site)
    zones = wanted.zones
    if wanted.subscription is not None:
        subscription = store.subscription(tx, wanted.subscription, lock=True)
        if subscription.site != wanted.site:
            raise store.UnknownSubscription(id=wanted.subscription)
        if subscription.status(at) not in ("waiting", "active"):
            raise core.NotInThisState(subscription, at)
        zones = zones or store.product(tx, wanted.site, subscription.product).zones
    if not zones:
        raise Invalid(errors=[Problem.Error("/zones", N_("is missing"))])
    known_zones = sites.zone_codes(tx, wanted.site)
    for zone in zones:
        if zone != ALL_ZONES and zone not in known_zones:
            raise UnknownZone(site=site.id, zone=zone, zones=", ".join(sorted(known_zones)))
    number = COURTESY + store.next_number(tx, wanted.site)
    granted = replace(wanted, number=number, zones=zones)
    row = office.record.insert(courtesy_permits).values(_row_of(granted))
    if not tx.execute(row.on_conflict_do_nothing()).rowcount:  # the same came at this moment
        known = find(tx, wanted.id, lock=True)
        assert known is not None
        return _same(known, wanted), False
    office.feed(tx, [granted.permit(site)], at)
    store.remember(tx, site.id, f"courtesy:{granted.id}", "granted", action, number=number)
    return granted, True


def _same(known: CourtesyPermit, wanted: CourtesyPermit) -> CourtesyPermit:
    if known.content_hash != wanted.content_hash:
        raise store.ActionConflict(id=wanted.id)
    return known


def end(office: Office, tx: Connection, id: str, *, action: Action) -> CourtesyPermit:
    """End it now; one that has ended stays so. Raises UnknownCourtesyPermit."""
    known = find(tx, id, lock=True)
    if known is None:
        raise UnknownCourtesyPermit(id=id)
    if known.ended_at is not None or known.expires_at <= action.at:
        return known
    ended = replace(known, ended_at=action.at, permit_version=known.permit_version + 1)
    office.feed(tx, [ended.permit(sites.site(tx, ended.site))], action.at)
    c = courtesy_permits.c
    here = and_(c.site == ended.site, c.id == id)
    tx.execute(update(courtesy_permits).where(here).values(_row_of(ended)))
    store.remember(tx, ended.site, f"courtesy:{id}", "ended", action)
    return ended


def find(tx: Connection, id: str, *, lock: bool = False) -> CourtesyPermit | None:
    """One of them, or None."""
    query: Select[Any] = select(courtesy_permits).where(courtesy_permits.c.id == id)
    row = tx.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _permit_of(row)


def listed(tx: Connection, wanted: Wanted, *, plate: str | None, live_at: datetime | None) -> Any:
    """Courtesy permits by site, the one that was granted first at the top. `live_at`: those alone
    that are good then.
    """
    c = courtesy_permits.c
    query = select(courtesy_permits)
    if plate is not None:
        query = query.where(c.plate == plate)
    if live_at is not None:
        query = query.where(c.ended_at.is_(None), c.expires_at > live_at)
    query = store.page_of(query, wanted, (c.site, c.granted_at, c.id))
    return [_permit_of(row) for row in tx.execute(query)]


def _permit_of(row: Row[Any]) -> CourtesyPermit:
    values = dict(row._mapping)
    plate = Plate(values.pop("plate"), values.pop("jurisdiction"))
    zones = tuple(values.pop("zones").split(" "))
    return CourtesyPermit(plate=plate, zones=zones, **values)


def _row_of(permit: CourtesyPermit) -> dict[str, Any]:
    plain = {
        column.name: getattr(permit, column.name)
        for column in courtesy_permits.c
        if column.name not in ("plate", "jurisdiction", "zones")
    }
    plate = permit.plate
    zones = " ".join(permit.zones)
    return plain | {"plate": plate.text, "jurisdiction": plate.jurisdiction, "zones": zones}
