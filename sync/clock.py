"""Time is the service's (DOMAIN 2.8): what a device's clock is worth, measured at each sync."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

_HALF_SECOND = timedelta(milliseconds=500)
JUMP = timedelta(seconds=30)
"""A device clock that moves by more than this against the boot clock has been set."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment by the device's two clocks: the wall clock (aware, UTC), and the seconds of one that
    nobody sets.
    """

    wall: datetime
    boot: float


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One instant as the device says it, as the service would say it, and how sure that is."""

    device_time: datetime
    corrected: datetime
    offset: timedelta
    uncertainty: timedelta | None
    jumped: bool


class TrustedClock:
    """The service's time on a device whose own clock may be wrong.

    `now` is the device's wall clock (aware, UTC), `boot` seconds of a clock that nobody sets.
    Until the first measurement the `offset` that was kept is believed, with no known uncertainty;
    `keep` is told of each new one, for the next start.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        boot: Callable[[], float],
        *,
        offset: timedelta = timedelta(0),
        keep: Callable[[timedelta], None] = lambda offset: None,
    ) -> None:
        self._now = now
        self._boot = boot
        self._lock = threading.Lock()
        self._keep = keep
        self._offset = offset
        self._uncertainty: timedelta | None = None
        self._anchor: tuple[datetime, float] | None = None

    def device_now(self) -> datetime:
        """The device's own clock, as it is."""
        return self._now()

    def stamp(self) -> Stamp:
        """The moment that it is, by the device's clocks as they are."""
        return Stamp(self._now(), self._boot())

    def observe(self, server_time: datetime, *, sent: Stamp, received: Stamp) -> None:
        """Measure the offset from one answer. `server_time` is truncated to whole seconds."""
        round_trip = timedelta(seconds=received.boot - sent.boot)
        if round_trip < timedelta(0):
            return
        with self._lock:
            true_then = server_time + _HALF_SECOND + round_trip / 2
            self._offset = true_then - received.wall
            self._uncertainty = _HALF_SECOND + round_trip / 2
            self._anchor = (true_then, received.boot)
            offset = self._offset
        # It may wait for a disk: whoever reads the clock meanwhile does not.
        self._keep(offset)

    def read(self) -> ClockReading:
        """The time now. After a jump of the device's clock the boot clock is followed instead."""
        with self._lock:
            device_time = self._now()
            corrected, jumped = device_time + self._offset, False
            if self._anchor is not None:
                anchored, boot = self._anchor
                expected = anchored + timedelta(seconds=self._boot() - boot)
                if abs(expected - corrected) > JUMP:
                    corrected, jumped = expected, True
            return ClockReading(
                device_time, corrected, corrected - device_time, self._uncertainty, jumped
            )

    def now(self) -> datetime:
        """The service's time, as well as this device knows it."""
        return self.read().corrected
