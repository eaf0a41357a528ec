"""The last look: exactly what will be issued, what to think of first, and the button for it."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from kivy.clock import Clock
from kivy.properties import BooleanProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from handheld_app.controls import Action, Choice, Fact, Notice, PatrolScreen, glide_to_top
from handheld_app.drafts import Draft
from handheld_app.patrol import Recorded
from handheld_app.screens.infraction import Thumbnails
from handheld_app.stock import shown_colour
from handheld_app.wording import (
    age_of_knowledge,
    caution,
    faces_found,
    gettext,
    instant,
    lack,
    no_issue_reason,
    photo_refused,
    plate_source,
    position_words,
    verdict_look,
    verdict_word,
)
from sync.validity import Verdict
from sync.wording import localized, outcome_words, plate_missing_reason, zone_title

LOOK_EVERY = 1
"""Seconds after which it is looked whether something was learnt meanwhile."""


class Change(BoxLayout):
    """What the verdict has become since the check."""

    word = StringProperty("")
    sign = StringProperty("")
    tone = StringProperty("idle")
    words = StringProperty("")


class LastLookScreen(PatrolScreen):
    """Nothing is issued that was not read here, nor on a verdict that is not the newest."""

    draft = ObjectProperty(None, allownone=True)
    may_record = BooleanProperty(False)
    may_preview = BooleanProperty(False)
    issues = BooleanProperty(True)
    """Whether something is issued, or only recorded."""
    busy = BooleanProperty(False)
    failed = BooleanProperty(False)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._clock: Any = None
        self._told: Any = None
        self._insisted: Verdict | None = None

    def begin(self, draft: Draft, thumbnails: Thumbnails) -> None:
        self.draft, self.thumbnails = draft, thumbnails
        self.failed, self._insisted = False, None
        glide_to_top(self.ids.scroll)

    def on_pre_enter(self, *_: Any) -> None:
        super().on_pre_enter()
        self._clock = Clock.schedule_interval(lambda _: self.look_again(), LOOK_EVERY)

    def leave(self) -> None:
        if self._clock is not None:
            self._clock.cancel()

    def refresh(self) -> None:
        if self.draft is None:
            return
        self.ids.summary.tell(self.draft, self)
        self.issues = self.may_preview = self.draft.outcome != "no_issue"
        self._show_cautions()
        self._show_facts()
        self.show_photos()

    # what to think of

    def synced(self) -> None:
        """Something may have been learnt."""
        self.look_again()

    def look_again(self) -> bool:
        """Show what has changed since it was shown, also by itself; whether anything has. What has
        not stays under the finger that is on it.
        """
        if self.draft is None or self.busy or self._now() == self._told:
            return False
        glide_to_top(self.ids.scroll)
        self._show_cautions()
        self._show_facts()
        return True

    def _now(self) -> tuple[Any, ...]:
        """What the cautions are made of."""
        patrol, draft = self.patrol, self.draft
        return (
            patrol.verdict_now(draft),
            patrol.cautions(draft),
            patrol.lacks(draft),
            patrol.number_of(draft),
        )

    @property
    def became_valid(self) -> bool:
        """Whether the plate was not allowed here when it was checked, and is now."""
        sighting = self.draft.sighting
        return (
            self.issues
            and sighting is not None
            and sighting.verdict != "valid"
            and self.patrol.verdict_now(self.draft) == "valid"
        )

    def _show_cautions(self) -> None:
        lang, box, patrol = self.app.lang, self.ids.cautions, self.patrol
        self._told = self._now()
        verdict, cautions, lacks, _ = self._told
        box.clear_widgets()
        self.stale_row: Choice | None = None
        self.faces_row: Choice | None = None
        self.insist_row: Choice | None = None
        self.change: Change | None = None
        if "verdict_changed" in cautions and verdict is not None:
            self._add_change(box, verdict, lang)
        if self.failed:
            words = gettext("It could not be recorded: is the storage full?", lang)
            box.add_widget(Notice(text=words, tone="bad"))
        if self.draft.photo_refused:
            words = photo_refused(self.draft.photo_refused, lang)
            box.add_widget(Notice(text=words, tone="bad"))
        age = age_of_knowledge(patrol.known_at(self.draft), lang, now=patrol.now())
        word = verdict_word(verdict, lang) if verdict else ""
        for what in cautions:
            if what == "verdict_changed" or (what == "valid" and self.change is not None):
                continue
            words = caution(what, lang, age=age, verdict=word)
            box.add_widget(Notice(text=words, tone="wait"))
            if what == "stale":
                self.stale_row = self._add_tick(
                    box,
                    gettext("I have considered the age of the data", lang),
                    self.draft.stale_accepted,
                    self.accept_stale,
                )
        for what in lacks:
            if what != "stale":
                missing = patrol.photos_required(self.draft) - len(self.draft.photos)
                words = lack(what, lang, photos=missing)
                box.add_widget(Notice(text=words, tone="bad"))
            if what == "sign_in":
                self._add_sign_in(box, lang)
        if patrol.asks_about_faces(self.draft):
            self._add_faces(box, lang)
        self.may_record = not lacks and (not self.became_valid or self._insisted == verdict)

    def _add_change(self, box: Any, verdict: Verdict, lang: str) -> None:
        """The verdict that changed since the check; against a valid permit a word is needed."""
        tone, sign = verdict_look(verdict)
        words = gettext("The verdict has changed since the check.", lang)
        if self.became_valid:
            words = gettext(
                "Since the check, this plate has become valid here. Issue nothing, unless "
                "something else is wrong.",
                lang,
            )
        self.change = Change(word=verdict_word(verdict, lang), sign=sign, tone=tone, words=words)
        box.add_widget(self.change)
        if self.became_valid:
            self.insist_row = self._add_tick(
                box,
                gettext("Issue it all the same", lang),
                self._insisted == verdict,
                self.insist,
            )

    def _add_tick(self, box: Any, words: str, ticked: bool, tick: Any) -> Choice:
        row = Choice(sign="ticked" if ticked else "unticked", title=words, selected=ticked)
        row.bind(on_release=lambda _: tick())
        box.add_widget(row)
        return row

    def _add_sign_in(self, box: Any, lang: str) -> None:
        self.sign_in = Action(text=gettext("Sign in", lang), primary=True)
        self.sign_in.bind(on_release=lambda _: self.app.ask_who("lastlook"))
        box.add_widget(self.sign_in)

    def _add_faces(self, box: Any, lang: str) -> None:
        """Photos that show a face are taken again, or are needed as they are."""
        if not self.draft.faces_accepted:
            self.retake = Action(text=gettext("Take it again", lang), sign="camera")
            self.retake.bind(on_release=lambda _: self.take_again())
            box.add_widget(self.retake)
        self.faces_row = self._add_tick(
            box,
            gettext("Needed as evidence", lang),
            self.draft.faces_accepted,
            self.accept_faces,
        )

    def accept_stale(self) -> None:
        self.draft.stale_accepted = not self.draft.stale_accepted
        self._accepted()

    def accept_faces(self) -> None:
        self.draft.faces_accepted = not self.draft.faces_accepted
        self._accepted()

    def insist(self) -> None:
        """Issue although the plate is valid by now, or not after all."""
        now = self.patrol.verdict_now(self.draft)
        self._insisted = None if self._insisted == now else now
        self._show_cautions()

    def _accepted(self) -> None:
        self.app.screens.get_screen("infraction").changed()
        self._show_cautions()

    def take_again(self) -> None:
        faced = [photo for photo in self.draft.photos if photo.faces]
        self.app.screens.get_screen("infraction").retake(faced)

    # what will be issued

    def _show_facts(self) -> None:
        lang, draft = self.app.lang, self.draft
        box = self.ids.facts
        box.clear_widgets()
        titles = {code.id: localized(code.title, lang) for code in draft.known_codes}
        instrument = draft.site.instrument if draft.site else "avis"
        issued = outcome_words(draft.outcome, instrument, lang)
        if draft.outcome == "no_issue" and draft.no_issue_reason:
            issued += f"\n{no_issue_reason(draft.no_issue_reason, lang)}"
        codes = "\n".join(
            " · ".join(filter(None, (code, titles.get(code)))) for code in draft.codes
        )
        who = self.patrol.signed_in()
        facts = [
            (gettext("Outcome", lang), issued),
            (gettext("Number", lang), self.patrol.number_of(draft) or ""),
            (gettext("Code", lang), codes),
            (gettext("Observed", lang), self._observed(lang)),
            (gettext("Zone", lang), zone_title(draft.zone, lang) if draft.zone else ""),
            (gettext("Place", lang), self._place()),
            (gettext("Position", lang), position_words(draft.position, lang)),
            (gettext("Vehicle", lang), self._vehicle(lang)),
            (gettext("Patroller", lang), who.called if who else ""),
            (gettext("Note", lang), draft.note.strip()),
        ]
        if draft.plate is not None:
            facts.insert(3, (gettext("Plate", lang), plate_source(draft.source, lang)))
        elif draft.plate_missing_reason:
            reason = plate_missing_reason(draft.plate_missing_reason, lang)
            facts.insert(0, (gettext("Plate", lang), reason))
        for name, value in facts:
            if value:
                box.add_widget(Fact(name=name, value=value))

    def _observed(self, lang: str) -> str:
        """When: the instant of the check, which is what is recorded."""
        draft = self.draft
        at = draft.sighting.at if draft.sighting else draft.begun.corrected
        if draft.site is None:
            return ""
        return instant(at, ZoneInfo(draft.site.time_zone), lang, now=self.patrol.now())

    def _place(self) -> str:
        draft = self.draft
        lots = {lot.id: lot.name for lot in self.patrol.lots()}
        lot = lots.get(draft.lot, draft.lot or "")
        return "\n".join(filter(None, (lot, draft.place.strip())))

    def _vehicle(self, lang: str) -> str:
        vehicle = self.draft.vehicle
        if vehicle is None:
            return ""
        return " · ".join(filter(None, (vehicle.make, shown_colour(vehicle.colour, lang))))

    def preview(self) -> None:
        """The notice as it would be printed."""
        frozen = self.draft.frozen()
        notices = self.app.handheld.notices
        self.app.screens.get_screen("notice").begin(
            lambda: notices.preview(frozen), back="lastlook"
        )
        self.app.go("notice")

    def show_photos(self) -> None:
        box = self.ids.photos
        box.clear_widgets()
        if self.draft is None:
            return
        for photo, picture in zip(
            self.draft.photos, self.thumbnails.snapshots(self.draft, self), strict=True
        ):
            if photo.faces:
                picture.shows = faces_found(photo.faces, self.app.lang)
            picture.bind(on_release=lambda _, photo=photo: self.see(photo))
            box.add_widget(picture)

    def see(self, photo: Any) -> None:
        self.app.screens.get_screen("photo").begin(self.draft, photo, back="lastlook")
        self.app.go("photo")

    def photos_changed(self) -> None:
        self._show_cautions()
        self.show_photos()

    # issuing it

    def may_leave(self) -> bool:
        """What is being recorded is not changed any more."""
        return not self.busy

    def record(self) -> None:
        """Issue it, unless something was learnt since it was shown: then that is shown instead."""
        if self.busy or not self.may_record or self.look_again():
            return
        self.busy, self.failed = True, False
        infraction = self.app.screens.get_screen("infraction")
        infraction.keep_now()
        frozen = self.draft.frozen()
        self.app.workers.write(
            lambda: self.patrol.record(frozen), self._recorded, self._not_recorded
        )

    def _recorded(self, recorded: Recorded) -> None:
        self.busy = False
        draft, self.draft = self.draft, None
        self.app.screens.get_screen("infraction").finish()
        self.app.recorded(draft, recorded)

    def _not_recorded(self, error: Exception) -> None:
        self.busy, self.failed = False, True
        self._show_cautions()
