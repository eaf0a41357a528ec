"""The edges of a handheld's sync that know the device: its token, its numbers, what it tells."""

from __future__ import annotations

import tomllib
import uuid
from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from handheld_app.briefing import Briefings
from handheld_app.device import DeviceFile
from sync import engine, exchange
from sync.client import ServiceClient
from sync.clock import TrustedClock
from sync.edges import Edges
from sync.engine import Effect
from sync.exchange import Answer
from sync.outbox import KEPT, Outbox
from sync.replica import Replica

OFFSET_NOISE_MS = 1000
"""Changes of the offset that the service need not be told of: it tells whole seconds."""
TOLD_EVERY = 300.0
"""Seconds after which the service is told how this device is doing, though nothing has changed."""
TIDIED_EVERY = 3600.0
"""Seconds between two looks for what was sent long ago."""
BRIEFED_EVERY = 20.0
"""Seconds between two questions for the briefing: what another handheld checked is in it."""


def app_version() -> str:
    """Ours. In an APK we are not installed: there, the project's file lies beside the sources."""
    try:
        return version("patrouille")
    except PackageNotFoundError:
        project = Path(__file__).parents[1] / "pyproject.toml"
        told: str = tomllib.loads(project.read_text("utf-8"))["project"]["version"]
        return told


_VERSION = app_version()


class DeviceEdges(Edges):
    """The edges of an enrolled device at one site."""

    def __init__(
        self,
        client: ServiceClient,
        replica: Replica,
        outbox: Outbox,
        clock: TrustedClock,
        device_file: DeviceFile,
        briefings: Briefings,
    ) -> None:
        super().__init__(client, replica, outbox, clock)
        self._briefings = briefings
        self._briefed: float | None = None
        self._device_file = device_file
        self._site = device_file.device.site
        self._told: tuple[float, Mapping[str, Any]] | None = None
        self._tidied: float | None = None

    def perform(self, effect: Effect) -> Any:
        """As `Edges.perform`."""
        match effect:
            case engine.NoteMismatch():
                self._device_file.change(mismatches=self._device_file.device.mismatches + 1)
            case engine.Facts():
                return self._facts()
            case engine.Told(facts):
                self._told = (self.clock.stamp().boot, facts)
            case engine.BlockWanted():
                return self.outbox.block_wanted(
                    self.client.address, self._site, new_id=str(uuid.uuid4())
                )
            case engine.KeepBlock(id, block):
                self.outbox.put_block(
                    self.client.address, self._site, id, block.prefix, block.first, block.last
                )
            case engine.IsTokenOld():
                return self._device_file.is_token_old(self.clock.now())
            case engine.KeepToken(token):
                self._device_file.keep_next_token(token)
            case engine.BriefingWanted():
                return self._briefing_wanted()
            case engine.KeepBriefing(briefed):
                self._briefed = self.clock.stamp().boot
                if briefed is not None:
                    self._briefings.keep(
                        self.client.address, self._site, briefed, at=self.clock.now()
                    )
            case engine.Tidy():
                self._tidy()
            case _:
                return super().perform(effect)
        return None

    def _ask(self, effect: engine.Ask) -> Answer:
        """With the newest token; where it is not known, with the one before."""
        shown = self._device_file.device.secret
        answer = super()._ask(effect)
        if exchange.is_unknown_token(answer):
            # The other thread has another one by now, or the record is from before this one.
            if self._device_file.device.secret != shown or self._device_file.token_refused(shown):
                answer = super()._ask(effect)
        elif answer.status < 400:
            self._device_file.token_worked(shown, at=self.clock.now())
        return answer

    def _facts(self) -> Mapping[str, Any] | None:
        offset = self.clock.read().offset // timedelta(milliseconds=1)
        facts = {
            "app_version": _VERSION,
            "unsent": self.outbox.unsent(),
            "clock_offset_ms": offset,
            "mismatches": self._device_file.device.mismatches,
            "numbers_left": self.outbox.numbers_left(self.client.address, self._site),
        }
        if self._told is None or self.clock.stamp().boot - self._told[0] > TOLD_EVERY:
            return facts
        told = self._told[1]
        if abs(told["clock_offset_ms"] - offset) <= OFFSET_NOISE_MS:
            facts["clock_offset_ms"] = told["clock_offset_ms"]
        return None if facts == told else facts

    def _briefing_wanted(self) -> str | None:
        if self._briefed is not None and self.clock.stamp().boot - self._briefed < BRIEFED_EVERY:
            return None
        return self._briefings.etag(self.client.address, self._site)

    def _tidy(self) -> None:
        """Only by a clock that was compared: what was sent is kept for a reason."""
        reading, at = self.clock.read(), self.clock.stamp().boot
        is_due = self._tidied is None or at - self._tidied >= TIDIED_EVERY
        if is_due and reading.uncertainty is not None:
            self._tidied = at
            self.outbox.forget_sent(reading.corrected - KEPT)
