"""What is wrong with a handheld, as far as the service can tell. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from enforcement_api.devices.fleet import Standing

What = Literal["stale", "unseen", "unsent", "battery", "clock", "numbers", "mismatched"]

SILENT_ON_SHIFT = timedelta(minutes=10)
"""A device on a shift asks every half minute: after so long it has no network, or is off."""
UNSEEN = timedelta(days=2)
"""One that nobody works with may lie in its cradle so long before somebody should look for it."""
UNSENT, MANY_UNSENT = 10, 50
LOW, EMPTY = 20, 10
"""Percent of the battery."""
BATTERY_TELLS = timedelta(hours=2)
"""What a battery had left longer ago says nothing about it now."""
CLOCK_OFF, CLOCK_WRONG = timedelta(minutes=1), timedelta(minutes=5)
FEW_NUMBERS = 10
MISMATCHED_LATELY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong. `is_grave`: somebody should do something now."""

    what: What
    is_grave: bool


def troubles(standing: Standing, at: datetime, *, is_on_shift: bool) -> list[Trouble]:
    """What is wrong with a device at an instant, the grave first. Nothing is with one that waits
    for its enrolment, or was revoked.
    """
    device = standing.device
    if device.enrolled_at is None or device.revoked_at is not None:
        return []
    found: list[Trouble] = []

    def say(what: What, is_so: bool, *, is_grave: bool) -> None:
        if is_so:
            found.append(Trouble(what, is_grave))

    silent = timedelta.max if device.last_seen_at is None else at - device.last_seen_at
    say("stale", standing.is_stale, is_grave=True)
    is_lost = is_on_shift and silent > SILENT_ON_SHIFT
    say("unseen", is_lost or silent > UNSEEN, is_grave=is_lost)
    unsent = device.unsent or 0
    say("unsent", unsent >= UNSENT, is_grave=unsent >= MANY_UNSENT)
    battery = device.battery_percent
    if battery is not None and silent <= BATTERY_TELLS:
        say("battery", battery <= LOW, is_grave=battery <= EMPTY)
    offset = timedelta(milliseconds=abs(device.clock_offset_ms or 0))
    say("clock", offset >= CLOCK_OFF, is_grave=offset >= CLOCK_WRONG)
    left = device.numbers_left
    if left is not None:
        say("numbers", left <= FEW_NUMBERS, is_grave=left == 0)
    told = device.mismatched_at
    say("mismatched", told is not None and at - told <= MISMATCHED_LATELY, is_grave=False)
    return sorted(found, key=lambda each: not each.is_grave)
