"""What requests about subscriptions are made of, and what answers show."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, StrictInt
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from enforcement_api.permits import store as permits
from enforcement_api.permits.core import NO_VEHICLE, GivenVehicle
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.security import Principal
from enforcement_api.shapes import (
    TEXT_SCHEMA,
    UUID_PATTERN,
    Day,
    Instant,
    Line,
    Localized,
    Note,
    Shape,
    Word,
    mended_id,
    of_no_card,
    page_cursor,
    page_position,
    storable,
)
from enforcement_api.sites import store as sites
from enforcement_api.sites.shapes import Jurisdiction, ZoneOrAll
from enforcement_api.subscriptions import core, payments, store
from enforcement_api.subscriptions.core import CONSENTS, Described
from enforcement_api.subscriptions.store import LostUpdate, Wanted
from sync import codec
from sync.entities import Permit, Site
from sync.plates import Plate, UnusablePlate, certificate_hint

T = TypeVar("T", bound=str)

LARGEST_PRICE = 10_000_000
"""Cents."""
MOST_VEHICLES = 20
MOST_QUESTIONS = 50
MOST_ZONES = 1000
MOST_ATTACHMENTS = 10
LONGEST_GRACE = 365
MOST_VALUES = 100

_UUID = re.compile(UUID_PATTERN)
_NEVER = -1
"""A version that nothing has."""
_TAG = re.compile(r'(?:W/)?"([0-9]{1,15})"')


class CertificateNumber(Problem):
    """A plate that looks like the number of a registration certificate (DOMAIN 3.3)."""

    status = 422
    slug = "certificate-number"
    title = N_("Is this the number of a registration certificate?")
    detail = N_(
        "{given} ends in a dash and one digit, as certificates print it; the plate is then {plate}."
        " Send that, or the same again with `plate_confirmed`: true if it is what the plate says."
    )


class PreconditionRequired(Problem):
    """A change that does not say what its sender looked at."""

    status = 428
    slug = "precondition-required"
    title = N_("Say which version you looked at")
    detail = N_(
        "Get it first, and send its ETag as If-Match with the change: nobody's work is lost then."
    )


def client_id(text: str) -> str:
    """The id itself, in lower case, if it is a UUID. Raises ValueError."""
    if not _UUID.fullmatch(text):
        raise ValueError(N_("must be a UUID"))
    return text.lower()


ClientId = Annotated[
    str,
    Strict(),
    AfterValidator(client_id),
    Field(
        json_schema_extra={
            "pattern": UUID_PATTERN,
            "examples": ["01979dd0-7c1c-7c43-9d14-6f2f2ddbb8a1"],
        }
    ),
]
"""An id that a client made: a UUID, best of version 7."""

IdInPath = Annotated[
    str,
    AfterValidator(client_id),
    Path(
        description="The client's UUID",
        examples=["01979dd0-7c1c-7c43-9d14-6f2f2ddbb8a1"],
        json_schema_extra={"pattern": UUID_PATTERN},
    ),
]
Text = Annotated[
    str,
    Strict(),
    Field(max_length=200, json_schema_extra=TEXT_SCHEMA),
    AfterValidator(storable),
]
"""One value of a form; it may be empty."""

Filter = Annotated[str, AfterValidator(mended_id)]
"""What something is looked for by; with what no database stores in it, nothing is found."""
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(description="The `next_cursor` of the page before")]
Sites = Annotated[tuple[str, ...], Query(description="Site codes; left out: all sites of the key")]


# Versions


def etag(version: int) -> dict[str, str]:
    """The header that says which version an answer is of."""
    return {"ETag": f'"{version}"'}


def expected_version(request: Request) -> int | None:
    """The version that the sender looked at; None for any (`If-Match: *`). What is no version of
    ours is none that there is. Raises PreconditionRequired.
    """
    given = request.headers.get("if-match")
    if given is None:
        raise PreconditionRequired
    if given.strip() == "*":
        return None
    found = _TAG.fullmatch(given.strip())
    return _NEVER if found is None else int(found[1])


def check_is_new(request: Request) -> None:
    """Raises LostUpdate if the sender looked at something where there is nothing."""
    if "if-match" in request.headers:
        raise LostUpdate(found=0)


IF_MATCH: dict[str, Any] = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": True,
            "schema": {"type": "string"},
            "description": "The ETag of what was looked at, or * for whatever there is",
            "example": '"3"',
        }
    ]
}
"""For the OpenAPI document: read by hand, so that its lack is a problem of its own."""
IF_MATCH_IF_KNOWN: dict[str, Any] = {
    "parameters": [IF_MATCH["parameters"][0] | {"required": False}]
}
"""Where it is needed only for what is there already."""
CHANGE_RESPONSES: dict[int | str, dict[str, Any]] = {
    409: {"description": "It does not fit what there is now; `detail` says why"},
    412: {"description": "It was changed since that version"},
    428: {"description": "If-Match is missing"},
}


def content_hash(shape: BaseModel, *more: str) -> str:
    """What stands for a body, so that the same one is recognised when it comes again."""
    told = codec.canonical({"body": shape.model_dump(mode="json"), "more": more})
    return hashlib.sha256(told.encode()).hexdigest()


# Pages


def page(
    tx: Connection,
    by: Principal,
    named: Sequence[str],
    *,
    limit: int,
    cursor: str | None,
    position: Sequence[type[str] | type[int]],
) -> Wanted:
    """Which page is wanted. Raises Invalid, NotAPageCursor, UnknownSite, ForbiddenSite."""
    for one in few("site", named):
        sites.site(tx, one)
        by.check_site(one)
    visible = named or [here.id for here in sites.all_sites(tx) if by.may_touch(here.id)]
    after = None if cursor is None else page_position(cursor, *position)
    return Wanted(visible, limit, after)


def page_json(
    items: Sequence[Any],
    wanted: Wanted,
    *,
    show: Callable[[Any], dict[str, Any]],
    position: Callable[[Any], Iterable[str | int]],
) -> JSONResponse:
    """A page as it is answered, of rows of which there may be one too many."""
    more = len(items) > wanted.limit
    items = items[: wanted.limit]
    return JSONResponse(
        {
            "items": [show(item) for item in items],
            "next_cursor": page_cursor(*position(items[-1])) if more else None,
        }
    )


class Page(BaseModel):
    """A page of a list."""

    items: list[dict[str, Any]]
    next_cursor: str | None


def few(name: str, given: Sequence[str]) -> Sequence[str]:
    """The values of a filter, if they are not too many to ask for. Raises Invalid."""
    if len(given) > MOST_VALUES:
        raise Invalid(errors=[Problem.Error(f"/query/{name}", N_("has too many items"))])
    return given


def among(name: str, given: Sequence[str], allowed: Sequence[T]) -> tuple[T, ...]:
    """The values of a filter. Raises Invalid."""
    if not set(given) <= set(allowed):
        told = N_("must be one of: {allowed}")
        error = Problem.Error(f"/query/{name}", told, allowed=", ".join(allowed))
        raise Invalid(errors=[error])
    return tuple(one for one in allowed if one in given)


def of_key(tx: Connection, id: str, by: Principal, *, lock: bool = False) -> core.Subscription:
    """A subscription at a site of the key. `lock`: nobody else changes it until the transaction
    ends. Raises UnknownSubscription, ForbiddenSite.
    """
    found = store.subscription(tx, id, lock=lock)
    by.check_site(found.site)
    return found


def versioned(answer: dict[str, Any], *, status: int = 200) -> Response:
    """An answer with its version as ETag."""
    return JSONResponse(answer, status, headers=etag(answer["version"]))


# Categories and products


class CategoryShape(Shape):
    """A kind of user, such as internship supervisors."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": {"fr": "Superviseur de stage", "en": "Internship supervisor"},
                    "active": True,
                }
            ]
        }
    )

    name: Localized
    active: Annotated[bool, Strict()] = True


