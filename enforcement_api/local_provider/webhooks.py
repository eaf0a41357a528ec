"""Telling the service what happened, signed, again and again until it says that it heard.

A service that was never told asks by itself: nothing depends on it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import httpx

from enforcement_api.local_provider.ledger import Event, Ledger
from enforcement_api.problems import Problem
from enforcement_api.security import signature

SIGNATURE, TIMESTAMP = "Payment-Signature", "Payment-Timestamp"
PATH = "/v1/payment-events"

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.2
_ANSWER_SECONDS = 10
_MOST_TRIES = 60
_LONGEST_PAUSE = timedelta(hours=1)


def pause(attempts: int) -> timedelta | None:
    """How long to wait after so many tries in vain; None: that was the last. Two days in all."""
    if attempts >= _MOST_TRIES:
        return None
    return min(timedelta(seconds=2 ** min(attempts, 12)), _LONGEST_PAUSE)


class Webhooks:
    """Posts what the ledger says is to be told, in a thread of its own."""

    def __init__(
        self, ledger: Ledger, *, service: str, secret: str, now: Callable[[], datetime]
    ) -> None:
        """`service`: its address, such as http://127.0.0.1:8000."""
        self._ledger = ledger
        self._url = service.rstrip("/") + PATH
        self._secret = secret
        self._now = now
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what was not told is told after the next start."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(timeout=_ANSWER_SECONDS, trust_env=False) as client:
            while not self._stopping.wait(_LOOK_SECONDS):
                try:
                    for event in self._ledger.due_events(at=self._now()):
                        self._tell(client, event)
                except Problem as problem:
                    _log.warning("events wait: %s", problem)

    def _tell(self, client: httpx.Client, event: Event) -> None:
        heard = self._post(client, event.body.encode())
        at = self._now()
        wait = None if heard else pause(event.attempts)
        next_try_at = None if wait is None else at + wait
        self._ledger.told(event, at=at, next_try_at=next_try_at, ok=heard)

    def _post(self, client: httpx.Client, body: bytes) -> bool:
        # Signed anew at each try: what is older than a few minutes is not believed.
        timestamp = str(int(self._now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            TIMESTAMP: timestamp,
            SIGNATURE: signature(self._secret, timestamp, body),
        }
        try:
            return client.post(self._url, content=body, headers=headers).is_success
        except httpx.HTTPError:
            return False
