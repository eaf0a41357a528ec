"""What may be decided of an infraction, and what becomes of it (DOMAIN 5, "Lifecycle"). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from enforcement_api.figures.core import OTHER, Standing
from enforcement_api.infractions.core import Infraction, State
from enforcement_api.problems import N_, Invalid, Problem
from sync import codec

Decision = Literal["confirm", "void", "request_information", "reopen"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)

_NEXT: Mapping[Decision, Mapping[str, State]] = {
    "confirm": {"received": "confirmed", "information_requested": "confirmed"},
    "void": {"received": "voided", "information_requested": "voided", "confirmed": "voided"},
    "request_information": {"received": "information_requested"},
    "reopen": {
        "information_requested": "received",
        "confirmed": "received",
        "voided": "received",
    },
}
"""What each decision makes of which state. What was paid or contested is another procedure's."""

DECIDED: frozenset[State] = frozenset({"confirmed", "voided", "paid", "upheld", "cancelled"})
"""States in which an infraction is not judged again when a permit changes."""

REVIEWABLE: frozenset[str] = frozenset({"received"})
"""States in which it is for a supervisor to look: one that a patroller was asked about is not,
until the answer comes."""

VOIDABLE: frozenset[State] = frozenset({"received", "information_requested"})
"""States in which a patroller may still void what they recorded."""

VOIDED_LATE = "voided-late"
"""Flagged: a patroller voided their own after the site's grace time."""

VOID_REASONS: Mapping[str, str] = {
    "permit_valid_at_the_time": N_("permit valid at the time"),
    "replacement_under_way": N_("replacement under way"),
    "misread_plate": N_("plate misread"),
    "stale_replica": N_("stale copy on the handheld"),
    "deficient_signs": N_("deficient signs"),
    "emergency": N_("emergency"),
    "duplicate": N_("duplicate"),
    "wrong_code": N_("wrong code"),
}
"""Why an infraction may be voided (DOMAIN 5), and the words for it."""


def standing(infraction: Infraction) -> Standing:
    """What figures count it as. Patrollers may give a reason that is none of the list."""
    reason = infraction.decision_reason or OTHER
    return Standing(infraction.state, reason if reason in VOID_REASONS else OTHER)


class StateMovedOn(Problem):
    """Somebody else decided meanwhile."""

    status = 409
    slug = "state-moved-on"
    title = N_("Somebody has decided meanwhile")
    detail = N_("The infraction is {state} now, not {expected}: look at it again, then decide.")


class NotDecidable(Problem):
    """The decision does not fit the state."""

    status = 409
    slug = "not-decidable"
    title = N_("That cannot be decided of this infraction")
    detail = N_("It is {state}; from there one may: {allowed}.")


class DiffersUnacknowledged(Problem):
    """The device's verdict is not the one known now, and the reviewer has not said to know it."""

    status = 409
    slug = "differs-unacknowledged"
    title = N_("What is known now contradicts the handheld's verdict")
    detail = N_(
        "The handheld said {given}; with what is known now it was {known}. To confirm all the same,"
        " send `acknowledge_differs: true`."
    )


class OwnInfraction(Problem):
    """Nobody reviews what they recorded."""

    status = 403
    slug = "own-infraction"
    title = N_("Nobody reviews their own infractions")
    detail = N_("This one was recorded by {patroller}: leave it to somebody else.")