class QuestionShape(Shape):
    """What a product asks besides."""

    code: Word = Field(examples=["school"])
    text: Localized
    required: Annotated[bool, Strict()] = True


PRODUCT_EXAMPLE: dict[str, Any] = {
    "name": {
        "fr": "Permis G (général zone 1) - Superviseur de stage-épisodique",
        "en": "Permit G (general zone 1) - Internship supervisor-episodic",
    },
    "category": "supervisor",
    "price_cents": 2308,
    "billing_period": "month",
    "zones": ["G1"],
    "notice": {
        "fr": "Valide dans tous les stationnements de la zone 1.",
        "en": "Valid in all car parks of zone 1.",
    },
    "questions": [
        {
            "code": "school",
            "text": {"fr": "Établissement d'enseignement", "en": "School"},
            "required": True,
        }
    ],
    "proof_required": True,
    "max_vehicles": 2,
    "grace_days": 10,
    "active": True,
}


class ProductShape(Shape):
    """What can be subscribed to. `notice`: shown to who chooses it, on yellow ground."""

    model_config = ConfigDict(json_schema_extra={"examples": [PRODUCT_EXAMPLE]})

    name: Localized
    category: Word
    price_cents: Annotated[
        int, Strict(), Field(ge=0, le=LARGEST_PRICE, description="Of one period, tax included")
    ]
    billing_period: core.BillingPeriod = "month"
    zones: Annotated[list[Word], Field(min_length=1, max_length=MOST_ZONES)]
    notice: Localized | None = None
    questions: list[QuestionShape] = Field(default=[], max_length=MOST_QUESTIONS)
    proof_required: Annotated[bool, Strict()] = False
    max_vehicles: Annotated[int, Strict(), Field(ge=1, le=MOST_VEHICLES)] = 2
    grace_days: Annotated[
        int,
        Strict(),
        Field(ge=0, le=LONGEST_GRACE, description="From a failed charge to the suspension"),
    ] = 10
    active: Annotated[bool, Strict()] = True

    def product(self, site: str, code: str, version: int) -> core.Product:
        """The product. Raises Invalid where two questions have one code."""
        codes = [question.code for question in self.questions]
        for at, one in enumerate(codes):
            if one in codes[:at]:
                error = Problem.Error(f"/questions/{at}/code", N_("stands there twice"))
                raise Invalid(errors=[error])
        return core.Product(
            site=site,
            code=code,
            name=self.name.model_dump(),
            category=self.category,
            price_cents=self.price_cents,
            billing_period=self.billing_period,
            zones=tuple(dict.fromkeys(self.zones)),
            notice=None if self.notice is None else self.notice.model_dump(),
            questions=tuple(
                core.Question(q.code, q.text.model_dump(), q.required) for q in self.questions
            ),
            proof_required=self.proof_required,
            max_vehicles=self.max_vehicles,
            grace_days=self.grace_days,
            active=self.active,
            version=version,
        )


