"""What there is at the site of a record that console_record.py fills, besides infractions: who and
what works there, what patrols tell, who may park, and who subscribes.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert

from benchmarks import material
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import (
    device_cursors,
    devices,
    lookups,
    number_blocks,
    patrollers,
)
from enforcement_api.devices.events import plate_subject
from enforcement_api.feed import store as feed
from enforcement_api.feed.core import Cursor
from enforcement_api.infractions.store import recheck_open
from enforcement_api.patrols import store as patrols
from enforcement_api.patrols.core import Message
from enforcement_api.permits import intake
from enforcement_api.permits.core import GivenVehicle
from enforcement_api.permits.updates import read_item
from enforcement_api.security import Principal
from enforcement_api.sites import core as site_core
from enforcement_api.sites import store as sites
from enforcement_api.staff import store as staff
from enforcement_api.subscriptions import courtesy, store
from enforcement_api.subscriptions.core import (
    CONSENTS,
    Category,
    Described,
    Holder,
    Product,
)
from enforcement_api.subscriptions.courtesy import CourtesyPermit
from enforcement_api.subscriptions.office import Asked, NewVehicle, Office
from enforcement_api.subscriptions.store import Action
from sync import codec
from sync.entities import HotlistEntry, Lot, Zone
from sync.plates import Plate

NOW = material.NOW
SITE = material.SITE.id
YEARS = timedelta(days=3 * 365)
ZONES = material.ZONES
LOTS = tuple(f"P{n}" for n in range(1, 21))
FURTHER_LOTS = tuple(f"E{n}" for n in range(1, 481))
"""Where one infraction of twenty is."""
CODES = tuple(code.id for code in site_core.STANDARD_CODES)
PATROLLERS = tuple(str(4200 + n) for n in range(30))
DEVICES = tuple(str(uuid.UUID(int=n)) for n in range(1, 101))
SUPERVISOR = Principal("5e0f00000001", "supervisor", "Marie Côté", "", frozenset({SITE}))
FEEDER = Principal("feeder", "feeder", "bench", "bench", None)

_MOST_CODES = 100
_MADE = 60
_AT_ONCE = 20_000
_JURISDICTION = material.SITE.jurisdiction
_VERDICTS = ("valid",) * 14 + ("unknown",) * 3 + ("wrong_zone", "expired", "pending_activation")
_ZONE_OF = {lot: ZONES[n % len(ZONES)] for n, lot in enumerate((*LOTS, *FURTHER_LOTS))}
_LOTS_OF = {zone: [lot for lot in LOTS if _ZONE_OF[lot] == zone] for zone in ZONES}


@dataclass(frozen=True)
class Share:
    """How much of everything there is: of the site with 1,000,000 infractions, this part."""

    part: float

    def of(self, count: int) -> int:
        """So many, but some."""
        return max(min(count, 60), int(count * self.part))


def zone_of(lot: str) -> str:
    """The zone of a lot."""
    return _ZONE_OF[lot]


# Places and people


def plan(tx: Connection, record: Record) -> None:
    """The site with 500 lots and 100 codes."""
    sites.add(tx, record, material.SITE, at=NOW - YEARS)
    feed.open_feed(tx, SITE)
    zones = tuple(Zone(zone, {"fr": zone, "en": zone}, None) for zone in ZONES)
    lots = tuple(
        Lot(lot, f"Stationnement {lot}", zone_of(lot), _area(n))
        for n, lot in enumerate((*LOTS, *FURTHER_LOTS))
    )
    codes = list(site_core.STANDARD_CODES)
    codes += [
        replace(codes[n % len(codes)], id=f"X{n:02}") for n in range(_MOST_CODES - len(codes))
    ]
    whole = site_core.SitePlan(material.SITE, zones, lots, tuple(codes))
    sites.replace_plan(tx, whole)
    feed.publish(tx, SITE, whole.changes(None))
    people = [
        {"site": SITE, "id": f"p{badge}", "badge": badge, "name": f"P. {badge}", "pin_hash": "-"}
        for badge in PATROLLERS
    ]
    tx.execute(insert(patrollers), people)


def _area(n: int) -> str:
    """A plot with eight corners, in rows of 25."""
    lat, lon = 45.40 + n // 25 / 1_000, -71.90 + n % 25 / 800
    corners = (
        (0, 0), (4, -1), (8, 0), (9, 3), (8, 6), (4, 7), (0, 6), (-1, 3), (0, 0),
    )  # fmt: skip
    ring = [[round(lon + x / 10_000, 7), round(lat + y / 10_000, 7)] for x, y in corners]
    return codec.canonical({"type": "Polygon", "coordinates": [ring]})


def people(
    tx: Connection, record: Record, plates: Sequence[str], share: Share, chance: random.Random
) -> None:
    """Devices, level or nearly so; staff; what patrols are told; the hotlist; look-ups."""
    here = feed.level(tx, SITE)
    for n, id in enumerate(DEVICES):
        seen = NOW - timedelta(seconds=chance.randrange(60 if n % 10 else 900_000))
        device = {
            "id": id,
            "name": f"Appareil {n}",
            "sites": [SITE],
            "created_at": NOW - YEARS,
            "enrolled_at": NOW - YEARS,
            "token_hash": f"token-{n}",
            "last_seen_at": seen,
            "app_version": "0.6.0",
            "unsent": chance.randrange(4),
            "clock_offset_ms": chance.randrange(-2_000, 2_000),
            "battery_percent": chance.randrange(5, 100),
            "numbers_left": chance.randrange(20, 400),
            "mismatches": n // 90,
        }
        tx.execute(insert(devices).values(device))
        sequence = max(0, here.sequence - chance.randrange(50))
        cursor = {
            "device": id,
            "site": SITE,
            "cursor": str(Cursor(SITE, here.epoch, sequence)),
            "sequence": sequence,
            "at": seen,
            "plates_held": here.digest.count,
        }
        tx.execute(insert(device_cursors).values(cursor))
    size, mine = 50, len(DEVICES)
    blocks = [
        {
            "site": SITE,
            "id": _id(NOW - YEARS + n * timedelta(hours=2), chance),
            "device": DEVICES[n % mine],
            "prefix": f"{SITE}-",
            "first": size * n,
            "last": size * n + size - 1,
            "given_at": NOW - YEARS + n * timedelta(hours=2),
        }
        for n in range(share.of(12_000))
    ]
    tx.execute(insert(number_blocks), blocks)
    for n in range(60):
        staff.create(tx, email=f"personne{n}@example.org", role="supervisor", sites=[SITE], at=NOW)
    for n in range(500):
        at = NOW - timedelta(hours=3 * n)
        by = {"by": SUPERVISOR.actor, "by_name": SUPERVISOR.name}
        message = Message(
            site=SITE,
            id=_id(at, chance),
            content_hash="-",
            at=at,
            **by,
            text="Le stationnement P3 ferme à 18 h pour le déneigement.",
            device=None,
            patroller=None,
            expires_at=at + timedelta(hours=12),
        )
        patrols.add_message(record, tx, message)
        priority: Any = "high" if n % 9 == 0 else "low"
        entry = HotlistEntry(
            f"h{n}", Plate(plates[n], _JURISDICTION), "Récidive", priority, None, None
        )
        sites.put_hotlist_entry(tx, SITE, entry)
    made = [
        {
            "site": SITE,
            "id": _id(at, chance),
            "at": at,
            **by,
            # One in ten is of the plate that everybody looks up.
            "plate": plates[0] if n % 10 == 0 else plates[n % len(plates)],
            "jurisdiction": _JURISDICTION,
            "zone": "G1",
            "verdict": "valid",
            "purpose": "review",
        }
        for n in range(share.of(50_000))
        for at in [NOW - timedelta(minutes=10 + n)]
    ]
    tx.execute(insert(lookups), made)


# What patrols tell


def events(tx: Connection, plates: Sequence[str], share: Share, chance: random.Random) -> None:
    """500,000 checks of three years, half of them in the last 90 days; shifts; what was seen of
    messages. One check of a hundred is of the same plate.
    """
    statement = f"INSERT INTO events VALUES ({', '.join('?' * 11)})"
    rows = _events(plates, share, chance)
    while part := [row for _, row in zip(range(_AT_ONCE), rows, strict=False)]:
        tx.exec_driver_sql(statement, part)


def _events(
    plates: Sequence[str], share: Share, chance: random.Random
) -> Iterator[tuple[Any, ...]]:
    now, years = int(NOW.timestamp()), int(YEARS.total_seconds())
    for n in range(share.of(500_000)):
        at = now - chance.randrange(90 * 86_400 if n % 2 else years)
        lot = chance.choice(LOTS)
        plate = plates[0] if n % 100 == 0 else chance.choice(plates)
        facts = {
            "plate": plate,
            "jurisdiction": _JURISDICTION,
            "zone": zone_of(lot),
            "lot": lot,
            "verdict": chance.choice(_VERDICTS),
            "patroller": chance.choice(PATROLLERS),
            "purpose": "patrol",
        }
        yield _event("check", at, chance.choice(DEVICES), facts, plate_subject(plate), chance)
    days = share.of(3 * 365)
    for day in range(days):
        for n in range(12):
            begins = now - day * 86_400 - 6 * 3_600 + 60 * n
            shift = {"shift": _id(begins, chance), "patroller": PATROLLERS[(day + n) % 30]}
            device = DEVICES[(day + n) % len(DEVICES)]
            where = {"zone": ZONES[n % len(ZONES)]}
            yield _event("shift_started", begins, device, shift | where, None, chance)
            if day:
                yield _event("shift_ended", begins + 8 * 3_600, device, shift, None, chance)


def _event(
    kind: str,
    at: int,
    device: str,
    facts: dict[str, Any],
    subject: str | None,
    chance: random.Random,
) -> tuple[Any, ...]:
    id = _id(at, chance)
    return (SITE, id, kind, at, device, False, at + 5, json.dumps(facts), id, subject, None)


def _id(at: int | datetime, chance: random.Random) -> str:
    """A UUIDv7."""
    seconds = at if isinstance(at, int) else int(at.timestamp())
    number = seconds * 1000 << 80 | 7 << 76 | chance.getrandbits(76)
    return str(uuid.UUID(int=number & ~(0xC << 60) | 8 << 60))


# Who may park


def permits(record: Record, plates: Sequence[str], share: Share, chance: random.Random) -> None:
    """200,000 versions, as a subscription system sends them; half of them for plates that have
    infractions. One plate has 300 permits, one of them with 100 versions.
    """
    items = list(material.updates(share.of(200_000), chance, now=NOW))
    for n, item in enumerate(items):
        item["plate"] = plates[1 + n] if n % 2 and 1 + n < len(plates) else item["plate"]
    for n in range(300):
        item = items[n % len(items)] | {"id": f"much-{n}", "plate": plates[0]}
        versions = 100 if n == 0 else 2
        items += [
            item | {"version": 1 + v, "vehicle": {"make": "Mazda", "year": 2010 + v % 15}}
            for v in range(versions)
        ]
    taken = intake.take_lines(
        record,
        enumerate(items),
        by=FEEDER,
        now=lambda: NOW,
        at_once=intake.AT_ONCE,
        read=read_item,
        on_change=recheck_open,
    )
    for part in taken:
        assert not part.rejected, part.rejected[0].problem


# Who subscribes


def subscriptions(tx: Connection, record: Record, plates: Sequence[str], share: Share) -> None:
    """10,000 subscriptions, most approved; requests that wait, of all kinds; 10,000 courtesy
    permits. Sixty of each are made as the office does it, the others are copies of those.
    """
    office = Office(record, on_change=recheck_open)
    store.put_category(tx, Category(SITE, "staff", {"fr": "Personnel", "en": "Staff"}, True))
    for n in range(40):
        store.put_product(tx, _product(f"{5500 + n}", ZONES[n % len(ZONES)]))
    for n in range(_MADE):
        at = NOW - timedelta(hours=48 + 8 * (_MADE - n))
        person = Holder(
            SITE,
            _uuid(1, n),
            f"abonne{n}@example.org",
            "fr",
            "Camille",
            f"Tremblay-{n % 500}",
            line1="375, rue Argyll",
            city="Sherbrooke",
            province="QC",
            postal_code="J1J 3H5",
            mobile="819 555-0123",
            created_at=at,
        )
        store.put_holder(tx, person)
        plate = Plate(plates[-1 - n], _JURISDICTION)
        vehicle = Described(plate, plate.text, GivenVehicle("Acura", "NSX", 2021, "rouge"))
        id = _uuid(2, n)
        asked = Asked(
            id=id,
            kind="subscription",
            site=SITE,
            content_hash="-",
            subscription=id,
            holder=person.id,
            product=f"{5500 + n % 40}",
            starts_on=at.date(),
            vehicles=(NewVehicle(_uuid(3, n), vehicle),),
            consents=tuple((code, codec.instant(at)) for code in CONSENTS),
        )
        office.submit(tx, asked, action=Action(SUPERVISOR.actor, at))
        if n % 6 == 0:
            continue
        decided = Action(SUPERVISOR.actor, at + timedelta(hours=1))
        office.decide(tx, id, "approve", expected=None, action=decided)
        if n % 6 == 1:
            another: Any = "cancellation" if n % 12 == 1 else "category_change"
            change = replace(asked, id=_uuid(4, n), kind=another, message="Autre emploi")
            change = replace(change, product="5501", vehicles=(), consents=(), starts_on=None)
            office.submit(tx, change, action=Action(SUPERVISOR.actor, at + timedelta(hours=30)))
    for n in range(_MADE):
        at = NOW - timedelta(hours=n, minutes=5)
        lent = CourtesyPermit(
            site=SITE,
            id=_uuid(5, n),
            number="",
            content_hash="-",
            subscription=None,
            plate=Plate(plates[n], _JURISDICTION),
            plate_raw=plates[n],
            zones=("G1",),
            reason="Voiture de courtoisie du garage",
            granted_at=at,
            granted_by=SUPERVISOR.actor,
            expires_at=at + timedelta(days=3),
        )
        action = Action(SUPERVISOR.actor, at)
        courtesy.grant(office, tx, lent, most=timedelta(days=7), action=action)

    for table in (
        "holders", "subscriptions", "vehicles", "requests", "subscription_events", "letters",
        "contracts", "courtesy_permits",
    ):  # fmt: skip
        _copy(tx, table, plates, share.of(10_000) // _MADE - 1)


def _copy(tx: Connection, table: str, plates: Sequence[str], times: int) -> None:
    """Copy each row of a table under ids, numbers and plates of its own, each some hours older."""
    found = tx.exec_driver_sql(f"SELECT * FROM {table}")
    names, rows = list(found.keys()), found.all()
    kept = [n for n, name in enumerate(names) if name in ("plate", "plate_raw")]
    id = names.index("id") if table == "letters" else None
    statement = f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))})"

    def copied(row: Sequence[Any], time: int, n: int) -> tuple[Any, ...]:
        values = [_copied(value, time) for value in row]
        for at in kept:
            values[at] = plates[-1 - (_MADE * time + n) % len(plates)]
        if id is not None:  # the office's own, and no part of any other
            values[id] = _uuid(6, _MADE * 10 * time + n)
        return tuple(values)

    for time in range(1, times + 1):
        part = [copied(row, time, n) for n, row in enumerate(rows)]
        if part:
            tx.exec_driver_sql(statement, part)


def _copied(value: Any, time: int) -> Any:
    if isinstance(value, str):
        # Of `_uuid`, and of the contracts' series, which begins at 100000000.
        of_id = value.replace("-0000-0000-0000-0000", f"-0000-0000-0000-{time:04x}")
        return of_id.replace("10000", f"1{time:04}")
    is_instant = isinstance(value, int) and value > 1_000_000_000
    return value - 7 * 3_600 * time if is_instant else value


def _uuid(kind: int, n: int) -> str:
    return str(uuid.UUID(int=(kind << 100) + n))


def _product(code: str, zone: str) -> Product:
    return Product(
        site=SITE,
        code=code,
        name={"fr": f"Permis {zone}", "en": f"Permit {zone}"},
        category="staff",
        price_cents=0,
        billing_period="month",
        zones=(zone,),
        notice=None,
        questions=(),
        proof_required=False,
        max_vehicles=2,
        grace_days=10,
        active=True,
    )
