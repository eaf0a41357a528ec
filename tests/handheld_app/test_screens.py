"""What the screens do with what happens meanwhile: in the real window, without a service."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from handheld_app.device import DeviceFile
from handheld_app.evidence import picture_files
from handheld_app.patrol import IndexExpired, Warn
from handheld_app.syncing import SyncStatus
from handheld_app.wording import not_judged, warning
from sync.messages import Enrolment
from sync.outbox import Outbox
from tests.handheld_app.conftest import (
    BADGE,
    PIN,
    World,
    enrol,
    fill,
    give_numbers,
    measure,
    sign_in,
)
from tests.handheld_app.test_window import DEADLINE, MORE_SIZES, Hand, hand, pictures, restarted

__all__ = ["hand", "pictures"]


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def known(now: datetime) -> World:
    """What the site is, a moment ago."""
    world = World(now=now, fed_at=now, synced_at=now)
    world.permit("ABC123")
    return world


async def at_work(
    hand: Hand, world: World, *, badge: str = BADGE, numbers: int = 50, measured: bool = True
) -> Any:
    """On the check screen of a site that has been fetched; nobody syncs. Without a badge, nobody
    has signed in.
    """
    await hand.screen("enrol")
    enrol(hand.app.handheld, badge=badge)
    if numbers:
        give_numbers(hand.app.handheld, 1001, 1000 + numbers)
    if measured:
        measure(hand.app.handheld)
    fill(hand.app.handheld, world)
    hand.app._first_screen()
    return await hand.screen("check" if badge else "signin")


async def last_look(hand: Hand, plate: str = "QQQ111") -> Any:
    """An infraction, with nothing lacking."""
    check = await hand.screen("check")
    for glyph in plate:
        check.type(glyph)
    check.check()
    check.infraction()
    screen = await hand.screen("infraction")
    screen.choose_outcome("warning")
    screen.review()
    return await hand.screen("lastlook")


async def next_car(hand: Hand) -> Any:
    """From what was issued, on to the check screen."""
    issued = await hand.screen("issued")
    issued.next()
    return await hand.screen("check")


@contextmanager
def held(app: Any) -> Iterator[threading.Event]:
    """Nothing is written until the event is set."""
    gate = threading.Event()
    app.workers.write(lambda: gate.wait(DEADLINE), lambda _: None, lambda error: None)
    try:
        yield gate
    finally:
        gate.set()


def full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.asyncio
async def test_a_revocation_meets_every_screen(hand: Hand, known: World) -> None:
    check = await at_work(hand, known)
    for glyph in "ABC123":
        check.type(glyph)
    assert check.sighting.verdict == "valid"
    hand.app.go("sync")
    hand.app.handheld.forget_sites()
    hand.app._sync_changed(SyncStatus("revoked"))
    await hand.until(lambda: hand.app.status.connection == "revoked", "the revocation")
    for name in ("check", "plate", "sync", "place", "check"):
        hand.app.screens.current = name
        await hand.frames()
    assert check.sighting is None
    assert check.ids.infraction.disabled


@pytest.mark.asyncio
async def test_a_revocation_leaves_what_is_being_recorded(hand: Hand, known: World) -> None:
    await at_work(hand, known)
    last = await last_look(hand)
    hand.app.handheld.forget_sites()
    last.refresh()
    assert last.ids.summary.plate == "QQQ111 · QC"
    assert last.may_record
    last.record()
    await hand.until(lambda: hand.app.patrol.unsent() == 1, "the infraction kept")
    await next_car(hand)


@pytest.mark.asyncio
async def test_an_enrolment_that_the_disk_does_not_take_blames_no_address(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = await hand.screen("enrol")
    enrolment = Enrolment("d1", "secret", ("1085",))
    monkeypatch.setattr(hand.app.patrol, "_ask_enrolment", lambda *asked: enrolment)
    monkeypatch.setattr(os, "fsync", full)
    screen.prefill("https://parking.example", "CODE")
    screen.enrol()
    await hand.until(lambda: screen.trouble, "the trouble")
    assert "mémoire" in screen.trouble


@pytest.mark.asyncio
async def test_an_enrolment_that_succeeds_late_leaves_the_infraction_open(
    hand: Hand, known: World
) -> None:
    await at_work(hand, known)
    last = await last_look(hand)
    hand.app.enrolled()
    assert hand.app.screens.current == "lastlook"
    assert last.draft is not None
    hand.app.go("enrol")
    hand.app.enrolled()
    assert hand.app.screens.current == "place"


@pytest.mark.asyncio
async def test_an_enrolled_device_goes_on_while_it_is_enrolled_again(
    hand: Hand, known: World, tmp_path: Path
) -> None:
    await at_work(hand, known)
    hand.app.handheld.device_file.change(server="http://127.0.0.1:9")
    async with restarted(hand, tmp_path, code="CODE"):
        assert hand.app.screens.current == "enrol"
        await hand.until(lambda: hand.app.status.connection == "offline", "the sync")


@pytest.mark.asyncio
async def test_what_is_learnt_and_what_comes_of_itself_is_judged_anew(
    hand: Hand, known: World, now: datetime
) -> None:
    check = await at_work(hand, known)
    for glyph in "XYZ789":
        check.type(glyph)
    check.check()
    assert check.sighting.verdict == "unknown"
    known.permit("XYZ789", active_from=now + timedelta(hours=5))
    fill(hand.app.handheld, known)
    hand.app._sync_changed(SyncStatus("online"))
    await hand.until(lambda: check.sighting.verdict == "pending_activation", "what was learnt")
    hand.pass_time(timedelta(hours=5, seconds=1))
    await hand.until(lambda: check.sighting.verdict == "valid", "the activation")


@pytest.mark.asyncio
async def test_what_was_typed_stays_beside_the_plate_that_was_taken(
    hand: Hand, known: World
) -> None:
    known.permit("B8Z5S2")
    check = await at_work(hand, known)
    for glyph in "BBZ5S2":
        check.type(glyph)
    check.check()
    (plate,) = check.sighting.check.suggestions
    check.compare(plate)
    assert (check.sighting.plate.text, check.sighting.raw) == ("B8Z5S2", "BBZ5S2")
    check.synced()
    check.take_jurisdiction("CA-ON")
    assert (check.sighting.plate.jurisdiction, check.sighting.raw) == ("CA-ON", "BBZ5S2")
    check.begin()
    assert check.ids.plate.jurisdiction == "CA-QC"
    for glyph in "ABC123":
        check.type(glyph)
    assert check.sighting.raw == "ABC123"


@pytest.mark.asyncio
async def test_a_photo_still_being_added_is_waited_for(
    hand: Hand, known: World, pictures: Path
) -> None:
    await at_work(hand, known)
    last = await last_look(hand)
    assert last.may_record
    screen = hand.app.screens.get_screen("infraction")
    with held(hand.app):
        hand.app.go("infraction")
        screen.take(pictures / "voiture.jpg")
        await hand.frames()
        assert screen.trouble == "Une photo s’ajoute encore."
        screen.review()
        await hand.screen("lastlook")
        assert not last.may_record
        last.record()
        assert not last.busy
    await hand.until(lambda: last.may_record, "the photo kept")
    assert len(last.draft.photos) == 1
    assert len(last.ids.photos.children) == 1
    screen.take(pictures / "notes.txt")
    await hand.until(lambda: last.draft.photo_refused, "the refusal")
    assert screen.trouble == "Le fichier n’est pas une image JPEG, PNG ou WebP."
    assert screen.trouble in [notice.text for notice in last.ids.cautions.children]


@pytest.mark.asyncio
async def test_what_is_being_recorded_is_changed_no_more(
    hand: Hand, known: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = await at_work(hand, known)
    told: list[Any] = []
    monkeypatch.setattr(check, "announce", lambda draft, recorded, announce=check.announce: (
        told.append(draft.id), announce(draft, recorded),
    ))  # fmt: skip
    last = await last_look(hand)
    screen = hand.app.screens.get_screen("infraction")
    screen.ids.note.text = "kept"
    hand.app.go("infraction")
    screen.review()
    with held(hand.app):
        last.record()
        last.record()
        assert last.busy
        assert last.ids.record.disabled
        hand.app.go("infraction")
        assert hand.app.screens.current == "lastlook"
    await next_car(hand)
    (item,) = hand.app.handheld.outbox.infractions()
    assert item.body is not None
    assert item.body["note"] == "kept"
    assert check.ids.card.word == "Enregistrée"
    done: list[None] = []
    hand.app.workers.write(lambda: None, done.append, lambda error: None)
    await hand.until(lambda: done, "what was asked after it")
    assert told == [item.id]
    await last_look(hand, "QQQ222")
    assert screen.ids.note.text == ""
    assert last.draft.note == ""
    assert last.may_record


@pytest.mark.asyncio
async def test_what_could_not_be_recorded_says_so_and_may_be_tried_again(
    hand: Hand, known: World
) -> None:
    await at_work(hand, known)
    last = await last_look(hand)
    outbox = hand.app.handheld.outbox
    outbox._connection.execute("PRAGMA query_only = ON")
    last.record()
    await hand.until(lambda: last.failed and not last.busy, "the failure")
    assert any("mémoire" in notice.text for notice in last.ids.cautions.children)
    outbox._connection.execute("PRAGMA query_only = OFF")
    last.record()
    await next_car(hand)
    assert len(hand.app.handheld.outbox.infractions()) == 1


@pytest.mark.asyncio
async def test_what_was_recorded_is_kept_when_the_window_closes_at_once(
    hand: Hand, known: World, tmp_path: Path, pictures: Path
) -> None:
    await at_work(hand, known)
    last = await last_look(hand)
    blocked = threading.Event()
    for _ in range(60):
        hand.app.workers.picture(lambda: blocked.wait(DEADLINE), lambda _: None)
    last.record()
    hand.app.switch_language()
    hand.app.stop()
    await asyncio.wait_for(hand.running, DEADLINE)
    blocked.set()
    outbox = Outbox(tmp_path / "handheld")
    assert len(outbox.infractions()) == 1
    outbox.close()
    device = DeviceFile(tmp_path / "handheld" / "device.json", new_install_id="none").device
    assert device.lang == "en"


@pytest.mark.asyncio
async def test_a_setting_that_could_not_be_saved_says_so(
    hand: Hand, known: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from handheld_app.controls import Alert

    def alert() -> Any:
        return next((seen for seen in hand.window.children if isinstance(seen, Alert)), None)

    await at_work(hand, known)
    hand.app.go("place")
    place = await hand.screen("place")
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        place.choose_zone("G2")
        await hand.until(alert, "the sentence")
    await hand.look("alert")
    assert "mémoire" in alert().notice.text
    await hand.touch(alert().close)
    await hand.until(lambda: alert() is None, "the sentence gone")
    assert hand.app.patrol.device.zone == "G1"


@pytest.mark.asyncio
async def test_a_site_that_is_chosen_is_the_one_that_is_synced(hand: Hand, known: World) -> None:
    await at_work(hand, known)
    handheld = hand.app.handheld
    handheld.device_file.change(server="http://127.0.0.1:9", sites=("1085", "2000"), site="")
    hand.app.go("place")
    place = await hand.screen("place")
    with held(hand.app):
        place.choose_site("2000")
        await hand.frames()
    await hand.until(lambda: handheld._syncing_as is not None, "the sync")
    assert handheld._syncing_as == ("http://127.0.0.1:9", "d1", "2000")


@pytest.mark.asyncio
async def test_a_row_under_the_finger_stays_while_the_sync_goes_on(
    hand: Hand, known: World
) -> None:
    await at_work(hand, known)
    hand.app.go("place")
    place = await hand.screen("place")
    row = place.rows["G2"]
    row.dispatch("on_press")
    hand.app._take_status(SyncStatus("offline"))
    assert place.rows["G2"] is row
    row.dispatch("on_release")
    await hand.until(lambda: place.rows["G2"].selected, "the zone")


@pytest.mark.asyncio
async def test_thumbnails_that_nobody_sees_any_more_are_not_made(
    hand: Hand, known: World, picture: Callable[..., Path]
) -> None:
    await at_work(hand, known)
    for n in range(20):
        picture(f"pictures/{n:02d}.jpg")
    await last_look(hand)
    hand.app.go("infraction")
    hand.app.go("pictures")
    screen = await hand.screen("pictures")
    await hand.until(lambda: len(getattr(screen, "rows", {})) > 20, "the pictures")
    blocked = threading.Event()
    hand.app.workers.picture(lambda: blocked.wait(DEADLINE), lambda _: None)
    screen._show(screen.folder, picture_files(screen.folder))
    rows = list(screen.rows.values())
    hand.app.go("infraction")
    await hand.screen("infraction")
    done: list[None] = []
    hand.app.workers.picture(lambda: None, done.append)
    blocked.set()
    await hand.until(lambda: done, "what was asked after them")
    assert not any(row.texture for row in rows)


# what a patroller is told early


@pytest.mark.asyncio
async def test_data_too_old_is_said_and_a_plate_is_recorded_without_a_verdict(
    hand: Hand, known: World
) -> None:
    known.synced_at = known.fed_at = known.now - timedelta(days=4)
    check = await at_work(hand, known)
    await hand.look("check-idle-expired")
    await hand.type_plate("ABC123")
    assert check.sighting is None
    await hand.touch(check.ids.check)
    assert check.sighting is None
    await hand.look("check-expired")
    await hand.touch(check.ids.infraction)
    screen = await hand.screen("infraction")
    assert screen.draft.plate.text == "ABC123"
    await hand.look("infraction-expired")
    await hand.touch(screen.code_rows["M02"])
    await hand.touch(screen.outcome_keys["warning"])
    await hand.touch(screen.ids.review)
    last = await hand.screen("lastlook")
    await hand.look("lastlook-expired")
    await hand.touch(last.ids.record)
    await next_car(hand)
    (item,) = hand.app.patrol.log()
    assert (item.body["plate"], item.body["verdict"]) == ("ABC123", None)


@pytest.mark.asyncio
async def test_a_verdict_that_is_looked_at_goes_when_the_data_is_too_old(
    hand: Hand, known: World
) -> None:
    check = await at_work(hand, known)
    await hand.type_plate("ABC123")
    assert check.sighting.verdict == "valid"
    hand.pass_time(timedelta(hours=73))
    await hand.until(lambda: check.sighting is None, "the verdict gone")
    assert check.unjudged.plate.text == "ABC123"


@pytest.mark.asyncio
async def test_running_out_of_numbers_and_a_clock_that_is_not_sure_are_seen(
    hand: Hand, known: World
) -> None:
    check = await at_work(hand, known, numbers=3, measured=False)
    await hand.look("check-clock-unsure")
    measure(hand.app.handheld)
    check.refresh()
    await hand.look("check-low-numbers")
    check.infraction()
    await hand.screen("infraction")
    await hand.look("infraction-low-numbers")
    hand.app.go("sync")
    await hand.look("sync-low-numbers")
    for _ in range(3):
        draft = hand.app.patrol.draft(hand.app.patrol.check("QQQ111", "CA-QC"))
        hand.app.patrol.record(draft)
    hand.app.go("check")
    check.refresh()
    await hand.look("check-no-number")
    await hand.type_plate("QQQ111")
    check.check()
    await hand.close_sheet(check)  # it was noticed today already
    check.infraction()
    screen = await hand.screen("infraction")
    screen.review()
    last = await hand.screen("lastlook")
    await hand.look("lastlook-no-number")
    await hand.touch(last.ids.record)
    await next_car(hand)
    await hand.look("check-recorded-without-number")


@pytest.mark.asyncio
async def test_warnings_are_read_whole_on_the_smallest_screen(hand: Hand, known: World) -> None:
    check = await at_work(hand, known)
    await hand.resize(min(MORE_SIZES))
    card = check.ids.card
    for lang in ("en", "fr"):
        await hand.speak(lang)
        idle = card.word
        told = [(idle, warning(what, lang, left=14)) for what in get_args(Warn)]
        for card.word, card.detail in [*told, not_judged(IndexExpired(timedelta(days=30)), lang)]:
            await hand.frames()
            cut = [one for one in card.walk(restrict=True) if not getattr(one, "complete", True)]
            assert not cut, (lang, [one.text for one in cut])


@pytest.mark.asyncio
async def test_a_notice_shows_its_number(hand: Hand, known: World) -> None:
    check = await at_work(hand, known)
    await hand.type_plate("QQQ111")
    check.check()
    check.infraction()
    screen = await hand.screen("infraction")
    screen.review()
    last = await hand.screen("lastlook")
    await hand.look("lastlook-number")
    await hand.touch(last.ids.record)
    await next_car(hand)
    await hand.look("check-recorded-number")


@pytest.mark.asyncio
async def test_who_is_not_signed_in_does_so_at_the_last_look_and_loses_nothing(
    hand: Hand, known: World
) -> None:
    await at_work(hand, known)
    hand.app.patrol.sign_out()
    last = await last_look(hand)
    draft = last.draft
    assert not last.may_record
    await hand.look("lastlook-nobody")
    await hand.touch(last.sign_in)
    screen = await hand.screen("signin")
    assert screen.ids.badge.text == BADGE
    await hand.write(screen.ids.pin, "111111")
    await hand.touch(screen.ids.sign_in)
    await hand.until(lambda: screen.trouble, "the refusal")
    assert "9" in screen.trouble
    await hand.look("signin-wrong")
    await hand.write(screen.ids.pin, PIN)
    await hand.touch(screen.ids.sign_in)
    await hand.screen("lastlook")
    assert last.draft is draft
    assert last.may_record
    await hand.touch(last.ids.record)
    await next_car(hand)


@pytest.mark.asyncio
async def test_without_signing_in_plates_are_checked(hand: Hand, known: World) -> None:
    screen = await at_work(hand, known, badge="")
    await hand.look("signin")
    await hand.touch(screen.ids.without)
    check = await hand.type_plate("ABC123")
    assert check.sighting.verdict == "valid"


@pytest.mark.asyncio
async def test_what_was_refused_is_exported_and_what_is_for_others_is_told(
    hand: Hand, known: World, tmp_path: Path
) -> None:
    await at_work(hand, known)
    patrol, outbox = hand.app.patrol, hand.app.handheld.outbox
    for _ in range(2):
        patrol.record(patrol.draft(patrol.check("QQQ111", "CA-QC")))
    outbox.refuse(outbox.waiting()[0], "Le site n’existe plus.", at=known.now)
    hand.app.handheld.device_file.change(server="https://autre.example")
    hand.app.handheld.device_file.change(sites=("1085",))
    fill(hand.app.handheld, known)
    sign_in(hand.app.handheld)
    hand.app.go("sync")
    sync = await hand.screen("sync")
    await hand.touch(sync.ids.export)
    await hand.until(lambda: sync.told, "the file")
    await hand.look("sync-exported")
    (path,) = (tmp_path / "exports").iterdir()
    assert str(path) in sync.told
    assert patrol.unsent() == 2


@pytest.mark.asyncio
async def test_a_link_tells_the_code_too(hand: Hand) -> None:
    screen = await hand.screen("enrol")
    assert screen.ids.enrol.disabled
    await hand.write(screen.ids.server, "patrouille://enrol?server=http://127.0.0.1:9")
    await hand.touch(screen.ids.enrol)
    await hand.until(lambda: screen.trouble, "what is wrong with it")
    await hand.look("enrol-link")
    screen.ids.server.text = ""
    assert screen.ids.enrol.disabled
