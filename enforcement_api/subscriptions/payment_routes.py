"""Payments over HTTP: pages on which cards are given, what is owed, and what the provider tells."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, ConfigDict, Field
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.problems import N_, language_of
from enforcement_api.security import Guard, Principal
from enforcement_api.settings import Settings
from enforcement_api.shapes import (
    UUID_PATTERN,
    Line,
    Note,
    Shape,
    WebAddress,
    capped_body,
    is_identifier,
    page_cursor,
    page_position,
)
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import core, payments, store
from enforcement_api.subscriptions.cashier import Cashier
from enforcement_api.subscriptions.core import Subscription
from enforcement_api.subscriptions.pages import page as told_on_a_page
from enforcement_api.subscriptions.payments import Page, Payment
from enforcement_api.subscriptions.providers import (
    NoProvider,
    PageGone,
    Provider,
    ProviderUnreachable,
)
from enforcement_api.subscriptions.shapes import (
    ClientId,
    Cursor,
    IdInPath,
    Limit,
    client_id,
    content_hash,
    of_key,
)
from enforcement_api.subscriptions.shapes import Page as ListPage
from enforcement_api.subscriptions.store import Action, ActionConflict
from sync import codec
from sync.entities import Site

EVENTS = "/v1/payment-events"
RETURN = "/paiement/retour"
LARGEST_EVENT = 16 * 1024
_LAST = 2**31 - 1
"""The largest position that there can be: it is compared with a column of 32 bits."""

PageId = Annotated[
    str,
    AfterValidator(client_id),
    Path(
        description="The page's id, a UUID of the client's",
        examples=["01979dd0-7c1c-7c43-9d14-6f2f2ddbb8a4"],
        json_schema_extra={"pattern": UUID_PATTERN},
    ),
]
PaymentId = Annotated[
    str,
    AfterValidator(client_id),
    Path(
        description="The payment's id",
        examples=["f0f7f6a2-6f0b-5d60-8c1f-0d6b5f1d2a11"],
        json_schema_extra={"pattern": UUID_PATTERN},
    ),
]


class PageShape(Shape):
    """A page to open. `return_url`: where the person is sent when they have given a card; left out,
    a page of the service that says so.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"language": "fr"}]})

    language: Literal["fr", "en"] = "fr"
    return_url: WebAddress | None = None


class RefundShape(Shape):
    """Give back what a card paid. `id` makes it safe to send again."""

    id: ClientId
    reason: Note = Field(examples=["Payé en double"])


class ReceivedShape(Shape):
    """A cheque came. `reference`: its number, or where it was deposited."""

    id: ClientId
    reference: Line = Field(examples=["Chèque 0042"])


PAYMENT_EXAMPLE: dict[str, Any] = {
    "id": "f0f7f6a2-6f0b-5d60-8c1f-0d6b5f1d2a11",
    "position": 1,
    "kind": "first",
    "method": "card",
    "period_from": "2026-06-01",
    "period_until": "2026-06-30",
    "amount_cents": 2308,
    "due_at": "2026-05-21T14:00:00Z",
    "state": "paid",
    "is_under_way": False,
    "attempts": 0,
    "next_try_at": None,
    "failed_since": None,
    "grace_until": None,
    "reason": None,
    "settled_at": "2026-05-21T14:00:02Z",
    "reference": "txn_0f3a9c",
    "refund": None,
}


def payment_json(payment: Payment) -> dict[str, Any]:
    """A payment as it is answered. `reference`: the provider's name of a charge, or a cheque's."""
    return {
        "id": payment.id,
        "position": payment.position,
        "kind": payment.kind,
        "method": payment.method,
        "period_from": payment.period_from.isoformat(),
        "period_until": payment.period_until and payment.period_until.isoformat(),
        "amount_cents": payment.amount_cents,
        "due_at": codec.instant(payment.due_at),
        "state": payment.state,
        "is_under_way": payment.is_under_way,
        "attempts": payment.attempts,
        "next_try_at": codec.optional_instant(payment.next_try_at),
        "failed_since": codec.optional_instant(payment.failed_since),
        "grace_until": codec.optional_instant(payment.grace_until),
        "reason": payment.reason,
        "settled_at": codec.optional_instant(payment.settled_at),
        "reference": payment.charge,
        "refund": payment.refund,
    }


def page_json(page: Page, *, is_gone: bool = False) -> dict[str, Any]:
    """A payment page as it is answered."""
    state = "completed" if page.completed_at else "expired" if is_gone else "open"
    return {
        "id": page.id,
        "subscription": page.subscription,
        "state": state,
        "url": page.url,
        "ticket": page.ticket,
        "opened_at": codec.instant(page.opened_at),
        "completed_at": codec.optional_instant(page.completed_at),
    }


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"example": PAYMENT_EXAMPLE}}},
    409: {"description": "It does not fit what there is now; `detail` says why"},
}