def category_json(category: core.Category) -> dict[str, Any]:
    """A category as it is answered."""
    return {
        "site": category.site,
        "code": category.code,
        "name": category.name,
        "active": category.active,
    }


def product_json(product: core.Product) -> dict[str, Any]:
    """A product as it is answered."""
    return {
        "site": product.site,
        "code": product.code,
        "name": product.name,
        "category": product.category,
        "price_cents": product.price_cents,
        "billing_period": product.billing_period,
        "zones": list(product.zones),
        "notice": product.notice,
        "questions": [
            {"code": q.code, "text": q.text, "required": q.required} for q in product.questions
        ],
        "proof_required": product.proof_required,
        "max_vehicles": product.max_vehicles,
        "grace_days": product.grace_days,
        "active": product.active,
        "version": product.version,
    }


# Holders

_EMAIL = re.compile(
    r"[^@\s\x00-\x1f\x7f<>()\[\],;:\"\\]+"
    r"@[^@\s\x00-\x1f\x7f<>()\[\],;:\"\\]+\.[A-Za-z0-9-]{2,}"
)


def email(text: str) -> str:
    """The address itself if a letter can go there. Raises ValueError."""
    if len(text) > 254 or not _EMAIL.fullmatch(text) or not text.isascii():
        raise ValueError(N_("must be an e-mail address such as marie@exemple.ca"))
    return of_no_card(text)


