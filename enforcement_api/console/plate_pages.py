"""Plates: looked up for a purpose that is kept, judged at any instant in any zone, and why; the
courtesy permits; and how the feed is that all of it comes from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.audit.core import read as read_entry
from enforcement_api.console import forms, looking, people, wording
from enforcement_api.console.web import ROOT, Visitor, Web, address, split
from enforcement_api.feed import store as feed
from enforcement_api.feed.follower import Follower
from enforcement_api.feed.snapshots import Snapshots
from enforcement_api.feed.store import Level
from enforcement_api.infractions import search
from enforcement_api.infractions.core import Infraction, Selection
from enforcement_api.permits import checking, explaining, lookups, showing
from enforcement_api.permits import store as permits
from enforcement_api.permits.core import StoredPermit
from enforcement_api.permits.explaining import Explanation
from enforcement_api.permits.lookups import LookUp
from enforcement_api.permits.store import Contact, Count
from enforcement_api.problems import N_, Invalid, Problem, Sentence
from enforcement_api.shapes import page_cursor, page_position, telling
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import courtesy, store, words
from enforcement_api.subscriptions.core import Holder, Product, Subscription
from enforcement_api.subscriptions.courtesy import CourtesyPermit
from enforcement_api.subscriptions.desk import Desk
from enforcement_api.subscriptions.shapes import (
    CertificateNumber,
    CourtesyShape,
    IdInPath,
    client_id,
)
from enforcement_api.subscriptions.store import Wanted
from sync import codec
from sync.entities import ALL_ZONES, HotlistEntry, Permit, Site, Zone
from sync.plates import Plate, certificate_hint, differing
from sync.replica import ReplicaError, State
from sync.validity import VERDICTS, Judgement

A_PAGE = 50
MOST_PERMITS = 20
MOST_INFRACTIONS = 20
MOST_LOOKUPS = 50
LOOKED_AT = 5_000
"""Versions among which the sources of the feed are looked for."""
LONGEST_PURPOSE = 200
_USUALLY_LASTS = timedelta(days=1)

CHOICES = tuple(code for code in wording.PURPOSES if code not in ("compare", "patrol"))
"""What somebody may say that they look a plate up for."""
_TYPED = ("plate", "jurisdiction", "purpose", "purpose_told")
_COMES_FROM = {"review": "review", "infractions": "review", "requests": "request", "live": "patrol"}
"""What a plate is looked up for by whoever comes from another part of the console."""
_DONE = {
    "granted": N_("The courtesy permit is granted: the plate is let in from now on."),
    "ended": N_("The courtesy permit has ended."),
}


class PurposeMissing(Problem):
    """A plate that nobody said what they look it up for."""

    status = 422
    slug = "purpose-missing"
    title = N_("Say what you look the plate up for")
    detail = N_("Look it up on the page of plates, or send `for` with one of: {purposes}.")


# A plate


@dataclass(frozen=True, slots=True)
class Change:
    """What a version of a permit says of a field, and what the one before said (None: nothing)."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a permit, and what changed with it."""

    sequence: int
    permit: StoredPermit
    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class Told:
    """A permit with its versions, the oldest first, and what is behind it, for those who may see
    that: a subscription with its holder and product, or a courtesy permit.
    """

    permit: Permit
    versions: Sequence[Version]
    subscription: Subscription | None = None
    holder: Holder | None = None
    product: Product | None = None
    courtesy: CourtesyPermit | None = None
    granted_by: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """All that is known of a plate at a site."""

    plate: Plate
    explanation: Explanation
    everywhere: Sequence[tuple[Zone, Judgement]]
    permits: Sequence[Told]
    more_permits: int
    infractions: Sequence[Infraction]
    hotlist: Sequence[HotlistEntry]
    lookups: Sequence[LookUp]
    level: Level


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about a plate: where, when, and by what was known when. `at_typed`,
    `known_typed`: as they were typed.
    """

    zone: str
    at: datetime
    known_at: int | None = None
    at_typed: str = ""
    known_typed: str = ""
    errors: Sequence[Problem] = field(default=())

    @property
    def query(self) -> dict[str, str]:
        """What of it an address has to say."""
        return {"zone": self.zone, "at": self.at_typed, "known": self.known_typed}


def versions_of(history: Sequence[tuple[int, StoredPermit]]) -> list[Version]:
    """The versions of a permit, each with what changed; the first changes everything it says."""
    found: list[Version] = []
    before: Mapping[str, Any] = {}
    for sequence, permit in history:
        after = _said(permit)
        changes = [
            Change(name, before.get(name), value)
            for name, value in after.items()
            if before.get(name) != value
        ]
        found.append(Version(sequence, permit, changes))
        before = after
    return found


def _said(permit: StoredPermit) -> dict[str, Any]:
    facts, vehicle = permit.facts, permit.facts.vehicle
    described = (vehicle.colour, vehicle.make, vehicle.model, vehicle.year)
    return {
        "plate": f"{facts.plate.text} {facts.plate.jurisdiction}",
        "zones": facts.zones,
        "permit_number": facts.permit_number,
        "status": facts.status,
        "valid_from": facts.valid_from,
        "valid_until": facts.valid_until,
        "confirmed_at": facts.confirmed_at,
        "given_ends_at": facts.ends_at,
        "starts_at": permit.starts_at,
        "ends_at": permit.ends_at,
        "active_from": permit.active_from,
        "vehicle": " ".join(str(part) for part in described if part is not None) or None,
        "reconciled": permit.reconciled or None,
        "removed": permit.removed or None,
    }


def known(tx: Connection, desk: Desk, visitor: Visitor, plate: Plate, asked: Asked) -> Known:
    """All that is known of a plate. Raises UnknownZone, Invalid, Forgotten."""
    site = visitor.at_site.id
    ever = explaining.permits_ever_of(tx, site, plate)
    newest = sorted(ever, key=lambda one: one.starts_at, reverse=True)
    selection = Selection((site,), plates=(plate.text,), order="-observed_at")
    seen = search.search(tx, selection, limit=MOST_INFRACTIONS).items
    return Known(
        plate=plate,
        explanation=explaining.explained(
            tx, site, asked.zone, plate, at=asked.at, as_known_at=asked.known_at
        ),
        everywhere=explaining.in_every_zone(
            tx, site, plate, at=asked.at, as_known_at=asked.known_at
        ),
        permits=[_told(tx, desk, visitor, one) for one in newest[:MOST_PERMITS]],
        more_permits=max(0, len(ever) - MOST_PERMITS),
        infractions=[one for one in seen if one.plate == plate],
        hotlist=sites.hotlist_of(tx, site, plate),
        lookups=lookups.of_plate(tx, site, plate, most=MOST_LOOKUPS),
        level=feed.level(tx, site),
    )


def _told(tx: Connection, desk: Desk, visitor: Visitor, permit: Permit) -> Told:
    site = visitor.at_site.id
    versions = versions_of(permits.history(tx, site, permit.id))
    behind = desk.behind(tx, site, permit.id, by=visitor.principal)
    if isinstance(behind, CourtesyPermit):
        by = people.named(tx, [behind.granted_by])[behind.granted_by]
        return Told(permit, versions, courtesy=behind, granted_by=by)
    if behind is None or not visitor.account.may_see_subscribers:
        return Told(permit, versions)
    holder = store.holder(tx, behind.holder)
    product = store.product(tx, site, behind.product)
    return Told(permit, versions, behind, holder, product)


def marked(text: str, other: str) -> Iterator[tuple[str, bool]]:
    """The characters of a plate, and whether each differs from another plate's there."""
    unlike = set(differing(text, other)) if len(text) == len(other) else set()
    return ((character, at in unlike) for at, character in enumerate(text))


