"""Infractions and their photos over HTTP (CONTRACT, "Infractions")."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel
from pydantic.config import JsonDict
from sqlalchemy import Connection

from enforcement_api import hashed_files
from enforcement_api.database.engine import Record
from enforcement_api.infractions import (
    cases,
    core,
    exports,
    heeding,
    lifecycle,
    photos,
    search,
    store,
)
from enforcement_api.infractions.core import ORDERS, STATES, InfractionIn, Place, Selection
from enforcement_api.infractions.lifecycle import Decision
from enforcement_api.infractions.photos import PhotoTooLarge, StoredPhoto, UnknownPhoto
from enforcement_api.infractions.store import Received
from enforcement_api.permits.core import day_begins
from enforcement_api.problems import N_, Invalid, Problem, TooLarge
from enforcement_api.security import Guard, Principal
from enforcement_api.settings import Settings
from enforcement_api.shapes import (
    UUID_PATTERN,
    Line,
    Shape,
    capped_body,
    day,
    instant,
    json_schema,
    mebibytes,
    mended,
    shown_as,
)
from enforcement_api.sites import store as sites
from enforcement_api.spreadsheets import CSV_TYPE
from sync import codec
from sync.plates import LONGEST, SHORTEST, normalise

DATE_OR_INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?$"
_UPLOADS_AT_ONCE = 6

MOST_VALUES = 100
"""Values of one filter."""
LONGEST_WORDS = 200

OUTCOMES = ("notice", "warning", "no_issue")
_PICTURES = ("image/jpeg", "image/png", "image/webp")


class Recheck(BaseModel):
    """What the service knows by now."""

    verdict: str | None
    differs: bool


class ReceiptOut(BaseModel):
    """The durable acknowledgement of an infraction; the same each time, but for the photos, and for
    the epoch of the record that has it: another one after a restore.
    """

    id: str
    received_at: str
    state: str
    recheck: Recheck
    photos_missing: list[str]
    warnings: list[str]
    epoch: str

    model_config = shown_as(dict(core.RECEIPT_EXAMPLE))


class ReviewIn(Shape):
    """A decision. `expected_state` is the state that whoever decides was looking at."""

    model_config = shown_as(
        {"decision": "void", "reason": "misread_plate", "expected_state": "received"}
    )

    decision: Decision
    reason: Line | None = None
    note: core.Note | None = None
    expected_state: Line
    acknowledge_differs: bool = False


class ReviewOut(BaseModel):
    """A decision that was taken, and what is known of the plate now."""

    model_config = shown_as(
        {
            "infraction": core.RECEIPT_EXAMPLE["id"],
            "at": "2026-11-23T16:00:00Z",
            "by": "key:3f0c1d2e4a5b",
            "by_name": "Supervision",
            "decision": "void",
            "reason": "misread_plate",
            "note": None,
            "state_before": "received",
            "state": "voided",
            "acknowledged_differs": False,
            "recheck": {"verdict": "valid", "differs": True},
        }
    )

    infraction: str
    at: str
    by: str
    by_name: str
    decision: str
    reason: str | None
    note: str | None
    state_before: str
    state: str
    acknowledged_differs: bool
    recheck: Recheck


class PhotoOut(BaseModel):
    """A photo that was received."""

    model_config = shown_as(
        {
            "sha256": "9f86d08188" + "0" * 54,
            "media_type": "image/jpeg",
            "bytes": 812345,
            "received_at": "2026-11-23T15:20:00Z",
        }
    )

    sha256: str
    media_type: str
    bytes: int
    received_at: str


class PageOut(BaseModel):
    """A page of the log."""

    model_config = shown_as({"items": [core.LOG_EXAMPLE], "next_cursor": None})

    items: list[dict[str, Any]]
    next_cursor: str | None


def _one_of(values: Sequence[str]) -> JsonDict:
    return {"items": {"type": "string", "enum": list(values)}}


_STATES, _OUTCOMES = _one_of(STATES), _one_of(OUTCOMES)


def _infraction_body() -> dict[str, Any]:
    body = {"schema": json_schema(InfractionIn), "example": dict(core.EXAMPLE)}
    return {"requestBody": {"required": True, "content": {"application/json": body}}}


_PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _PICTURES},
    }
}


InfractionId = Annotated[
    str,
    Path(
        description="A UUID that the device made",
        examples=["01939a7e-5c1b-7c7e-8f5e-3a1d2b4c5d6e"],
        json_schema_extra={"pattern": UUID_PATTERN},
    ),
]
InfractionName = Annotated[str, Path(examples=["01939a7e-5c1b-7c7e-8f5e-3a1d2b4c5d6e"])]
Sha256 = Annotated[
    str,
    Path(
        description="The SHA-256 of the photo's bytes, in hexadecimal",
        examples=["9f86d08188" + "0" * 54],
        json_schema_extra={"pattern": "^[0-9A-Fa-f]{64}$"},
    ),
]

# Filters


def _invalid(name: str, detail: str, **facts: object) -> Invalid:
    return Invalid(errors=[Problem.Error(f"/query/{name}", detail, **facts)])


def _values(name: str, given: list[str], allowed: Iterable[str] = ()) -> tuple[str, ...]:
    if len(given) > MOST_VALUES:
        raise _invalid(name, N_("has too many items"))
    allowed = tuple(allowed)
    if allowed and not set(given) <= set(allowed):
        raise _invalid(name, N_("must be one of: {allowed}"), allowed=", ".join(allowed))
    return tuple(dict.fromkeys(mended(value) for value in given))


def _plates(given: list[str]) -> tuple[str, ...]:
    plates = _values("plate", [normalise(plate[:100]) for plate in given])
    if any(not SHORTEST <= len(plate) <= LONGEST for plate in plates):
        raise _invalid("plate", N_("is no plate: 2 to 8 letters and digits are needed"))
    return plates


def _moment(name: str, given: str | None, time_zone: str, *, day_after: bool) -> datetime | None:
    """An instant, or where a local date begins (or ends: where the next one begins)."""
    if given is None:
        return None
    try:
        if len(given) <= len("2026-11-23"):
            return day_begins(day(given) + timedelta(days=int(day_after)), time_zone)
        return instant(given)
    except ValueError:
        told = N_("must be a date or an instant, such as 2026-11-23 or 2026-11-23T15:15:00Z")
        raise _invalid(name, told) from None


def _accepted(accept: str) -> str:
    """The form of the log that the Accept header likes best; JSON by default."""
    best, best_quality = "json", 0.0
    forms = {"text/csv": "csv", "application/geo+json": "geojson", "application/json": "json"}
    for part in accept.split(","):
        kind, *parameters = part.lower().replace(" ", "").split(";")
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            liked = float(quality)
        except ValueError:
            continue
        if kind in forms and liked > best_quality:
            best, best_quality = forms[kind], liked
    return best


UNCHANGING = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
"""What an answer says that is named by the hash of its content, and that runs nothing."""


# Streaming


def _streamed(pieces: Iterator[str], *, kind: str, name: str) -> Response:
    # The first piece is made here, so that what fails is answered as a problem.
    return StreamingResponse(
        itertools.chain([next(pieces)], pieces),
        media_type=kind,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        },
    )


def photo_response(request: Request, settings: Settings, photo: StoredPhoto) -> Response:
    """The original as it was taken, to who may have it. Raises UnknownPhoto."""
    path = hashed_files.path_of(settings.photo_dir, photo.sha256)
    if not path.exists():
        raise UnknownPhoto(sha256=photo.sha256)
    headers = {**UNCHANGING, "ETag": f'"{photo.sha256}"'}
    if f'"{photo.sha256}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return FileResponse(path, media_type=photo.media_type, headers=headers)


def router(
    *,
    record: Record,
    guard: Guard,
    settings: Settings,
    now: Callable[[], datetime],
    follow: Callable[[str], None],
) -> APIRouter:
    """The routes of infractions and photos."""
    routes = APIRouter(prefix="/v1")
    # Threads of their own: they wait for their site's feed, which many permits at once may hold
    # for seconds, and nobody else should wait with them.
    uploads = CapacityLimiter(_UPLOADS_AT_ONCE)
    sender = Depends(guard.allow("device", revoked=True))
    reader = Depends(guard.allow("reader", "admin"))
    decider = Depends(guard.allow("admin"))

    async def json_body(request: Request) -> bytes:
        return await capped_body(request, settings.largest_json, mebibytes(settings.largest_json))

    async def picture_body(request: Request) -> bytes:
        try:
            return await capped_body(request, settings.largest_photo, "")
        except TooLarge:
            raise PhotoTooLarge(limit=settings.largest_photo) from None

    # Infractions

    @routes.put(
        "/infractions/{id}",
        operation_id="putInfraction",
        tags=["infractions"],
        summary="Hand over an infraction",
        response_model=ReceiptOut,
        status_code=201,
        responses={
            200: {"model": ReceiptOut, "description": "Received before, with the same content"},
            409: {"description": "Another infraction was received under this id"},
            422: {"description": "The body is malformed: `errors` says where"},
        },
        openapi_extra=_infraction_body(),
    )
    async def put_infraction(
        id: InfractionId, by: Principal = sender, body: bytes = Depends(json_body)
    ) -> Any:
        """Keep what a patroller recorded. Safe to send again; never refused for a zone, code, lot,
        patroller, cursor or number that is not known: that is flagged in `warnings`.
        """
        id = core.infraction_id(id)

        def keep() -> Response:
            upload = core.read(body)
            received_at = now().replace(microsecond=0)
            told_from = received_at - timedelta(days=settings.notice_days)

            def work(tx: Connection) -> Received:
                received = store.receive(
                    record, tx, id, upload, by=by, received_at=received_at, told_from=told_from
                )
                if received.is_new:
                    heeding.heed_earlier(tx, upload.sent.site, id, at=received_at)
                return received

            received = record.write(work)
            if received.is_new:
                follow(upload.sent.site)
            status = 201 if received.is_new else 200
            return JSONResponse(codec.receipt_json(received.receipt), status)

        return await to_thread.run_sync(keep, limiter=uploads)

    @routes.get(
        "/infractions",
        operation_id="listInfractions",
        tags=["infractions"],
        summary="The infraction log",
        response_model=PageOut,
        responses={
            200: {
                "description": "A page as JSON; the whole selection as CSV or GeoJSON",
                "content": {
                    "text/csv": {"schema": {"type": "string"}},
                    "application/geo+json": {"schema": {"type": "object"}},
                },
            }
        },
    )
    def list_infractions(
        request: Request,
        by: Principal = reader,
        site: list[str] = Query([], description="Site codes; left out: all sites of the key"),
        zone: list[str] = Query([], examples=[["G1"]]),
        from_: str | None = Query(
            None,
            alias="from",
            description="Observed at or after: an instant, or a date in the time zone of the site"
            " (in UTC unless exactly one site is asked for)",
            json_schema_extra={"pattern": DATE_OR_INSTANT},
        ),
        to: str | None = Query(
            None,
            description="Observed before this instant, or not after this date",
            json_schema_extra={"pattern": DATE_OR_INSTANT},
        ),
        lot: list[str] = Query([], examples=[["P3"]]),
        plate: list[str] = Query([], description="Plates, in any jurisdiction"),
        patroller: list[str] = Query([]),
        device: list[str] = Query([]),
        code: list[str] = Query([], examples=[["P01"]]),
        state: list[str] = Query([], json_schema_extra=_STATES),
        outcome: list[str] = Query([], json_schema_extra=_OUTCOMES),
        differs: bool | None = Query(
            None, description="Whether the device's verdict is not the one known now"
        ),
        q: str | None = Query(
            None,
            description="Words in the note, place, plate as typed, number or patroller",
            json_schema_extra={"maxLength": LONGEST_WORDS},
        ),
        sort: str = Query("-received_at", json_schema_extra={"enum": list(ORDERS)}),
        limit: int = Query(50, ge=1, le=500),
        cursor: str | None = Query(None, description="The `next_cursor` of the page before"),
        excel: bool = Query(
            False, description="CSV as Excel in Québec reads it: semicolons, byte order mark"
        ),
    ) -> Any:
        """The infractions wanted, the newest received first unless `sort` says otherwise.

        `Accept: text/csv` or `application/geo+json` streams the whole selection instead of a page.
        A filter given several times lets each of its values through.

        A page looks at so much of the log and no more: one that holds few, or none, of what rarely
        occurs may have a `next_cursor` all the same. The last page has none.
        """
        order = next((order for order in ORDERS if order == sort), None)
        if order is None:
            raise _invalid("sort", N_("must be one of: {allowed}"), allowed=", ".join(ORDERS))
        if q is not None and len(q) > LONGEST_WORDS:
            raise _invalid("q", N_("is too long"))
        after = None if cursor is None else Place.parse(cursor, order=order)

        def select(tx: Connection) -> Selection:
            named = _values("site", site)
            for one in named:
                sites.site(tx, one)
                by.check_site(one)
            visible = named or tuple(
                here.id for here in sites.all_sites(tx) if by.may_touch(here.id)
            )
            time_zone = sites.site(tx, named[0]).time_zone if len(named) == 1 else "UTC"
            return Selection(
                sites=visible,
                zones=_values("zone", zone),
                lots=_values("lot", lot),
                plates=_plates(plate),
                patrollers=_values("patroller", patroller),
                devices=_values("device", device),
                codes=_values("code", code),
                states=_values("state", state, STATES),
                outcomes=_values("outcome", outcome, OUTCOMES),
                differs=differs,
                begins=_moment("from", from_, time_zone, day_after=False),
                ends=_moment("to", to, time_zone, day_after=True),
                words=None if q is None else mended(q),
                order=order,
            )

        form = _accepted(request.headers.get("accept", ""))
        if form != "json":
            found = search.whole_log(record, record.read(select))
            if form == "csv":
                pieces = exports.as_csv(found, excel=excel)
                return _streamed(pieces, kind=CSV_TYPE, name="infractions.csv")
            pieces = exports.as_geojson(found)
            return _streamed(pieces, kind=exports.GEOJSON_TYPE, name="infractions.geojson")

        def page(tx: Connection) -> dict[str, Any]:
            found = search.search(tx, select(tx), after=after, limit=limit)
            return {
                "items": [item.as_json() for item in found.items],
                "next_cursor": None if found.next is None else str(found.next),
            }

        return JSONResponse(record.read(page))

    @routes.get(
        "/infractions/{id}",
        operation_id="getInfraction",
        tags=["infractions"],
        summary="One infraction, with its history",
        responses={
            200: {"content": {"application/json": {"example": core.WHOLE_EXAMPLE}}},
            404: {"description": "There is no such infraction"},
        },
    )
    def get_infraction(id: InfractionName, by: Principal = reader) -> Any:
        """Everything that was sent, what the device knew and what is known now, side by side."""

        def read(tx: Connection) -> dict[str, Any]:
            found = cases.case(tx, mended(id).lower(), at=now())
            by.check_site(found.infraction.sent.site)
            return cases.as_json(found)

        return JSONResponse(record.read(read))

    @routes.post(
        "/infractions/{id}/reviews",
        operation_id="reviewInfraction",
        tags=["infractions"],
        summary="Decide an infraction",
        response_model=ReviewOut,
        status_code=201,
        responses={
            403: {"description": "The key is the patroller's own, or of another site"},
            404: {"description": "There is no such infraction"},
            409: {"description": "Its state has moved on, or the decision does not fit"},
        },
    )
    def review_infraction(id: InfractionId, wanted: ReviewIn, by: Principal = decider) -> Any:
        """Confirm, void with a reason, ask the patroller, or reopen. It is judged once more first:
        confirming one whose verdict differs needs `acknowledge_differs`.

        Nobody reviews their own: a key whose source is the patroller's badge or id is refused.
        """
        id = core.infraction_id(id)
        at = now().replace(microsecond=0)
        decision = lifecycle.Wanted(**wanted.model_dump())
        after, review = record.write(lambda tx: store.review(tx, id, decision, by=by, at=at))
        follow(after.sent.site)
        recheck = {"verdict": after.recheck_verdict, "differs": after.differs}
        return JSONResponse({"infraction": id, **review.as_json(), "recheck": recheck}, 201)

    # Photos

    @routes.put(
        "/photos/{sha256}",
        operation_id="putPhoto",
        tags=["infractions"],
        summary="Hand over a photo",
        response_model=PhotoOut,
        status_code=201,
        responses={
            200: {"model": PhotoOut, "description": "Received before"},
            409: {"description": "The device was revoked, and has handed over enough since"},
            422: {"description": "Not this photo, or no picture"},
            507: {
                "description": "The device has left enough that no infraction names: hand over the"
                " infraction, then the photo again. Or the service cannot write to its disk"
            },
        },
        openapi_extra=_PICTURE_BODY,
    )
    def put_photo(
        sha256: Sha256, by: Principal = sender, body: bytes = Depends(picture_body)
    ) -> Any:
        """Keep an original, unaltered, under its SHA-256. Safe to send again."""
        sha256 = core.photo_name(sha256)
        media_type = photos.inspect(body, named=sha256)
        record.read(lambda tx: photos.check_room(tx, sha256, len(body), by=by))
        hashed_files.keep(settings.photo_dir, sha256, body)
        kept = StoredPhoto(sha256, media_type, len(body), now().replace(microsecond=0))

        def work(tx: Connection) -> tuple[StoredPhoto, bool]:
            is_new = photos.put(record, tx, kept, device=by.id)
            return photos.stored(tx, sha256) or kept, is_new

        stored, is_new = record.write(work)
        answer = {
            "sha256": stored.sha256,
            "media_type": stored.media_type,
            "bytes": stored.bytes,
            "received_at": codec.instant(stored.received_at),
        }
        return JSONResponse(answer, 201 if is_new else 200)

    @routes.get(
        "/photos/{sha256}",
        operation_id="getPhoto",
        tags=["infractions"],
        summary="A photo",
        response_class=FileResponse,
        responses={
            200: {
                "content": {
                    kind: {"schema": {"type": "string", "format": "binary"}} for kind in _PICTURES
                }
            },
            304: {"description": "The same as you have: it never changes"},
            404: {"description": "There is no such photo"},
        },
    )
    def get_photo(request: Request, sha256: Sha256, by: Principal = reader) -> Any:
        """The original, as it was taken."""
        sha256 = core.photo_name(sha256)

        def find(tx: Connection) -> StoredPhoto:
            found = photos.stored(tx, sha256)
            if by.sites is not None:
                places = photos.sites_of(tx, sha256)
                if places and not any(by.may_touch(site) for site in places):
                    by.check_site(places[0])
                found = found if places else None
            if found is None:
                raise UnknownPhoto(sha256=sha256)
            return found

        found = record.read(find)
        return photo_response(request, settings, found)

    return routes
