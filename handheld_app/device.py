"""What this handheld is: its service, its secret, where it works now. One private file."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Device:
    """Empty `token`: not enrolled yet. `install_id` is made once and names this installation."""

    install_id: str
    server: str = ""
    device: str = ""
    token: str = field(default="", repr=False)
    sites: tuple[str, ...] = ()
    site: str = ""
    zone: str = ""
    badge: str = ""
    lang: str = "fr"
    clock_offset_ms: int = 0

    @property
    def enrolled(self) -> bool:
        """Whether the service knows this handheld."""
        return bool(self.token)


class DeviceFile:
    """`device.json` in the app's private folder, readable by its owner only (0600)."""

    def __init__(self, path: Path, *, new_install_id: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.device = _read(path) or Device(install_id=new_install_id)

    def change(self, **changes: Any) -> Device:
        """Remember new values, on disk before it returns. Threads may call it."""
        with self._lock:
            self.device = replace(self.device, **changes)
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            half = self._path.with_suffix(".part")
            descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(self.device), file, ensure_ascii=False, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(half, self._path)
            return self.device


def _read(path: Path) -> Device | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = {f.name for f in fields(Device)}
        values = {name: value for name, value in found.items() if name in known}
        values["sites"] = tuple(values.get("sites", ()))
        return Device(**values)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError):
        return None  # damaged: enrol again; what was recorded lies in other files
