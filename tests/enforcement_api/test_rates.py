"""How often: windows that move, waits that grow, and who counts as one."""

from __future__ import annotations

import pytest

from enforcement_api.rates import Limit, one_address


class Seconds:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


def test_so_many_are_taken_and_then_the_oldest_has_to_leave(clock: Seconds) -> None:
    limit = Limit((3, 60), now=clock)
    for _ in range(3):
        assert limit.take("a") == 0
        clock.at += 10
    assert (limit.take("a"), limit.wait("a")) == (30, 30)
    assert limit.take("b") == 0
    clock.at += 30
    assert limit.take("a") == 0
    assert limit.take("a") == 10


def test_waits_grow_with_the_windows(clock: Seconds) -> None:
    limit = Limit((2, 60), (4, 600), now=clock)
    waits = []
    for _ in range(6):
        while wait := limit.take("a"):
            waits.append(wait)
            clock.at += wait
    assert waits == [60, 540]


def test_what_was_refused_does_not_count(clock: Seconds) -> None:
    limit = Limit((1, 60), (5, 600), now=clock)
    limit.take("a")
    for _ in range(20):
        assert limit.take("a")
    clock.at += 60
    assert limit.take("a") == 0


def test_what_is_given_back_does_not_count(clock: Seconds) -> None:
    limit = Limit((1, 60), now=clock)
    limit.give_back("a")
    for _ in range(5):
        assert limit.take("a") == 0
        limit.give_back("a")
    assert limit.take("a") == 0
    assert limit.take("a") == 60


def test_clock_that_is_set_back_locks_nobody_out(clock: Seconds) -> None:
    limit = Limit((2, 60), now=clock)
    assert [limit.take("a") for _ in range(3)] == [0, 0, 60]
    clock.at -= 86_400
    assert limit.take("a") == 0


def test_zero_is_no_limit(clock: Seconds) -> None:
    limit = Limit((0, 60), now=clock)
    assert not any(limit.take("a") for _ in range(1000))


def test_who_has_not_been_here_for_long_takes_no_memory(clock: Seconds) -> None:
    limit = Limit((2, 60), now=clock)
    for n in range(25_000):
        limit.take(f"{n}")
        clock.at += 0.1
    assert len(limit._kept._entries) <= 10_000


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        (None, ""),
    ],
)
def test_one_host_counts_as_one_address(address: str | None, counted: str) -> None:
    assert one_address(address) == counted
