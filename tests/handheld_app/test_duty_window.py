"""Sign-in, shift, lock, what comes back, messages: by touch in the real window, no service."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handheld_app.briefing import Settings
from handheld_app.positions import Fixed
from handheld_app.syncing import SyncStatus
from handheld_app.wording import gettext
from sync import codec
from sync.entities import Lot
from sync.exchange import Briefed
from sync.messages import SignIn
from tests.handheld_app.conftest import (
    BADGE,
    CHEAP,
    DAY,
    PIN,
    World,
    enrol,
    fill,
    give_numbers,
    measure,
    sign_in,
)
from tests.handheld_app.test_shifts import SQUARE
from tests.handheld_app.test_window import DEADLINE, Hand, hand, pictures, restarted

__all__ = ["hand", "pictures"]

OTHER_BADGE, OTHER_PIN = "5120", "264951"
IDLE = Settings().lock_after
NOTE = "Devant l’entrée, moteur en marche"


@pytest.fixture
def known() -> World:
    now = datetime.now(UTC).replace(microsecond=0)
    world = World(now=now, fed_at=now, synced_at=now)
    world.permit("ABC123")
    world.more.append(Lot("P3", "P3", "G2", json.dumps(SQUARE)))
    return world


def furnish(handheld: Any, world: World) -> None:
    """Enrolled, fetched, and two patrollers known here; nobody is signed in."""
    handheld.staff._cost = CHEAP
    enrol(handheld)
    until = handheld.clock.now() + 30 * DAY
    said = SignIn("luc", until, "Luc Roy")
    handheld.staff.remember(OTHER_BADGE, OTHER_PIN, said, at=handheld.clock.now())
    give_numbers(handheld)
    measure(handheld)
    fill(handheld, world)
    handheld.patrol.sign_out()


async def signs_in(hand: Hand, badge: str = BADGE, pin: str = PIN) -> None:
    screen = await hand.screen("signin")
    if screen.ids.badge.text != badge:
        screen.ids.badge.text = ""
        await hand.write(screen.ids.badge, badge)
    await hand.write(screen.ids.pin, pin)
    await hand.touch(screen.ids.sign_in)


async def on_shift(hand: Hand, world: World) -> Any:
    """Marie has begun a shift in zone G1, and the check screen is shown."""
    await hand.screen("enrol")
    furnish(hand.app.handheld, world)
    sign_in(hand.app.handheld)
    hand.app.patrol.start_shift()
    hand.app._first_screen()
    return await hand.screen("check")


async def recording(hand: Hand, plate: str = "QQQ111") -> Any:
    """An infraction in the middle of its note."""
    check = await hand.type_plate(plate)
    await hand.touch(check.ids.check)
    await hand.touch(check.ids.infraction)
    screen = await hand.screen("infraction")
    await hand.write(screen.ids.note, NOTE)
    return screen


async def locks(hand: Hand) -> Any:
    await hand.until(lambda: hand.app.duty.locked, "the lock")
    lock = hand.app.duty.lock
    assert hand.window.children[0] is lock
    return lock


async def types_pin(hand: Hand, lock: Any, pin: str) -> None:
    for digit in pin:
        await hand.touch(lock.ids.pad.keys[digit])


def events(hand: Hand) -> list[dict[str, Any]]:
    waiting = hand.app.handheld.outbox.waiting()
    return [dict(item.body or {}) for item in waiting if item.kind == "event"]


def brief(hand: Hand, *texts: str, first: int = 0) -> None:
    """As if supervisors had written, a minute apart."""
    at = hand.app.handheld.clock.now() - timedelta(minutes=30)
    messages = [
        {"id": f"m{n}", "at": codec.instant(at + timedelta(minutes=n)), "from": "Diane Côté"}
        | {"text": text, "to": None}
        for n, text in enumerate(texts, first)
    ]
    server = hand.app.patrol.device.server
    briefed = Briefed({"messages": messages}, "e1")
    hand.app.handheld.briefings.keep(server, "1085", briefed, at=at)
    hand.app._sync_changed(SyncStatus("online"))


@pytest.mark.asyncio
async def test_shift_by_touch_from_sign_in_to_sign_out(hand: Hand, known: World) -> None:
    from handheld_app.theme import look

    await hand.screen("enrol")
    receiver = hand.app.duty.positions._source = Fixed.parse("45.401,-71.899,8")
    furnish(hand.app.handheld, known)
    hand.app._first_screen()
    patrol = hand.app.patrol
    await signs_in(hand)
    place = await hand.screen("place")
    await hand.until(lambda: place.near_zone, "where the device is")
    assert receiver.running
    look.scale = 130
    await hand.look("shift-start")
    look.scale = 100
    await hand.touch(place.ids.near)
    await hand.until(lambda: patrol.device.zone == "G2", "the zone nearby")
    assert place.near_zone == ""
    await hand.touch(place.rows["G1"])
    await hand.until(lambda: patrol.device.zone == "G1", "another zone by hand")
    await hand.touch(place.ids.start)
    check = await hand.screen("check")
    assert patrol.shift is not None
    assert receiver.running
    await hand.type_plate("ABC123")
    await hand.touch(check.ids.check)
    screen = await recording(hand)
    await hand.touch(screen.outcome_keys["warning"])
    await hand.touch(screen.ids.review)
    last = await hand.screen("lastlook")
    await hand.touch(last.ids.record)
    await hand.next_car()
    hand.app._sync_changed(SyncStatus("offline", unsent=patrol.unsent()))
    await hand.touch(check.ids.zone)
    assert place.go_words == gettext("Go on checking", hand.app.lang)
    await hand.touch(place.ids.who)
    shift = await hand.screen("shift")
    await hand.until(lambda: shift.summary, "the summary")
    assert (shift.summary.checks, shift.summary.outcomes) == (2, {"warning": 1})
    assert shift.left
    await hand.look("shift-end")
    await hand.touch(shift.ids.end)
    await hand.frames(20)
    sheet = hand.window.children[0]
    await hand.look("shift-end-sure")
    await hand.touch(sheet.ids.cancel)
    await hand.until(lambda: sheet.parent is None, "the sheet gone")
    assert patrol.shift is not None
    await hand.touch(shift.ids.end)
    await hand.frames(20)
    await hand.touch(hand.window.children[0].ids.end)
    signin = await hand.screen("signin")
    assert patrol.shift is None
    assert patrol.signed_in() is None
    assert not receiver.running
    assert signin.left
    await hand.touch(signin.ids.forgotten)
    assert "10" in signin.advice
    await hand.look("signin-after-shift")
    places = [signin.ids[name].to_window(*signin.ids[name].pos) for name in ("pin", "sign_in")]
    hand.app._sync_changed(SyncStatus("online"))
    await hand.frames(8)
    assert not signin.left
    assert places == [
        signin.ids[name].to_window(*signin.ids[name].pos) for name in ("pin", "sign_in")
    ]
    told = [event for event in events(hand) if event["kind"].startswith("shift_")]
    assert [event["kind"] for event in told] == ["shift_started", "shift_ended"]
    assert told[0]["zone"] == "G1"


@pytest.mark.asyncio
async def test_idle_device_locks_and_comes_back_as_it_was(hand: Hand, known: World) -> None:
    check = await on_shift(hand, known)
    await hand.type_plate("ABC123")
    assert check.sighting.verdict == "valid"
    hand.pass_time(IDLE - timedelta(seconds=5), idle=True)
    hand.app.duty.look()
    assert not hand.app.duty.locked
    hand.pass_time(IDLE + timedelta(seconds=1), idle=True)
    lock = await locks(hand)
    await hand.look("lock")
    await hand.press_keys("x\b")
    await types_pin(hand, lock, "111111")
    await hand.until(lambda: lock.trouble, "the refusal")
    assert "9" in lock.trouble
    await hand.look("lock-wrong")
    await hand.touch(lock.ids.forgotten)
    assert "9" in lock.advice
    await hand.look("lock-forgotten")
    await hand.touch(lock.ids.forgotten)
    await hand.press_keys("80621")
    await hand.touch(lock.ids.pad.back)
    assert lock.pin == "8062"
    await hand.press_keys("13")
    await hand.until(lambda: not hand.app.duty.locked, "the device unlocked")
    assert check.ids.plate.text == "ABC123"
    assert check.sighting.verdict == "valid"
    assert hand.app.patrol.shift is not None


@pytest.mark.asyncio
async def test_first_touch_after_a_long_sleep_locks_and_does_nothing_else(
    hand: Hand, known: World
) -> None:
    check = await on_shift(hand, known)
    await hand.type_plate("ABC")
    hand.app.duty._looking.cancel()
    hand.app.on_pause()
    assert not hand.app.duty.positions.running
    hand.pass_time(timedelta(hours=13), idle=True)  # the sign-in is over too
    hand.app.on_resume()
    lock = await locks(hand)
    await types_pin(hand, lock, PIN)
    await hand.until(lambda: not hand.app.duty.locked, "the device unlocked")
    assert hand.app.patrol.signed_in() is not None
    hand.pass_time(timedelta(hours=14), idle=True)
    key = check.ids.keypad.keys["D"]
    from kivy.tests.common import UnitTestTouch

    touch = UnitTestTouch(*key.to_window(*key.center))
    touch.touch_down()
    touch.touch_up()
    await locks(hand)
    assert check.ids.plate.text == "ABC"


@pytest.mark.asyncio
async def test_nothing_opens_over_the_lock(hand: Hand, known: World) -> None:
    from handheld_app.controls import Alert

    await on_shift(hand, known)
    hand.pass_time(IDLE, idle=True)
    lock = await locks(hand)
    alert = Alert(words="QQQ111", close="Fermer")
    alert.open()
    await hand.until(lambda: hand.window.children[0] is lock, "the lock on top")
    assert alert.parent is not None
    alert.dismiss(animation=False)


@pytest.mark.asyncio
async def test_another_patroller_ends_the_shift_and_leaves_the_infraction_to_who_began_it(
    hand: Hand, known: World
) -> None:
    await on_shift(hand, known)
    screen = await recording(hand)
    draft, patrol = screen.draft, hand.app.patrol
    hand.pass_time(IDLE, idle=True)
    lock = await locks(hand)
    await hand.touch(lock.ids.other)
    await hand.until(lambda: lock.ids.badge.focus, "the badge asked for")
    await hand.look("lock-other")
    await hand.write(lock.ids.badge, OTHER_BADGE)
    await types_pin(hand, lock, OTHER_PIN)
    await hand.screen("place")
    assert patrol.signed_in().patroller == "luc"
    assert patrol.shift is None
    assert patrol.kept_draft() is None
    assert hand.app.screens.get_screen("check").ids.plate.text == ""
    hand.pass_time(2 * IDLE, idle=True)
    lock = await locks(hand)
    await hand.touch(lock.ids.other)
    await hand.write(lock.ids.badge, BADGE)
    await types_pin(hand, lock, PIN)
    screen = await hand.screen("infraction")
    assert screen.draft.id == draft.id
    assert screen.ids.note.text == NOTE


@pytest.mark.asyncio
async def test_who_does_not_know_the_pin_checks_plates_and_sees_nothing_of_the_others(
    hand: Hand, known: World
) -> None:
    await on_shift(hand, known)
    screen = await recording(hand)
    id = screen.draft.id
    hand.pass_time(IDLE, idle=True)
    lock = await locks(hand)
    await hand.touch(lock.ids.forgotten)
    await hand.touch(lock.ids.unsigned)
    check = await hand.screen("check")
    assert check.ids.plate.text == ""
    assert hand.app.patrol.signed_in() is None
    assert hand.app.patrol.shift is not None
    await hand.type_plate("ABC123")
    assert check.sighting.verdict == "valid"
    hand.app.ask_who("check")
    await signs_in(hand)
    screen = await hand.screen("infraction")
    assert screen.draft.id == id


@pytest.mark.asyncio
async def test_half_a_plate_comes_back_after_a_restart_to_who_typed_it(
    hand: Hand, known: World, tmp_path: Path
) -> None:
    check = await on_shift(hand, known)
    check.take_jurisdiction("CA-ON")
    for glyph in "XYZ78":
        await hand.touch(check.ids.keypad.keys[glyph])
    hand.app.stop()
    await asyncio.wait_for(hand.running, DEADLINE)
    async with restarted(hand, tmp_path):
        await signs_in(hand)
        check = await hand.screen("check")
        assert (check.ids.plate.text, check.ids.plate.jurisdiction) == ("XYZ78", "CA-ON")
    async with restarted(hand, tmp_path):
        await signs_in(hand, OTHER_BADGE, OTHER_PIN)
        place = await hand.screen("place")
        await hand.touch(place.ids.start)
        check = await hand.screen("check")
        assert check.ids.plate.text == ""


KILLED = """
import asyncio, os, sys
from pathlib import Path

