"""Courtesy permits over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict, Field
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.security import Guard, Principal
from enforcement_api.settings import Settings
from enforcement_api.shapes import Instant, Note, Word
from enforcement_api.sites import store as sites
from enforcement_api.sites.shapes import ZoneOrAll
from enforcement_api.subscriptions import courtesy, store
from enforcement_api.subscriptions.courtesy import CourtesyPermit
from enforcement_api.subscriptions.office import Office
from enforcement_api.subscriptions.shapes import (
    MOST_ZONES,
    ClientId,
    Cursor,
    IdInPath,
    Limit,
    Page,
    PlateShape,
    Sites,
    content_hash,
    page,
    page_json,
)
from enforcement_api.subscriptions.store import Action
from sync import codec
from sync.entities import ALL_ZONES
from sync.plates import normalise


class CourtesyShape(PlateShape):
    """A plate to be let in at once. `zones`: the subscription's product's, if left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "site": "1085",
                    "plate": "LOC 123",
                    "subscription": "01979dd0-7c1c-7c43-9d14-6f2f2ddbb8a1",
                    "reason": "Voiture de courtoisie du garage",
                    "expires_at": "2026-11-27T22:00:00Z",
                }
            ]
        }
    )

    site: Word
    zones: list[ZoneOrAll] = Field(default=[], max_length=MOST_ZONES)
    subscription: ClientId | None = None
    reason: Note
    expires_at: Instant


def router(
    *,
    record: Record,
    guard: Guard,
    settings: Settings,
    office: Office,
    now: Callable[[], datetime],
    follow: Callable[[str], None],
) -> APIRouter:
    """The routes of courtesy permits."""
    admin = guard.allow("admin")
    routes = APIRouter(
        prefix="/v1/courtesy-permits", tags=["courtesy"], dependencies=[Depends(admin)]
    )
    most = timedelta(days=settings.courtesy_days)

    def seconds() -> datetime:
        return now().replace(microsecond=0)

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
        by.check_site(wanted.site)
        action = Action(by.actor, seconds())  # the reason lies with the permit, to be forgotten

        def write(tx: Connection) -> tuple[CourtesyPermit, bool]:
            described = wanted.described(sites.site(tx, wanted.site))
            zones = [ALL_ZONES] if ALL_ZONES in wanted.zones else dict.fromkeys(wanted.zones)
            asked = CourtesyPermit(
                site=wanted.site,
                id=id,
                number="",
                content_hash=content_hash(wanted),
                subscription=wanted.subscription,
                plate=described.plate,
                plate_raw=described.plate_raw,
                zones=tuple(zones),
                reason=wanted.reason,
                granted_at=action.at,
                granted_by=action.by,
                expires_at=wanted.expires_at.replace(microsecond=0),
            )
            return courtesy.grant(office, tx, asked, most=most, action=action)

        granted, is_new = record.write(write)
        follow(granted.site)
        return JSONResponse(_as_json(granted), 201 if is_new else 200)

    @routes.delete(
        "/{id}",
        operation_id="endCourtesyPermit",
        summary="End a courtesy permit now",
        response_model=dict[str, Any],
    )
    def end(id: IdInPath, by: Principal = Depends(admin)) -> Response:
        """The plate is let in no more; one that has ended stays so."""
        action = Action(by.actor, seconds())

        def write(tx: Connection) -> CourtesyPermit:
            by.check_site(_found(tx, id).site)
            return courtesy.end(office, tx, id, action=action)

        ended = record.write(write)
        follow(ended.site)
        return JSONResponse(_as_json(ended))

    @routes.get(
        "/{id}",
        operation_id="getCourtesyPermit",
        summary="A courtesy permit",
        response_model=dict[str, Any],
    )
    def get(id: IdInPath, by: Principal = Depends(admin)) -> Response:
        """Who was let in, until when, by whom and why."""
        found = record.read(lambda tx: _found(tx, id))
        by.check_site(found.site)
        return JSONResponse(_as_json(found))

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
                live_at=seconds() if live else None,
            )
            return page_json(
                found,
                wanted,
                show=_as_json,
                position=lambda c: (c.site, int(c.granted_at.timestamp()), c.id),
            )

        return record.read(read)

    return routes


def _found(tx: Connection, id: str) -> CourtesyPermit:
    found = courtesy.find(tx, id)
    if found is None:
        raise courtesy.UnknownCourtesyPermit(id=id)
    return found


def _as_json(permit: CourtesyPermit) -> dict[str, Any]:
    return {
        "id": permit.id,
        "site": permit.site,
        "number": permit.number,
        "subscription": permit.subscription,
        "plate": permit.plate.text,
        "jurisdiction": permit.plate.jurisdiction,
        "plate_raw": permit.plate_raw,
        "zones": list(permit.zones),
        "reason": permit.reason,
        "granted_at": codec.instant(permit.granted_at),
        "granted_by": permit.granted_by,
        "expires_at": codec.instant(permit.expires_at),
        "ended_at": codec.optional_instant(permit.ended_at),
    }
