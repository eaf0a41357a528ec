"""What needs eyes first, as a table."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enforcement_api.infractions.attention import (
    REASONS,
    REST,
    SAMPLED_PERCENT,
    Facts,
    is_sampled,
    rank,
    reasons,
)

NOON = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
PLAIN = next(id for n in range(100) if not is_sampled(id := str(uuid.UUID(int=n))))
SAMPLED = next(id for n in range(100) if is_sampled(id := str(uuid.UUID(int=n))))


def facts(**changed: Any) -> Facts:
    usual: dict[str, Any] = {
        "id": PLAIN,
        "differs": False,
        "warnings": (),
        "observed_at": NOON,
        "fresh_until": None,
        "stale_after": timedelta(hours=24),
        "is_repeated": False,
        "photos": 1,
        "photos_missing": 0,
        "photos_required": 1,
    }
    return Facts(**usual | changed)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ()),
        ({"differs": True}, ("differs",)),
        ({"warnings": ["verdict-not-as-known"]}, ("stale",)),
        ({"warnings": ["lost-cursor"]}, ("stale",)),
        ({"warnings": ["unknown-cursor", "unknown-lot"]}, ("stale",)),
        ({"fresh_until": NOON - timedelta(hours=24)}, ()),
        ({"fresh_until": NOON - timedelta(hours=24, seconds=1)}, ("stale",)),
        ({"fresh_until": NOON + timedelta(hours=1)}, ()),
        ({"warnings": ["clock-jumped"]}, ("clock",)),
        ({"warnings": ["observed-in-future"]}, ("clock",)),
        ({"is_repeated": True}, ("repeated",)),
        ({"photos_missing": 1}, ("photos",)),
        ({"photos": 0}, ("photos",)),
        ({"photos": 0, "photos_required": 0}, ()),
        ({"warnings": ["unknown-lot", "voided-late"]}, ()),
        ({"id": SAMPLED}, ("sample",)),
        ({"id": SAMPLED, "is_repeated": True}, ("repeated",)),
        (
            {"photos": 0, "is_repeated": True, "warnings": ["clock-jumped"], "differs": True},
            ("differs", "clock", "repeated", "photos"),
        ),
    ],
)
def test_reasons_follow_from_the_facts_the_weightiest_first(
    changed: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert reasons(facts(**changed)) == expected


def test_rank_is_that_of_the_weightiest_reason() -> None:
    assert [rank((reason,)) for reason in REASONS] == list(range(REST))
    assert rank(("repeated", "stale")) == REASONS.index("stale")
    assert rank(()) == REST


def test_share_of_the_rest_is_as_large_as_it_is_said_to_be() -> None:
    sampled = sum(is_sampled(str(uuid.UUID(int=n))) for n in range(10_000))
    assert abs(sampled / 100 - SAMPLED_PERCENT) < 1.5