# The feed


@dataclass(frozen=True, slots=True)
class Feed:
    """How the feed of a site is. `index`: what the service's own copy says of itself."""

    level: Level
    index: State | None
    is_behind: bool
    stale_after: timedelta
    pruned_at: datetime | None
    pruned_every: timedelta
    sources: Sequence[Contact]
    reconciliations: Sequence[Entry]
    snapshot: tuple[int, int] | None
    counts: Sequence[Count] | None

    def wrong(self, at: datetime) -> list[tuple[str, dict[str, Any]]]:
        """What is wrong with it, the worst first: marked texts with their facts."""
        found: list[tuple[str, dict[str, Any]]] = []
        level, index = self.level, self.index
        if index is None:
            found.append(
                (N_("The service's own index is being made anew; the record answers."), {})
            )
        elif index.sequence == level.sequence and index.digest != level.digest:
            found.append(
                (N_("The service's own index differs from the record; it is made anew."), {})
            )
        elif self.is_behind or index.sequence < level.sequence:
            behind = level.sequence - index.sequence
            found.append(
                (N_("The service's own index is {behind} changes behind."), {"behind": behind})
            )
        if level.fed_at is None:
            found.append((N_("No subscription system has been in contact yet."), {}))
        elif at - level.fed_at > self.stale_after:
            told = N_("The subscription system was last heard of {ago}: handhelds warn.")
            found.append((told, {"ago": level.fed_at}))
        if self.pruned_at is not None and at - self.pruned_at > 2 * self.pruned_every:
            found.append((N_("The last retention run was {ago}."), {"ago": self.pruned_at}))
        return found

    def as_json(self) -> dict[str, Any]:
        """For the twin."""
        level, index = self.level, self.index
        return {
            "epoch": level.epoch,
            "sequence": level.sequence,
            "digest": codec.digest_json(level.digest),
            "fed_at": codec.optional_instant(level.fed_at),
            "index": None
            if index is None
            else {"sequence": index.sequence, "digest": codec.digest_json(index.digest)},
            "pruned_at": codec.optional_instant(self.pruned_at),
            "sources": [
                {
                    "source": one.source,
                    "versions": one.versions,
                    "last_at": codec.instant(one.last_at),
                }
                for one in self.sources
            ],
            "reconciliations": [
                {"at": codec.instant(one.at), **one.facts} for one in self.reconciliations
            ],
            "permits": None
            if self.counts is None
            else {one.status: one.permits for one in self.counts},
        }


