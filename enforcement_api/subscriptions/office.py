"""What is done to subscriptions, each in one transaction with its permits, its letter, its contract
and what it owes: all of it happened, or nothing.

A subscription is locked first, then the site's feed. Whoever repeats an action (its id is the
client's) is answered as the first time; whoever looked at an older version is told so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.permits import intake
from enforcement_api.permits.intake import OnChange, Rejected
from enforcement_api.permits.updates import PlateUpdateIn
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.security import Principal
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import attachments, core, payments, store, telling
from enforcement_api.subscriptions.core import (
    Described,
    Holder,
    Kind,
    PaymentMethod,
    Product,
    Request,
    Subscription,
    Why,
)
from enforcement_api.subscriptions.store import Action
from sync import codec
from sync.entities import Site

PRINCIPAL = Principal(
    id="subscriptions", role="feeder", name="subscriptions", source=core.SOURCE, sites=None
)
"""Whose permits those of subscriptions are."""

_Transition = Callable[[Subscription, Product, Site], Subscription]


class AlreadyDecided(Problem):
    """A request that is decided."""

    status = 409
    slug = "already-decided"
    title = N_("The request has been decided")
    detail = N_("That was on {at}. What followed is changed on the subscription itself.")


class RequestPending(Problem):
    """The same is asked for already."""

    status = 409
    slug = "request-pending"
    title = N_("The same has been asked for and awaits a decision")
    detail = N_("Decide, or withdraw, the request {id} first.")


class ProductNotOffered(Problem):
    """A product that nobody can subscribe to any more."""

    status = 409
    slug = "product-not-offered"
    title = N_("This product is not offered any more")
    detail = N_("Choose another than {product}; GET /v1/products?active=true lists them.")


@dataclass(frozen=True, slots=True)
class NewVehicle:
    """A vehicle in a request, under an id of the client's."""

    id: str
    described: Described


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for, as it was handed in."""

    id: str
    kind: Kind
    site: str
    content_hash: str
    subscription: str
    holder: str | None = None
    product: str | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    vehicles: tuple[NewVehicle, ...] = ()
    payment: PaymentMethod | None = None
    on: date | None = None
    answers: tuple[tuple[str, str], ...] = ()
    consents: tuple[tuple[str, str], ...] = ()
    message: str | None = None
    attachments: tuple[str, ...] = ()


Verdict = Literal["approve", "refuse", "withdraw"]
_DECIDED: dict[Verdict, core.RequestState] = {
    "approve": "approved",
    "refuse": "refused",
    "withdraw": "withdrawn",
}


@dataclass(frozen=True, slots=True)
class Office:
    """What is done to subscriptions. Every method works in the caller's transaction.

    `on_change` is told of the plates whose permits changed.
    """

    record: Record
    on_change: OnChange

    # Asking

    def submit(self, tx: Connection, asked: Asked, *, action: Action) -> tuple[Request, bool]:
        """Take a request; whether it is new. Raises what of it cannot be, ActionConflict."""
        product = None
        if asked.product is not None:
            product = store.product(tx, asked.site, asked.product)
        request = Request(
            site=asked.site,
            id=asked.id,
            kind=asked.kind,
            subscription=asked.subscription,
            submitted_at=action.at,
            wanted=_wanted(asked, product),
            answers=dict(asked.answers),
            consents=dict(asked.consents),
            message=asked.message,
            attachments=asked.attachments,
            content_hash=asked.content_hash,
        )
        if not store.add_request(self.record, tx, request):
            known = store.request(tx, asked.id)
            if known.content_hash != asked.content_hash:
                raise store.ActionConflict(id=asked.id)
            return known, False
        if asked.kind == "subscription":
            assert product is not None
            subscription = self._ask_for_subscription(tx, asked, product, action)
        else:
            subscription = self._ask_for_change(tx, asked, action)
        attachments.use(
            tx,
            asked.site,
            asked.attachments,
            purposes=("proof",) if asked.kind == "subscription" else ("message", "proof"),
            subject=f"request:{asked.id}",
            pointer="/attachments",
        )
        self._tell_of_request(tx, subscription, asked, action.at)
        what = "requested" if asked.kind == "subscription" else f"{asked.kind}-requested"
        store.remember(tx, asked.site, f"request:{asked.id}", "submitted", action, kind=asked.kind)
        store.remember(tx, asked.site, f"subscription:{asked.subscription}", what, action)
        return request, True

    def _tell_of_request(
        self, tx: Connection, subscription: Subscription, asked: Asked, at: datetime
    ) -> None:
        """That it was received."""
        key = f"{asked.id}:received"
        if asked.kind == "subscription":
            plates = [vehicle.plate.text for vehicle in subscription.present]
            facts = telling.term(subscription) | {"plates": plates}
            self.tell(tx, subscription, "request_received", key, facts, at)
        elif asked.kind == "category_change":
            self.tell(tx, subscription, "change_received", key, {}, at)
        else:
            on = asked.on and asked.on.isoformat()
            self.tell(tx, subscription, "cancellation_received", key, {"on": on}, at)

    def tell(
        self,
        tx: Connection,
        subscription: Subscription,
        kind: str,
        key: str,
        facts: Mapping[str, Any],
        at: datetime,
    ) -> None:
        """Write a letter to the holder; once for each key."""
        telling.tell(self.record, tx, subscription, kind, key, facts, at)

    def _ask_for_subscription(
        self, tx: Connection, asked: Asked, product: Product, action: Action
    ) -> Subscription:
        assert asked.holder is not None
        assert asked.starts_on is not None
        # Locked: they may be erased at this moment.
        holder = _of_site(store.holder(tx, asked.holder, lock=True), asked.site)
        if not product.active:
            raise ProductNotOffered(product=product.code)
        errors = list(
            core.missing(
                product,
                answers=dict(asked.answers),
                consents=dict(asked.consents),
                proofs=len(asked.attachments),
            )
        )
        if core.is_over(asked.ends_on, sites.site(tx, asked.site), at=action.at):
            errors.append(Problem.Error("/ends_on", N_("is over: a day to come is needed")))
        if errors:
            raise Invalid(errors=errors)
        subscription = Subscription(
            site=asked.site,
            id=asked.subscription,
            number=store.next_number(tx, asked.site),
            holder=holder.id,
            product=product.code,
            decision="requested",
            requested_at=action.at,
            starts_on=asked.starts_on,
            ends_on=asked.ends_on,
            payment=asked.payment,
        )
        for vehicle in asked.vehicles:
            subscription = core.add_vehicle(
                subscription, vehicle.id, vehicle.described, product, at=action.at
            )
        if asked.payment is not None and asked.payment.cheque is not None:
            attachments.use(
                tx,
                asked.site,
                [asked.payment.cheque],
                purposes=("cheque",),
                subject=f"subscription:{subscription.id}",
                pointer="/payment/cheque",
            )
        store.add_subscription(tx, subscription)
        return subscription

    def _ask_for_change(self, tx: Connection, asked: Asked, action: Action) -> Subscription:
        subscription = store.subscription(tx, asked.subscription, lock=True)
        if subscription.status(action.at) not in ("waiting", "active", "suspended"):
            raise core.NotInThisState(subscription, action.at)
        for other in store.requests_of(tx, asked.site, subscription.id):
            is_same = other.kind == asked.kind and other.state == "submitted"
            if is_same and other.id != asked.id:
                raise RequestPending(id=other.id)
        return subscription

    # Deciding

    def decide(
        self,
        tx: Connection,
        id: str,
        verdict: Verdict,
        *,
        product: str | None = None,
        on: date | None = None,
        expected: int | None,
        action: Action,
    ) -> Request:
        """Approve, refuse or withdraw a request. `product` and `on`: in the place of what was asked
        for. Raises AlreadyDecided, LostUpdate, and what the subscription does not allow.
        """
        request = store.request(tx, id, lock=True)
        if store.was_done(tx, f"request:{id}", action):
            return request
        if request.state != "submitted":
            raise AlreadyDecided(
                at=codec.optional_instant(request.decided_at),
                extra={"state": request.state},
            )
        store.check_version(request.version, expected)
        if verdict == "refuse" and action.reason is None:
            raise Invalid(errors=[Problem.Error("/reason", N_("is missing"))])
        its = replace(action, id=None, content_hash=None)  # the action is the request's own
        if verdict == "approve":
            self._approve(tx, request, product, on, its)
        elif request.kind == "subscription":
            change = core.refuse if verdict == "refuse" else core.withdraw
            self._change(
                tx,
                request.subscription,
                _DECIDED[verdict],
                lambda s, *_: change(s, at=action.at),
                its,
            )
            subject = f"subscription:{request.subscription}"  # what a void cheque hangs on
            unneeded = attachments.of_subjects(tx, request.site, [subject])
            attachments.remove(tx, unneeded, by=action.by, at=action.at)
        state = _DECIDED[verdict]
        decided = replace(
            request,
            state=state,
            version=request.version + 1,
            decided_at=action.at,
            decided_by=action.by,
            reason=action.reason,
        )
        store.save_request(tx, decided)
        store.remember(tx, request.site, f"request:{id}", state, action, kind=request.kind)
        if state == "refused":
            subscription = store.subscription(tx, request.subscription)
            facts = {"reason": action.reason}
            kind = _REFUSALS[request.kind]
            self.tell(tx, subscription, kind, f"{id}:refused", facts, action.at)
        return decided

    def _approve(
        self, tx: Connection, request: Request, product: str | None, on: date | None, action: Action
    ) -> None:
        """What the approval of a request comes to."""
        id, at = request.subscription, action.at
        if request.kind == "subscription":
            # Locked: its zones may be changed at this moment.
            asked = store.subscription(tx, id)
            at_price = agreed(request, store.product(tx, asked.site, asked.product, lock=True))
            approved = self._change(
                tx,
                id,
                "approved",
                lambda s, _, site: core.approve(s, at_price, site, at=at),
                action,
            )
            self._owe(tx, approved, at_price, at)
            site = sites.site(tx, approved.site)
            facts = telling.term(approved) | {
                "activation_hours": site.activation_hours,
                "plates": telling.usable(approved, site),
                "contract": self._make_contract(tx, approved, at_price, request, at),
            }
            self.tell(tx, approved, "approved", f"{request.id}:approved", facts, at)
        elif request.kind == "category_change":
            code = product or request.wanted.get("product")
            if code is None:
                raise Invalid(errors=[Problem.Error("/product", N_("is missing"))])
            self._to_product(tx, id, code, action, request=request)
        else:
            wanted = request.wanted.get("on")
            last_day = on or (None if wanted is None else date.fromisoformat(wanted))
            cancelled = self._change(
                tx,
                id,
                "cancelled",
                lambda s, _, site: core.cancel(s, last_day=last_day, site=site, at=at),
                action,
            )
            facts = {"last_day": last_day and last_day.isoformat()}
            key = f"{request.id}:approved"
            self.tell(tx, cancelled, "cancellation_approved", key, facts, at)

    def _make_contract(
        self,
        tx: Connection,
        subscription: Subscription,
        product: Product,
        request: Request,
        at: datetime,
    ) -> int:
        """Write down what the contract says now, at the product's price; its position."""
        said = telling.contract(tx, subscription, product, request, at)
        return store.add_contract(tx, subscription, said, at)

    def _owe(
        self,
        tx: Connection,
        subscription: Subscription,
        product: Product,
        at: datetime,
        *,
        was_free: bool = False,
    ) -> None:
        """What a subscription owes by the local day of `at`, unless it owed something before. One
        that was free owes nothing for the days before it cost something.
        """
        if payments.of_subscription(tx, subscription.site, subscription.id, limit=1):
            return  # the later ones come with the collection calendar
        site = sites.site(tx, subscription.site)
        today = at.astimezone(ZoneInfo(site.time_zone)).date()
        for due in payments.owed(
            product,
            approved_on=today,
            starts_on=max(subscription.starts_on, today) if was_free else subscription.starts_on,
            ends_on=subscription.ends_on,
            by=today,
        ):
            assert subscription.payment is not None, "the approval asked for it"
            payments.owe(
                tx,
                site=subscription.site,
                subscription=subscription.id,
                method=subscription.payment.kind,
                amount_cents=due.amount_cents,
                period_from=due.first,
                period_until=due.last,
                at=at,
            )

    # Changing

    def suspend(
        self, tx: Connection, id: str, *, why: Why, expected: int | None = None, action: Action
    ) -> Subscription:
        """Raises NotInThisState, LostUpdate. Who suspends for a payment says so by themselves."""
        return self._change(
            tx,
            id,
            "suspended",
            lambda s, *_: core.suspend(s, why=why, at=action.at),
            action,
            expected=expected,
            tells=("suspended", {"reason": action.reason}) if why == "staff" else None,
            why=why,
        )

    def resume(
        self, tx: Connection, id: str, *, expected: int | None = None, action: Action
    ) -> Subscription:
        """Raises NotInThisState, LostUpdate."""
        return self._change(
            tx,
            id,
            "resumed",
            lambda s, *_: core.resume(s, at=action.at),
            action,
            expected=expected,
            tells=("resumed", {}),
        )

    def cancel(
        self,
        tx: Connection,
        id: str,
        *,
        last_day: date | None,
        expected: int | None,
        action: Action,
    ) -> Subscription:
        """After its last day, or at once. Raises NotInThisState, LostUpdate, Invalid."""
        return self._change(
            tx,
            id,
            "cancelled",
            lambda s, _, site: core.cancel(s, last_day=last_day, site=site, at=action.at),
            action,
            expected=expected,
            tells=(
                "cancelled",
                {"last_day": last_day and last_day.isoformat(), "reason": action.reason},
            ),
        )

    def keep(
        self, tx: Connection, id: str, *, expected: int | None, action: Action
    ) -> Subscription:
        """Take back a cancellation that is to come. Raises NotInThisState, LostUpdate."""
        return self._change(
            tx,
            id,
            "kept",
            lambda s, _, site: core.keep(s, site=site, at=action.at),
            action,
            expected=expected,
        )

    def renew(
        self, tx: Connection, id: str, *, ends_on: date | None, expected: int | None, action: Action
    ) -> Subscription:
        """Until another day, or without an end. Raises NotInThisState, LostUpdate, Invalid."""
        return self._change(
            tx,
            id,
            "renewed",
            lambda s, _, site: core.renew(s, ends_on=ends_on, site=site, at=action.at),
            action,
            expected=expected,
        )

    def change_product(
        self, tx: Connection, id: str, *, product: str, expected: int | None, action: Action
    ) -> Subscription:
        """One that costs something, of a subscription that did not, is owed from now on. Raises
        UnknownProduct, NotInThisState, TooManyVehicles, PaymentMethodMissing, LostUpdate.
        """
        return self._to_product(tx, id, product, action, expected=expected)

    def set_payment(
        self, tx: Connection, id: str, method: PaymentMethod, *, action: Action
    ) -> Subscription:
        """How it is paid from now on."""
        return self._change(
            tx,
            id,
            "payment-method",
            lambda s, *_: replace(s, payment=method),
            action,
            method=method.kind,
        )

    def put_vehicle(
        self,
        tx: Connection,
        id: str,
        vehicle: str,
        described: Described,
        *,
        expected: int | None,
        action: Action,
    ) -> Subscription:
        """Add a vehicle, or describe it anew; as it was, nothing happens.

        Raises NotInThisState, TooManyVehicles, PlateTwice, LostUpdate, ActionConflict.
        """
        known = store.subscription(tx, id, lock=True)
        before = next((v for v in known.vehicles if v.id == vehicle), None)
        if before is None:
            what, same = "vehicle-added", False
        else:
            what = "vehicle-changed"
            same = before.deleted_at is None and described == Described(
                before.plate, before.plate_raw, before.given
            )
        if same:
            return known

        def transition(s: Subscription, product: Product, _: Site) -> Subscription:
            if before is None:
                return core.add_vehicle(s, vehicle, described, product, at=action.at)
            return core.change_vehicle(s, vehicle, described, at=action.at)

        return self._change(tx, id, what, transition, action, expected=expected, vehicle=vehicle)

    def delete_vehicle(
        self, tx: Connection, id: str, vehicle: str, *, expected: int | None, action: Action
    ) -> Subscription:
        """End a vehicle's plate at once; one that is deleted stays so.

        Raises UnknownVehicle, NotInThisState, LostUpdate.
        """
        known = store.subscription(tx, id, lock=True)
        if any(v.id == vehicle and v.deleted_at is not None for v in known.vehicles):
            return known
        return self._change(
            tx,
            id,
            "vehicle-deleted",
            lambda s, *_: core.delete_vehicle(s, vehicle, at=action.at),
            action,
            expected=expected,
            vehicle=vehicle,
        )

    def product_changed(self, tx: Connection, before: Product, after: Product, at: datetime) -> int:
        """The permits of a product that covers other zones now; how many subscriptions have it."""
        if before.zones == after.zones:
            return 0
        found = store.of_product(tx, after.site, after.code, at=at)
        updates: list[PlateUpdateIn] = []
        pushed: list[str] = []
        for subscription in found:
            as_pushed, its = _to_push(subscription, subscription, before, after)
            updates += its
            both = zip(subscription.vehicles, as_pushed.vehicles, strict=True)
            pushed += [now.id for was, now in both if was != now]
        if updates:  # all at once: nobody waits for each of them
            self.feed(tx, updates, at)
            store.count_pushed(tx, after.site, pushed)
        return len(found)

    # The way of every change

    def _change(
        self,
        tx: Connection,
        id: str,
        what: str,
        transition: _Transition,
        action: Action,
        *,
        expected: int | None = None,
        product_after: Product | None = None,
        tells: tuple[str, dict[str, Any]] | None = None,
        **facts: Any,
    ) -> Subscription:
        """Change a subscription, with its permits, and remember it; once for each action.

        `tells`: the kind of a letter to the holder, and what it says besides.
        """
        before = store.subscription(tx, id, lock=True)
        subject = f"subscription:{id}"
        if store.was_done(tx, subject, action):
            return before
        store.check_version(before.version, expected)
        site = sites.site(tx, before.site)
        product = store.product(tx, before.site, before.product)
        after = transition(before, product, site)
        after = replace(after, version=before.version + 1)
        after = self._push(tx, before, after, product, product_after or product, action.at)
        store.save_subscription(tx, before, after)
        store.remember(tx, before.site, subject, what, action, **facts)
        if after.status(action.at) == "cancelled":
            payments.void_unpaid(tx, after.site, id, at=action.at)
        if "vehicle" in facts and after.decision == "approved":
            tells = telling.of_vehicle(tx, before, after, facts["vehicle"], at=action.at)
        if tells is not None:
            kind, said = tells
            self.tell(tx, after, kind, f"{id}:{after.version}", said, action.at)
        return after

    def _to_product(
        self,
        tx: Connection,
        id: str,
        code: str,
        action: Action,
        *,
        expected: int | None = None,
        request: Request | None = None,
    ) -> Subscription:
        """To another product, at the price of the request that asked for it, or today's."""
        # Locked, and before the subscription, as by who changes the product: it would not be found
        # among those whose zones change with it.
        product = store.product(tx, store.subscription(tx, id).site, code, lock=True)
        if request is not None:
            product = agreed(request, product)
        known = store.subscription(tx, id, lock=True)
        changed = self._change(
            tx,
            id,
            "product-changed",
            lambda s, *_: core.change_product(s, product, at=action.at),
            action,
            expected=expected,
            product_after=product,
            product_before=known.product,
            product=product.code,
        )
        if changed.version != known.version:  # not the same action again
            self._owe(tx, changed, product, action.at, was_free=True)
            holder = store.holder(tx, changed.holder)
            before = store.product(tx, known.site, known.product)
            first = store.request(tx, id)
            facts = {
                "product_before": before.title(holder.language),
                "contract": self._make_contract(tx, changed, product, first, action.at),
            }
            key = f"{id}:{changed.version}"
            self.tell(tx, changed, "change_approved", key, facts, action.at)
        return changed

    def _push(
        self,
        tx: Connection,
        before: Subscription,
        after: Subscription,
        product_before: Product,
        product_after: Product,
        at: datetime,
    ) -> Subscription:
        """Put into the feed what changed of its permits; it, with the versions that were pushed."""
        pushed, updates = _to_push(before, after, product_before, product_after)
        if updates:
            self.feed(tx, updates, at)
        return pushed

    def feed(self, tx: Connection, updates: Sequence[PlateUpdateIn], at: datetime) -> None:
        """Push permits, as any feeder does. Raises what the first rejected one is rejected for."""
        try:
            intake.apply(
                tx,
                [(update.id, update) for update in updates],
                by=PRINCIPAL,
                now=at,
                atomic=True,
                is_contact=False,
                on_change=self.on_change,
            )
        except Rejected as rejected:
            raise rejected.rejections[0].problem from rejected


