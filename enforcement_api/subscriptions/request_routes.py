"""Requests over HTTP: what subscribers ask for, and what is decided."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.security import Guard, Principal
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import core, store
from enforcement_api.subscriptions.core import PaymentMethod, Request
from enforcement_api.subscriptions.desk import Desk
from enforcement_api.subscriptions.office import Asked, NewVehicle
from enforcement_api.subscriptions.shapes import (
    CHANGE_RESPONSES,
    IF_MATCH,
    CancellationShape,
    CardShape,
    Cursor,
    DecisionShape,
    Filter,
    IdInPath,
    Limit,
    Page,
    RequestShape,
    Sites,
    SubscriptionRequestShape,
    among,
    content_hash,
    expected_version,
    page,
    page_json,
    request_json,
    versioned,
)
from enforcement_api.subscriptions.store import Action

_EXAMPLE: dict[str, Any] = {
    "kind": "subscription",
    "site": "1085",
    "holder": "01979dd0-7c1c-7c43-9d14-6f2f2ddbb8a1",
    "product": "5569",
    "starts_on": "2026-06-01",
    "ends_on": None,
    "vehicles": [
        {
            "id": "01979dd0-7c1c-7c43-9d14-6f2f2ddbb8a2",
            "plate": "ABC 123",
            "make": "Acura",
            "model": "NSX",
            "year": 2021,
            "colour": "rouge",
        }
    ],
    "answers": {"school": "Université de Sherbrooke"},
    "consents": {
        "terms": "2026-05-20T14:00:00Z",
        "approval": "2026-05-20T14:00:00Z",
        "payment_terms": "2026-05-20T14:04:00Z",
        "charge_after_approval": "2026-05-20T14:04:00Z",
    },
    "attachments": ["01979dd0-7c1c-7c43-9d14-6f2f2ddbb8a3"],
    "payment": {"method": "card"},
}


def router(
    *,
    record: Record,
    guard: Guard,
    desk: Desk,
    now: Callable[[], datetime],
) -> APIRouter:
    """The routes of requests."""
    admin = guard.allow("admin")
    routes = APIRouter(prefix="/v1/requests", tags=["requests"], dependencies=[Depends(admin)])

    @routes.put(
        "/{id}",
        operation_id="putRequest",
        summary="Hand in a request",
        response_model=dict[str, Any],
        status_code=201,
        responses={
            200: {"description": "It came before, with the same content"},
            409: {"description": "Another came under this id, or it does not fit what there is"},
        },
    )
    def put_request(
        id: IdInPath,
        wanted: Annotated[RequestShape, Body(examples=[_EXAMPLE])],
        by: Principal = Depends(admin),
    ) -> Response:
        """Ask for a subscription, another category, or a cancellation. Safe to send again.

        A request for a subscription makes one that awaits approval, under the same id; the card, if
        it is to be paid by card, is given on the provider's page after that.
        """

        def write(tx: Connection) -> tuple[Request, bool]:
            asked = _asked(tx, id, wanted, by)
            action = Action(by.actor, now().replace(microsecond=0))
            return desk.office.submit(tx, asked, action=action)

        request, is_new = record.write(write)
        return versioned(request_json(request), status=201 if is_new else 200)

    @routes.get("", operation_id="listRequests", summary="Requests", response_model=Page)
    def list_requests(
        site: Sites = (),
        state: Annotated[
            tuple[str, ...], Query(json_schema_extra={"items": {"enum": list(core.REQUEST_STATES)}})
        ] = (),
        kind: Annotated[
            tuple[str, ...], Query(json_schema_extra={"items": {"enum": list(core.KINDS)}})
        ] = (),
        subscription: Annotated[Filter | None, Query(max_length=36)] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
        by: Principal = Depends(admin),
    ) -> Response:
        """The one that was submitted first at the top, site by site."""
        states, kinds = among("state", state, core.REQUEST_STATES), among("kind", kind, core.KINDS)

        def read(tx: Connection) -> Response:
            wanted = page(tx, by, site, limit=limit, cursor=cursor, position=(str, int, str))
            wanted = store.since(wanted)
            found = store.list_requests(
                tx, wanted, states=states, kinds=kinds, subscription=subscription
            )
            return page_json(
                found,
                wanted,
                show=request_json,
                position=lambda r: (r.site, int(r.submitted_at.timestamp()), r.id),
            )

        return record.read(read)

    @routes.get(
        "/{id}", operation_id="getRequest", summary="A request", response_model=dict[str, Any]
    )
    def get_request(id: IdInPath, by: Principal = Depends(admin)) -> Response:
        """What was asked for, and what was done with it, the oldest first."""
        return versioned(record.read(lambda tx: desk.request(tx, id, by=by)))

    @routes.post(
        "/{id}/decision",
        operation_id="decideRequest",
        summary="Approve, refuse or withdraw a request",
        response_model=dict[str, Any],
        responses=CHANGE_RESPONSES,
        openapi_extra=IF_MATCH,
    )
    def decide(
        request: HttpRequest,
        id: IdInPath,
        wanted: DecisionShape,
        by: Principal = Depends(admin),
    ) -> Response:
        """With the approval the 24 hours of each plate begin, the permits are in the feed, and the
        first charge is due; all that in one transaction. A refusal needs a reason, which the
        subscriber is told. Safe to send again with the same `id`.
        """
        expected = expected_version(request)
        decided = desk.decide(id, wanted, expected=expected, by=by, at=now())
        return versioned(request_json(decided))

    return routes


def _asked(tx: Connection, id: str, wanted: RequestShape, by: Principal) -> Asked:
    """The request, read for its site. Raises what its shape alone could not tell."""
    if isinstance(wanted, SubscriptionRequestShape):
        by.check_site(wanted.site)
        site = sites.site(tx, wanted.site)
        if wanted.ends_on is not None and wanted.ends_on < wanted.starts_on:
            raise Invalid(errors=[Problem.Error("/ends_on", N_("is before starts_on"))])
        payment = None
        if wanted.payment is not None:
            is_card = isinstance(wanted.payment, CardShape)
            cheque = None if isinstance(wanted.payment, CardShape) else wanted.payment.cheque
            payment = PaymentMethod("card" if is_card else "cheque", cheque=cheque)
        return Asked(
            id=id,
            kind="subscription",
            site=site.id,
            content_hash=content_hash(wanted),
            subscription=id,
            holder=wanted.holder,
            product=wanted.product,
            starts_on=wanted.starts_on,
            ends_on=wanted.ends_on,
            vehicles=tuple(
                NewVehicle(vehicle.id, vehicle.described(site, at=f"/vehicles/{at}"))
                for at, vehicle in enumerate(wanted.vehicles)
            ),
            payment=payment,
            answers=tuple(wanted.answers.items()),
            consents=wanted.consents.given(),
            message=wanted.message,
            attachments=tuple(dict.fromkeys(wanted.attachments)),
        )
    subscription = store.subscription(tx, wanted.subscription)
    by.check_site(subscription.site)
    is_cancellation = isinstance(wanted, CancellationShape)
    return Asked(
        id=id,
        kind="cancellation" if is_cancellation else "category_change",
        site=subscription.site,
        content_hash=content_hash(wanted),
        subscription=subscription.id,
        product=None if isinstance(wanted, CancellationShape) else wanted.product,
        on=wanted.on if isinstance(wanted, CancellationShape) else None,
        message=wanted.message,
        attachments=tuple(dict.fromkeys(wanted.attachments)),
    )
