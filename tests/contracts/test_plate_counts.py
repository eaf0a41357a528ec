"""How many plates a copy holds: kept up by what changes, and equal to counting them all."""

from __future__ import annotations

import random
from typing import Any

import pytest

from enforcement_api.feed import plates
from enforcement_api.feed import store as feed
from enforcement_api.feed.plates import PlateCounts
from tests.service import Service


def live(service: Service, dice: random.Random) -> None:
    """A few changes: new permits, other plates, ends, several of one plate, a retention run."""
    updates: list[dict[str, Any]] = []
    for _ in range(dice.randrange(1, 6)):
        id = f"p{dice.randrange(12)}"
        plate = f"AB{dice.choice('O0Q1I')}{dice.randrange(4)}"
        versions[id] = versions.get(id, 0) + 1
        status = dice.choice(("active", "active", "active", "suspended", "cancelled"))
        facts: dict[str, Any] = {"id": id, "version": versions[id], "status": status}
        if dice.random() < 0.3:
            facts["valid_until"] = "2026-01-31"
        updates.append(service.update(plate, **facts))
    service.push(*updates)
    if dice.random() < 0.2:
        service.prune(service.clock())


versions: dict[str, int] = {}


@pytest.mark.parametrize("seed", range(4))
def test_count_is_that_of_all_plates_at_every_cursor(
    service: Service, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions.clear()
    service.site(retention_days=30)
    dice, record = random.Random(seed), service.parts.record
    kept, young = PlateCounts(), PlateCounts()
    for step in range(12):
        if step == 8:
            monkeypatch.setattr(plates, "_MOST_CHANGES", 3)  # then most are counted anew
        live(service, dice)
        with record.reading() as tx:
            level = feed.level(tx, "1085").sequence
            for sequence in {level, dice.randrange(level + 1), dice.randrange(level + 1), 0}:
                expected = feed.plates_at(tx, "1085", sequence)
                assert kept.at(tx, "1085", sequence) == expected
                assert kept.known("1085", sequence) == expected
                assert PlateCounts().at(tx, "1085", sequence) == expected
    with record.reading() as tx:
        for sequence in range(level + 1):
            expected = feed.plates_at(tx, "1085", sequence)
            assert young.unless_busy(tx, "1085", sequence) == expected


def test_handheld_is_shown_with_the_plates_that_it_holds(service: Service) -> None:
    service.site()
    for id, plate in (("a", "ABC123"), ("b", "ABC123"), ("c", "XYZ987")):
        service.permit(plate, id=id)
    handheld = service.handheld()
    handheld.pull()
    shown = service.admin.get(f"/v1/devices/{handheld.id}").json()
    assert shown["held_at_contact"] == 2
    service.permit("NEW111")
    service.admin.delete(f"/v1/devices/{handheld.id}")
    assert service.admin.get(f"/v1/devices/{handheld.id}").json()["held_at_contact"] == 2


def test_count_stays_right_when_versions_are_forgotten_that_it_was_made_by(
    service: Service,
) -> None:
    service.site()
    kept, record = PlateCounts(), service.parts.record
    service.permit("ABC123", id="p", version=1)
    with record.reading() as tx:
        assert kept.at(tx, "1085", feed.level(tx, "1085").sequence) == 1
    service.clock.advance(days=7)
    service.permit("ABC123", id="p", version=2, zone="G2")
    service.clock.advance(days=735)
    service.parts.run_retention("1085", at=service.clock())
    with record.reading() as tx:
        level = feed.level(tx, "1085").sequence
        assert kept.at(tx, "1085", level) == feed.plates_at(tx, "1085", level) == 1
