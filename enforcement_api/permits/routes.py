"""Plate updates, permit history and checks over HTTP (CONTRACT)."""

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from enforcement_api.database.engine import Record
from enforcement_api.feed.follower import Follower
from enforcement_api.permits import checking, intake, reconciling, showing, updates
from enforcement_api.permits.core import UnknownZone
from enforcement_api.permits.intake import OnChange
from enforcement_api.permits.reconciling import MOST_REJECTED
from enforcement_api.problems import N_, Invalid, Problem, TooMany, json_bytes, language_of
from enforcement_api.security import Guard, Principal
from enforcement_api.settings import Settings
from enforcement_api.shapes import (
    JURISDICTION_PATTERN,
    capped_body,
    json_schema,
    mebibytes,
    shown_as,
    spooled_body,
)
from sync.replica import BeforeRetention, DamagedIndex, NotFilled
from sync.replica import UnknownZone as ReplicaHasNoZone

_PUSHES_AT_ONCE = 4


def _parameter(
    name: str, where: str, description: str, *, needed: bool = True, **schema: str | int
) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": needed,
        "schema": {"type": "string", **schema},
        "description": description,
    }


_ASKED = [
    _parameter("site", "path", "The site's code"),
    _parameter("plate", "query", "As typed; spaces, dashes and accents do not matter"),
    _parameter("zone", "query", "The code of the zone"),
    _parameter(
        "jurisdiction",
        "query",
        "Such as CA-QC; the site's, if left out",
        needed=False,
        pattern=JURISDICTION_PATTERN,
    ),
    _parameter("at", "query", "An instant; now, if left out", needed=False, format="date-time"),
    _parameter(
        "as_known_at",
        "query",
        "A sequence number of the site: judged with what was known then",
        needed=False,
        type="integer",
        minimum=0,
    ),
]
"""What a check is asked with, for the OpenAPI document."""


_PERMIT_EXAMPLE = {
    "id": "100014764-1",
    "plate": "ABC123",
    "jurisdiction": "CA-QC",
    "zones": ["G1"],
    "permit_number": "100014764",
    "starts_at": "2026-06-01T04:00:00Z",
    "ends_at": None,
    "active_from": "2026-05-29T18:00:00Z",
    "status": "active",
    "vehicle": {"make": "Acura", "colour": "rouge"},
}
_VERSION_EXAMPLE = {
    "sequence": 1234,
    "version": 3,
    "source": "abonnements",
    "recorded_at": "2026-05-28T18:00:04Z",
    "removed": False,
    "plate_raw": "ABC 123",
    "valid_from": "2026-06-01",
    "valid_until": None,
    "confirmed_at": "2026-05-28T18:00:00Z",
    "given_ends_at": None,
    "given_vehicle": {"make": "Acura", "model": "NSX", "year": 2021, "colour": "rouge"},
    **_PERMIT_EXAMPLE,
}


class SuggestionOut(BaseModel):
    """A plate to compare with the one that is unknown."""

    plate: str
    jurisdiction: str


class CheckOut(BaseModel):
    """May this plate be here, then? Permits: the deciding outcome first."""

    model_config = shown_as(
        {
            "verdict": "valid",
            "plate": "ABC123",
            "jurisdiction": "CA-QC",
            "site": "1085",
            "zone": "G1",
            "at": "2026-11-23T15:15:00Z",
            "changes_at": None,
            "permits": [_PERMIT_EXAMPLE],
            "suggestions": [],
            "sequence": 1234,
            "fed_at": "2026-11-23T15:14:02Z",
        }
    )

    verdict: str
    plate: str
    jurisdiction: str
    site: str
    zone: str
    at: str
    changes_at: str | None
    permits: list[dict[str, Any]]
    suggestions: list[SuggestionOut]
    sequence: int
    fed_at: str | None


class PermitOut(BaseModel):
    """A permit as it stands, and every version of it, the oldest first."""

    model_config = shown_as(
        {
            **_PERMIT_EXAMPLE,
            "site": "1085",
            "source": "abonnements",
            "version": 3,
            "removed": False,
            "versions": [_VERSION_EXAMPLE],
        }
    )

    id: str
    plate: str
    jurisdiction: str
    zones: list[str]
    permit_number: str
    starts_at: str
    ends_at: str | None
    active_from: str
    status: str
    vehicle: dict[str, Any] | None
    site: str
    source: str
    version: int
    removed: bool
    versions: list[dict[str, Any]]


class RejectedOut(BaseModel):
    """An item that was not taken."""

    index: int
    id: str | None
    problem: dict[str, Any]


