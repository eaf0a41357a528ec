"""The edges of a handheld's sync that know the device: its token, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from handheld_app.device import DeviceFile
from sync import engine
from sync.client import ServiceClient
from sync.clock import TrustedClock
from sync.edges import Edges
from sync.engine import Effect
from sync.outbox import Outbox
from sync.replica import Replica

OFFSET_NOISE_MS = 1000
"""Changes of the offset that the service need not be told of: it tells whole seconds."""
TOLD_EVERY = 300.0
"""Seconds after which the service is told how this device is doing, though nothing has changed."""


class DeviceEdges(Edges):
    """The edges of an enrolled device."""

    def __init__(
        self,
        client: ServiceClient,
        replica: Replica,
        outbox: Outbox,
        clock: TrustedClock,
        device_file: DeviceFile,
    ) -> None:
        super().__init__(client, replica, outbox, clock)
        self._device_file = device_file
        self._told: tuple[float, Mapping[str, Any]] | None = None

    def perform(self, effect: Effect) -> Any:
        """As `Edges.perform`."""
        match effect:
            case engine.Facts():
                return self._facts()
            case engine.Told(facts):
                self._told = (self.clock.stamp().boot, facts)
            case engine.BlockWanted() | engine.IsTokenOld():
                return None
            case _:
                return super().perform(effect)
        return None

    def _facts(self) -> Mapping[str, Any] | None:
        offset = self.clock.read().offset // timedelta(milliseconds=1)
        facts = {
            "app_version": version("patrouille"),
            "unsent": self.outbox.unsent(),
            "clock_offset_ms": offset,
        }
        if self._told is None or self.clock.stamp().boot - self._told[0] > TOLD_EVERY:
            return facts
        told = self._told[1]
        is_news = abs(told["clock_offset_ms"] - offset) > OFFSET_NOISE_MS
        return facts if is_news or told != facts | {"clock_offset_ms": offset} else None
