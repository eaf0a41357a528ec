"""A notice over the whole screen, dot for dot as it is printed."""

from __future__ import annotations

import io
from collections.abc import Callable

from kivy.core.image import Image as CoreImage
from kivy.properties import ObjectProperty, StringProperty

from handheld_app.controls import PatrolScreen, glide_to_top
from handheld_app.notices import Notices, why_not_printed
from sync.paper.notice import Sheet


class NoticeScreen(PatrolScreen):
    """White paper, whatever the palette: a driver reads it too."""

    texture = ObjectProperty(None, allownone=True)
    trouble = StringProperty("")
    back = StringProperty("issued")
    _error: Exception | None = None

    def begin(self, compose: Callable[[], Sheet], *, back: str) -> None:
        """Draw it on another thread, then show it."""
        self.back, self.texture, self.trouble = back, None, ""
        self._error = None
        self._compose = compose
        glide_to_top(self.ids.scroll)
        self.app.workers.picture(
            lambda: Notices.shown(compose()),
            lambda png: self._drawn(compose, png),
            lambda error: self._not_drawn(compose, error),
        )

    def _drawn(self, compose: Callable[[], Sheet], png: bytes) -> None:
        if compose is self._compose:
            self.texture = CoreImage(io.BytesIO(png), ext="png").texture

    def _not_drawn(self, compose: Callable[[], Sheet], error: Exception) -> None:
        if compose is self._compose:
            self._error = error
            self.refresh()

    def refresh(self) -> None:
        if self._error is not None:
            self.trouble = why_not_printed(self._error, self.app.lang)
