"""A picture to a printer: ESC/POS, sent with deadlines.

The commands are python-escpos's. Its own connections are not used: none of them notices a printer
that stops taking, and a patroller stands beside it. What is sent here goes in small parts, each of
which must be taken within STALLED, so that a printer that goes away in mid-print is told of within
seconds. Success means that every byte was taken and that the printer, if it answers at all, still
answers and has paper.

A print that failed is made again from the same recorded infraction: nothing here changes one.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import shutil
import socket
import stat
import struct
import termios
import time
import tty
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from threading import Timer
from typing import Any, Literal, Protocol, cast, get_args
from urllib.parse import urlsplit

from PIL import Image

from sync.paper.layout import WIDTHS, Width

Kind = Literal["file", "usb", "bluetooth", "network"]

KINDS: tuple[Kind, ...] = get_args(Kind)

PrintTrouble = Literal[
    "no_printer", "not_allowed", "busy", "no_paper", "stopped", "gone", "unsupported"
]

PART = 512
"""Bytes handed over at a time."""

STALLED = 5.0
"""Seconds in which a printer must take the next part."""

CONNECTED = 8.0
"""Seconds in which a connection must stand."""

ANSWERED = 0.5
"""Seconds in which a printer that tells its status does so, when it has nothing else to do."""

ANSWERED_AT_LAST = 10.0
"""The same after a print: some answer once the paper is out."""

LOOKED_AT = 0.1
"""Seconds after which a connection that is waited for is looked at again."""

ROWS = 64
"""Rows of dots a command: small printers have little memory, and what was broken off spoils no more
of the next print than one command.
"""

FEED = 5
"""Lines of white after the last one, past the edge where the paper is torn."""

_PORT, _CHANNEL = 9100, 1
_PROFILES: Mapping[int, str] = {384: "POS-5890", 576: "TM-P80"}
"""What the library calls printers of these widths."""

_ASK_PAPER = b"\x10\x04\x04"  # DLE EOT 4
_IS_STATUS, _STATUS = 0b10010011, 0b00010010
_NO_PAPER = 0b01100000
_SERIAL_PORT_SERVICE = "00001101-0000-1000-8000-00805F9B34FB"

_CONNECT, _ASKS_SINCE = "android.permission.BLUETOOTH_CONNECT", 31
"""Android's permission, and the version that it begins with."""
_SPEAKS_OF: Mapping[int | None, PrintTrouble] = {
    errno.EACCES: "not_allowed",
    errno.EPERM: "not_allowed",
    errno.EBUSY: "busy",
    errno.EAFNOSUPPORT: "unsupported",
    errno.EPROTONOSUPPORT: "unsupported",
}


class PrintFailed(Exception):
    """Nothing, or not all, was printed; the same may be printed again. `reason`:

    `no_printer` (not there, or none chosen), `not_allowed` (the system refuses it), `busy` (takes
    nothing), `no_paper`, `stopped` (took a part and no more), `gone` (went away in mid-print),
    `unsupported` (this device has no such connection). Words: `wording.print_trouble`.
    """

    def __init__(self, reason: PrintTrouble) -> None:
        self.reason = reason
        super().__init__(reason)


class NoSuchPrinter(ValueError):
    """The settings name a kind, width or address that no printer has."""


@dataclass(frozen=True, slots=True)
class PrinterChoice:
    """Which printer, and how wide its paper is, in dots.

    `address`: of `file` a path; of `usb` a device such as /dev/usb/lp0, or `vendor:product` in hex
    (04b8:0202); of `bluetooth` a device such as /dev/rfcomm0, or the printer's own address
    (AA:BB:CC:DD:EE:FF, with `/2` for another channel than the first); of `network` `host` or
    `host:port`.
    """

    kind: Kind
    address: str
    width: Width = 384

    @classmethod
    def parse(cls, settings: object) -> PrinterChoice | None:
        """From what as_json gave; None for None: no printer was chosen. Raises NoSuchPrinter."""
        if settings is None:
            return None
        if not isinstance(settings, Mapping):
            raise NoSuchPrinter("a printer is kind, address and width")
        kind, address, width = (settings.get(part) for part in ("kind", "address", "width"))
        if kind not in KINDS:
            raise NoSuchPrinter(f"a printer's kind is one of {', '.join(KINDS)}")
        if not isinstance(address, str) or not address.strip() or "\0" in address:
            raise NoSuchPrinter("a printer has an address")
        if width not in WIDTHS or isinstance(width, float):
            raise NoSuchPrinter("a printer's width is 384 or 576 dots")
        return cls(kind, address.strip(), width)

    def as_json(self) -> dict[str, Any]:
        """For the settings: kind, address, width."""
        return {"kind": self.kind, "address": self.address, "width": self.width}


