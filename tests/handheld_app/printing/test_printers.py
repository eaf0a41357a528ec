"""What reaches a printer, and what becomes of a print when the printer does not stay.

The printers are real ends of real connections: a TCP socket or a pseudo-terminal that reads all,
reads a part, closes, or stops reading.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import zxingcpp
from PIL import Image

from handheld_app.handheld import Handheld
from handheld_app.printing import printers
from handheld_app.printing.printers import (
    Device,
    NoSuchPrinter,
    PrinterChoice,
    PrintFailed,
    PrintTrouble,
    escpos,
    print_picture,
    send,
)
from handheld_app.wording import print_trouble
from sync.paper.layout import WIDTHS, Width, draw
from sync.paper.notice import compose
from tests.handheld_app.conftest import CODES, World, fill
from tests.handheld_app.printing.escpos_stream import printed
from tests.sync.paper.sheets import PAY, sheet, site, three

SOON = 10.0
"""Seconds by which anything that is waited for has long happened."""
HAS_PAPER, NO_PAPER = b"\x12", b"\x72"
ASKED = b"\x10\x04\x04"


@pytest.fixture(autouse=True)
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same deadlines, scaled down: what is waited for never comes."""
    for name in ("STALLED", "ANSWERED", "ANSWERED_AT_LAST", "CONNECTED"):
        monkeypatch.setattr(printers, name, getattr(printers, name) / 10)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    """The printer is known to answer: it may take its time on a busy machine."""
    monkeypatch.setattr(printers, "ANSWERED", SOON)


class FakePrinter:
    """Reads what it is sent, as `obeys` says, on a thread of its own.

    `answers`: what it says each time it is asked for its status; `most`: the bytes after which it
    closes, or, with `stops`, reads no more. `pause`: seconds before each part that it reads.
    """

    def __init__(
        self,
        *,
        answers: list[bytes] | None = None,
        most: int | None = None,
        stops: bool = False,
        pause: float = 0,
    ) -> None:
        self.taken = b""
        self._answers = list(answers or [])
        self._most, self._stops = most, stops
        self._pause = pause
        self._over = Event()

    def serve(self, read: Callable[[], bytes], write: Callable[[bytes], object]) -> None:
        try:
            while self._most is None or len(self.taken) < self._most:
                self._over.wait(self._pause)
                part = read()
                if not part:
                    return
                for _ in range((self.taken[-2:] + part).count(ASKED)):
                    if self._answers:
                        write(self._answers.pop(0))
                self.taken += part
        except OSError:
            return
        if self._stops:
            self._over.wait(SOON)

    def end(self) -> None:
        self._over.set()


@contextmanager
def at_a_socket(fake: FakePrinter) -> Iterator[str]:
    """The fake printer behind a TCP port; its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        # Little room, so that what is not read is soon not taken either.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def work() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(SOON)
                fake.serve(lambda: connection.recv(1024), connection.sendall)

        thread = Thread(target=work)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            fake.end()
            thread.join(SOON)
            assert not thread.is_alive()


@contextmanager
def at_a_terminal(fake: FakePrinter) -> Iterator[str]:
    """The fake printer behind a serial line; the line's device."""
    ours, theirs = os.openpty()
    tty.setcbreak(theirs)  # echoes nothing back before the other side is raw
    path = os.ttyname(theirs)

    def read() -> bytes:
        if not select.select([ours], [], [], SOON)[0]:
            return b""
        return os.read(ours, 1024)

    def work() -> None:
        try:
            fake.serve(read, lambda said: os.write(ours, said))
        finally:
            os.close(ours)

    thread = Thread(target=work)
    thread.start()
    try:
        yield path
    finally:
        os.close(theirs)
        fake.end()
        thread.join(SOON)
        assert not thread.is_alive()


def network(address: str, width: Width = 576) -> PrinterChoice:
    return PrinterChoice("network", address, width)


