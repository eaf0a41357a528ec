"""Courtesy permits over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.security import Guard, Principal
from enforcement_api.subscriptions import courtesy, store
from enforcement_api.subscriptions.courtesy import CourtesyPermit
from enforcement_api.subscriptions.desk import Desk
from enforcement_api.subscriptions.shapes import (
    CourtesyShape,
    Cursor,
    IdInPath,
    Limit,
    Page,
    Sites,
    page,
    page_json,
)
from sync.plates import normalise


def router(
    *,
    record: Record,
    guard: Guard,
    desk: Desk,
    now: Callable[[], datetime],
) -> APIRouter:
    """The routes of courtesy permits."""
    admin = guard.allow("admin")
    routes = APIRouter(
        prefix="/v1/courtesy-permits", tags=["courtesy"], dependencies=[Depends(admin)]
    )

    @routes.put(
        "/{id}",
        operation_id="grantCourtesyPermit",
        summary="Let a plate in at once, for a few days",
        response_model=dict[str, Any],
        status_code=201,
        responses={
            200: {"description": "It was granted before, with the same content"},
            409: {"description": "Another was granted under this id, or the subscription is over"},
        },
    )
    def grant(id: IdInPath, wanted: CourtesyShape, by: Principal = Depends(admin)) -> Response:
        """A loan car's, say. Its number begins with COURTOISIE-, which every patroller is told.
        Safe to send again.
        """
        granted, is_new = desk.grant_courtesy(id, wanted, by=by, at=now())
        return JSONResponse(granted.as_json(), 201 if is_new else 200)

    @routes.delete(
        "/{id}",
        operation_id="endCourtesyPermit",
        summary="End a courtesy permit now",
        response_model=dict[str, Any],
    )
    def end(id: IdInPath, by: Principal = Depends(admin)) -> Response:
        """The plate is let in no more; one that has ended stays so."""
        return JSONResponse(desk.end_courtesy(id, by=by, at=now()).as_json())

    @routes.get(
        "/{id}",
        operation_id="getCourtesyPermit",
        summary="A courtesy permit",
        response_model=dict[str, Any],
    )
    def get(id: IdInPath, by: Principal = Depends(admin)) -> Response:
        """Who was let in, until when, by whom and why."""
        return JSONResponse(record.read(lambda tx: desk.courtesy(tx, id, by=by)).as_json())

    @routes.get(
        "",
        operation_id="listCourtesyPermits",
        summary="Courtesy permits",
        response_model=Page,
    )
    def list_(
        site: Sites = (),
        plate: Annotated[
            str | None, Query(max_length=64, description="In any jurisdiction")
        ] = None,
        live: Annotated[bool, Query(description="Those alone that are good now")] = False,
        limit: Limit = 50,
        cursor: Cursor = None,
        by: Principal = Depends(admin),
    ) -> Response:
        """By site, the one that was granted first at the top."""

        def read(tx: Connection) -> Response:
            wanted = page(tx, by, site, limit=limit, cursor=cursor, position=(str, int, str))
            found = courtesy.listed(
                tx,
                store.since(wanted),
                plate=None if plate is None else normalise(plate),
                live_at=now().replace(microsecond=0) if live else None,
            )
            return page_json(
                found,
                wanted,
                show=CourtesyPermit.as_json,
                position=lambda c: (c.site, int(c.granted_at.timestamp()), c.id),
            )

        return record.read(read)

    return routes
