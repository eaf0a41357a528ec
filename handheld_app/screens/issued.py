"""Issued: the number, the code to scan, the paper, the driver, and on to the next car."""

from __future__ import annotations

import io
from typing import Any

from kivy.core.image import Image as CoreImage
from kivy.properties import BooleanProperty, ObjectProperty, StringProperty

from handheld_app.controls import PatrolScreen, glide_to_top
from handheld_app.drafts import Draft
from handheld_app.patrol import Recorded
from handheld_app.wording import gettext, print_trouble, printer_words
from sync.paper.layout import as_png, qr_code
from sync.wording import localized, outcome_words, short_jurisdiction

CODE_WIDTH = 384
"""Pixels that the code to scan takes at most."""


class IssuedScreen(PatrolScreen):
    """What was issued is not changed any more; it can be printed as often as need be."""

    number = StringProperty("")
    what = StringProperty("")
    about = StringProperty("")
    told = StringProperty("")
    """What becomes of the paper."""
    tone = StringProperty("idle")
    printer = StringProperty("")
    code = ObjectProperty(None, allownone=True)
    may_print = BooleanProperty(True)
    to_print = BooleanProperty(True)
    """Whether printing it is what comes next."""
    draft: Draft | None = None

    def begin(self, draft: Draft, recorded: Recorded) -> None:
        self.draft, self.infraction, self._recorded = draft, recorded.id, recorded
        self.code = None
        glide_to_top(self.ids.scroll)
        notices = self.app.handheld.notices
        self.app.workers.picture(
            lambda: _code(notices.sheet(recorded.id).code),
            lambda png: self._drawn(recorded.id, png),
        )

    def _drawn(self, infraction: str, png: bytes | None) -> None:
        if infraction == self.infraction and png:
            self.code = CoreImage(io.BytesIO(png), ext="png").texture

    def refresh(self) -> None:
        lang, draft, notices = self.app.lang, self.draft, self.app.handheld.notices
        if draft is None:
            return
        instrument = draft.site.instrument if draft.site else "avis"
        self.what = outcome_words(draft.outcome, instrument, lang)
        self.number = self._recorded.number or ""
        plate = draft.plate
        told = f"{plate.text} · {short_jurisdiction(plate.jurisdiction)}" if plate else ""
        self.about = "\n".join(
            filter(None, (told or gettext("No plate", lang), *self._codes(draft)))
        )
        self.may_print = draft.outcome == "warning" or bool(self.number)
        self.printer = printer_words(notices.printer, lang)
        self._show_print(lang)

    def _codes(self, draft: Draft) -> list[str]:
        titles = {code.id: localized(code.title, self.app.lang) for code in draft.known_codes}
        return [f"{code} · {titles[code]}" if code in titles else code for code in draft.codes]

    def _show_print(self, lang: str) -> None:
        state = self.app.handheld.notices.print_state(self.infraction)
        is_printing = self.infraction in self.app.printing
        self.to_print = not is_printing and (state is None or not state.printed)
        if not self.may_print:
            self.tone, self.told = (
                "wait",
                gettext("Without a number: it is recorded, and cannot be printed.", lang),
            )
        elif is_printing:
            self.tone, self.told = "idle", gettext("Printing…", lang)
        elif state is None:
            self.tone, self.told = "idle", gettext("Not printed yet", lang)
        elif state.printed:
            self.tone, self.told = "good", gettext("Printed", lang)
        else:
            words = print_trouble(state.reason, lang)
            self.tone, self.told = "bad", gettext("Not printed. {why}", lang).format(why=words)

    def printed(self, infraction: str) -> None:
        if infraction == self.infraction:
            self.refresh()

    def print(self) -> None:
        """Print it, or choose a printer first."""
        if self.app.handheld.notices.printer is None:
            self.choose_printer()
        else:
            self.app.print_notice(self.infraction)
            self.refresh()

    def choose_printer(self) -> None:
        self.app.screens.get_screen("printer").begin(back="issued")
        self.app.go("printer")

    def show_driver(self) -> None:
        """The notice over the whole screen."""
        notices, infraction = self.app.handheld.notices, self.infraction
        self.app.screens.get_screen("notice").begin(
            lambda: notices.sheet(infraction), back="issued"
        )
        self.app.go("notice")

    def next(self, *_: Any) -> None:
        """The next car."""
        self.app.next_car(self.draft, self._recorded)


def _code(payload: str | None) -> bytes | None:
    """The code to scan as a PNG; None for a notice that has none."""
    drawn = qr_code(payload, CODE_WIDTH) if payload else None
    return None if drawn is None else as_png(drawn)
