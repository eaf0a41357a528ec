"""The real window against the real service, driven by touch (headless).

Everything is seen in French and English, on 360×640, 412×915 and 800×1280, and kept in
`screenshots/`.
Needs a GL driver: on Debian `libgl1-mesa-dri libegl1 libgl1 libgles2`; without an offscreen one,
`xvfb-run -a` with SDL_VIDEODRIVER unset does.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from PIL import Image

from handheld_app.__main__ import configure
from handheld_app.wording import gettext, verdict_word
from tests.handheld_app.conftest import BADGE, CHEAP, PIN
from tests.handheld_app.seeing import GAP, flaws
from tests.handheld_app.service import ServiceProcess

SCREENSHOTS = Path(__file__).resolve().parents[2] / "screenshots"
SIZES = ((412, 915), (360, 640), (800, 1280))
MORE_SIZES = ((412, 732), (360, 740), (640, 360), (320, 568), (480, 1000), (1280, 800))
"""In which the check screen is seen too: its card has another layout in each."""
DEADLINE = 45
COURTESY = "LTN456"
VERDICT_OF = {
    "H4K7M2": "valid",
    "LTN456": "valid",
    "ABC123": "pending_activation",
    "XYZ789": "wrong_zone",
    "E12ABC": "not_started",
    "SUS111": "suspended",
    "K22XYZ": "expired",
    "CAN001": "cancelled",
    "BBZ5S2": "unknown",
    "QQQ111": "unknown",
}


H = TypeVar("H", bound="Hand")


class Hand:
    """A patroller's finger and eyes."""

    def __init__(
        self, app: Any, running: asyncio.Task[None], later: list[timedelta] | None = None
    ) -> None:
        from kivy.core.window import Window

        self._later = later or [timedelta(0)]

        self.app, self.running, self.window = app, running, Window
        self._is_looking = False
        self.seen: list[str] = []

    # waiting

    async def frames(self, count: int = 3) -> None:
        """So many rounds of the window's loop: what was scheduled is done, and laid out."""
        from kivy.clock import Clock

        last = Clock.frames + count
        await self._hold(lambda: Clock.frames >= last, "a frame")

    async def until(self, wanted: Callable[[], Any], what: str) -> None:
        await self._hold(wanted, what)
        await self.frames()

    async def _hold(
        self, wanted: Callable[[], Any], what: str, found: Callable[[], str] = lambda: ""
    ) -> None:
        ends = time.monotonic() + DEADLINE
        while not wanted():
            await self._not_ended()
            assert time.monotonic() < ends, (
                f"{what}: not within {DEADLINE} s; {found()} {self._told()}"
            )
            await asyncio.sleep(0.002)

    def _told(self) -> str:
        waiting = [(item.kind, item.problem) for item in self.app.handheld.outbox.waiting()]
        return f"{self.app.screens.current}, {self.app.status}, waiting: {waiting}"

    def _above(self, widget: Any) -> str:
        """Where a widget is, and all that it is in: what else may have taken a touch."""
        lines = [f"above all: {self.window.children[:3]}"]
        while widget is not None and widget is not self.window:
            place = (*widget.to_window(*widget.pos), *widget.size)
            moving = getattr(widget, "effect_y", None)
            speed = f", at {moving.velocity} and {moving.overscroll} over" if moving else ""
            lines.append(f"{widget} at {place}{', disabled' * widget.disabled}{speed}")
            widget = widget.parent
        return "\n".join(lines)

    async def _not_ended(self) -> None:
        if self.running.done():
            await self.running
            raise AssertionError("the window is gone")

    async def screen(self, name: str) -> Any:
        await self.until(lambda: self.app.screens.current == name, f"the screen {name}")
        return self.app.screens.current_screen

    def pass_time(self, span: timedelta, *, idle: bool = False) -> None:
        """As if so much time had gone by since the window was opened; unless `idle`, somebody has
        touched it all the while.
        """
        self._later[0] = span
        if not idle:
            self.app.duty.idle.touched()

    # doing

    async def touch(self, widget: Any) -> None:
        """Press it until it shows so, and let go; whatever moves meanwhile comes to rest first."""
        from kivy.tests.common import UnitTestTouch
        from kivy.uix.behaviors import ButtonBehavior
        from kivy.uix.scrollview import ScrollView

        assert not widget.disabled, widget
        await self._at_rest(widget)
        parent = widget.parent
        while parent is not None and parent is not self.window:
            if isinstance(parent, ScrollView) and parent.children[0].height > parent.height:
                parent.scroll_to(widget, animate=False)
                await self._at_rest(widget)
            parent = parent.parent
        touch = UnitTestTouch(*widget.to_window(*widget.center))
        touch.touch_down()
        if isinstance(widget, ButtonBehavior):
            await self._hold(
                lambda: widget.state == "down",
                f"{widget} pressed",
                lambda: f"by {touch}\n{self._above(widget)}\n",
            )
        touch.touch_up()
        if isinstance(widget, ButtonBehavior):
            await self._hold(lambda: widget.state == "normal", f"{widget} let go")
        await self.frames()

    async def _at_rest(self, widget: Any) -> None:
        """Layouts are done over a few frames; then the widget stays where it is."""
        await self._sheets_at_rest()
        seen, ends = None, time.monotonic() + DEADLINE
        while (here := (*widget.to_window(*widget.pos), *widget.size)) != seen:
            assert time.monotonic() < ends, f"it never comes to rest: {self._above(widget)}"
            seen = here
            await self.frames(2)

    async def _sheets_at_rest(self) -> None:
        """They fade in and out."""
        from kivy.animation import Animation
        from kivy.uix.modalview import ModalView

        def is_fading() -> bool:
            moving = [
                each["widget"] for one in Animation._instances for each in one._widgets.values()
            ]
            return any(isinstance(widget, ModalView) for widget in moving)

        await self._hold(lambda: not is_fading(), "sheets at rest")

    async def write(self, field: Any, text: str) -> None:
        await self.touch(field)
        await self.until(lambda: field.focus, "the field in focus")
        self.window.dispatch("on_textinput", text)
        await self.frames()
        assert field.text == text
        field.focus = False
        await self.frames()

    async def type_plate(self, plate: str) -> Any:
        check = await self.screen("check")
        await self.touch(check.ids.wipe)
        for glyph in plate:
            await self.touch(check.ids.keypad.keys[glyph])
        assert check.ids.plate.text == plate
        return check

    async def press_keys(self, text: str) -> None:
        """On a real keyboard."""
        for character in text:
            key = {"\n": 13, "\b": 8}.get(character, ord(character))
            self.window.dispatch("on_key_down", key, 0, character, [])
        await self.frames()

    async def next_car(self) -> None:
        """From what was issued, on."""
        issued = await self.screen("issued")
        await self.touch(issued.ids.next)
        await self.screen("check")

    async def swipe(self, widget: Any, across: float) -> None:
        """Put a finger on it, draw it aside, and let go."""
        from kivy.tests.common import UnitTestTouch

        await self._at_rest(widget)
        x, y = widget.to_window(*widget.center)
        touch = UnitTestTouch(x, y)
        touch.touch_down()
        await self.frames()
        touch.touch_move(x + across / 2, y)
        touch.touch_move(x + across, y)
        await self.frames()
        touch.touch_up()
        await self.frames()

    async def close_sheet(self, check: Any) -> None:
        """Acknowledge an alert that is in the way, if there is one."""
        if check._sheet is not None:
            await self.touch(check._sheet.ids.seen)
            await self.until(lambda: check._sheet is None, "the sheet gone")

    async def press(self, *names: str) -> None:
        """Keys of a real keyboard that write nothing."""
        keys = {"tab": 9, "enter": 13, "escape": 27, "up": 273, "down": 274, "right": 275}
        for name in names:
            *held, key = name.split("-")
            target = self.app.keyboard.target
            self.window.dispatch("on_key_down", keys[key], 0, None, held)
            await self._hold(lambda at=target: getattr(at, "state", "") != "down", "it let go")
            await self.frames(8)
            await self._sheets_at_rest()

    async def speak(self, lang: str) -> None:
        if self.app.lang != lang:
            self.app.switch_language()
        await self.frames()

    # seeing

    @contextmanager
    def drawing_what_is_looked_at(self) -> Iterator[None]:
        """All is laid out in each frame, and drawn for a picture only: to draw every frame without
        a graphics card takes as long as all the rest.
        """

        def is_not_looked_at(_: Any) -> bool:
            return not self._is_looking

        self.window.fbind("on_draw", is_not_looked_at)
        try:
            yield
        finally:
            self.window.funbind("on_draw", is_not_looked_at)

    async def resize(self, size: tuple[int, int]) -> None:
        if tuple(self.window.size) != size:
            self.window.size = size
            await self.until(lambda: tuple(self.window.size) == size, f"a window of {size}")
            await self.settled()

    async def settled(self) -> None:
        """Layouts are done over a few frames: until nothing moves any more."""
        still, last = 0, None
        for _ in range(120):
            await self.frames(1)
            now = [(*widget.pos, *widget.size) for widget in self._visible()]
            still = still + 1 if now == last else 0
            last = now
            if still == 2:
                return
        raise AssertionError("it never comes to rest")

    def _visible(self, *roots: Any) -> Iterator[Any]:
        pending = list(roots or self.window.children)
        while pending:
            widget = pending.pop()
            if widget.opacity:
                yield widget
                pending.extend(widget.children)

    async def look(self, name: str, looked: Callable[[], None] = lambda: None) -> None:
        """Screenshots in all sizes and both languages; nothing is wrong with what is shown."""
        if self.app.screens.current == "check":
            await self._look_in_more_sizes(name)
        here, spoken = tuple(self.window.size), self.app.lang
        other = "en" if spoken == "fr" else "fr"
        for size in sorted(SIZES, key=lambda size: size != here):
            await self.resize(size)
            for lang in (self.app.lang, other if self.app.lang == spoken else spoken):
                await self.speak(lang)
                await self.settled()
                picture = self.picture()
                self._nothing_is_wrong(name, picture)
                looked()
                self.keep(picture, f"{name}-{lang}-{size[0]}x{size[1]}")
        await self.resize(here)

    async def _look_in_more_sizes(self, name: str) -> None:
        """In one language, and kept in no picture."""
        here = tuple(self.window.size)
        for size in MORE_SIZES:
            await self.resize(size)
            self._nothing_is_wrong(name)
        await self.resize(here)

    def _nothing_is_wrong(self, name: str, picture: Image.Image | None = None) -> None:
        check = self.app.screens.get_screen("check")
        # What of a zone's note does not fit is told in full behind the card.
        found = flaws(self.window, picture, may_be_cut=[check.ids.note])
        if self.app.screens.current == "check":
            found += self._outside(check)
        if tuple(self.window.size) == min(MORE_SIZES):  # smaller than what is promised
            found = [flaw for flaw in found if flaw.startswith(("overlap", "outside"))]
        assert not found, (name, self.app.lang, self.window.size, found)

    def _outside(self, check: Any) -> list[str]:
        """On the check screen, which scrolls nowhere, all lies within its parent."""
        found = []
        for widget in self._visible(check):
            for child in widget.children:
                seen = child.opacity and child.width and child.height and getattr(child, "text", 1)
                if widget is not check and seen:
                    outside = max(widget.x - child.x, child.right - widget.right)
                    outside = max(outside, widget.y - child.y, child.top - widget.top)
                    if outside >= 1:
                        found.append(f"outside by {outside:.0f}: {child} {child.pos} {child.size}")
        return found

    def picture(self) -> Image.Image:
        """What is shown."""
        from kivy.graphics.opengl import GL_RGB, GL_UNSIGNED_BYTE, glReadPixels

        width, height = self.window.size
        self._is_looking = True
        self.window.dispatch("on_draw")
        self._is_looking = False
        pixels = glReadPixels(0, 0, width, height, GL_RGB, GL_UNSIGNED_BYTE)
        picture = Image.frombytes("RGB", (width, height), pixels)
        return picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)

    def keep(self, picture: Image.Image, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        picture.save(SCREENSHOTS / f"{name}.png", compress_level=1)
        self.seen.append(name)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    folder = tmp_path / "service"
    folder.mkdir()
    service = ServiceProcess(folder)
    try:
        service.start()
        service.open_site()
        service.hire(BADGE, PIN)
        yield service
    finally:
        service.close()


@pytest.fixture
def pictures(tmp_path: Path, picture: Callable[..., Path]) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture("pictures/voiture.jpg", (1200, 900))
    picture("pictures/plaque.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def window_of_tests(folder: Path) -> None:
    """Say how the window is to be, before the first import that makes it."""
    os.environ.setdefault("SDL_VIDEODRIVER", "offscreen")
    os.environ.setdefault("KIVY_METRICS_DENSITY", "1")
    configure(folder)
    from kivy.config import Config

    # Without a graphics card, smooth edges take half of the time.
    Config.set("graphics", "multisamples", 0)
    # No screen is there that could show no more.
    Config.set("graphics", "maxfps", 250)
    # What is drawn on stays as large as it was at first, whatever the window becomes.
    Config.set("graphics", "width", 1280)
    Config.set("graphics", "height", 1280)


@asynccontextmanager
async def opened(folder: Path, pictures: Path, *, kind: type[H], **given: Any) -> AsyncIterator[H]:
    """The app in a real window, with its files in that folder, and a hand for it."""
    window_of_tests(folder)
    from handheld_app.app import HandheldApp

    later = [timedelta(0)]
    app = HandheldApp(
        folder,
        lang="fr",
        pictures=pictures,
        now=lambda: datetime.now(UTC) + later[0],
        boot=lambda: time.monotonic() + later[0].total_seconds(),
        **given,
    )
    running = asyncio.create_task(app.async_run("asyncio"))
    hand = kind(app, running, later)
    try:
        await hand.until(lambda: app.root is not None, "the window")
        with hand.drawing_what_is_looked_at():
            await hand.resize(SIZES[0])
            yield hand
    finally:
        if not running.done():
            app.stop()
            await asyncio.wait_for(running, DEADLINE)


@asynccontextmanager
async def restarted(hand: Hand, folder: Path, **given: Any) -> AsyncIterator[None]:
    """The program, started again over the same folder; what is given is given to the app."""
    from handheld_app.app import HandheldApp

    if not hand.running.done():
        hand.app.stop()
        await asyncio.wait_for(hand.running, DEADLINE)
    hand.app = HandheldApp(folder, lang="fr", pictures=folder, **given)
    hand.app.handheld.staff._cost = CHEAP
    hand.running = asyncio.create_task(hand.app.async_run("asyncio"))
    try:
        await hand.until(lambda: hand.app.root is not None, "the window")
        yield
    finally:
        if not hand.running.done():
            hand.app.stop()
            await asyncio.wait_for(hand.running, DEADLINE)


@pytest_asyncio.fixture
async def hand(tmp_path: Path, pictures: Path) -> AsyncIterator[Hand]:
    async with opened(tmp_path, pictures, kind=Hand) as hand:
        yield hand


@pytest.mark.asyncio
async def test_a_patrol_by_touch(hand: Hand, service: ServiceProcess) -> None:
    await enrols(hand, service)
    await chooses_a_zone(hand)
    await checks_plates(hand)
    await checks_a_look_alike(hand)
    await compares_many_look_alikes(hand, service)
    await types_on_a_real_keyboard(hand)
    await changes_the_jurisdiction(hand)
    id = await records_an_infraction_with_a_photo(hand, service)
    await sees_it_received(hand, service, id)
    await records_without_network(hand, service)
    await is_revoked(hand, service)
    assert len(hand.seen) == len(set(hand.seen))


async def enrols(hand: Hand, service: ServiceProcess) -> None:
    from handheld_app.controls import Header

    screen = await hand.screen("enrol")
    assert screen.ids.enrol.disabled
    await hand.write(screen.ids.server, "http://parking.example")
    await hand.write(screen.ids.code, service.enrolment_code())
    await hand.touch(screen.ids.enrol)
    await hand.until(lambda: screen.trouble, "the refusal of plain HTTP")
    await hand.look("enrol-refused")
    header = next(widget for widget in screen.walk() if isinstance(widget, Header))
    french = screen.trouble
    await hand.touch(header.ids.language)
    await hand.until(lambda: screen.trouble != french, "English")
    await hand.touch(header.ids.language)
    await hand.until(lambda: screen.trouble == french, "French again")
    screen.ids.server.text = ""
    await hand.write(screen.ids.server, service.address)
    await hand.touch(screen.ids.enrol)


async def chooses_a_zone(hand: Hand) -> None:
    screen = await hand.screen("place")
    await hand.until(lambda: screen.rows, "the zones")
    assert screen.ids.start.disabled
    await hand.touch(screen.rows["G1"])
    await hand.until(lambda: screen.can_go, "the zone chosen")
    await hand.look("place-nobody")
    await hand.touch(screen.ids.who)
    await signs_in(hand)
    await hand.until(lambda: screen.signed_in, "who it is")
    await hand.look("place")
    await hand.touch(screen.ids.start)
    await hand.screen("check")


async def signs_in(hand: Hand) -> None:
    """With a wrong PIN first: the service says no, then yes."""
    screen = await hand.screen("signin")
    assert screen.ids.sign_in.disabled
    await hand.write(screen.ids.badge, BADGE)
    await hand.write(screen.ids.pin, "111111")
    await hand.touch(screen.ids.sign_in)
    await hand.until(lambda: screen.trouble, "the refusal")
    assert screen.ids.pin.text == ""
    await hand.look("signin-refused")
    await hand.write(screen.ids.pin, PIN)
    await hand.touch(screen.ids.sign_in)


async def checks_plates(hand: Hand) -> None:
    check = await hand.screen("check")
    await hand.until(lambda: check.ready, "the permits")
    await hand.until(lambda: hand.app.status.connection == "online", "the sync")
    await hand.until(lambda: not hand.app.patrol.warnings(), "numbers and the time")
    await hand.look("check-idle", lambda: keys_are_apart(check))
    for plate, verdict in VERDICT_OF.items():
        await hand.type_plate(plate)
        assert check.sighting.verdict == verdict

        def word_is_large(verdict: Any = verdict, plate: str = plate) -> None:
            word = check.ids.word
            assert word.text == verdict_word(verdict, hand.app.lang)
            assert word.font_size >= 40
            assert check.ids.card.age
            if plate == COURTESY:
                told = check.ids.card.vehicle or check.ids.card.detail
                assert gettext("Courtesy permit", hand.app.lang) in told

        await hand.look(f"check-{verdict}-{plate}", word_is_large)


def keys_are_apart(check: Any) -> None:
    keys = list(check.ids.keypad.keys.values())
    assert len(keys) == 36
    for key in keys:
        for other in keys:
            if other is not key:
                aside = max(other.x - key.right, key.x - other.right)
                above = max(other.y - key.top, key.y - other.top)
                assert max(aside, above) > GAP - 0.01


async def checks_a_look_alike(hand: Hand) -> None:
    check = await hand.type_plate("BBZ5S2")
    await hand.touch(check.ids.check)
    (offer,) = check.ids.offers.children
    await hand.touch(offer)
    assert check.sighting.plate.text == "B8Z5S2"
    assert check.sighting.verdict == "valid"
    await hand.touch(check.ids.card)
    await hand.screen("plate")
    await hand.look("plate")
    hand.app.go("check")


async def compares_many_look_alikes(hand: Hand, service: ServiceProcess) -> None:
    base = {"site": "1085", "zones": ["G1"], "valid_from": "2026-01-01", "status": "active"}
    plates = ["CA-QC SOS8B0", "CA-QC S0SB80", "CA-ON 5OS8BO", "US-VT 50588O", "CA-NB SQSBBD"]
    updates = [
        {**base, "id": f"l{n}", "version": 1, "plate": plate, "permit_number": "1"}
        | {"jurisdiction": jurisdiction}
        for n, (jurisdiction, plate) in enumerate(line.split() for line in plates)
    ]
    service.ask("POST", "/v1/plate-updates", json={"updates": updates})
    await hand.resize(SIZES[0])
    check = await hand.type_plate("SOSBBO")
    judged = hand.app.patrol.check
    await hand.until(lambda: judged("SQSBBD", "CA-NB").verdict == "valid", "the look-alikes")
    await hand.touch(check.ids.check)
    assert len(check.sighting.check.suggestions) == len(plates)
    assert len(check.ids.offers.children) == len(plates)
    await hand.look("check-look-alikes")
    await hand.resize(SIZES[1])
    rest, *offered = check.ids.offers.children
    assert len(offered) == 2
    await hand.touch(rest)
    await hand.frames(20)
    sheet = hand.window.children[0]
    assert len(sheet.ids.grid.children) == len(plates)
    await hand.look("compare")
    vermont = next(offer for offer in sheet.ids.grid.children if offer.where == "VT")
    await hand.touch(vermont)
    await hand.until(lambda: sheet.parent is None, "the sheet gone")
    assert check.sighting.plate.jurisdiction == "US-VT"
    assert check.sighting.verdict == "valid"
    await hand.resize(SIZES[0])
    check.begin()


async def types_on_a_real_keyboard(hand: Hand) -> None:
    check = await hand.screen("check")
    await hand.touch(check.ids.wipe)
    await hand.press_keys("q\n")
    assert check.sighting is None
    await hand.look("check-too-short")
    await hand.touch(check.ids.wipe)
    await hand.press_keys("qqq111x\b\n")
    assert check.ids.plate.text == "QQQ111"
    assert check.sighting.verdict == "unknown"
    await hand.touch(check.ids.wipe)
    await hand.press_keys("abc123-4")
    await hand.look("check-certificate")
    (offer,) = check.ids.offers.children
    assert check.sighting is None
    await hand.touch(offer)
    assert check.ids.plate.text == "ABC123"
    assert check.sighting.verdict == "pending_activation"


async def changes_the_jurisdiction(hand: Hand) -> None:
    check = await hand.type_plate("H4K7M2")
    await hand.touch(check.ids.jurisdiction)
    await hand.frames(20)
    await hand.look("jurisdiction")
    sheet = hand.window.children[0]
    await hand.press_keys("abc\b\n")
    assert check.ids.plate.text == "H4K7M2"
    ontario = next(key for key in sheet.ids.grid.children if key.glyph == "ON")
    await hand.touch(ontario)
    await hand.until(lambda: sheet.parent is None, "the sheet gone")
    assert check.ids.jurisdiction.text == "ON"
    assert check.sighting.plate.jurisdiction == "CA-ON"
    assert check.sighting.verdict == "unknown"
    assert [plate.jurisdiction for plate in check.sighting.check.suggestions] == ["CA-QC"]
    await hand.look("check-unknown-elsewhere")


async def records_an_infraction_with_a_photo(hand: Hand, service: ServiceProcess) -> str:
    check = await hand.type_plate("QQQ111")
    await hand.touch(check.ids.jurisdiction)
    await hand.frames(20)
    sheet = hand.window.children[0]
    await hand.touch(next(key for key in sheet.ids.grid.children if key.glyph == "QC"))
    await hand.until(lambda: sheet.parent is None, "the sheet gone")
    await hand.touch(check.ids.check)
    await hand.touch(check.ids.infraction)
    screen = await hand.screen("infraction")
    assert screen.draft.codes == ["P01"]
    await hand.look("infraction")
    await hand.touch(screen.ids.other_codes)
    await hand.look("infraction-codes")
    await hand.touch(screen.ids.other_codes)
    await hand.touch(screen.outcome_keys["no_issue"])
    await hand.look("infraction-no-issue")
    await hand.touch(screen.outcome_keys["notice"])
    await takes_a_photo(hand, "voiture.jpg")
    await hand.look("infraction-photo")
    await takes_a_photo(hand, "plaque.png")
    await hand.write(screen.ids.note, "Devant l’entrée principale")
    await hand.touch(screen.ids.review)
    last = await hand.screen("lastlook")
    await hand.look("lastlook")
    assert last.may_record
    id: str = last.draft.id
    await hand.touch(last.ids.record)
    await hand.next_car()
    await hand.look("check-recorded")
    return id


async def takes_a_photo(hand: Hand, name: str) -> None:
    screen = await hand.screen("infraction")
    before = len(screen.draft.photos)
    await hand.touch(screen.ids.add_photo)
    pictures = await hand.screen("pictures")
    await hand.until(lambda: name in getattr(pictures, "rows", {}), "the pictures")
    assert "notes.txt" not in pictures.rows
    await hand.until(lambda: pictures.rows[name].texture, "a thumbnail")
    if not before:
        await hand.look("pictures")
        await hand.until(lambda: pictures.rows[name].texture, "a thumbnail again")
    await hand.touch(pictures.rows[name])
    # The last photo that the code asks for leads to the last look.
    leads_to = ("infraction", "lastlook")
    await hand.until(lambda: hand.app.screens.current in leads_to, "the way on")
    hand.app.go("infraction")
    await hand.screen("infraction")
    await hand.until(lambda: len(screen.draft.photos) > before, "the photo kept")
    await hand.until(lambda: all(screen.thumbnails.textures.values()), "its thumbnail")


async def sees_it_received(hand: Hand, service: ServiceProcess, id: str) -> None:
    await hand.until(lambda: hand.app.status.unsent == 0, "the outbox empty")
    infraction = service.ask("GET", f"/v1/infractions/{id}")
    assert infraction["plate"] == "QQQ111"
    assert infraction["codes"] == ["P01"]
    assert infraction["verdict"] == "unknown"
    assert infraction["patroller"] == "marie"
    assert infraction["number"].startswith("1085-")
    assert infraction["warnings"] == []
    assert infraction["note"] == "Devant l’entrée principale"
    assert len(infraction["photos"]) == 2
    for photo in infraction["photos"]:
        kept = hand.app.handheld.outbox.photo(photo["sha256"]).read_bytes()
        assert service.http.get(f"/v1/photos/{photo['sha256']}").content == kept
    check = await hand.screen("check")
    await hand.touch(check.ids.sync)
    await hand.screen("sync")
    await hand.look("sync")


async def sees_that_the_data_is_old(hand: Hand) -> None:
    hand.pass_time(timedelta(days=2))
    check = await hand.type_plate("XYZ789")
    assert check.ids.card.stale
    await hand.look("check-stale")
    await hand.touch(check.ids.infraction)
    screen = await hand.screen("infraction")
    await hand.touch(screen.ids.review)
    last = await hand.screen("lastlook")
    assert "stale" in hand.app.patrol.lacks(last.draft)
    await hand.look("lastlook-stale")
    await hand.touch(last.stale_row)
    assert "stale" not in hand.app.patrol.lacks(last.draft)
    assert not last.may_record  # its photos are missing
    hand.pass_time(timedelta(0))
    hand.app.go("check")


async def records_without_network(hand: Hand, service: ServiceProcess) -> None:
    service.stop()
    await hand.until(lambda: hand.app.status.connection == "offline", "offline")
    hand.app.go("check")
    await sees_that_the_data_is_old(hand)
    check = await hand.type_plate("XYZ789")
    assert check.sighting.verdict == "wrong_zone"
    await hand.look("check-offline")
    await hand.touch(check.ids.infraction)
    screen = await hand.screen("infraction")
    assert screen.draft.codes == ["P02"]
    await hand.touch(screen.outcome_keys["no_issue"])
    await hand.touch(screen.reason_rows["driver_returned"])
    await hand.touch(screen.ids.review)
    last = await hand.screen("lastlook")
    id = last.draft.id
    await hand.touch(last.ids.record)
    await hand.screen("check")
    await hand.until(lambda: hand.app.status.recorded == 1, "one to send")
    await hand.look("check-unsent")
    await hand.touch(check.ids.sync)
    screen = await hand.screen("sync")
    await hand.look("sync-offline")
    service.start()
    await hand.touch(screen.ids.now)
    await hand.until(lambda: hand.app.status.connection == "online", "online again")
    await hand.until(lambda: hand.app.status.unsent == 0, "the outbox empty again")
    assert service.ask("GET", f"/v1/infractions/{id}")["codes"] == ["P02"]


async def is_revoked(hand: Hand, service: ServiceProcess) -> None:
    hand.app.go("check")
    check = await hand.type_plate("XYZ789")
    await hand.touch(check.ids.infraction)
    screen = await hand.screen("infraction")
    service.ask("DELETE", f"/v1/devices/{hand.app.patrol.device.device}")
    hand.app.sync_now()
    await hand.until(lambda: hand.app.status.connection == "revoked", "the revocation")
    await hand.touch(screen.ids.review)
    last = await hand.screen("lastlook")
    assert last.ids.summary.plate == "XYZ789 · QC"
    await hand.look("lastlook-revoked")
    hand.app.go("check")
    assert check.sighting is None
    assert not check.ready
    await hand.look("check-revoked")
    await hand.touch(check.ids.card)
    await hand.screen("sync")
    await hand.look("sync-revoked")
    hand.app.go("place")
    place = await hand.screen("place")
    await hand.look("place-revoked")
    await hand.touch(place.ids.enrol)
    await hand.screen("enrol")