Email = Annotated[
    str,
    Strict(),
    AfterValidator(email),
    Field(examples=["john.john@example.org"], json_schema_extra={"format": "email"}),
]


class HolderShape(Shape):
    """Who subscribes: personal information of DOMAIN 4. At least one telephone is needed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "site": "1085",
                    "email": "john.john@example.org",
                    "language": "fr",
                    "gender": "M.",
                    "first_name": "John",
                    "last_name": "John",
                    "line1": "375, rue Argyll",
                    "city": "Sherbrooke",
                    "province": "QC",
                    "postal_code": "J1J 3H5",
                    "mobile": "819 555-0123",
                }
            ]
        }
    )

    site: Word
    email: Email
    language: Literal["fr", "en"] = "fr"
    gender: Text | None = None
    first_name: Line
    last_name: Line
    line1: Text | None = None
    apartment: Text | None = None
    line2: Text | None = None
    city: Text | None = None
    province: Text | None = None
    postal_code: Text | None = None
    mobile: Text | None = None
    home: Text | None = None
    home_extension: Text | None = None
    work: Text | None = None
    work_extension: Text | None = None

    def check(self) -> None:
        """Raises Invalid without a telephone."""
        if not any((given or "").strip() for given in (self.mobile, self.home, self.work)):
            told = N_("at least one telephone is needed: mobile, home or work")
            raise Invalid(errors=[Problem.Error("/mobile", told)])


HOLDER_FIELDS = tuple(HolderShape.model_fields)


def holder_json(holder: core.Holder) -> dict[str, Any]:
    """A holder as they are answered to staff."""
    shown = {name: getattr(holder, name) for name in HOLDER_FIELDS}
    return {
        "id": holder.id,
        **shown,
        "email_confirmed_at": codec.optional_instant(holder.email_confirmed_at),
        "created_at": codec.optional_instant(holder.created_at),
        "erased_at": codec.optional_instant(holder.erased_at),
        "version": holder.version,
    }


# Vehicles


class PlateShape(Shape):
    """A plate as somebody types it. `plate_confirmed`: it is right although it looks like the
    number of a registration certificate.
    """

    plate: Annotated[str, Strict(), Field(max_length=100, json_schema_extra=TEXT_SCHEMA)]
    jurisdiction: Jurisdiction | None = None
    plate_confirmed: Annotated[bool, Strict()] = False

    def given(self) -> GivenVehicle:
        """The vehicle, as far as it is described."""
        return NO_VEHICLE

    def described(self, site: Site, *, at: str = "") -> Described:
        """The vehicle, with its plate read. Raises Invalid, CertificateNumber."""
        try:
            plate = Plate.parse(self.plate, self.jurisdiction or site.jurisdiction)
            storable(self.plate)
        except UnusablePlate as error:
            told = N_("is no plate: 2 to 8 of A-Z and 0-9 are needed")
            raise Invalid(errors=[Problem.Error(f"{at}/plate", told)]) from error
        except ValueError as error:
            raise Invalid(errors=[Problem.Error(f"{at}/plate", str(error))]) from error
        suggestion = certificate_hint(self.plate)
        if suggestion is not None and not self.plate_confirmed:
            raise CertificateNumber(
                given=self.plate,
                plate=suggestion,
                extra={"suggestion": suggestion, "pointer": f"{at}/plate"},
            )
        return Described(plate, self.plate, self.given())


class VehicleShape(PlateShape):
    """A vehicle."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "plate": "ABC 123",
                    "make": "Acura",
                    "model": "NSX",
                    "year": 2021,
                    "colour": "rouge",
                }
            ]
        }
    )

    make: Text | None = None
    model: Text | None = None
    year: Annotated[StrictInt, Field(ge=1850, le=2200)] | None = None
    colour: Text | None = None

    def given(self) -> GivenVehicle:
        """The vehicle, as far as it is described."""
        return GivenVehicle(self.make, self.model, self.year, self.colour)


