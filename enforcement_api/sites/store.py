"""The SQL of sites, patrollers and the hotlist."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import codes, hotlist, lots, patrollers, sites, zones
from enforcement_api.shapes import is_identifier
from enforcement_api.sites.core import (
    BadgeTaken,
    Patroller,
    SitePlan,
    UnknownHotlistEntry,
    UnknownPatroller,
    UnknownSite,
    is_site_id,
)
from sync import codec
from sync.entities import HotlistEntry, InfractionCode, Lot, Site, Zone
from sync.plates import Plate

# Sites

# Put together once, as every upload asks them: that takes longer than executing them.
_BY_ID = select(sites).where(sites.c.id == bindparam("of_site"))
_ZONE_CODES = select(zones.c.code).where(zones.c.site == bindparam("of_site"))


def site(tx: Connection, id: str) -> Site:
    """A site's settings. Raises UnknownSite."""
    # What can be no code is not asked for: engines refuse some texts.
    row = tx.execute(_BY_ID, {"of_site": id}).first() if is_site_id(id) else None
    if row is None:
        raise UnknownSite(site=id)
    return _site_of(row)


def all_sites(tx: Connection) -> list[Site]:
    """Every site, by code."""
    return [_site_of(row) for row in tx.execute(select(sites).order_by(sites.c.id))]


def stale_after(tx: Connection) -> dict[str, timedelta]:
    """How old a copy of each site may become before it warns (DOMAIN 2.7)."""
    return {site.id: site.stale_after for site in all_sites(tx)}


def zone_codes(tx: Connection, site: str) -> set[str]:
    """The codes of a site's zones; none for a site that is not there."""
    return set(tx.execute(_ZONE_CODES, {"of_site": site}).scalars())


def plan(tx: Connection, id: str) -> SitePlan:
    """A site whole. Raises UnknownSite."""
    settings = site(tx, id)
    return SitePlan(
        site=settings,
        zones=tuple(
            Zone(row.code, row.name, row.note)
            for row in tx.execute(select(zones).where(zones.c.site == id).order_by("position"))
        ),
        lots=tuple(
            Lot(row.code, row.name, row.zone, row.area)
            for row in tx.execute(select(lots).where(lots.c.site == id).order_by("position"))
        ),
        codes=tuple(
            InfractionCode(
                id=row.code,
                title=row.title,
                instruments=tuple(row.instruments),
                article=row.article,
                amounts=tuple(row.amounts),
                photos_required=row.photos_required,
                active=row.active,
            )
            for row in tx.execute(select(codes).where(codes.c.site == id).order_by("position"))
        ),
    )


def add(tx: Connection, record: Record, site: Site, *, at: datetime) -> bool:
    """Add a site with its settings, unless it is there; whether it was added."""
    added = tx.execute(
        record.insert(sites)
        .values(id=site.id, created_at=at, **_settings(site))
        .on_conflict_do_nothing()
        .returning(sites.c.id)
    )
    return added.first() is not None


def replace_plan(tx: Connection, plan: SitePlan) -> None:
    """Write a site whole in place of what it was."""
    id = plan.site.id
    tx.execute(update(sites).where(sites.c.id == id).values(**_settings(plan.site)))
    for table in (zones, lots, codes):
        tx.execute(delete(table).where(table.c.site == id))
    if plan.zones:
        tx.execute(
            insert(zones),
            [
                {"site": id, "code": z.id, "position": i, "name": z.name, "note": z.note}
                for i, z in enumerate(plan.zones)
            ],
        )
    if plan.lots:
        tx.execute(
            insert(lots),
            [
                {
                    "site": id,
                    "code": lot.id,
                    "position": i,
                    "name": lot.name,
                    "zone": lot.zone,
                    "area": lot.area,
                }
                for i, lot in enumerate(plan.lots)
            ],
        )
    if plan.codes:
        tx.execute(
            insert(codes),
            [
                {
                    "site": id,
                    "code": code.id,
                    "position": i,
                    "title": code.title,
                    "instruments": list(code.instruments),
                    "article": code.article,
                    "amounts": list(code.amounts),
                    "photos_required": code.photos_required,
                    "active": code.active,
                }
                for i, code in enumerate(plan.codes)
            ],
        )


def set_pruned_at(tx: Connection, site_id: str, at: datetime) -> Site:
    """Remember the retention run; the site as it is now. Raises UnknownSite."""
    tx.execute(update(sites).where(sites.c.id == site_id).values(pruned_at=at))
    return site(tx, site_id)


def due_for_retention(tx: Connection, before: datetime) -> list[str]:
    """The sites whose last retention run, or whose making, was at an instant or earlier."""
    last = func.coalesce(sites.c.pruned_at, sites.c.created_at)
    return list(tx.execute(select(sites.c.id).where(last <= before).order_by(sites.c.id)).scalars())


def _settings(site: Site) -> dict[str, Any]:
    return {
        "name": site.name,
        "address": site.address,
        "time_zone": site.time_zone,
        "jurisdiction": site.jurisdiction,
        "instrument": site.instrument,
        "activation_hours": site.activation_hours,
        "retention_days": site.retention_days,
        "stale_after_hours": site.stale_after_hours,
        "no_notice": [codec.no_notice_record(window) for window in site.no_notice],
        "pruned_at": site.pruned_at,
    }


def _site_of(row: Any) -> Site:
    record = {**row._mapping, "pruned_at": codec.optional_instant(row.pruned_at)}
    return cast(Site, codec.entity("site", record))


# Patrollers