class UpdatesOut(BaseModel):
    """What became of the updates."""

    model_config = shown_as(
        {
            "applied": 1,
            "unchanged": 0,
            "stale": 0,
            "rejected": [
                {
                    "index": 1,
                    "id": "100014764-2",
                    "problem": {
                        "type": "/problems/unknown-zone",
                        "title": "Le site n’a pas cette zone",
                        "status": 404,
                        "detail": "Le site 1085 n’a pas de zone G9. Ses zones : G1, G2.",
                    },
                }
            ],
            "epoch": "5b0c3f0e9a1d",
            "sequence": {"1085": 1234},
        }
    )

    applied: int
    unchanged: int
    stale: int
    rejected: list[RejectedOut]
    epoch: str
    sequence: dict[str, int]


class ReconciledOut(UpdatesOut):
    """What became of a list of all permits."""

    model_config = shown_as(
        {
            "applied": 2,
            "unchanged": 4205,
            "stale": 0,
            "rejected": [],
            "cancelled": 3,
            "held_back": 0,
            "more_rejected": 0,
            "epoch": "5b0c3f0e9a1d",
            "sequence": {"1085": 1239},
        }
    )

    cancelled: int
    held_back: int
    more_rejected: Annotated[
        int,
        Field(description=f"Rejected lines beyond the {MOST_REJECTED:,} that `rejected` tells"),
    ]


class UpdatesIn(BaseModel):
    """Plate updates; an empty list is a heartbeat."""

    model_config = shown_as({"updates": [updates.EXAMPLE]})

    updates: list[updates.PlateUpdateIn]


class UnsupportedMediaType(Problem):
    """Neither JSON nor NDJSON."""

    status = 415
    slug = "unsupported-media-type"
    title = N_("This kind of body is not taken here")
    detail = N_("Send application/json or application/x-ndjson, not compressed.")


def _kind(request: Request) -> str:
    kind = request.headers.get("content-type", "application/json").partition(";")[0]
    return kind.strip().lower()


