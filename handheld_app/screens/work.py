"""A patroller's own work: what was recorded here, what became of it, and what is asked about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from kivy.clock import Clock
from kivy.factory import Factory
from kivy.properties import BooleanProperty, ObjectProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout

from handheld_app.controls import Alert, Choice, Fact, PatrolScreen, Sheet, glide_to_top
from handheld_app.patrol import SPOIL_REASONS, TooLate
from handheld_app.screens.infraction import Thumbnails
from handheld_app.wording import (
    gettext,
    hh_mm,
    instant,
    no_issue_reason,
    short_instant,
    spoil_reason,
    stock_answers,
    verdict_word,
    void_reason,
    work_look,
    work_reason,
    work_state,
)
from handheld_app.work import VOID_REASONS, Entry, asked_first
from sync.wording import (
    localized,
    outcome_words,
    plate_missing_reason,
    short_jurisdiction,
    zone_title,
)

MOST_SHOWN = 40
"""Rows at first; a finger asks for more."""

SEARCH_AFTER = 0.2
"""Seconds without a key after which what was typed is looked for."""

GRACE_EVERY = 5
"""Seconds after which it is looked whether something may still be taken back."""


class ReasonSheet(Sheet):
    """Why something is taken back: a reason is chosen, then said to be meant."""

    title = StringProperty("")
    words = StringProperty("")
    confirm = StringProperty("")
    reason = StringProperty("")
    """The one that is chosen; empty before one is."""

    def __init__(
        self, reasons: Sequence[tuple[str, str]], meant: Callable[[str], None], **kwargs: Any
    ) -> None:
        """`reasons` are ids and their words; `meant` hears which one it is."""
        super().__init__(**kwargs)
        self._meant = meant
        self.rows: dict[str, Choice] = {}
        for reason, words in reasons:
            row = Choice(sign="open", title=words)
            row.bind(on_release=lambda _, reason=reason: setattr(self, "reason", reason))
            self.rows[reason] = row
            self.ids.reasons.add_widget(row)

    def on_reason(self, *_: Any) -> None:
        for reason, row in self.rows.items():
            row.selected = reason == self.reason
            row.sign = "chosen" if row.selected else "open"

    def mean(self) -> None:
        self.dismiss()
        self._meant(self.reason)


class WorkRow(ButtonBehavior, BoxLayout):
    """One infraction and what became of it."""

    plate = StringProperty("")
    at = StringProperty("")
    detail = StringProperty("")
    state_words = StringProperty("")
    sign = StringProperty("")
    tone = StringProperty("idle")
    entry = ObjectProperty(None, allownone=True)


class StateBand(BoxLayout):
    """What became of it, in its colour, and why."""

    title = StringProperty("")
    detail = StringProperty("")
    sign = StringProperty("")
    tone = StringProperty("idle")


class WorkScreen(PatrolScreen):
    """The infractions recorded here, today's first; searched by plate, number, code or words."""

    everything = BooleanProperty(False)
    """Whether those of other days are shown too."""
    empty = StringProperty("")
    more = BooleanProperty(False)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows: list[WorkRow] = []
        self._most = MOST_SHOWN
        self._search_soon = Clock.create_trigger(lambda _: self._narrow(), SEARCH_AFTER)
        self.ids.search.bind(text=lambda *_: self._search_soon())

    def on_pre_enter(self, *_: Any) -> None:
        super().on_pre_enter()
        if not self.ids.search.text:
            glide_to_top(self.ids.scroll)

    def show_everything(self, everything: bool) -> None:
        self.everything = everything
        self._narrow()

    def show_more(self) -> None:
        self._most += MOST_SHOWN
        self.refresh()

    def _narrow(self) -> None:
        """Something else is looked for: from the top."""
        self._most = MOST_SHOWN
        self.refresh()
        glide_to_top(self.ids.scroll)

    def refresh(self) -> None:
        lang, patrol, text = self.app.lang, self.patrol, self.ids.search.text
        entries = patrol.work(text=text)
        if not self.everything:
            entries = asked_first(entries, patrol.start_of_today())
        self.more = len(entries) > self._most
        spoiled, site = patrol.spoiled(), patrol.site()
        clock = ZoneInfo(site.time_zone) if site is not None else None
        self._have_rows(min(len(entries), self._most))
        for row, entry in zip(self.rows, entries, strict=False):
            row.entry = entry
            row.plate = entry.body.get("plate") or gettext("No plate", lang)
            row.at = (
                ""
                if clock is None
                else short_instant(entry.observed_at, clock, lang, now=patrol.now())
            )
            row.detail = told_in_short(entry, lang, spoiled=entry.item.id in spoiled)
            row.tone, row.sign = work_look(entry.state)
            row.state_words = state_in_words(entry, lang)
        if entries:
            self.empty = ""
        elif text.strip():
            self.empty = gettext("Nothing is found.", lang)
        elif self.everything:
            self.empty = gettext("Nothing recorded on this device yet.", lang)
        else:
            self.empty = gettext("Nothing recorded today.", lang)

    def _have_rows(self, count: int) -> None:
        """So many rows; those that are there stay where they are."""
        box = self.ids.entries
        while len(self.rows) > count:
            box.remove_widget(self.rows.pop())
        while len(self.rows) < count:
            row = WorkRow()
            row.bind(on_release=lambda row: self.open(row.entry))
            self.rows.append(row)
            box.add_widget(row)

    def synced(self) -> None:
        self.refresh()

    def open(self, entry: Entry) -> None:
        self.app.screens.get_screen("entry").begin(entry)
        self.app.go("entry")


