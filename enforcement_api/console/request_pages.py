"""What subscribers ask for, and their subscriptions: looked at, decided and changed by those of the
staff who may see who they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Path, Query
from sqlalchemy import Connection
from starlette.responses import Response

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.audit.core import read as read_entry
from enforcement_api.console import forms, people
from enforcement_api.console.web import ROOT, Visitor, Web, address
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.shapes import page_cursor, page_position
from enforcement_api.subscriptions import (
    attachments,
    contract,
    core,
    office,
    payments,
    post,
    store,
    words,
)
from enforcement_api.subscriptions.attachment_routes import disposition
from enforcement_api.subscriptions.attachments import Attachment, UnknownAttachment
from enforcement_api.subscriptions.core import Holder, Product, Request, Subscription
from enforcement_api.subscriptions.desk import Desk
from enforcement_api.subscriptions.shapes import (
    ActionShape,
    DecisionShape,
    IdInPath,
    request_json,
    subscriptions_json,
)
from enforcement_api.subscriptions.store import Event, Message, Wanted
from sync.entities import Site
from sync.plates import normalise

A_PAGE = 50
MOST_FOUND = 50
LOOKED_AT = "looked-at"
"""What the log says of who was shown what is personal of holders (DOMAIN 6)."""
NOT_AGAIN_WITHIN = timedelta(minutes=30)
"""Whoever looks again within this is not written down again."""
_LATEST = 20
ALL = "all"
"""Instead of a state or a kind: whichever."""

_DONE = {
    "approve": N_("Approved: subscription {number}. The subscriber is told."),
    "refuse": N_("Refused: subscription {number}. The subscriber is told why."),
    "withdraw": N_("Withdrawn: subscription {number}."),
    "suspend": N_("Suspended: its plates are not valid any more. The subscriber is told."),
    "resume": N_("Resumed. The subscriber is told."),
    "cancel": N_("Cancelled. The subscriber is told."),
    "keep": N_("The cancellation is taken back."),
}
_NEEDS_A_REASON = ("suspend", "cancel")
_PICTURES = ("image/jpeg", "image/png")
_SHOWN_SAFELY = "sandbox; default-src 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which requests are listed: those to be decided, unless something else is chosen."""

    kind: str = ALL
    state: str = "submitted"

    @classmethod
    def of(cls, kind: str, state: str) -> Filter:
        """What an address says; what is no kind or state is not looked for."""
        return cls(
            kind if kind in core.KINDS else ALL,
            state if state in (*core.REQUEST_STATES, ALL) else "submitted",
        )

    @property
    def kinds(self) -> Sequence[str]:
        """The kinds; none: all of them."""
        return [] if self.kind == ALL else [self.kind]

    @property
    def states(self) -> Sequence[str]:
        """The states; none: all of them."""
        return [] if self.state == ALL else [self.state]

    @property
    def query(self) -> dict[str, str | None]:
        """What of it an address has to say."""
        return {
            "kind": None if self.kind == ALL else self.kind,
            "state": None if self.state == "submitted" else self.state,
        }