def found() -> list[str]:
    """Addresses of printers that this machine knows, to choose from: its devices, and on Android
    those that it is paired with.
    """
    devices = [*Path("/dev/usb").glob("lp*"), *Path("/dev").glob("rfcomm*")]
    return [str(device) for device in sorted(devices)] + _paired()


def print_picture(picture: Image.Image, choice: PrinterChoice | None) -> None:
    """Print what `layout.draw` drew. Waits for the printer, so not on the thread that draws.

    Raises PrintFailed, within seconds of the printer's going away.
    """
    if choice is None:
        raise PrintFailed("no_printer")
    commands = escpos(picture)
    with _connected(choice) as printer:
        send(commands, printer)


def escpos(picture: Image.Image) -> bytes:
    """The commands that print a picture: initialise, its rows as rasters, feed."""
    library = _library()
    printer = library(profile=_PROFILES[picture.width])
    printer.hw("INIT")
    printer.image(picture, impl="bitImageRaster", fragment_height=ROWS)
    printer.print_and_feed(FEED)
    return cast(bytes, printer.output)


def _library() -> Any:
    """python-escpos's printer that only remembers. It is imported here because that takes 0.3 s."""
    handlers = list(logging.root.handlers)
    from escpos import capabilities
    from escpos.printer import Dummy

    # It sets logging up for everybody, and leaves a folder behind at each start.
    logging.root.handlers[:] = handlers
    if "ESCPOS_CAPABILITIES_PICKLE_DIR" not in os.environ:
        shutil.rmtree(capabilities.pickle_dir, ignore_errors=True)
    return Dummy


# Sending


class Connection(Protocol):
    """A way to a printer. Each call returns within its seconds, or soon after."""

    def write(self, part: bytes, seconds: float) -> int:
        """How many bytes were taken; 0: none in that time. OSError: it is gone."""

    def read(self, seconds: float) -> bytes:
        """What it says; empty: nothing in that time. OSError: it is gone."""

    def waiting(self) -> int:
        """Bytes taken that wait on this side; 0 where that cannot be told. OSError: it is gone."""

    def close(self, *, done: bool) -> None:
        """`done`: all is said. Else what waits here is thrown away, so that closing waits not."""


def send(commands: bytes, printer: Connection) -> None:
    """All of it, in parts, each within STALLED. Raises PrintFailed."""
    taken = 0
    try:
        answers = _answers(printer, ANSWERED)
        while taken < len(commands):
            count = printer.write(commands[taken : taken + PART], STALLED)
            if not count:
                raise PrintFailed("stopped" if taken else "busy")
            taken += count
        _drain(printer)
        if answers and not _answers(printer, ANSWERED_AT_LAST):
            raise PrintFailed("gone")
    except OSError as error:
        raise PrintFailed("gone") from error


def _answers(printer: Connection, seconds: float) -> bool:
    """Whether the printer tells its status. Raises PrintFailed if it tells that it has no paper."""
    if printer.write(_ASK_PAPER, STALLED) < len(_ASK_PAPER):
        raise PrintFailed("busy")
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        said = printer.read(left)
        for status in said:
            if status & _IS_STATUS == _STATUS:
                if status & _NO_PAPER:
                    raise PrintFailed("no_paper")
                return True
        if not said:
            break
    return False


def _drain(printer: Connection) -> None:
    """Wait until what the system took has left for the printer, for as long as it gets less."""
    least, until = printer.waiting(), time.monotonic() + STALLED
    while now := printer.waiting():
        if now < least:
            least, until = now, time.monotonic() + STALLED
        if time.monotonic() > until:
            raise PrintFailed("stopped")
        printer.read(0.02)  # waits a little, and notices that the other side is gone


# Connections


@contextmanager
def _connected(choice: PrinterChoice) -> Iterator[Connection]:
    try:
        printer = _connect(choice)
    except PrintFailed:
        raise
    except (OSError, ValueError) as error:
        reason = _SPEAKS_OF.get(getattr(error, "errno", None), "no_printer")
        raise PrintFailed(reason) from error
    done = False
    try:
        yield printer
        done = True
    finally:
        with suppress(OSError):
            printer.close(done=done)


