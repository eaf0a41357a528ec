"""How long versions of permits are kept, and what that means to cursors (CONTRACT, "Sync")."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from enforcement_api.database.tables import permit_versions
from enforcement_api.infractions.store import plates_noticed
from enforcement_api.permits import intake
from sync.codec import instant
from tests.paging import turns
from tests.service import Service, infraction, new_id

CHANGES = "/v1/sites/1085/changes"


@pytest.fixture
def site(service: Service) -> Service:
    service.site()
    return service


def versions(service: Service) -> list[tuple[str, int]]:
    query = select(permit_versions.c.id, permit_versions.c.version).order_by("sequence")
    return [
        (row.id, row.version)
        for row in service.parts.record.read(lambda tx: tx.execute(query).all())
    ]


def run_retention(service: Service) -> None:
    service.parts.run_retention("1085", at=service.clock())


def change_weekly(service: Service, plate: str, id: str, weeks: int) -> None:
    for version in range(1, weeks + 1):
        service.permit(plate, id=id, version=version, zone=["G1", "G2"][version % 2])
        service.clock.advance(days=7)


BEFORE = {"p": "EEE555", "p~2": "BBB222", "p~3": "CCC333", "p~4": "DDD444"}


def change_plate(service: Service, plate: str, *, version: int) -> None:
    service.permit(plate, id="p", version=version, confirmed_at=instant(service.clock()))


def keep_for(service: Service, *, days: int) -> None:
    object.__setattr__(service.parts.settings, "version_days", days)


def in_another_process(service: Service) -> None:
    """Delete old versions as `patrouille prune` does: the one that serves is told nothing, and
    looks by itself.
    """
    before = service.clock() - timedelta(days=service.settings.version_days)
    intake.forget(service.parts.record, "1085", before=before, rests_on=plates_noticed)
    service.parts.follower.look()


def test_earlier_versions_are_kept_for_two_years(site: Service) -> None:
    change_weekly(site, "ABC123", "p", 3)
    site.clock.advance(days=700)
    run_retention(site)
    assert versions(site) == [("p", 1), ("p", 2), ("p", 3)]
    site.clock.advance(days=22)
    run_retention(site)
    assert versions(site) == [("p", 2), ("p", 3)]
    site.clock.advance(days=700)
    run_retention(site)
    assert versions(site) == [("p", 3)]
    assert site.verdict("ABC123", zone="G2") == "valid"
    site.assert_consistent()


def test_what_is_forgotten_cannot_be_asked_for(site: Service) -> None:
    change_weekly(site, "ABC123", "p", 3)
    level = site.check("ABC123")["sequence"]
    site.clock.advance(days=735)
    run_retention(site)
    asked = {"plate": "ABC123", "zone": "G1", "as_known_at": level - 2}
    answer = site.reader.get("/v1/sites/1085/check", params=asked)
    assert (answer.status_code, answer.json()["type"]) == (410, "/problems/forgotten")
    assert site.check("ABC123", zone="G2", as_known_at=level)["verdict"] == "valid"


def test_versions_that_an_infraction_rests_on_stay(site: Service) -> None:
    change_weekly(site, "ABC123", "p", 3)
    change_weekly(site, "XYZ999", "q", 3)
    page = site.device_client().get(CHANGES).json()
    body = infraction("ABC123", at=site.clock(), epoch=page["epoch"], cursor=page["cursor"])
    device = site.device_client()
    device.put(f"/v1/infractions/{new_id()}", json=body).raise_for_status()
    site.clock.advance(days=2000)
    run_retention(site)
    assert versions(site) == [("p", 1), ("p", 2), ("p", 3), ("q", 3)]


def test_what_a_device_knew_is_not_guessed_from_what_is_left(site: Service) -> None:
    change_weekly(site, "ABC123", "p", 1)
    device = site.device_client()
    long_ago, at = device.get(CHANGES).json(), site.clock()
    change_weekly(site, "ABC123", "p", 3)
    site.clock.advance(days=740)
    run_retention(site)
    body = infraction(
        "ABC123",
        at=at,
        zone="G2",
        verdict="valid",
        epoch=long_ago["epoch"],
        cursor=long_ago["cursor"],
    )
    answer = device.put(f"/v1/infractions/{new_id()}", json=body)
    assert answer.status_code == 201
    assert "verdict-not-as-known" not in answer.json()["warnings"]
    assert "unknown-cursor" not in answer.json()["warnings"]
    kept = site.reader.get(f"/v1/infractions/{answer.json()['id']}").json()
    assert kept["verdicts"] == {
        "device": "valid",
        "cursor": None,
        "cursor_reason": "forgotten-cursor",
        "now": "valid",
    }


def test_what_was_removed_long_ago_is_forgotten_and_older_cursors_expire(site: Service) -> None:
    site.permit("ABC123", id="ended", valid_until="2026-11-30")
    site.permit("XYZ999", id="lives")
    device = site.device_client()
    before = device.get(CHANGES).json()["cursor"]
    site.clock.advance(days=120)
    run_retention(site)
    after = device.get(CHANGES).json()["cursor"]
    assert device.get(CHANGES, params={"after": before}).status_code == 200
    site.clock.advance(days=740)
    run_retention(site)
    assert [id for id, _ in versions(site)] == ["lives"]
    gone = device.get(CHANGES, params={"after": before})
    assert (gone.status_code, gone.json()["type"]) == (410, "/problems/cursor-expired")
    assert gone.json()["snapshot"] == "/v1/sites/1085/snapshot"
    assert device.get(CHANGES, params={"after": after}).status_code == 200
    site.assert_consistent()


def test_a_handheld_that_was_away_for_years_is_level_again(site: Service) -> None:
    site.permit("ABC123", id="ended", valid_until="2026-11-30")
    handheld = site.handheld()
    handheld.pull()
    site.clock.advance(days=120)
    run_retention(site)
    site.clock.advance(days=740)
    run_retention(site)
    handheld.pull()
    handheld.assert_level_with(site)
    assert handheld.verdict("ABC123", at=site.clock()) == "unknown"


def test_a_first_catch_up_does_not_expire_in_the_middle(site: Service) -> None:
    """Its first pages are of what has not changed for years, older than all that is kept."""
    for number in range(6):
        site.permit(f"OLD{number:03}", id=f"old{number}")
    site.permit("ABC123", id="ended", valid_until="2026-11-30")
    site.clock.advance(days=120)
    run_retention(site)
    site.clock.advance(days=740)
    run_retention(site)
    device = site.device_client()
    parameters: dict[str, Any] = {"limit": 2}
    pages = [device.get(CHANGES, params=parameters).json()]
    for _ in turns():
        if not pages[-1]["more"]:
            break
        if len(pages) == 2:
            site.permit("NEW001", id="new")
            site.push(site.update("OLD000", id="old0", version=2, status="suspended"))
        answer = device.get(CHANGES, params=parameters | {"after": pages[-1]["cursor"]})
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
    assert len(pages) > 5
    held = {(c["kind"], c["id"]): c["record"] for page in pages for c in page["changes"]}
    live = [key for key, record in held.items() if record is not None]
    assert len(live) == pages[-1]["digest"]["count"]
    assert held["permit", "old0"]["status"] == "suspended"


def test_a_replica_by_pages_is_level_after_years(site: Service) -> None:
    site.permit("ABC123", id="ended", valid_until="2026-11-30")
    site.permit("XYZ999", id="lives")
    site.clock.advance(days=120)
    run_retention(site)
    site.clock.advance(days=740)
    run_retention(site)
    handheld = site.handheld()
    handheld.pull_by_pages()
    handheld.assert_level_with(site)


def test_a_plate_before_keeps_its_id_when_an_earlier_one_is_forgotten(site: Service) -> None:
    keep_for(site, days=5)
    change_plate(site, "AAA111", version=1)
    change_plate(site, "BBB222", version=2)
    site.clock.advance(days=85)
    change_plate(site, "CCC333", version=3)
    site.clock.advance(days=15)
    run_retention(site)
    site.clock.advance(days=10)
    run_retention(site)
    assert site.reader.get("/v1/sites/1085/permits/p~1").status_code == 404
    for version, plate in enumerate(("DDD444", "EEE555"), start=4):
        change_plate(site, plate, version=version)
    found = {id: site.reader.get(f"/v1/sites/1085/permits/{id}").json() for id in BEFORE}
    assert {id: permit["plate"] for id, permit in found.items()} == BEFORE
    assert site.verdict("CCC333") == "valid"
    site.assert_consistent()


def test_removals_that_every_good_cursor_knows_are_told_no_more(site: Service) -> None:
    entry = "/v1/sites/1085/hotlist/h1"
    site.admin.put(entry, json={"plate": "ZZZ999", "reason": "stolen", "priority": "high"})
    away = site.handheld()
    away.pull()
    site.admin.delete(entry)
    site.permit("ABC123", id="p")
    site.permit("ABC123", id="p", version=2, zone="G2")
    told = site.device_client().get(CHANGES).json()["changes"]
    assert [c["record"] for c in told if c["kind"] == "hotlist"] == [None]
    site.clock.advance(days=735)
    run_retention(site)
    told = site.device_client().get(CHANGES).json()["changes"]
    assert [c for c in told if c["record"] is None] == []
    away.pull()
    away.assert_level_with(site)
    site.assert_consistent()


def test_a_snapshot_never_leads_to_a_cursor_that_has_expired(site: Service) -> None:
    """However little has changed since it was made."""
    site.push(*(site.update(f"AAA{n:03}", id=f"p{n}") for n in range(200)))
    device = site.device_client()
    before = device.get("/v1/sites/1085/snapshot").json()
    site.permit("AAA001", id="p1", version=2, zone="G2")
    assert device.get("/v1/sites/1085/snapshot").json()["sha256"] == before["sha256"]
    site.clock.advance(days=735)
    in_another_process(site)
    manifest = device.get("/v1/sites/1085/snapshot").json()
    assert manifest["sha256"] != before["sha256"]
    assert device.get(CHANGES, params={"after": before["cursor"]}).status_code == 410
    assert device.get(CHANGES, params={"after": manifest["cursor"]}).status_code == 200
    handheld = site.handheld()
    handheld.pull()
    handheld.assert_level_with(site)


@pytest.mark.parametrize("days", [0, 10])
def test_how_long_is_a_setting(site: Service, days: int) -> None:
    assert site.settings.version_days == 730
    change_weekly(site, "ABC123", "p", 3)
    keep_for(site, days=days)
    run_retention(site)
    assert versions(site) == ([("p", 3)] if days == 0 else [("p", 2), ("p", 3)])
