"""Alerts: what must not be missed about the plate in front of a patroller."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from handheld_app.handheld import Handheld
from sync.entities import HotlistEntry, NoNotice, Notice
from sync.exchange import Briefed
from sync.plates import Plate
from tests.handheld_app.conftest import DAY, NOW, World, fill

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SERVER = "https://parking.example"


def notice(world: World, id: str = "n1", **changes: Any) -> Notice:
    facts: dict[str, Any] = {
        "id": id,
        "plate": Plate("ABC123", "CA-QC"),
        "codes": ("P01",),
        "zone": "G2",
        "observed_at": NOW - 2 * DAY,
        "outcome": "notice",
        "number": "1085-7",
        "patroller": "luc",
        "state": "received",
        "decision_reason": None,
    }
    found = Notice(**(facts | changes))
    world.more.append(found)
    return found


def wanted(world: World, **changes: Any) -> HotlistEntry:
    facts: dict[str, Any] = {
        "id": "h1",
        "plate": Plate("ABC123", "CA-QC"),
        "reason": "Volé",
        "priority": "high",
        "instructions": "Appeler la sécurité",
        "expires_at": None,
    }
    entry = HotlistEntry(**(facts | changes))
    world.more.append(entry)
    return entry


def brief(handheld: Handheld, **body: Any) -> None:
    """As if the service had told that just now."""
    handheld.briefings.keep(SERVER, "1085", Briefed(body, '"1"'), at=NOW)


def kinds(handheld: Handheld, plate: str = "ABC123") -> list[str]:
    sighting = handheld.patrol.check(plate, "CA-QC")
    return [alert.kind for alert in handheld.patrol.alerts(sighting)]


def test_plate_without_anything_known_gives_no_alert(handheld: Handheld, world: World) -> None:
    world.permit("ABC123")
    fill(handheld, world)
    assert kinds(handheld) == []


def test_hotlisted_plate_is_urgent_by_its_priority(handheld: Handheld, world: World) -> None:
    wanted(world, id="h1", priority="low", reason="VIP")
    entry = wanted(world, id="h2")
    fill(handheld, world)
    alerts = handheld.patrol.alerts(handheld.patrol.check("ABC123", "CA-QC"))
    assert [(alert.kind, alert.urgent) for alert in alerts] == [
        ("hotlist", True),
        ("hotlist", False),
    ]
    assert alerts[0].entry == entry


def test_hotlist_entry_is_over_at_the_instant_it_expires(handheld: Handheld, world: World) -> None:
    wanted(world, expires_at=NOW + HOUR)
    fill(handheld, world)
    world.now = NOW + HOUR - timedelta(seconds=1)
    assert "hotlist" in kinds(handheld)
    world.now = NOW + HOUR
    assert "hotlist" not in kinds(handheld)


def test_plate_noticed_within_the_sites_days_is_told_with_count_and_last(
    handheld: Handheld, world: World
) -> None:
    notice(world, "n1", observed_at=NOW - 6 * DAY)
    last = notice(world, "n2", observed_at=NOW - 2 * DAY)
    notice(world, "n3", observed_at=NOW - 8 * DAY)
    fill(handheld, world)
    (alert,) = handheld.patrol.alerts(handheld.patrol.check("ABC123", "CA-QC"))
    assert (alert.kind, len(alert.notices), alert.notices[0]) == ("repeated", 2, last)
    assert not alert.today
    assert not alert.urgent
    brief(handheld, settings={"repeat_days": 10})
    (alert,) = handheld.patrol.alerts(handheld.patrol.check("ABC123", "CA-QC"))
    assert len(alert.notices) == 3


@pytest.mark.parametrize("changes", [{"state": "voided"}, {"outcome": "no_issue"}])
def test_what_was_taken_back_or_not_issued_is_no_earlier_notice(
    handheld: Handheld, world: World, changes: dict[str, Any]
) -> None:
    notice(world, **changes)
    fill(handheld, world)
    assert kinds(handheld) == []


def test_notice_of_today_is_urgent_by_the_sites_own_midnight(
    handheld: Handheld, world: World
) -> None:
    # 15:05 in Sherbrooke: its day began at 05:00 UTC.
    notice(world, observed_at=NOW.replace(hour=5, minute=0))
    fill(handheld, world)
    (alert,) = handheld.patrol.alerts(handheld.patrol.check("ABC123", "CA-QC"))
    assert alert.today
    assert alert.urgent
    world.more.clear()
    notice(world, observed_at=NOW.replace(hour=4, minute=59))
    fill(handheld, world)
    (alert,) = handheld.patrol.alerts(handheld.patrol.check("ABC123", "CA-QC"))
    assert not alert.today


def test_notice_issued_here_warns_before_the_feed_tells_of_it(
    handheld: Handheld, world: World
) -> None:
    fill(handheld, world)
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ABC123", "CA-QC")))
    assert kinds(handheld) == ["repeated"]
    assert kinds(handheld, "ABC124") == []
    patrol.void(patrol.work()[0], "misread_plate")
    assert kinds(handheld) == []


def two_cars(world: World) -> None:
    world.permit("ABC123", number="77")
    world.permit("XYZ789", number="77")
    world.permit("LMN456", number="78")


def test_two_plates_of_one_permit_seen_here_within_the_time_are_an_alert(
    handheld: Handheld, world: World
) -> None:
    two_cars(world)
    fill(handheld, world)
    patrol = handheld.patrol
    patrol.note_check(patrol.check("XYZ789", "CA-QC"))
    assert kinds(handheld, "XYZ789") == []
    assert kinds(handheld, "LMN456") == []
    world.now = NOW + 2 * HOUR
    (alert,) = patrol.alerts(patrol.check("ABC123", "CA-QC"))
    assert (alert.kind, alert.urgent) == ("two_vehicles", True)
    assert alert.seen is not None
    assert (alert.seen.plate.text, alert.seen.zone, alert.seen.device) == ("XYZ789", "G1", "")
    world.now = NOW + 2 * HOUR + timedelta(seconds=1)
    assert kinds(handheld) == []


def test_a_plate_and_the_one_that_takes_its_place_are_one_vehicle_after_the_other(
    handheld: Handheld, world: World
) -> None:
    replaced_at = NOW + HOUR
    world.permit("XYZ789", number="77", ends_at=replaced_at)
    world.permit("ABC123", number="77", active_from=replaced_at)
    fill(handheld, world)
    patrol = handheld.patrol
    world.now = replaced_at - MINUTE
    patrol.note_check(patrol.check("XYZ789", "CA-QC"))
    assert kinds(handheld, "ABC123") == ["two_vehicles"]
    world.now = replaced_at
    assert kinds(handheld, "ABC123") == []
    patrol.note_check(patrol.check("ABC123", "CA-QC"))
    assert kinds(handheld, "XYZ789") == []


def test_another_handheld_s_check_of_the_same_permit_is_an_alert_too(
    handheld: Handheld, world: World
) -> None:
    two_cars(world)
    fill(handheld, world)
    other = {
        "id": "c1", "plate": "XYZ789", "jurisdiction": "CA-QC", "permit_number": "77",
        "zone": "G2", "lot": None, "place": None, "at": "2026-11-23T19:50:00Z", "device": "Poste 2",
    }  # fmt: skip
    brief(handheld, checks=[other], settings={"two_vehicles_minutes": 20})
    patrol = handheld.patrol
    sighting = patrol.check("ABC123", "CA-QC")
    (alert,) = patrol.alerts(sighting)
    assert alert.seen is not None
    assert (alert.kind, alert.seen.device) == ("two_vehicles", "Poste 2")
    assert patrol.draft(sighting).codes == ["P05"]
    world.now = NOW + 6 * MINUTE
    assert kinds(handheld) == []


def test_no_notice_window_of_the_zone_is_told(handheld: Handheld, world: World) -> None:
    window = NoNotice(NOW - HOUR, NOW + HOUR, ("G1",), {"fr": "Tempête", "en": "Storm"})
    world.no_notice = (window,)
    fill(handheld, world)
    (alert,) = handheld.patrol.alerts(handheld.patrol.check("ABC123", "CA-QC"))
    assert (alert.kind, alert.until, alert.reason) == ("no_notice", window.ends, window.reason)
    handheld.patrol.choose_zone("G2")
    assert kinds(handheld) == []


def test_old_data_is_an_alert(handheld: Handheld, world: World) -> None:
    fill(handheld, world)
    world.now = NOW + DAY + MINUTE
    assert kinds(handheld) == ["stale"]


def test_alert_is_acknowledged_for_the_shift_and_the_service_hears_of_it(
    handheld: Handheld, world: World
) -> None:
    wanted(world)
    fill(handheld, world)
    patrol = handheld.patrol
    patrol.start_shift()
    sighting = patrol.check("ABC123", "CA-QC")
    (alert,) = patrol.alerts(sighting)
    assert not patrol.is_acknowledged(alert)
    patrol.acknowledge(alert, sighting)
    assert patrol.is_acknowledged(alert)
    event = handheld.outbox.waiting()[-1].body
    assert event is not None
    assert (event["kind"], event["hotlist"]) == ("alert_acknowledged", "h1")
    world.now = NOW + HOUR
    patrol.start_shift()
    assert not patrol.is_acknowledged(alert)
