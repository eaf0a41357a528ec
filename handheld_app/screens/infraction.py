"""Record an infraction: codes, outcome, photos, note; then a last look."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from kivy.core.image import Image as CoreImage
from kivy.factory import Factory
from kivy.metrics import dp
from kivy.properties import BooleanProperty, ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.relativelayout import RelativeLayout

from handheld_app.controls import Action, Caption, Choice, Fact, Notice, PatrolScreen, glide_to_top
from handheld_app.drafts import Draft, Sighting, Unjudged
from handheld_app.evidence import Photo, PhotoRefused, thumbnail
from handheld_app.patrol import NO_ISSUE_REASONS, PLATE_MISSING_REASONS, Recorded
from handheld_app.wording import (
    age_of_knowledge,
    caution,
    draft_told,
    gettext,
    instant,
    lack,
    localized,
    no_issue_reason,
    outcome_short,
    outcome_words,
    photo_refused,
    photos_title,
    plate_missing_reason,
    short_jurisdiction,
    vehicle_seen,
    verdict_look,
    verdict_word,
    warning_in_full,
    zone_title,
)

OUTCOMES = ("notice", "warning", "no_issue")
THUMBNAIL = 240
"""Pixels of the longer side of a photo on these screens."""


class Summary(BoxLayout):
    """The plate and its verdict, small."""

    plate = StringProperty("")
    word = StringProperty("")
    sign = StringProperty("")
    tone = StringProperty("idle")

    def tell(self, draft: Draft, screen: Any) -> None:
        """Show what the infraction is about."""
        lang = screen.app.lang
        self.word, self.sign, self.tone = "", "infraction", "idle"
        if draft.plate is None:
            self.plate = gettext("No plate", lang)
            return
        self.plate = f"{draft.plate.text} · {short_jurisdiction(draft.plate.jurisdiction)}"
        if draft.sighting is None:
            self.word = gettext("No verdict", lang)
            return
        self.word = verdict_word(draft.sighting.verdict, lang)
        self.tone, self.sign = verdict_look(draft.sighting.verdict)


class Snapshot(RelativeLayout):
    """A photo of the draft, with the button that takes it out."""

    texture = ObjectProperty(None, allownone=True)


class Thumbnails:
    """Small pictures of the photos, made on another thread and kept while drafting."""

    def __init__(self) -> None:
        self.textures: dict[str, Any] = {}

    def of(self, photo: Photo, screen: Any) -> Any:
        """The texture, or None now and a refresh of the screen later."""
        if photo.sha256 not in self.textures:
            self.textures[photo.sha256] = None
            screen.app.workers.picture(
                lambda: thumbnail(photo.path, THUMBNAIL),
                lambda png: self._made(photo.sha256, png, screen),
            )
        return self.textures[photo.sha256]

    def _made(self, sha256: str, png: bytes, screen: Any) -> None:
        self.textures[sha256] = CoreImage(io.BytesIO(png), ext="png").texture
        screen.show_photos()


class InfractionScreen(PatrolScreen):
    """What happened, in one list that can be filled from top to bottom."""

    draft = ObjectProperty(None, allownone=True)
    all_codes = BooleanProperty(False)
    trouble = StringProperty("")
    trouble_tone = StringProperty("bad")
    photos_title = StringProperty("")
    warning = StringProperty("")
    told = StringProperty("")
    """That it came back after a restart, or goes on although the device was revoked."""
    restored = BooleanProperty(False)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.thumbnails = Thumbnails()

    def leave(self) -> None:
        if self.draft is not None:
            self.draft.note = self.ids.note.text

    def begin(self, sighting: Sighting | None, unjudged: Unjudged | None = None) -> None:
        """A new infraction, with what the verdict suggests."""
        self.resume(self.patrol.draft(sighting, unjudged))

    def resume(self, draft: Draft, *, restored: bool = False) -> None:
        """Go on with an infraction that was begun elsewhere, or before a restart."""
        self.draft, self.restored = draft, restored
        self.all_codes = not draft.codes
        self.thumbnails.textures.clear()
        self.ids.note.text = draft.note
        glide_to_top(self.ids.scroll)

    def synced(self) -> None:
        self._tell()

    def _tell(self) -> None:
        told = [what for what in ("restored",) if self.restored]
        if self.app.status.connection == "revoked":
            told.append("revoked")
        self.told = " ".join(draft_told(what, self.app.lang) for what in told)

    def refresh(self) -> None:
        if self.draft is None:
            return
        self.ids.summary.tell(self.draft, self)
        self._tell()
        warnings, left = self.patrol.warnings(), self.patrol.numbers_left()
        self.warning = warning_in_full(warnings[0], self.app.lang, left=left) if warnings else ""
        self._show_codes()
        self._show_outcomes()
        self._show_reasons()
        self.show_photos()

    def _show_codes(self) -> None:
        lang, box = self.app.lang, self.ids.codes
        box.clear_widgets()
        self.code_rows: dict[str, Choice] = {}
        for code in self.patrol.codes_for(self.draft):
            chosen = code.id in self.draft.codes
            if not (chosen or self.all_codes):
                continue
            row = Choice(
                sign="ticked" if chosen else "unticked",
                title=f"{code.id} · {localized(code.title, lang)}",
                selected=chosen,
            )
            row.bind(on_release=lambda _, id=code.id: self.toggle_code(id))
            self.code_rows[code.id] = row
            box.add_widget(row)

    def toggle_code(self, code: str) -> None:
        codes = self.draft.codes
        if code in codes:
            codes.remove(code)
        else:
            codes.append(code)
        if not codes:
            self.all_codes = True
        self._show_codes()
        self.show_photos()

    def show_all_codes(self) -> None:
        self.all_codes = not self.all_codes
        self._show_codes()

    def _show_outcomes(self) -> None:
        instrument = self.draft.site.instrument if self.draft.site else "avis"
        box = self.ids.outcomes
        box.clear_widgets()
        self.outcome_keys: dict[str, Action] = {}
        for outcome in OUTCOMES:
            key = Action(
                text=outcome_short(outcome, instrument, self.app.lang),
                primary=self.draft.outcome == outcome,
            )
            key.size_hint_x = 0.7 + 0.05 * len(key.text)
            key.padding = (dp(4), 0)
            key.bind(on_release=lambda _, outcome=outcome: self.choose_outcome(outcome))
            self.outcome_keys[outcome] = key
            box.add_widget(key)

    def choose_outcome(self, outcome: str) -> None:
        self.draft.decide(outcome)
        self._show_outcomes()
        self._show_reasons()
        self.show_photos()

    def _show_reasons(self) -> None:
        lang, box = self.app.lang, self.ids.reasons
        box.clear_widgets()
        self.reason_rows: dict[str, Choice] = {}
        if self.draft.plate is None:
            box.add_widget(Caption(text=gettext("Why there is no plate", lang)))
            for reason in PLATE_MISSING_REASONS:
                words = plate_missing_reason(reason, lang)
                self._add_reason(reason, words, "plate_missing_reason")
        if self.draft.outcome == "no_issue":
            box.add_widget(Caption(text=gettext("Why nothing is issued", lang)))
            for reason in NO_ISSUE_REASONS:
                self._add_reason(reason, no_issue_reason(reason, lang), "no_issue_reason")

    def _add_reason(self, reason: str, words: str, field: str) -> None:
        chosen = getattr(self.draft, field) == reason
        row = Choice(sign="chosen" if chosen else "open", title=words, selected=chosen)
        row.bind(on_release=lambda _: self._choose_reason(field, reason))
        self.reason_rows[reason] = row
        self.ids.reasons.add_widget(row)

    def _choose_reason(self, field: str, reason: str) -> None:
        setattr(self.draft, field, reason)
        self._show_reasons()

    # photos

    def show_photos(self) -> None:
        lang, box = self.app.lang, self.ids.photos
        required, taken = self.patrol.photos_required(self.draft), len(self.draft.photos)
        self.photos_title = photos_title(taken, required, lang)
        pending, refused = self.draft.photos_pending, self.draft.photo_refused
        self.trouble_tone = "wait" if pending else "bad"
        if pending:
            self.trouble = lack("photo_pending", lang)
        else:
            self.trouble = photo_refused(refused, lang) if refused else ""
        box.clear_widgets()
        for photo in self.draft.photos:
            picture = Snapshot(texture=self.thumbnails.of(photo, self))
            picture.ids.take_out.bind(on_release=lambda _, photo=photo: self.remove_photo(photo))
            box.add_widget(picture)

    def add_photo(self) -> None:
        self.app.take_photo("infraction")

    def take(self, source: Path) -> None:
        """Keep the chosen picture file as evidence."""
        draft = self.draft
        draft.expect_photo()
        self.show_photos()

        def kept(photo: Photo) -> None:
            draft.keep_photo(photo)
            self._photo_settled(draft)

        def refused(error: Exception) -> None:
            draft.miss_photo(error.reason if isinstance(error, PhotoRefused) else "not_kept")
            self._photo_settled(draft)

        self.app.workers.write(lambda: self.patrol.take_photo(source), kept, refused)

    def _photo_settled(self, draft: Draft) -> None:
        """Tell it where that infraction is looked at."""
        for screen in (self, self.app.screens.get_screen("lastlook")):
            if screen.draft is draft:
                screen.photos_changed()

    def photos_changed(self) -> None:
        self.show_photos()

    def remove_photo(self, photo: Photo) -> None:
        self.draft.remove_photo(photo)
        self.show_photos()

    def review(self) -> None:
        self.draft.note = self.ids.note.text
        self.app.screens.get_screen("lastlook").begin(self.draft, self.thumbnails)
        self.app.go("lastlook")


class LastLookScreen(PatrolScreen):
    """Exactly what will be recorded, what to think of first, and the button that does it."""

    draft = ObjectProperty(None, allownone=True)
    may_record = BooleanProperty(False)
    busy = BooleanProperty(False)
    failed = BooleanProperty(False)

    def begin(self, draft: Draft, thumbnails: Thumbnails) -> None:
        self.draft, self.thumbnails = draft, thumbnails
        self.failed = False
        glide_to_top(self.ids.scroll)

    def refresh(self) -> None:
        if self.draft is None:
            return
        self.ids.summary.tell(self.draft, self)
        self._show_cautions()
        self._show_facts()
        self.show_photos()

    def _show_cautions(self) -> None:
        lang, box, patrol = self.app.lang, self.ids.cautions, self.patrol
        box.clear_widgets()
        self.stale_row: Choice | None = None
        if self.failed:
            words = gettext("It could not be recorded: is the storage full?", lang)
            box.add_widget(Notice(text=words, tone="bad"))
        if self.draft.photo_refused:
            words = photo_refused(self.draft.photo_refused, lang)
            box.add_widget(Notice(text=words, tone="bad"))
        age = age_of_knowledge(patrol.known_at(self.draft), lang, now=patrol.now())
        verdict = patrol.verdict_now(self.draft)
        word = verdict_word(verdict, lang) if verdict else ""
        for what in patrol.cautions(self.draft):
            words = caution(what, lang, age=age, verdict=word)
            box.add_widget(Notice(text=words, tone="wait"))
            if what == "stale":
                self._add_stale_row(box, lang)
        lacks = patrol.lacks(self.draft)
        for what in lacks:
            if what != "stale":
                missing = patrol.photos_required(self.draft) - len(self.draft.photos)
                words = lack(what, lang, photos=missing)
                box.add_widget(Notice(text=words, tone="bad"))
            if what == "sign_in":
                self._add_sign_in(box, lang)
        self.may_record = not lacks

    def _add_sign_in(self, box: Any, lang: str) -> None:
        self.sign_in = Action(text=gettext("Sign in", lang), primary=True)
        self.sign_in.bind(on_release=lambda _: self.app.ask_who("lastlook"))
        box.add_widget(self.sign_in)

    def _add_stale_row(self, box: Any, lang: str) -> None:
        accepted = self.draft.stale_accepted
        row = Choice(
            sign="ticked" if accepted else "unticked",
            title=gettext("I have considered the age of the data", lang),
            selected=accepted,
        )
        row.bind(on_release=lambda _: self.accept_stale())
        self.stale_row = row
        box.add_widget(row)

    def accept_stale(self) -> None:
        self.draft.stale_accepted = not self.draft.stale_accepted
        self._show_cautions()

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
            (gettext("Vehicle", lang), self._vehicle(lang)),
            (gettext("Patroller", lang), who.called if who else ""),
            (gettext("Note", lang), draft.note.strip()),
        ]
        if draft.plate_missing_reason and draft.plate is None:
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

    def _vehicle(self, lang: str) -> str:
        draft = self.draft
        if draft.sighting is None or draft.site is None:
            return ""
        return vehicle_seen(draft.sighting.check, draft.site, lang)

    def show_photos(self) -> None:
        box = self.ids.photos
        box.clear_widgets()
        for photo in self.draft.photos:
            box.add_widget(Factory.StillPicture(texture=self.thumbnails.of(photo, self)))

    def photos_changed(self) -> None:
        self._show_cautions()
        self.show_photos()

    def may_leave(self) -> bool:
        """What is being recorded is not changed any more."""
        return not self.busy

    def record(self) -> None:
        if self.busy or not self.may_record:
            return
        self.busy, self.failed = True, False
        frozen = self.draft.frozen()
        self.app.workers.write(
            lambda: self.patrol.record(frozen), self._recorded, self._not_recorded
        )

    def _recorded(self, recorded: Recorded) -> None:
        self.busy = False
        self.app.recorded(self.draft, recorded)

    def _not_recorded(self, error: Exception) -> None:
        self.busy, self.failed = False, True
        self._show_cautions()
