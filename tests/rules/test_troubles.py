"""What is wrong with a handheld, as a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enforcement_api.devices.core import Device, DeviceCursor
from enforcement_api.devices.fleet import Standing
from enforcement_api.devices.troubles import troubles

NOW = datetime(2026, 11, 23, 15, 15, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def standing(*, is_stale: bool = False, **facts: Any) -> Standing:
    given: dict[str, Any] = {
        "id": "d",
        "name": "Handheld 7",
        "sites": ("1085",),
        "created_at": NOW - 9 * HOUR,
        "enrolled_at": NOW - 8 * HOUR,
        "revoked_at": None,
        "last_seen_at": NOW,
        "app_version": "0.6.0",
        "unsent": 0,
        "clock_offset_ms": 0,
        "battery_percent": 80,
        "mismatches": 0,
        "mismatched_at": None,
        "numbers_left": 40,
        "plates_held": None,
        "cursors": (DeviceCursor("1085", "c", 1, NOW, 3),),
    }
    return Standing(Device(**(given | facts)), (), is_stale)


@pytest.mark.parametrize(
    ("facts", "is_on_shift", "wanted"),
    [
        ({}, True, []),
        ({"unsent": None, "battery_percent": None, "numbers_left": None}, True, []),
        ({"is_stale": True}, False, ["stale!"]),
        ({"last_seen_at": NOW - 10 * MINUTE}, True, []),
        ({"last_seen_at": NOW - 11 * MINUTE}, True, ["unseen!"]),
        ({"last_seen_at": NOW - 11 * MINUTE}, False, []),
        ({"last_seen_at": NOW - 49 * HOUR}, False, ["unseen"]),
        ({"last_seen_at": None}, False, ["unseen"]),
        ({"unsent": 9}, False, []),
        ({"unsent": 10}, False, ["unsent"]),
        ({"unsent": 50}, False, ["unsent!"]),
        ({"battery_percent": 21}, False, []),
        ({"battery_percent": 20}, False, ["battery"]),
        ({"battery_percent": 10}, False, ["battery!"]),
        ({"battery_percent": 1, "last_seen_at": NOW - 3 * HOUR}, False, []),
        ({"clock_offset_ms": -59_999}, False, []),
        ({"clock_offset_ms": -60_000}, False, ["clock"]),
        ({"clock_offset_ms": 300_000}, False, ["clock!"]),
        ({"numbers_left": 11}, False, []),
        ({"numbers_left": 10}, False, ["numbers"]),
        ({"numbers_left": 0}, False, ["numbers!"]),
        ({"mismatched_at": NOW - 24 * HOUR}, False, ["mismatched"]),
        ({"mismatched_at": NOW - 25 * HOUR}, False, []),
        ({"unsent": 10, "battery_percent": 3}, False, ["battery!", "unsent"]),
        ({"enrolled_at": None, "unsent": 99, "is_stale": True}, False, []),
        ({"revoked_at": NOW, "unsent": 99, "is_stale": True}, True, []),
    ],
)
def test_trouble_is_told_from_when_somebody_should_look(
    facts: dict[str, Any], is_on_shift: bool, wanted: list[str]
) -> None:
    found = troubles(standing(**facts), NOW, is_on_shift=is_on_shift)
    assert [each.what + "!" * each.is_grave for each in found] == wanted
