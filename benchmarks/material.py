"""A site's permits in a realistic mix, in any number: true Québec plate series (DOMAIN 3.4)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sync import codec
from sync.entities import Entity, Permit, Site, Vehicle, Zone
from sync.messages import EMPTY_DIGEST, PROTOCOL_VERSION, Change, ChangePage
from sync.plates import Plate

NOW = datetime(2026, 11, 23, 15, 15, tzinfo=UTC)
SITE = Site(
    id="1085",
    name="CIUSSS de l'Estrie - CHUS",
    address="375 rue Argyll, J1J 3H5, Sherbrooke, QC",
    time_zone="America/Toronto",
    jurisdiction="CA-QC",
    instrument="avis",
    activation_hours=24,
    retention_days=90,
    stale_after_hours=None,
    no_notice=(),
    pruned_at=None,
)
ZONES = ("G1", "G2", "G3", "M1", "V1")
ZONE = "G1"
_PAGE = 10_000

_LETTERS = "ABCDEFGHJKLMNPQRSTVWXYZ"
_SERIES = (
    ("LLL DDD",) * 5 + ("DDD LLL",) * 2 + ("LDD LLL",) * 6 + ("DDL LLL", "LLL DDL", "FLL DDDD")
)
_MAKES = ("Toyota", "Honda", "Hyundai", "Mazda", "Kia", "Ford", "Nissan", "Volkswagen", "Subaru")
_COLOURS = ("noir", "blanc", "gris", "bleu", "rouge", "argent", "vert")


def plates(chance: random.Random) -> Iterator[str]:
    """Distinct plates as they are painted, without end."""
    seen = set()
    while True:
        series = chance.choice(_SERIES)
        commercial = series[0] == "F"
        plate = "F" if commercial else ""
        for c in series[1:] if commercial else series:
            if c == "L":
                plate += chance.choice(_LETTERS)
            elif c == "D":
                plate += chance.choice("0123456789")
            else:
                plate += c
        if plate not in seen:
            seen.add(plate)
            yield plate


def typed(plate: str, chance: random.Random) -> str:
    """A plate as somebody may type it."""
    return chance.choice(
        (
            plate,
            plate.lower(),
            plate.replace(" ", ""),
            plate.replace(" ", "").lower(),
            plate.replace(" ", "-"),
        )
    )


def permits(plate: str, n: int, chance: random.Random) -> Iterator[Permit]:
    """What a site knows of the n-th plate: mostly one permit, in one of five one of last year too.

    All of DOMAIN 2.6 occurs: of 1,000, some 20 are pending, 20 not started, 20 suspended, 30
    cancelled and 60 expired.
    """
    day = timedelta(days=1)
    number = str(100_000_000 + n // 2)
    starts = datetime(2026, 9, 1, 4, tzinfo=UTC) - chance.randrange(900) * day
    ends: datetime | None = datetime(2027, 9, 1, 4, tzinfo=UTC) if chance.random() < 0.4 else None
    active = starts
    status: Any = "active"
    fate = chance.random()
    if fate < 0.02:
        active = NOW + timedelta(minutes=chance.randrange(1, 1440))
    elif fate < 0.04:
        starts = active = datetime(2027, 1, 1, 5, tzinfo=UTC)
    elif fate < 0.06:
        status = "suspended"
    elif fate < 0.09:
        status, ends = "cancelled", NOW - chance.randrange(1, 80) * day
    elif fate < 0.15:
        ends = datetime(2026, 11, 1, 4, tzinfo=UTC) - chance.randrange(60) * day
    zones = chance.choice((("G1",), ("G1",), ("G1",), ("G1", "G2"), ("G2",), ("G3", "M1"), ("*",)))
    vehicle = Vehicle(chance.choice(_MAKES), chance.choice(_COLOURS))
    key = f"{number}-{n % 2 + 1}"
    identity = Plate(plate.replace(" ", ""), "CA-QC")
    yield Permit(key, identity, zones, number, starts, ends, active, status, vehicle)
    if chance.random() < 0.2:
        began, ended = datetime(2025, 9, 1, 4, tzinfo=UTC), datetime(2026, 9, 1, 4, tzinfo=UTC)
        before = str(50_000_000 + n)
        yield Permit(f"{before}-1", identity, ("G1",), before, began, ended, began, status, vehicle)


def catch_up(count: int, chance: random.Random, known: list[str]) -> Iterator[ChangePage]:
    """A whole catch-up that fills an index with `count` permits; their plates go to `known`."""
    digest = EMPTY_DIGEST
    page: list[Change] = []
    entities: list[Entity] = [SITE]
    entities += (Zone(z, {"fr": f"Zone {z}", "en": f"Zone {z}"}, None) for z in ZONES)
    for entity in entities:
        page.append(codec.change_of(entity))
    made = 0
    for n, plate in enumerate(plates(chance)):
        known.append(plate)
        for permit in permits(plate, n, chance):
            page.append(codec.change_of(permit))
            made += 1
        last = made >= count
        if last or len(page) >= _PAGE:
            for kind, id, record in page:
                assert record is not None
                digest += codec.record_hash(kind, id, codec.canonical(record))
            yield ChangePage(
                protocol=PROTOCOL_VERSION,
                epoch="bench",
                cursor=f"cursor-{made}",
                sequence=made,
                more=not last,
                changes=tuple(page),
                digest=digest if last else None,
                server_time=NOW,
                fed_at=NOW,
            )
            page = []
        if last:
            return


def updates(count: int, chance: random.Random, *, now: datetime) -> Iterator[dict[str, Any]]:
    """Plate updates as a subscription system sends them, confirmed before `now`: of each two
    subscriptions, one has two vehicles.
    """
    for n, plate in zip(range(count), plates(chance), strict=False):
        permit = next(permits(plate, n, chance))
        delay = timedelta(hours=30 + chance.randrange(2000), seconds=chance.randrange(3600))
        assert permit.vehicle is not None
        ended = permit.status == "cancelled"
        subscription, vehicle = divmod(2 * n, 3)
        number = str(100_000_000 + subscription)
        yield {
            "id": f"{number}-{vehicle // 2 + 1}",
            "version": 1,
            "plate": typed(plate, chance),
            "jurisdiction": "CA-QC",
            "site": SITE.id,
            "zones": list(permit.zones),
            "permit_number": number,
            "valid_from": permit.starts_at.date().isoformat(),
            "valid_until": permit.ends_at and permit.ends_at.date().isoformat(),
            "confirmed_at": codec.instant(min(permit.starts_at - delay, now)),
            "ends_at": codec.optional_instant(permit.ends_at if ended else None),
            "status": permit.status,
            "vehicle": {
                "make": permit.vehicle.make,
                "model": "Corolla",
                "year": 2010 + n % 16,
                "colour": permit.vehicle.colour,
            },
        }