def router(web: Web, *, desk: Desk, follower: Follower, snapshots: Snapshots) -> APIRouter:
    """The pages of plates."""
    routes = APIRouter(prefix=f"{ROOT}/sites/{{site}}", include_in_schema=False)
    record = web.record
    visiting, acting = Depends(web.visitor), Depends(web.actor)
    counted: dict[str, tuple[int, datetime, Sequence[Count]]] = {}

    def here(visitor: Visitor, *parts: str, **query: object) -> str:
        return address("sites", visitor.at_site.id, "plates", *parts, **query)

    # Looking up

    def search_page(
        visitor: Visitor,
        typed: Mapping[str, str],
        *,
        errors: Sequence[str] = (),
        certificate: str = "",
        why: str = "",
        status: int = 200,
    ) -> Response:
        return web.page(
            "plates.html",
            visitor,
            status=status,
            typed=dict.fromkeys(_TYPED, "") | dict(typed),
            purposes=CHOICES,
            certificate=certificate,
            why=why,
            errors=errors,
            longest=LONGEST_PURPOSE,
        )

    @routes.get("/plates")
    def show_search(
        visitor: Visitor = visiting,
        plate: Annotated[str, Query(max_length=100)] = "",
        jurisdiction: Annotated[str, Query(max_length=10)] = "",
        why: str = "",
    ) -> Response:
        return search_page(visitor, {"plate": plate, "jurisdiction": jurisdiction}, why=why)

    @routes.post("/plates")
    def look_up(visitor: Visitor = acting) -> Response:
        """The plate as it was typed; what may be a certificate's number is asked about first."""
        typed = {name: visitor.text(name) for name in _TYPED}
        choice = visitor.text("certificate")
        raw = typed["plate"]
        hint = certificate_hint(raw)
        if hint is not None and not choice:
            return search_page(visitor, typed, certificate=hint)
        if hint is not None and choice == "plate":
            raw = hint
        try:
            plate = _parsed(visitor.at_site, raw, typed["jurisdiction"])
            purpose = _purpose(typed["purpose"], typed["purpose_told"])
            looking.keep(web, visitor, plate, purpose)
        except Problem as problem:
            told = forms.wrong(problem, visitor.language)
            return search_page(visitor, typed, errors=told, status=problem.status)
        return web.go(here(visitor, plate.jurisdiction, plate.text))

    def is_looked_up(visitor: Visitor, plate: Plate, request: Request, purpose: str) -> bool:
        """Whether it is known what somebody looks at a plate for; from where they come says so.
        A page of somebody else's that leads here knows nothing of it. Raises AskedAhead.
        """
        web.check_asked(request)
        if not web.is_from_here(request):
            purpose = ""
        elif purpose not in wording.PURPOSES:
            comes = split(request.headers.get("referer", ""))
            parts = comes.path.split("/")
            is_ours = comes.netloc == request.headers.get("host") and len(parts) > 4
            purpose = _COMES_FROM.get(parts[4], "") if is_ours else ""
        if purpose:
            looking.keep(web, visitor, plate, purpose)
            return True
        return bool(record.read(lambda tx: looking.recent(tx, visitor, plate, web.at())))

    # The feed, before what any jurisdiction could be

    def feed_state(visitor: Visitor, *, count: bool) -> Feed:
        site = visitor.at_site
        try:
            index = follower.replica(site.id).state()
        except (Problem, ReplicaError):
            index = None

        def look(tx: Connection) -> Feed:
            level = feed.level(tx, site.id)
            sources = permits.last_contacts(tx, site.id, among=LOOKED_AT)
            entries = [
                read_entry(kept.text)
                for one in sources
                for kept in audit.latest(
                    tx, chain=site.id, subject=f"source:{one.source}", before=None, limit=5
                )
            ]
            done = sorted(entries, key=lambda one: one.at, reverse=True)
            made = snapshots.made(site.id)
            return Feed(
                level=level,
                index=index,
                is_behind=follower.is_behind(site.id),
                stale_after=site.stale_after,
                pruned_at=site.pruned_at,
                pruned_every=timedelta(hours=web.settings.retention_hours),
                sources=sources,
                reconciliations=[one for one in done if one.action == "reconciled"][:10],
                snapshot=None if made is None else (made.state.sequence, made.bytes),
                counts=counts(tx, level) if count else None,
            )

        return record.read(look)

    def counts(tx: Connection, level: Level) -> Sequence[Count]:
        """Counted once for each state of the feed and minute: it reads all permits."""
        sequence, at, found = counted.get(level.site, (-1, web.at(), ()))
        if sequence != level.sequence or web.at() - at >= timedelta(minutes=1):
            found = permits.counted(tx, level.site, at=web.at())
            counted[level.site] = level.sequence, web.at(), found
        return found

    @routes.get("/plates/feed")
    def show_feed(visitor: Visitor = visiting, count: bool = False) -> Response:
        at = web.at()
        state = feed_state(visitor, count=count)
        show = web.showing(visitor)
        wrong = [
            show.text(
                text,
                **{
                    name: show.ago(fact) if isinstance(fact, datetime) else show.number(fact)
                    for name, fact in facts.items()
                },
            )
            for text, facts in state.wrong(at)
        ]
        return web.page("feed.html", visitor, feed=state, wrong=wrong, looked_at=LOOKED_AT)

    @routes.get("/plates/feed.json")
    def feed_as_json(visitor: Visitor = visiting, count: bool = False) -> Response:
        state = feed_state(visitor, count=count)
        wrong = [text for text, _ in state.wrong(web.at())]
        return web.twin(visitor, state.as_json() | {"wrong": wrong})

    # Courtesy permits

    def courtesies(visitor: Visitor, after: str | None) -> dict[str, Any]:
        site = visitor.at_site.id
        place = None if after is None else page_position(after, int, str)
        wanted = store.since(Wanted([site], A_PAGE, None if place is None else (site, *place)))

        def look(tx: Connection) -> dict[str, Any]:
            found = courtesy.listed(tx, wanted, plate=None, live_at=web.at())
            rows = found[:A_PAGE]
            last = rows[-1] if len(found) > A_PAGE else None
            return {
                "rows": rows,
                "names": people.named(tx, (one.granted_by for one in rows)),
                "onward": last and page_cursor(int(last.granted_at.timestamp()), last.id),
            }

        return record.read(look)

    @routes.get("/plates/courtesy")
    def list_courtesies(
        visitor: Visitor = visiting, after: str | None = None, done: str = ""
    ) -> Response:
        told = web.words(_DONE.get(done, ""), visitor.language)
        shown = courtesies(visitor, after)
        return web.page("courtesy.html", visitor, after=after, done=told, **shown)

    @routes.get("/plates/courtesy.json")
    def courtesies_as_json(visitor: Visitor = visiting, after: str | None = None) -> Response:
        shown = courtesies(visitor, after)
        items = [
            {
                "id": one.id,
                "number": one.number,
                "plate": one.plate.text,
                "jurisdiction": one.plate.jurisdiction,
                "zones": list(one.zones),
                "granted_at": codec.instant(one.granted_at),
                "expires_at": codec.instant(one.expires_at),
            }
            for one in shown["rows"]
        ]
        return web.twin(visitor, {"items": items, "next_cursor": shown["onward"]})

    def courtesy_form(
        visitor: Visitor,
        typed: Mapping[str, Any],
        *,
        errors: Sequence[str] = (),
        certificate: str = "",
        status: int = 200,
    ) -> Response:
        plan = record.read(lambda tx: sites.plan(tx, visitor.at_site.id))
        show = web.showing(visitor)
        most = timedelta(days=web.settings.courtesy_days)
        return web.page(
            "courtesy-new.html",
            visitor,
            status=status,
            plan=plan,
            typed=typed,
            latest=show.field_moment(web.at() + most),
            most_days=most.days,
            everywhere=ALL_ZONES,
            certificate=certificate,
            errors=errors,
        )

    @routes.get("/plates/courtesy/new")
    def show_courtesy_form(
        visitor: Visitor = visiting,
        plate: Annotated[str, Query(max_length=100)] = "",
        jurisdiction: Annotated[str, Query(max_length=10)] = "",
    ) -> Response:
        until = web.showing(visitor).field_moment(web.at() + _USUALLY_LASTS)
        typed = {"plate": plate, "jurisdiction": jurisdiction, "until": until, "zones": []}
        return courtesy_form(visitor, typed | {"once": store.new_id(), "reason": ""})

    @routes.post("/plates/courtesy/new")
    def grant_courtesy(visitor: Visitor = acting) -> Response:
        site = visitor.at_site
        typed: dict[str, Any] = {
            name: visitor.text(name)
            for name in ("plate", "jurisdiction", "until", "reason", "once")
        }
        typed["zones"] = visitor.texts("zones")
        certificate = ""
        try:
            until = forms.instant(typed["until"], site.time_zone, "/until")
            wanted = forms.shaped(
                CourtesyShape,
                forms.filled(
                    {
                        "site": site.id,
                        "plate": typed["plate"] or " ",
                        "jurisdiction": typed["jurisdiction"],
                        "plate_confirmed": visitor.ticked("plate_confirmed"),
                        "zones": typed["zones"],
                        "reason": typed["reason"],
                        "expires_at": codec.instant(until),
                    }
                ),
            )
            once = _client_id(typed["once"])
            granted, _ = desk.grant_courtesy(once, wanted, by=visitor.principal, at=web.at())
        except CertificateNumber as problem:
            certificate = str(problem.facts["plate"])
            return courtesy_form(visitor, typed, certificate=certificate, status=problem.status)
        except Problem as problem:
            told = forms.wrong(problem, visitor.language)
            return courtesy_form(visitor, typed, errors=told, status=problem.status)
        looking.keep(web, visitor, granted.plate, "courtesy")
        return web.go(here(visitor, "courtesy", done="granted"))

    @routes.post("/plates/courtesy/{id}/end")
    def end_courtesy(id: IdInPath, visitor: Visitor = acting) -> Response:
        def look(tx: Connection) -> None:
            found = desk.courtesy(tx, id, by=visitor.principal)
            if found.site != visitor.at_site.id:
                raise courtesy.UnknownCourtesyPermit(id=id)

        record.read(look)
        desk.end_courtesy(id, by=visitor.principal, at=web.at())
        return web.go(here(visitor, "courtesy", done="ended"))

    # A plate's page

    def asked_of(visitor: Visitor, zone: str, at: str, known_at: str) -> Asked:
        """What an address asks. What of it cannot be read is told, and left out."""
        site = visitor.at_site
        zones = record.read(lambda tx: [one.id for one in sites.plan(tx, site.id).zones])
        if not zones:
            raise Invalid(errors=[Problem.Error("/zone", N_("the site has no zone yet"))])
        errors: list[Problem] = []
        when, sequence = web.at(), None
        if at:
            try:
                when = forms.instant(at, site.time_zone, "/at")
            except Invalid as problem:
                errors.append(problem)
                at = ""
        if known_at:
            try:
                level = record.read(lambda tx: feed.level(tx, site.id))
                sequence = forms.version(known_at)
                checking.check_known(sequence, level)
            except Problem as problem:
                errors.append(problem)
                sequence, known_at = None, ""
        chosen = zone if zone in zones else zones[0]
        return Asked(chosen, when, sequence, at, known_at, errors)

    @routes.get("/plates/{jurisdiction}/{plate}.json")
    def plate_as_json(
        request: Request,
        jurisdiction: str,
        plate: str,
        visitor: Visitor = visiting,
        zone: str = "",
        at: Annotated[str, Query(max_length=40)] = "",
        known_at: Annotated[str, Query(alias="known", max_length=20)] = "",
        purpose: Annotated[str, Query(alias="for", max_length=20)] = "",
    ) -> Response:
        sought = _parsed(visitor.at_site, plate, jurisdiction)
        if not is_looked_up(visitor, sought, request, purpose):
            raise PurposeMissing(purposes=", ".join(wording.PURPOSES))
        asked = asked_of(visitor, zone, at, known_at)
        if asked.errors:
            raise asked.errors[0]

        def look(tx: Connection) -> dict[str, Any]:
            found = known(tx, desk, visitor, sought, asked)
            whole = [showing.whole(tx, visitor.at_site.id, one.permit.id) for one in found.permits]
            return _as_json(found, whole)

        return web.twin(visitor, record.read(look))

    @routes.get("/plates/{jurisdiction}/{plate}")
    def show_plate(
        request: Request,
        jurisdiction: str,
        plate: str,
        visitor: Visitor = visiting,
        zone: str = "",
        at: Annotated[str, Query(max_length=40)] = "",
        known_at: Annotated[str, Query(alias="known", max_length=20)] = "",
        purpose: Annotated[str, Query(alias="for", max_length=20)] = "",
    ) -> Response:
        sought = _parsed(visitor.at_site, plate, jurisdiction)
        if not is_looked_up(visitor, sought, request, purpose):
            return web.go(
                here(visitor, plate=sought.text, jurisdiction=sought.jurisdiction, why="purpose")
            )
        asked = asked_of(visitor, zone, at, known_at)
        found = record.read(lambda tx: known(tx, desk, visitor, sought, asked))
        return web.page(
            "plate.html",
            visitor,
            status=422 if asked.errors else 200,
            known=found,
            asked=asked,
            now=web.at(),
            marked=marked,
            tests=wording.TESTS,
            verdicts=VERDICTS,
            fields=wording.PERMIT_FIELDS,
            words=words,
            errors=[told for one in asked.errors for told in forms.wrong(one, visitor.language)],
        )

    return routes


