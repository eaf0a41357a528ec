"""What needs a supervisor's eyes first, among the infractions that nobody has decided. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

Reason = Literal["differs", "stale", "clock", "repeated", "photos", "sample"]
"""What is known now contradicts the handheld's verdict; what the handheld knew was old, or is not
what it should have known; its clock jumped, or it observed in the future; the plate had another
infraction not long before; photos have not come, or are fewer than a code asks for; and of all the
others a share, so that a mistake of a kind that nobody thought of is seen too.
"""
REASONS: tuple[Reason, ...] = get_args(Reason)
"""The weightiest first."""
REST = len(REASONS)
"""The rank of what nothing is to be said about, after those of the reasons, which count from 0."""

SAMPLED_PERCENT = 10
"""The share of infractions that are looked at though nothing is to be said about them."""
REPEATED_WITHIN = timedelta(days=30)
"""How long before an infraction another one of its plate makes it a repeated one."""

_STALE = frozenset({"verdict-not-as-known", "lost-cursor", "unknown-cursor"})
_CLOCK = frozenset({"clock-jumped", "observed-in-future"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What the reasons follow from."""

    id: str
    differs: bool
    warnings: Sequence[str]
    observed_at: datetime
    fresh_until: datetime | None
    """When the first change was recorded that the handheld did not know; None: it knew all there
    is, or nobody can tell."""
    stale_after: timedelta
    """The age past which what a handheld of the site knows is stale (DOMAIN 2.7)."""
    is_repeated: bool
    photos: int
    """Photos that it names."""
    photos_missing: int
    photos_required: int


def reasons(facts: Facts) -> tuple[Reason, ...]:
    """Why an undecided infraction should be seen, the weightiest first; () where nothing is."""
    flags = set(facts.warnings)
    known_for = facts.fresh_until
    is_old = known_for is not None and facts.observed_at - known_for > facts.stale_after
    holds: dict[Reason, bool] = {
        "differs": facts.differs,
        "stale": is_old or not flags.isdisjoint(_STALE),
        "clock": not flags.isdisjoint(_CLOCK),
        "repeated": facts.is_repeated,
        "photos": facts.photos_missing > 0 or facts.photos < facts.photos_required,
    }
    found = tuple(reason for reason in REASONS if holds.get(reason))
    return found or (("sample",) if is_sampled(facts.id) else ())


def rank(found: Sequence[str]) -> int:
    """The rank of an undecided infraction with these reasons: that of the weightiest, or REST."""
    return min((REASONS.index(reason) for reason in REASONS if reason in found), default=REST)


def last_rank(wanted: Sequence[Reason]) -> int:
    """The last rank of any infraction that has one of these reasons: a weightier one may put it
    before, and none behind.
    """
    return max(REASONS.index(reason) for reason in wanted)


def is_sampled(id: str) -> bool:
    """Whether an infraction is one of the share; the same whenever it is asked."""
    return hashlib.blake2b(id.encode(), digest_size=8).digest()[0] * 100 < SAMPLED_PERCENT * 256