def put_patroller(tx: Connection, site: str, patroller: Patroller) -> bool:
    """Write a patroller; whether there was none with this id. Raises UnknownSite, BadgeTaken."""
    lock(tx, site)
    other = tx.execute(
        select(patrollers.c.name).where(
            patrollers.c.site == site,
            patrollers.c.badge == patroller.badge,
            patrollers.c.id != patroller.id,
        )
    ).scalar()
    if other is not None:
        raise BadgeTaken(name=patroller.name, badge=patroller.badge, other=other)
    values = {
        "badge": patroller.badge,
        "name": patroller.name,
        "pin_hash": patroller.pin_hash,
    }
    here = (patrollers.c.site == site, patrollers.c.id == patroller.id)
    if tx.execute(update(patrollers).where(*here).values(**values)).rowcount:
        return False
    tx.execute(insert(patrollers).values(site=site, id=patroller.id, **values))
    return True


def set_pin(tx: Connection, site: str, id: str, pin_hash: str) -> Patroller:
    """Give a patroller another PIN. Raises UnknownSite, UnknownPatroller."""
    known = patroller(tx, site, id)
    here = (patrollers.c.site == site, patrollers.c.id == id)
    tx.execute(update(patrollers).where(*here).values(pin_hash=pin_hash))
    return known


def patroller(tx: Connection, site: str, id: str) -> Patroller:
    """A patroller, whom nobody else changes until the transaction ends.

    Raises UnknownSite, UnknownPatroller.
    """
    lock(tx, site)
    row = None
    if is_identifier(id):
        here = (patrollers.c.site == site, patrollers.c.id == id)
        row = tx.execute(select(patrollers).where(*here)).first()
    if row is None:
        raise UnknownPatroller(id=id)
    return _patroller_of(row)


def all_patrollers(tx: Connection, site: str) -> list[Patroller]:
    """The patrollers of a site, by name."""
    query = select(patrollers).where(patrollers.c.site == site)
    found = [_patroller_of(row) for row in tx.execute(query)]
    return sorted(found, key=lambda one: (one.name.casefold(), one.id))


def _patroller_of(row: Any) -> Patroller:
    return Patroller(row.id, row.badge, row.name, row.pin_hash)


def delete_patroller(tx: Connection, site: str, id: str) -> None:
    """Remove a patroller. Raises UnknownSite, UnknownPatroller."""
    lock(tx, site)
    here = (patrollers.c.site == site, patrollers.c.id == id)
    if not tx.execute(delete(patrollers).where(*here)).rowcount:
        raise UnknownPatroller(id=id)


def patroller_of_badge(tx: Connection, site: str, badge: str) -> Patroller | None:
    """Who has this badge at the site."""
    row = tx.execute(
        select(patrollers).where(patrollers.c.site == site, patrollers.c.badge == badge)
    ).first()
    return None if row is None else _patroller_of(row)


def patroller_named(tx: Connection, site: str, name: str) -> Patroller | None:
    """Who has this id at the site, or else this badge."""
    here = (patrollers.c.site == site, patrollers.c.id == name)
    row = tx.execute(select(patrollers).where(*here)).first()
    if row is None:
        return patroller_of_badge(tx, site, name)
    return _patroller_of(row)


def lock(tx: Connection, site: str) -> None:
    """Let nobody else change the site's patrollers, or what is set for patrols, until the
    transaction ends. Raises UnknownSite.
    """
    row = select(sites.c.id).where(sites.c.id == site).with_for_update()
    if not is_site_id(site) or tx.execute(row).first() is None:
        raise UnknownSite(site=site)


# Hotlist


def put_hotlist_entry(tx: Connection, site: str, entry: HotlistEntry) -> bool:
    """Write an entry; whether there was none with this id. The feed of the site is locked."""
    values = {
        "plate": entry.plate.text,
        "jurisdiction": entry.plate.jurisdiction,
        "reason": entry.reason,
        "priority": entry.priority,
        "instructions": entry.instructions,
        "expires_at": entry.expires_at,
    }
    here = (hotlist.c.site == site, hotlist.c.id == entry.id)
    if tx.execute(update(hotlist).where(*here).values(**values)).rowcount:
        return False
    tx.execute(insert(hotlist).values(site=site, id=entry.id, **values))
    return True


def all_hotlist(tx: Connection, site: str) -> list[HotlistEntry]:
    """The hotlist of a site, by plate; what has expired too."""
    table = hotlist.c
    query = select(hotlist).where(table.site == site).order_by(table.plate, table.id)
    return [_hotlist_entry(row) for row in tx.execute(query)]


def hotlist_of(tx: Connection, site: str, plate: Plate) -> list[HotlistEntry]:
    """What the hotlist of a site says of a plate; what has expired too."""
    table = hotlist.c
    is_it = (table.plate == plate.text, table.jurisdiction == plate.jurisdiction)
    query = select(hotlist).where(table.site == site, *is_it).order_by(table.id)
    return [_hotlist_entry(row) for row in tx.execute(query)]


def _hotlist_entry(row: Any) -> HotlistEntry:
    return HotlistEntry(
        id=row.id,
        plate=Plate(row.plate, row.jurisdiction),
        reason=row.reason,
        priority=row.priority,
        instructions=row.instructions,
        expires_at=row.expires_at,
    )


def delete_hotlist_entry(tx: Connection, site: str, id: str) -> None:
    """Remove an entry. Raises UnknownHotlistEntry."""
    here = (hotlist.c.site == site, hotlist.c.id == id)
    if not tx.execute(delete(hotlist).where(*here)).rowcount:
        raise UnknownHotlistEntry(id=id)
