"""How the sync stands, what was recorded here, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from kivy.app import App
from kivy.properties import BooleanProperty, ObjectProperty, StringProperty

from handheld_app.controls import (
    Action,
    Choice,
    Fact,
    Notice,
    Panel,
    PatrolScreen,
    Prose,
    Sheet,
    glide_to_top,
)
from handheld_app.patrol import SPOIL_REASONS
from handheld_app.wording import (
    age_of_knowledge,
    damaged_file,
    gettext,
    instant,
    outcome_words,
    sent_state,
    spoil_reason,
    trouble,
    unsent_elsewhere,
    warning_in_full,
)
from sync import codec
from sync.outbox import Item

MOST_SHOWN = 100


class SpoilSheet(Sheet):
    """Why a number is of no use."""

    chosen = ObjectProperty(lambda reason: None)
    number = StringProperty("")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows: dict[str, Choice] = {}
        for reason in SPOIL_REASONS:
            row = Choice(sign="open", title=spoil_reason(reason, App.get_running_app().lang))
            row.bind(on_release=lambda _, reason=reason: self._choose(reason))
            self.rows[reason] = row
            self.ids.reasons.add_widget(row)

    def _choose(self, reason: str) -> None:
        self.dismiss()
        self.chosen(reason)


class SyncScreen(PatrolScreen):
    """Reached by touching the state of the sync in the header."""

    trouble = StringProperty("")
    tone = StringProperty("wait")
    may_export = BooleanProperty(False)
    told = StringProperty("")
    """What became of the last thing that was asked for here."""
    told_tone = StringProperty("idle")
    spoil: Action | None = None
    _shown: object = None

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
            (gettext("Not sent yet", lang), str(status.unsent - status.set_aside)),
            (gettext("Refused items", lang), str(status.set_aside)),
        ):
            facts.add_widget(Fact(name=name, value=value))
        self._show_warnings(lang)
        self._show_refused(lang)
        self._show_log(lang)

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

    def _show_log(self, lang: str) -> None:
        spoiled, last = self.patrol.spoiled(), self.patrol.spoilable()
        rows = [
            (item, self._told_of(item, lang, spoiled=item.id in spoiled))
            for item in self.patrol.log(most=MOST_SHOWN)
        ]
        shown = (lang, last and last.id, [(item.id, told) for item, told in rows])
        if shown == self._shown:
            return  # a button that a finger is on stays where it is
        self._shown = shown
        box = self.ids.log
        box.clear_widgets()
        self.spoil = None
        for item, told in rows:
            panel = Panel()
            panel.add_widget(Prose(text=self._what(item), bold=True))
            for line in told:
                panel.add_widget(Prose(text=line, muted=True))
            if last is not None and item.id == last.id:
                self.spoil = Action(text=gettext("This number was not used", lang))
                self.spoil.bind(on_release=lambda _, item=item: self.ask_spoil(item))
                panel.add_widget(self.spoil)
            box.add_widget(panel)
        if not rows:
            nothing = gettext("Nothing recorded on this device yet.", lang)
            box.add_widget(Prose(text=nothing, muted=True))

    def _told_of(self, item: Item, lang: str, *, spoiled: bool) -> list[str]:
        """What became of an infraction, a line each."""
        body, site = item.body or {}, self.patrol.site()
        words = [outcome_words(body["outcome"], site.instrument if site else "avis", lang)]
        if site is not None:
            at = codec.parse_instant(body["observed_at"])
            words.append(instant(at, ZoneInfo(site.time_zone), lang, now=self.patrol.now()))
        told = [" · ".join(words), sent_state(item.state, lang)]
        if body.get("number"):
            number = gettext("No. {number}", lang).format(number=body["number"])
            if spoiled:
                number += " · " + gettext("spoiled", lang)
            told.append(number)
        elif body["outcome"] == "notice":
            told.append(gettext("Without a number", lang))
        return told

    def ask_spoil(self, item: Item) -> None:
        """Why the number is of no use."""
        number = str((item.body or {})["number"])
        SpoilSheet(number=number, chosen=lambda reason: self._spoil(item, reason)).open()

    def _spoil(self, item: Item, reason: str) -> None:
        self.app.save(lambda: self.patrol.spoil(item, reason), self.app.sync_now)

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
