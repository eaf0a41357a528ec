"""One photo large: what it shows, and out with it if it is of no use."""

from __future__ import annotations

import io
from typing import Any

from kivy.core.image import Image as CoreImage
from kivy.properties import ObjectProperty, StringProperty

from handheld_app.controls import Action, PatrolScreen
from handheld_app.drafts import Draft
from handheld_app.evidence import WANTED, Photo, Shows, thumbnail
from handheld_app.wording import photo_shows

LARGE = 1200
"""Pixels of the longer side."""


class PhotoScreen(PatrolScreen):
    """The original stays as it was taken; only what is said of it changes."""

    texture = ObjectProperty(None, allownone=True)
    back = StringProperty("infraction")
    draft: Draft | None = None
    photo: Photo | None = None

    def begin(self, draft: Draft, photo: Photo, *, back: str = "infraction") -> None:
        self.draft, self.photo, self.back = draft, photo, back
        self.texture = None
        self.app.workers.picture(
            lambda: thumbnail(photo.path, LARGE), lambda png: self._made(photo, png)
        )

    def _made(self, photo: Photo, png: bytes) -> None:
        if photo == self.photo:
            self.texture = CoreImage(io.BytesIO(png), ext="png").texture

    def refresh(self) -> None:
        if self.photo is None:
            return
        box = self.ids.labels
        box.clear_widgets()
        self.labels: dict[str, Action] = {}
        for shows in (*WANTED, "other"):
            key = Action(text=photo_shows(shows, self.app.lang), primary=shows == self.photo.shows)
            key.padding = (4, 0)
            key.bind(on_release=lambda _, shows=shows: self.label(shows))
            self.labels[shows] = key
            box.add_widget(key)

    def label(self, shows: Shows) -> None:
        """It shows this."""
        assert self.draft is not None
        assert self.photo is not None
        self.draft.label_photo(self.photo, shows)
        sha256 = self.photo.sha256
        self.photo = next(photo for photo in self.draft.photos if photo.sha256 == sha256)
        self._changed()
        self.refresh()

    def take_out(self) -> None:
        """Leave it out after all."""
        assert self.draft is not None
        assert self.photo is not None
        self.draft.remove_photo(self.photo)
        self._changed()
        self.app.go(self.back)

    def _changed(self) -> None:
        infraction: Any = self.app.screens.get_screen("infraction")
        infraction.changed()
