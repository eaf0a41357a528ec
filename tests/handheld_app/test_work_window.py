"""A patroller's own work by touch, in one window; and the state of the sync on every screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from handheld_app.syncing import SyncStatus
from handheld_app.wording import gettext, work_state
from sync.entities import Notice
from sync.exchange import Briefed
from sync.outbox import Item
from tests.handheld_app.conftest import World, enrol, fill, give_numbers, measure
from tests.handheld_app.seeing import flaws
from tests.handheld_app.test_window import DEADLINE, SIZES, Hand, window_of_tests

SERVER = "https://parking.example"


class Patroller(Hand):
    """At work in a window of its own, without a service."""

    world: World

    async def see(self, name: str) -> None:
        """In three sizes and both languages nothing is cut, crowded, small or faint."""
        for size in SIZES:
            await self.resize(size)
            for lang in ("en", "fr"):
                await self.speak(lang)
                await self.settled()
                picture = self.picture()
                shot = f"{name}-{lang}-{size[0]}x{size[1]}"
                self.keep(picture, shot)
                found = flaws(self.window, picture)
                assert not found, (shot, found)
        await self.resize(SIZES[0])

    def record(self, plate: str, *, outcome: str = "notice", photo: Path | None = None) -> Item:
        """As if it had just been recorded."""
        patrol = self.app.patrol
        draft = patrol.draft(patrol.check(plate, "CA-QC"))
        draft.decide(outcome)
        draft.no_issue_reason = "driver_returned"
        if photo is not None:
            draft.expect_photo()
            draft.keep_photo(patrol.take_photo(photo))
        patrol.record(draft)
        return self.app.handheld.outbox.infraction(draft.id)  # type: ignore[no-any-return]

    def receive(self, item: Item, **changes: Any) -> None:
        """The service has it, and tells of it by the feed."""
        outbox = self.app.handheld.outbox
        outbox.acknowledge(item, {"state": "received"}, at=self.app.patrol.now())
        if changes:
            body = item.body or {}
            facts: dict[str, Any] = {
                "id": item.id, "plate": None, "codes": tuple(body["codes"]), "zone": body["zone"],
                "observed_at": item.put_at, "outcome": body["outcome"],
                "number": body.get("number"), "patroller": "marie", "state": "received",
                "decision_reason": None,
            }  # fmt: skip
            self.world.more.append(Notice(**(facts | changes)))
            fill(self.app.handheld, self.world)

    def ask(self, item: Item, text: str) -> None:
        """A supervisor asks about it."""
        at = (item.put_at + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        asked = {"infraction": item.id, "at": at, "from": "Anne Roy", "text": text}
        self.app.handheld.briefings.keep(
            SERVER, "1085", Briefed({"questions": [asked]}, "1"), at=item.put_at
        )

    async def anew(self) -> Any:
        """On the check screen, with nothing recorded yet."""
        app = self.app
        self.pass_time(timedelta(0))
        outbox = app.handheld.outbox
        for table in ("item", "photo_of", "voided", "number", "number_block"):
            outbox._connection.execute(f"DELETE FROM {table}")
        app.handheld.notebook.wipe()
        app.handheld.briefings.forget()
        self.world.more.clear()
        give_numbers(app.handheld)
        fill(app.handheld, self.world)
        app.screens.get_screen("work").ids.search.text = ""
        app.screens.get_screen("work").everything = False
        app.screens.get_screen("check").begin()
        app.screens.current = "check"
        await self.resize(SIZES[0])
        await self.speak("fr")
        return await self.screen("check")

    async def sheet(self) -> Any:
        await self.frames(20)
        return self.window.children[0]


@asynccontextmanager
async def at_work(folder: Path, **given: Any) -> AsyncIterator[Patroller]:
    """A window for a file of tests; what is given is given to the app."""
    window_of_tests(folder)
    from handheld_app.app import HandheldApp

    later = [timedelta(0)]
    app = HandheldApp(
        folder,
        lang="fr",
        now=lambda: datetime.now(UTC) + later[0],
        boot=lambda: time.monotonic() + later[0].total_seconds(),
        **given,
    )
    running = asyncio.create_task(app.async_run("asyncio"))
    window = Patroller(app, running, later)
    try:
        await window.until(lambda: app.root is not None, "the window")
        now = datetime.now(UTC).replace(microsecond=0)
        window.world = World(now=now, fed_at=now, synced_at=now)
        enrol(app.handheld)
        measure(app.handheld)
        with window.drawing_what_is_looked_at():
            yield window
    finally:
        if not running.done():
            app.stop()
            await asyncio.wait_for(running, DEADLINE)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def window(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Patroller]:
    async with at_work(tmp_path_factory.mktemp("work")) as window:
        yield window


@pytest_asyncio.fixture(loop_scope="session")
async def hand(window: Patroller) -> Patroller:
    await window.anew()
    return window


async def open_work(hand: Patroller) -> Any:
    """From the check screen, by touch."""
    check = await hand.screen("check")
    await hand.touch(check.ids.menu)
    menu = await hand.sheet()
    await hand.touch(menu.rows["work"])
    await hand.until(lambda: menu.parent is None, "the menu gone")
    return await hand.screen("work")


async def open_entry(hand: Patroller) -> Any:
    """Its newest infraction."""
    work = await open_work(hand)
    await hand.touch(work.rows[0])
    return await hand.screen("entry")


@pytest.mark.asyncio
async def test_one_touch_leads_to_everything_that_is_not_the_next_plate(hand: Patroller) -> None:
    check = await hand.screen("check")
    hand.ask(hand.record("XYZ789"), "Quelle rangée ?")
    assert min(check.ids.menu.size) >= 48
    await hand.touch(check.ids.menu)
    menu = await hand.sheet()
    assert {"work", "sync"} <= set(menu.rows)
    await hand.see("menu")
    await hand.touch(menu.ids.close)
    await hand.until(lambda: menu.parent is None, "the menu gone")
    for screen in ("sync", "work"):
        hand.app.screens.current = "check"
        await hand.touch(check.ids.menu)
        menu = await hand.sheet()
        await hand.touch(menu.rows[screen])
        await hand.until(lambda menu=menu: menu.parent is None, "the menu gone")
        await hand.screen(screen)


@pytest.mark.asyncio
async def test_menu_tells_how_many_questions_wait(hand: Patroller) -> None:
    check = await hand.screen("check")
    item = hand.record("XYZ789")
    hand.receive(item)
    hand.ask(item, "Quelle rangée ?")
    await hand.touch(check.ids.menu)
    menu = await hand.sheet()
    assert menu.rows["work"].detail == "1 question"
    menu.dismiss(animation=False)


@pytest.mark.asyncio
async def test_every_state_is_told_by_an_icon_and_a_word(hand: Patroller, picture: Any) -> None:
    states: dict[str, Item] = {}
    decided = ("confirmed", "paid", "contested", "upheld", "cancelled")
    for n, state in enumerate((*decided, "received")):
        states[state] = hand.record(f"XYZ10{n}")
        hand.receive(states[state], state=state)
    states["voided"] = hand.record("XYZ200")
    hand.receive(states["voided"], state="voided", decision_reason="permit_valid_at_the_time")
    states["refused"] = hand.record("XYZ201")
    hand.app.handheld.outbox.refuse(states["refused"], "Code inconnu.", at=hand.app.patrol.now())
    states["voided_here"] = hand.record("XYZ202", outcome="warning")
    patrol = hand.app.patrol
    patrol.void(patrol.entry(states["voided_here"].id), "misread_plate")
    states["answered"], states["question"] = hand.record("XYZ203"), hand.record("XYZ204")
    hand.receive(states["answered"], state="information_requested")
    patrol.answer(patrol.entry(states["answered"].id), "Rangée C")
    hand.receive(states["question"], state="information_requested")
    hand.ask(states["question"], "Quelle rangée ?")
    states["photos_missing"] = item = hand.record("XYZ205", photo=picture())
    sha256 = (item.body or {})["photos"][0]["sha256"]
    hand.app.handheld.outbox.acknowledge(item, {}, at=patrol.now(), missing=[sha256])
    states["waiting"] = hand.record("XYZ206")
    work = await open_work(hand)
    shown = {row.entry.item.id: row for row in work.rows}
    assert {row.entry.state for row in work.rows} == set(states)
    for state, item in states.items():
        row, body = shown[item.id], item.body or {}
        assert row.plate == body["plate"]
        assert row.sign
        assert row.state_words.startswith(work_state(state, "fr", photos=1))
        assert row.detail.startswith("P01")
        if body.get("number"):
            assert body["number"] in row.detail
    assert len({row.sign for row in work.rows}) >= len(states) - 2
    assert "Permis valide au moment" in shown[states["voided"].id].state_words
    assert "Code inconnu." in shown[states["refused"].id].state_words
    assert work.rows[0].entry.state == "question"
    await hand.see("work")
    for state, item in states.items():
        await hand.touch(shown[item.id])
        entry = await hand.screen("entry")
        assert entry.entry.state == state
        hand.app.go("work")
        await hand.frames()


@pytest.mark.asyncio
async def test_today_or_everything_is_searched_by_plate_number_and_code(hand: Patroller) -> None:
    hand.pass_time(timedelta(days=-2))
    old = hand.record("ZZZ111")
    hand.pass_time(timedelta(0))
    new = hand.record("XYZ789")
    work = await open_work(hand)
    assert [row.plate for row in work.rows] == ["XYZ789"]
    await hand.touch(work.ids.everything)
    assert [row.plate for row in work.rows] == ["XYZ789", "ZZZ111"]
    assert work.rows[0].at.count(":") == 1
    assert "," in work.rows[1].at
    for wanted, found in (
        ("zzz 1", ["ZZZ111"]), ((new.body or {})["number"], ["XYZ789"]), ("qqq", []),
        ("p01", ["XYZ789", "ZZZ111"]),
    ):  # fmt: skip
        work.ids.search.text = ""
        await hand.write(work.ids.search, wanted)
        await hand.until(
            lambda found=found: [row.plate for row in work.rows] == found, f"{wanted} found"
        )
    work.ids.search.text = "qqq"
    await hand.until(lambda: work.empty, "nothing found")
    assert old.id != new.id


@pytest.mark.asyncio
async def test_long_list_comes_in_parts(hand: Patroller) -> None:
    for n in range(41):
        hand.record(f"AB{n:03}", outcome="warning")
    work = await open_work(hand)
    assert len(work.rows) == 40
    kept = work.rows[0]
    await hand.touch(work.ids.more)
    assert len(work.rows) == 41
    assert work.rows[0] is kept
    assert not work.more


@pytest.mark.asyncio
async def test_all_that_was_recorded_is_shown_with_its_photos(
    hand: Patroller, picture: Any
) -> None:
    item = hand.record("XYZ789", photo=picture())
    entry = await open_entry(hand)
    await hand.until(lambda: all(entry.thumbnails.textures.values()), "the thumbnail")
    told = {fact.name: fact.value for fact in entry.ids.facts.children}
    assert told["Numéro"] == (item.body or {})["number"]
    assert told["Code"] == "P01 · Sans permis valide"
    assert told["Zone"].startswith("Zone G1")
    assert told["Verdict"] == "INCONNU"
    assert [picture.texture for picture in entry.ids.photos.children]
    assert len(entry.ids.history.children) == 1
    hand.receive(item)
    hand.app._take_status(SyncStatus("online"))
    await hand.until(lambda: len(entry.ids.history.children) == 2, "that it was received")


@pytest.mark.asyncio
async def test_own_infraction_is_voided_with_a_reason_within_the_grace_time(
    hand: Patroller,
) -> None:
    item = hand.record("XYZ789")
    number = (item.body or {})["number"]
    entry = await open_entry(hand)
    assert entry.void_until
    await hand.touch(entry.ids.void)
    sheet = await hand.sheet()
    assert number in sheet.words
    assert sheet.ids.confirm.disabled
    await hand.touch(sheet.rows["duplicate"])
    await hand.touch(sheet.rows["misread_plate"])
    assert [row.selected for row in sheet.rows.values()].count(True) == 1
    await hand.see("void")
    await hand.touch(sheet.ids.confirm)
    await hand.until(lambda: entry.entry.state == "voided_here", "that it is void")
    assert entry.ids.state.title == "Invalidé ici"
    assert entry.ids.state.detail == "Plaque mal lue"
    assert entry.ids.void.disabled
    told = hand.app.handheld.outbox.waiting()[-1].body or {}
    assert (told["kind"], told["reason"], told["number"]) == (
        "infraction_voided", "misread_plate", number,
    )  # fmt: skip
    assert hand.app.handheld.outbox.next_number(SERVER, "1085") != number


@pytest.mark.asyncio
async def test_grace_time_that_ends_meanwhile_is_said(hand: Patroller) -> None:
    hand.record("XYZ789")
    entry = await open_entry(hand)
    await hand.touch(entry.ids.void)
    sheet = await hand.sheet()
    await hand.touch(sheet.rows["emergency"])
    hand.pass_time(timedelta(minutes=11))
    await hand.touch(sheet.ids.confirm)
    await hand.until(lambda: not entry.busy, "an answer")
    alert = await hand.sheet()
    assert "trop tard" in alert.notice.text
    alert.dismiss(animation=False)
    assert entry.entry.state == "waiting"
    assert entry.ids.void.disabled


@pytest.mark.asyncio
async def test_question_is_answered_by_a_phrase_and_by_words(hand: Patroller) -> None:
    item = hand.record("XYZ789")
    hand.receive(item, state="information_requested")
    hand.ask(item, "Dans quelle rangée était le véhicule, et la pancarte était-elle lisible ?")
    entry = await open_entry(hand)
    assert entry.asked.startswith("Dans quelle rangée")
    assert "Anne Roy" in entry.asked_by
    assert entry.ids.send.disabled
    await hand.see("entry-question")
    await hand.touch(entry.stock[2])
    assert entry.ids.answer.text == "Aucun permis n’était affiché."
    await hand.touch(entry.stock[4])
    kept = entry.ids.answer.text
    entry.refresh()
    assert entry.ids.answer.text == kept
    await hand.touch(entry.ids.send)
    await hand.until(lambda: entry.entry.state == "answered", "the answer kept")
    told = hand.app.handheld.outbox.waiting()[-1].body or {}
    assert (told["kind"], told["infraction"], told["text"]) == ("answer", item.id, kept)
    assert entry.answered == kept
    assert not entry.may_answer


@pytest.mark.asyncio
async def test_notice_is_shown_again_under_its_number(hand: Patroller) -> None:
    hand.record("XYZ789")
    entry = await open_entry(hand)
    await hand.touch(entry.ids.show)
    notice = await hand.screen("notice")
    await hand.until(lambda: notice.texture or notice.trouble, "the notice drawn")
    assert notice.texture
    assert notice.back == "entry"
    hand.record("XYZ790", outcome="no_issue")
    entry.begin(hand.app.patrol.work()[0])
    hand.app.screens.current = "entry"
    await hand.frames()
    assert not entry.may_show


@pytest.mark.asyncio
async def test_number_that_was_not_used_is_said_so(hand: Patroller) -> None:
    hand.record("XYZ789")
    entry = await open_entry(hand)
    under_a_finger = entry.ids.facts.children[0]
    entry.refresh()
    assert entry.ids.facts.children[0] is under_a_finger
    await hand.touch(entry.ids.spoil)
    sheet = await hand.sheet()
    await hand.touch(sheet.rows["print_failed"])
    await hand.touch(sheet.ids.confirm)
    await hand.until(lambda: not entry.may_spoil, "the number spoiled")
    told = hand.app.handheld.outbox.waiting()[-1].body or {}
    assert (told["kind"], told["reason"]) == ("number_spoiled", "print_failed")


@pytest.mark.asyncio
async def test_outbox_age_and_connection_are_seen_on_every_screen(hand: Patroller) -> None:
    from handheld_app.controls import Header

    hand.record("XYZ789")
    check = await hand.screen("check")
    hand.app._take_status(SyncStatus("offline", unsent=12, recorded=1))
    assert check.ids.sync.text == "1 à envoyer"
    assert check.ids.card.age
    hand.app.screens.get_screen("enrol").refresh()
    for name in hand.app.screens.make:
        if name in ("check", "notice"):  # the latter is for the driver's eyes, over all of it
            continue
        screen = hand.app.screens.get_screen(name)
        header = next((w for w in screen.walk() if isinstance(w, Header)), None)
        assert header is not None, name
        assert header.ids.sync.shown, name
        pill = header.ids.sync.ids
        assert pill.words.text == "1 à envoyer", name
        assert pill.age.text.startswith("Âge"), name
    hand.app.screens.current = "work"
    hand.pass_time(timedelta(days=3))
    hand.app._show_status()
    assert hand.app.age_stale
    await hand.see("pill-stale")


@pytest.mark.asyncio
async def test_checks_on_their_way_are_no_work_to_be_sent(hand: Patroller) -> None:
    hand.app._take_status(SyncStatus("offline", unsent=40, recorded=0))
    assert hand.app.sync_words == gettext("Offline", "fr")
    hand.app._take_status(SyncStatus("offline", unsent=43, recorded=3))
    assert hand.app.sync_words == "3 à envoyer"


@pytest.mark.asyncio
async def test_look_at_the_sync_comes_back_to_what_was_under_way(hand: Patroller) -> None:
    from handheld_app.controls import Header

    check = await hand.type_plate("XYZ789")
    await hand.touch(check.ids.check)
    await hand.touch(check.ids.infraction)
    screen = await hand.screen("infraction")
    draft = screen.draft
    header = next(w for w in screen.walk() if isinstance(w, Header))
    await hand.touch(header.ids.sync)
    sync = await hand.screen("sync")
    header = next(w for w in sync.walk() if isinstance(w, Header))
    await hand.touch(header.children[-1])
    assert (await hand.screen("infraction")).draft is draft
