"""Is there a screen to open a window on?

Asked before the window is opened, for SDL does not fail on a screen that is not there: it draws
where nobody sees it.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from pathlib import Path

_SECONDS = 3.0
_X_PORT = 6000


def is_there(environment: Mapping[str, str]) -> bool:
    """Whether the environment leads to a screen that answers, or names SDL's driver itself."""
    if environment.get("SDL_VIDEODRIVER") or not sys.platform.startswith("linux"):
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