class NewVehicleShape(VehicleShape):
    """A vehicle of a request, under an id of the client's."""

    id: ClientId


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


# Subscriptions


def subscriptions_json(
    tx: Connection, found: Sequence[core.Subscription], *, at: datetime
) -> list[dict[str, Any]]:
    """Subscriptions as they are answered. `also_on`: others with the same plate."""
    here = {s.site for s in found}
    products = {key: store.product(tx, *key) for key in {(s.site, s.product) for s in found}}
    sharing: dict[str, list[tuple[str, str]]] = {}
    balances: dict[str, int] = {}
    for one in here:
        sharing |= store.sharing(tx, one, [s.id for s in found if s.site == one])
        balances |= payments.balances(tx, one, [s.id for s in found if s.site == one])
    known: dict[str, dict[str, Permit]] = {}
    for one in here:
        ids = [s.permit_id(v) for s in found if s.site == one for v in s.vehicles]
        known[one] = permits.permits_named(tx, one, ids)
    return [
        _subscription_json(s, products[s.site, s.product], known[s.site], sharing, at=at)
        | {"balance_cents": balances.get(s.id, 0)}
        for s in found
    ]


def _subscription_json(
    subscription: core.Subscription,
    product: core.Product,
    known: Mapping[str, Permit],
    sharing: Mapping[str, Sequence[tuple[str, str]]],
    *,
    at: datetime,
) -> dict[str, Any]:
    method = subscription.payment
    return {
        "id": subscription.id,
        "site": subscription.site,
        "number": subscription.number,
        "holder": subscription.holder,
        "product": product.code,
        "product_name": product.name,
        "category": product.category,
        "status": subscription.status(at),
        "requested_at": codec.instant(subscription.requested_at),
        "decided_at": codec.optional_instant(subscription.decided_at),
        "starts_on": subscription.starts_on.isoformat(),
        "ends_on": subscription.ends_on and subscription.ends_on.isoformat(),
        "active_from": codec.optional_instant(subscription.active_from),
        "ends_at": codec.optional_instant(subscription.ends_at),
        "cancelled_at": codec.optional_instant(subscription.cancelled_at),
        "suspended_at": codec.optional_instant(subscription.suspended_at),
        "suspended_for": subscription.suspended_for,
        "payment": None
        if method is None
        else {
            "method": method.kind,
            "card_brand": method.brand,
            "card_last4": method.last4,
            "card_expiry": method.expiry,
            "cheque": method.cheque,
            "is_complete": method.is_complete,
        },
        "vehicles": [
            _vehicle_json(
                vehicle,
                known.get(subscription.permit_id(vehicle)),
                sharing.get(vehicle.id, ()),
            )
            for vehicle in subscription.vehicles
        ],
        "version": subscription.version,
    }


