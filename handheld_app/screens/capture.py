"""The camera: a preview, what the next photo is to show, and the shutter."""

from __future__ import annotations

from typing import Any

from kivy.clock import Clock
from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.floatlayout import FloatLayout
from PIL.Image import Image

from handheld_app.controls import Action, PatrolScreen
from handheld_app.evidence import WANTED, Shows
from handheld_app.scanning.frames import FrameSource
from handheld_app.screens.preview import FRAMES, PATIENCE, Small, drawn, small, with_camera
from handheld_app.wording import no_camera, photo_shows, photo_wanted


class Shutter(ButtonBehavior, FloatLayout):
    """Takes the photo when it is pressed, not when it is let go."""


class CaptureScreen(PatrolScreen):
    """Photos one after the other. Each is the newest picture of the camera when the shutter was
    pressed; it is encoded, hashed and kept on another thread, and the next one may be taken.
    """

    title = StringProperty("")
    trouble = StringProperty("")
    trouble_tone = StringProperty("bad")
    texture = ObjectProperty(None, allownone=True)
    can_shoot = BooleanProperty(False)
    taken = NumericProperty(0)
    taker = StringProperty("infraction")
    """The screen that the photos are for."""
    is_blind = BooleanProperty(False)
    """Whether this device is known to have no camera."""
    failing = StringProperty("")
    """Why there is no picture: what `NoCamera` says."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source: FrameSource | None = None
        self._seen_at = 0.0
        self._seeing: Any = None
        self._is_drawing = False
        self._visit = 0
        self.shows: Shows = "plate"

    @property
    def _taker(self) -> Any:
        return self.app.screens.get_screen(self.taker)

    # the camera

    def on_pre_enter(self, *_: Any) -> None:
        self.shows = self._taker.next_shows()
        super().on_pre_enter()
        self.open()

    def open(self) -> None:
        """Ask for the camera: that may take a while, and a question of the system's."""
        self._visit += 1
        visit = self._visit
        self.failing = ""
        self.refresh()
        with_camera(
            self.app.workers,
            self.app.open_camera,
            lambda source: self._opened(source, visit),
            lambda error: self._not_opened(error, visit),
        )

    def _opened(self, source: FrameSource, visit: int) -> None:
        if visit != self._visit:  # nobody looks any more
            with_camera(self.app.workers, source.close, lambda _: None, lambda error: None)
            return
        self.source, self._seen_at, self.is_blind = source, Clock.get_boottime(), False
        self._seeing = Clock.schedule_interval(lambda _: self._see(), 1 / FRAMES)

    def _not_opened(self, error: Exception, visit: int) -> None:
        if visit != self._visit:
            return
        self.failing = getattr(error, "reason", "failed")
        if self.failing == "absent":
            self.is_blind = True
            self.app.go("pictures")
            return
        self.refresh()

    def leave(self) -> None:
        self._visit += 1
        source, self.source = self.source, None
        if self._seeing is not None:
            self._seeing.cancel()
        self.texture, self.can_shoot = None, False
        if source is not None:
            with_camera(self.app.workers, source.close, lambda _: None, lambda error: None)

    def _frame(self) -> Image | None:
        """The newest picture; none when the camera has gone away."""
        if self.source is None:
            return None
        try:
            frame = self.source.newest()
        except Exception as error:  # NoCamera, and what a driver raises
            if Clock.get_boottime() - self._seen_at > PATIENCE:
                self.leave()
                self.failing = getattr(error, "reason", "failed")
                self.refresh()
            return None
        self._seen_at = Clock.get_boottime()
        return frame

    def _see(self) -> None:
        """Draw the newest picture, made small on another thread."""
        if self._is_drawing:
            return
        frame, visit = self._frame(), self._visit
        if frame is None:
            return
        self._is_drawing = True
        self.app.workers.picture(
            lambda: small(frame), lambda made: self._draw(made, visit), self._not_drawn
        )

    def _draw(self, made: Small, visit: int) -> None:
        self._is_drawing = False
        if visit != self._visit:
            return
        self.texture = drawn(made, self.texture)
        self.ids.preview.canvas.ask_update()
        self.can_shoot = True

    def _not_drawn(self, error: Exception) -> None:
        self._is_drawing = False

    # photos

    def shoot(self) -> None:
        """Take the photo."""
        at, frame = self.patrol.now(), self._frame()
        if frame is None or not self.can_shoot:
            return
        taker = self._taker
        taker.shoot(frame, at, self.shows)
        if taker.has_enough:
            taker.photos_done()
            return
        self.shows = taker.next_shows()
        self.refresh()

    def show_next(self, shows: Shows) -> None:
        """The next photo is to show this."""
        self.shows = shows
        self.refresh()

    def choose_file(self) -> None:
        self.app.go("pictures")

    def done(self) -> None:
        self._taker.photos_done()

    def photos_changed(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        lang, taker = self.app.lang, self._taker
        self.title = photo_wanted(self.shows, lang)
        self.trouble, self.trouble_tone = taker.photo_trouble(lang)
        if self.failing:
            self.trouble, self.trouble_tone = no_camera(self.failing, lang), "bad"
        shown = taker.shown()
        self.taken = len(shown)
        box = self.ids.labels
        box.clear_widgets()
        self.labels: dict[str, Action] = {}
        for shows in (*WANTED, "other"):
            key = Action(
                text=photo_shows(shows, lang),
                sign="check" if shows in shown else "",
                primary=shows == self.shows,
            )
            key.padding, key.spacing = (4, 0), 2
            key.bind(on_release=lambda _, shows=shows: self.show_next(shows))
            self.labels[shows] = key
            box.add_widget(key)
