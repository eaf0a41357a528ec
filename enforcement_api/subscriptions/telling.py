"""What holders are told: the letters about a subscription and its contract, written down in the
transaction of what they tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.permits import store as permits
from enforcement_api.problems import translation
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import core, post, store
from enforcement_api.subscriptions.core import Product, Request, Subscription, Vehicle
from enforcement_api.subscriptions.letters import Letter
from sync import codec
from sync.entities import ALL_ZONES, Permit, Site
from sync.validity import outcome


def tell(
    record: Record,
    tx: Connection,
    subscription: Subscription,
    kind: str,
    key: str,
    facts: Mapping[str, Any],
    at: datetime,
) -> None:
    """Write to the holder of a subscription, in the caller's transaction; nothing if the site has a
    letter of this key. `facts`: what it says besides names, numbers and the time zone.
    """
    holder = store.holder(tx, subscription.holder)
    if holder.erased_at is not None:
        return
    site = sites.site(tx, subscription.site)
    product = store.product(tx, subscription.site, subscription.product)
    said = {
        "name": holder.name,
        "number": subscription.number,
        "product": product.title(holder.language),
        "site": site.name,
        "time_zone": site.time_zone,
    }
    letter = Letter(
        site=subscription.site,
        key=key,
        holder=holder.id,
        subscription=subscription.id,
        kind=kind,
        language=holder.language,
        recipient=holder.email,
        facts=said | dict(facts),
    )
    post.write(record, tx, letter, at=at)


def term(subscription: Subscription) -> dict[str, Any]:
    """From when to when it is asked for or approved."""
    ends_on = subscription.ends_on
    return {"starts_on": subscription.starts_on.isoformat(), "ends_on": ends_on and f"{ends_on}"}


def usable(subscription: Subscription, site: Site) -> list[dict[str, str]]:
    """From when each of its plates works."""
    return [
        {"plate": vehicle.plate.text, "usable_from": _usable_from(subscription, vehicle, site)}
        for vehicle in subscription.present
    ]


def _usable_from(subscription: Subscription, vehicle: Vehicle, site: Site) -> str:
    at = core.usable_from(subscription, vehicle, site)
    assert at is not None, "only what is approved is told of"
    return codec.instant(at)


def of_vehicle(
    tx: Connection, before: Subscription, after: Subscription, id: str, *, at: datetime
) -> tuple[str, dict[str, Any]] | None:
    """The kind and the facts of a letter about a vehicle that was added, deleted or got another
    plate; None for one whose plate stayed.
    """
    old = next((vehicle for vehicle in before.present if vehicle.id == id), None)
    new = next(vehicle for vehicle in after.vehicles if vehicle.id == id)
    if new.deleted_at is not None:
        return "vehicle_deleted", {"plate": new.plate.text}
    if old is not None and old.plate == new.plate:
        return None
    site = sites.site(tx, after.site)
    facts = {
        "plate": new.plate.text,
        "usable_from": _usable_from(after, new, site),
        "activation_hours": site.activation_hours,
    }
    if old is None:
        return "vehicle_added", facts
    works = _works(permits.plates_before(tx, after.site, after.permit_id(new)), site, at)
    return "vehicle_changed", facts | {"previous": works}


def _works(before: Sequence[Permit], site: Site, at: datetime) -> str | None:
    """That of the plates that a permit had before which is good now, where it is good at all."""
    for permit in before:
        zone = permit.zones[0]
        if outcome(permit, zone=zone, at=at, retention=site.retention) == "valid":
            return permit.plate.text
    return None


def contract(
    tx: Connection,
    subscription: Subscription,
    product: Product,
    request: Request,
    at: datetime,
) -> dict[str, Any]:
    """What the contract of a subscription says as it is now, at the price of `product`, in the
    holder's language.
    """
    holder = store.holder(tx, subscription.holder)
    plan = sites.plan(tx, subscription.site)
    language, show = holder.language, translation(holder.language).gettext
    names = {zone.id: zone.name[language] for zone in plan.zones}
    zones: Sequence[str] = list(names) if ALL_ZONES in product.zones else product.zones
    questions = {question.code: question.text[language] for question in product.questions}
    method = subscription.payment
    return {
        "number": subscription.number,
        "language": language,
        "time_zone": plan.site.time_zone,
        "activation_hours": plan.site.activation_hours,
        "site": {"name": plan.site.name, "address": plan.site.address},
        "product": {"code": product.code, "name": product.name[language]},
        "price_cents": product.price_cents,
        "billing_period": product.billing_period,
        "zones": [{"code": code, "name": names.get(code, code)} for code in zones],
        "notice": product.notice and product.notice[language],
        "holder": {
            "name": holder.name,
            "email": holder.email,
            "line1": holder.line1,
            "apartment": holder.apartment,
            "line2": holder.line2,
            "city": holder.city,
            "province": holder.province,
            "postal_code": holder.postal_code,
            "mobile": holder.mobile,
            "home": holder.home,
            "home_extension": holder.home_extension,
            "work": holder.work,
            "work_extension": holder.work_extension,
        },
        "vehicles": [
            {
                "plate": vehicle.plate.text,
                "jurisdiction": vehicle.plate.jurisdiction,
                "make": vehicle.given.make,
                "model": vehicle.given.model,
                "year": vehicle.given.year,
                "colour": vehicle.given.colour,
                "usable_from": _usable_from(subscription, vehicle, plan.site),
            }
            for vehicle in subscription.present
        ],
        **term(subscription),
        "payment_method": None if method is None else method.kind,
        "card_last4": None if method is None else method.last4,
        "requested_at": codec.instant(subscription.requested_at),
        "approved_at": codec.instant(at),
        "answers": [
            {"question": questions.get(code, code), "answer": answer}
            for code, answer in request.answers.items()
        ],
        "consents": [
            {"code": code, "text": show(core.CONSENTS[code]), "accepted_at": accepted_at}
            for code, accepted_at in request.consents.items()
        ],
    }
