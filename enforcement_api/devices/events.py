"""Events: whatever a patrol leaves behind besides infractions, each kept once, as it was sent.

Here they are a shelf. What some of them mean lies with what they are about: `number_spoiled` in
numbers.py, `answer` and `infraction_voided` with infractions, `check` and `message_read` with what
patrols are told. docs/patrols.md lists the kinds.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError
from sqlalchemy import (
    BindParameter,
    Connection,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)

from enforcement_api.cards import has_card_number
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import events
from enforcement_api.devices import numbers
from enforcement_api.figures import counting
from enforcement_api.problems import N_, Invalid, Problem, error_of
from enforcement_api.security import Principal
from enforcement_api.shapes import Instant, is_uuid, mended, page_instant
from sync import codec
from sync.plates import LONGEST, LONGEST_RAW, SHORTEST, Plate, normalise
from sync.validity import VERDICTS

LARGEST = 64 * 1024
"""Bytes of an event: what was seen and done, no files."""
KIND = "[a-z_]{1,40}"
DEEPEST = 32
"""Lists and objects within one another that an event may have: what writes and shows them deeper
gives up, and one event must not hide a page of others."""

CHECK = "check"
"""A look-up: `{"plate","jurisdiction","zone","lot","place","verdict","permit_number","patroller",
"shift","purpose"}` (DOMAIN 6)."""
ANSWER = "answer"
"""What a patroller answers a supervisor: `{"infraction","text","patroller"}`."""
VOIDED = "infraction_voided"
"""A patroller voids their own: `{"infraction","reason","patroller"}`."""
MESSAGE_READ = "message_read"
"""A message was seen: `{"message","patroller"}`."""
SUBJECTS = {ANSWER: "infraction", VOIDED: "infraction", MESSAGE_READ: "message"}
"""Of what kind of event which fact names what it is about."""

MOST_CHECKS = 500
"""Checks of vehicles with a shared permit in one answer."""
LONGEST_PERMIT_NUMBER = 100
LONGEST_PLACE = 100
"""Characters of a zone or a lot, as an infraction may have them."""
LONGEST_SHOWN = 500
"""Characters of a fact that are shown to other devices."""

PlatesOf = Callable[[Connection, str, str, datetime], Collection[Plate]]
"""The plates that a permit number has at a site from an instant on."""

_c = events.c
_SITE: BindParameter[str] = bindparam("of_site")
_SUBJECT: BindParameter[str] = bindparam("of_subject")
# Without an order: SQLite would rather read all of a site in order than sort a few.
_OF_SUBJECT = select(events).where(_c.site == _SITE, _c.subject == _SUBJECT)
_OF_SUBJECTS = select(events).where(
    _c.site == _SITE, _c.subject.in_(bindparam("of_subjects", expanding=True))
)
_OF_PLATE = (
    select(events)
    .where(
        _c.site == _SITE,
        _c.subject == _SUBJECT,
        func.coalesce(func.trim(_c.facts["jurisdiction"].as_string()), "").in_(
            ["", bindparam("of_jurisdiction")]
        ),
    )
    # The sum, for the same reason: no index has it in order.
    .order_by(literal_column("events.at + 0").desc(), _c.id.desc())
    .limit(bindparam("most"))
)
_SHARED = (
    select(events)
    .where(
        _c.site == _SITE,
        _c.shared_permit.is_not(None),
        _c.at >= bindparam("of_begin"),
        _c.device != bindparam("of_device"),
    )
    .order_by(_c.at.desc(), _c.id.desc())
    .limit(MOST_CHECKS)
)
_LAST_CHECK = (
    select(events)
    .where(
        _c.site == _SITE,
        _c.device == bindparam("of_device"),
        _c.kind == literal_column("'check'"),  # as the index has it
    )
    .order_by(_c.at.desc())
    .limit(1)
)
_LARGEST_WHOLE = 1 << 63


class EventConflict(Problem):
    """The id was used for something else."""

    status = 409
    slug = "event-conflict"
    title = N_("Another event was received under this id")
    detail = N_("What was received first stays unchanged. Send this one with an id of its own.")


class EventIn(BaseModel):
    """What happened, where and when; whatever else it says is kept as its facts."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "kind": "number_spoiled",
                    "site": "1085",
                    "at": "2026-11-23T15:15:00Z",
                    "number": "1085-137",
                    "reason": "the printer jammed",
                }
            ]
        },
    )

    kind: Annotated[str, Strict(), Field(pattern=f"^{KIND}$")]
    site: Annotated[str, Strict(), Field(min_length=1, max_length=100)]
    at: Instant


