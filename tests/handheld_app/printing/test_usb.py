"""A USB printer through the real pyusb, over a bus of the test's own."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import usb.backend
import usb.backend.libusb1
import usb.core
from PIL import Image

from handheld_app.printing import printers
from handheld_app.printing.printers import PrinterChoice, PrintFailed, escpos, print_picture

PICTURE = Image.new("1", (384, 300), 0)


class Bus(usb.backend.IBackend):  # type: ignore[misc]
    """One device with one way out and, unless it is `mute`, one way in.

    `fails`: what is raised once so many bytes were `taken`; `status`: what it says when asked.
    """

    def __init__(self) -> None:
        self.taken = b""
        self.fails: tuple[int, Exception] | None = None
        self.status, self.mute = b"", False

    def enumerate_devices(self) -> Iterator[int]:
        yield 1

    def get_parent(self, _device: int) -> None: ...

    def get_device_descriptor(self, _device: int) -> SimpleNamespace:
        return SimpleNamespace(
            bLength=18, bDescriptorType=1, bcdUSB=0x200, bDeviceClass=0, bDeviceSubClass=0,
            bDeviceProtocol=0, bMaxPacketSize0=64, idVendor=0x04B8, idProduct=0x0202, bcdDevice=1,
            iManufacturer=0, iProduct=0, iSerialNumber=0, bNumConfigurations=1, address=1, bus=1,
            port_number=1, port_numbers=(1,), speed=2,
        )  # fmt: skip

    def get_configuration_descriptor(self, *_which: int) -> SimpleNamespace:
        return SimpleNamespace(
            bLength=9, bDescriptorType=2, wTotalLength=32, bNumInterfaces=1, bConfigurationValue=1,
            iConfiguration=0, bmAttributes=0xC0, bMaxPower=1, extra_descriptors=[],
        )  # fmt: skip

    def get_interface_descriptor(
        self, _device: int, interface: int, alternate: int, _configuration: int
    ) -> SimpleNamespace:
        if interface or alternate:
            raise IndexError
        return SimpleNamespace(
            bLength=9, bDescriptorType=4, bInterfaceNumber=0, bAlternateSetting=0,
            bNumEndpoints=1 if self.mute else 2, bInterfaceClass=7, bInterfaceSubClass=1,
            bInterfaceProtocol=2, iInterface=0, extra_descriptors=[],
        )  # fmt: skip

    def get_endpoint_descriptor(self, _device: int, end: int, *_where: int) -> SimpleNamespace:
        return SimpleNamespace(
            bLength=7, bDescriptorType=5, bEndpointAddress=(0x01, 0x82)[end], bmAttributes=2,
            wMaxPacketSize=64, bInterval=0, bRefresh=0, bSynchAddress=0, extra_descriptors=[],
        )  # fmt: skip

    def open_device(self, _device: int) -> int:
        return 1

    def close_device(self, _handle: int) -> None: ...

    def set_configuration(self, *_which: int) -> None: ...

    def get_configuration(self, _handle: int) -> int:
        return 1

    def claim_interface(self, *_which: int) -> None: ...

    def release_interface(self, *_which: int) -> None: ...

    def detach_kernel_driver(self, *_which: int) -> None:
        raise usb.core.USBError("no driver", errno=errno.ENOENT)

    def bulk_write(self, _handle: int, _end: int, _interface: int, part: Any, _ms: int) -> int:
        if self.fails is not None and len(self.taken) >= self.fails[0]:
            raise self.fails[1]
        self.taken += bytes(part)
        return len(part)

    def bulk_read(self, _handle: int, _end: int, _interface: int, into: Any, _ms: int) -> int:
        if not self.status:
            raise usb.core.USBTimeoutError("timeout")
        into[:1] = type(into)(into.typecode, self.status)
        return 1


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    bus = Bus()
    monkeypatch.setattr(usb.backend.libusb1, "get_backend", lambda *_a, **_k: bus)
    monkeypatch.setattr(printers, "ANSWERED", 0.01)
    return bus


def reason_of(address: str = "04b8:0202") -> str:
    with pytest.raises(PrintFailed) as failed:
        print_picture(PICTURE, PrinterChoice("usb", address))
    return failed.value.reason


@pytest.mark.parametrize("mute", [True, False])
def test_a_usb_printer_gets_all_of_it(bus: Bus, mute: bool) -> None:
    bus.mute = mute
    print_picture(PICTURE, PrinterChoice("usb", "04B8:0202"))
    assert bus.taken == b"\x10\x04\x04" + escpos(PICTURE)


def test_a_usb_printer_that_was_pulled_out_is_told_of(bus: Bus) -> None:
    bus.fails = 2000, usb.core.USBError("no such device", errno=errno.ENODEV)
    assert reason_of() == "gone"


def test_a_usb_printer_that_takes_no_more_is_told_of(bus: Bus) -> None:
    bus.fails = 2000, usb.core.USBTimeoutError("timeout")
    assert reason_of() == "stopped"


def test_a_usb_printer_that_takes_nothing_is_busy(bus: Bus) -> None:
    bus.fails = 0, usb.core.USBTimeoutError("timeout")
    assert reason_of() == "busy"


def test_a_usb_printer_without_paper_gets_nothing(bus: Bus) -> None:
    bus.status = b"\x72"
    assert reason_of() == "no_paper"
    assert bus.taken == b"\x10\x04\x04"


def test_a_usb_printer_that_is_not_there_is_told_of(bus: Bus) -> None:
    assert reason_of("04b8:9999") == "no_printer"
    assert reason_of("no number") == "no_printer"


def test_usb_without_the_systems_library_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("libusb0", "libusb1", "openusb"):
        backend = __import__(f"usb.backend.{name}", fromlist=["get_backend"])
        monkeypatch.setattr(backend, "get_backend", lambda *_a, **_k: None)
    assert reason_of() == "unsupported"