def _client_id(text: str) -> str:
    """The id of a form. Raises Invalid for one that was tampered with."""
    try:
        return client_id(text)
    except ValueError as error:
        raise Invalid(errors=[Problem.Error("/once", str(error))]) from error


def _parsed(site: Site, text: str, jurisdiction: str) -> Plate:
    """Raises Invalid."""
    return checking.parse_plate(text, jurisdiction.strip().upper() or site.jurisdiction)


def _purpose(code: str, told: str) -> str:
    """What a plate is looked up for, as it is kept: the code of our word, and their own words.

    Raises Invalid without either, or with something else's own words missing.
    """
    if code not in wording.PURPOSES or (code == "other" and not told):
        name = "purpose_told" if code == "other" else "purpose"
        raise Invalid(errors=[Problem.Error(f"/{name}", N_("is missing"))])
    if not told:
        return code
    try:
        return f"{code}: {telling(told[:LONGEST_PURPOSE])}"
    except ValueError as error:
        said = Sentence(str(error))
        raise Invalid(
            errors=[Problem.Error("/purpose_told", "{sentence}", sentence=said)]
        ) from error


def _as_json(found: Known, permits: Sequence[dict[str, Any]]) -> dict[str, Any]:
    explanation = found.explanation
    answer: dict[str, Any] = json.loads(explanation.answer.as_json())
    timeline = explanation.timeline
    return answer | {
        "reasons": [
            {
                "permit": one.permit.id,
                "outcome": one.outcome,
                "test": one.test,
                "instant": codec.optional_instant(one.instant),
                "changes_at": codec.optional_instant(one.changes_at),
            }
            for one in explanation.reasons
        ],
        "timeline": [
            {"at": codec.optional_instant(turn.at), "verdict": turn.verdict}
            for turn in timeline.turns
        ],
        "zones": {
            zone.id: {
                "verdict": judgement.verdict,
                "changes_at": codec.optional_instant(judgement.changes_at),
            }
            for zone, judgement in found.everywhere
        },
        "histories": list(permits),
        "subscriptions": [
            {
                "permit": one.permit.id,
                "id": one.subscription.id,
                "number": one.subscription.number,
                "product": one.subscription.product,
            }
            for one in found.permits
            if one.subscription is not None
        ],
        "infractions": [one.id for one in found.infractions],
        "hotlist": [
            {"id": one.id, "reason": one.reason, "priority": one.priority} for one in found.hotlist
        ],
        "lookups": [
            {
                "at": codec.instant(one.at),
                "who": one.who,
                "by_name": one.by_name,
                "zone": one.zone,
                "verdict": one.verdict,
                "purpose": one.purpose,
            }
            for one in found.lookups
        ],
    }
