"""What this handheld is: its service, its secret, where it works now. One private file."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sync import codec
from sync.files import write_durably

TOKEN_LIFE = timedelta(days=30)
"""Age at which a device asks for another token."""

INDEX_LIFETIME_HOURS = 72
"""Hours after its last sync at which an index gives no verdicts any more, unless set."""


@dataclass(frozen=True, slots=True)
class Device:
    """Empty `token`: not enrolled yet. `install_id` is made once and names this installation.

    `next_token`: a newer secret, which the service has not been seen to take yet; `old_token`: the
    one before. `mismatches`: how often an index differed from the service's. `authority`: the
    only one whose certificates are believed for this service (PEM); empty: the device's own.
    `badge` is that of the last who signed in. `seen_at`: the latest instant that is known to have
    been. `palette`, `text_scale` (per cent), `left_handed` and `cues` are how the screens look,
    lie and sound. `printer` is `PrinterChoice` as JSON. `others`: what a later version wrote here,
    kept for it.
    """

    install_id: str
    server: str = ""
    device: str = ""
    token: str = field(default="", repr=False)
    next_token: str = field(default="", repr=False)
    token_at: str = ""
    old_token: str = field(default="", repr=False)
    authority: str = ""
    sites: tuple[str, ...] = ()
    site: str = ""
    zone: str = ""
    badge: str = ""
    lang: str = "fr"
    palette: str = "day"
    text_scale: int = 100
    left_handed: bool = False
    cues: str = "sound"
    printer: dict[str, Any] | None = None
    clock: dict[str, Any] | None = None
    seen_at: str = ""
    mismatches: int = 0
    index_lifetime_hours: int = INDEX_LIFETIME_HOURS
    others: dict[str, Any] = field(default_factory=dict)

    @property
    def secret(self) -> str:
        """The token to show: the newest."""
        return self.next_token or self.token

    @property
    def index_lifetime(self) -> timedelta:
        """How long an index answers after its last sync."""
        return timedelta(hours=self.index_lifetime_hours)

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
            values = asdict(device)
            values = values.pop("others") | values
            text = json.dumps(values, ensure_ascii=False, indent=1)
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(self._path, text.encode(), mode=0o600)
            self.device = device
            return device

    # the token: an answer that is lost, or a power cut, locks no device out

    def is_token_old(self, at: datetime) -> bool:
        """Whether it is time for another token, and none is on its way."""
        device = self.device
        if not device.token or device.next_token:
            return False
        since = codec.parse_optional_instant(device.token_at or None)
        return since is None or at - since >= TOKEN_LIFE

    def keep_next_token(self, token: str) -> None:
        """A new token, to be shown from now on; on disk, beside the old one, before it is."""
        self.change(next_token=token)

    def token_worked(self, token: str, *, at: datetime) -> None:
        """The service took this token: if it is the new one, the old one is dead now."""
        if token and token == self.device.next_token:
            old = self.device.token
            self.change(token=token, next_token="", old_token=old, token_at=codec.instant(at))

    def token_refused(self, token: str) -> bool:
        """The service does not know this token. Whether the one before is left to be shown: a
        record that was restored may not know the new one, though it was used.
        """
        device = self.device
        if token and token == device.next_token:
            self.change(next_token="")
        elif token and token == device.token and device.old_token:
            self.change(token=device.old_token, old_token=token)
        else:
            return False
        return True


def _read(path: Path) -> Device | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = {f.name for f in fields(Device)} - {"others"}
        values = {name: value for name, value in found.items() if name in known}
        values["sites"] = tuple(values.get("sites", ()))
        others = {name: value for name, value in found.items() if name not in known}
        return Device(**values, others=others)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError):
        return None  # damaged: enrol again; what was recorded lies in other files
