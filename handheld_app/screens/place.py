"""Where and who: site, zone, patroller."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from kivy.clock import Clock
from kivy.properties import BooleanProperty, StringProperty

from handheld_app.controls import Choice, PatrolScreen
from handheld_app.syncing import SAID_NO
from handheld_app.wording import gettext, trouble, you_are_near
from sync.entities import Site
from sync.wording import clock_time, localized, zone_title

LOCATE_EVERY = 2
"""Seconds after which it is looked where the device is by now."""


class PlaceScreen(PatrolScreen):
    """The start of a shift: choose before it, change at any time."""

    site_name = StringProperty("")
    trouble = StringProperty("")
    tone = StringProperty("idle")
    may_enrol = BooleanProperty(False)
    """Whether another enrolment may help."""
    to_enrol = BooleanProperty(False)
    """Whether nothing goes on before this device is enrolled again."""
    can_go = BooleanProperty(False)
    has_shift = BooleanProperty(False)
    """Whether a shift is under way at this site."""
    go_words = StringProperty("")
    signed_in = BooleanProperty(False)
    who = StringProperty("")
    who_detail = StringProperty("")
    locates = BooleanProperty(False)
    """Whether this device may know where it is."""
    near = StringProperty("")
    near_detail = StringProperty("")
    near_zone = StringProperty("")
    """The zone to take with a touch; empty: none."""
    _shown: object = None

    def on_pre_enter(self, *_: Any) -> None:
        super().on_pre_enter()
        self._locating = Clock.schedule_interval(lambda _: self._show_near(), LOCATE_EVERY)

    def leave(self) -> None:
        self._locating.cancel()

    def sign(self) -> None:
        """Out, or in; a shift under way ends first."""
        if self.signed_in and self.patrol.shift is not None:
            self.app.go("shift")
        elif self.signed_in:
            self.patrol.sign_out()
            self.refresh()
        else:
            self.app.ask_who("place")

    def _show_who(self, lang: str, site: Site | None) -> None:
        who = self.patrol.signed_in()
        self.signed_in = who is not None
        if who is None:
            self.who = gettext("Nobody is signed in", lang)
            self.who_detail = gettext("Touch to sign in: recording needs it.", lang)
        else:
            self.who = " · ".join(dict.fromkeys((who.called, who.badge)))
            self.who_detail = gettext("Touch to sign out.", lang)
            if site is not None:  # without it, nobody knows what time it is there
                until = clock_time(who.until.astimezone(ZoneInfo(site.time_zone)), lang)
                words = gettext("Until {time}. Touch to sign out.", lang)
                self.who_detail = words.format(time=until)
            shift = self.patrol.shift
            if shift is not None and site is not None:
                since = clock_time(shift.started_at.astimezone(ZoneInfo(site.time_zone)), lang)
                words = gettext("Shift since {time}. Touch to end it.", lang)
                self.who_detail = words.format(time=since)

    def synced(self) -> None:
        self.refresh()

    def _show_near(self) -> None:
        """The lot where the device is, and its zone: a suggestion, never more."""
        self.locates = self.app.duty.positions.known_here
        if not self.locates:
            return
        lang, lot = self.app.lang, self.patrol.suggested_lot()
        self.near_zone, self.near_detail = "", gettext("Choose the zone below.", lang)
        if lot is not None:
            self.near = you_are_near(lot, lang)
            if lot.zone == self.patrol.device.zone:
                self.near_detail = gettext("Its zone is chosen.", lang)
            elif lot.zone in self.patrol.zones():
                self.near_zone = lot.zone
                self.near_detail = gettext("Touch to take this zone.", lang)
        elif self.patrol.position() is not None:
            self.near = gettext("No lot is near you", lang)
        else:
            self.near = gettext("Looking where you are", lang)

    def take_near(self) -> None:
        """Work in the zone of the lot nearby."""
        if self.near_zone:
            self.choose_zone(self.near_zone)

    def refresh(self) -> None:
        lang, device, site = self.app.lang, self.patrol.device, self.patrol.site()
        zones = self.patrol.zones()
        several = len(device.sites) > 1
        self.site_name = "" if several else (site.name if site else device.site)
        self._show_who(lang, site)
        self._show_trouble(fetched=site is not None)
        self._show_near()
        shift = self.patrol.shift
        self.has_shift = shift is not None and shift.site == device.site
        if self.has_shift:
            self.go_words = gettext("Go on checking", lang)
        elif self.signed_in:
            self.go_words = gettext("Start the shift", lang)
        else:
            self.go_words = gettext("Start checking", lang)
        self.can_go = device.zone in zones
        shown = (lang, device.sites, device.site, device.zone, site, zones)
        if shown == self._shown:
            return  # a row that a finger is on stays where it is
        self._shown = shown
        self.ids.sites.clear_widgets()
        if several:
            for code in device.sites:
                chosen = code == device.site
                row = Choice(
                    sign="chosen" if chosen else "open",
                    title=f"{code} · {site.name}" if chosen and site else code,
                    selected=chosen,
                )
                row.bind(on_release=lambda _, code=code: self.choose_site(code))
                self.ids.sites.add_widget(row)
        self.ids.zones.clear_widgets()
        self.rows: dict[str, Choice] = {}
        for code, zone in zones.items():
            chosen = code == device.zone
            row = Choice(
                sign="chosen" if chosen else "open",
                title=zone_title(zone, lang),
                detail=localized(zone.note, lang),
                selected=chosen,
            )
            row.bind(on_release=lambda _, code=code: self.choose_zone(code))
            self.rows[code] = row
            self.ids.zones.add_widget(row)

    def _show_trouble(self, *, fetched: bool) -> None:
        lang, status = self.app.lang, self.app.status
        hindrance = trouble(status.connection, lang, fetched=fetched, reason=status.trouble)
        self.to_enrol = status.connection in ("unauthorized", "revoked")
        self.may_enrol = status.connection in SAID_NO or not fetched
        self.trouble, self.tone = "", "idle"
        if hindrance is not None:
            self.trouble, self.tone = f"{hindrance.word}. {hindrance.words}", hindrance.tone
        elif self.patrol.device.site and not fetched:
            self.trouble = gettext("Fetching permits: this needs the network once.", lang)

    def choose_site(self, site: str) -> None:
        self.app.save(lambda: self.patrol.choose_site(site), self.app.sync_now)

    def choose_zone(self, zone: str) -> None:
        self.app.save(lambda: self.patrol.choose_zone(zone))

    def start(self) -> None:
        if self.signed_in and not self.has_shift:
            self.app.duty.start_shift()
        else:
            self.app.go("check")
