"""Why a verdict is what it is (DOMAIN 2.6), and how it changes over time."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from sync.entities import Permit
from sync.validity import Turn, explain, judge, timeline
from tests.builders import DAY, HOUR, NOON, RETENTION, SECOND, permit

ENDED = permit(ends_at=NOON - DAY)


@pytest.mark.parametrize(
    ("case", "outcome", "test", "instant"),
    [
        (permit(ends_at=NOON - RETENTION), "unknown", 1, NOON),
        (ENDED, "expired", 2, NOON - DAY),
        (permit(ends_at=NOON, status="cancelled"), "cancelled", 2, NOON),
        (permit(status="suspended"), "suspended", 3, None),
        (permit(starts_at=NOON + DAY), "not_started", 4, NOON + DAY),
        (permit(zone="G2"), "wrong_zone", 5, None),
        (permit(active_from=NOON + HOUR), "pending_activation", 6, NOON + HOUR),
        (permit(), "valid", 7, None),
        (permit(zone="*"), "valid", 7, None),
        # the first that holds decides
        (permit(ends_at=NOON - DAY, status="suspended", zone="G2"), "expired", 2, NOON - DAY),
        (permit(status="suspended", starts_at=NOON + DAY), "suspended", 3, None),
        (permit(zone="G2", active_from=NOON + HOUR), "wrong_zone", 5, None),
    ],
)
def test_reason_names_the_test_that_decided(
    case: Permit, outcome: str, test: int, instant: object
) -> None:
    (reason,) = explain([case], zone="G1", at=NOON, retention=RETENTION)
    assert (reason.outcome, reason.test, reason.instant) == (outcome, test, instant)


def test_each_permit_says_when_it_changes_by_itself() -> None:
    good, ending = permit(id="a"), permit(id="b", ends_at=NOON + DAY)
    first, second = explain([ending, good], zone="G1", at=NOON, retention=RETENTION)
    assert (first.permit, first.changes_at) == (good, None)
    assert (second.permit, second.changes_at) == (ending, NOON + DAY)


def test_plate_without_permits_has_no_reasons_and_one_turn() -> None:
    assert explain([], zone="G1", at=NOON, retention=RETENTION) == ()
    found = timeline([], zone="G1", at=NOON, retention=RETENTION)
    assert (found.turns, found.now) == ((Turn(None, "unknown"),), 0)


def test_timeline_goes_from_not_started_to_unknown() -> None:
    one = permit(starts_at=NOON, active_from=NOON + DAY, ends_at=NOON + 2 * DAY)
    found = timeline([one], zone="G1", at=NOON + HOUR, retention=RETENTION)
    assert found.turns == (
        Turn(None, "not_started"),
        Turn(NOON, "pending_activation"),
        Turn(NOON + DAY, "valid"),
        Turn(NOON + 2 * DAY, "expired"),
        Turn(NOON + 2 * DAY + RETENTION, "unknown"),
    )
    assert (found.now, found.earlier, found.later) == (1, 0, 0)


def test_timeline_of_several_has_the_best_and_no_turn_that_is_none() -> None:
    old, new = permit(id="a", ends_at=NOON), permit(id="b", starts_at=NOON)
    found = timeline([old, new], zone="G1", at=NOON, retention=RETENTION)
    assert [turn.verdict for turn in found.turns] == ["not_started", "valid"]


def many(random: random.Random, count: int) -> list[Permit]:
    def moment() -> timedelta:
        return timedelta(hours=random.randrange(-2000, 2000))

    found = []
    for i in range(count):
        starts = NOON + moment()
        ends = random.choice([None, starts + timedelta(hours=random.randrange(0, 500))])
        found.append(
            permit(
                id=str(i),
                zone=random.choice(["G1", "G2", "*"]),
                starts_at=starts,
                active_from=starts + moment() / 50,
                ends_at=ends,
                status=random.choice(["active", "suspended", "cancelled"] if ends else ["active"]),
            )
        )
    return found


@pytest.mark.parametrize("seed", range(50))
def test_explanation_and_timeline_say_what_the_rule_says(seed: int) -> None:
    dice = random.Random(seed)
    permits = many(dice, dice.randrange(1, 8))
    for hours in range(-2200, 4400, 97):
        at = NOON + timedelta(hours=hours)
        judgement = judge(permits, zone="G1", at=at, retention=RETENTION)
        reasons = explain(permits, zone="G1", at=at, retention=RETENTION)
        counting = tuple(reason.permit for reason in reasons if reason.outcome != "unknown")
        assert (reasons[0].outcome, counting) == (judgement.verdict, judgement.permits)
        found = timeline(permits, zone="G1", at=at, retention=RETENTION)
        assert found.turns[found.now].verdict == judgement.verdict
        later = [turn.at for turn in found.turns[found.now + 1 :]]
        assert (later[0] if later else None) == judgement.changes_at
        for turn in found.turns[1:]:
            assert turn.at is not None
            sides = [
                judge(permits, zone="G1", at=turn.at - before, retention=RETENTION).verdict
                for before in (SECOND, 0 * SECOND)
            ]
            assert sides[0] != sides[1] == turn.verdict


def test_timeline_is_no_longer_than_asked_and_says_what_it_left_out() -> None:
    each = [
        permit(id=str(i), starts_at=NOON + i * DAY, ends_at=NOON + i * DAY + HOUR)
        for i in range(0, 40)
    ]
    found = timeline(each, zone="G1", at=NOON + 20 * DAY, retention=RETENTION, most=3)
    whole = timeline(each, zone="G1", at=NOON + 20 * DAY, retention=RETENTION, most=1000)
    assert len(found.turns) == 7
    assert found.turns[3] == Turn(NOON + 20 * DAY, "valid") == whole.turns[whole.now]
    assert found.earlier + 7 + found.later == len(whole.turns)
    assert found.turns == whole.turns[found.earlier : found.earlier + 7]
