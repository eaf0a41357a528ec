"""The rounds by touch: verdicts while typing, alerts, the last checks, chalk; no service."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handheld_app.chalk import Chalk
from sync.entities import HotlistEntry, Notice, Vehicle
from sync.exchange import Briefed
from sync.plates import Plate
from tests.handheld_app.conftest import CODES, World
from tests.handheld_app.test_screens import at_work
from tests.handheld_app.test_window import Hand, hand, pictures

__all__ = ["hand", "pictures"]

MINUTE = timedelta(minutes=1)
STOLEN = Plate("QQQ111", "CA-QC")


def world_of_alerts(now: datetime) -> World:
    world = World(now=now, fed_at=now, synced_at=now)
    world.permit("ABC123", number="77", vehicle=Vehicle("Toyota", "gris"))
    world.permit("XYZ789", number="77")
    world.permit("LMN456", number="78")
    world.codes = (*CODES, replace(CODES[0], id="T02", title={"fr": "Durée", "en": "Overstay"}))
    world.more += [
        HotlistEntry("h1", STOLEN, "Véhicule volé", "high", "Appeler la sécurité : 4040", None),
        Notice(
            "n1", STOLEN, ("P01",), "G2", now - 26 * 60 * MINUTE, "notice", "1085-137", "luc",
            "received", None,
        ),
    ]  # fmt: skip
    return world


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def kinds(hand: Hand) -> list[str]:
    items = hand.app.handheld.outbox.waiting()
    return [str((item.body or {}).get("kind")) for item in items if item.kind == "event"]


@pytest.mark.asyncio
async def test_rounds_by_touch(hand: Hand, now: datetime) -> None:
    check = await at_work(hand, world_of_alerts(now))
    # Half an hour passes at once below: nobody locks the device meanwhile.
    settings = Briefed({"settings": {"idle_lock_minutes": 600}}, '"1"')
    hand.app.handheld.briefings.keep("https://parking.example", "1085", settings, at=now)
    await verdict_comes_without_a_press(hand, check)
    await settled_check_is_noted_once(hand, check)
    await alert_is_in_the_way_until_it_was_seen(hand, check)
    await two_vehicles_of_one_permit_are_an_alert(hand, check)
    await last_checks_are_a_swipe_away(hand, check)
    mark = await vehicle_is_marked(hand, check)
    await time_that_is_up_is_told_and_becomes_an_infraction(hand, mark)
    assert len(hand.seen) == len(set(hand.seen))


async def verdict_comes_without_a_press(hand: Hand, check: Any) -> None:
    await hand.type_plate("ABC12")
    assert check.sighting is None
    await hand.touch(check.ids.keypad.keys["3"])
    assert check.sighting.verdict == "valid"
    await hand.type_plate("ABC")
    assert check.sighting is None
    await hand.touch(check.ids.keypad.keys["4"])
    assert check.sighting.verdict == "unknown"  # no plate here begins with that


async def settled_check_is_noted_once(hand: Hand, check: Any) -> None:
    before = kinds(hand).count("check")
    await hand.type_plate("LMN456")
    await hand.until(lambda: kinds(hand).count("check") == before + 1, "the check noted")
    check.synced()
    check.settle()
    await hand.frames()
    assert kinds(hand).count("check") == before + 1


async def alert_is_in_the_way_until_it_was_seen(hand: Hand, check: Any) -> None:
    await hand.type_plate("QQQ111")
    assert check.sighting.verdict == "unknown"

    def is_shown() -> bool:
        check.synced()  # news that keep coming put nothing off
        return check._sheet is not None

    await hand.until(is_shown, "the alert")
    words = [banner.words.word for banner in reversed(check._sheet.ids.alerts.children)]
    assert words == ["PLAQUE RECHERCHÉE", "DÉJÀ SIGNALÉ"]
    await hand.look("alert-hotlist")
    await hand.touch(check._sheet.ids.seen)
    await hand.until(lambda: "alert_acknowledged" in kinds(hand), "that it was seen")
    assert check._sheet is None
    await hand.type_plate("QQQ111")
    await hand.until(lambda: check._settling is None, "the check noted")
    assert check._sheet is None
    await hand.touch(check.ids.card)
    plate = await hand.screen("plate")
    await hand.look("plate-alerts")
    assert plate.title == "QQQ111 · QC"
    hand.app.go("check")


async def two_vehicles_of_one_permit_are_an_alert(hand: Hand, check: Any) -> None:
    await hand.type_plate("XYZ789")
    await hand.until(lambda: check._sheet is not None, "the alert")
    assert check._alerts[0].kind == "two_vehicles"
    await hand.look("alert-two-vehicles")
    await hand.touch(check._sheet.ids.seen)
    await hand.until(lambda: check._sheet is None, "the sheet gone")
    await hand.touch(check.ids.card)
    plate = await hand.screen("plate")
    await hand.until(lambda: plate.others == "ABC123", "the other plate of the permit")
    await hand.look("plate-others")
    hand.app.go("check")


async def last_checks_are_a_swipe_away(hand: Hand, check: Any) -> None:
    await hand.swipe(check.ids.card, -150)
    recent = await hand.screen("recent")
    assert [row for row in recent.rows if row != "ABC4"][:3] == ["XYZ789", "QQQ111", "LMN456"]
    await hand.look("recent")
    await hand.touch(recent.rows["ABC123"])
    await hand.screen("check")
    assert check.sighting.plate.text == "ABC123"
    await hand.until(lambda: check._settling is None, "the check noted")
    await hand.close_sheet(check)


async def vehicle_is_marked(hand: Hand, check: Any) -> Chalk:
    await hand.touch(check.ids.card)
    plate = await hand.screen("plate")
    await hand.touch(plate.ids.mark)
    mark = await hand.screen("mark")
    await hand.touch(mark.minute_keys[30])
    await hand.touch(mark.ids.front.keys[3])
    await hand.touch(mark.ids.rear.keys[9])
    await hand.write(mark.ids.place, "Quai 2")
    await hand.touch(mark.ids.add_photo)
    pictures = await hand.screen("pictures")
    await hand.until(lambda: getattr(pictures, "rows", None), "the pictures")
    await hand.touch(pictures.rows["voiture.jpg"])
    await hand.screen("mark")
    await hand.until(lambda: mark.photos, "the photo")
    await hand.look("mark")
    await hand.touch(mark.ids.mark)
    await hand.screen("check")
    (chalk,) = hand.app.patrol.marks()
    assert (chalk.plate.text, chalk.minutes, chalk.valves) == ("ABC123", 30, (3, 9))
    assert (chalk.place, len(chalk.photos)) == ("Quai 2", 1)
    return chalk


async def time_that_is_up_is_told_and_becomes_an_infraction(hand: Hand, mark: Chalk) -> None:
    check = hand.app.screens.get_screen("check")
    hand.app.go("chalk")
    chalk = await hand.screen("chalk")
    await hand.look("chalk-running")
    hand.app.go("check")
    await hand.screen("check")
    hand.pass_time(31 * MINUTE)
    await hand.until(lambda: check._sheet is not None, "the reminder")
    await hand.look("chalk-reminder")
    await hand.touch(check._sheet.ids.seen)
    await hand.screen("chalk")
    await hand.look("chalk-due")
    await hand.touch(chalk.rows[mark.id])
    await hand.until(lambda: chalk.sheet.ids.photos.children, "the photo of the mark")
    await hand.look("chalk-sheet")
    await hand.touch(chalk.sheet.ids.not_moved)
    infraction = await hand.screen("infraction")
    draft = infraction.draft
    assert (draft.codes, draft.place) == (["T02"], "Quai 2")
    assert [photo.sha256 for photo in draft.photos] == list(mark.photos)
    assert hand.app.patrol.marks() == []
    assert kinds(hand).count("chalk") == 2
