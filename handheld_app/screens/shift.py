"""What a shift came to, and its end."""

from __future__ import annotations

from typing import Any, get_args
from zoneinfo import ZoneInfo

from kivy.properties import BooleanProperty, ObjectProperty, StringProperty

from handheld_app.controls import Caption, Fact, Panel, PatrolScreen, Sheet
from handheld_app.shifts import Summary
from handheld_app.wording import duration, gettext, instant, leave_on, verdict_word
from sync.validity import Verdict
from sync.wording import outcome_words, zone_title

OUTCOMES = ("notice", "warning", "no_issue")


class EndSheet(Sheet):
    """The last question before a shift is over."""

    left = StringProperty("")
    chosen = ObjectProperty(lambda: None)

    def end(self) -> None:
        self.dismiss()
        self.chosen()


class ShiftScreen(PatrolScreen):
    """The summary of the shift under way, and the button that ends it."""

    summary = ObjectProperty(None, allownone=True)
    left = StringProperty("")
    failed = StringProperty("")
    busy = BooleanProperty(False)
    _shown: object = None

    def refresh(self) -> None:
        status, lang = self.app.status, self.app.lang
        self.left = leave_on(status.unsent - status.set_aside, lang)
        if self.patrol.shift is None:
            self.summary = None
            return
        self.app.workers.picture(self.patrol.summary, self._counted)

    def synced(self) -> None:
        self.refresh()

    def _counted(self, summary: Summary) -> None:
        self.summary = summary
        self._show()

    def _show(self) -> None:
        lang, summary, site = self.app.lang, self.summary, self.patrol.site()
        minutes = (self.patrol.now() - summary.shift.started_at).total_seconds() // 60
        shown = (lang, site, summary, minutes)
        if shown == self._shown:
            return
        self._shown = shown
        box = self.ids.facts
        box.clear_widgets()
        zone = self.patrol.zones().get(summary.shift.zone)
        began = ""
        if site is not None:
            zone_of_time = ZoneInfo(site.time_zone)
            began = instant(summary.shift.started_at, zone_of_time, lang, now=self.patrol.now())
        lasted = duration(self.patrol.now() - summary.shift.started_at, lang)
        self._add(
            box,
            "",
            [
                (gettext("Patroller", lang), summary.shift.name),
                (gettext("Zone", lang), zone_title(zone, lang) if zone else summary.shift.zone),
                (gettext("Begun", lang), began),
                (gettext("Duration", lang), lasted),
            ],
        )
        verdicts = [
            (verdict_word(verdict, lang), str(summary.verdicts[verdict]))
            for verdict in get_args(Verdict)
            if summary.verdicts.get(verdict)
        ]
        title = gettext("Checks: {n}", lang).format(n=summary.checks)
        self._add(box, title, verdicts)
        instrument = site.instrument if site is not None else "avis"
        outcomes = [
            (outcome_words(outcome, instrument, lang), str(summary.outcomes[outcome]))
            for outcome in OUTCOMES
            if summary.outcomes.get(outcome)
        ]
        rest = (
            (gettext("Voided", lang), summary.voided),
            (gettext("Photos", lang), summary.photos),
        )
        outcomes += [(name, str(count)) for name, count in rest if count]
        title = gettext("Infractions: {n}", lang).format(n=summary.infractions)
        self._add(box, title, outcomes)
        if summary.chalked:
            chalked = gettext("Vehicles marked: {n}", lang).format(n=summary.chalked)
            self._add(box, chalked, [])

    def _add(self, box: Any, title: str, facts: list[tuple[str, str]]) -> None:
        if title:
            box.add_widget(Caption(text=title))
        told = [Fact(name=name, value=value) for name, value in facts if value]
        if told:
            panel = Panel(padding=14, spacing=10)
            for fact in told:
                panel.add_widget(fact)
            box.add_widget(panel)

    def ask_end(self) -> None:
        """Once more: a shift that is over begins no more."""
        EndSheet(left=self.left, chosen=self.end).open()

    def may_leave(self) -> bool:
        return not self.busy

    def end(self) -> None:
        if self.busy:
            return
        self.busy, self.failed = True, ""
        self.app.workers.write(self._end, lambda _: self._ended(), self._not_ended)

    def _end(self) -> None:
        self.patrol.end_shift()
        self.patrol.sign_out()

    def _ended(self) -> None:
        self.busy, self.summary, self._shown = False, None, None
        self.app.duty.ended()

    def _not_ended(self, error: Exception) -> None:
        self.busy = False
        self.failed = gettext("The end could not be kept: is the storage full?", self.app.lang)
