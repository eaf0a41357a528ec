"""Holders over HTTP: the people who subscribe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.security import Guard, Principal
from enforcement_api.shapes import mended
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import shapes, store
from enforcement_api.subscriptions.core import Holder
from enforcement_api.subscriptions.shapes import (
    CHANGE_RESPONSES,
    IF_MATCH_IF_KNOWN,
    Cursor,
    HolderShape,
    IdInPath,
    Limit,
    Page,
    Sites,
    expected_version,
    holder_json,
    page,
    page_json,
    versioned,
)
from enforcement_api.subscriptions.store import Action


def router(
    *,
    record: Record,
    guard: Guard,
    now: Callable[[], datetime],
) -> APIRouter:
    """The routes of holders."""
    admin = guard.allow("admin")
    routes = APIRouter(prefix="/v1/holders", tags=["holders"], dependencies=[Depends(admin)])

    @routes.put(
        "/{id}",
        operation_id="putHolder",
        summary="Create or replace a holder",
        response_model=dict[str, Any],
        responses={201: {"description": "They are new"}, **CHANGE_RESPONSES},
        openapi_extra=IF_MATCH_IF_KNOWN,
    )
    def put_holder(
        request: Request, id: IdInPath, wanted: HolderShape, by: Principal = Depends(admin)
    ) -> Response:
        """Write a holder whole. A new address gets a letter with a link that confirms it. The same
        again changes nothing.
        """
        wanted.check()
        by.check_site(wanted.site)
        given = {name: getattr(wanted, name) for name in shapes.HOLDER_FIELDS}

        def write(tx: Connection) -> tuple[Holder, int]:
            sites.site(tx, wanted.site)
            at = now().replace(microsecond=0)
            action = Action(by.actor, at)
            before = store.find_holder(tx, id, lock=True)
            if before is None:
                holder = Holder(id=id, created_at=at, **given)
                store.put_holder(tx, holder)
                store.remember(tx, holder.site, f"holder:{id}", "created", action)
                return holder, 201
            by.check_site(before.site)
            if before.erased_at is not None:
                raise store.UnknownHolder(id=id)
            if before.site != wanted.site:
                raise Invalid(errors=[Problem.Error("/site", N_("cannot be changed"))])
            holder = replace(before, **given)
            if holder == before:
                return before, 200
            store.check_version(before.version, expected_version(request))
            holder = replace(holder, version=before.version + 1)
            if holder.email != before.email:
                holder = replace(holder, email_confirmed_at=None)
            store.put_holder(tx, holder)
            store.remember(tx, holder.site, f"holder:{id}", "replaced", action)
            return holder, 200

        holder, status = record.write(write)
        return versioned(holder_json(holder), status=status)

    @routes.get("", operation_id="listHolders", summary="Holders", response_model=Page)
    def list_holders(
        site: Sites = [],  # noqa: B006
        email: Annotated[str | None, Query(max_length=254)] = None,
        q: Annotated[
            str | None, Query(max_length=200, description="Words in name or address")
        ] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
        by: Principal = Depends(admin),
    ) -> Response:
        """By site and name."""

        def read(tx: Connection) -> Response:
            wanted = page(tx, by, site, limit=limit, cursor=cursor, position=(str, str, str, str))
            found = store.list_holders(tx, wanted, email=email and mended(email), q=q and mended(q))
            return page_json(
                found,
                wanted,
                show=holder_json,
                position=lambda h: (h.site, h.last_name, h.first_name, h.id),
            )

        return record.read(read)

    @routes.get(
        "/{id}", operation_id="getHolder", summary="A holder", response_model=dict[str, Any]
    )
    def get_holder(id: IdInPath, by: Principal = Depends(admin)) -> Response:
        """A holder, their subscriptions, and what was done, the oldest first."""

        def read(tx: Connection) -> dict[str, Any]:
            holder = store.holder(tx, id)
            by.check_site(holder.site)
            return holder_json(holder) | {
                "subscriptions": [
                    {"id": s.id, "number": s.number, "status": s.status(now())}
                    for s in store.of_holder(tx, holder.site, id)
                ],
                "history": [
                    event.as_json() for event in store.events_of(tx, holder.site, f"holder:{id}")
                ],
            }

        return versioned(record.read(read))

    return routes