def _vehicle_json(
    vehicle: core.Vehicle, permit: Permit | None, also_on: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    given = vehicle.given
    return {
        "id": vehicle.id,
        "plate": vehicle.plate.text,
        "jurisdiction": vehicle.plate.jurisdiction,
        "plate_raw": vehicle.plate_raw,
        "make": given.make,
        "model": given.model,
        "year": given.year,
        "colour": given.colour,
        "added_at": codec.instant(vehicle.added_at),
        "confirmed_at": codec.optional_instant(vehicle.confirmed_at),
        "usable_from": None if permit is None else codec.instant(permit.usable_from),
        "deleted_at": codec.optional_instant(vehicle.deleted_at),
        "permit": None if permit is None else permit.id,
        "also_on": [{"number": number, "id": id} for number, id in also_on],
    }


# Requests


class ConsentsShape(Shape):
    """What was accepted, and when."""

    terms: Instant | None = None
    approval: Instant | None = None
    payment_terms: Instant | None = None
    charge_after_approval: Instant | None = None

    def given(self) -> tuple[tuple[str, str], ...]:
        """Code and instant of each that was accepted."""
        accepted = ((code, getattr(self, code)) for code in CONSENTS)
        return tuple((code, codec.instant(at)) for code, at in accepted if at is not None)


class ChequeShape(Shape):
    """A void cheque, handed in as an attachment."""

    method: Literal["cheque"]
    cheque: ClientId


class CardShape(Shape):
    """A card, whose number goes to the provider's page alone."""

    method: Literal["card"]


Answer = Annotated[
    str,
    Strict(),
    Field(max_length=1000, json_schema_extra=TEXT_SCHEMA),
    AfterValidator(storable),
]


class SubscriptionRequestShape(Shape):
    """A request for a subscription. Its id becomes the subscription's."""

    kind: Literal["subscription"]
    site: Word
    holder: ClientId
    product: Word
    starts_on: Day
    ends_on: Day | None = None
    vehicles: Annotated[list[NewVehicleShape], Field(min_length=1, max_length=MOST_VEHICLES)]
    answers: dict[Word, Answer] = Field(
        default={}, max_length=MOST_QUESTIONS, json_schema_extra={"additionalProperties": False}
    )
    consents: ConsentsShape = ConsentsShape()
    attachments: list[ClientId] = Field(default=[], max_length=MOST_ATTACHMENTS)
    payment: Annotated[ChequeShape | CardShape, Field(discriminator="method")] | None = None
    message: Note | None = None


class CategoryChangeShape(Shape):
    """A request for another category; `product`: the one that is wished for, if they know."""

    kind: Literal["category_change"]
    subscription: ClientId
    product: Word | None = None
    message: Note
    attachments: list[ClientId] = Field(default=[], max_length=MOST_ATTACHMENTS)


class CancellationShape(Shape):
    """A request to cancel; `on`: the last day (null: at once)."""

    kind: Literal["cancellation"]
    subscription: ClientId
    on: Day | None = None
    message: Note | None = None
    attachments: list[ClientId] = Field(default=[], max_length=MOST_ATTACHMENTS)


RequestShape = Annotated[
    SubscriptionRequestShape | CategoryChangeShape | CancellationShape,
    Field(discriminator="kind"),
]


class DecisionShape(Shape):
    """What is decided. `id` makes it safe to send again; `product` and `on` stand in the place of
    what was asked for.
    """

    id: ClientId
    decision: Literal["approve", "refuse", "withdraw"]
    reason: Note | None = None
    product: Word | None = None
    on: Day | None = None


class ActionShape(Shape):
    """What is done to a subscription. `id` makes it safe to send again. `on`: the last day of a
    cancellation (null: at once); `ends_on`: the new end of a renewal (null: none).
    """

    id: ClientId
    action: Literal["suspend", "resume", "cancel", "keep", "renew", "change_product"]
    reason: Note | None = None
    on: Day | None = None
    ends_on: Day | None = None
    product: Word | None = None


class MessageShape(Shape):
    """What a subscriber, or the office, writes. Nobody's card number belongs here."""

    sender: Literal["holder", "office"] = "holder"
    body: Annotated[Note, Field(max_length=2000)]
    attachments: list[ClientId] = Field(default=[], max_length=MOST_ATTACHMENTS)


def request_json(request: core.Request) -> dict[str, Any]:
    """A request as it is answered."""
    return {
        "id": request.id,
        "site": request.site,
        "kind": request.kind,
        "subscription": request.subscription,
        "state": request.state,
        "submitted_at": codec.instant(request.submitted_at),
        "wanted": request.wanted,
        "answers": request.answers,
        "consents": request.consents,
        "message": request.message,
        "attachments": list(request.attachments),
        "decided_at": codec.optional_instant(request.decided_at),
        "decided_by": request.decided_by,
        "reason": request.reason,
        "version": request.version,
    }


def message_json(message: store.Message) -> dict[str, Any]:
    """A message as it is answered."""
    return {
        "id": message.id,
        "subscription": message.subscription,
        "sender": message.sender,
        "at": codec.instant(message.at),
        "subject": message.subject,
        "body": message.body,
        "attachments": list(message.attachments),
    }
