"""How the sync stands, and what the service refused."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from kivy.properties import BooleanProperty, StringProperty

from handheld_app.controls import Fact, Notice, PatrolScreen, glide_to_top
from handheld_app.wording import (
    age_of_knowledge,
    damaged_file,
    gettext,
    instant,
    trouble,
    unsent_elsewhere,
    warning_in_full,
)
from sync.outbox import Item

MOST_SHOWN = 100


class SyncScreen(PatrolScreen):
    """Reached by touching the state of the sync in the header."""

    trouble = StringProperty("")
    tone = StringProperty("wait")
    may_export = BooleanProperty(False)
    told = StringProperty("")
    """What became of the last thing that was asked for here."""
    told_tone = StringProperty("idle")
    back = StringProperty("check")

    def came_from(self, screen: str) -> None:
        """Go back there afterwards: what is under way is not left for a look at the sync."""
        if screen not in ("sync", "enrol", "work"):
            self.back = screen

    def on_pre_enter(self, *_: object) -> None:
        self.told = ""
        super().on_pre_enter()
        glide_to_top(self.ids.scroll)

    def synced(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        lang, patrol, status = self.app.lang, self.patrol, self.app.status
        site, state = patrol.site(), patrol.state()
        hindrance = trouble(
            status.connection, lang, fetched=site is not None, reason=status.trouble
        )
        self.trouble = f"{hindrance.word}. {hindrance.words}" if hindrance else ""
        self.tone = hindrance.tone if hindrance else "wait"
        facts = self.ids.facts
        facts.clear_widgets()
        never = gettext("never", lang)
        last = fed = never
        if site is not None and state is not None:
            clock, now = ZoneInfo(site.time_zone), patrol.now()
            last = instant(state.server_time, clock, lang, now=now)
            if state.fed_at is not None:
                fed = instant(state.fed_at, clock, lang, now=now)
        age = age_of_knowledge(patrol.known_at(), lang, now=patrol.now())
        for name, value in (
            (gettext("Last sync", lang), last),
            (gettext("Subscriptions heard of", lang), fed),
            (gettext("Permits", lang), age),
            (gettext("Notice numbers left", lang), str(patrol.numbers_left())),
            (gettext("Not sent yet", lang), str(status.recorded)),
            (gettext("Refused items", lang), str(status.set_aside)),
        ):
            facts.add_widget(Fact(name=name, value=value))
        self._show_warnings(lang)
        self._show_refused(lang)

    def _show_warnings(self, lang: str) -> None:
        box, left = self.ids.warnings, self.patrol.numbers_left()
        box.clear_widgets()
        for what in self.patrol.warnings():
            box.add_widget(Notice(text=warning_in_full(what, lang, left=left)))
        for service, count in self.patrol.unsent_elsewhere().items():
            box.add_widget(Notice(text=unsent_elsewhere(service, count, lang)))

    def _show_refused(self, lang: str) -> None:
        box = self.ids.refused
        box.clear_widgets()
        damaged, refused = self.patrol.damaged_files(), self.patrol.set_aside(most=MOST_SHOWN)
        self.may_export = bool(damaged or refused)
        for path in damaged:
            box.add_widget(Notice(text=damaged_file(path, lang), tone="bad"))
        for item in refused:
            what = {"photo": gettext("Photo", lang), "event": gettext("Spoiled number", lang)}.get(
                item.kind, self._what(item)
            )
            box.add_widget(Notice(text=f"{what}\n{item.problem or ''}", tone="bad"))

    def export(self) -> None:
        """Write what was refused or damaged to a file, and say where."""
        folder = self.app.exports
        self.app.workers.write(
            lambda: self.patrol.export_set_aside(folder), self._exported, self._not_exported
        )

    def _exported(self, path: Path) -> None:
        words = gettext("Written; hand in this file: {path}", self.app.lang)
        self.told, self.told_tone = words.format(path=path), "good"

    def _not_exported(self, error: Exception) -> None:
        words = gettext("The file could not be written: is the storage full?", self.app.lang)
        self.told, self.told_tone = words, "bad"

    def _what(self, item: Item) -> str:
        body = item.body or {}
        plate = body.get("plate") or gettext("No plate", self.app.lang)
        return f"{plate} · {', '.join(body.get('codes', ()))}"
