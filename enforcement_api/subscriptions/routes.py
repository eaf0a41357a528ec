"""Subscriptions over HTTP: what there is, and what is done to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.security import Guard, Principal
from enforcement_api.shapes import UUID_PATTERN
from enforcement_api.subscriptions import attachments, contract, core, store
from enforcement_api.subscriptions.desk import Desk
from enforcement_api.subscriptions.shapes import (
    CHANGE_RESPONSES,
    IF_MATCH,
    ActionShape,
    ClientId,
    Cursor,
    Filter,
    IdInPath,
    Limit,
    MessageShape,
    Page,
    Sites,
    VehicleShape,
    among,
    content_hash,
    expected_version,
    few,
    message_json,
    of_key,
    page,
    page_json,
    subscriptions_json,
    versioned,
)
from enforcement_api.subscriptions.store import Message
from sync.plates import normalise

OtherId = Annotated[
    ClientId,
    Path(
        description="The client's UUID",
        examples=["01979dd0-7c1c-7c43-9d14-6f2f2ddbb8a2"],
        json_schema_extra={"pattern": UUID_PATTERN},
    ),
]


def router(
    *,
    record: Record,
    guard: Guard,
    desk: Desk,
    now: Callable[[], datetime],
) -> APIRouter:
    """The routes of subscriptions."""
    admin = guard.allow("admin")
    routes = APIRouter(
        prefix="/v1/subscriptions", tags=["subscriptions"], dependencies=[Depends(admin)]
    )

    def seconds() -> datetime:
        return now().replace(microsecond=0)

    @routes.get("", operation_id="listSubscriptions", summary="Subscriptions", response_model=Page)
    def list_subscriptions(
        site: Sites = (),
        status: Annotated[
            tuple[str, ...], Query(json_schema_extra={"items": {"enum": list(core.STATUSES)}})
        ] = (),
        product: Annotated[Filter | None, Query(max_length=32)] = None,
        category: Annotated[Filter | None, Query(max_length=32)] = None,
        holder: Annotated[Filter | None, Query(max_length=36)] = None,
        number: Annotated[Filter | None, Query(max_length=32)] = None,
        plate: Annotated[tuple[str, ...], Query(description="Plates, in any jurisdiction")] = (),
        limit: Limit = 50,
        cursor: Cursor = None,
        by: Principal = Depends(admin),
    ) -> Response:
        """By site and contract number."""
        statuses = among("status", status, core.STATUSES)
        plates = tuple(normalise(one[:100]) for one in few("plate", plate))

        def read(tx: Connection) -> Response:
            wanted = page(tx, by, site, limit=limit, cursor=cursor, position=(str, str))
            found = store.list_subscriptions(
                tx,
                wanted,
                at=seconds(),
                statuses=statuses,
                product=product,
                category=category,
                holder=holder,
                number=number,
                plates=plates,
            )
            answers = subscriptions_json(tx, found, at=seconds())
            as_shown = dict(zip((s.id for s in found), answers, strict=True))
            return page_json(
                found,
                wanted,
                show=lambda s: as_shown[s.id],
                position=lambda s: (s.site, s.number),
            )

        return record.read(read)

    @routes.get(
        "/{id}",
        operation_id="getSubscription",
        summary="A subscription",
        response_model=dict[str, Any],
    )
    def get_subscription(id: IdInPath, by: Principal = Depends(admin)) -> Response:
        """A subscription with its vehicles, requests, messages, contracts, and what was done to it,
        the oldest first.
        """
        at = seconds()
        return versioned(record.read(lambda tx: desk.subscription(tx, id, by=by, at=at)))

    @routes.get(
        "/{id}/contract",
        operation_id="getContract",
        summary="A contract as a PDF",
        response_class=Response,
        responses={200: {"content": {contract.MEDIA_TYPE: {"schema": {"type": "string"}}}}},
    )
    def get_contract(
        id: IdInPath,
        position: Annotated[
            int | None, Query(ge=1, le=1_000_000, description="Which; the last, if left out")
        ] = None,
        by: Principal = Depends(admin),
    ) -> Response:
        """The same bytes each time: what was agreed, and when each condition was accepted."""

        def read(tx: Connection) -> dict[str, Any]:
            found = of_key(tx, id, by)
            return store.contract(tx, found.site, id, position)

        facts = record.read(read)
        name = f'attachment; filename="{facts["number"]}-{facts["position"]}.pdf"'
        headers = {"Content-Disposition": name}
        return Response(contract.pdf(facts), media_type=contract.MEDIA_TYPE, headers=headers)

    @routes.post(
        "/{id}/actions",
        operation_id="changeSubscription",
        summary="Suspend, resume, cancel, keep, renew, or change the product",
        response_model=dict[str, Any],
        responses=CHANGE_RESPONSES,
        openapi_extra=IF_MATCH,
    )
    def act(
        request: Request, id: IdInPath, wanted: ActionShape, by: Principal = Depends(admin)
    ) -> Response:
        """`cancel` ends it after the day `on`, or at once; `keep` takes back a cancellation to
        come; `renew` moves its end (`ends_on`, null: none); plates keep their clock with `renew`
        and `change_product`. Safe to send again with the same `id`.
        """
        expected = expected_version(request)
        return versioned(desk.act(id, wanted, expected=expected, by=by, at=now()))

    @routes.put(
        "/{id}/vehicles/{vehicle}",
        operation_id="putVehicle",
        summary="Add a vehicle, or describe it anew",
        response_model=dict[str, Any],
        responses=CHANGE_RESPONSES,
        openapi_extra=IF_MATCH,
    )
    def put_vehicle(
        request: Request,
        id: IdInPath,
        vehicle: OtherId,
        wanted: VehicleShape,
        by: Principal = Depends(admin),
    ) -> Response:
        """Another plate is active after the site's delay, and the plate before it works until then;
        another colour or model changes nothing of that. The same again changes nothing.
        """
        expected = expected_version(request)
        return versioned(desk.put_vehicle(id, vehicle, wanted, expected=expected, by=by, at=now()))

    @routes.delete(
        "/{id}/vehicles/{vehicle}",
        operation_id="deleteVehicle",
        summary="Delete a vehicle: its plate ends at once",
        response_model=dict[str, Any],
        responses=CHANGE_RESPONSES,
        openapi_extra=IF_MATCH,
    )
    def delete_vehicle(
        request: Request, id: IdInPath, vehicle: OtherId, by: Principal = Depends(admin)
    ) -> Response:
        """Sold or stolen: warn whoever asks for it, since its plate works no more."""
        expected = expected_version(request)
        return versioned(desk.delete_vehicle(id, vehicle, expected=expected, by=by, at=now()))

    @routes.put(
        "/{id}/messages/{message}",
        operation_id="putMessage",
        summary="Hand in a message",
        response_model=dict[str, Any],
        status_code=201,
        responses={
            200: {"description": "It came before, with the same content"},
            409: {"description": "Another came under this id"},
        },
    )
    def put_message(
        id: IdInPath, message: OtherId, wanted: MessageShape, by: Principal = Depends(admin)
    ) -> Response:
        """What a subscriber or the office writes; its subject carries the contract number."""

        def write(tx: Connection) -> tuple[Message, bool]:
            # Locked: its holder may be erased at this moment.
            subscription = of_key(tx, id, by, lock=True)
            if store.holder(tx, subscription.holder).erased_at is not None:
                raise store.UnknownHolder(id=subscription.holder)
            new = Message(
                site=subscription.site,
                id=message,
                subscription=id,
                sender=wanted.sender,
                at=seconds(),
                subject=subscription.number,
                body=wanted.body,
                attachments=tuple(wanted.attachments),
                content_hash=content_hash(wanted, id),
            )
            if store.add_message(record, tx, new):
                attachments.use(
                    tx,
                    new.site,
                    new.attachments,
                    purposes=("message",),
                    subject=f"message:{message}",
                    pointer="/attachments",
                )
                return new, True
            known = store.find_message(tx, message)
            if known is None or known.content_hash != new.content_hash:
                raise store.ActionConflict(id=message)
            return known, False

        kept, is_new = record.write(write)
        return JSONResponse(message_json(kept), 201 if is_new else 200)

    return routes