def _connect(choice: PrinterChoice) -> Connection:
    address = choice.address
    if choice.kind == "file":
        return Device(address, create=True)
    if choice.kind == "network":
        where = urlsplit(f"//{address}")
        host, port = where.hostname or "", where.port or _PORT
        return Device(socket.create_connection((host, port), CONNECTED).detach())
    if address.startswith("/"):
        return Device(address)
    if choice.kind == "usb":
        return Usb(address)
    try:
        import jnius  # noqa: F401
    except ImportError:
        # Linux before 6.8 tells how much room is left instead.
        return Device(_rfcomm(address).detach(), can_tell=False)
    return AndroidBluetooth(address)


def _may_connect() -> bool:
    """Whether Android lets this app at what is paired. From Android 12 on a person allows that, and
    is asked here until they have.
    """
    from android.permissions import check_permission, request_permissions
    from jnius import autoclass

    if autoclass("android.os.Build$VERSION").SDK_INT < _ASKS_SINCE or check_permission(_CONNECT):
        return True
    request_permissions([_CONNECT])
    return False


def _paired() -> list[str]:
    try:
        from jnius import JavaException, autoclass
    except ImportError:
        return []
    if not _may_connect():
        return []
    try:
        adapter = autoclass("android.bluetooth.BluetoothAdapter").getDefaultAdapter()
        return [device.getAddress() for device in adapter.getBondedDevices().toArray()]
    except (AttributeError, JavaException):  # no Bluetooth, or not allowed
        return []


def _rfcomm(address: str) -> socket.socket:
    """A Bluetooth connection of Linux. The printer must have been paired."""
    if not hasattr(socket, "AF_BLUETOOTH"):
        raise PrintFailed("unsupported")
    name, _, channel = address.partition("/")
    connection = socket.socket(socket.AF_BLUETOOTH, socket.SOCK_STREAM, socket.BTPROTO_RFCOMM)
    try:
        connection.settimeout(CONNECTED)
        linger = struct.pack("ii", 1, round(STALLED))  # closing lets out what waits
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.connect((name, int(channel or _CHANNEL)))
    except BaseException:
        connection.close()
        raise
    return connection


class Device:
    """A file, a device of the system's, or a connected socket, by its file descriptor.

    `can_tell`: whether the system knows how much still waits to go out.
    """

    def __init__(self, opened: str | int, *, create: bool = False, can_tell: bool = True) -> None:
        self._can_tell = can_tell
        if isinstance(opened, int):
            self._fd = opened
        else:
            self._fd = _open(opened, create)
        os.set_blocking(self._fd, False)
        mode = os.fstat(self._fd).st_mode
        self._is_file = stat.S_ISREG(mode)
        self._is_tty = os.isatty(self._fd)
        # Of these two, nothing to read means the end.
        self._ends = stat.S_ISSOCK(mode) or self._is_tty
        self._poll = select.poll()
        if self._is_tty:
            tty.setraw(self._fd, termios.TCSANOW)  # no byte of a picture means anything to it

    def write(self, part: bytes, seconds: float) -> int:
        if self._is_file:
            return os.write(self._fd, part)
        if not self._wait(select.POLLOUT, seconds):
            return 0
        try:
            return os.write(self._fd, part)
        except BlockingIOError:
            return 0

    def read(self, seconds: float) -> bytes:
        if self._is_file:
            return b""
        if not self._wait(select.POLLIN, seconds):
            return b""
        try:
            said = os.read(self._fd, 64)
        except BlockingIOError:
            return b""
        if not said and self._ends:
            raise ConnectionResetError(errno.ECONNRESET, "the printer closed the connection")
        return said

    def waiting(self) -> int:
        waiting = array("i", [0])
        if self._can_tell:
            with suppress(OSError):
                # The same number asks a terminal and a socket.
                ioctl(self._fd, termios.TIOCOUTQ, waiting)
        if not waiting[0] and not self._is_file:
            # What the other side refused is not waiting either.
            self._poll.register(self._fd, 0)
            if self._poll.poll(0):
                raise ConnectionResetError(errno.ECONNRESET, "the printer is gone")
        return waiting[0]

    def close(self, *, done: bool) -> None:
        if self._is_tty and not done:
            with suppress(termios.error):
                termios.tcflush(self._fd, termios.TCOFLUSH)
        os.close(self._fd)

    def _wait(self, for_what: int, seconds: float) -> bool:
        """Whether it is ready within so many seconds. Raises OSError if the other side is gone."""
        self._poll.register(self._fd, for_what)
        until = time.monotonic() + seconds
        while True:
            left = max(0.0, until - time.monotonic())
            # Looked at again and again: Linux wakes nobody up for some room in a serial line.
            for _fd, event in self._poll.poll(min(left, LOOKED_AT) * 1000):
                if event & for_what:
                    return True
                raise ConnectionResetError(errno.ECONNRESET, "the printer is gone")
            if not left:
                return False


