"""Events: whatever a patrol leaves behind besides infractions, each kept once, as it was sent.

The service gives a meaning to `number_spoiled` alone (numbers.py); to the others it is a shelf.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError
from sqlalchemy import Connection, and_, or_, select

from enforcement_api.cards import has_card_number
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import events
from enforcement_api.devices import numbers
from enforcement_api.problems import N_, Invalid, Problem, error_of
from enforcement_api.security import Principal
from enforcement_api.shapes import Instant, mended
from sync import codec

LARGEST = 64 * 1024
"""Bytes of an event: what was seen and done, no files."""
KIND = "[a-z_]{1,40}"
DEEPEST = 32
"""Lists and objects within one another that an event may have: what writes and shows them deeper
gives up, and one event must not hide a page of others."""

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
    record: Record, tx: Connection, id: str, sent: EventIn, *, by: Principal, at: datetime
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
        },
    )
    if added.rowcount:
        spoiled = event.facts.get("number") if event.kind == numbers.SPOILED else None
        if isinstance(spoiled, str):
            numbers.claim(tx, event.site, spoiled, device=by.id, at=at)
        return event, True
    row = tx.execute(select(events).where(events.c.id == id)).one()
    if row.content_hash != hash:
        raise EventConflict
    return _event_of(row), False


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
        at = datetime.fromtimestamp(after[0], UTC)
        query = query.where(or_(table.at < at, and_(table.at == at, table.id < after[1])))
    query = query.order_by(table.at.desc(), table.id.desc()).limit(limit)
    return [_event_of(row) for row in tx.execute(query)]


def _event_of(row: Any) -> Event:
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
