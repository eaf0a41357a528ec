"""The rule: may this plate be here, now? (DOMAIN 2.6) Pure: no clock, no storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Literal, get_args

from sync.entities import ALL_ZONES, Permit, Zone
from sync.plates import Plate, differing

Verdict = Literal[
    "valid",
    "pending_activation",
    "wrong_zone",
    "not_started",
    "suspended",
    "expired",
    "cancelled",
    "unknown",
]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""Every verdict, the best first."""

MOST_SUGGESTIONS = 5

_instant_of = itemgetter(0)
_RANK = {verdict: rank for rank, verdict in enumerate(VERDICTS)}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, the permits behind it (the deciding outcome first, then the later end first),
    and the next instant at which the code would change with these permits (None: never).
    """

    verdict: Verdict
    permits: tuple[Permit, ...]
    changes_at: datetime | None


UNKNOWN = Judgement("unknown", (), None)


def has_ended(permit: Permit, at: datetime) -> bool:
    """Whether the permit is over for good, whatever its end was."""
    return permit.ends_at is not None and at >= permit.ends_at


def outcome(permit: Permit, *, zone: str, at: datetime, retention: timedelta) -> Verdict:
    """What one permit says of its plate; the first test that holds (DOMAIN 2.6).

    `unknown` stands for a permit that no longer counts.
    """
    ends_at = permit.ends_at
    if ends_at is not None and at >= ends_at:
        if at >= ends_at + retention:
            return "unknown"
        return "cancelled" if permit.status == "cancelled" else "expired"
    if permit.status == "suspended":
        return "suspended"
    if at < permit.starts_at:
        return "not_started"
    if zone not in permit.zones and ALL_ZONES not in permit.zones:
        return "wrong_zone"
    if at < permit.active_from:
        return "pending_activation"
    return "valid"


def _boundaries(permit: Permit, retention: timedelta) -> tuple[datetime, ...]:
    """The instants at which the permit's outcome may change."""
    if permit.ends_at is None:
        return (permit.starts_at, permit.active_from)
    ends_at = permit.ends_at
    return (permit.starts_at, permit.active_from, ends_at, ends_at + retention)


def _outcome_changes_at(
    verdict: Verdict, permit: Permit, zone: str, at: datetime, retention: timedelta
) -> datetime | None:
    """The first instant after `at` at which one permit's outcome is another."""
    for instant in sorted(_boundaries(permit, retention)):
        if instant <= at:
            continue
        if outcome(permit, zone=zone, at=instant, retention=retention) != verdict:
            return instant
    return None


def _sweep(
    permits: Sequence[Permit], zone: str, at: datetime, retention: timedelta
) -> Iterator[tuple[datetime, Verdict]]:
    """The best outcome at every boundary after `at`, in order; it may be the one before.

    At each, only the permits that have it are judged again, so that a plate with thousands of
    permits is answered as promptly as any.
    """
    events: list[tuple[datetime, int]] = sorted(
        ((instant, i) for i, p in enumerate(permits) for instant in _boundaries(p, retention)),
        key=_instant_of,
    )
    outcomes = [outcome(p, zone=zone, at=at, retention=retention) for p in permits]
    counts = Counter(outcomes)
    instant: datetime
    for instant, same in groupby((e for e in events if e[0] > at), key=_instant_of):
        for _, i in same:
            counts[outcomes[i]] -= 1
            outcomes[i] = outcome(permits[i], zone=zone, at=instant, retention=retention)
            counts[outcomes[i]] += 1
        yield instant, next(v for v in VERDICTS if counts[v])


def _best_changes_at(
    verdict: Verdict, permits: Sequence[Permit], zone: str, at: datetime, retention: timedelta
) -> datetime | None:
    """The first instant after `at` at which the best outcome is another."""
    turns = (instant for instant, best in _sweep(permits, zone, at, retention) if best != verdict)
    return next(turns, None)


def _later_end_first(permit: Permit) -> float:
    return float("-inf") if permit.ends_at is None else -permit.ends_at.timestamp()


