"""The window: puts the handheld and its screens together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from kivy.app import App
from kivy.clock import Clock
from kivy.core.window import Window
from kivy.metrics import dp
from kivy.properties import (
    BooleanProperty,
    ColorProperty,
    NumericProperty,
    ObjectProperty,
    StringProperty,
)
from kivy.uix.screenmanager import NoTransition, ScreenManager

from handheld_app.controls import Alert, Header
from handheld_app.cues import MODES, Cues, shaker
from handheld_app.drafts import Draft
from handheld_app.duty import RECORDING, Duty
from handheld_app.enrolment import is_link
from handheld_app.handheld import Handheld, seconds_since_boot, utc_now
from handheld_app.keyboard import ESCAPE, Keyboard
from handheld_app.notices import why_not_printed
from handheld_app.patrol import NotSignedIn, Recorded
from handheld_app.positions import Positions, Source, receiver
from handheld_app.scanning.frames import FrameSource, open_camera
from handheld_app.scanning.reading import PlateReader, open_reader
from handheld_app.syncing import SAID_NO, SyncStatus
from handheld_app.theme import PALETTES, SCALES, look, measures, put_on, take_off
from handheld_app.wording import gettext, hh_mm, not_printed, refused_items, short_age
from handheld_app.workers import Workers
from sync.replica import UnknownZone

KEEP_TIME_EVERY = 60
"""Seconds after which it is looked whether the time is to be written down."""

AGE_EVERY = 20
"""Seconds after which the age of what is known is told anew."""

_OUT_OF_REACH = ("offline", "untrusted", "failing")


class Screens(ScreenManager):
    """The screens by name. Each is made when it is first wanted: a start waits for none but its
    own, and a change of language or size does nothing to those that nobody has looked at.
    """

    def __init__(self, make: Mapping[str, Callable[[], Any]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.make = make

    def has_screen(self, name: str) -> bool:
        return name in self.make

    def get_screen(self, name: str) -> Any:
        if not super().has_screen(name):
            self.add_widget(self.make[name]())
        return super().get_screen(name)


class HandheldApp(App):
    """One handheld in a window. `server` and `code` fill in the enrolment."""

    title = "Patrouille"
    lang = StringProperty("fr")
    left_handed = BooleanProperty(False)
    status = ObjectProperty(SyncStatus())
    messages = NumericProperty(0)
    """How many of a supervisor's messages were not read yet."""
    sync_words = StringProperty("")
    sync_sign = StringProperty("sync")
    sync_color = ColorProperty()
    sync_ground = ColorProperty()
    age_words = StringProperty("")
    """How old what is known is, in few words; empty while nothing is."""
    age_stale = BooleanProperty(False)

    def __init__(
        self,
        data_dir: Path,
        *,
        server: str = "",
        code: str = "",
        lang: str | None = None,
        pictures: Path | None = None,
        open_camera: Callable[[], FrameSource] = open_camera,
        open_reader: Callable[[], PlateReader] = open_reader,
        now: Callable[[], datetime] = utc_now,
        boot: Callable[[], float] = seconds_since_boot,
        position: Source | None = None,
        **kwargs: Any,
    ) -> None:
        """`position` tells where the device is; None: its own receiver, if it has one."""
        super().__init__(**kwargs)
        positions = Positions(position or receiver(boot))
        self.handheld = Handheld(
            data_dir,
            now=now,
            boot=boot,
            changed=self._sync_changed,
            locate=lambda: positions.at(self.handheld.clock.now()),
        )
        self.patrol = self.handheld.patrol
        self.duty = Duty(self, boot=boot, positions=positions)
        self.exports = data_dir.absolute() / "exports"
        self.lang = lang or self.patrol.device.lang
        self.pictures = pictures or _pictures_folder()
        self._server, self._code = server, code
        self.workers = Workers(self._soon)
        self.open_camera, self.open_reader = open_camera, open_reader
        self.cues = Cues(self.handheld.folder / "sounds", shaker=shaker())
        self.keyboard = Keyboard()
        self.printing: frozenset[str] = frozenset()
        """The infractions that are at the printer now."""
        self._hearing: Callable[[int, str], None] | None = None
        self._stopped = False

    # the life of the window

    def build(self) -> ScreenManager:
        put_on()
        self._wear()
        from handheld_app.screens.capture import CaptureScreen
        from handheld_app.screens.chalk import ChalkScreen, MarkScreen
        from handheld_app.screens.check import CheckScreen
        from handheld_app.screens.enrol import EnrolScreen
        from handheld_app.screens.infraction import InfractionScreen
        from handheld_app.screens.issued import IssuedScreen
        from handheld_app.screens.lastlook import LastLookScreen
        from handheld_app.screens.menu import MenuSheet
        from handheld_app.screens.notice import NoticeScreen
        from handheld_app.screens.photo import PhotoScreen
        from handheld_app.screens.pick import PickScreen
        from handheld_app.screens.pictures import PicturesScreen
        from handheld_app.screens.place import PlaceScreen
        from handheld_app.screens.plate import PlateScreen
        from handheld_app.screens.printer import PrinterScreen
        from handheld_app.screens.recent import RecentScreen
        from handheld_app.screens.scan import ScanScreen
        from handheld_app.screens.settings import SettingsScreen
        from handheld_app.screens.shift import ShiftScreen
        from handheld_app.screens.signin import SignInScreen
        from handheld_app.screens.sync import SyncScreen
        from handheld_app.screens.work import EntryScreen, WorkScreen

        self._menu = MenuSheet
        self._measure()
        Window.softinput_mode = "below_target"
        kinds: tuple[tuple[str, Any], ...] = (
            ("enrol", EnrolScreen),
            ("place", PlaceScreen),
            ("shift", ShiftScreen),
            ("signin", SignInScreen),
            ("check", CheckScreen),
            ("plate", PlateScreen),
            ("infraction", InfractionScreen),
            ("pick", PickScreen),
            ("capture", CaptureScreen),
            ("pictures", PicturesScreen),
            ("photo", PhotoScreen),
            ("lastlook", LastLookScreen),
            ("notice", NoticeScreen),
            ("issued", IssuedScreen),
            ("printer", PrinterScreen),
            ("sync", SyncScreen),
            ("recent", RecentScreen),
            ("chalk", ChalkScreen),
            ("mark", MarkScreen),
            ("scan", ScanScreen),
            ("work", WorkScreen),
            ("entry", EntryScreen),
            ("settings", SettingsScreen),
        )
        make = {
            name: partial(kind, name=name, patrol=self.patrol, app=self) for name, kind in kinds
        }
        self.screens = Screens(make, transition=NoTransition())
        self.screens.get_screen("enrol")  # the first one made is shown
        return self.screens

    def on_start(self) -> None:
        Window.bind(on_resize=self._measure, on_key_down=self._key_down)
        Window.bind(on_touch_down=self.keyboard.hide)
        look.bind(palette=self._repaint)
        self._repaint()
        self._keeping_time = Clock.schedule_interval(lambda _: self._keep_time(), KEEP_TIME_EVERY)
        self.duty.start()
        self._ageing = Clock.schedule_interval(lambda _: self._show_age(), AGE_EVERY)
        self.screens.get_screen("enrol").prefill(self._server, self._code)
        enrolled = self.patrol.device.enrolled
        self.handheld.sync()
        if not enrolled or self._code:
            self.go("enrol")
            if self._code and (self._server or is_link(self._code)):
                self.screens.get_screen("enrol").enrol()
            return
        self._first_screen()

    def _first_screen(self) -> None:
        self.screens.get_screen("check").begin()
        if self.patrol.zone() is None:
            self.go("place")
        elif self.patrol.signed_in() is None:
            self.ask_who("check")
        else:
            self.go("check")

    def on_stop(self) -> None:
        self._stopped = True
        self._keeping_time.cancel()
        self.duty.stop()
        self._ageing.cancel()
        Window.unbind(on_resize=self._measure, on_key_down=self._key_down)
        Window.unbind(on_touch_down=self.keyboard.hide)
        look.unbind(palette=self._repaint)
        self.keyboard.hide()
        self.cues.close()
        self.handheld.stop_syncing()
        self.screens.current_screen.leave()
        self.workers.close()
        self.handheld.close()
        for screen in self.screens.screens:
            take_off(screen)

    def on_pause(self) -> bool:
        self.duty.paused()
        self.screens.get_screen("infraction").keep_now()
        return True

    def on_resume(self) -> None:
        self.duty.look()  # it may have slept for so long that it is locked now
        self.handheld.sync()

    def _measure(self, *_: Any) -> None:
        look.measures = measures(Window.width / dp(1), Window.height / dp(1))

    # the look

    def _wear(self) -> None:
        """The look that this device remembers."""
        device = self.patrol.device
        look.palette = device.palette if device.palette in PALETTES else "day"
        look.scale = device.text_scale if device.text_scale in SCALES else 100
        self.left_handed = device.left_handed
        self.cues.mode = device.cues if device.cues in MODES else "sound"

    def prefer(self, **settings: Any) -> None:
        """Change how the screens look, lie or sound, at once; it is remembered."""

        def worn() -> None:
            self._wear()
            if "cues" in settings:
                self.cues.play("good")

        self.save(lambda: self.patrol.prefer(**settings), worn)

    def _repaint(self, *_: Any) -> None:
        """What has its colour from elsewhere than kv."""
        Window.clearcolor = look.GROUND
        self._show_status()

    # going about

    def go(self, screen: str) -> None:
        """Show a screen, unless the one that is shown has something under way."""
        if not self.screens.current_screen.may_leave():
            return
        if screen == "sync":
            self.screens.get_screen("sync").came_from(self.screens.current)
        if screen == "check" and self.patrol.device.zone == "":
            screen = "place"
        self.keyboard.hide()
        self.screens.current = screen

    def take_photo(self, screen: str) -> None:
        """Let a photo be taken, or a picture be chosen where there is no camera: that screen's
        `shoot` or `take` gets it, then `photos_done` goes on.
        """
        capture = self.screens.get_screen("capture")
        capture.taker = self.screens.get_screen("pictures").taker = screen
        self.go("pictures" if capture.is_blind else "capture")

    def open_menu(self) -> None:
        """The way to everything that is not the next plate."""
        self._menu(app=self).open()

    def switch_language(self) -> None:
        """The other language, everywhere, at once; it is remembered."""
        self.lang = lang = "en" if self.lang == "fr" else "fr"
        # It is shown already: made anew once it is saved, a list would change under the finger.
        self.workers.write(lambda: self.patrol.speak(lang), lambda _: None, self.not_saved)

    def on_lang(self, *_: Any) -> None:
        if self.root is not None:
            self._show_status()
            self._refresh()

    def _refresh(self) -> None:
        self.screens.current_screen.refresh()

    def hear_keys(self, heard: Callable[[int, str], None] | None) -> None:
        """Send the keys of a real keyboard there, or nowhere."""
        self._hearing = heard

    def _key_down(
        self, _: Any, key: int, scancode: int, character: str | None, modifiers: list[str]
    ) -> bool:
        if self.duty.heard(key, character or ""):
            return True
        if {"ctrl", "alt", "meta"} & set(modifiers):
            return False
        if self.keyboard.key_down(key, modifiers):
            return True
        if self._hearing is not None:
            self._hearing(key, character or "")
            return True
        if key == ESCAPE:
            self._back()
            return True
        return False

    def _back(self) -> None:
        """Where the arrow in the header leads."""
        for widget in self.screens.current_screen.walk(restrict=True):
            if isinstance(widget, Header) and widget.back:
                self.go(widget.back)
                return

    # who is at work

    def ask_who(self, then: str) -> None:
        """Let a patroller sign in, then show that screen."""
        self.screens.get_screen("signin").begin(then)
        self.go("signin")

    def confirm_sign_in(self, badge: str, pin: str) -> None:
        """Ask the service too, meanwhile: it has the last word."""
        self.workers.ask(
            lambda: self.patrol.confirm_sign_in(badge, pin), lambda _: None, self._signed_out
        )

    def signed_in(self, then: str) -> None:
        """Go on with what was under way, or with that screen of an infraction."""
        if self.screens.current != "signin":
            self._refresh()
        elif then in RECORDING:
            self.go(then)
        else:
            self.duty.to_work()

    def _signed_out(self, error: Exception) -> None:
        if not isinstance(error, NotSignedIn):
            return  # a full disk: the verifier is as good as it was
        self._refresh()
        words = gettext(
            "The service does not know this badge and PIN any more: sign in again.", self.lang
        )
        Alert(words=words, close=gettext("Close", self.lang)).open()

    # work off the thread that draws

    def _soon(self, do: Callable[[], None]) -> None:
        """From another thread: do it on the thread that draws, while there is a window."""
        Clock.schedule_once(lambda _: None if self._stopped else do())

    def _keep_time(self) -> None:
        if not self._stopped:
            self.workers.write(self.patrol.keep_time, lambda _: None, lambda error: None)

    def save(self, do: Callable[[], None], then: Callable[[], None] = lambda: None) -> None:
        """Change a setting: a small file, written elsewhere; then show it, and go on."""

        def saved(_: None) -> None:
            self._refresh()
            then()

        self.workers.write(do, saved, self.not_saved)

    def not_saved(self, error: Exception) -> None:
        """Say so; what is shown is again what is remembered."""
        self._refresh()
        if isinstance(error, UnknownZone):
            words = gettext("The site has no such zone any more.", self.lang)
        else:
            words = gettext("The change could not be saved: is the storage full?", self.lang)
        Alert(words=words, close=gettext("Close", self.lang)).open()

    # the sync

    def enrolled(self) -> None:
        """The service knows this handheld now: fetch its permits, ask where and who, unless
        something else was gone on with meanwhile.
        """
        self.handheld.sync()
        if self.screens.current == "enrol":
            self.go("place")
        else:
            self._refresh()

    def sync_now(self) -> None:
        """Try at once."""
        self.handheld.sync()

    def recorded(self, draft: Draft, recorded: Recorded) -> None:
        """An infraction is in the outbox: send it, and hand it over if it is one to hand over."""
        self.handheld.sync()
        if draft.outcome == "no_issue":
            self.next_car(draft, recorded)
            return
        self.screens.get_screen("issued").begin(draft, recorded)
        self.go("issued")

    def next_car(self, draft: Draft, recorded: Recorded) -> None:
        """On with checking; what was recorded is told until the next key."""
        check = self.screens.get_screen("check")
        check.begin()
        check.announce(draft, recorded)
        self.go("check")

    # notices on paper

    def print_notice(self, infraction: str) -> None:
        """Print what was issued, while whatever else is gone on with."""
        if infraction in self.printing:
            return
        self.printing = self.printing | {infraction}
        self.workers.ask(
            lambda: self.handheld.notices.print(infraction),
            lambda _: self._printed(infraction, None),
            lambda error: self._printed(infraction, error),
        )

    def _printed(self, infraction: str, error: Exception | None) -> None:
        self.printing = self.printing - {infraction}
        shown = self.screens.current_screen
        shown.printed(infraction)
        if error is None or getattr(shown, "infraction", None) == infraction:
            return
        # Somebody has gone on to the next car: they must hear of it all the same.
        item = self.patrol.recorded(infraction)
        number = ((item.body if item else None) or {}).get("number") or ""
        words = not_printed(number, why_not_printed(error, self.lang), self.lang)
        Alert(words=words, close=gettext("Close", self.lang)).open()

    def _sync_changed(self, status: SyncStatus) -> None:
        self._soon(lambda: self._take_status(status))

    def _take_status(self, status: SyncStatus) -> None:
        self.status = status
        self._show_status()
        self.screens.current_screen.synced()
        self.duty.synced()

    def _show_status(self) -> None:
        status, lang, site = self.status, self.lang, self.patrol.site()
        ground, colour = look.BAR_SOFT, look.BAR_WAIT
        waiting = status.recorded
        self._show_age()
        if status.connection in SAID_NO:
            words, sign = gettext("Refused", lang), "warning"
        elif status.set_aside:
            words, sign = refused_items(status.set_aside, lang), "warning"
            ground, colour = look.TONES["bad"]
        elif waiting:
            words = gettext("{n} to send", lang).format(n=waiting)
            sign = "offline" if status.connection in _OUT_OF_REACH else "unsent"
        elif status.connection in _OUT_OF_REACH:
            words, sign = gettext("Offline", lang), "offline"
        elif status.synced_at is not None and site is not None:
            at = hh_mm(status.synced_at, ZoneInfo(site.time_zone))
            words, sign = gettext("Synced {time}", lang).format(time=at), "cloud"
            colour = look.BAR_GOOD
        else:
            words, sign = gettext("Syncing", lang), "sync"
            colour = look.BAR_INK
        self.sync_ground, self.sync_color = ground, colour
        self.sync_words, self.sync_sign = words, sign

    def _show_age(self) -> None:
        """Beside the state of the sync, on every screen (DOMAIN 2.7)."""
        patrol = self.patrol
        if patrol.site() is None:
            self.age_words, self.age_stale = "", False
            return
        self.age_words = short_age(patrol.known_at(), self.lang, now=patrol.now())
        self.age_stale = patrol.is_stale()


def _pictures_folder() -> Path:
    home = Path.home()
    for name in ("Pictures", "Images"):
        if (home / name).is_dir():
            return home / name
    return home