def router(
    *,
    record: Record,
    guard: Guard,
    provider: Provider | None,
    cashier: Cashier,
    settings: Settings,
    now: Callable[[], datetime],
) -> APIRouter:
    """The routes of payments."""
    admin = guard.allow("admin")
    routes = APIRouter(tags=["payments"])

    def seconds() -> datetime:
        return now().replace(microsecond=0)

    def charging() -> Provider:
        """Raises NoProvider."""
        if provider is None:
            raise NoProvider
        return provider

    def looked_at(page: Page) -> tuple[Page, bool]:
        """The page as it is now, and whether nobody can complete it any more.

        Raises ProviderUnreachable.
        """
        if page.completed_at is not None or provider is None:
            return page, False
        try:
            card = provider.receipt(page.ticket)
        except PageGone:
            return page, True
        if card is None:
            return page, False
        cashier.take_card(page, card)
        return record.read(lambda tx: payments.find_page(tx, page.id)) or page, False

    # Pages

    @routes.put(
        "/v1/subscriptions/{id}/payment-pages/{page}",
        operation_id="putPaymentPage",
        summary="Open a page on which a card is given",
        response_model=dict[str, Any],
        status_code=201,
        responses={
            200: {"description": "It was opened before, for the same"},
            409: {"description": "Cards are not charged here, nothing is to be paid any more, or"
                                 " another page has this id"},
        },
    )  # fmt: skip
    def put_payment_page(
        request: Request,
        id: IdInPath,
        page: PageId,
        wanted: PageShape,
        by: Principal = Depends(admin),
    ) -> Response:
        """The provider's page at `url` is for the subscriber's browser: the card's number is typed
        there, and never comes here. The card takes the place of the one before. Nothing is charged
        before the subscription is approved; what could not be charged is tried again at once.
        """
        hash = content_hash(wanted, id)

        def known(tx: Connection) -> Page | None:
            found = payments.find_page(tx, page)
            if found is not None and (found.subscription, found.content_hash) != (id, hash):
                raise ActionConflict(id=page)
            return found

        def check(tx: Connection) -> tuple[Subscription, Page | None]:
            return of_key(tx, id, by), known(tx)

        subscription, before = record.read(check)
        if before is not None:
            return JSONResponse(page_json(before))
        asked = charging()
        at = seconds()
        if subscription.status(at) not in ("requested", "waiting", "active", "suspended"):
            raise core.NotInThisState(subscription, at)
        opened = asked.preload(
            language=wanted.language,
            return_url=wanted.return_url or _return_url(request, settings, wanted.language),
        )
        new = Page(subscription.site, page, id, hash, opened.ticket, opened.url, at)

        def write(tx: Connection) -> tuple[Page, bool]:
            is_new = payments.add_page(record, tx, new)
            found = known(tx)
            assert found is not None
            return found, is_new

        # Of two that came at once, the first counts; the other's ticket is told to nobody.
        kept, is_new = record.write(write)
        return JSONResponse(page_json(kept), 201 if is_new else 200)

    @routes.get(
        "/v1/subscriptions/{id}/payment-pages/{page}",
        operation_id="getPaymentPage",
        summary="A page on which a card is given",
        response_model=dict[str, Any],
    )
    def get_payment_page(id: IdInPath, page: PageId, by: Principal = Depends(admin)) -> Response:
        """Has a card been given? The provider is asked, unless it is known."""

        def read(tx: Connection) -> Page:
            of_key(tx, id, by)
            found = payments.find_page(tx, page)
            if found is None or found.subscription != id:
                raise payments.UnknownPage
            return found

        found, is_gone = looked_at(record.read(read))
        return JSONResponse(page_json(found, is_gone=is_gone))

    @routes.get(RETURN, include_in_schema=False)
    def come_back(
        request: Request,
        ticket: Annotated[str, Query(max_length=200)] = "",
        langue: Annotated[str, Query(max_length=10)] = "",
    ) -> Response:
        """Where a person comes back to who has given a card. The card is fetched, if it is there;
        nothing is told but that.
        """
        language = langue if langue in ("fr", "en") else language_of(request)

        def read(tx: Connection) -> tuple[Page | None, Site | None]:
            its = payments.page_of_ticket(tx, ticket) if is_identifier(ticket) else None
            return its, None if its is None else sites.site(tx, its.site)

        found, site = record.read(read)
        try:
            is_kept = found is not None and looked_at(found)[0].completed_at is not None
        except ProviderUnreachable:
            is_kept = False
        if is_kept:
            return told_on_a_page(
                language,
                site=site,
                tone="good",
                title=N_("Your card is saved"),
                paragraphs=(N_("You may close this page."),),
            )
        return told_on_a_page(
            language,
            site=site,
            tone="wait",
            title=N_("Your card is not confirmed yet"),
            paragraphs=(
                N_("If you have just given it, load this page again in a moment."),
                N_("Otherwise ask the parking office for a new page, and give it there."),
            ),
            status=404 if found is None else 200,
        )

    # What the provider tells

    @routes.post(
        EVENTS,
        operation_id="tellPaymentEvent",
        summary="The payment provider says that something happened",
        status_code=204,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        },
        responses={
            403: {"description": "The provider did not sign it, or not lately"},
            409: {"description": "Cards are not charged here"},
        },
    )
    async def tell_payment_event(request: Request) -> Response:
        """No key: the provider signs it (`Payment-Signature`, the HMAC-SHA256 of
        `Payment-Timestamp`, a dot, and the body). It only says where to look: the provider itself
        is then asked what happened, so that one that comes again, or never, does no harm.
        """
        believed = charging()
        body = await capped_body(request, LARGEST_EVENT, f"{LARGEST_EVENT // 1024} KiB")
        event = believed.event(request.headers, body, at=now())

        def look() -> None:
            if event.order is not None:
                order = event.order
                record.write(lambda tx: payments.look_at_order(tx, order, at=seconds()))
            if event.ticket is not None:
                ticket = event.ticket
                found = record.read(lambda tx: payments.page_of_ticket(tx, ticket))
                if found is not None:
                    looked_at(found)

        await run_in_threadpool(look)
        return Response(status_code=204)

    # Payments

    @routes.get(
        "/v1/subscriptions/{id}/payments",
        operation_id="listPayments",
        summary="What a subscription owes and paid",
        response_model=ListPage,
    )
    def list_payments(
        id: IdInPath, limit: Limit = 50, cursor: Cursor = None, by: Principal = Depends(admin)
    ) -> Response:
        """The oldest first."""
        after = 0 if cursor is None else min(page_position(cursor, int)[0], _LAST)

        def read(tx: Connection) -> list[Payment]:
            site = of_key(tx, id, by).site
            return payments.of_subscription(tx, site, id, after=after, limit=limit + 1)

        found = record.read(read)
        shown = found[:limit]
        more = page_cursor(shown[-1].position) if len(found) > limit else None
        return JSONResponse({"items": [payment_json(p) for p in shown], "next_cursor": more})

    @routes.post(
        "/v1/subscriptions/{id}/payments/{payment}/refund",
        operation_id="refundPayment",
        summary="Give back what a card paid",
        response_model=dict[str, Any],
        responses=_ANSWERS,
    )
    def refund_payment(
        id: IdInPath, payment: PaymentId, wanted: RefundShape, by: Principal = Depends(admin)
    ) -> Response:
        """The whole amount, once, however often it is sent. `refunding`: the provider does not
        answer now; it is asked until it does. The subscription itself stays as it is.
        """
        charging()
        action = Action(
            by.actor, seconds(), wanted.id, content_hash(wanted, id, payment), wanted.reason
        )

        def write(tx: Connection) -> None:
            subscription = of_key(tx, id, by, lock=True)
            found = payments.payment(tx, subscription, payment)
            if store.was_done(tx, f"subscription:{id}", action):
                return
            payments.save(tx, payments.refunding(found, wanted.id, at=action.at))
            store.remember(
                tx,
                subscription.site,
                f"subscription:{id}",
                "refund-asked",
                action,
                payment=found.id,
                amount_cents=found.amount_cents,
            )

        record.write(write)
        with contextlib.suppress(ProviderUnreachable):  # the cashier goes on asking
            cashier.try_now(id, payment)
        return shown(id, payment)

    @routes.post(
        "/v1/subscriptions/{id}/payments/{payment}/received",
        operation_id="receivePayment",
        summary="A cheque came",
        response_model=dict[str, Any],
        responses=_ANSWERS,
    )
    def receive_payment(
        id: IdInPath, payment: PaymentId, wanted: ReceivedShape, by: Principal = Depends(admin)
    ) -> Response:
        """What was owed by cheque is paid. Safe to send again with the same `id`."""
        action = Action(by.actor, seconds(), wanted.id, content_hash(wanted, id, payment))

        def write(tx: Connection) -> None:
            subscription = of_key(tx, id, by, lock=True)
            found = payments.payment(tx, subscription, payment)
            if store.was_done(tx, f"subscription:{id}", action):
                return
            paid = payments.received(found, wanted.reference, at=action.at)
            payments.save(tx, paid)
            store.remember(
                tx,
                subscription.site,
                f"subscription:{id}",
                "payment-received",
                action,
                payment=found.id,
                amount_cents=found.amount_cents,
            )
            cashier.tell_received(tx, subscription, paid, action.at)

        record.write(write)
        return shown(id, payment)

    def shown(id: str, payment: str) -> Response:
        def read(tx: Connection) -> Payment:
            return payments.payment(tx, store.subscription(tx, id), payment)

        return JSONResponse(payment_json(record.read(read)))

    return routes


def _return_url(request: Request, settings: Settings, language: str) -> str:
    base = settings.public_url or str(request.base_url)
    return f"{base.rstrip('/')}{RETURN}?{urlencode({'langue': language})}"
