"""Where a restored number series goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcement_api.operations.core import issued_number, moved_ahead, number_floor

AT = st.integers(0, 2 * 10**9).map(
    lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
NUMBERS = st.integers(min_value=0, max_value=10**12 - 1)


@given(NUMBERS, st.lists(NUMBERS), AT)
def test_series_goes_on_beyond_all_that_is_known(next: int, taken: list[int], at: datetime) -> None:
    found = moved_ahead(next, taken=taken, at=at)
    assert found >= next
    assert found >= number_floor(at) >= 1
    assert all(found > number for number in taken)


@given(st.integers(1, 1000), AT, st.integers(1, 10**9))
def test_two_restores_of_one_backup_begin_apart(next: int, at: datetime, seconds: int) -> None:
    """By as many numbers as there were seconds between, once the floor is beyond the backup."""
    at += timedelta(days=1)
    first = moved_ahead(next, taken=(), at=at)
    assert moved_ahead(next, taken=(), at=at + timedelta(seconds=seconds)) - first == seconds


@given(NUMBERS, st.lists(NUMBERS), AT, st.sampled_from([0, 100_000_000]))
def test_series_that_lies_beyond_a_number_stays_there(
    next: int, taken: list[int], at: datetime, beyond: int
) -> None:
    found = moved_ahead(next, taken=taken, at=at, beyond=beyond)
    assert found >= beyond + number_floor(at) > beyond
    assert all(found > number for number in taken)
    if beyond == 0:
        assert found == moved_ahead(next, taken=taken, at=at)


def test_number_that_no_series_gave_uses_none_up() -> None:
    assert moved_ahead(1, taken=[10**15], at=datetime(2026, 1, 1, tzinfo=UTC)) == 1


@pytest.mark.parametrize(
    ("number", "expected"),
    [("1085-41", 41), ("1085-A-7", 7), ("2000-41", None), ("1085-", None), ("", None),
     ("1085-41a", None)],
)  # fmt: skip
def test_number_of_a_notice_is_read(number: str, expected: int | None) -> None:
    assert issued_number("1085", number) == expected
