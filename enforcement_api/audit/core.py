"""The chain: an entry is a text that holds the hash of the entry before it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from enforcement_api.problems import N_, Sentence
from sync import codec

INSTALLATION = ""
"""The chain of what belongs to no single site: keys, devices, accounts."""
BEGINNING = "0" * 64
"""What the first entry of a chain holds for the hash of the one before."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done. `by` is `key:<id>`, `device:<id>`, `staff:<id>`, `command` or
    `service`; `subject` what it was done to, such as `infraction:<id>`.
    """

    at: datetime
    by: str
    action: str
    subject: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def text_of(entry: Entry, *, chain: str, number: int, before: str) -> str:
    """The text that is kept and hashed: canonical JSON with its place in the chain."""
    return codec.canonical(
        {
            "chain": chain,
            "number": number,
            "before": before,
            "at": codec.instant(entry.at),
            "by": entry.by,
            "action": entry.action,
            "subject": entry.subject,
            "facts": entry.facts,
        }
    )


def hash_of(text: str) -> str:
    """The SHA-256 of an entry's text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def read(text: str) -> Entry:
    """The entry in a text."""
    found = json.loads(text)
    return Entry(
        at=codec.parse_instant(found["at"]),
        by=found["by"],
        action=found["action"],
        subject=found["subject"],
        facts=found["facts"],
    )


# Proof


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of a chain: its number (0: there is none yet) and its hash."""

    number: int = 0
    hash: str = BEGINNING


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry as it lies in the record."""

    number: int
    subject: str
    text: str
    hash: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What a walk over a chain found: how far it is whole, and what breaks it (None: nothing).

    `whole`: the last entry up to which every one is as it was written, in its place.
    """

    chain: str
    whole: Head
    broken_at: int | None = None
    reason: Sentence | None = None


_MISSING = Sentence(N_("it is missing"))
_CHANGED = Sentence(N_("its text is not what was written: the hash differs"))
_MOVED = N_("it was written for another place: {place}")
_UNLINKED = Sentence(N_("it does not follow the entry before it: one of the two was replaced"))
_CUT = N_("it is missing: the chain was {number} entries long")
_NOT_LAST = Sentence(N_("it is not the one that the record calls the last"))
_CHANGED_BEFORE = Sentence(N_("the entry before it is missing, or is not what was written"))
_UNFOLLOWED = Sentence(N_("the entry after it is missing, or does not follow it"))
_NOT_NOTED = Sentence(N_("it is not the one whose hash was noted: the chain was written anew"))


def prove(
    chain: str, kept: Iterable[Kept], *, head: Head | None, noted: Iterable[Head] = ()
) -> Proof:
    """Walk a chain from its beginning, in order of number, and stop at what breaks it.

    `head`: what the record calls the last entry. `noted`: heads that somebody wrote down
    elsewhere; without one, nobody can tell a chain whose last entries were taken away, or that was
    written anew as a whole, by somebody who set the head as well.
    """
    whole = Head()
    to_find = {note.number: note.hash for note in noted if note.number > 0}
    for entry in kept:
        reason = _fault(chain, entry, whole)
        if reason is None and to_find.pop(entry.number, entry.hash) != entry.hash:
            reason = _NOT_NOTED
        if reason is not None:
            return Proof(chain, whole, whole.number + 1, reason)
        whole = Head(entry.number, entry.hash)
    length = max([0 if head is None else head.number, *to_find])
    if length > whole.number:
        return Proof(chain, whole, whole.number + 1, Sentence(_CUT, number=length))
    if whole != (head or Head()):
        return Proof(chain, whole, whole.number, _NOT_LAST)
    return Proof(chain, whole)


def _fault(chain: str, entry: Kept, before: Head) -> Sentence | None:
    """What is wrong with an entry that should follow another; None: nothing."""
    if entry.number != before.number + 1:
        return _MISSING
    if hash_of(entry.text) != entry.hash:
        return _CHANGED
    try:
        found = json.loads(entry.text)
        place = (found["chain"], found["number"], found["subject"])
        follows = found["before"] == before.hash
    except (ValueError, TypeError, KeyError):
        return _CHANGED
    if place != (chain, entry.number, entry.subject):
        return Sentence(_MOVED, place="{}/{} {}".format(*place))
    return None if follows else _UNLINKED


@dataclass(frozen=True, slots=True)
class Witnessed:
    """An entry, and what a look at it, at the two beside it and at the head found wrong with it
    (None: nothing). It says nothing of entries further away: only a walk does (`prove`).
    """

    kept: Kept
    reason: Sentence | None

    @property
    def entry(self) -> Entry | None:
        """What it says; None: its text is none that was written here."""
        try:
            return read(self.kept.text)
        except (ValueError, TypeError, KeyError):
            return None


def witness(
    chain: str, entry: Kept, *, before: Kept | None, after: Kept | None, head: Head
) -> Witnessed:
    """Look at an entry by itself: whether it is as it was written, in its place, follows the entry
    before it, and is followed by the one after it, or is the head.
    """
    prior = Head() if before is None else Head(before.number, before.hash)
    reason = _fault(chain, entry, prior)
    if reason is _MISSING or (before is not None and hash_of(before.text) != before.hash):
        reason = _CHANGED_BEFORE
    elif reason is None and entry.number >= head.number:
        reason = None if head == Head(entry.number, entry.hash) else _NOT_LAST
    elif reason is None and (
        after is None or _fault(chain, after, Head(entry.number, entry.hash)) is not None
    ):
        reason = _UNFOLLOWED
    return Witnessed(entry, reason)
