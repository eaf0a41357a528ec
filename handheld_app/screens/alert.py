"""What a patroller must not miss, in the way until they say that they saw it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kivy.properties import ObjectProperty

from handheld_app.controls import Panel, Prose, Sheet
from handheld_app.wording import AlertWords


class AlertBanner(Panel):
    """One alert, told whole."""

    words = ObjectProperty(None, allownone=True, rebind=True)


class AlertSheet(Sheet):
    """All alerts of a plate, the urgent ones first; one button for all of them."""

    def __init__(
        self, told: Sequence[AlertWords], *, seen: Callable[[], None], **kwargs: Any
    ) -> None:
        super().__init__(auto_dismiss=False, **kwargs)
        self._seen = seen
        for words in told:
            self.ids.alerts.add_widget(banner(words))

    def acknowledge(self) -> None:
        """The patroller saw it."""
        self.dismiss()
        self._seen()


def banner(words: AlertWords) -> AlertBanner:
    """An alert as it is shown in the sheet and among what is known of a plate."""
    shown = AlertBanner(words=words)
    for line in filter(None, words.lines):
        shown.add_widget(Prose(text=line, bold=True, tone=words.tone))
    return shown
