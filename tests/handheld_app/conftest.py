"""Builders for a handheld that has fetched a site, without any service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from handheld_app.handheld import Handheld
from handheld_app.signing_in import Cost
from sync import codec
from sync.entities import (
    Entity,
    InfractionCode,
    NoNotice,
    Permit,
    PermitStatus,
    Site,
    Vehicle,
    Zone,
)
from sync.messages import EMPTY_DIGEST, ChangePage, SignIn
from sync.plates import Plate

NOW = datetime(2026, 11, 23, 20, 5, tzinfo=UTC)
"""15:05 in Sherbrooke."""
DAY = timedelta(days=1)
LONG_AGO = NOW - 400 * DAY


@dataclass
class World:
    """A service as far as a replica can tell: entities, a clock, and when things were heard of."""

    now: datetime = NOW
    fed_at: datetime | None = NOW
    synced_at: datetime = NOW
    instrument: Any = "avis"
    no_notice: tuple[NoNotice, ...] = ()
    permits: dict[str, Permit] = field(default_factory=dict)
    zones: dict[str, Zone] = field(
        default_factory=lambda: {
            "G1": Zone(
                "G1",
                {"fr": "Zone G1 · Hôtel-Dieu", "en": "Zone G1 · Hôtel-Dieu"},
                {
                    "fr": "Personnel de nuit : places de visiteurs permises jusqu’à 8 h 30.",
                    "en": "Night staff: visitor spaces allowed until 08:30.",
                },
            ),
            "G2": Zone("G2", {"fr": "Zone G2 · Fleurimont", "en": "Zone G2 · Fleurimont"}, None),
            "M1": Zone("M1", {"fr": "Médecins", "en": "Doctors"}, None),
        }
    )
    codes: tuple[InfractionCode, ...] = ()
    more: list[Entity] = field(default_factory=list)

    def permit(
        self,
        plate: str,
        *,
        zone: str = "G1",
        jurisdiction: str = "CA-QC",
        starts_at: datetime = LONG_AGO,
        ends_at: datetime | None = None,
        active_from: datetime | None = None,
        status: PermitStatus = "active",
        vehicle: Vehicle | None = None,
        number: str = "100014764",
    ) -> Permit:
        permit = Permit(
            f"p{len(self.permits) + 1}",
            Plate.parse(plate, jurisdiction),
            tuple(zone.split()),
            number,
            starts_at,
            ends_at,
            starts_at if active_from is None else active_from,
            status,
            vehicle,
        )
        self.permits[permit.id] = permit
        return permit

    def entities(self) -> list[Entity]:
        site = Site(
            "1085",
            "CIUSSS de l’Estrie - CHUS",
            "375 rue Argyll, J1J 3H5, Sherbrooke, QC",
            "America/Toronto",
            "CA-QC",
            self.instrument,
            24,
            90,
            None,
            self.no_notice,
            None,
        )
        return [
            site,
            *self.zones.values(),
            *(self.codes or CODES),
            *self.permits.values(),
            *self.more,
        ]


def _code(id: str, fr: str, en: str, photos: int = 0) -> InfractionCode:
    return InfractionCode(id, {"fr": fr, "en": en}, ("avis", "constat"), None, (), photos, True)


CODES = (
    _code("P01", "Sans permis valide", "No valid permit"),
    _code("P02", "Permis non valide dans cette zone", "Permit not valid in this zone"),
    _code("P03", "Permis expiré", "Permit expired"),
    _code("P04", "Permis pas encore actif (24 h)", "Permit not yet active (24 h)"),
    _code("P05", "Un permis, deux véhicules en même temps", "One permit, two vehicles at once"),
    _code("R01", "Place réservée aux personnes handicapées", "Space for disabled people", 1),
    _code("S01", "Voie réservée aux pompiers", "Fire lane", 1),
    _code("M02", "Véhicule sur deux places", "Straddling two spaces"),
)


def fill(handheld: Handheld, world: World) -> None:
    """Let the handheld fetch the whole world anew."""
    changes = tuple(codec.change_of(entity) for entity in world.entities())
    digest = EMPTY_DIGEST
    for change in changes:
        assert change.record is not None
        digest += codec.record_hash(change.kind, change.id, codec.canonical(change.record))
    replica = handheld.replica_of("1085")
    replica.wipe()
    page = ChangePage(
        1, "e1", f"c{len(changes)}", len(changes), False, changes, digest,
        world.synced_at, world.fed_at,
    )  # fmt: skip
    replica.apply([page], after=None)


BADGE, PIN = "4217", "806213"
CHEAP = Cost(n=2, r=1, p=1)


def sign_in(handheld: Handheld, *, badge: str = BADGE) -> None:
    """As if the service had let the patroller in on this device before; without network now."""
    until = handheld.clock.now() + 30 * DAY
    said = SignIn("marie", until, "Marie Tremblay")
    handheld.staff.remember(badge, PIN, said, at=handheld.clock.now())
    handheld.patrol.sign_in(badge, PIN)


def give_numbers(handheld: Handheld, first: int = 1001, last: int = 1050) -> None:
    """As if a block of numbers had come from the service."""
    server = handheld.device_file.device.server
    handheld.outbox.put_block(server, "1085", f"block {first}", "1085-", first, last)


def measure(handheld: Handheld) -> None:
    """As if the service had just told the time, which is this device's own."""
    stamp = handheld.clock.stamp()
    half = timedelta(milliseconds=500)  # which an answer may be late by, being in whole seconds
    handheld.clock.observe(stamp.wall - half, sent=stamp, received=stamp)


def enrol(handheld: Handheld, *, zone: str = "G1", badge: str = BADGE) -> None:
    """As if enrolled, and with the patroller signed in; nothing is asked of any service."""
    handheld.device_file.change(
        server="https://parking.example",
        device="d1",
        token="secret",
        sites=("1085",),
        site="1085",
        zone=zone,
    )
    if badge:
        sign_in(handheld, badge=badge)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def handheld(world: World, tmp_path: Path) -> Iterator[Handheld]:
    """Enrolled, at work in zone G1, with a clock that the test sets; empty until filled."""
    handheld = Handheld(
        tmp_path, now=lambda: world.now, boot=lambda: world.now.timestamp(), pin_cost=CHEAP
    )
    enrol(handheld)
    measure(handheld)
    give_numbers(handheld)
    yield handheld
    handheld.close()


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    """Makes picture files."""

    def make(name: str = "car.jpg", size: tuple[int, int] = (640, 480)) -> Path:
        path = tmp_path / name
        Image.radial_gradient("L").resize(size).convert("RGB").save(path)
        return path

    return make