from tests.handheld_app.test_duty_window import is_killed

asyncio.run(is_killed(Path(sys.argv[1])))
"""


async def is_killed(folder: Path) -> None:
    """In a process of its own: an infraction in the middle of its note, until it is killed."""
    from handheld_app.app import HandheldApp

    app = HandheldApp(folder, lang="fr", pictures=folder)
    hand = Hand(app, asyncio.create_task(app.async_run("asyncio")))
    await hand.until(lambda: app.root is not None, "the window")
    await signs_in(hand)
    await hand.screen("check")
    screen = await recording(hand)
    screen.leave()
    app.workers.write(
        lambda: app.patrol.keep_draft(screen.draft), lambda _: print("kept", flush=True), raised
    )
    await asyncio.sleep(DEADLINE)


def raised(error: Exception) -> None:
    raise error


@pytest.mark.asyncio
async def test_shift_and_infraction_outlive_a_kill(
    hand: Hand, known: World, tmp_path: Path
) -> None:
    await on_shift(hand, known)
    shift = hand.app.patrol.shift.id
    hand.app.stop()
    await asyncio.wait_for(hand.running, DEADLINE)
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "KIVY_NO_ARGS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        line = await asyncio.wait_for(asyncio.to_thread(killed.stdout.readline), DEADLINE)  # type: ignore[union-attr]
        assert line == b"kept\n"
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait(DEADLINE)
        killed.stdout.close()  # type: ignore[union-attr]
    async with restarted(hand, tmp_path):
        await signs_in(hand)
        screen = await hand.screen("infraction")
        assert hand.app.patrol.shift.id == shift
        assert screen.draft.plate.text == "QQQ111"
        assert screen.ids.note.text == NOTE
        assert screen.told
        await hand.look("infraction-restored")
        hand.app.go("check")
        check = await hand.screen("check")
        assert check.ids.plate.text == "QQQ111"
        check.infraction()
        await hand.screen("infraction")
        assert screen.told == ""


@pytest.mark.asyncio
async def test_message_waits_until_it_covers_nothing(hand: Hand, known: World) -> None:
    check = await on_shift(hand, known)
    await recording(hand)
    brief(hand, "Ne pas ticketer le P7 aujourd’hui : déneigement.", "Réunion à 16 h.")
    await hand.until(lambda: hand.app.messages == 2, "the messages")
    assert hand.app.duty.message is None
    await hand.look("infraction-messages")
    hand.app.go("check")
    await hand.screen("check")
    await hand.frames(10)
    assert hand.app.duty.message is None  # a plate is being typed
    await hand.touch(check.ids.wipe)
    await hand.until(lambda: hand.app.duty.message, "the first message")
    sheet = hand.app.duty.message
    assert "P7" in sheet.ids.words.text
    await hand.until(lambda: sheet.may_read, "time to see it")
    await hand.look("message")
    await hand.touch(sheet.ids.read)
    await hand.until(lambda: hand.app.duty.message not in (None, sheet), "the second one")
    sheet = hand.app.duty.message
    await hand.until(lambda: sheet.may_read, "time to see it")
    await hand.press_keys("a\n")
    await hand.until(lambda: hand.app.messages == 0, "both read")
    assert check.ids.plate.text == ""
    told = [event["message"] for event in events(hand) if event["kind"] == "message_read"]
    assert told == ["m0", "m1"]
    brief(hand, "Mot " * 600, first=2)
    await hand.until(lambda: hand.app.duty.message, "a long one")
    sheet = hand.app.duty.message
    await hand.until(lambda: sheet.may_read, "time to see it")
    assert sheet.height < hand.window.height


@pytest.mark.asyncio
async def test_message_is_read_at_once_by_who_wants_to(hand: Hand, known: World) -> None:
    await on_shift(hand, known)
    screen = await recording(hand)
    brief(hand, "Réunion à 16 h.")
    await hand.until(lambda: hand.app.messages == 1, "the message")
    from handheld_app.controls import Header

    header = next(widget for widget in screen.walk() if isinstance(widget, Header))
    await hand.touch(header.ids.message)
    await hand.until(lambda: hand.app.duty.message.may_read, "the message")
    await hand.touch(hand.app.duty.message.ids.read)
    await hand.until(lambda: hand.app.messages == 0, "it read")
    assert screen.ids.note.text == NOTE


@pytest.mark.asyncio
async def test_revocation_in_mid_shift_shows_no_plate_and_loses_nothing(
    hand: Hand, known: World
) -> None:
    check = await on_shift(hand, known)
    screen = await recording(hand)
    hand.app.handheld.forget_sites()
    hand.app._sync_changed(SyncStatus("revoked"))
    await hand.until(lambda: screen.told, "the revocation told")
    await hand.look("infraction-revoked")
    hand.pass_time(IDLE, idle=True)
    lock = await locks(hand)
    await types_pin(hand, lock, PIN)
    await hand.until(lambda: not hand.app.duty.locked, "the device unlocked")
    assert screen.ids.note.text == NOTE
    await hand.touch(screen.outcome_keys["warning"])
    await hand.touch(screen.ids.review)
    last = await hand.screen("lastlook")
    await hand.touch(last.ids.record)
    await hand.next_car()
    (item,) = hand.app.handheld.outbox.infractions()
    assert item.body["note"] == NOTE
    assert (check.sighting, check.ids.plate.text) == (None, "")
    assert not check.ready


@pytest.mark.asyncio
async def test_revocation_takes_what_is_known_of_a_plate_away(hand: Hand, known: World) -> None:
    check = await on_shift(hand, known)
    await hand.type_plate("ABC123")
    await hand.touch(check.ids.card)
    await hand.screen("plate")
    hand.app.handheld.forget_sites()
    hand.app._sync_changed(SyncStatus("revoked"))
    await hand.screen("check")
    assert (check.sighting, check.ids.plate.text) == (None, "")
    assert b"ABC123" not in (hand.app.handheld.folder / "notebook.db").read_bytes()
