"""Record an infraction: codes, outcome, photos, vehicle, place, note; all in one list.

The verdict fills in what it can, so that three touches are enough: Infraction, Last look, Issue.
Whatever is given is in the notebook a moment later: a restart loses nothing of it.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from kivy.clock import Clock
from kivy.core.image import Image as CoreImage
from kivy.metrics import dp
from kivy.properties import BooleanProperty, ObjectProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout
from PIL.Image import Image

from handheld_app.controls import Action, Caption, Choice, PatrolScreen, Question, glide_to_top
from handheld_app.drafts import Draft, PlateSource, Sighting, Unjudged, as_json
from handheld_app.evidence import Photo, PhotoRefused, Shows, thumbnail
from handheld_app.patrol import NO_ISSUE_REASONS, PLATE_MISSING_REASONS
from handheld_app.screens.pick import Offer
from handheld_app.stock import COLOURS, MAKES, PHRASES, kept_colour, shown_colour
from handheld_app.wording import (
    draft_told,
    gettext,
    lack,
    no_issue_reason,
    outcome_short,
    photo_refused,
    photo_shows,
    photos_title,
    position_words,
    verdict_look,
    verdict_word,
    warning_in_full,
)
from sync.entities import Vehicle
from sync.wording import localized, plate_missing_reason, short_jurisdiction

OUTCOMES = ("notice", "warning", "no_issue")
THUMBNAIL = 240
"""Pixels of the longer side of a photo on these screens."""
KEPT_WITHIN = 0.3
"""Seconds after which what was given is on its way to the notebook."""


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


class Snapshot(ButtonBehavior, BoxLayout):
    """A photo of the draft and what it shows; touched, it is seen large."""

    texture = ObjectProperty(None, allownone=True)
    shows = StringProperty("")
    faces = BooleanProperty(False)


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

    def snapshots(self, draft: Draft, screen: Any) -> list[Snapshot]:
        """The draft's photos as they are shown, each with what it shows under it."""
        return [
            Snapshot(
                texture=self.of(photo, screen),
                shows=photo_shows(photo.shows, screen.app.lang),
                faces=bool(photo.faces),
            )
            for photo in draft.photos
        ]


