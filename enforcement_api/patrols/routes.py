"""What patrols are told, over HTTP: the briefing, settings, messages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, Field
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.devices import events
from enforcement_api.devices import store as devices
from enforcement_api.devices.events import Event
from enforcement_api.patrols import core, setting, store, supervising
from enforcement_api.patrols.core import Message, MessageShape, PatrolSettings
from enforcement_api.problems import N_
from enforcement_api.security import Guard, Principal
from enforcement_api.shapes import (
    UUID_PATTERN,
    Shape,
    is_uuid,
    page_cursor,
    page_position,
    shown_as,
)
from enforcement_api.sites import store as sites
from sync import codec

_MESSAGE = "019ab1c2-7d3e-7f00-8000-3c5a1e9b2f64"
_DEVICE = "0b6f6c0e-5a4e-4f0e-9d0a-1f2f3a4b5c6d"


def _uuid(text: str) -> str:
    if not is_uuid(text):
        raise ValueError(N_("must be a UUID"))
    return text.lower()


SiteName = Annotated[str, Path(description="The site's code.", examples=["1085"])]
MessageId = Annotated[
    str,
    AfterValidator(_uuid),
    Path(
        description="A UUID that the client makes.",
        examples=[_MESSAGE],
        json_schema_extra={"pattern": UUID_PATTERN},
    ),
]
MessageName = Annotated[str, Path(description="The message's id.", examples=[_MESSAGE])]


# Shapes


class ReadOut(Shape):
    """Which device showed a message, and when somebody there said to have seen it."""

    device: str
    at: str


_SENT: dict[str, Any] = {
    "id": _MESSAGE,
    "at": "2026-11-23T15:15:00Z",
    "from": "Supervision",
    "text": "Le P3 est fermé pour le déneigement jusqu’à 14 h.",
    "to_device": None,
    "to_patroller": "marie",
    "expires_at": "2026-11-30T15:15:00Z",
}
_READ: dict[str, Any] = {"device": _DEVICE, "at": "2026-11-23T15:21:00Z"}


class MessageOut(Shape):
    """A message as it was sent."""

    model_config = shown_as(_SENT)

    id: str
    at: str
    from_: str = Field(alias="from")
    text: str
    to_device: str | None
    to_patroller: str | None
    expires_at: str


class ListedMessageOut(MessageOut):
    """A message, and who has read it."""

    model_config = shown_as(_SENT | {"read": [_READ]})

    read: list[ReadOut]


class MessagesOut(Shape):
    """A page of messages, the newest first."""

    model_config = shown_as({"items": [_SENT | {"read": [_READ]}], "next_cursor": None})

    items: list[ListedMessageOut]
    next_cursor: str | None


class ToldMessageOut(Shape):
    """A message as a device is told it. `to`: the id of the patroller whom it is for."""

    id: str
    at: str
    from_: str = Field(alias="from")
    text: str
    to: str | None


class QuestionOut(Shape):
    """What a supervisor asks of an infraction that this device recorded."""

    infraction: str
    number: str | None
    plate: str | None
    at: str
    from_: str = Field(alias="from")
    text: str | None


class SharedCheckOut(Shape):
    """A vehicle that another device checked, whose permit is good for others too (P05)."""

    id: str
    plate: str
    jurisdiction: str | None
    permit_number: str
    zone: str | None
    lot: str | None
    place: str | None
    at: str
    device: str


_BRIEFING: dict[str, Any] = core.SETTINGS_EXAMPLE | {
    "messages": [
        {name: _SENT[name] for name in ("id", "at", "from", "text")} | {"to": "marie"},
    ],
    "questions": [
        {
            "infraction": "01939a7e-5c1b-7c7e-8f5e-3a1d2b4c5d6e",
            "number": "1085-137",
            "plate": "ABC123",
            "at": "2026-11-23T16:00:00Z",
            "from": "Supervision",
            "text": "Quelle place ?",
        }
    ],
    "checks": [
        {
            "id": "019ab1c2-7d3e-7f00-8000-3c5a1e9b2f65",
            "plate": "DEF456",
            "jurisdiction": "CA-QC",
            "permit_number": "100014764",
            "zone": "G1",
            "lot": "P3",
            "place": "rangée C",
            "at": "2026-11-23T15:58:00Z",
            "device": "Handheld 7",
        }
    ],
}


class BriefingOut(PatrolSettings):
    """What a handheld is told besides the feed.

    `messages`: for this device and not expired; the newest first. `questions`: of infractions that
    this device recorded. `checks`: by other devices within `two_vehicles_minutes`, of vehicles
    whose permit number other plates have too, with the device's name; the latest first, 500 at
    most.
    """

    model_config = shown_as(_BRIEFING)

    messages: list[ToldMessageOut]
    questions: list[QuestionOut]
    checks: list[SharedCheckOut]


# Routes


def router(
    *,
    record: Record,
    guard: Guard,
    now: Callable[[], datetime],
    questions: Callable[[Connection, str, str], list[dict[str, Any]]],
) -> APIRouter:
    """The routes of what patrols are told. `questions` are those of a site to a device."""
    routes = APIRouter(prefix="/v1/sites/{site}", tags=["patrols"])
    itself, admin = guard.allow("device"), guard.allow("admin")

    @routes.get(
        "/briefing",
        operation_id="getBriefing",
        summary="What a handheld is told besides the feed",
        response_model=BriefingOut,
        responses={304: {"description": "The same as you have, by its ETag"}},
    )
    def get_briefing(
        site: SiteName, request: Request, device: Principal = Depends(itself)
    ) -> Response:
        """Settings, printed texts, messages, questions, and vehicles seen elsewhere. Ask every
        twenty or thirty seconds, with the ETag of the last answer as If-None-Match.
        """
        at = now()

        def read(tx: Connection) -> dict[str, Any]:
            sites.site(tx, site)
            of_site = store.settings(tx, site)
            checks = events.shared_checks(
                tx, site, besides=device.id, since=at - of_site.two_vehicles_within
            )
            named = devices.names(tx, {check.device for check in checks})
            told = store.messages_for(tx, site, device.id, at)
            return {
                **of_site.model_dump(mode="json"),
                "messages": [_told(message) for message in told],
                "questions": questions(tx, site, device.id),
                "checks": [_shared(check, named) for check in checks],
            }

        body = codec.json_text(record.read(read)).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()}"'
        headers = {"ETag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    # Settings

    @routes.put(
        "/patrol-settings",
        operation_id="putPatrolSettings",
        summary="Replace what is set for the patrols of a site",
        response_model=PatrolSettings,
    )
    def put_patrol_settings(
        site: SiteName, wanted: PatrolSettings, by: Principal = Depends(admin)
    ) -> Response:
        """Written whole: what is left out takes its default. Handhelds hear of it with their next
        briefing.
        """
        setting.change(record, site, lambda before: wanted, seen=None, by=by, at=now())
        return JSONResponse(wanted.model_dump(mode="json"))

    @routes.get(
        "/patrol-settings",
        operation_id="getPatrolSettings",
        summary="What is set for the patrols of a site",
        response_model=PatrolSettings,
    )
    def get_patrol_settings(site: SiteName, by: Principal = Depends(admin)) -> Response:
        """In the shape that PUT takes, with every default filled in."""

        def read(tx: Connection) -> PatrolSettings:
            sites.site(tx, site)
            return store.settings(tx, site)

        return JSONResponse(record.read(read).model_dump(mode="json"))

    # Messages

    @routes.put(
        "/messages/{id}",
        operation_id="putPatrolMessage",
        summary="Tell the patrols of a site something",
        response_model=MessageOut,
        status_code=201,
        responses={
            200: {"model": MessageOut, "description": "Sent before, with the same content"},
            409: {"description": "Another message was sent under this id"},
        },
    )
    def put_message(
        site: SiteName, id: MessageId, wanted: MessageShape, by: Principal = Depends(admin)
    ) -> Response:
        """To all, to one device, or to one patroller on whatever device. Safe to send again."""
        message, is_new = supervising.send(record, site, id, wanted, by=by, at=now())
        return JSONResponse(message.as_json(), 201 if is_new else 200)

    @routes.get(
        "/messages",
        operation_id="listPatrolMessages",
        summary="What the patrols of a site were told, and which devices have read it",
        response_model=MessagesOut,
    )
    def list_messages(
        site: SiteName,
        by: Principal = Depends(admin),
        limit: int = Query(default=50, ge=1, le=500),
        cursor: str | None = Query(default=None, max_length=500),
    ) -> Response:
        """The newest first, those that have expired too."""
        after = None if cursor is None else page_position(cursor, int, str)
        place = None if after is None else (after[0], after[1])
        found = record.read(lambda tx: supervising.messages(tx, site, after=place, limit=limit + 1))
        items = [
            told.message.as_json()
            | {
                "read": [
                    {"device": event.device, "at": codec.instant(event.at)} for event in told.read
                ]
            }
            for told in found[:limit]
        ]
        last = found[limit - 1].message if len(found) > limit else None
        next = None if last is None else page_cursor(int(last.at.timestamp()), last.id)
        return JSONResponse({"items": items, "next_cursor": next})

    @routes.delete(
        "/messages/{id}",
        operation_id="deletePatrolMessage",
        summary="Withdraw a message to the patrols of a site",
        status_code=204,
    )
    def delete_message(site: SiteName, id: MessageName, by: Principal = Depends(admin)) -> None:
        """Handhelds show it no more after their next briefing."""
        supervising.withdraw(record, site, id, by=by, at=now())

    return routes


def _told(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "at": codec.instant(message.at),
        "from": message.by_name,
        "text": message.text,
        "to": message.patroller,
    }


def _shared(check: Event, named: Mapping[str, str]) -> dict[str, Any]:
    facts = {name: check.text(name) for name in _CHECK_FACTS}
    at, device = codec.instant(check.at), named.get(check.device, check.device)
    return {"id": check.id, **facts, "at": at, "device": device}


_CHECK_FACTS = ("plate", "jurisdiction", "permit_number", "zone", "lot", "place")
