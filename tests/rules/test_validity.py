"""DOMAIN 2.6: each test of the rule, at its boundary, and the best of several."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from itertools import combinations, permutations

import pytest

from sync.entities import Permit
from sync.validity import VERDICTS, judge
from tests.builders import DAY, HOUR, NOON, RETENTION, SECOND, permit


def verdict(*permits: Permit, zone: str = "G1", when: datetime = NOON) -> str:
    return judge(permits, zone=zone, at=when, retention=RETENTION).verdict


def changes_at(*permits: Permit, zone: str = "G1", when: datetime = NOON) -> datetime | None:
    return judge(permits, zone=zone, at=when, retention=RETENTION).changes_at


def test_verdicts_from_the_best_to_the_worst() -> None:
    assert VERDICTS == (
        "valid", "pending_activation", "wrong_zone", "not_started",
        "suspended", "expired", "cancelled", "unknown",
    )  # fmt: skip


def test_plate_without_permit_is_unknown_for_good() -> None:
    judgement = judge((), zone="G1", at=NOON, retention=RETENTION)
    assert (judgement.verdict, judgement.permits, judgement.changes_at) == ("unknown", (), None)


ENDED = permit(ends_at=NOON)
CANCELLED = permit(ends_at=NOON, status="cancelled")
SUSPENDED_ENDED = permit(ends_at=NOON, status="suspended")
STARTING = permit(starts_at=NOON, active_from=NOON - DAY)
ACTIVATING = permit(active_from=NOON)


@pytest.mark.parametrize(
    ("case", "before", "since"),
    [
        # test 2 and what precedes it: half-open at ends_at
        (ENDED, "valid", "expired"),
        (CANCELLED, "valid", "cancelled"),
        (SUSPENDED_ENDED, "suspended", "expired"),
        # test 4
        (STARTING, "not_started", "valid"),
        # test 6
        (ACTIVATING, "pending_activation", "valid"),
    ],
)
def test_boundary_belongs_to_what_follows(case: Permit, before: str, since: str) -> None:
    assert verdict(case, when=NOON - SECOND) == before
    assert changes_at(case, when=NOON - SECOND) == NOON
    assert verdict(case, when=NOON) == since
    assert verdict(case, when=NOON + SECOND) == since


@pytest.mark.parametrize("status", ["active", "suspended", "cancelled"])
def test_permit_no_longer_counts_once_the_retention_is_over(status: str) -> None:
    ended = permit(ends_at=NOON, status=status)  # type: ignore[arg-type]
    over = NOON + RETENTION
    assert verdict(ended, when=over - SECOND) == (
        "cancelled" if status == "cancelled" else "expired"
    )
    assert changes_at(ended, when=over - SECOND) == over
    judgement = judge([ended], zone="G1", at=over, retention=RETENTION)
    assert (judgement.verdict, judgement.permits, judgement.changes_at) == ("unknown", (), None)


def test_zero_retention_ends_a_permit_in_unknown() -> None:
    judgement = judge([ENDED], zone="G1", at=NOON, retention=timedelta(0))
    assert judgement.verdict == "unknown"
    before = judge([ENDED], zone="G1", at=NOON - SECOND, retention=timedelta(0))
    assert (before.verdict, before.changes_at) == ("valid", NOON)


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        (permit(), "valid"),
        (permit(zone="*"), "valid"),
        (permit(zone="G2 G1"), "valid"),
        (permit(zone="G2"), "wrong_zone"),
        (permit(zone="G11"), "wrong_zone"),
        (permit(zone="g1"), "wrong_zone"),
        # an earlier test wins over every later one
        (permit(ends_at=NOON - RETENTION, status="suspended"), "unknown"),
        (permit(ends_at=NOON, status="suspended", zone="G2"), "expired"),
        (permit(ends_at=NOON, status="cancelled", zone="G2"), "cancelled"),
        (permit(status="suspended", starts_at=NOON + DAY), "suspended"),
        (permit(status="suspended", zone="G2"), "suspended"),
        (permit(starts_at=NOON + DAY, zone="G2"), "not_started"),
        (permit(starts_at=NOON + DAY, active_from=NOON + 2 * DAY), "not_started"),
        (permit(zone="G2", active_from=NOON + DAY), "wrong_zone"),
        (permit(active_from=NOON + DAY), "pending_activation"),
        # a cancelled permit counts like any other before its end
        (permit(status="cancelled", ends_at=NOON + DAY), "valid"),
        (permit(status="cancelled", ends_at=NOON + DAY, zone="G2"), "wrong_zone"),
        (permit(status="cancelled", ends_at=NOON + DAY, active_from=NOON + HOUR),
         "pending_activation"),
        (permit(status="cancelled", ends_at=NOON + DAY, starts_at=NOON + HOUR), "not_started"),
        # ended before it ever began
        (permit(starts_at=NOON + DAY, ends_at=NOON - DAY), "expired"),
    ],
)  # fmt: skip
def test_first_test_that_holds_is_the_outcome(case: Permit, outcome: str) -> None:
    assert verdict(case) == outcome


ONE_OF_EACH = {
    "valid": permit(id="v"),
    "pending_activation": permit(id="pa", active_from=NOON + DAY),
    "wrong_zone": permit(id="wz", zone="G2"),
    "not_started": permit(id="ns", starts_at=NOON + DAY),
    "suspended": permit(id="su", status="suspended"),
    "expired": permit(id="ex", ends_at=NOON),
    "cancelled": permit(id="ca", ends_at=NOON, status="cancelled"),
    "unknown": permit(id="un", ends_at=NOON - RETENTION),
}


@pytest.mark.parametrize(("better", "worse"), list(combinations(VERDICTS, 2)))
def test_best_outcome_is_the_verdict(better: str, worse: str) -> None:
    one, other = ONE_OF_EACH[better], ONE_OF_EACH[worse]
    assert verdict(one, other) == verdict(other, one) == better


def test_all_permits_that_count_are_told_the_deciding_first() -> None:
    judgement = judge(list(reversed(ONE_OF_EACH.values())), zone="G1", at=NOON, retention=RETENTION)
    assert [p.id for p in judgement.permits] == ["v", "pa", "wz", "ns", "su", "ex", "ca"]


def test_among_equal_outcomes_the_later_end_comes_first() -> None:
    soon = permit(id="a", ends_at=NOON + DAY)
    later = permit(id="b", ends_at=NOON + 2 * DAY)
    never = permit(id="c")
    for order in permutations([soon, later, never]):
        judgement = judge(order, zone="G1", at=NOON, retention=RETENTION)
        assert [p.id for p in judgement.permits] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("permits", "instant"),
    [
        ([permit()], None),
        ([permit(zone="G2")], None),
        ([permit(status="suspended")], None),
        ([permit(ends_at=NOON + DAY)], NOON + DAY),
        ([permit(zone="G2", ends_at=NOON + DAY)], NOON + DAY),
        ([permit(active_from=NOON + DAY)], NOON + DAY),
        # it ends before it becomes active
        ([permit(active_from=NOON + 2 * DAY, ends_at=NOON + DAY)], NOON + DAY),
        # active only after its start: the start alone changes the word
        ([permit(starts_at=NOON + DAY, active_from=NOON + 2 * DAY)], NOON + DAY),
        # the start changes nothing for one that is suspended
        ([permit(status="suspended", starts_at=NOON + DAY)], None),
        ([permit(status="suspended", starts_at=NOON + DAY, ends_at=NOON + 2 * DAY)],
         NOON + 2 * DAY),
        # another permit takes over without a gap
        ([permit(id="a", ends_at=NOON + DAY), permit(id="b", active_from=NOON + DAY)], None),
        # with a gap of one second
        ([permit(id="a", ends_at=NOON + DAY), permit(id="b", active_from=NOON + DAY + SECOND)],
         NOON + DAY),
        # what ends without being the best changes nothing
        ([permit(id="a"), permit(id="b", ends_at=NOON + DAY)], None),
        # expired, and still expired by another permit after the first is forgotten
        ([permit(id="a", ends_at=NOON - DAY), permit(id="b", ends_at=NOON - HOUR)],
         NOON - HOUR + RETENTION),
        # expired becomes cancelled when only the cancelled one is remembered
        ([permit(id="a", ends_at=NOON - DAY),
          permit(id="b", ends_at=NOON - HOUR, status="cancelled")], NOON - DAY + RETENTION),
    ],
)  # fmt: skip
def test_changes_at_is_when_the_word_changes_next(
    permits: list[Permit], instant: datetime | None
) -> None:
    assert changes_at(*permits) == instant
    assert changes_at(*reversed(permits)) == instant


def test_a_plate_with_thousands_of_permits_is_judged_in_proportion() -> None:
    def cost(count: int) -> float:
        permits = [
            permit(id=f"p{n}", ends_at=NOON + (n + 1) * HOUR if n else None) for n in range(count)
        ]
        spent = []
        for _ in range(3):
            began = time.process_time()
            judge(permits, zone="G1", at=NOON, retention=RETENTION)
            spent.append(time.process_time() - began)
        return min(spent)

    # Ten times the permits: about ten times the work, where every pair would be a hundred times.
    assert cost(4000) < 40 * cost(400)
