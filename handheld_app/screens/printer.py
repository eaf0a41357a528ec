"""Which printer: how it is reached, where, and how wide its paper is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kivy.properties import BooleanProperty, NumericProperty, StringProperty

from handheld_app.controls import Action, Choice, PatrolScreen, glide_to_top
from handheld_app.printing.printers import (
    KINDS,
    NoSuchPrinter,
    PrinterChoice,
    PrintFailed,
    found,
)
from handheld_app.wording import gettext, paper, print_trouble, printer_address_hint, printer_kind
from sync.paper.layout import WIDTHS

ORDER = tuple(sorted(KINDS, key=("bluetooth", "usb", "network", "file").index))
"""The likeliest first."""


class PrinterScreen(PatrolScreen):
    """What is chosen here is remembered on this device."""

    kind = StringProperty("bluetooth")
    width_dots = NumericProperty(WIDTHS[0])
    hint = StringProperty("")
    told = StringProperty("")
    tone = StringProperty("idle")
    busy = BooleanProperty(False)
    chosen = BooleanProperty(False)
    """Whether a printer was chosen before."""
    back = StringProperty("place")
    _found: Sequence[str] = ()

    def begin(self, *, back: str) -> None:
        """Show what was chosen; `back` is where to go afterwards."""
        self.back, self.told = back, ""
        choice = self.app.handheld.notices.printer
        self.chosen = choice is not None
        self.kind = choice.kind if choice else ORDER[0]
        self.width_dots = choice.width if choice else WIDTHS[0]
        self.ids.address.text = choice.address if choice else ""
        self._found = ()
        glide_to_top(self.ids.scroll)
        self.app.workers.picture(found, self._show_found)

    def _show_found(self, addresses: list[str]) -> None:
        self._found = addresses
        self.refresh()

    def refresh(self) -> None:
        lang = self.app.lang
        self.hint = printer_address_hint(self.kind, lang)
        kinds, widths, box = self.ids.kinds, self.ids.widths, self.ids.found
        for each in (kinds, widths, box):
            each.clear_widgets()
        self.kinds: dict[str, Action] = {}
        for kind in ORDER:
            key = Action(text=printer_kind(kind, lang), primary=kind == self.kind)
            key.bind(on_release=lambda _, kind=kind: self.take_kind(kind))
            self.kinds[kind] = key
            kinds.add_widget(key)
        self.widths: dict[int, Action] = {}
        for width in WIDTHS:
            key = Action(text=paper(width, lang), primary=width == self.width_dots)
            key.bind(on_release=lambda _, width=width: self.take_width(width))
            self.widths[width] = key
            widths.add_widget(key)
        self.rows: dict[str, Choice] = {}
        for address in self._found:
            row = Choice(title=address, sign="print")
            row.bind(on_release=lambda _, address=address: self.take_address(address))
            self.rows[address] = row
            box.add_widget(row)

    def take_kind(self, kind: str) -> None:
        self.kind = kind
        self.refresh()

    def take_width(self, width: int) -> None:
        self.width_dots = width
        self.refresh()

    def take_address(self, address: str) -> None:
        self.ids.address.text = address

    def _choice(self) -> PrinterChoice | None:
        """What is on the screen; None, and why, when it is no printer."""
        asked: dict[str, Any] = {
            "kind": self.kind, "address": self.ids.address.text, "width": int(self.width_dots)
        }  # fmt: skip
        try:
            return PrinterChoice.parse(asked)
        except NoSuchPrinter:
            self._tell("bad", gettext("Give the printer's address.", self.app.lang))
            return None

    def _tell(self, tone: str, words: str) -> None:
        self.tone, self.told = tone, words

    def save(self) -> None:
        """Remember it, and go back."""
        choice = self._choice()
        if choice is not None:
            self._remember(choice, lambda: self.app.go(self.back))

    def forget(self) -> None:
        """Print nowhere."""
        self._remember(None, lambda: self.app.go(self.back))

    def try_it(self) -> None:
        """Remember it, and print a line."""
        choice = self._choice()
        if choice is not None:
            self._remember(choice, self._try)

    def _remember(self, choice: PrinterChoice | None, then: Any) -> None:
        notices = self.app.handheld.notices
        self.app.save(lambda: notices.choose_printer(choice), then)

    def _try(self) -> None:
        lang, notices = self.app.lang, self.app.handheld.notices
        words = gettext("This printer works with this device.", lang)
        self.busy = True
        self._tell("idle", gettext("Printing…", lang))
        self.app.workers.ask(lambda: notices.try_printer(words), self._tried, self._not_tried)

    def _tried(self, _: None) -> None:
        self.busy = False
        self._tell("good", gettext("Printed", self.app.lang))

    def _not_tried(self, error: Exception) -> None:
        self.busy = False
        reason = error.reason if isinstance(error, PrintFailed) else "unsupported"
        self._tell("bad", print_trouble(reason, self.app.lang))
