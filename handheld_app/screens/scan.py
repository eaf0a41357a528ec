"""Scan a plate: the camera, what was read, and the picture to compare it with.

Nothing that was read is taken for a plate before a person chose it (DOMAIN 3.5). A text that the
index knows may lie ready; whatever else is near it is only offered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kivy.clock import Clock
from kivy.graphics import Color, Rectangle
from kivy.properties import (
    BooleanProperty,
    ListProperty,
    ObjectProperty,
    OptionProperty,
    StringProperty,
)
from kivy.uix.widget import Widget
from PIL.Image import Image

from handheld_app.controls import Choice, PatrolScreen, Sheet, glide_to_top
from handheld_app.scanning.frames import FrameSource
from handheld_app.scanning.matching import WELL_READ, Match
from handheld_app.scanning.reading import Candidate, PlateReader, Region
from handheld_app.screens.preview import FRAMES, PATIENCE, Small, drawn, small, with_camera
from handheld_app.wording import cannot_scan, gettext, scan_confidence, scan_why
from sync.plates import Plate, fold
from sync.wording import short_jurisdiction

WIDE, HIGH = 0.9, 0.5
"""The part of the picture in which the plate is looked for."""
MARGIN = 0.35
"""Of a plate's height, which is shown around it."""
REST = 0.15
"""Seconds between two readings, so that the processor does other things too."""
MOST_READ = 4
"""Readings that are offered, besides the plates that have a permit."""


@dataclass
class Scan:
    """A picture and what was read from it.

    frame      as the camera gave it, at the instant `at`
    raw        the reader's first text; empty when it read none
    plate      the part of the picture where that stands; all of it when nothing was read
    confirmed  the text that a person said to stand there, once somebody did
    """

    frame: Image
    at: datetime
    candidates: list[Candidate]
    match: Match
    confirmed: str = ""

    @property
    def raw(self) -> str:
        return self.match.text or ""

    @property
    def plate(self) -> Image:
        if not self.candidates:
            return self.frame
        x, y, width, height = self.candidates[0].box
        edge = round(height * MARGIN)
        return self.frame.crop(
            (
                max(0, x - edge),
                max(0, y - edge),
                min(self.frame.width, x + width + edge),
                min(self.frame.height, y + height + edge),
            )
        )


def viewfinder(size: tuple[int, int]) -> Region:
    """The middle of a picture of this width and height."""
    width, height = round(size[0] * WIDE), round(size[1] * HIGH)
    return (size[0] - width) // 2, (size[1] - height) // 2, width, height


def is_well_read(candidates: list[Candidate]) -> bool:
    """Whether the first text, with those that only look-alikes tell from it, has most of it."""
    if not candidates:
        return False
    wanted = fold(candidates[0].text)
    return sum(c.confidence for c in candidates if fold(c.text) == wanted) >= WELL_READ


