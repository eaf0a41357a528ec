"""Holders over HTTP: the people who subscribe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.security import Guard, Principal, secret_hash
from enforcement_api.settings import Settings
from enforcement_api.shapes import UUID_PATTERN, mended
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import confirming, post, privacy, shapes, store
from enforcement_api.subscriptions.attachments import (
    SEALED,
    Attachment,
    content_of,
    note_reading,
)
from enforcement_api.subscriptions.core import Holder
from enforcement_api.subscriptions.letters import Letter
from enforcement_api.subscriptions.shapes import (
    CHANGE_RESPONSES,
    IF_MATCH_IF_KNOWN,
    Cursor,
    HolderShape,
    IdInPath,
    Limit,
    Page,
    Sites,
    check_is_new,
    client_id,
    expected_version,
    holder_json,
    page,
    page_json,
    versioned,
)
from enforcement_api.subscriptions.store import Action
from sync import codec

LetterId = Annotated[
    str,
    AfterValidator(client_id),
    Path(
        description="The letter's id",
        examples=["f0f7f6a2-6f0b-4d60-8c1f-0d6b5f1d2a11"],
        json_schema_extra={"pattern": UUID_PATTERN},
    ),
]


class AddressConfirmed(Problem):
    """There is nothing to confirm."""

    status = 409
    slug = "address-confirmed"
    title = N_("The address is confirmed already")
    detail = N_("That was on {at}. Another address is confirmed when it is written down.")


def router(
    *,
    record: Record,
    guard: Guard,
    settings: Settings,
    now: Callable[[], datetime],
) -> APIRouter:
    """The routes of holders."""
    life = timedelta(hours=settings.confirmation_hours)

    def ask_to_confirm(tx: Connection, holder: Holder, request: Request, at: datetime) -> datetime:
        """Write to the holder's address, with a link that confirms it; until when it is good."""
        address = settings.public_url or str(request.base_url)
        link = confirming.new_link(tx, holder, address=address, life=life, at=at)
        letter = Letter(
            site=holder.site,
            key=f"{holder.id}:confirm:{secret_hash(link.url)[:16]}",
            holder=holder.id,
            subscription=None,
            kind="confirm_address",
            language=holder.language,
            recipient=holder.email,
            facts={
                "name": holder.name,
                "link": link.url,
                "expires_at": codec.instant(link.expires_at),
                "time_zone": sites.site(tx, holder.site).time_zone,
            },
        )
        post.write(record, tx, letter, at=at)
        return link.expires_at

    def of_key(tx: Connection, id: str, by: Principal, *, lock: bool = False) -> Holder:
        """A holder at a site of the key. Raises UnknownHolder, ForbiddenSite."""
        found = store.holder(tx, id, lock=lock)
        by.check_site(found.site)
        return found

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
                check_is_new(request)
                holder = Holder(id=id, created_at=at, **given)
                store.put_holder(tx, holder)
                store.remember(tx, holder.site, f"holder:{id}", "created", action)
                ask_to_confirm(tx, holder, request, at)
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
            if holder.email != before.email:
                post.address_changed(tx, holder.site, id, holder.email)
                ask_to_confirm(tx, holder, request, at)
            return holder, 200

        holder, status = record.write(write)
        return versioned(holder_json(holder), status=status)

    @routes.get("", operation_id="listHolders", summary="Holders", response_model=Page)
    def list_holders(
        site: Sites = (),
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
            holder = of_key(tx, id, by)
            return holder_json(holder) | {
                "subscriptions": [
                    {"id": s.id, "number": s.number, "status": s.status(now())}
                    for s in store.of_holder(tx, holder.site, id)
                ],
                "letters": [one.as_json() for one in post.listed(tx, holder.site, holder=id)],
                "history": [
                    event.as_json() for event in store.events_of(tx, holder.site, f"holder:{id}")
                ],
            }

        return versioned(record.read(read))

    @routes.post(
        "/{id}/confirmation",
        operation_id="askToConfirm",
        summary="Send the link that confirms the address again",
        response_model=dict[str, Any],
        responses={409: {"description": "The address is confirmed"}},
    )
    def ask_again(request: Request, id: IdInPath, by: Principal = Depends(admin)) -> Response:
        """A new link goes to the address; the earlier ones are good no more."""
        at = now().replace(microsecond=0)

        def write(tx: Connection) -> datetime:
            holder = of_key(tx, id, by, lock=True)
            if holder.erased_at is not None:
                raise store.UnknownHolder(id=id)
            if holder.email_confirmed_at is not None:
                raise AddressConfirmed(at=codec.instant(holder.email_confirmed_at))
            return ask_to_confirm(tx, holder, request, at)

        return JSONResponse({"expires_at": codec.instant(record.write(write))})

    @routes.post(
        "/{id}/letters/{letter}/retry",
        operation_id="retryLetter",
        summary="Send a letter that could not be sent",
        status_code=204,
        responses={409: {"description": "It was sent"}},
    )
    def retry_letter(id: IdInPath, letter: LetterId, by: Principal = Depends(admin)) -> None:
        """It is tried now, and for as long as a new one."""
        at = now().replace(microsecond=0)

        def write(tx: Connection) -> None:
            holder = of_key(tx, id, by)
            if letter not in {one.id for one in post.listed(tx, holder.site, holder=id)}:
                raise post.UnknownLetter
            post.retry(tx, holder.site, letter, at)

        record.write(write)

    @routes.get(
        "/{id}/export",
        operation_id="exportHolder",
        summary="All that is known of a person",
        response_class=Response,
        responses={200: {"content": {"application/zip": {"schema": {"type": "string"}}}}},
    )
    def export(id: IdInPath, by: Principal = Depends(admin)) -> Response:
        """A zip file for the person: what the record knows as JSON, their files, their contracts.
        That it was drawn up is written down.
        """
        at = now().replace(microsecond=0)

        def write(tx: Connection) -> tuple[dict[str, Any], list[Attachment]]:
            holder = of_key(tx, id, by, lock=True)
            action = Action(by.actor, at)
            store.remember(tx, holder.site, f"holder:{id}", "exported", action)
            files = privacy.files_of(tx, holder)
            for file in files:
                if file.purpose in SEALED:
                    note_reading(tx, file, by=by.actor, at=at)
            return privacy.everything(tx, holder), files

        known, files = record.write(write)
        archive = privacy.archive(known, files, partial(content_of, record, settings))
        name = f'attachment; filename="{id}.zip"'
        return Response(
            archive, media_type="application/zip", headers={"Content-Disposition": name}
        )

    @routes.delete(
        "/{id}",
        operation_id="eraseHolder",
        summary="Erase a person",
        status_code=204,
        responses={409: {"description": "They have a subscription that is not over"}},
    )
    def erase(id: IdInPath, by: Principal = Depends(admin)) -> None:
        """Names, addresses, messages, letters, contracts and files are gone for good; contract
        numbers, dates and amounts stay, and tell of nobody. Safe to do again.
        """
        at = now().replace(microsecond=0)

        def write(tx: Connection) -> None:
            of_key(tx, id, by)
            privacy.erase(tx, id, action=Action(by.actor, at))

        record.write(write)
        privacy.sweep(record, settings, at=at)

    return routes
