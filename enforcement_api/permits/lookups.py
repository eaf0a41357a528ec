"""Who looked a plate up, and what for (DOMAIN 6): the staff here, patrollers by their checks."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, bindparam, insert, select

from enforcement_api.database.tables import lookups
from enforcement_api.devices import events
from enforcement_api.devices import store as devices
from enforcement_api.devices.events import Event
from enforcement_api.security import Principal
from enforcement_api.shapes import line
from enforcement_api.sites import store as sites
from sync.plates import Plate
from sync.validity import Verdict

Who = Literal["staff", "patrol"]

_c = lookups.c
_ADD = insert(lookups)
_OF_PLATE = (
    select(lookups)
    .where(
        _c.site == bindparam("of_site"),
        _c.plate == bindparam("of_plate"),
        _c.jurisdiction == bindparam("of_jurisdiction"),
    )
    .order_by(_c.at.desc(), _c.id.desc())
    .limit(bindparam("most"))
)


@dataclass(frozen=True, slots=True)
class LookUp:
    """That somebody looked a plate up. `by`: as the log names them; `by_name`: as people do.

    `zone` and `verdict` are None where the plate was not judged; of a check, whatever the device
    said. `device`: of a patroller's check, its id.
    """

    who: Who
    id: str
    at: datetime
    by: str
    by_name: str
    plate: str
    jurisdiction: str | None
    zone: str | None
    verdict: str | None
    purpose: str | None
    device: str | None = None


def keep(
    tx: Connection,
    site: str,
    id: str,
    plate: Plate,
    *,
    zone: str | None,
    verdict: Verdict | None,
    purpose: str,
    by: Principal,
    at: datetime,
) -> None:
    """Remember that `by` looks a plate up. `id`: a UUID of whoever asks.

    Raises ForbiddenSite; ValueError for a purpose that is not one line that says something.
    """
    by.check_site(site)
    row = {
        "site": site,
        "id": id,
        "at": at,
        "by": by.actor,
        "by_name": by.name,
        "plate": plate.text,
        "jurisdiction": plate.jurisdiction,
        "zone": zone,
        "verdict": verdict,
        "purpose": line(purpose),
    }
    tx.execute(_ADD, row)


def purposes(
    tx: Connection, site: str, plate: Plate, *, by: Principal, since: datetime
) -> set[str]:
    """What somebody of the staff has looked a plate up for since an instant."""
    query = select(_c.purpose).where(
        _c.site == site,
        _c.plate == plate.text,
        _c.jurisdiction == plate.jurisdiction,
        _c.at >= since,
        _c.by == by.actor,
    )
    return set(tx.execute(query).scalars())


def of_plate(tx: Connection, site: str, plate: Plate, *, most: int) -> list[LookUp]:
    """The last look-ups of a plate at a site, the newest first: the staff's and the patrollers'.

    A check whose device did not say the jurisdiction counts for each. Those of plates that were
    valid are kept for `settings.lookup_days`.
    """
    asked = {
        "of_site": site,
        "of_plate": plate.text,
        "of_jurisdiction": plate.jurisdiction,
        "most": most,
    }
    of_staff = [
        LookUp(
            "staff",
            row.id,
            row.at,
            row.by,
            row.by_name,
            row.plate,
            row.jurisdiction,
            row.zone,
            row.verdict,
            row.purpose,
        )
        for row in tx.execute(_OF_PLATE, asked)
    ]
    checks = events.checks_of(tx, site, plate, most=most)
    named = devices.names(tx, {check.device for check in checks})
    patrollers = {one.id: one.name for one in sites.all_patrollers(tx, site)} if checks else {}
    of_patrols = [_of_check(check, plate, named, patrollers) for check in checks]
    return heapq.nlargest(most, [*of_staff, *of_patrols], key=lambda each: (each.at, each.id))


def _of_check(
    check: Event, plate: Plate, named: Mapping[str, str], patrollers: Mapping[str, str]
) -> LookUp:
    """By the patroller, if one was signed in; else by the device."""
    patroller, device = check.text("patroller"), named.get(check.device, check.device)
    return LookUp(
        "patrol",
        check.id,
        check.at,
        f"device:{check.device}" if patroller is None else f"patroller:{patroller}",
        device if patroller is None else patrollers.get(patroller, patroller),
        plate.text,
        check.text("jurisdiction"),
        check.text("zone"),
        check.text("verdict"),
        check.text("purpose"),
        check.device,
    )
