"""What a window needs of this machine, asked before one is opened. Imports no Kivy.

SDL does not fail on a screen that is not there: it draws where nobody sees it. And Kivy, without a
library, ends with a page of its log.
"""

from __future__ import annotations

import ctypes
import importlib.util
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_SECONDS = 3.0
_X_PORT = 6000

LIBRARIES = {"libGL.so.1": "libgl1", "libEGL.so.1": "libegl1"}
"""The system's libraries without which no window opens, and Debian's packages that have them."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Why no window can be opened here; `packages` are Debian's."""

    of: Literal["kivy", "screen", "libraries"]
    packages: tuple[str, ...] = ()


def lack(environment: Mapping[str, str]) -> Lack | None:
    """The first thing that a window needs and that is not here; None when one can be opened."""
    if importlib.util.find_spec("kivy") is None:
        return Lack("kivy")
    if not sys.platform.startswith("linux") or "ANDROID_ARGUMENT" in environment:
        return None
    if not screen_is_there(environment):
        return Lack("screen")
    packages = tuple(package for library, package in LIBRARIES.items() if not _loads(library))
    return Lack("libraries", (*packages, "libgl1-mesa-dri")) if packages else None


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def screen_is_there(environment: Mapping[str, str]) -> bool:
    """Whether the environment leads to a screen that answers, or names SDL's driver itself."""
    if environment.get("SDL_VIDEODRIVER"):
        return True
    wayland, x = environment.get("WAYLAND_DISPLAY", ""), environment.get("DISPLAY", "")
    runtime = Path(environment.get("XDG_RUNTIME_DIR", "/"))
    return bool(
        (wayland and _answers(socket.AF_UNIX, str(runtime / wayland))) or (x and _x_answers(x))
    )


def _x_answers(display: str) -> bool:
    """Whether an X server answers at `host:number.screen`; no host, or `unix`: this machine."""
    host, _, rest = display.rpartition(":")
    number = rest.partition(".")[0]
    if not number.isdecimal():
        return False
    if host in ("", "unix"):
        path = f"/tmp/.X11-unix/X{number}"
        return _answers(socket.AF_UNIX, path) or _answers(socket.AF_UNIX, f"\0{path}")
    return _answers(socket.AF_INET, (host, _X_PORT + int(number)))


def _answers(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as asking:
        asking.settimeout(_SECONDS)
        try:
            asking.connect(address)
        except (OSError, ValueError, OverflowError):
            return False
    return True