def serial(address: str, width: Width = 384) -> PrinterChoice:
    return PrinterChoice("bluetooth", address, width)


def reason_of(picture: Image.Image, choice: PrinterChoice | None) -> str:
    """Why the print fails, which it must, and soon."""
    began = time.monotonic()
    with pytest.raises(PrintFailed) as failed:
        print_picture(picture, choice)
    assert time.monotonic() - began < 3
    return failed.value.reason


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and one.tobytes() == other.tobytes()


# What is sent


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("form", ["avis", "constat", "warning"])
def test_what_is_sent_prints_the_preview_dot_for_dot(form: str, width: Width) -> None:
    picture = draw(three()[form], width)
    paper = printed(escpos(picture))
    assert same(paper.picture, picture)
    assert paper.fed > 0
    assert max(strip.height for strip in paper.strips) <= printers.ROWS


def test_the_code_on_paper_scans() -> None:
    paper = printed(escpos(draw(sheet(), 384)))
    found = zxingcpp.read_barcodes(paper.picture.convert("L"))
    assert [code.text for code in found] == [f"{PAY}?avis=1085-1042"]


def test_the_library_leaves_nothing_behind(tmp_path: Path) -> None:
    program = (
        "import logging\n"
        "from PIL import Image\n"
        "from handheld_app.printing.printers import escpos\n"
        "assert escpos(Image.new('1', (384, 200), 255))\n"
        "assert logging.root.handlers == []\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


# Printers that stay


def test_a_printer_on_the_network_gets_all_of_it() -> None:
    fake, picture = FakePrinter(), draw(sheet(), 576)
    with at_a_socket(fake) as address:
        print_picture(picture, network(address))
    paper = printed(fake.taken)
    assert same(paper.picture, picture)
    assert paper.asked == 1


@pytest.mark.usefixtures("answering")
def test_a_printer_that_answers_is_asked_for_its_paper_before_and_after() -> None:
    fake, picture = FakePrinter(answers=[HAS_PAPER, HAS_PAPER]), draw(sheet(), 576)
    with at_a_socket(fake) as address:
        print_picture(picture, network(address))
    assert fake.taken == ASKED + escpos(picture) + ASKED


def test_a_slow_printer_is_waited_for_as_long_as_it_takes_some() -> None:
    fake, picture = FakePrinter(pause=0.005), draw(sheet(), 576)
    began = time.monotonic()
    with at_a_socket(fake) as address:
        print_picture(picture, network(address))
    assert time.monotonic() - began > printers.STALLED
    assert same(printed(fake.taken).picture, picture)


def test_a_printer_on_a_serial_line_gets_each_byte_unaltered() -> None:
    fake, picture = FakePrinter(), draw(sheet(), 384)
    every = Image.frombytes("1", (384, 16), bytes(range(256)) * 3)
    picture.paste(every, (0, 0))
    with at_a_terminal(fake) as address:
        print_picture(picture, serial(address))
        until = time.monotonic() + SOON
        whole = len(escpos(picture))
        while len(fake.taken) < whole and time.monotonic() < until:
            time.sleep(0.01)
    assert same(printed(fake.taken).picture, picture)


def test_a_file_keeps_what_a_printer_would_get(tmp_path: Path) -> None:
    path = tmp_path / "notice.bin"
    path.write_bytes(b"an older and longer one" * 9999)
    picture = draw(sheet(), 384)
    print_picture(picture, PrinterChoice("file", str(path)))
    assert same(printed(path.read_bytes()).picture, picture)


# Printers that do not


@pytest.mark.parametrize("most", [1, 3000, 40_000])
def test_a_printer_that_goes_away_in_mid_print_is_told_of(most: int) -> None:
    with at_a_socket(FakePrinter(most=most)) as address:
        assert reason_of(draw(sheet(), 576), network(address)) == "gone"


@pytest.mark.parametrize("most", [1, 3000, 20_000])
def test_a_serial_line_that_breaks_in_mid_print_is_told_of(most: int) -> None:
    with at_a_terminal(FakePrinter(most=most)) as address:
        assert reason_of(draw(sheet(), 384), serial(address)) == "gone"


def test_a_printer_that_takes_no_more_is_not_waited_for_forever() -> None:
    endless = bytes(9_000_000)  # more than any connection keeps by itself
    with at_a_socket(FakePrinter(most=5000, stops=True)) as address:
        host, port = address.split(":")
        printer = Device(socket.create_connection((host, int(port))).detach())
        began = time.monotonic()
        with pytest.raises(PrintFailed) as failed:
            send(endless, printer)
        printer.close(done=False)
        assert failed.value.reason == "stopped"
        assert time.monotonic() - began < 3


def test_a_notice_that_waits_in_the_system_alone_is_not_printed() -> None:
    # The system would take all of it; the printer reads a part.
    with at_a_socket(FakePrinter(most=5000, stops=True)) as address:
        assert reason_of(draw(sheet(), 576), network(address)) == "stopped"


def test_a_serial_line_that_takes_no_more_is_not_waited_for_forever() -> None:
    with at_a_terminal(FakePrinter(most=1000, stops=True)) as address:
        assert reason_of(draw(sheet(), 384), serial(address)) == "stopped"


@pytest.mark.usefixtures("answering")
def test_a_printer_without_paper_gets_nothing() -> None:
    fake = FakePrinter(answers=[NO_PAPER])
    with at_a_socket(fake) as address:
        assert reason_of(draw(sheet(), 576), network(address)) == "no_paper"
    assert fake.taken == ASKED


@pytest.mark.usefixtures("answering")
def test_paper_that_ended_during_the_print_is_told_of() -> None:
    with at_a_socket(FakePrinter(answers=[HAS_PAPER, NO_PAPER])) as address:
        assert reason_of(draw(sheet(), 576), network(address)) == "no_paper"


@pytest.mark.usefixtures("answering")
def test_a_printer_that_answered_must_still_answer_at_the_end() -> None:
    with at_a_socket(FakePrinter(answers=[HAS_PAPER])) as address:
        assert reason_of(draw(sheet(), 576), network(address)) == "gone"


@pytest.mark.usefixtures("answering")
def test_other_things_that_a_printer_says_are_no_status() -> None:
    fake = FakePrinter(answers=[b"\xff\x80" + HAS_PAPER, b"\x01" + HAS_PAPER])
    with at_a_socket(fake) as address:
        print_picture(draw(sheet(), 576), network(address))


def test_a_printer_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    picture = draw(sheet(), 384)
    for choice in (
        None,
        network(f"127.0.0.1:{free}"),
        network("127.0.0.1:what"),
        serial("/dev/rfcomm-none"),
        PrinterChoice("usb", "/dev/usb/lp-none"),
        PrinterChoice("file", str(tmp_path / "none" / "x")),
        PrinterChoice("file", str(tmp_path)),
    ):
        assert reason_of(picture, choice) == "no_printer"


@pytest.mark.skipif(hasattr(socket, "AF_BLUETOOTH"), reason="this Python speaks Bluetooth")
def test_bluetooth_that_this_python_does_not_speak_is_told_of() -> None:
    assert reason_of(draw(sheet(), 384), serial("AA:BB:CC:DD:EE:FF")) == "unsupported"


def test_usb_by_number_needs_a_library_that_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usb", None)
    monkeypatch.setitem(sys.modules, "usb.core", None)
    assert reason_of(draw(sheet(), 384), PrinterChoice("usb", "04b8:0202")) == "unsupported"


# Again


def test_a_print_that_failed_is_made_again_of_the_same_infraction(
    handheld: Handheld, world: World
) -> None:
    fill(handheld, world)
    patrol = handheld.patrol
    recorded = patrol.record(patrol.draft(patrol.check("ABC123", "CA-QC")))
    (item,) = patrol.log()
    assert item.body is not None

    def picture() -> Image.Image:
        (now,) = patrol.log()
        zone = world.zones["G1"]
        return draw(compose(now.body or {}, site=site(), codes=CODES, zone=zone), 576)

    with at_a_socket(FakePrinter(most=3000)) as address:
        assert reason_of(picture(), network(address)) == "gone"
    fake = FakePrinter()
    with at_a_socket(fake) as address:
        print_picture(picture(), network(address))
    found = zxingcpp.read_barcodes(printed(fake.taken).picture.convert("L"))
    assert [code.text for code in found] == [recorded.number]
    assert patrol.log() == [item]
    assert patrol.spoiled() == set()
    assert patrol.number_of(patrol.draft(patrol.check("XYZ999", "CA-QC"))) != recorded.number


# Settings and words


@pytest.mark.parametrize(
    "choice",
    [
        PrinterChoice("file", "/tmp/notice.bin"),
        PrinterChoice("usb", "04b8:0202", 576),
        PrinterChoice("bluetooth", "AA:BB:CC:DD:EE:FF"),
        PrinterChoice("network", "printer.example:9100", 576),
    ],
)
def test_a_choice_of_printer_survives_the_settings(choice: PrinterChoice) -> None:
    assert PrinterChoice.parse(choice.as_json()) == choice
    assert PrinterChoice.parse(None) is None


@pytest.mark.parametrize(
    "settings",
    [
        [],
        "usb",
        {},
        {"kind": "fax", "address": "x", "width": 384},
        {"kind": "usb", "address": "", "width": 384},
        {"kind": "usb", "address": "  ", "width": 384},
        {"kind": "usb", "address": "a\0b", "width": 384},
        {"kind": "usb", "address": 7, "width": 384},
        {"kind": "usb", "address": "x", "width": 400},
        {"kind": "usb", "address": "x", "width": 384.0},
        {"kind": "usb", "address": "x", "width": None},
        {"kind": [], "address": "x", "width": 384},
    ],
)
def test_settings_that_name_no_printer_are_refused(settings: Any) -> None:
    with pytest.raises(NoSuchPrinter):
        PrinterChoice.parse(settings)


def test_each_trouble_has_words_in_both_languages() -> None:
    for reason in get_args(PrintTrouble):
        french, english = print_trouble(reason, "fr"), print_trouble(reason, "en")
        assert french != english
        assert min(len(french), len(english)) > 20


@pytest.mark.parametrize(("version", "asked"), [(30, 0), (31, 1)])
def test_android_asks_a_person_before_a_printer_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, version: int, asked: int
) -> None:
    allowed: set[str] = set()
    questions: list[list[str]] = []
    adapter = SimpleNamespace(
        getBondedDevices=lambda: SimpleNamespace(
            toArray=lambda: [SimpleNamespace(getAddress=lambda: "00:11:22:33:44:55")]
        )
    )
    classes = {
        "android.os.Build$VERSION": SimpleNamespace(SDK_INT=version),
        "android.bluetooth.BluetoothAdapter": SimpleNamespace(getDefaultAdapter=lambda: adapter),
    }
    jnius = SimpleNamespace(autoclass=classes.__getitem__, JavaException=RuntimeError)
    permissions = SimpleNamespace(
        check_permission=allowed.__contains__, request_permissions=questions.append
    )
    monkeypatch.setitem(sys.modules, "jnius", jnius)
    monkeypatch.setitem(sys.modules, "android.permissions", permissions)
    if asked:
        assert printers._paired() == []
        with pytest.raises(PrintFailed) as failed:
            printers.AndroidBluetooth("00:11:22:33:44:55")
        assert failed.value.reason == "not_allowed"
        allowed.add("android.permission.BLUETOOTH_CONNECT")
    assert printers._paired() == ["00:11:22:33:44:55"]
    assert questions == [["android.permission.BLUETOOTH_CONNECT"]] * 2 * asked