class InfractionScreen(PatrolScreen):
    """What happened, in one list that can be filled from top to bottom."""

    draft = ObjectProperty(None, allownone=True)
    all_codes = BooleanProperty(False)
    trouble = StringProperty("")
    trouble_tone = StringProperty("bad")
    photos_title = StringProperty("")
    photos_wanted = BooleanProperty(False)
    """Whether the codes ask for more photos than there are."""
    warning = StringProperty("")
    make = StringProperty("")
    colour = StringProperty("")
    lot = StringProperty("")
    position = StringProperty("")
    told = StringProperty("")
    """That it came back after a restart, or goes on although the device was revoked."""
    restored = BooleanProperty(False)
    unkept = BooleanProperty(False)
    """Whether the disk does not take what is given."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.thumbnails = Thumbnails()
        self._keep_soon = Clock.create_trigger(lambda _: self.keep_now(), KEPT_WITHIN)
        self._begun: Any = None
        self._filling = False
        self._enough: int | None = None

    # the draft

    def begin(
        self,
        sighting: Sighting | None,
        unjudged: Unjudged | None = None,
        *,
        source: PlateSource = "typed",
    ) -> None:
        """A new infraction, with what the verdict suggests. `source`: how the plate was read."""
        self.resume(self.patrol.draft(sighting, unjudged, source=source))
        self._begun = as_json(self.draft)
        self._keep_soon()

    def resume(self, draft: Draft, *, restored: bool = False) -> None:
        """Go on with an infraction that was begun elsewhere, or before a restart."""
        self.draft, self.restored = draft, restored
        self._begun, self.unkept = None, False
        self.all_codes = not draft.codes
        self.thumbnails.textures.clear()
        self._fill()
        glide_to_top(self.ids.scroll)

    def synced(self) -> None:
        self._tell()

    def _tell(self) -> None:
        told = [what for what in ("restored",) if self.restored]
        if self.app.status.connection == "revoked":
            told.append("revoked")
        self.told = " ".join(draft_told(what, self.app.lang) for what in told)

    def _fill(self) -> None:
        self._filling = True
        self.ids.note.text, self.ids.place.text = self.draft.note, self.draft.place
        self._filling = False

    def typed(self) -> None:
        """The note or the place was changed."""
        if self.draft is not None and not self._filling:
            self.draft.note, self.draft.place = self.ids.note.text, self.ids.place.text
            self.changed()

    def changed(self) -> None:
        """Something was given: it is kept soon."""
        self._keep_soon()

    def keep_now(self) -> None:
        """Keep what was given so far, on another thread."""
        self._keep_soon.cancel()
        if self.draft is None:
            return
        frozen = self.draft.frozen()
        self.app.workers.write(
            lambda: self.patrol.keep_draft(frozen),
            lambda _: self._kept(unkept=False),
            lambda error: self._kept(unkept=True),
        )

    def _kept(self, *, unkept: bool) -> None:
        if unkept != self.unkept:
            self.unkept = unkept
            self._show_warning()

    def finish(self) -> None:
        """It was recorded, or given up: nothing of it is kept any more."""
        self._keep_soon.cancel()
        self.draft = None

    def leave(self) -> None:
        if self._keep_soon.is_triggered:
            self.keep_now()

    def give_up(self, back: str) -> None:
        """Go back to checking; what was given is thrown away only if somebody says so."""
        if self._begun is not None and self._begun == as_json(self.draft):
            self._drop(back)
            return
        lang = self.app.lang
        self.question = Question(
            words=gettext("What was recorded of this infraction so far would be lost.", lang),
            yes=gettext("Abandon it", lang),
            no=gettext("Go on recording", lang),
            do=lambda: self._drop(back),
        )
        self.question.open()

    def _drop(self, back: str) -> None:
        draft = self.draft
        self.finish()
        self.app.workers.write(
            lambda: self.patrol.drop_draft(draft), lambda _: None, lambda error: None
        )
        self.app.go(back)

    # showing

    def refresh(self) -> None:
        if self.draft is None:
            return
        if self.draft.position is None:
            self.draft.position = self.patrol.position()
        self.ids.summary.tell(self.draft, self)
        self._tell()
        self._show_warning()
        self._show_codes()
        self._show_outcomes()
        self._show_reasons()
        self._show_vehicle()
        self._show_place()
        self.show_photos()

    def _show_warning(self) -> None:
        lang = self.app.lang
        warnings, left = self.patrol.warnings(), self.patrol.numbers_left()
        self.warning = warning_in_full(warnings[0], lang, left=left) if warnings else ""
        if self.unkept:
            self.warning = gettext(
                "What you type cannot be kept against a restart: is the storage full?", lang
            )

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
        self.changed()
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
        self.changed()
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
        self.changed()
        self._show_reasons()

    # the vehicle and where it stands

    def _show_vehicle(self) -> None:
        vehicle, lang = self.draft.vehicle, self.app.lang
        self.make = (vehicle and vehicle.make) or ""
        self.colour = shown_colour(vehicle and vehicle.colour, lang)

    def _show_place(self) -> None:
        lots = {lot.id: lot.name for lot in self.patrol.lots()}
        self.lot = lots.get(self.draft.lot, self.draft.lot or "")
        self.position = position_words(self.draft.position, self.app.lang)

    def _describe(self, **changes: str | None) -> None:
        vehicle = replace(self.draft.vehicle or Vehicle(None, None), **changes)
        self.draft.vehicle = vehicle if vehicle.make or vehicle.colour else None
        self.changed()

    def pick_make(self) -> None:
        self._pick(
            lambda lang: Offer(
                gettext("Make of the vehicle", lang),
                {make: make for make in MAKES},
                gettext("Another make", lang),
            ),
            take=lambda make: self._describe(make=make or None),
            chosen=self.make,
        )

    def pick_colour(self) -> None:
        vehicle = self.draft.vehicle
        self._pick(
            lambda lang: Offer(
                gettext("Colour of the vehicle", lang),
                {kept_colour(each): gettext(each, lang) for each in COLOURS},
                gettext("Another colour", lang),
            ),
            take=lambda colour: self._describe(colour=colour or None),
            chosen=(vehicle and vehicle.colour) or "",
        )

    def pick_lot(self) -> None:
        zone = self.draft.zone
        lots = [lot for lot in self.patrol.lots() if zone is None or lot.zone in (None, zone.id)]
        self._pick(
            lambda lang: Offer(gettext("Lot", lang), {lot.id: lot.name for lot in lots}),
            take=self._take_lot,
            chosen=self.draft.lot or "",
        )

    def _take_lot(self, lot: str) -> None:
        self.draft.lot = lot or None
        self.changed()

    def pick_phrase(self) -> None:
        self._pick(
            lambda lang: Offer(
                gettext("Add to the note", lang), {each: gettext(each, lang) for each in PHRASES}
            ),
            take=self._add_phrase,
        )

    def _add_phrase(self, phrase: str) -> None:
        words = gettext(phrase, self.app.lang)
        self.draft.note = f"{self.draft.note.rstrip()} {words}".strip()
        self._fill()
        self.changed()

    def _pick(self, offer: Callable[[str], Offer], **how: Any) -> None:
        self.app.screens.get_screen("pick").begin(offer, back="infraction", **how)
        self.app.go("pick")

    # photos

    def show_photos(self) -> None:
        if self.draft is None:
            return
        lang, box = self.app.lang, self.ids.photos
        required, taken = self.patrol.photos_required(self.draft), len(self.draft.photos)
        self.photos_title = photos_title(taken, required, lang)
        pending, refused = self.draft.photos_pending, self.draft.photo_refused
        self.photos_wanted = taken + pending < required
        self.trouble_tone = "wait" if pending else "bad"
        if pending:
            self.trouble = lack("photo_pending", lang)
        else:
            self.trouble = photo_refused(refused, lang) if refused else ""
        box.clear_widgets()
        self.snapshots = self.thumbnails.snapshots(self.draft, self)
        for photo, picture in zip(self.draft.photos, self.snapshots, strict=True):
            picture.bind(on_release=lambda _, photo=photo: self.see(photo))
            box.add_widget(picture)

    def see(self, photo: Photo) -> None:
        """A photo large, to say what it shows or to take it out."""
        self.app.screens.get_screen("photo").begin(self.draft, photo)
        self.app.go("photo")

    def add_photo(self) -> None:
        """Take photos; where nothing else is lacking, the last one leads to the last look."""
        only_photos = self.patrol.lacks(self.draft) == ["photos"]
        self._enough = self.patrol.photos_required(self.draft) if only_photos else None
        self._show_camera()

    def retake(self, photos: list[Photo]) -> None:
        """Take these photos again, then look once more."""
        self._enough = len(self.draft.photos)
        for photo in photos:
            self.draft.remove_photo(photo)
        self.changed()
        self._show_camera()

    def _show_camera(self) -> None:
        self.app.take_photo("infraction")

    @property
    def has_enough(self) -> bool:
        """Whether the photos that were asked for are taken: it is time for the last look."""
        taken = len(self.draft.photos) + self.draft.photos_pending
        return self._enough is not None and taken >= self._enough

    def photos_done(self) -> None:
        """From the camera or the pictures, on to where the photos were wanted."""
        if self.has_enough:
            self.review()
        else:
            self.app.go("infraction")

    def next_shows(self) -> Shows:
        """What the next photo is to show."""
        return self.draft.next_shows() if self.draft is not None else "other"

    def shown(self) -> set[Shows]:
        """What there are photos of, also those that are still on their way."""
        if self.draft is None:
            return set()
        return {photo.shows for photo in self.draft.photos} | set(self.draft.expected)

    def photo_trouble(self, lang: str) -> tuple[str, str]:
        """What is to be said of the photos, and its tone."""
        if self.draft is None:
            return "", "bad"
        if self.draft.photo_refused:
            return photo_refused(self.draft.photo_refused, lang), "bad"
        return (lack("photo_pending", lang) if self.draft.photos_pending else ""), "wait"

    def take(self, source: Path) -> None:
        """Keep the chosen picture file as evidence, of what no photo shows yet."""
        shows = self.draft.next_shows()
        self._keep_photo(shows, lambda: self.patrol.take_photo(source, shows))

    def shoot(self, frame: Image, at: datetime, shows: Shows) -> None:
        """Keep what the camera saw at that instant."""
        self._keep_photo(shows, lambda: self.patrol.keep_frame(frame, at, shows))

    def _keep_photo(self, shows: Shows, keep: Callable[[], Photo]) -> None:
        draft = self.draft
        draft.expect_photo(shows)
        self.show_photos()

        def kept(photo: Photo) -> None:
            draft.keep_photo(photo)
            self._photo_settled(draft)

        def refused(error: Exception) -> None:
            reason = error.reason if isinstance(error, PhotoRefused) else "not_kept"
            draft.miss_photo(reason, shows)
            self._photo_settled(draft)

        self.app.workers.write(keep, kept, refused)

    def _photo_settled(self, draft: Draft) -> None:
        """Tell it where that infraction is looked at, and keep it with the rest."""
        for name in ("infraction", "lastlook"):
            screen = self.app.screens.get_screen(name)
            if screen.draft is draft:
                screen.photos_changed()
        self.app.screens.get_screen("capture").photos_changed()
        if self.draft is draft:
            self.keep_now()

    def photos_changed(self) -> None:
        self.show_photos()

    def review(self) -> None:
        self.app.screens.get_screen("lastlook").begin(self.draft, self.thumbnails)
        self.app.go("lastlook")
