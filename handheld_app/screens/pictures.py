"""Choose a picture file: a photo that was taken otherwise, or where there is no camera."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kivy.core.image import Image as CoreImage
from kivy.properties import BooleanProperty, ObjectProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout

from handheld_app.controls import PatrolScreen, glide_to_top
from handheld_app.evidence import picture_files, thumbnail
from handheld_app.wording import no_camera, photo_wanted

MOST_SHOWN = 60
"""Rows of one folder; a patroller looks for a picture just taken, so the newest come first."""
THUMBNAIL = 160


class FileRow(ButtonBehavior, BoxLayout):
    """A folder or a picture."""

    name = StringProperty("")
    sign = StringProperty("")
    texture = ObjectProperty(None, allownone=True)


class PicturesScreen(PatrolScreen):
    """The folders and pictures of one folder; files are read on another thread."""

    folder = ObjectProperty(None, allownone=True)
    where = StringProperty("")
    empty = BooleanProperty(False)
    taker = StringProperty("infraction")
    """The screen that the picture is for."""
    title = StringProperty("")
    told = StringProperty("")
    """Why a file is chosen, where there is no camera."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._wanted: list[Callable[[], bool]] = []

    def on_pre_enter(self, *_: Any) -> None:
        if self.folder is None:
            self.folder = self.app.pictures
        super().on_pre_enter()

    def refresh(self) -> None:
        self.where = self.folder.name or str(self.folder)
        folder, lang = self.folder, self.app.lang
        self.title = photo_wanted(self.app.screens.get_screen(self.taker).next_shows(), lang)
        blind = self.app.screens.get_screen("capture").is_blind
        self.told = no_camera("absent", lang) if blind else ""
        self._forget_thumbnails()
        self.app.workers.picture(
            lambda: picture_files(folder), lambda found: self._show(folder, found)
        )

    def leave(self) -> None:
        self._forget_thumbnails()

    def _forget_thumbnails(self) -> None:
        """Nobody waits for what is no longer to be seen."""
        for take_back in self._wanted:
            take_back()
        self._wanted = []

    def _show(self, folder: Path, found: tuple[list[Path], list[Path]]) -> None:
        if folder != self.folder or self.app.screens.current_screen is not self:
            return
        folders, pictures = found
        box = self.ids.files
        box.clear_widgets()
        self.rows: dict[str, FileRow] = {}
        if folder.parent != folder:
            self._add("..", "up", folder.parent, self.open)
        for path in folders[:MOST_SHOWN]:
            self._add(path.name, "folder", path, self.open)
        for path in pictures[:MOST_SHOWN]:
            row = self._add(path.name, "camera", path, self.choose)
            take_back = self.app.workers.picture(
                lambda path=path: thumbnail(path, THUMBNAIL),
                lambda png, row=row: self._show_thumbnail(row, png),
            )
            self._wanted.append(take_back)
        self.empty = not pictures
        glide_to_top(self.ids.scroll)

    def _add(self, name: str, sign: str, path: Path, act: Any) -> FileRow:
        row = FileRow(name=name, sign=sign)
        row.bind(on_release=lambda _: act(path))
        self.rows[name] = row
        self.ids.files.add_widget(row)
        return row

    def _show_thumbnail(self, row: FileRow, png: bytes) -> None:
        row.texture = CoreImage(io.BytesIO(png), ext="png").texture

    def open(self, folder: Path) -> None:
        self.folder = folder
        self.refresh()

    def choose(self, picture: Path) -> None:
        taker = self.app.screens.get_screen(self.taker)
        taker.take(picture)
        taker.photos_done()
