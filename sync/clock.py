"""Time is the service's (DOMAIN 2.8): what a device's clock is worth, measured at each sync.

A device has two clocks: the wall clock, which somebody may set, and the boot clock, which counts
from the device's start and which nobody sets. An answer of the service anchors the service's time
to the boot clock; from then on the boot clock is followed, and the wall clock is only watched.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

_HALF_SECOND = timedelta(milliseconds=500)
JUMP = timedelta(seconds=30)
"""A wall clock that moves by more than this against the boot clock has been set."""
DRIFT = 50e-6
"""Seconds per second that a boot clock may go wrong, either way: 4.3 s a day. The crystals of
phones are sold as ±20 ppm at 25 °C; cold and age at most double that [choice]."""
KEEP_EVERY = 600.0
"""Seconds after which a measurement that brings nothing new is kept all the same: as the last
instant that is known to have been, should the device start again with a clock set back."""
_NOISE = timedelta(seconds=1)
"""Differences that are not worth a write: the service tells whole seconds."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """One instant by both clocks of a device: `wall` aware, in UTC; `boot` in seconds."""

    wall: datetime
    boot: float


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One instant as the device says it, as the service would say it, and how sure that is.

    `corrected` is `device_time` and `offset`, and the service's time within ± `uncertainty`; None:
    not compared since the device started, so that nobody knows. `jumped`: somebody set the device's
    clock since it was compared; `corrected` is not moved by that.
    """

    device_time: datetime
    corrected: datetime
    offset: timedelta
    uncertainty: timedelta | None
    jumped: bool


@dataclass(frozen=True, slots=True)
class Measurement:
    """The service's time was `at` when the boot clock of this start (`boot_id`) said `boot`, within
    ± `uncertainty`; `offset` was to be added to the wall clock. Uncertainty None: not measured, but
    guessed when the program began.
    """

    at: datetime
    boot_id: str
    boot: float
    offset: timedelta
    uncertainty: timedelta | None

    def as_json(self) -> dict[str, Any]:
        """To be kept over restarts of the program."""
        return {
            "at": self.at.isoformat(),
            "boot_id": self.boot_id,
            "boot": self.boot,
            "offset": self.offset.total_seconds(),
            "uncertainty": None if self.uncertainty is None else self.uncertainty.total_seconds(),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any] | None) -> Measurement | None:
        """What as_json gave; None of anything else: it is measured again."""
        if kept is None:
            return None
        with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
            uncertainty = kept["uncertainty"]
            found = cls(
                at=datetime.fromisoformat(kept["at"]),
                boot_id=str(kept["boot_id"]),
                boot=float(kept["boot"]),
                offset=timedelta(seconds=kept["offset"]),
                uncertainty=None if uncertainty is None else timedelta(seconds=uncertainty),
            )
            return found if found.at.tzinfo is not None else None
        return None

    def later(self, boot: float) -> tuple[datetime, timedelta | None]:
        """The service's time when the boot clock says `boot`, and its uncertainty then."""
        elapsed = timedelta(seconds=boot - self.boot)
        if self.uncertainty is None:
            return self.at + elapsed, None
        return self.at + elapsed, self.uncertainty + abs(elapsed) * DRIFT


class TrustedClock:
    """The service's time on a device whose own clock may be wrong. Threads share it."""

    def __init__(
        self,
        now: Callable[[], datetime],
        boot: Callable[[], float],
        *,
        boot_id: str = "",
        kept: Measurement | None = None,
        keep: Callable[[Measurement], None] = lambda measurement: None,
    ) -> None:
        """`now` is the wall clock (aware, UTC), `boot` the seconds of the boot clock, `boot_id`
        names this start of the device (empty: nobody knows, so every start is a new one).

        `keep` is told of what is worth keeping, which is `kept` the next time. Of an earlier start
        of the device its offset is believed, with no known uncertainty, and that time goes on: a
        wall clock from before `kept` has been set back.
        """
        self._now = now
        self._boot = boot
        self._boot_id = boot_id
        self._lock = threading.Lock()
        self._keep = keep
        begun = self.stamp()
        self._kept = kept if kept is not None and self._is_of_this_start(kept, begun) else None
        self._last = self._kept or self._guess(kept, begun)

    def _is_of_this_start(self, kept: Measurement, begun: Stamp) -> bool:
        return bool(self._boot_id) and kept.boot_id == self._boot_id and kept.boot <= begun.boot

    def _guess(self, kept: Measurement | None, begun: Stamp) -> Measurement:
        """What is believed until the first measurement since the device started."""
        if kept is None:
            return Measurement(begun.wall, self._boot_id, begun.boot, timedelta(0), None)
        at = max(begun.wall + kept.offset, kept.at)
        return Measurement(at, self._boot_id, begun.boot, kept.offset, None)

    def device_now(self) -> datetime:
        """The device's own clock, as it is."""
        return self._now()

    def stamp(self) -> Stamp:
        """The present instant by both clocks, to measure with."""
        return Stamp(self._now(), self._boot())

    def observe(self, server_time: datetime, *, sent: Stamp, received: Stamp) -> None:
        """Measure by one answer. `server_time` is truncated to whole seconds, and was told between
        `sent` and `received`.

        The measurement of the least uncertainty stays, until its drift makes another the better
        one; one that contradicts it takes its place: it is the service's clock that counts.
        """
        round_trip = timedelta(seconds=received.boot - sent.boot)
        if round_trip < timedelta(0):
            return
        at = server_time + _HALF_SECOND + round_trip / 2
        uncertainty = _HALF_SECOND + round_trip / 2 + round_trip * DRIFT
        with self._lock:
            expected, known_within = self._last.later(received.boot)
            if (
                known_within is not None
                and known_within < uncertainty
                and abs(at - expected) <= known_within + uncertainty
            ):
                # Only how the wall clock stands to it is new.
                at, uncertainty = expected, known_within
            measured = Measurement(
                at, self._boot_id, received.boot, at - received.wall, uncertainty
            )
            self._last = measured
            is_news = self._is_news(measured, received.boot)
            if is_news:
                self._kept = measured
        if is_news:
            # It may wait for a disk: whoever reads the clock meanwhile does not.
            self._keep(measured)

    def _is_news(self, measured: Measurement, boot: float) -> bool:
        kept = self._kept
        if kept is None or kept.uncertainty is None or measured.uncertainty is None:
            return True
        return (
            abs(measured.offset - kept.offset) > _NOISE
            or abs(measured.uncertainty - kept.uncertainty) > _NOISE
            or boot - kept.boot > KEEP_EVERY
        )

    def read(self) -> ClockReading:
        """The time now."""
        with self._lock:
            device_time, boot, last = self._now(), self._boot(), self._last
        corrected, uncertainty = last.later(boot)
        drift = abs(timedelta(seconds=boot - last.boot)) * DRIFT
        jumped = abs(device_time + last.offset - corrected) > JUMP + drift
        return ClockReading(device_time, corrected, corrected - device_time, uncertainty, jumped)

    def now(self) -> datetime:
        """The service's time, as well as this device knows it."""
        return self.read().corrected
