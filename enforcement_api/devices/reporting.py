"""What devices ask for and leave behind besides infractions, over HTTP: number blocks, events."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.devices import events, numbers
from enforcement_api.devices.events import Event, EventIn, PlatesOf
from enforcement_api.devices.numbers import Account, Block
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.security import Guard, Principal
from enforcement_api.settings import Settings
from enforcement_api.shapes import (
    UUID_PATTERN,
    Instant,
    Shape,
    capped_body,
    json_schema,
    page_cursor,
    page_position,
    shown_as,
)
from sync import codec

_EVENTS_AT_ONCE = 8

_BLOCK_ID = "01939a7e-5c1b-7c7e-8f5e-3a1d2b4c5d6e"
_DEVICE = "0b6f6c0e-5a4e-4f0e-9d0a-1f2f3a4b5c6d"

_Uuid = Path(
    description="A UUID that the device makes.",
    examples=[_BLOCK_ID],
    json_schema_extra={"pattern": UUID_PATTERN},
)
BlockId = Annotated[str, _Uuid]
EventId = Annotated[str, _Uuid]
SiteName = Annotated[str, Path(description="The site's code.", examples=["1085"])]


# Shapes


class BlockOut(Shape):
    """Numbers from `first` to `last`, both included: each is the prefix and the integer."""

    model_config = shown_as({"prefix": "1085-", "first": 101, "last": 150})

    prefix: str
    first: int
    last: int


_COUNTED_BLOCK: dict[str, Any] = {
    "id": _BLOCK_ID,
    "device": _DEVICE,
    "given_at": "2026-11-23T15:15:00Z",
    "prefix": "1085-",
    "first": 101,
    "last": 150,
    "issued": 9,
    "spoiled": 1,
    "unused": 40,
}


class CountedBlockOut(BlockOut):
    """A block, and how many of its numbers were issued, spoiled, or neither yet."""

    model_config = shown_as(_COUNTED_BLOCK)

    id: str
    device: str
    given_at: str
    issued: int
    spoiled: int
    unused: int


class BlocksOut(Shape):
    """A page of blocks, the newest first."""

    model_config = shown_as({"items": [_COUNTED_BLOCK], "next_cursor": None})

    items: list[CountedBlockOut]
    next_cursor: str | None


class WholeBlockOut(BlockOut):
    """A block by itself, with its numbers."""

    model_config = shown_as(
        {
            "id": _BLOCK_ID,
            "device": _DEVICE,
            "given_at": "2026-11-23T15:15:00Z",
            "prefix": "1085-",
            "first": 101,
            "last": 103,
            "issued": ["1085-101"],
            "spoiled": ["1085-102"],
            "unused": ["1085-103"],
        }
    )

    id: str
    device: str
    given_at: str
    issued: list[str]
    spoiled: list[str]
    unused: list[str]


class EventReceiptOut(Shape):
    """When an event was received, the first time."""

    model_config = shown_as({"id": _BLOCK_ID, "received_at": "2026-11-23T15:20:00Z"})

    id: str
    received_at: str


_EVENT: dict[str, Any] = {
    "id": _BLOCK_ID,
    "kind": "number_spoiled",
    "site": "1085",
    "at": "2026-11-23T15:15:00Z",
    "device": _DEVICE,
    "after_revocation": False,
    "received_at": "2026-11-23T15:20:00Z",
    "facts": {"number": "1085-137", "reason": "the printer jammed"},
}


class EventOut(Shape):
    """An event; `facts` are what it said besides kind, site and instant."""

    model_config = shown_as(_EVENT)

    id: str
    kind: str
    site: str
    at: str
    device: str
    after_revocation: bool
    received_at: str
    facts: dict[str, Any]


class EventsOut(Shape):
    """A page of events, the latest first."""

    model_config = shown_as({"items": [_EVENT], "next_cursor": None})

    items: list[EventOut]
    next_cursor: str | None


def _uuid(text: str) -> str:
    """The UUID in its one form. Raises Invalid."""
    if re.fullmatch(UUID_PATTERN, text):
        return text.lower()
    told = N_("must be a UUID such as 01939a7e-5c1b-7c7e-8f5e-3a1d2b4c5d6e")
    raise Invalid(errors=[Problem.Error("/path/id", told)])


def _block_out(block: Block) -> dict[str, Any]:
    return {
        "id": block.id,
        "device": block.device,
        "given_at": codec.instant(block.given_at),
        "prefix": block.prefix,
        "first": block.first,
        "last": block.last,
    }


def _event_out(event: Event) -> EventOut:
    return EventOut(
        id=event.id,
        kind=event.kind,
        site=event.site,
        at=codec.instant(event.at),
        device=event.device,
        after_revocation=event.after_revocation,
        received_at=codec.instant(event.received_at),
        facts=event.facts,
    )


def router(
    *,
    record: Record,
    guard: Guard,
    settings: Settings,
    now: Callable[[], datetime],
    check_site: Callable[[Connection, str], object],
    all_sites: Callable[[Connection], list[str]],
    plates_of: PlatesOf,
    heed: Callable[[Connection, Event], bool],
    follow: Callable[[str], None],
) -> APIRouter:
    """The routes of number blocks and events. `check_site` raises UnknownSite.

    `plates_of` tells the plates of a permit number. `heed` lets an event take effect that was
    received just now, and tells whether it changed the feed of its site; `follow` brings the
    service's own index level with that.
    """
    routes = APIRouter(prefix="/v1")
    # Threads of their own: what is told of an infraction waits for the feed of its site.
    keeping = CapacityLimiter(_EVENTS_AT_ONCE)
    itself = guard.allow("device")
    sender = Depends(guard.allow("device", revoked=True))
    reader = guard.allow("reader", "admin")

    # Number blocks

    @routes.put(
        "/sites/{site}/number-blocks/{id}",
        operation_id="putNumberBlock",
        tags=["numbers"],
        summary="Ask for a block of notice numbers",
        response_model=BlockOut,
        responses={
            409: {
                "description": "Another device was given the block of this id, or this one"
                " has ten blocks' worth of unused numbers from the last 24 hours"
            }
        },
    )
    def put_number_block(
        site: SiteName, id: BlockId, device: Principal = Depends(itself)
    ) -> BlockOut:
        """The numbers are the device's for good, to be printed without network. The same id gets
        the same block again. No two blocks of a site overlap.
        """
        id = _uuid(id)
        at = now().replace(microsecond=0)
        given = record.write(
            lambda tx: numbers.give(
                tx, site, id, device=device.id, size=settings.numbers_in_a_block, at=at
            )
        )
        return BlockOut(prefix=given.prefix, first=given.first, last=given.last)

    @routes.get(
        "/sites/{site}/number-blocks",
        operation_id="listNumberBlocks",
        tags=["numbers"],
        summary="All blocks of a site, every number accounted for",
        response_model=BlocksOut,
        dependencies=[Depends(reader)],
    )
    def list_number_blocks(
        site: SiteName,
        device: str | None = Query(default=None, max_length=100),
        limit: int = Query(default=50, ge=1, le=500),
        cursor: str | None = Query(default=None, max_length=500),
    ) -> BlocksOut:
        """Issued: an infraction has the number. Spoiled: the device said so (an event of kind
        `number_spoiled`), whether or not it was issued. Unused: neither, so far.
        """
        after = None if cursor is None else page_position(cursor, int, int)
        among = None if device is None else _searchable(device)

        def read(tx: Connection) -> BlocksOut:
            check_site(tx, site)
            place = None if after is None else (after[0], after[1])
            found = numbers.page(tx, site, after=place, device=among, limit=limit + 1)
            last = found[limit - 1] if len(found) > limit else None
            return BlocksOut(
                items=[_counted(a) for a in numbers.account(tx, site, found[:limit])],
                next_cursor=None
                if last is None
                else page_cursor(int(last.given_at.timestamp()), last.first),
            )

        return record.read(read)

    @routes.get(
        "/sites/{site}/number-blocks/{id}",
        operation_id="getNumberBlock",
        tags=["numbers"],
        summary="One block, and what became of each of its numbers",
        response_model=WholeBlockOut,
        dependencies=[Depends(reader)],
    )
    def get_number_block(site: SiteName, id: BlockId) -> WholeBlockOut:
        """As in the list, with the numbers themselves."""
        id = _uuid(id)

        def read(tx: Connection) -> WholeBlockOut:
            check_site(tx, site)
            (found,) = numbers.account(tx, site, [numbers.block(tx, site, id)])
            return WholeBlockOut(
                **_block_out(found.block),
                issued=list(found.issued),
                spoiled=list(found.spoiled),
                unused=list(found.unused),
            )

        return record.read(read)

    # Events

    async def event_body(request: Request) -> bytes:
        return await capped_body(request, events.LARGEST, f"{events.LARGEST} B")

    @routes.put(
        "/events/{id}",
        operation_id="putEvent",
        tags=["events"],
        summary="Hand over an event",
        response_model=EventReceiptOut,
        status_code=201,
        responses={
            200: {"model": EventReceiptOut, "description": "Received before, the same content"},
            409: {"description": "Another event was received under this id"},
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": json_schema(EventIn)}},
            }
        },
    )
    async def put_event(
        id: EventId, by: Principal = sender, body: bytes = Depends(event_body)
    ) -> Response:
        """Keep what happened on a patrol; safe to send again. Fields besides `kind`, `site` and
        `at` are the event's own: they are kept as sent and shown as `facts`. An `answer` and an
        `infraction_voided` take effect on their infraction, also where they come before it.
        """
        id = _uuid(id)

        def keep() -> Response:
            sent = events.read(body)
            at = now().replace(microsecond=0)

            def work(tx: Connection) -> tuple[Event, bool, bool]:
                kept, is_new = events.receive(
                    record, tx, id, sent, by=by, at=at, plates_of=plates_of
                )
                return kept, is_new, is_new and heed(tx, kept)

            kept, is_new, is_told = record.write(work)
            if is_told:
                follow(kept.site)
            receipt = {"id": id, "received_at": codec.instant(kept.received_at)}
            return JSONResponse(receipt, 201 if is_new else 200)

        return await to_thread.run_sync(keep, limiter=keeping)

    @routes.get(
        "/events",
        operation_id="listEvents",
        tags=["events"],
        summary="What patrols left behind",
        response_model=EventsOut,
    )
    def list_events(
        by: Principal = Depends(reader),
        site: list[str] = Query([], max_length=100, description="Left out: all of the key's"),
        kind: list[str] = Query([], max_length=100, examples=[["number_spoiled"]]),
        device: list[str] = Query([], max_length=100),
        from_: Annotated[
            Instant | None, Query(alias="from", description="At this instant or later")
        ] = None,
        to: Annotated[Instant | None, Query(description="Before this instant")] = None,
        limit: int = Query(default=50, ge=1, le=500),
        cursor: str | None = Query(default=None, max_length=500),
    ) -> EventsOut:
        """The latest first. A filter given several times lets each of its values through."""
        after = None if cursor is None else page_position(cursor, int, str)

        def read(tx: Connection) -> EventsOut:
            for one in site:
                by.check_site(one)  # first: whether there is such a site is no news to others
                check_site(tx, one)
            among = site or [one for one in all_sites(tx) if by.may_touch(one)]
            found = events.page(
                tx,
                among=among,
                kinds=[_searchable(one) for one in kind],
                devices=[_searchable(one) for one in device],
                begins=from_,
                ends=to,
                after=None if after is None else (after[0], after[1]),
                limit=limit + 1,
            )
            last = found[limit - 1] if len(found) > limit else None
            return EventsOut(
                items=[_event_out(event) for event in found[:limit]],
                next_cursor=None
                if last is None
                else page_cursor(int(last.at.timestamp()), last.id),
            )

        return record.read(read)

    return routes


def _counted(account: Account) -> CountedBlockOut:
    return CountedBlockOut(
        **_block_out(account.block),
        issued=len(account.issued),
        spoiled=len(account.spoiled),
        unused=len(account.unused),
    )


def _searchable(text: str) -> str:
    """What PostgreSQL can be asked for; nothing has a name with a NUL."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
