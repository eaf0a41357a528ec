"""Sites, patrollers and the hotlist over HTTP (CONTRACT, "Sites")."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator

from enforcement_api.database.engine import Record
from enforcement_api.security import Guard, Principal
from enforcement_api.shapes import Id
from enforcement_api.sites import core, store
from enforcement_api.sites.administration import Administration
from enforcement_api.sites.shapes import (
    HotlistEntryOut,
    HotlistEntryShape,
    PatrollerOut,
    PatrollerShape,
    SiteShape,
    site_json,
)
from sync import codec

SiteId = Annotated[
    str,
    AfterValidator(core.check_site_id),
    Path(
        description="The site's code.",
        examples=["1085"],
        json_schema_extra={"pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"},
    ),
]
SiteName = Annotated[str, Path(description="The site's code.", examples=["1085"])]
PatrollerId = Annotated[Id, Path(description="The patroller's id.", examples=["marie"])]
PatrollerName = Annotated[str, Path(description="The patroller's id.", examples=["marie"])]
EntryId = Annotated[Id, Path(description="The entry's id.", examples=["stolen-17"])]
EntryName = Annotated[str, Path(description="The entry's id.", examples=["stolen-17"])]


# Routes


def router(
    *,
    record: Record,
    guard: Guard,
    now: Callable[[], datetime],
    administration: Administration,
) -> APIRouter:
    """The routes of sites."""
    admin = guard.allow("admin")
    routes = APIRouter(prefix="/v1/sites/{site}", dependencies=[Depends(admin)])

    @routes.put(
        "",
        operation_id="putSite",
        tags=["sites"],
        summary="Create or replace a site",
        response_model=SiteShape,
        responses={
            201: {"model": SiteShape, "description": "It is new"},
            409: {"description": "Permits hold on to what would change"},
        },
    )
    def put_site(site: SiteId, wanted: SiteShape, by: Principal = Depends(admin)) -> Response:
        """Write a site whole: settings, zones, lots, codes; what is left out is gone.

        Refused: removing a zone that permits name; changing the time zone or the jurisdiction
        once there are permits. A changed `activation_hours` applies to updates that come later.
        """
        new, created = administration.put_site(wanted.plan(site), by=by, at=now())
        return JSONResponse(site_json(new), status_code=201 if created else 200)

    @routes.get(
        "",
        operation_id="getSite",
        tags=["sites"],
        summary="A site whole",
        response_model=SiteShape,
    )
    def get_site(site: SiteName) -> Response:
        """The site in the shape that PUT takes."""
        return JSONResponse(site_json(record.read(lambda tx: store.plan(tx, site))))

    @routes.put(
        "/patrollers/{id:path}",
        operation_id="putPatroller",
        tags=["patrollers"],
        summary="Create or replace a patroller",
        response_model=PatrollerOut,
        responses={
            201: {"model": PatrollerOut, "description": "They are new"},
            409: {"description": "Another patroller has this badge"},
        },
    )
    def put_patroller(
        site: SiteName, id: PatrollerId, wanted: PatrollerShape, by: Principal = Depends(admin)
    ) -> Response:
        """Write a patroller with badge and PIN; a badge is one patroller's at a site."""
        patroller, created = administration.put_patroller(site, id, wanted, by=by, at=now())
        answer = {"id": id, "badge": patroller.badge, "name": patroller.name}
        return JSONResponse(answer, status_code=201 if created else 200)

    @routes.delete(
        "/patrollers/{id:path}",
        operation_id="deletePatroller",
        tags=["patrollers"],
        summary="Remove a patroller",
        status_code=204,
    )
    def delete_patroller(site: SiteName, id: PatrollerName, by: Principal = Depends(admin)) -> None:
        """The patroller can no longer sign in; what they recorded stays."""
        administration.delete_patroller(site, id, by=by, at=now())

    @routes.put(
        "/hotlist/{id:path}",
        operation_id="putHotlistEntry",
        tags=["hotlist"],
        summary="Create or replace an entry of the hotlist",
        response_model=HotlistEntryOut,
        responses={201: {"model": HotlistEntryOut, "description": "It is new"}},
    )
    def put_hotlist_entry(
        site: SiteName, id: EntryId, wanted: HotlistEntryShape, by: Principal = Depends(admin)
    ) -> Response:
        """Every handheld of the site hears of the plate with its next sync."""
        entry, created = administration.put_hotlist_entry(site, id, wanted, by=by, at=now())
        return JSONResponse(codec.change_of(entry).record, status_code=201 if created else 200)

    @routes.delete(
        "/hotlist/{id:path}",
        operation_id="deleteHotlistEntry",
        tags=["hotlist"],
        summary="Remove an entry of the hotlist",
        status_code=204,
    )
    def delete_hotlist_entry(site: SiteName, id: EntryName, by: Principal = Depends(admin)) -> None:
        """Every handheld of the site forgets it with its next sync."""
        administration.delete_hotlist_entry(site, id, by=by, at=now())

    return routes
