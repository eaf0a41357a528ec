"""Electronic chalk: mark a vehicle where it stands, and look at it again when its time is up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from kivy.app import App
from kivy.clock import Clock
from kivy.factory import Factory
from kivy.properties import BooleanProperty, ListProperty, ObjectProperty, StringProperty
from kivy.uix.gridlayout import GridLayout
from PIL.Image import Image

from handheld_app.chalk import HOURS, Chalk, Found
from handheld_app.controls import Action, Choice, Key, PatrolScreen, Prose, Sheet, glide_to_top
from handheld_app.evidence import Photo, PhotoRefused, Shows
from handheld_app.patrol import NotReady
from handheld_app.screens.infraction import Thumbnails
from handheld_app.wording import (
    duration,
    gettext,
    photo_refused,
    plate_title,
    time_left,
    valves_words,
)
from sync.plates import Plate
from sync.wording import clock_time, zone_title

LOOK_EVERY = 10
"""Seconds after which the times that are left are shown anew."""


class Hours(GridLayout):
    """The twelve hours at which a wheel's valve may stand; touched twice, an hour is taken back."""

    hour = ObjectProperty(None, allownone=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keys: dict[int, Key] = {}
        for hour in HOURS:
            key = Key(glyph=str(hour))
            key.bind(on_release=lambda _, hour=hour: self.choose(hour))
            self.keys[hour] = key
            self.add_widget(key)

    def choose(self, hour: int) -> None:
        """Take this hour, or none."""
        self.hour = None if self.hour == hour else hour

    def on_hour(self, *_: Any) -> None:
        for hour, key in self.keys.items():
            key.selected = hour == self.hour


class ChalkScreen(PatrolScreen):
    """The vehicles that are marked, the next one due in front."""

    empty = BooleanProperty(True)
    _shown: object = None
    _clock: Any = None

    def on_pre_enter(self, *_: Any) -> None:
        self._shown = None
        super().on_pre_enter()
        self._clock = Clock.schedule_interval(lambda _: self.refresh(), LOOK_EVERY)
        glide_to_top(self.ids.scroll)

    def leave(self) -> None:
        if self._clock is not None:
            self._clock.cancel()

    def refresh(self) -> None:
        lang, patrol, site = self.app.lang, self.patrol, self.patrol.site()
        marks = patrol.marks() if site is not None else []
        self.empty = not marks
        rows = [(chalk, *self._told(chalk)) for chalk in marks]
        shown = (lang, rows)
        if shown == self._shown:
            return
        self._shown = shown
        box = self.ids.marks
        box.clear_widgets()
        self.rows: dict[str, Choice] = {}
        for chalk, title, detail in rows:
            due = chalk.is_due(patrol.now())
            row = Choice(
                sign="time-up" if due else "chalk", title=title, detail=detail, selected=due
            )
            row.bind(on_release=lambda _, chalk=chalk: self.look_at(chalk))
            self.rows[chalk.id] = row
            box.add_widget(row)

    def _told(self, chalk: Chalk) -> tuple[str, str]:
        lang, site, zones = self.app.lang, self.patrol.site(), self.patrol.zones()
        now = self.patrol.now()
        plate = plate_title(chalk.plate, site) if site is not None else chalk.plate.text
        zone = zones.get(chalk.zone)
        where = (zone_title(zone, lang) if zone else chalk.zone, chalk.lot, chalk.place)
        title = f"{plate} · {time_left(chalk.due_at, lang, now=now)}"
        return title, " · ".join(filter(None, where))

    def look_at(self, chalk: Chalk) -> None:
        """Somebody stands where the vehicle was marked."""
        self.sheet = ChalkSheet(chalk, patrol=self.patrol, settled=partial(self._settle, chalk))
        self.sheet.open()

    def _settle(self, chalk: Chalk, found: Found) -> None:
        def settled(_: object) -> None:
            self._shown = None
            if self.app.screens.current == self.name:
                self.refresh()
            if found == "not_moved" and chalk.is_due(self.patrol.now()):
                self._overstays(chalk)

        self.app.workers.write(
            lambda: self.patrol.settle_mark(chalk, found), settled, self.app.not_saved
        )

    def _overstays(self, chalk: Chalk) -> None:
        """Its time is up and it stands where it stood: an infraction, with the mark's photos."""
        check = self.app.screens.get_screen("check")
        check.compare(chalk.plate)
        if check.sighting is None:
            self.app.go("check")
            return
        infraction = self.app.screens.get_screen("infraction")
        infraction.resume(self.patrol.overstay(chalk, check.sighting))
        self.app.go("infraction")


class ChalkSheet(Sheet):
    """Whether a marked vehicle has moved: what was noted of it, and three answers."""

    title = StringProperty("")

    def __init__(self, chalk: Chalk, *, patrol: Any, settled: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._chalk, self._settled = chalk, settled
        app = App.get_running_app()
        lang, site = app.lang, patrol.site()
        self.title = plate_title(chalk.plate, site) if site is not None else chalk.plate.text
        clock = ZoneInfo(site.time_zone) if site is not None else None
        lines = (
            time_left(chalk.due_at, lang, now=patrol.now()),
            gettext("Marked at {time}, for {duration}", lang).format(
                time=clock_time(chalk.at.astimezone(clock), lang),
                duration=duration(chalk.due_at - chalk.at, lang),
            ),
            chalk.place,
            valves_words(chalk.valves, lang),
        )
        for line in filter(None, lines):
            self.ids.facts.add_widget(Prose(text=line, bold=True))
        self.pictures = Thumbnails()
        self._photos = patrol.photos_of_mark(chalk)
        self.app = app
        self.show_photos()

    def show_photos(self) -> None:
        """The photos of the mark, to compare."""
        box = self.ids.photos
        box.clear_widgets()
        for photo in self._photos:
            box.add_widget(Factory.StillPicture(texture=self.pictures.of(photo, self)))

    def answer(self, found: Found) -> None:
        """What the patroller sees."""
        self.dismiss()
        self._settled(found)


class MarkScreen(PatrolScreen):
    """Mark a vehicle: how long it may stay, where it stands, its valves, a photo."""

    plate = ObjectProperty(None, allownone=True)
    title = StringProperty("")
    minutes = ObjectProperty(30)
    photos = ListProperty()
    trouble = StringProperty("")
    busy = BooleanProperty(False)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pictures = Thumbnails()

    def begin(self, plate: Plate) -> None:
        """Another vehicle."""
        self.plate, self.photos, self.trouble = plate, [], ""
        self.minutes = self.patrol.briefing().settings.chalk_minutes[0]
        self.ids.front.hour = self.ids.rear.hour = None
        lot = self.patrol.suggested_lot()
        self._lot = None if lot is None else lot.id
        self.ids.place.text = ""
        self.pictures.textures.clear()
        glide_to_top(self.ids.scroll)

    def refresh(self) -> None:
        site, lang = self.patrol.site(), self.app.lang
        if self.plate is None:
            return
        plate = plate_title(self.plate, site) if site is not None else self.plate.text
        self.title = gettext("Mark {plate}", lang).format(plate=plate)
        box = self.ids.minutes
        box.clear_widgets()
        self.minute_keys: dict[int, Action] = {}
        for minutes in self.patrol.briefing().settings.chalk_minutes:
            key = Action(text=self._minutes_words(minutes), primary=minutes == self.minutes)
            key.bind(on_release=lambda _, minutes=minutes: self.choose_minutes(minutes))
            self.minute_keys[minutes] = key
            box.add_widget(key)
        self.show_photos()

    def _minutes_words(self, minutes: int) -> str:
        lang = self.app.lang
        if minutes % 60:
            return gettext("{n} min", lang).format(n=minutes)
        return gettext("{n} h", lang).format(n=minutes // 60)

    def choose_minutes(self, minutes: int) -> None:
        self.minutes = minutes
        self.refresh()

    def add_photo(self) -> None:
        self.app.take_photo("mark")

    def next_shows(self) -> Shows:
        """What the next photo is to show: nothing in particular."""
        return "other"

    def shown(self) -> set[Shows]:
        """What there are photos of."""
        return {photo.shows for photo in self.photos}

    def photo_trouble(self, lang: str) -> tuple[str, str]:
        """What is to be said of the photos, and its tone."""
        return self.trouble, "bad"

    has_enough = True
    """One photo will do."""

    def photos_done(self) -> None:
        self.app.go("mark")

    def take(self, source: Path) -> None:
        """Keep the chosen picture."""
        self._keep_photo(lambda: self.patrol.take_photo(source))

    def shoot(self, frame: Image, at: datetime, shows: Shows) -> None:
        """Keep what the camera saw at that instant."""
        self._keep_photo(lambda: self.patrol.keep_frame(frame, at, shows))

    def _keep_photo(self, keep: Callable[[], Photo]) -> None:
        def kept(photo: Photo) -> None:
            self.photos = [*self.photos, photo]
            self.trouble = ""
            self.show_photos()

        def refused(error: Exception) -> None:
            reason = error.reason if isinstance(error, PhotoRefused) else "not_kept"
            self.trouble = photo_refused(reason, self.app.lang)

        self.app.workers.write(keep, kept, refused)

    def show_photos(self) -> None:
        box = self.ids.photos
        box.clear_widgets()
        for photo in self.photos:
            box.add_widget(Factory.StillPicture(texture=self.pictures.of(photo, self)))

    def mark(self) -> None:
        """Remember it, and go on to the next car."""
        if self.busy:
            return
        self.busy = True
        place, photos = self.ids.place.text, tuple(self.photos)
        valves = (self.ids.front.hour, self.ids.rear.hour)
        plate, minutes, lot = self.plate, int(self.minutes), self._lot
        self.app.workers.write(
            lambda: self.patrol.mark(
                plate, minutes=minutes, place=place, lot=lot, valves=valves, photos=photos
            ),
            self._marked,
            self._not_marked,
        )

    def _marked(self, chalk: Chalk) -> None:
        self.busy = False
        check = self.app.screens.get_screen("check")
        check.begin()
        self.app.go("check")

    def _not_marked(self, error: Exception) -> None:
        self.busy = False
        if isinstance(error, NotReady):
            self.trouble = gettext("Choose a zone first.", self.app.lang)
        else:
            self.app.not_saved(error)