@dataclass(frozen=True, slots=True)
class _Typed:
    """What somebody has typed into a form, to be shown again. `once` makes a second press harmless,
    `version` is what they looked at.
    """

    what: str = ""
    reason: str = ""
    product: str = ""
    on: str = ""
    once: str = ""
    version: str = ""

    @classmethod
    def by(cls, visitor: Visitor, name: str) -> _Typed:
        fields = (name, "reason", "product", "on", "once", "expected_version")
        return cls(*(visitor.text(field) for field in fields))


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with all that it is decided by. `coming`: the subscription as it would be, were it
    approved now; `obstacle`: why it cannot be. `due_cents`: what would be charged then.
    """

    request: Request
    subscription: Subscription
    holder: Holder
    product: Product
    wanted: Product | None
    offered: Sequence[Product]
    coming: Subscription | None
    obstacle: Problem | None
    due_cents: int
    owed_cents: int
    sharing: Mapping[str, Sequence[tuple[str, str]]]
    files: Sequence[Attachment]
    history: Sequence[Event]
    names: Mapping[str, str]
    next: Request | None

    def usable_from(self, site: Site, id: str) -> datetime | None:
        """From when a plate would be good, were it approved now."""
        if self.coming is None:
            return None
        return core.usable_from(self.coming, self.coming.vehicle(id), site)


def find(tx: Connection, site: Site, id: str, chosen: Filter, *, at: datetime) -> Asked:
    """All that a request is decided by. Raises UnknownRequest, of one of another site too."""
    request = store.request(tx, id)
    if request.site != site.id:
        raise store.UnknownRequest(id=id)
    subscription = store.subscription(tx, request.subscription)
    product = store.product(tx, site.id, subscription.product)
    code = request.wanted.get("product")
    wanted = None if code is None else store.find_product(tx, site.id, code)
    if wanted is not None:
        wanted = office.agreed(request, wanted)
    coming, obstacle = _coming(request, subscription, product, wanted, site, at)
    subjects = [f"request:{id}"]
    if request.kind == "subscription":
        subjects.append(f"subscription:{subscription.id}")
    history = store.events_of(tx, site.id, f"request:{id}")
    offered: Sequence[Product] = ()
    if request.kind == "category_change" and request.state == "submitted":
        everything = Wanted([site.id], 500)
        offered = store.list_products(tx, everything, category=None, active=True)
    balances = payments.balances(tx, site.id, [subscription.id])
    return Asked(
        request=request,
        subscription=subscription,
        holder=store.holder(tx, subscription.holder),
        product=product,
        wanted=wanted,
        offered=offered,
        coming=coming,
        obstacle=obstacle,
        due_cents=_due(request, coming, wanted, site, at),
        owed_cents=balances.get(subscription.id, 0),
        sharing=store.sharing(tx, site.id, [subscription.id]),
        files=sorted(
            attachments.of_subjects(tx, site.id, subjects),
            key=lambda file: (file.media_type not in _PICTURES, file.purpose),
        ),
        history=history,
        names=people.named(tx, [request.decided_by, *(event.by for event in history)]),
        next=store.next_request(tx, site.id, request, kinds=chosen.kinds),
    )


def _coming(
    request: Request,
    subscription: Subscription,
    product: Product,
    wanted: Product | None,
    site: Site,
    at: datetime,
) -> tuple[Subscription | None, Problem | None]:
    if request.state != "submitted":
        return None, None
    if request.kind == "category_change":
        if wanted is None:
            return None, None
        product = wanted
    try:
        return office.if_approved(request, subscription, product, site, at=at), None
    except Problem as problem:
        return None, problem


def _due(
    request: Request,
    coming: Subscription | None,
    wanted: Product | None,
    site: Site,
    at: datetime,
) -> int:
    """What would be charged at the approval of a new subscription, in cents."""
    if coming is None or wanted is None or request.kind != "subscription":
        return 0
    today = at.astimezone(ZoneInfo(site.time_zone)).date()
    owed = payments.owed(
        wanted,
        approved_on=today,
        starts_on=coming.starts_on,
        ends_on=coming.ends_on,
        by=today,
    )
    return sum(due.amount_cents for due in owed)


@dataclass(frozen=True, slots=True)
class Known:
    """A subscription with all that belongs to it; of each list the oldest first."""

    subscription: Subscription
    holder: Holder
    product: Product
    shown: Mapping[str, Any]
    requests: Sequence[Request]
    payments: Sequence[payments.Payment]
    letters: Sequence[post.Posted]
    messages: Sequence[Message]
    contracts: Sequence[tuple[int, datetime]]
    files: Sequence[Attachment]
    history: Sequence[Event]
    names: Mapping[str, str]


def known(tx: Connection, site: Site, id: str, *, at: datetime) -> Known:
    """A subscription. Raises UnknownSubscription, of one of another site too."""
    subscription = store.subscription(tx, id)
    if subscription.site != site.id:
        raise store.UnknownSubscription(id=id)
    history = store.events_of(tx, site.id, f"subscription:{id}")
    messages = store.messages_of(tx, site.id, id)
    requests = store.requests_of(tx, site.id, id)
    subjects = [
        f"subscription:{id}",
        *(f"message:{one.id}" for one in messages),
        *(f"request:{one.id}" for one in requests),
    ]
    return Known(
        subscription=subscription,
        holder=store.holder(tx, subscription.holder),
        product=store.product(tx, site.id, subscription.product),
        shown=subscriptions_json(tx, [subscription], at=at)[0],
        requests=requests,
        payments=payments.of_subscription(tx, site.id, id),
        letters=post.listed(tx, site.id, subscription=id),
        messages=messages,
        contracts=store.contract_positions(tx, site.id, id),
        files=attachments.of_subjects(tx, site.id, subjects),
        history=history,
        names=people.named(tx, (event.by for event in history)),
    )


def allowed(subscription: Subscription, *, at: datetime) -> list[str]:
    """What may be done to a subscription now, of `words.DEEDS`."""
    status = subscription.status(at)
    if status not in ("waiting", "active", "suspended"):
        return []
    deeds = ["resume" if status == "suspended" else "suspend", "cancel"]
    return [*deeds, "keep"] if subscription.cancelled_at is not None else deeds


def router(web: Web, *, desk: Desk) -> APIRouter:
    """The pages of requests and subscriptions."""
    routes = APIRouter(prefix=f"{ROOT}/sites/{{site}}", include_in_schema=False)
    record = web.record
    visiting, acting = Depends(web.visitor), Depends(web.actor)

    def here(visitor: Visitor, *parts: str, **query: object) -> str:
        return address("sites", visitor.at_site.id, "requests", *parts, **query)

    def note_look(visitor: Visitor, subject: str, holders: Iterable[str] = ()) -> None:
        """Write down that somebody is shown what is personal of a holder, or of those on a list."""
        site, at = visitor.at_site.id, web.at()
        facts = {"holders": sorted(set(holders))} if holders else {}
        told = (visitor.actor, LOOKED_AT, facts)

        def write(tx: Connection) -> None:
            latest = audit.latest(tx, chain=site, subject=subject, before=None, limit=_LATEST)
            for entry in (read_entry(kept.text) for kept in latest):
                is_same = (entry.by, entry.action, dict(entry.facts)) == told
                if is_same and at - entry.at <= NOT_AGAIN_WITHIN:
                    return
            audit.append(tx, Entry(at, visitor.actor, LOOKED_AT, subject, facts), site=site)

        record.write(write)

    def note_list(visitor: Visitor, found: Iterable[Subscription]) -> None:
        holders = [one.holder for one in found]
        if holders:
            note_look(visitor, "holders", holders)

    # The list

    def listed(visitor: Visitor, chosen: Filter, after: str | None) -> dict[str, Any]:
        site = visitor.at_site.id
        place = None if after is None else page_position(after, int, str)
        wanted = store.since(Wanted([site], A_PAGE, None if place is None else (site, *place)))

        def look(tx: Connection) -> dict[str, Any]:
            found = store.list_requests(
                tx, wanted, states=chosen.states, kinds=chosen.kinds, subscription=None
            )
            rows = found[:A_PAGE]
            subscriptions = store.subscriptions_named(tx, site, [r.subscription for r in rows])
            holders = [one.holder for one in subscriptions.values()]
            more = len(found) > A_PAGE
            last = rows[-1] if more else None
            return {
                "rows": rows,
                "subscriptions": subscriptions,
                "holders": store.holders_named(tx, site, holders),
                "products": _products(tx, site),
                "counts": store.count_undecided(tx, site),
                "onward": last and page_cursor(int(last.submitted_at.timestamp()), last.id),
            }

        return record.read(look)

    @routes.get("/requests")
    def list_requests(
        visitor: Visitor = visiting,
        kind: str = ALL,
        state: str = "submitted",
        after: str | None = None,
        done: str = "",
        last: str = "",
    ) -> Response:
        visitor.check_sees_subscribers()
        chosen = Filter.of(kind, state)
        shown = listed(visitor, chosen, after)
        note_list(visitor, shown["subscriptions"].values())
        return web.page(
            "requests.html",
            visitor,
            chosen=chosen,
            after=after,
            words=words,
            kinds=core.KINDS,
            states=core.REQUEST_STATES,
            done=told(visitor, done, last),
            last=last,
            **shown,
        )

    @routes.get("/requests.json")
    def list_requests_as_json(
        visitor: Visitor = visiting,
        kind: str = ALL,
        state: str = "submitted",
        after: str | None = None,
    ) -> Response:
        visitor.check_sees_subscribers()
        shown = listed(visitor, Filter.of(kind, state), after)
        subscriptions = shown["subscriptions"]
        note_list(visitor, subscriptions.values())
        items = [
            request_json(one)
            | {
                "number": subscriptions[one.subscription].number,
                "plates": [v.plate.text for v in subscriptions[one.subscription].present],
            }
            for one in shown["rows"]
        ]
        facts = {"items": items, "next_cursor": shown["onward"], "undecided": shown["counts"]}
        return web.twin(visitor, facts)

    def told(visitor: Visitor, done: str, id: str) -> str:
        """What was decided just now of a request, or done to a subscription."""
        if done not in _DONE:
            return ""

        def look(tx: Connection) -> str:
            found = store.find_request(tx, id) if attachments.is_id(id) else None
            if found is None or found.site != visitor.at_site.id:
                return ""
            return store.subscription(tx, found.subscription).number

        number = record.read(look) if done in words.DECIDE else ""
        if done in words.DECIDE and not number:
            return ""
        return web.words(_DONE[done], visitor.language, number=number)

    # Files, before what any id could be

    @routes.get("/requests/files/{id}")
    def show_file(id: IdInPath, visitor: Visitor = visiting) -> Response:
        """A picture is shown, a PDF saved; neither runs anything, nor is kept by the browser."""
        visitor.check_sees_subscribers()
        found = record.read(lambda tx: attachments.find(tx, id))
        if found.site != visitor.at_site.id:
            raise UnknownAttachment(id=id)
        found, content = desk.read_file(id, by=visitor.principal, at=web.at())
        if found.purpose not in attachments.SEALED:  # of which the desk writes it down
            note_look(visitor, f"attachment:{id}")
        name = disposition(found.name)
        if found.media_type in _PICTURES:
            name = name.replace("attachment", "inline", 1)
        return Response(
            content,
            media_type=found.media_type,
            headers={
                "Content-Disposition": name,
                "Content-Security-Policy": _SHOWN_SAFELY,
                "Cross-Origin-Resource-Policy": "same-origin",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-store",
            },
        )

    # Subscriptions

    @routes.get("/requests/subscriptions")
    def find_subscriptions(
        visitor: Visitor = visiting, q: Annotated[str, Query(max_length=200)] = ""
    ) -> Response:
        """By contract number, plate or name."""
        visitor.check_sees_subscribers()
        site, at = visitor.at_site.id, web.at()
        sought = q.replace("\0", "").strip()

        def look(tx: Connection) -> dict[str, Any]:
            found = _sought(tx, site, sought, at) if sought else []
            return {
                "found": found,
                "holders": store.holders_named(tx, site, [one.holder for one in found]),
                "products": _products(tx, site),
            }

        shown = record.read(look)
        note_list(visitor, shown["found"])
        return web.page("subscriptions.html", visitor, q=sought, at=at, words=words, **shown)

    def subscription_page(
        visitor: Visitor,
        id: str,
        *,
        typed: _Typed | None = None,
        errors: Sequence[str] = (),
        done: str = "",
        status: int = 200,
    ) -> Response:
        at = web.at()
        found = record.read(lambda tx: known(tx, visitor.at_site, id, at=at))
        note_look(visitor, f"holder:{found.holder.id}")
        return web.page(
            "subscription.html",
            visitor,
            status=status,
            known=found,
            pairs=zip,
            allowed=allowed(found.subscription, at=at),
            at=at,
            files=_by_subject(found.files),
            sealed=attachments.SEALED,
            words=words,
            typed=typed or _Typed(),
            once=store.new_id() if typed is None else typed.once,
            errors=errors,
            done=told(visitor, done, ""),
        )

    @routes.get("/requests/subscriptions/{id}.json")
    def subscription_as_json(id: IdInPath, visitor: Visitor = visiting) -> Response:
        visitor.check_sees_subscribers()

        def look(tx: Connection) -> tuple[str, dict[str, Any]]:
            holder = known(tx, visitor.at_site, id, at=web.at()).holder
            return holder.id, desk.subscription(tx, id, by=visitor.principal, at=web.at())

        holder, shown = record.read(look)
        note_look(visitor, f"holder:{holder}")
        return web.twin(visitor, shown)

    @routes.get("/requests/subscriptions/{id}")
    def show_subscription(id: IdInPath, visitor: Visitor = visiting, done: str = "") -> Response:
        visitor.check_sees_subscribers()
        return subscription_page(visitor, id, done=done)

    @routes.post("/requests/subscriptions/{id}")
    def change_subscription(id: IdInPath, visitor: Visitor = acting) -> Response:
        visitor.check_sees_subscribers()
        typed = _Typed.by(visitor, "action")
        record.read(lambda tx: known(tx, visitor.at_site, id, at=web.at()))
        try:
            if typed.what not in words.DEEDS:
                raise Invalid(errors=[Problem.Error("/action", N_("is missing"))])
            if typed.what in _NEEDS_A_REASON and not typed.reason:
                raise Invalid(errors=[Problem.Error("/reason", N_("is missing"))])
            wanted = forms.shaped(
                ActionShape,
                forms.filled(
                    {"id": typed.once, "action": typed.what, "reason": typed.reason, "on": typed.on}
                ),
            )
            version = forms.version(typed.version)
            desk.act(id, wanted, expected=version, by=visitor.principal, at=web.at())
        except Problem as problem:
            return subscription_page(
                visitor,
                id,
                typed=typed,
                errors=forms.wrong(problem, visitor.language),
                status=problem.status,
            )
        return web.go(here(visitor, "subscriptions", id, done=typed.what))

    @routes.get("/requests/subscriptions/{id}/contracts/{position}")
    def show_contract(
        id: IdInPath,
        position: Annotated[int, Path(ge=1, le=1_000_000)],
        visitor: Visitor = visiting,
    ) -> Response:
        visitor.check_sees_subscribers()

        def look(tx: Connection) -> tuple[str, dict[str, Any]]:
            found = store.subscription(tx, id)
            if found.site != visitor.at_site.id:
                raise store.UnknownSubscription(id=id)
            return found.holder, store.contract(tx, found.site, id, position)

        holder, facts = record.read(look)
        note_look(visitor, f"holder:{holder}")
        return Response(
            contract.pdf(facts),
            media_type=contract.MEDIA_TYPE,
            headers={
                "Content-Disposition": disposition(f"{facts['number']}-{facts['position']}.pdf"),
                "Content-Security-Policy": _SHOWN_SAFELY,
                "Cache-Control": "no-store",
            },
        )

    # One request

    def request_page(
        visitor: Visitor,
        id: str,
        chosen: Filter,
        *,
        typed: _Typed | None = None,
        errors: Sequence[str] = (),
        done: str = "",
        last: str = "",
        status: int = 200,
    ) -> Response:
        at = web.at()
        asked = record.read(lambda tx: find(tx, visitor.at_site, id, chosen, at=at))
        note_look(visitor, f"holder:{asked.holder.id}")
        obstacle = None if asked.obstacle is None else asked.obstacle.as_json(visitor.language)
        return web.page(
            "request.html",
            visitor,
            status=status,
            asked=asked,
            chosen=chosen,
            obstacle=obstacle,
            at=at,
            day=date.fromisoformat,
            consents=core.CONSENTS,
            pictures=_PICTURES,
            sealed=attachments.SEALED,
            words=words,
            typed=typed or _Typed(),
            once=store.new_id() if typed is None else typed.once,
            errors=errors,
            done=told(visitor, done, last),
            last=last,
        )

    @routes.get("/requests/{id}.json")
    def request_as_json(id: IdInPath, visitor: Visitor = visiting) -> Response:
        visitor.check_sees_subscribers()

        def look(tx: Connection) -> tuple[str, dict[str, Any]]:
            asked = find(tx, visitor.at_site, id, Filter(), at=web.at())
            shown = subscriptions_json(tx, [asked.subscription], at=web.at())[0]
            of = desk.request(tx, id, by=visitor.principal)
            facts = {"number": asked.subscription.number, "subscription_now": shown}
            return asked.holder.id, of | facts

        holder, shown = record.read(look)
        note_look(visitor, f"holder:{holder}")
        return web.twin(visitor, shown)

    @routes.get("/requests/{id}")
    def show_request(
        id: IdInPath,
        visitor: Visitor = visiting,
        kind: str = ALL,
        state: str = "submitted",
        done: str = "",
        last: str = "",
    ) -> Response:
        visitor.check_sees_subscribers()
        return request_page(visitor, id, Filter.of(kind, state), done=done, last=last)

    @routes.post("/requests/{id}")
    def decide(id: IdInPath, visitor: Visitor = acting) -> Response:
        """The next one follows by itself."""
        visitor.check_sees_subscribers()
        chosen = Filter.of(visitor.text("kind"), visitor.text("state"))
        typed = _Typed.by(visitor, "decision")
        asked = record.read(lambda tx: find(tx, visitor.at_site, id, chosen, at=web.at()))
        try:
            wanted = forms.shaped(
                DecisionShape,
                forms.filled(
                    {
                        "id": typed.once,
                        "decision": typed.what,
                        "reason": typed.reason,
                        "product": typed.product,
                        "on": typed.on,
                    }
                ),
            )
            version = forms.version(typed.version)
            desk.decide(id, wanted, expected=version, by=visitor.principal, at=web.at())
        except Problem as problem:
            return request_page(
                visitor,
                id,
                chosen,
                typed=typed,
                errors=forms.wrong(problem, visitor.language),
                status=problem.status,
            )
        parts = [] if asked.next is None else [asked.next.id]
        return web.go(here(visitor, *parts, done=typed.what, last=id, **chosen.query))

    return routes


def _products(tx: Connection, site: str) -> dict[str, Product]:
    found = store.list_products(tx, Wanted([site], 500), category=None, active=None)
    return {product.code: product for product in found}


def _sought(tx: Connection, site: str, sought: str, at: datetime) -> list[Subscription]:
    """By contract number, else by plate, else by the holder's name or address."""
    any_of_them: dict[str, Any] = {
        "at": at,
        "statuses": (),
        "product": None,
        "category": None,
        "holder": None,
        "number": None,
        "plates": (),
    }
    wanted = Wanted([site], MOST_FOUND)
    plate = normalise(sought[:100])
    for chosen in ({"number": sought[:32]}, {"plates": (plate,)}):
        if chosen.get("plates") == ("",):
            continue
        found = store.list_subscriptions(tx, wanted, **(any_of_them | chosen))
        if found:
            return found[:MOST_FOUND]
    holders = store.list_holders(tx, Wanted([site], 20), email=None, q=sought)
    found = [one for holder in holders for one in store.of_holder(tx, site, holder.id)]
    return found[:MOST_FOUND]


def _by_subject(files: Sequence[Attachment]) -> dict[str, list[Attachment]]:
    found: dict[str, list[Attachment]] = {}
    for file in files:
        found.setdefault(file.subject or "", []).append(file)
    return found