class ConfirmSheet(Sheet):
    """The picture of a plate without a permit, and the text that a person is to stand for."""

    plate = StringProperty("")

    def __init__(self, scan: Scan, text: str, meant: Callable[[], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._meant = meant
        self.plate = text
        self.ids.picture.texture = drawn(small(scan.plate))

    def mean(self) -> None:
        self.dismiss()
        self._meant()


class Frame(Widget):
    """A picture as large as there is room for, whole."""

    texture = ObjectProperty(None, allownone=True)
    shown = ListProperty([0, 0, 0, 0])
    """Where it is: x, y, width, height."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.canvas:
            Color(1, 1, 1, 1)
            self._picture = Rectangle(size=(0, 0))
        for name in ("texture", "pos", "size"):
            self.fbind(name, self._fit)

    def _fit(self, *_: Any) -> None:
        width = height = 0.0
        if self.texture is not None:
            wide, high = self.texture.size
            scale = min(self.width / wide, self.height / high)
            width, height = wide * scale, high * scale
        # Not by `center`, which Kivy may not have computed anew yet.
        x, y = self.x + (self.width - width) / 2, self.y + (self.height - height) / 2
        self.shown = [x, y, width, height]
        picture = self._picture
        picture.texture, picture.pos, picture.size = self.texture, self.shown[:2], self.shown[2:]


class ScanScreen(PatrolScreen):
    """Aim; what is read well is held still; choose what it says, and on to its verdict."""

    stage = OptionProperty("aiming", options=["aiming", "reading", "choosing"])
    texture = ObjectProperty(None, allownone=True)
    """What the camera sees, or the plate that was captured."""
    trouble = StringProperty("")
    failing = StringProperty("")
    """Why nothing can be scanned: a reason of `cannot_scan`."""
    hint = StringProperty("")
    can_read = BooleanProperty(False)
    has_light = BooleanProperty(False)
    light = BooleanProperty(False)
    ready_plate = StringProperty("")
    """The plate that lies ready to be confirmed; empty when a person must choose."""
    finder = ListProperty([0, 0, 0, 0])

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source: FrameSource | None = None
        self.scan: Scan | None = None
        self.rows: dict[str, Choice] = {}
        self._reader: PlateReader | None = None
        self._visit = 0
        self._seen_at = 0.0
        self._seeing: Any = None
        self._is_drawing = self._is_reading = False
        self._frame: tuple[Image, datetime] | None = None
        self.ids.preview.bind(shown=self._find)

    # the camera

    def on_pre_enter(self, *_: Any) -> None:
        super().on_pre_enter()
        self.aim()

    def aim(self) -> None:
        """Ask for the camera: that may take a while, and a question of the system's."""
        self._close()
        self._visit += 1
        visit = self._visit
        self.scan, self.stage, self.failing, self.light = None, "aiming", "", False
        self.refresh()
        with_camera(
            self.app.workers,
            self.app.open_camera,
            lambda source: self._opened(source, visit),
            lambda error: self._fail(getattr(error, "reason", "failed"), visit),
        )

    def _opened(self, source: FrameSource, visit: int) -> None:
        if visit != self._visit:  # nobody looks any more
            with_camera(self.app.workers, source.close, lambda _: None, lambda error: None)
            return
        self.source, self._seen_at = source, Clock.get_boottime()
        self.has_light = source.light is not None
        self._seeing = Clock.schedule_interval(lambda _: self._see(), 1 / FRAMES)

    def _fail(self, reason: str, visit: int) -> None:
        if visit == self._visit:
            self._close()
            self.failing = reason
            self.refresh()

    def _close(self) -> None:
        source, self.source, self._frame = self.source, None, None
        if self._seeing is not None:
            self._seeing.cancel()
        self.can_read = self.has_light = self.light = False
        if self.stage != "choosing":
            self.texture = None
        if source is not None:
            with_camera(self.app.workers, source.close, lambda _: None, lambda error: None)

    def leave(self) -> None:
        self._visit += 1
        self._close()

    def _see(self) -> None:
        """Draw the newest picture, made small on another thread."""
        if self._is_drawing or self.source is None:
            return
        visit, at = self._visit, self.patrol.now()
        try:
            frame = self.source.newest()
        except Exception as error:  # NoCamera, and what a driver raises
            if Clock.get_boottime() - self._seen_at > PATIENCE:
                self._fail(getattr(error, "reason", "failed"), visit)
            return
        if frame is None:
            return  # the first is still to come
        self._seen_at, self._frame = Clock.get_boottime(), (frame, at)
        self._is_drawing = True
        self.app.workers.picture(
            lambda: small(frame), lambda made: self._draw(made, visit), self._not_drawn
        )

    def _draw(self, made: Small, visit: int) -> None:
        self._is_drawing = False
        if visit != self._visit or self.stage == "choosing":
            return
        self.texture = drawn(made, self.texture)
        self.ids.preview.canvas.ask_update()  # the texture may be the same one
        self.can_read = True
        if self.stage == "aiming" and not self._is_reading:
            self._read(wanted=False)

    def _not_drawn(self, error: Exception) -> None:
        self._is_drawing = False

    def _find(self, *_: Any) -> None:
        """Where on the screen the viewfinder is."""
        x, y, width, height = self.ids.preview.shown
        left, below, wide, high = viewfinder((round(width), round(height)))
        self.finder = [x + left, y + below, wide, high]

    def switch_light(self) -> None:
        if self.source is not None and self.source.light is not None:
            self.light = not self.light
            self.source.light(self.light)

    # reading

    def capture(self) -> None:
        """A person wants this picture read, however well that goes."""
        if self._frame is not None and self.stage == "aiming":
            self.stage = "reading"
            self.refresh()
            if not self._is_reading:
                self._read(wanted=True)

    def _read(self, *, wanted: bool) -> None:
        """Read the newest picture. What nobody asked for is shown only if it is read well."""
        if self._frame is None:
            return
        visit, (frame, at) = self._visit, self._frame
        jurisdiction = self.app.screens.get_screen("check").ids.plate.jurisdiction
        self._is_reading = True

        def failed(error: Exception) -> None:
            self._is_reading = False
            missing = type(error).__name__ == "ReaderMissing"
            self._fail("no_reader" if missing else "failed", visit)

        def read(scan: Scan) -> None:
            self._is_reading = False
            if visit != self._visit:
                return
            if wanted or is_well_read(scan.candidates):
                self._captured(scan)
            elif self.stage == "reading":  # asked for meanwhile: the newest picture
                self._read(wanted=True)
            else:
                Clock.schedule_once(lambda _: self._read_again(visit), REST)

        self.app.workers.read(lambda: self._look(frame, at, jurisdiction), read, failed)

    def _read_again(self, visit: int) -> None:
        if visit == self._visit and self.stage == "aiming" and not self._is_reading:
            self._read(wanted=False)

    def _look(self, frame: Image, at: datetime, jurisdiction: str) -> Scan:
        """On the thread that reads; the reader is opened when somebody scans for the first time."""
        if self._reader is None:
            self._reader = self.app.open_reader()
        candidates = self._reader.read(frame, viewfinder(frame.size))
        return Scan(frame, at, candidates, self.patrol.match_scan(candidates, jurisdiction))

    # choosing

    def _captured(self, scan: Scan) -> None:
        """The picture stays; what it may say is under it."""
        self.scan, self.stage = scan, "choosing"
        self.texture = drawn(small(scan.plate))
        self._visit += 1
        self._close()
        self.refresh()
        glide_to_top(self.ids.scroll)

    def refresh(self) -> None:
        lang = self.app.lang
        self.trouble = cannot_scan(self.failing, lang) if self.failing else ""
        self.ready_plate = ""
        box = self.ids.rows
        box.clear_widgets()
        self.rows = {}
        if self.scan is None:
            self.hint = {
                "aiming": gettext("Hold the plate in the frame", lang),
                "reading": gettext("Reading…", lang),
            }.get(self.stage, "")
            return
        self.hint = gettext("Compare with the picture, then choose", lang)
        if not self.scan.candidates:
            self.hint = gettext("No plate could be read in this picture.", lang)
        for plate, detail, ready in self._offers(self.scan, lang):
            where = short_jurisdiction(plate.jurisdiction)
            row = Choice(
                sign="check" if ready else "looking",
                title=f"{plate.text} · {where}",
                detail=detail,
                selected=ready,
                value=plate,
            )
            row.bind(on_release=lambda row: self.choose(row.value))
            self.rows.setdefault(f"{plate.text} {where}", row)
            box.add_widget(row)
            if ready:
                self.ready_plate = plate.text

    def _offers(self, scan: Scan, lang: str) -> list[tuple[Plate, str, bool]]:
        """What it may say, each plate once: what lies ready, what was read, what is near it."""
        found = scan.match
        jurisdiction = self.app.screens.get_screen("check").ids.plate.jurisdiction
        offers: dict[Plate, tuple[str, bool]] = {}
        if found.preselected is not None:
            offers[found.preselected] = (scan_why(found.how or "exact", lang), True)
        for candidate in scan.candidates[:MOST_READ]:
            told = scan_confidence(candidate.confidence, lang)
            plate = Plate(candidate.text, jurisdiction)
            before, ready = offers.get(plate, ("", False))
            offers[plate] = (" · ".join(filter(None, (told, before))), ready)
        for suggestion in found.suggestions:
            told, ready = offers.get(suggestion.plate, ("", False))
            words = scan_why(suggestion.why, lang)
            offers[suggestion.plate] = (" · ".join(filter(None, (told, words))), ready)
        return [(plate, detail, ready) for plate, (detail, ready) in offers.items()]

    def confirm(self) -> None:
        """What lies ready is what the picture shows."""
        if self.scan is not None and self.scan.match.preselected is not None:
            self.choose(self.scan.match.preselected)

    def choose(self, plate: Plate) -> None:
        """On to its verdict."""
        if self.scan is not None:
            self.app.screens.get_screen("check").take_scan(self.scan, plate)
            self.app.go("check")