def _open(path: str, create: bool) -> int:
    new = os.O_CREAT | os.O_TRUNC if create else 0
    flags = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(path, os.O_RDWR | flags | new, 0o600)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EINVAL, errno.EROFS):
            raise
    return os.open(path, os.O_WRONLY | flags | new, 0o600)  # a device that only takes


class Usb:
    """A USB printer by its vendor and product, through pyusb, where that is installed."""

    def __init__(self, address: str) -> None:
        try:
            import usb.core
            import usb.util
        except ImportError as error:
            raise PrintFailed("unsupported") from error
        vendor, _, product = address.partition(":")
        try:
            device = usb.core.find(idVendor=int(vendor, 16), idProduct=int(product, 16))
        except usb.core.NoBackendError as error:
            raise PrintFailed("unsupported") from error
        if device is None:
            raise PrintFailed("no_printer")
        self._usb, self._device = usb, device
        with suppress(NotImplementedError, usb.core.USBError):
            device.detach_kernel_driver(0)
        device.set_configuration()
        ends = {
            usb.util.endpoint_direction(end.bEndpointAddress): end
            for end in device.get_active_configuration()[(0, 0)]
        }
        if usb.util.ENDPOINT_OUT not in ends:
            raise PrintFailed("no_printer")
        self._out = ends[usb.util.ENDPOINT_OUT]
        self._in = ends.get(usb.util.ENDPOINT_IN)

    def write(self, part: bytes, seconds: float) -> int:
        try:
            return int(self._out.write(part, round(seconds * 1000)))
        except self._usb.core.USBTimeoutError:
            return 0

    def read(self, seconds: float) -> bytes:
        if self._in is None:
            return b""
        try:
            return bytes(self._in.read(64, round(seconds * 1000)))
        except self._usb.core.USBTimeoutError:
            return b""

    def waiting(self) -> int:
        return 0

    def close(self, *, done: bool) -> None:
        self._usb.util.dispose_resources(self._device)


class AndroidBluetooth:
    """A paired printer through Android's own Bluetooth; cannot be run here.

    Its streams wait for as long as they like: what takes too long is ended by closing the socket,
    as Android documents.
    """

    def __init__(self, address: str) -> None:
        from jnius import JavaException, autoclass

        if not _may_connect():
            raise PrintFailed("not_allowed")
        self._error, self._is_late = JavaException, False
        adapter = autoclass("android.bluetooth.BluetoothAdapter").getDefaultAdapter()
        if adapter is None:
            raise PrintFailed("unsupported")
        if not adapter.isEnabled():
            raise PrintFailed("no_printer")
        uuid = autoclass("java.util.UUID").fromString(_SERIAL_PORT_SERVICE)
        try:
            device = adapter.getRemoteDevice(address.partition("/")[0])
            self._socket = device.createRfcommSocketToServiceRecord(uuid)
            with self._no_longer_than(CONNECTED):
                self._socket.connect()
            self._out = self._socket.getOutputStream()
            self._in = self._socket.getInputStream()
        except JavaException as error:
            is_refused = "SecurityException" in str(getattr(error, "classname", ""))
            raise PrintFailed("not_allowed" if is_refused else "no_printer") from error

    def write(self, part: bytes, seconds: float) -> int:
        try:
            with self._no_longer_than(seconds):
                self._out.write(part)
                self._out.flush()
        except self._error as error:
            if self._is_late:
                return 0
            raise ConnectionResetError(errno.ECONNRESET, "the printer is gone") from error
        return len(part)

    def read(self, seconds: float) -> bytes:
        until = time.monotonic() + seconds
        try:
            while not (waiting := self._in.available()):
                if time.monotonic() > until:
                    return b""
                time.sleep(0.02)
            return bytes(self._in.read() & 0xFF for _ in range(waiting))
        except self._error as error:
            raise ConnectionResetError(errno.ECONNRESET, "the printer is gone") from error

    def waiting(self) -> int:
        return 0

    def close(self, *, done: bool) -> None:
        with suppress(self._error):
            self._socket.close()

    @contextmanager
    def _no_longer_than(self, seconds: float) -> Iterator[None]:
        timer = Timer(seconds, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        self._is_late = True
        self.close(done=False)