class NotUndoable(Problem):
    """The last decision is another's, or an undoing itself."""

    status = 409
    slug = "not-undoable"
    title = N_("That cannot be undone here")
    detail = N_("Only your own last decision can be. Look at the infraction, then decide anew.")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A decision that somebody wants to take. `expected_state`: what they were looking at;
    `expected_reviews`: how many decisions they saw (None: they do not tell).
    """

    decision: Decision
    reason: str | None
    note: str | None
    expected_state: str
    acknowledge_differs: bool
    expected_reviews: int | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """A decision that was taken."""

    at: datetime
    by: str
    by_name: str
    decision: str
    reason: str | None
    note: str | None
    state_before: str
    state: str
    acknowledged_differs: bool

    def as_json(self) -> dict[str, Any]:
        """The review as it is shown."""
        return {
            "at": codec.instant(self.at),
            "by": self.by,
            "by_name": self.by_name,
            "decision": self.decision,
            "reason": self.reason,
            "note": self.note,
            "state_before": self.state_before,
            "state": self.state,
            "acknowledged_differs": self.acknowledged_differs,
        }


def allowed(state: str) -> list[Decision]:
    """What may be decided of an infraction in this state."""
    return [one for one in DECISIONS if state in _NEXT[one]]


def decide(
    infraction: Infraction,
    wanted: Wanted,
    *,
    by: str,
    by_name: str,
    is_own: bool,
    reviews: int,
    at: datetime,
) -> Review:
    """What the decision makes of an infraction that was judged again just now. `reviews`: how many
    decisions it has had.

    Raises OwnInfraction, StateMovedOn, NotDecidable, Invalid, DiffersUnacknowledged.
    """
    if is_own:
        raise OwnInfraction(patroller=infraction.sent.patroller)
    if infraction.state != wanted.expected_state or (
        wanted.expected_reviews is not None and wanted.expected_reviews != reviews
    ):
        raise StateMovedOn(state=infraction.state, expected=wanted.expected_state)
    state = _NEXT[wanted.decision].get(infraction.state)
    if state is None:
        may = ", ".join(allowed(infraction.state)) or "—"
        raise NotDecidable(state=infraction.state, allowed=may)
    if wanted.decision == "void" and wanted.reason not in VOID_REASONS:
        told = N_("must be one of: {allowed}")
        raise Invalid(
            errors=[Problem.Error("/reason", told, allowed=", ".join(sorted(VOID_REASONS)))]
        )
    if wanted.decision == "confirm" and infraction.differs and not wanted.acknowledge_differs:
        given, known = infraction.sent.verdict, infraction.recheck_verdict
        raise DiffersUnacknowledged(
            given=given, known=known, extra={"recheck": {"verdict": known, "differs": True}}
        )
    return Review(
        at=at,
        by=by,
        by_name=by_name,
        decision=wanted.decision,
        reason=wanted.reason,
        note=wanted.note,
        state_before=infraction.state,
        state=state,
        acknowledged_differs=infraction.differs and wanted.acknowledge_differs,
    )


UNDO = "undo"
"""The decision that takes back the one before it: an entry of its own, which erases nothing."""


def undone(
    infraction: Infraction,
    reviews: Sequence[Review],
    *,
    expected_reviews: int,
    by: str,
    by_name: str,
    at: datetime,
) -> Review:
    """What undoing one's last decision makes of an infraction with these reviews, the oldest first.

    Raises StateMovedOn, NotUndoable.
    """
    last = reviews[-1] if reviews else None
    if len(reviews) != expected_reviews:
        raise StateMovedOn(state=infraction.state, expected=last.state if last else "?")
    if last is None or last.by != by or last.decision not in DECISIONS:
        raise NotUndoable
    state = last.state_before
    voided = (one.reason for one in reversed(reviews[:-1]) if one.state == "voided")
    return Review(
        at=at,
        by=by,
        by_name=by_name,
        decision=UNDO,
        reason=next(voided, None) if state == "voided" else None,
        note=None,
        state_before=infraction.state,
        state=state,
        acknowledged_differs=False,
    )


def answered(
    infraction: Infraction, text: str | None, *, by: str, by_name: str, at: datetime
) -> Review | None:
    """What a patroller's answer makes of an infraction that somebody asked about; None: nobody
    asked, or it was decided meanwhile.
    """
    if infraction.state != "information_requested":
        return None
    return Review(
        at=at,
        by=by,
        by_name=by_name,
        decision="answer",
        reason=None,
        note=text,
        state_before=infraction.state,
        state="received",
        acknowledged_differs=False,
    )


Kept = Literal["another-patroller", "after-revocation", "decided"]
"""Why a patroller's own voiding is kept and changes nothing."""


def kept_from_voiding(infraction: Infraction, *, is_own: bool, revoked: bool) -> Kept | None:
    """What keeps a patroller from voiding an infraction; None: nothing does.

    Nobody voids what another recorded, or from a device that may be in other hands, or against a
    decision.
    """
    if not is_own:
        return "another-patroller"
    if revoked:
        return "after-revocation"
    return None if infraction.state in VOIDABLE else "decided"


def voided_by_patroller(
    infraction: Infraction, reason: str | None, *, by: str, by_name: str, at: datetime
) -> Review:
    """A patroller's own voiding. Any reason is taken: what a patroller recorded is not refused."""
    return Review(
        at=at,
        by=by,
        by_name=by_name,
        decision="void",
        reason=reason,
        note=None,
        state_before=infraction.state,
        state="voided",
        acknowledged_differs=False,
    )