def judge(permits: Sequence[Permit], *, zone: str, at: datetime, retention: timedelta) -> Judgement:
    """The verdict on a plate, given all its permits at the site (DOMAIN 2.6).

    `at` is aware. The same answer for the same arguments, on whatever machine, in whatever
    order the permits come.
    """
    if not permits:
        return UNKNOWN
    if len(permits) == 1:
        (permit,) = permits
        verdict = outcome(permit, zone=zone, at=at, retention=retention)
        counting: tuple[Permit, ...] = () if verdict == "unknown" else (permit,)
        changes_at = _outcome_changes_at(verdict, permit, zone, at, retention)
        return Judgement(verdict, counting, changes_at)
    ranked = sorted(
        ((_RANK[outcome(p, zone=zone, at=at, retention=retention)], p) for p in permits),
        key=lambda pair: (pair[0], _later_end_first(pair[1]), pair[1].id),
    )
    verdict = VERDICTS[ranked[0][0]]
    counting = tuple(p for rank, p in ranked if rank != _RANK["unknown"])
    return Judgement(verdict, counting, _best_changes_at(verdict, permits, zone, at, retention))


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a permit says what it says. `test`: the number of the test of DOMAIN 2.6 that decided;
    `instant`: from when on that test holds (1, 2), or until when (4, 6); `changes_at`: when the
    permit's outcome will be another.
    """

    permit: Permit
    outcome: Verdict
    test: int
    instant: datetime | None
    changes_at: datetime | None


_TESTS: dict[Verdict, int] = {
    "unknown": 1,
    "expired": 2,
    "cancelled": 2,
    "suspended": 3,
    "not_started": 4,
    "wrong_zone": 5,
    "pending_activation": 6,
    "valid": 7,
}


def explain(
    permits: Sequence[Permit], *, zone: str, at: datetime, retention: timedelta
) -> tuple[Reason, ...]:
    """What each permit of a plate says and why, in the order of `judge`; then those that no longer
    count. The first's outcome is the verdict, if there are any.
    """
    reasons = [_reason(p, zone=zone, at=at, retention=retention) for p in permits]
    return tuple(
        sorted(
            reasons,
            key=lambda r: (_RANK[r.outcome], _later_end_first(r.permit), r.permit.id),
        )
    )


def _reason(permit: Permit, *, zone: str, at: datetime, retention: timedelta) -> Reason:
    found = outcome(permit, zone=zone, at=at, retention=retention)
    test = _TESTS[found]
    instants = {
        1: None if permit.ends_at is None else permit.ends_at + retention,
        2: permit.ends_at,
        4: permit.starts_at,
        6: permit.active_from,
    }
    changes_at = _outcome_changes_at(found, permit, zone, at, retention)
    return Reason(permit, found, test, instants.get(test), changes_at)


@dataclass(frozen=True, slots=True)
class Turn:
    """From an instant on the verdict is this one; `at` None: as long ago as there is time."""

    at: datetime | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Timeline:
    """The verdicts on a plate in a zone over time. `turns[now]` holds at the instant that was asked
    about; `earlier` and `later`: how many turns were left out at either end.
    """

    turns: tuple[Turn, ...]
    now: int
    earlier: int
    later: int


def timeline(
    permits: Sequence[Permit], *, zone: str, at: datetime, retention: timedelta, most: int = 20
) -> Timeline:
    """How the verdict has changed and will, around an instant, with these permits: up to `most`
    turns before the one that holds then, and as many after.
    """
    turns = [Turn(None, "unknown")]
    if permits:
        before = min(min(_boundaries(p, retention)) for p in permits) - timedelta(seconds=1)
        turns = [Turn(None, best_outcome(permits, zone=zone, at=before, retention=retention))]
        for instant, best in _sweep(permits, zone, before, retention):
            if best != turns[-1].verdict:
                turns.append(Turn(instant, best))
    now = sum(1 for turn in turns if turn.at is not None and turn.at <= at)
    first, last = max(0, now - most), min(len(turns), now + most + 1)
    return Timeline(tuple(turns[first:last]), now - first, first, len(turns) - last)


def best_outcome(
    permits: Iterable[Permit], *, zone: str, at: datetime, retention: timedelta
) -> Verdict:
    """The verdict of `judge` alone, where nothing else of it is wanted."""
    outcomes = (outcome(p, zone=zone, at=at, retention=retention) for p in permits)
    return VERDICTS[min((_RANK[found] for found in outcomes), default=_RANK["unknown"])]


def suggest(
    plate: Plate, candidates: Iterable[Permit], *, zone: str, at: datetime, retention: timedelta
) -> tuple[Plate, ...]:
    """Plates to compare with one that is unknown: at most 5, each valid here and now (DOMAIN 2.6).

    `candidates` are the permits of every plate that folds like this one (DOMAIN 3.5). The same
    plate of another jurisdiction comes first, then those with the fewest differing characters.
    """
    valid = {
        p.plate
        for p in candidates
        if p.plate != plate and outcome(p, zone=zone, at=at, retention=retention) == "valid"
    }

    def nearness(other: Plate) -> tuple[int, bool, str, str]:
        differences = sum(1 for _ in differing(plate.text, other.text))
        elsewhere = other.jurisdiction != plate.jurisdiction
        return differences, elsewhere, other.text, other.jurisdiction

    return tuple(sorted(valid, key=nearness)[:MOST_SUGGESTIONS])


@dataclass(frozen=True, slots=True)
class Check:
    """The answer to "may this plate be here now?" with what a patroller compares."""

    plate: Plate
    zone: Zone
    at: datetime
    judgement: Judgement
    suggestions: tuple[Plate, ...]


def check(
    plate: Plate,
    permits: Sequence[Permit],
    look_alikes: Callable[[], Iterable[Permit]],
    *,
    zone: Zone,
    at: datetime,
    retention: timedelta,
) -> Check:
    """The verdict on a plate, given all its permits; and, if unknown, what to compare with.

    `look_alikes` finds the permits whose plates fold like this one; it is asked only then.
    """
    judgement = judge(permits, zone=zone.id, at=at, retention=retention)
    suggestions: tuple[Plate, ...] = ()
    if judgement.verdict == "unknown":
        suggestions = suggest(plate, look_alikes(), zone=zone.id, at=at, retention=retention)
    return Check(plate, zone, at, judgement, suggestions)