def told_in_short(entry: Entry, lang: str, *, spoiled: bool) -> str:
    """The codes and the number, on one line."""
    parts = [", ".join(entry.body.get("codes", ()))]
    if entry.number is not None:
        parts.append(gettext("No. {number}", lang).format(number=entry.number))
    if spoiled:
        parts.append(gettext("spoiled", lang))
    return " · ".join(filter(None, parts))


def state_in_words(entry: Entry, lang: str) -> str:
    """The state, and why."""
    words = work_state(entry.state, lang, photos=entry.photos_waiting)
    reason = work_reason(entry.state, entry.reason, lang)
    if not reason:
        return words
    return gettext("{state}: {reason}", lang).format(state=words, reason=reason)


class EntryScreen(PatrolScreen):
    """All that was recorded of one infraction, what became of it, and what can be done about it."""

    entry = ObjectProperty(None, allownone=True)
    title = StringProperty("")
    asked = StringProperty("")
    """What the supervisor asks."""
    asked_by = StringProperty("")
    answered = StringProperty("")
    may_answer = BooleanProperty(False)
    may_void = BooleanProperty(False)
    void_until = StringProperty("")
    may_spoil = BooleanProperty(False)
    may_show = BooleanProperty(False)
    busy = BooleanProperty(False)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.thumbnails = Thumbnails()
        self.stock: list[Choice] = []
        self._shown: object = None
        self._grace: Any = None

    def begin(self, entry: Entry) -> None:
        """Look at this one."""
        self.entry = entry
        self.busy, self._shown = False, None
        self.ids.answer.text = ""
        self.thumbnails.textures.clear()
        glide_to_top(self.ids.scroll)

    def on_pre_enter(self, *_: Any) -> None:
        super().on_pre_enter()
        self._grace = Clock.schedule_interval(lambda _: self._show_grace(), GRACE_EVERY)

    def leave(self) -> None:
        if self._grace is not None:
            self._grace.cancel()

    def refresh(self) -> None:
        if self.entry is None:
            return
        # What was recorded stays; what became of it is looked up anew.
        self.entry = self.patrol.entry(self.entry.item.id) or self.entry
        lang, entry = self.app.lang, self.entry
        is_issued = entry.body["outcome"] == "warning" or entry.number is not None
        self.may_show = is_issued and self.app.screens.has_screen("notice")
        spoilable = self.patrol.spoilable()
        self.may_spoil = spoilable is not None and spoilable.id == entry.item.id
        self._show_grace()
        shown = (lang, entry, self.may_spoil)
        if shown == self._shown:
            return  # what a finger is on stays where it is
        self._shown = shown
        plate = entry.body.get("plate")
        where = short_jurisdiction(entry.body["jurisdiction"])
        self.title = f"{plate} · {where}" if plate else gettext("No plate", lang)
        band = self.ids.state
        band.tone, band.sign = work_look(entry.state)
        band.title = work_state(entry.state, lang, photos=entry.photos_waiting)
        band.detail = work_reason(entry.state, entry.reason, lang)
        self._show_question(lang)
        self._fill(self.ids.facts, self._facts(lang))
        self._fill(self.ids.history, self._history(lang))
        self.show_photos()

    def synced(self) -> None:
        self.refresh()

    def _fill(self, box: Any, facts: Sequence[tuple[str, str]]) -> None:
        box.clear_widgets()
        for name, value in facts:
            if value:
                box.add_widget(Fact(name=name, value=value))

    # what was recorded

    def _clock(self) -> ZoneInfo | None:
        site = self.patrol.site()
        return ZoneInfo(site.time_zone) if site is not None else None

    def _when(self, at: Any, lang: str) -> str:
        clock = self._clock()
        return "" if clock is None else instant(at, clock, lang, now=self.patrol.now())

    def _facts(self, lang: str) -> list[tuple[str, str]]:
        body, patrol = self.entry.body, self.patrol
        site, zones = patrol.site(), patrol.zones()
        titles = {code.id: localized(code.title, lang) for code in patrol.codes()}
        issued = outcome_words(body["outcome"], site.instrument if site else "avis", lang)
        if body.get("no_issue_reason"):
            issued += f"\n{no_issue_reason(body['no_issue_reason'], lang)}"
        codes = "\n".join(
            " · ".join(filter(None, (code, titles.get(code)))) for code in body.get("codes", ())
        )
        number = self.entry.number or ""
        if number and self.entry.item.id in patrol.spoiled():
            number += "\n" + gettext("spoiled", lang)
        zone, vehicle = zones.get(body["zone"]), body.get("vehicle") or {}
        lot = {lot.id: localized(lot.name, lang) for lot in patrol.lots()}.get(body.get("lot"), "")
        verdict, raw = body.get("verdict"), body.get("plate_raw") or ""
        missing = body.get("plate_missing_reason")
        return [
            (gettext("Plate", lang), plate_missing_reason(missing, lang) if missing else ""),
            (gettext("Outcome", lang), issued),
            (gettext("Number", lang), number),
            (gettext("Code", lang), codes),
            (gettext("Verdict", lang), verdict_word(verdict, lang) if verdict else ""),
            (gettext("Observed", lang), self._when(self.entry.observed_at, lang)),
            (gettext("Zone", lang), zone_title(zone, lang) if zone else body["zone"]),
            (gettext("Lot", lang), lot),
            (gettext("Place", lang), body.get("place") or ""),
            (
                gettext("Vehicle", lang),
                " · ".join(filter(None, (vehicle.get("colour"), vehicle.get("make")))),
            ),
            (gettext("As it was read", lang), raw if raw != body.get("plate") else ""),
            (gettext("Patroller", lang), body["patroller"]),
            (gettext("Note", lang), body.get("note") or ""),
        ]

    def _history(self, lang: str) -> list[tuple[str, str]]:
        """What happened to it and when, as far as this device knows."""
        entry, item = self.entry, self.entry.item
        told = [(item.put_at, gettext("Recorded", lang))]
        if item.answered_at is not None:
            words = "refused" if item.state == "set_aside" else "received"
            told.append((item.answered_at, work_state(words, lang)))
        if entry.question is not None:
            told.append((entry.question.at, gettext("Question", lang)))
        if entry.answered_at is not None:
            told.append((entry.answered_at, gettext("Answered", lang)))
        return [(self._when(at, lang), words) for at, words in sorted(told)]

    def show_photos(self) -> None:
        box = self.ids.photos
        box.clear_widgets()
        for photo in self.patrol.photos_taken(self.entry):
            box.add_widget(Factory.StillPicture(texture=self.thumbnails.of(photo, self)))

    # what is asked

    def _show_question(self, lang: str) -> None:
        entry = self.entry
        self.may_answer = entry.state == "question"
        self.asked = self.asked_by = self.answered = ""
        if entry.question is not None:
            when = self._when(entry.question.at, lang)
            self.asked_by = " · ".join(filter(None, (entry.question.sender, when)))
            self.asked = entry.question.text
        if entry.answer:
            self.answered = entry.answer
        box = self.ids.stock
        box.clear_widgets()
        self.stock = []
        for words in stock_answers(lang) if self.may_answer else ():
            row = Choice(sign="plus", title=words)
            row.bind(on_release=lambda row: self._add_phrase(row.title))
            self.stock.append(row)
            box.add_widget(row)

    def _add_phrase(self, words: str) -> None:
        before = self.ids.answer.text.strip()
        self.ids.answer.text = f"{before} {words}".strip()

    def send_answer(self) -> None:
        """Tell the supervisor; the service hears of it at the next sync."""
        entry, text = self.entry, self.ids.answer.text
        if not text.strip():
            return

        def answered() -> None:
            self.ids.answer.text = ""
            self.app.sync_now()

        self.app.save(lambda: self.patrol.answer(entry, text), answered)

    # what can be done

    def _show_grace(self) -> None:
        entry, clock = self.entry, self._clock()
        self.may_void = self.patrol.may_void(entry) and not self.busy
        self.void_until = ""
        if self.may_void and clock is not None:
            until = hh_mm(self.patrol.voidable_until(entry), clock)
            words = gettext("You can void it until {time}.", self.app.lang)
            self.void_until = words.format(time=until)

    def ask_void(self) -> None:
        lang, entry = self.app.lang, self.entry
        number = entry.number
        words = gettext("The supervisor sees it and why.", lang)
        if number is not None:
            words = gettext("No. {number} stays accounted for; it is not used again.", lang)
            words = words.format(number=number)
        ReasonSheet(
            [(reason, void_reason(reason, lang)) for reason in VOID_REASONS],
            lambda reason: self._void(entry, reason),
            title=gettext("Why is it void?", lang),
            words=words,
            confirm=gettext("Void it", lang),
        ).open()

    def _void(self, entry: Entry, reason: str) -> None:
        self.busy = True
        self._show_grace()

        def done(_: None) -> None:
            self.busy = False
            self.refresh()
            self.app.sync_now()

        def failed(error: Exception) -> None:
            self.busy = False
            self.refresh()
            lang = self.app.lang
            words = gettext("The change could not be saved: is the storage full?", lang)
            if isinstance(error, TooLate):
                words = gettext("It is too late to void it here: ask a supervisor.", lang)
            Alert(words=words, close=gettext("Close", lang)).open()

        self.app.workers.write(lambda: self.patrol.void(entry, reason), done, failed)

    def ask_spoil(self) -> None:
        """Why the number is of no use."""
        lang, item = self.app.lang, self.entry.item
        title = gettext("Why was No. {number} not used?", lang).format(number=self.entry.number)
        ReasonSheet(
            [(reason, spoil_reason(reason, lang)) for reason in SPOIL_REASONS],
            lambda reason: self.app.save(
                lambda: self.patrol.spoil(item, reason), self.app.sync_now
            ),
            title=title,
            words=gettext("It stays accounted for; it is not used again.", lang),
            confirm=gettext("This number was not used", lang),
        ).open()

    def show_again(self) -> None:
        """The notice over the whole screen, under the number that it has."""
        notices, infraction = self.app.handheld.notices, self.entry.item.id
        self.app.screens.get_screen("notice").begin(lambda: notices.sheet(infraction), back="entry")
        self.app.go("notice")

    def print_again(self) -> None:
        """On paper once more; no new number is taken."""
        self.app.print_notice(self.entry.item.id)
