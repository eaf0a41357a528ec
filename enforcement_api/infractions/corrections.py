"""Corrections: an issued infraction stays as it is, and another one is named that corrects it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, delete, or_, select

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import infraction_corrections, infractions
from enforcement_api.infractions import store
from enforcement_api.infractions.core import Event, Infraction, UnknownInfraction, is_uuid
from enforcement_api.problems import N_, Problem
from enforcement_api.security import Principal

_c = infraction_corrections.c


class OwnCorrection(Problem):
    """An infraction that would correct itself, or one that it is corrected by."""

    status = 409
    slug = "own-correction"
    title = N_("An infraction does not correct itself")
    detail = N_("Name the one that was recorded in its place.")


@dataclass(frozen=True, slots=True)
class Correction:
    """That `correction` takes the place of `infraction`; numbers are null where none was issued."""

    infraction: str
    infraction_number: str | None
    correction: str
    correction_number: str | None
    at: datetime
    by: str
    by_name: str


def named(tx: Connection, site: str, name: str) -> Infraction:
    """An infraction of a site by its id or its number. Raises UnknownInfraction."""
    name = name.strip()
    if is_uuid(name):
        found = store.find(tx, name.lower())
        if found.sent.site == site:
            return found
        raise UnknownInfraction(id=name)
    query = select(infractions.c.id).where(infractions.c.site == site, infractions.c.number == name)
    id = tx.execute(query.order_by(infractions.c.id).limit(1)).scalar()
    if not name or id is None:
        raise UnknownInfraction(id=name)
    return store.find(tx, id)


def link(
    record: Record,
    tx: Connection,
    infraction: Infraction,
    correction: Infraction,
    *,
    by: Principal,
    at: datetime,
) -> bool:
    """Say that one takes the place of another of its site; whether nobody had said so before.

    Raises OwnCorrection, OwnInfraction, ForbiddenSite.
    """
    site = infraction.sent.site
    by.check_site(site)
    store.check_not_own(tx, infraction, by)
    back = (_c.site == site, _c.infraction == correction.id, _c.correction == infraction.id)
    there = select(_c.infraction).where(*back)
    if correction.id == infraction.id or tx.execute(there).first() is not None:
        raise OwnCorrection
    row = {
        "site": site,
        "infraction": infraction.id,
        "correction": correction.id,
        "at": at,
        "by": by.actor,
        "by_name": by.name,
    }
    added = tx.execute(record.insert(infraction_corrections).values(row).on_conflict_do_nothing())
    if not added.rowcount:
        return False
    facts = {"correction": correction.id, "number": correction.sent.number}
    event = Event(at, "correction-linked", infraction.state, by.actor, facts)
    store.remember(tx, site, infraction.id, event)
    return True


def unlink(
    tx: Connection, infraction: Infraction, correction: str, *, by: Principal, at: datetime
) -> bool:
    """Take back that one takes the place of another; whether somebody had said so. The log keeps
    both. Raises OwnInfraction, ForbiddenSite.
    """
    site = infraction.sent.site
    by.check_site(site)
    store.check_not_own(tx, infraction, by)
    here = (_c.site == site, _c.infraction == infraction.id, _c.correction == correction)
    gone = tx.execute(delete(infraction_corrections).where(*here)).rowcount
    if gone:
        facts = {"correction": correction}
        event = Event(at, "correction-unlinked", infraction.state, by.actor, facts)
        store.remember(tx, site, infraction.id, event)
    return bool(gone)


def of(tx: Connection, infraction: Infraction) -> list[Correction]:
    """What corrects an infraction, and what it corrects, the oldest link first."""
    site = infraction.sent.site
    here = infractions.alias("here")
    there = infractions.alias("there")
    query = (
        select(
            _c.infraction,
            here.c.number.label("infraction_number"),
            _c.correction,
            there.c.number.label("correction_number"),
            _c.at,
            _c.by,
            _c.by_name,
        )
        .join_from(
            infraction_corrections,
            here,
            (here.c.site == _c.site) & (here.c.id == _c.infraction),
        )
        .join(there, (there.c.site == _c.site) & (there.c.id == _c.correction))
        # The site stands with each, or SQLite would read all links of it.
        .where(
            or_(
                and_(_c.site == site, _c.infraction == infraction.id),
                and_(_c.site == site, _c.correction == infraction.id),
            )
        )
        .order_by(_c.at, _c.infraction, _c.correction)
    )
    return [Correction(*row) for row in tx.execute(query)]
