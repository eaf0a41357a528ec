"""What this handheld is: its service, its secret, where it works now. One private file."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from sync.files import write_durably


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
    clock: dict[str, Any] | None = None

    @property
    def enrolled(self) -> bool:
        """Whether the service knows this handheld."""
        return bool(self.token)


class DeviceFile:
    """`device.json` in the app's private folder, readable by its owner only (0600)."""

    def __init__(self, path: Path, *, new_install_id: str) -> None:
        """A new installation's id is on disk from here on: an enrolment may ask again with it."""
        self._path = path
        self._lock = threading.Lock()
        found = _read(path)
        self.device = found or Device(install_id=new_install_id)
        if found is None:
            self.change()

    def change(self, **changes: Any) -> Device:
        """Remember new values, on disk before anybody is told of them. Threads may call it.

        Raises OSError, and nothing has changed then.
        """
        with self._lock:
            device = replace(self.device, **changes)
            text = json.dumps(asdict(device), ensure_ascii=False, indent=1)
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(self._path, text.encode(), mode=0o600)
            self.device = device
            return device


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
