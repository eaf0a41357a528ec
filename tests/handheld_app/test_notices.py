"""Notices: what would be issued, what was, and whether it is on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from handheld_app.device import DeviceFile
from handheld_app.handheld import Handheld
from handheld_app.notices import Notices, NotKnown, why_not_printed
from handheld_app.printing.printers import PrinterChoice, PrintFailed
from handheld_app.stock import COLOURS, kept_colour, shown_colour
from handheld_app.wording import print_trouble
from sync.entities import Vehicle
from sync.paper.notice import NotPrintable
from tests.handheld_app.conftest import World, fill


@pytest.fixture
def notices(handheld: Handheld, world: World) -> Notices:
    fill(handheld, world)
    return handheld.notices


def issue(handheld: Handheld, outcome: str = "notice") -> str:
    patrol = handheld.patrol
    draft = patrol.draft(patrol.check("QQQ111", "CA-QC"))
    draft.decide(outcome)  # type: ignore[arg-type]
    draft.no_issue_reason = "driver_returned"
    return patrol.record(draft).id


def test_what_is_previewed_is_what_is_printed(handheld: Handheld, notices: Notices) -> None:
    patrol = handheld.patrol
    draft = patrol.draft(patrol.check("QQQ111", "CA-QC"))
    draft.vehicle, draft.place, draft.note = Vehicle("Mazda", "bleu"), "Rangée C", "not on paper"
    sheet = notices.preview(draft)
    assert "QQQ111" in sheet.words
    assert "Rangée C" in sheet.words
    assert "not on paper" not in sheet.words
    recorded = patrol.record(draft)
    assert sheet.number == recorded.number
    assert notices.sheet(recorded.id) == sheet


def test_nothing_is_shown_of_what_is_not_issued_or_not_known(
    handheld: Handheld, notices: Notices
) -> None:
    with pytest.raises(NotPrintable, match="nothing_issued"):
        notices.sheet(issue(handheld, "no_issue"))
    with pytest.raises(NotKnown):
        notices.sheet("0" * 36)
    id = issue(handheld)
    handheld.forget_sites()
    with pytest.raises(NotKnown) as error:
        notices.sheet(id)
    assert "synchronisez" in why_not_printed(error.value, "fr")
    patrol = handheld.patrol
    patrol.sign_out()
    with pytest.raises(NotKnown):
        notices.preview(patrol.draft(None))


def test_a_print_is_remembered_and_a_failed_one_is_made_again(
    handheld: Handheld, notices: Notices, tmp_path: Path
) -> None:
    id = issue(handheld)
    assert (notices.print_state(id), notices.is_unprinted(id)) == (None, True)
    with pytest.raises(PrintFailed) as error:
        notices.print(id)
    state = notices.print_state(id)
    assert state is not None
    assert (state.printed, state.reason, notices.is_unprinted(id)) == (False, "no_printer", True)
    assert why_not_printed(error.value, "en") == print_trouble("no_printer", "en")
    number = notices.sheet(id).number
    notices.choose_printer(PrinterChoice("file", str(tmp_path / "paper"), 576))
    notices.print(id)
    state = notices.print_state(id)
    assert state is not None
    assert (state.printed, notices.is_unprinted(id)) == (True, False)
    assert notices.sheet(id).number == number
    first = (tmp_path / "paper").read_bytes()
    notices.print(id)
    assert (tmp_path / "paper").read_bytes() == first


def test_a_warning_needs_no_number_and_no_paper(handheld: Handheld, notices: Notices) -> None:
    id = issue(handheld, "warning")
    assert not notices.is_unprinted(id)
    assert notices.sheet(id).form == "warning"


def test_a_full_disk_unprints_nothing(handheld: Handheld, notices: Notices, tmp_path: Path) -> None:
    notices.choose_printer(PrinterChoice("file", str(tmp_path / "paper")))
    id = issue(handheld)
    handheld.notebook._connection.execute("PRAGMA query_only = ON")
    notices.print(id)
    assert (tmp_path / "paper").stat().st_size > 1000
    assert notices.print_state(id) is None


def test_the_printer_is_remembered_and_one_of_another_version_is_chosen_anew(
    handheld: Handheld, notices: Notices
) -> None:
    choice = PrinterChoice("bluetooth", "AA:BB:CC:DD:EE:FF", 576)
    notices.choose_printer(choice)
    path = handheld.folder / "device.json"
    found = DeviceFile(path, new_install_id="none").device.printer
    assert PrinterChoice.parse(found) == choice
    handheld.device_file.change(printer={"kind": "telepathy", "address": "x", "width": 384})
    assert notices.printer is None
    notices.choose_printer(None)
    assert handheld.device_file.device.printer is None


def test_a_colour_is_kept_in_french_and_shown_in_either_language() -> None:
    assert kept_colour("grey") == "gris"
    for colour in COLOURS:
        assert shown_colour(kept_colour(colour), "en") == colour
        assert shown_colour(colour, "fr") == kept_colour(colour)
    assert shown_colour("turquoise", "fr") == "turquoise"
    assert shown_colour(None, "fr") == ""
