"""Notices on paper and on the screen: what would be issued, what was, and whether it was printed.

A notice is composed of what was recorded, so that printing it again gives the same, with the same
number. Drawing and printing take their time: not on the thread that draws.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from handheld_app.device import DeviceFile
from handheld_app.drafts import Draft
from handheld_app.notebook import Notebook
from handheld_app.patrol import ISSUED_KEPT, Lacking, NotReady, Patrol
from handheld_app.printing.printers import (
    NoSuchPrinter,
    PrinterChoice,
    PrintFailed,
    print_picture,
)
from handheld_app.wording import not_shown, print_trouble
from sync.paper.layout import WIDTHS, Width, as_png, draw
from sync.paper.notice import Line, NotPrintable, Sheet, compose
from sync.replica import DamagedIndex, NotFilled, Replica

SHOWN_WIDTH: Width = 576
"""Dots of a notice on the screen: the wider paper has the larger letters."""


class NotKnown(Exception):
    """What the notice is made of is not here: its site's copy was wiped, or never came."""


@dataclass(frozen=True, slots=True)
class PrintState:
    """What became of the last try to print a notice; `reason` is why it failed."""

    printed: bool
    reason: str
    at: datetime


class Notices:
    """The notices of this handheld."""

    def __init__(
        self,
        patrol: Patrol,
        device: DeviceFile,
        notebook: Notebook,
        *,
        replica_of: Callable[[str], Replica],
    ) -> None:
        self._patrol = patrol
        self._device = device
        self._notebook = notebook
        self._replica_of = replica_of

    # what stands on it

    def preview(self, draft: Draft) -> Sheet:
        """What would be printed if the draft was issued as it is now. Raises NotPrintable,
        NotKnown.
        """
        try:
            body = self._patrol.would_record(draft)
        except (Lacking, NotReady) as error:
            raise NotKnown(str(error)) from error
        if draft.site is None:
            raise NotKnown("no site")
        lot = next((lot for lot in self._patrol.lots() if lot.id == draft.lot), None)
        return compose(
            body,
            site=draft.site,
            codes=draft.known_codes,
            zone=draft.zone,
            lot=lot,
            texts=self._patrol.briefing().texts,
            badge=self._badge(body),
        )

    def sheet(self, id: str) -> Sheet:
        """What is printed of an infraction that was recorded. Raises NotPrintable, NotKnown."""
        item = self._patrol.recorded(id)
        body = item.body if item is not None else None
        if body is None:
            raise NotKnown(id)
        try:
            with self._replica_of(str(body["site"])).reading() as view:
                return compose(
                    body,
                    site=view.site,
                    codes=view.codes(),
                    zone=view.zones.get(str(body["zone"])),
                    lot=next((lot for lot in view.lots() if lot.id == body.get("lot")), None),
                    texts=self._patrol.briefing().texts,
                    badge=self._badge(body),
                )
        except (NotFilled, DamagedIndex) as error:
            raise NotKnown(str(error)) from error

    def _badge(self, body: Mapping[str, Any]) -> str:
        """The badge of who recorded it, if that is who is at work."""
        who = self._patrol.signed_in()
        return who.badge if who is not None and who.patroller == body.get("patroller") else ""

    @staticmethod
    def shown(sheet: Sheet) -> bytes:
        """The sheet as a PNG for the screen."""
        return as_png(draw(sheet, SHOWN_WIDTH))

    # printing

    @property
    def printer(self) -> PrinterChoice | None:
        """The printer that was chosen, if one was."""
        try:
            return PrinterChoice.parse(self._device.device.printer)
        except NoSuchPrinter:
            return None  # of another version of the program: to be chosen anew

    def choose_printer(self, choice: PrinterChoice | None) -> None:
        """Print there from now on. Writes to disk."""
        self._device.change(printer=None if choice is None else choice.as_json())

    def print(self, id: str) -> None:
        """Print an infraction that was recorded, once more if need be; what became of it is
        remembered. Waits for the printer. Raises PrintFailed, NotPrintable, NotKnown.
        """
        printer = self.printer
        picture = draw(self.sheet(id), WIDTHS[0] if printer is None else printer.width)
        try:
            print_picture(picture, printer)
        except PrintFailed as error:
            self._remember(id, printed=False, reason=error.reason)
            raise
        self._remember(id, printed=True, reason="")

    def try_printer(self, words: str) -> None:
        """Print a line, to see whether the printer does. Waits for it. Raises PrintFailed."""
        printer = self.printer
        sheet = Sheet("warning", None, (Line(words, bold=True, centred=True),))
        print_picture(draw(sheet, WIDTHS[0] if printer is None else printer.width), printer)

    def _remember(self, id: str, *, printed: bool, reason: str) -> None:
        now = self._patrol.now()
        # The paper is out, or is not, whatever becomes of this.
        with contextlib.suppress(OSError, sqlite3.Error):
            self._notebook.keep("print", id, {"printed": printed, "reason": reason}, at=now)
            self._notebook.forget_before("print", now - ISSUED_KEPT)

    def print_state(self, id: str) -> PrintState | None:
        """What became of the last try to print a notice; None: nobody tried."""
        page = self._notebook.page("print", id)
        if page is None:
            return None
        return PrintState(bool(page.body.get("printed")), str(page.body.get("reason", "")), page.at)

    def is_unprinted(self, id: str) -> bool:
        """Whether a notice that bears a number is on no paper yet, as far as this device knows."""
        item, state = self._patrol.recorded(id), self.print_state(id)
        has_number = item is not None and bool((item.body or {}).get("number"))
        return has_number and (state is None or not state.printed)


def why_not_printed(error: Exception, lang: str) -> str:
    """Why a notice is not on paper, and what to do."""
    if isinstance(error, PrintFailed):
        return print_trouble(error.reason, lang)
    return not_shown(error.reason if isinstance(error, NotPrintable) else "", lang)
