"""Where and who: site, zone, patroller."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from kivy.properties import BooleanProperty, StringProperty

from handheld_app.controls import Choice, PatrolScreen
from handheld_app.syncing import SAID_NO
from handheld_app.wording import clock_time, gettext, localized, trouble, zone_title
from sync.entities import Site


class PlaceScreen(PatrolScreen):
    """Choose before a patrol, change at any time."""

    site_name = StringProperty("")
    trouble = StringProperty("")
    tone = StringProperty("idle")
    may_enrol = BooleanProperty(False)
    """Whether another enrolment may help."""
    to_enrol = BooleanProperty(False)
    """Whether nothing goes on before this device is enrolled again."""
    can_go = BooleanProperty(False)
    signed_in = BooleanProperty(False)
    who = StringProperty("")
    who_detail = StringProperty("")
    _shown: object = None

    def sign(self) -> None:
        """Out, or in."""
        if self.signed_in:
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

    def refresh(self) -> None:
        lang, device, site = self.app.lang, self.patrol.device, self.patrol.site()
        zones = self.patrol.zones()
        several = len(device.sites) > 1
        self.site_name = "" if several else (site.name if site else device.site)
        self._show_who(lang, site)
        self._show_trouble(fetched=site is not None)
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
        self.app.go("check")
