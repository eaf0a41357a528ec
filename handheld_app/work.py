"""A patroller's own work: what became of what they recorded, and what supervisors want of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from handheld_app.briefing import Briefing, Message, Question
from sync import codec
from sync.entities import Notice
from sync.outbox import Item
from sync.plates import normalise

WorkState = Literal[
    "waiting",
    "photos_missing",
    "received",
    "question",
    "answered",
    "confirmed",
    "voided_here",
    "voided",
    "refused",
    "paid",
    "contested",
    "upheld",
    "cancelled",
]
"""`refused`: set aside, with its reason. `voided`: by a supervisor; `voided_here`: by ourselves."""

VOID_REASONS = (
    "misread_plate",
    "permit_valid_at_the_time",
    "replacement_under_way",
    "wrong_code",
    "duplicate",
    "emergency",
    "deficient_signs",
)
"""Why a patroller may take their own infraction back (DOMAIN 5), the likeliest first."""

_DECIDED: Mapping[str, WorkState] = {
    "confirmed": "confirmed",
    "voided": "voided",
    "paid": "paid",
    "contested": "contested",
    "upheld": "upheld",
    "cancelled": "cancelled",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """An infraction that was recorded here. `reason`: why it was voided or refused; `question`:
    what a supervisor asks; `answer`: what was answered last, and when; `photos_waiting`: how many
    the service lacks.
    """

    item: Item
    state: WorkState
    reason: str = ""
    question: Question | None = None
    photos_waiting: int = 0
    answer: str = ""
    answered_at: datetime | None = None

    @property
    def body(self) -> Mapping[str, Any]:
        """As it was recorded."""
        return self.item.body or {}

    @property
    def number(self) -> str | None:
        """The notice's number."""
        return self.body.get("number")

    @property
    def observed_at(self) -> datetime:
        """When the vehicle was seen."""
        return codec.parse_instant(self.body["observed_at"])


def entry_of(
    item: Item,
    *,
    notice: Notice | None,
    voided: Mapping[str, str],
    photos_waiting: int,
    question: Question | None,
    answered_at: datetime | None,
    answer: str = "",
) -> Entry:
    """What became of an infraction. Pure; the newest that is known decides."""
    found = _entry_of(
        item,
        notice=notice,
        voided=voided,
        photos_waiting=photos_waiting,
        question=question,
        answered_at=answered_at,
    )
    return replace(found, answer=answer, answered_at=answered_at)


def _entry_of(
    item: Item,
    *,
    notice: Notice | None,
    voided: Mapping[str, str],
    photos_waiting: int,
    question: Question | None,
    answered_at: datetime | None,
) -> Entry:
    if item.id in voided:
        return Entry(item, "voided_here", voided[item.id])
    if item.state == "set_aside":
        return Entry(item, "refused", item.problem or "")
    if item.state == "waiting":
        return Entry(item, "waiting", photos_waiting=photos_waiting)
    state = notice.state if notice is not None else "received"
    if question is not None or state == "information_requested":
        asked_at = question.at if question is not None else None
        if answered_at is not None and (asked_at is None or answered_at >= asked_at):
            return Entry(item, "answered", question=question, photos_waiting=photos_waiting)
        return Entry(item, "question", question=question, photos_waiting=photos_waiting)
    decided = _DECIDED.get(state)
    if decided is not None:
        reason = (notice.decision_reason if notice is not None else None) or ""
        return Entry(item, decided, reason)
    if photos_waiting:
        return Entry(item, "photos_missing", photos_waiting=photos_waiting)
    return Entry(item, "received")


def may_void(entry: Entry, *, patroller: str | None, at: datetime, within: timedelta) -> bool:
    """Whether its patroller may still take it back: within the grace time, and undecided."""
    return (
        patroller is not None
        and entry.body.get("patroller") == patroller
        and entry.state in ("waiting", "photos_missing", "received", "question", "answered")
        and at - entry.item.put_at <= within
    )


def asked_first(entries: Sequence[Entry], since: datetime) -> list[Entry]:
    """Those about which a supervisor asks, whatever their age, then the rest recorded since."""
    asked = [entry for entry in entries if entry.state == "question"]
    rest = [entry for entry in entries if entry.state != "question" and entry.item.put_at >= since]
    return asked + rest


def matches(entry: Entry, text: str) -> bool:
    """Whether it is about what is searched for: a plate, a number, a code, words of a note."""
    wanted = text.strip().casefold()
    if not wanted:
        return True
    body = entry.body
    plate = normalise(wanted)
    if plate and plate in str(body.get("plate") or ""):
        return True
    told = (body.get("number"), body.get("note"), body.get("place"), *body.get("codes", ()))
    return any(wanted in str(part).casefold() for part in told if part)


def messages_for(
    briefing: Briefing, patroller: str | None, is_read: Callable[[str], bool]
) -> list[Message]:
    """What supervisors tell this patroller and was not read yet, the oldest first."""
    mine = [
        message
        for message in briefing.messages
        if message.to in (None, patroller) and not is_read(message.id)
    ]
    return sorted(mine, key=lambda message: (message.at, message.id))