@dataclass(frozen=True, slots=True)
class Event:
    """An event in the record."""

    site: str
    id: str
    kind: str
    at: datetime
    device: str
    after_revocation: bool
    received_at: datetime
    facts: dict[str, Any]

    def text(self, name: str, longest: int = LONGEST_SHOWN) -> str | None:
        """A fact, if it is a text with something in it, no longer than this."""
        fact = self.facts.get(name)
        return fact[:longest] if isinstance(fact, str) and fact.strip() else None

    @property
    def subject(self) -> str | None:
        """What it is about, such as `infraction:<id>`; a check, `plate:<normalised>`, in whatever
        jurisdiction.
        """
        if self.kind == CHECK:
            return plate_subject(self.text("plate", LONGEST_RAW) or "")
        name = SUBJECTS.get(self.kind)
        id = None if name is None else self.facts.get(name)
        return f"{name}:{id.lower()}" if isinstance(id, str) and is_uuid(id) else None

    def shared_permit(self, tx: Connection, plates_of: PlatesOf) -> str | None:
        """Of the check of a plate whose permit other plates have too, the permit's number."""
        number, plate = self.text("permit_number", LARGEST), self.text("plate")
        if self.kind != CHECK or number is None or plate is None:
            return None
        if len(number) > LONGEST_PERMIT_NUMBER:
            return None
        plates = plates_of(tx, self.site, number, self.received_at)
        is_one = normalise(plate) in {each.text for each in plates}
        return number if is_one and len(plates) > 1 else None


def plate_subject(text: str) -> str | None:
    """What the checks of a plate are about; None for what is no plate."""
    plate = normalise(text)
    return f"plate:{plate}" if SHORTEST <= len(plate) <= LONGEST else None


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _whole(text: str) -> int:
    number = int(text)
    if abs(number) >= _LARGEST_WHOLE:
        raise ValueError(text)
    return number


def _mended(value: Any, deep: int = 0) -> Any:
    """The value with U+FFFD for what no database stores, and without card numbers, also those that
    are sent as numbers. Raises Invalid when it is too deep.
    """
    if isinstance(value, str):
        return mended(value)
    if isinstance(value, int | float) and has_card_number(str(value)):
        return mended(str(value))
    if isinstance(value, list | dict) and deep == DEEPEST:
        told = N_("has lists or objects more than {deepest} deep in one another")
        raise Invalid(errors=[Problem.Error("", told, deepest=DEEPEST)])
    if isinstance(value, list):
        return [_mended(part, deep + 1) for part in value]
    if isinstance(value, dict):
        return {_mended(name): _mended(part, deep + 1) for name, part in value.items()}
    return value


def read(body: bytes) -> EventIn:
    """The event in a body. Raises Invalid."""
    try:
        message = json.loads(
            body.decode("utf-8-sig"),
            parse_float=_number,
            parse_int=_whole,
            parse_constant=_number,
        )
        return EventIn.model_validate(_mended(message))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise Invalid(errors=[error_of(one) for one in found]) from error
    except (ValueError, RecursionError) as error:
        raise Invalid(errors=[Problem.Error("", N_("is not JSON"))]) from error


def receive(
    record: Record,
    tx: Connection,
    id: str,
    sent: EventIn,
    *,
    by: Principal,
    at: datetime,
    plates_of: PlatesOf,
) -> tuple[Event, bool]:
    """Keep an event; as it was received, and whether this was the first time.

    Raises ForbiddenSite, EventConflict.
    """
    by.check_site(sent.site)
    content = sent.model_dump(mode="json")
    hash = hashlib.sha256(codec.canonical(content).encode()).hexdigest()
    event = Event(sent.site, id, sent.kind, sent.at, by.id, by.revoked, at, sent.model_extra or {})
    added = tx.execute(
        record.insert(events).on_conflict_do_nothing(),
        {
            "site": event.site,
            "id": id,
            "kind": event.kind,
            "at": event.at,
            "device": event.device,
            "after_revocation": event.after_revocation,
            "received_at": at,
            "facts": event.facts,
            "content_hash": hash,
            "subject": event.subject,
            "shared_permit": event.shared_permit(tx, plates_of),
        },
    )
    if added.rowcount:
        spoiled = event.facts.get("number") if event.kind == numbers.SPOILED else None
        if isinstance(spoiled, str):
            numbers.claim(tx, event.site, spoiled, device=by.id, at=at)
        if event.kind == CHECK:
            _count_check(tx, event)
        return event, True
    row = tx.execute(select(events).where(events.c.id == id)).one()
    if row.content_hash != hash:
        raise EventConflict
    return event_of(row), False


