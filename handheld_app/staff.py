"""`staff.json`: the verifiers that this device made of its patrollers' PINs. Private (0600)."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from handheld_app.signing_in import (
    Cost,
    SignedIn,
    Verifier,
    is_good,
    matches,
    new_verifier,
    signed_in,
    tried,
    trying,
)
from sync.files import write_durably
from sync.messages import SignIn

SALT_BYTES = 16


class NotKnownHere(Exception):
    """No verifier of the badge is here that is still good: the service must be asked."""


class WrongPin(Exception):
    """It is not the badge's PIN; `left` more tries until the verifier is gone. None: the service
    said so.
    """

    def __init__(self, left: int | None) -> None:
        self.left = left
        super().__init__(f"{left} more tries")


class StaffFile:
    """The verifiers in their file. Threads share it; a damaged file is no verifier at all.

    `cost` is for tests: what a new verifier's tries take.
    """

    def __init__(self, path: Path, *, cost: Cost | None = None) -> None:
        self._path = path
        self._cost = cost or Cost()
        self._lock = threading.Lock()
        self._verifiers = _read(path)
        self._in_memory = False

    def badges(self) -> list[str]:
        """Whose verifiers are here."""
        return sorted(self._verifiers)

    def tries_left(self, badge: str, *, at: datetime) -> int | None:
        """How often its PIN may be wrong here; None when the service must be asked."""
        verifier = self._verifiers.get(badge)
        return verifier.left if verifier is not None and is_good(verifier, at=at) else None

    def sign_in(self, badge: str, pin: str, *, at: datetime) -> SignedIn:
        """By this device's own verifier. Raises NotKnownHere, WrongPin, OSError.

        The try is on the disk as a failure before the PIN is compared.
        """
        with self._lock:
            verifier = self._verifiers.get(badge)
            if verifier is None or not is_good(verifier, at=at):
                raise NotKnownHere(badge)
            counted = trying(verifier)
            self._keep(badge, counted)
            right = matches(counted, pin)
            after = tried(counted, right=right)
            if after != counted:
                self._keep(badge, after)
            if not right:
                raise WrongPin(counted.left)
            return signed_in(counted, at=at, unconfirmed=True)

    def remember(self, badge: str, pin: str, said: SignIn, *, at: datetime) -> SignedIn:
        """The service let them in: a new verifier, with no failures. Raises OSError."""
        salt = secrets.token_bytes(SALT_BYTES)
        verifier = new_verifier(badge, pin, said, salt=salt, cost=self._cost)
        with self._lock:
            self._keep(badge, verifier)
        return signed_in(verifier, at=at, unconfirmed=False)

    def forget(self, badge: str) -> None:
        """The service does not let them in any more. Raises OSError."""
        with self._lock:
            if badge in self._verifiers:
                self._keep(badge, None)

    def wipe(self, *, but: str = "") -> None:
        """Leave no verifier in the file; that of one badge, of who is at work, is good until the
        program ends, so that what they are recording is not locked away from them.
        """
        with self._lock:
            self._verifiers = {
                badge: verifier for badge, verifier in self._verifiers.items() if badge == but
            }
            self._in_memory = bool(self._verifiers)
            self._path.unlink(missing_ok=True)

    def _keep(self, badge: str, verifier: Verifier | None) -> None:
        kept = {name: other for name, other in self._verifiers.items() if name != badge}
        if verifier is not None:
            kept[badge] = verifier
        if not self._in_memory:
            text = json.dumps([other.as_json() for other in kept.values()], ensure_ascii=False)
            write_durably(self._path, text.encode(), mode=0o600)
        self._verifiers = kept


def _read(path: Path) -> Mapping[str, Verifier]:
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        found = [Verifier.from_json(kept) for kept in json.loads(path.read_text("utf-8"))]
        return {verifier.badge: verifier for verifier in found}
    return {}