def _to_push(
    before: Subscription, after: Subscription, product_before: Product, product_after: Product
) -> tuple[Subscription, list[PlateUpdateIn]]:
    """It, with the versions of its permits when they are pushed, and those that changed."""
    known = {vehicle.id: vehicle for vehicle in before.vehicles}
    updates: list[PlateUpdateIn] = []
    vehicles = []
    for vehicle in after.vehicles:
        old = known.get(vehicle.id)
        was_deleted = old is not None and old.deleted_at is not None
        new = None if was_deleted else core.permit(after, vehicle, product_after)
        if new is not None:
            pushed = None if old is None else core.permit(before, old, product_before)
            if vehicle.permit_version is None or pushed != new:
                version = (vehicle.permit_version or 0) + 1
                updates.append(new.model_copy(update={"version": version}))
                vehicle = replace(vehicle, permit_version=version)
        vehicles.append(vehicle)
    return replace(after, vehicles=tuple(vehicles)), updates


_REFUSALS: dict[Kind, str] = {
    "subscription": "refused",
    "category_change": "change_refused",
    "cancellation": "cancellation_refused",
}
"""The letters that say so."""


def _wanted(asked: Asked, product: Product | None) -> dict[str, Any]:
    """What a request says besides its answers, with the price that it was made at."""
    wanted: dict[str, Any] = {}
    if product is not None:
        wanted["product"] = product.code
        wanted["price_cents"] = product.price_cents
        wanted["billing_period"] = product.billing_period
    if asked.starts_on is not None:
        wanted["starts_on"] = asked.starts_on.isoformat()
        wanted["ends_on"] = asked.ends_on and asked.ends_on.isoformat()
    if asked.kind == "cancellation":
        wanted["on"] = asked.on and asked.on.isoformat()
    return wanted


def agreed(request: Request, product: Product) -> Product:
    """The product at the price that whoever asked for it accepted; another one as it is."""
    wanted = request.wanted
    if wanted.get("product") != product.code:
        return product
    return replace(
        product, price_cents=wanted["price_cents"], billing_period=wanted["billing_period"]
    )


def if_approved(
    request: Request, subscription: Subscription, product: Product, site: Site, *, at: datetime
) -> Subscription:
    """What a subscription would be if what is asked for were approved at `at`: nothing is done.
    `product`: the one that it would have then. Raises what stands against it.
    """
    if request.kind == "subscription":
        return core.approve(subscription, agreed(request, product), site, at=at)
    if request.kind == "category_change":
        return core.change_product(subscription, agreed(request, product), at=at)
    wanted = request.wanted.get("on")
    last_day = None if wanted is None else date.fromisoformat(wanted)
    return core.cancel(subscription, last_day=last_day, site=site, at=at)


def _of_site(holder: Holder, site: str) -> Holder:
    """The holder, if they are one of the site. Raises UnknownHolder."""
    if holder.site != site or holder.erased_at is not None:
        raise store.UnknownHolder(id=holder.id)
    return holder