def _count_check(tx: Connection, event: Event) -> None:
    verdict = event.facts.get("verdict")
    counting.check_came(
        tx,
        event.site,
        at=event.at,
        zone=event.text("zone", LONGEST_PLACE),
        lot=event.text("lot", LONGEST_PLACE),
        verdict=verdict if verdict in VERDICTS else None,
    )


def page(
    tx: Connection,
    *,
    among: Collection[str],
    kinds: Collection[str] = (),
    devices: Collection[str] = (),
    begins: datetime | None = None,
    ends: datetime | None = None,
    after: tuple[int, str] | None = None,
    limit: int,
) -> list[Event]:
    """Up to `limit` events of these sites, the latest first, after a position (at, id).

    `begins` is included, `ends` is not; no kind or device named: all.
    """
    table = events.c
    query = select(events).where(table.site.in_(among))
    if kinds:
        query = query.where(table.kind.in_(kinds))
    if devices:
        query = query.where(table.device.in_(devices))
    if begins is not None:
        query = query.where(table.at >= begins)
    if ends is not None:
        query = query.where(table.at < ends)
    if after is not None:
        at = page_instant(after[0])
        query = query.where(or_(table.at < at, and_(table.at == at, table.id < after[1])))
    query = query.order_by(table.at.desc(), table.id.desc()).limit(limit)
    return [event_of(row) for row in tx.execute(query)]


def of_subject(tx: Connection, site: str, subject: str) -> list[Event]:
    """What was told of something at a site, in the order in which it was received."""
    rows = tx.execute(_OF_SUBJECT, {"of_site": site, "of_subject": subject})
    return sorted(map(event_of, rows), key=lambda event: (event.received_at, event.at, event.id))


def checks_of(tx: Connection, site: str, plate: Plate, *, most: int) -> list[Event]:
    """The last checks of a plate at a site, the latest first; those whose device did not say the
    jurisdiction are among them.
    """
    asked = {
        "of_site": site,
        "of_subject": plate_subject(plate.text),
        "of_jurisdiction": plate.jurisdiction,
        "most": most,
    }
    return [event_of(row) for row in tx.execute(_OF_PLATE, asked)]


def read_by(tx: Connection, site: str, messages: Collection[str]) -> dict[str, list[Event]]:
    """Of each of these messages, the devices' first words that it was seen, the earliest first."""
    asked = {"of_site": site, "of_subjects": [f"message:{id}" for id in messages]}
    rows = sorted(tx.execute(_OF_SUBJECTS, asked), key=lambda row: (row.at, row.id))
    found: dict[str, dict[str, Event]] = {id: {} for id in messages}
    for row in rows:
        event = event_of(row)
        found[row.subject.partition(":")[2]].setdefault(event.device, event)
    return {id: list(of_device.values()) for id, of_device in found.items()}


def shared_checks(tx: Connection, site: str, *, besides: str, since: datetime) -> list[Event]:
    """The checks of vehicles whose permit others have too, by other devices, the latest first."""
    asked = {"of_site": site, "of_begin": since, "of_device": besides}
    return [event_of(row) for row in tx.execute(_SHARED, asked)]


def last_checks(tx: Connection, site: str, devices: Collection[str]) -> dict[str, Event]:
    """The latest check of each of these devices at a site; those that made none are not there."""
    found: dict[str, Event] = {}
    for device in devices:
        row = tx.execute(_LAST_CHECK, {"of_site": site, "of_device": device}).first()
        if row is not None:
            found[device] = event_of(row)
    return found


def event_of(row: Any) -> Event:
    """The event of a row."""
    return Event(
        site=row.site,
        id=row.id,
        kind=row.kind,
        at=row.at,
        device=row.device,
        after_revocation=row.after_revocation,
        received_at=row.received_at,
        facts=row.facts,
    )