def router(
    *,
    record: Record,
    follower: Follower,
    guard: Guard,
    settings: Settings,
    now: Callable[[], datetime],
    on_change: OnChange,
) -> APIRouter:
    """The routes of permits."""
    routes = APIRouter(prefix="/v1")
    # What a body becomes in memory is many times its size; and who waits holds no thread up.
    pushes = CapacityLimiter(_PUSHES_AT_ONCE)
    feeds = Depends(guard.allow("feeder", "admin"))
    lets_in = guard.allow()

    # Before all others (also in app.py): routes are tried in order, and nothing is asked as often.
    @routes.get(
        "/sites/{site}/check",
        operation_id="checkPlate",
        tags=["checks"],
        summary="May this plate be here?",
        response_model=CheckOut,
        openapi_extra={"parameters": _ASKED},
    )
    async def check(request: Request) -> Response:
        """Judge a plate in a zone at an instant, with permits as they are now known."""
        # Read by hand: declared parameters would cost more than the rest of the check.
        await lets_in(request)
        site: str = request.path_params["site"]
        asked = request.query_params
        missing = [name for name in ("plate", "zone") if name not in asked]
        if missing:
            raise Invalid(errors=[Problem.Error(f"/query/{n}", N_("is missing")) for n in missing])
        plate, zone = asked["plate"], asked["zone"]
        jurisdiction, at = asked.get("jurisdiction"), asked.get("at")
        replica = follower.replica(site)
        fed_at = follower.level(site).fed_at
        try:
            if follower.is_behind(site) or "as_known_at" in asked:
                raise NotFilled
            with replica.reading() as view:
                wanted = checking.parse_plate(plate, jurisdiction or view.site.jurisdiction)
                when = now().replace(microsecond=0) if at is None else checking.parse_instant(at)
                found = view.check(wanted, zone=zone, at=when)
                answer = checking.Answer(found, site, view.state.sequence, fed_at)
        except ReplicaHasNoZone:
            zones = ", ".join(sorted(view.zones))
            raise UnknownZone(site=site, zone=zone, zones=zones) from None
        except (BeforeRetention, NotFilled, DamagedIndex, sqlite3.DatabaseError):
            # Too early for the index, about what was known, or it is being made anew: the record
            # knows.
            answer = await run_in_threadpool(
                partial(
                    checking.from_record,
                    record,
                    site=site,
                    zone=zone,
                    plate=plate,
                    jurisdiction=jurisdiction,
                    at=at,
                    now=now(),
                    as_known_at=asked.get("as_known_at"),
                )
            )
        return Response(answer.as_json(), media_type="application/json")

    async def body(request: Request) -> bytes:
        return await capped_body(request, settings.largest_body, mebibytes(settings.largest_body))

    @routes.post(
        "/plate-updates",
        operation_id="pushPlateUpdates",
        tags=["plate updates"],
        summary="Push plate updates",
        response_model=UpdatesOut,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": json_schema(UpdatesIn)},
                    "application/x-ndjson": {
                        "schema": {"type": "string", "description": "One update a line"}
                    },
                },
            }
        },
    )
    async def push(
        request: Request,
        principal: Annotated[Principal, feeds],
        body: Annotated[bytes, Depends(body)],
        atomic: Annotated[bool, Query(description="All of them or none")] = False,
    ) -> Response:
        """Apply updates in the order given; safe to send again (`id` and `version`)."""

        def work() -> bytes:
            with intake.in_bulk():
                taken = take(read(request, body), principal, atomic=atomic)
                told = follower.follow if taken.applied else follower.fed
                for site in taken.sequence:
                    told(site)
            return json_bytes(taken.as_json(record.read(record.epoch), language_of(request)))

        answer = await to_thread.run_sync(work, limiter=pushes)
        return Response(answer, media_type="application/json")

    def read(request: Request, body: bytes) -> list[updates.Item]:
        kind = _kind(request)
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType
        if kind == "application/x-ndjson":
            found: list[object] = list(islice(updates.read_ndjson(body), settings.most_updates + 1))
        elif kind in ("application/json", ""):
            found = updates.read_json(body)
        else:
            raise UnsupportedMediaType
        if len(found) > settings.most_updates:
            raise TooMany(limit=settings.most_updates)
        return [updates.read_item(item) for item in found]

    def take(items: Sequence[updates.Item], principal: Principal, *, atomic: bool) -> intake.Taken:
        if not items:
            return intake.Taken(sequence=intake.heartbeat(record, by=principal, now=now()))
        intake.check_allowed(items, principal)
        return intake.take(
            record, items, by=principal, now=now(), atomic=atomic, on_change=on_change
        )

    @routes.post(
        "/sites/{site}/reconciliation",
        operation_id="reconcilePermits",
        tags=["plate updates"],
        summary="Compare all permits of a source",
        response_model=ReconciledOut,
        responses={
            409: {"description": "More permits would be cancelled than `max_cancel` allows"},
            422: {"description": "Another number of lines than `count`; nothing was done"},
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/x-ndjson": {
                        "schema": {"type": "string", "description": "One permit a line"},
                        "example": json.dumps(updates.EXAMPLE, ensure_ascii=False),
                    }
                },
            }
        },
    )
    async def reconcile(
        site: str,
        request: Request,
        principal: Annotated[Principal, feeds],
        as_of: Annotated[str, Query(description="When the list was drawn up")],
        count: Annotated[int, Query(ge=0, description="Lines of the list")],
        max_cancel: Annotated[
            int, Query(ge=0, description="Permits that may be cancelled, where 5 % is less")
        ] = 0,
    ) -> Response:
        """Send every permit that the source has at the site. What the list lacks, and was recorded
        before `as_of`, is cancelled; what it has is applied, any version from the stored one on. A
        rejected line protects its id; while a line has no id that can be read, nothing is cancelled
        (`held_back` says how many).
        """
        if _kind(request) != "application/x-ndjson":
            raise UnsupportedMediaType
        drawn_up = checking.parse_instant(as_of, "as_of")
        limit = settings.largest_reconciliation
        with tempfile.TemporaryFile(dir=settings.data_dir) as list_:
            await spooled_body(request, limit, mebibytes(limit), list_)

            def lines() -> Iterator[updates.Line]:
                return enumerate(updates.read_lines(reconciling.lines_of(list_)))

            def work() -> bytes:
                reconciled = reconciling.reconcile(
                    record,
                    site,
                    lines,
                    by=principal,
                    as_of=drawn_up,
                    count=count,
                    max_cancel=max_cancel,
                    now=now(),
                    at_once=reconciling.AT_ONCE,
                    on_change=on_change,
                )
                follower.follow(site)
                epoch = record.read(record.epoch)
                return json_bytes(reconciled.as_json(epoch, language_of(request)))

            answer = await to_thread.run_sync(work, limiter=pushes)
        return Response(answer, media_type="application/json")

    @routes.get(
        "/sites/{site}/permits/{id:path}",  # an id may have slashes
        operation_id="getPermit",
        tags=["plate updates"],
        summary="A permit and all its versions",
        response_model=PermitOut,
    )
    def permit(
        site: str,
        id: str,
        principal: Annotated[Principal, Depends(guard.allow("feeder", "reader", "admin"))],
    ) -> dict[str, Any]:
        """Tell a permit's history, the oldest version first, each with its sequence number."""
        return record.read(lambda tx: showing.whole(tx, site, id))

    return routes
