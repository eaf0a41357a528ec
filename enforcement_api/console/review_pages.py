"""Reviewing: the queue, an infraction with all that is known of it, and decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from enforcement_api.console import forms, looking, maps
from enforcement_api.console.web import ROOT, NoSuchPage, Visitor, Web, address
from enforcement_api.infractions import cases, corrections, lifecycle, photos, queue, store
from enforcement_api.infractions.attention import REASONS, REST
from enforcement_api.infractions.cases import Case
from enforcement_api.infractions.core import Infraction, UnknownInfraction, is_uuid, photo_name
from enforcement_api.infractions.corrections import Correction
from enforcement_api.infractions.lifecycle import DECISIONS, UNDO, StateMovedOn, Wanted
from enforcement_api.infractions.photos import UnknownPhoto
from enforcement_api.infractions.queue import QueuePlace
from enforcement_api.infractions.routes import UNCHANGING, photo_response
from enforcement_api.problems import N_, Invalid, Problem
from sync import codec
from sync.plates import Plate

A_PAGE = 50
"""Infractions of the queue on one page, and in one bulk decision at most."""
EARLIER = 10
PREVIEW = 1280
"""Pixels of the longer side of a photo on a page; the original is a press away."""
MAP_AROUND_M = 150.0
"""Metres of ground around a vehicle that its map shows."""
LONGEST_NOTE = 2_000
OTHERS = "rest"
"""The part of the queue that nothing is to be said about."""

_LAST = datetime(9999, 12, 31, tzinfo=UTC)
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the queue: all that should be looked at (""), what one reason stands first for, or
    the others.
    """

    name: str

    @classmethod
    def named(cls, name: str) -> Part:
        """The part of this name; of another name, all that should be looked at."""
        return cls(name if name in (*REASONS, OTHERS) else "")

    @property
    def ranks(self) -> range:
        """The ranks that it has, one behind another."""
        if not self.name:
            return range(REST)
        rank = REST if self.name == OTHERS else REASONS.index(self.name)
        return range(rank, rank + 1)

    @property
    def begins(self) -> QueuePlace | None:
        """The place before its first."""
        return QueuePlace(self.ranks[0] - 1, _LAST, _LAST_ID) if self.ranks[0] else None

    def has(self, infraction: Infraction | None) -> bool:
        """Whether an infraction waits in it."""
        return infraction is not None and infraction.review_rank in self.ranks

    def next(self, tx: Connection, site: str, after: QueuePlace | None) -> Infraction | None:
        """What waits in it after a place."""
        begins = self.begins
        if begins is not None and (after is None or after < begins):
            after = begins
        found = queue.next_after(tx, site, after)
        return found if self.has(found) else None

    def before(self, tx: Connection, site: str, place: QueuePlace) -> Infraction | None:
        """What waits in it before a place."""
        found = queue.before(tx, site, place)
        return found if self.has(found) else None

    def count(self, counts: dict[int, int]) -> int:
        """How many wait in it."""
        return sum(counts[rank] for rank in self.ranks)


def waiting(tx: Connection, site: str) -> int:
    """How many infractions of a site should be looked at."""
    return Part("").count(dict(queue.counts(tx, site)))


@dataclass(frozen=True, slots=True)
class _Typed:
    """What somebody has typed into the decision, to be shown again."""

    decision: str = ""
    reason: str = ""
    note: str = ""
    correction: str = ""

    @classmethod
    def by(cls, visitor: Visitor) -> _Typed:
        return cls(*(visitor.text(name) for name in ("decision", "reason", "note", "correction")))


@dataclass(frozen=True, slots=True)
class Seen:
    """A case as somebody looks at it: what else there is of the plate, and where it waits."""

    case: Case
    earlier: Sequence[Infraction]
    corrections: Sequence[Correction]
    is_own: bool
    place: QueuePlace | None
    next: Infraction | None
    previous: Infraction | None

    @property
    def infraction(self) -> Infraction:
        """The infraction itself."""
        return self.case.infraction

    @property
    def allowed(self) -> Sequence[str]:
        """What may be decided of it."""
        return lifecycle.allowed(self.infraction.state)

    def is_undoable_by(self, actor: str) -> bool:
        """Whether its last decision is somebody's own, which they may take back."""
        last = self.case.reviews[-1] if self.case.reviews else None
        return last is not None and last.by == actor and last.decision in DECISIONS

    def as_json(self) -> dict[str, Any]:
        """As the JSON twin has it: what the API tells, and what the page has besides."""
        shown = cases.as_json(self.case)
        shown["attention"] = list(self.infraction.attention)
        shown["earlier"] = [one.id for one in self.earlier]
        shown["corrections"] = [
            {"infraction": one.infraction, "correction": one.correction, "by_name": one.by_name}
            | {"at": codec.instant(one.at)}
            for one in self.corrections
        ]
        return shown


def seen(tx: Connection, id: str, visitor: Visitor, part: Part, *, at: datetime) -> Seen:
    """All that is known of an infraction of the visitor's site. Raises NoSuchPage."""
    site = visitor.at_site.id
    infraction = found_at(tx, site, id)
    place = QueuePlace.of(infraction)
    return Seen(
        case=cases.case(tx, infraction.id, at=at),
        earlier=queue.earlier(tx, infraction, limit=EARLIER),
        corrections=corrections.of(tx, infraction),
        is_own=store.is_own(tx, infraction, visitor.principal),
        place=place,
        next=part.next(tx, site, place),
        previous=None if place is None else part.before(tx, site, place),
    )


def found_at(tx: Connection, site: str, id: str) -> Infraction:
    """An infraction of a site. Raises NoSuchPage."""
    try:
        found = store.find(tx, id.lower()) if is_uuid(id) else None
    except UnknownInfraction:
        found = None
    if found is None or found.sent.site != site:
        raise NoSuchPage
    return found


def router(web: Web, *, follow: Callable[[str], None]) -> APIRouter:
    """The pages of reviewing. `follow`: tells the index of a site that the record has changed."""
    routes = APIRouter(prefix=f"{ROOT}/sites/{{site}}", include_in_schema=False)
    record = web.record
    visiting, acting = Depends(web.visitor), Depends(web.actor)

    # The queue

    def listed(
        visitor: Visitor,
        part: Part,
        after: QueuePlace | None,
        *,
        errors: Sequence[str] = (),
        done: dict[str, Any] | None = None,
        status: int = 200,
    ) -> tuple[dict[str, Any], int]:
        site = visitor.at_site.id

        def look(tx: Connection) -> dict[str, Any]:
            begins = part.begins
            start = begins if after is None or (begins and after < begins) else after
            found = queue.waiting(tx, site, after=start, limit=A_PAGE + 1)
            rows = [one for one in found if part.has(one)]
            counts = dict(queue.counts(tx, site))
            reviewed = {one.id: len(store.reviews_of(tx, site, one.id)) for one in rows[:A_PAGE]}
            names = {
                patroller: store.name_of(tx, site, patroller)
                for patroller in {one.sent.patroller for one in rows}
            }
            last = QueuePlace.of(rows[A_PAGE - 1]) if len(rows) > A_PAGE else None
            return {
                "rows": rows[:A_PAGE],
                "reviewed": reviewed,
                "names": names,
                "onward": last,
                "parts": [(one, Part(one).count(counts)) for one in ("", *REASONS, OTHERS)],
            }

        shown = record.read(look)
        shown |= {"part": part.name, "errors": errors, "done": done, "after": after}
        return shown, status

    @routes.get("/review")
    def show_queue(
        visitor: Visitor = visiting, part: str = "", after: str | None = None, done: str = ""
    ) -> Response:
        place = None if after is None else QueuePlace.parse(after)
        shown, _ = listed(visitor, Part.named(part), place, done=told_of(visitor, done))
        return web.page("review.html", visitor, void_reasons=lifecycle.VOID_REASONS, **shown)

    @routes.get("/review.json")
    def show_queue_as_json(
        visitor: Visitor = visiting, part: str = "", after: str | None = None
    ) -> Response:
        place = None if after is None else QueuePlace.parse(after)
        shown, _ = listed(visitor, Part.named(part), place)
        items = [one.as_json() | {"attention": list(one.attention)} for one in shown["rows"]]
        onward = shown["onward"]
        counts = {name or "all": count for name, count in shown["parts"]}
        return web.twin(
            visitor,
            {"items": items, "next_cursor": onward and str(onward), "counts": counts},
        )

    def told_of(visitor: Visitor, id: str) -> dict[str, Any] | None:
        """What somebody decided just now of an infraction, and whether they may undo it."""
        if not is_uuid(id):
            return None

        def look(tx: Connection) -> dict[str, Any] | None:
            infraction = found_at(tx, visitor.at_site.id, id)
            reviews = store.reviews_of(tx, infraction.sent.site, infraction.id)
            if not reviews or reviews[-1].by != visitor.actor:
                return None
            return {
                "infraction": infraction,
                "review": reviews[-1],
                "reviews": len(reviews),
                "undoable": reviews[-1].decision != UNDO,
            }

        return record.read(look)

    @routes.post("/review")
    def decide_many(visitor: Visitor = acting, part: str = "") -> Response:
        """One decision on many, each by itself: what has changed meanwhile is left and told."""
        site, at = visitor.at_site.id, web.at()
        chosen = visitor.texts("infraction")[:A_PAGE]
        decision, reason = visitor.text("decision"), visitor.text("reason") or None
        here = Part.named(part)
        if not chosen or decision not in ("confirm", "void"):
            told = web.words(N_("Choose infractions, then a decision."), visitor.language)
            shown, status = listed(visitor, here, None, errors=[told], status=422)
            return web.page(
                "review.html",
                visitor,
                status=status,
                void_reasons=lifecycle.VOID_REASONS,
                **shown,
            )
        outcomes = []
        for one in chosen:
            id, _, seen = one.partition(":")
            state, _, count = seen.partition(":")
            wanted = Wanted(
                decision,  # type: ignore[arg-type]  # one of two
                reason if decision == "void" else None,
                visitor.text("note")[:LONGEST_NOTE] or None,
                state,
                acknowledge_differs=False,
                expected_reviews=forms.version(count),
            )
            outcomes.append(decide_one(visitor, site, id, wanted, at))
        follow(site)
        return web.page(
            "review-done.html",
            visitor,
            outcomes=outcomes,
            decision=decision,
            part=here.name,
        )

    def decide_one(
        visitor: Visitor, site: str, id: str, wanted: Wanted, at: datetime
    ) -> dict[str, Any]:
        def work(tx: Connection) -> dict[str, Any]:
            found_at(tx, site, id)
            after, _ = store.review(tx, id, wanted, by=visitor.principal, at=at)
            count = len(store.reviews_of(tx, site, id))
            return {"id": id, "infraction": after, "reviews": count, "why": None}

        try:
            return record.write(work)
        except Problem as problem:
            why = "; ".join(forms.wrong(problem, visitor.language))
            found = None
            if not isinstance(problem, NoSuchPage):
                found = record.read(lambda tx: found_at(tx, site, id))
            return {"id": id, "infraction": found, "reviews": 0, "why": why}

    @routes.post("/review/undo")
    def undo_many(visitor: Visitor = acting, part: str = "") -> Response:
        """Take back what a bulk decision did, one by one."""
        site, at = visitor.at_site.id, web.at()
        outcomes = []
        for one in visitor.texts("infraction")[:A_PAGE]:
            id, _, count = one.partition(":")
            outcomes.append(undo_one(visitor, site, id, forms.version(count), at))
        follow(site)
        return web.page(
            "review-done.html",
            visitor,
            outcomes=outcomes,
            decision=UNDO,
            part=Part.named(part).name,
        )

    def undo_one(visitor: Visitor, site: str, id: str, count: int, at: datetime) -> dict[str, Any]:
        def work(tx: Connection) -> dict[str, Any]:
            found_at(tx, site, id)
            by = visitor.principal
            after, _ = store.undo(tx, id, expected_reviews=count, by=by, at=at)
            return {"id": id, "infraction": after, "reviews": 0, "why": None}

        try:
            return record.write(work)
        except Problem as problem:
            why = "; ".join(forms.wrong(problem, visitor.language))
            return {"id": id, "infraction": None, "reviews": 0, "why": why}

    # One infraction

    def shown_case(
        visitor: Visitor,
        id: str,
        part: Part,
        *,
        typed: _Typed | None = None,
        problem: Problem | None = None,
        done: str = "",
        back: str = "",
    ) -> Response:
        found = record.read(lambda tx: seen(tx, id, visitor, part, at=web.at()))
        errors = forms.wrong(problem, visitor.language) if problem is not None else []
        if problem is not None and found.infraction.plate is not None:
            looking.keep(web, visitor, found.infraction.plate, "review")  # they may have been long
        moved = isinstance(problem, StateMovedOn)
        sent, show = found.infraction.sent, web.showing(visitor)
        at = sent.position
        here = [] if at is None else [maps.Point(sent.plate or "", at.lat, at.lon, at.accuracy_m)]
        drawn = maps.draw(
            found.case.plan.lots,
            here,
            id="place",
            title=show.text(N_("Where it was")),
            tones={sent.lot: "chosen"} if sent.lot else None,
            around_m=MAP_AROUND_M,
        )
        return web.page(
            "infraction.html",
            visitor,
            status=200 if problem is None else problem.status,
            seen=found,
            case=found.case,
            map=drawn,
            codes={code.id: code for code in found.case.plan.codes},
            zones={zone.id: zone for zone in found.case.plan.zones},
            lots={lot.id: lot for lot in found.case.plan.lots},
            part=part.name,
            typed=typed or _Typed(),
            errors=errors,
            moved=found.case.reviews[-1] if moved and found.case.reviews else None,
            done=told_of(visitor, done),
            back=back,
            void_reasons=lifecycle.VOID_REASONS,
        )

    @routes.get("/infractions/{id}")
    def show_infraction(
        request: Request,
        id: str,
        visitor: Visitor = visiting,
        part: str = "",
        done: str = "",
        back: str = "",
    ) -> Response:
        """`back`: the search of the log that somebody came from. Whoever opens it looks its plate
        up.
        """
        here, name = Part.named(part), id.removesuffix(".json")
        if not is_looked_up(visitor, name, request):
            query = {"part": part, "done": done, "back": back}
            onward = address("sites", visitor.at_site.id, "infractions", id, **query)
            return web.page("infraction-from-afar.html", visitor, onward=onward)
        if name != id:
            found = record.read(lambda tx: seen(tx, name, visitor, here, at=web.at()))
            return web.twin(visitor, found.as_json())
        return shown_case(visitor, id, here, done=done, back=back)

    def is_looked_up(visitor: Visitor, id: str, request: Request) -> bool:
        """Whether somebody may see what is known of an infraction's plate, which is kept: not where
        a page of somebody else's leads here. Raises AskedAhead, NoSuchPage.
        """
        web.check_asked(request)

        def look(tx: Connection) -> tuple[Plate | None, bool]:
            plate = found_at(tx, visitor.at_site.id, id).plate
            return plate, plate is None or bool(looking.recent(tx, visitor, plate, web.at()))

        plate, is_known = record.read(look)
        if not web.is_from_here(request):
            return is_known
        if plate is not None:
            looking.keep(web, visitor, plate, "review")
        return True

    @routes.post("/infractions/{id}/decision")
    def decide(id: str, visitor: Visitor = acting, part: str = "") -> Response:
        site, at = visitor.at_site.id, web.at()
        here, typed = Part.named(part), _Typed.by(visitor)
        count = visitor.text("expected_reviews")
        place = QueuePlace.of(record.read(lambda tx: found_at(tx, site, id)))
        try:
            if typed.decision not in DECISIONS:
                raise Invalid(errors=[Problem.Error("/decision", N_("must be chosen"))])
            if typed.decision == "request_information" and not typed.note:
                raise Invalid(errors=[Problem.Error("/note", N_("must say what you ask"))])
            wanted = Wanted(
                typed.decision,
                typed.reason or None if typed.decision == "void" else None,
                typed.note[:LONGEST_NOTE] or None,
                visitor.text("expected_state"),
                visitor.ticked("acknowledge_differs"),
                forms.version(count),
            )

            def work(tx: Connection) -> None:
                infraction, _ = store.review(tx, id.lower(), wanted, by=visitor.principal, at=at)
                if wanted.decision == "void" and typed.correction:
                    other = corrections.named(tx, site, typed.correction)
                    by = visitor.principal
                    corrections.link(record, tx, infraction, other, by=by, at=at)

            record.write(work)
        except Problem as problem:
            return shown_case(visitor, id, here, typed=typed, problem=problem)
        follow(site)
        if typed.decision == "reopen":
            return web.go(address("sites", site, "infractions", id, part=here.name, done=id))
        onward = record.read(lambda tx: here.next(tx, site, place) or here.next(tx, site, None))
        if onward is None:
            return web.go(address("sites", site, "review", part=here.name, done=id))
        return web.go(address("sites", site, "infractions", onward.id, part=here.name, done=id))

    @routes.post("/infractions/{id}/undo")
    def undo(id: str, visitor: Visitor = acting, part: str = "") -> Response:
        site, at = visitor.at_site.id, web.at()
        here = Part.named(part)
        count = visitor.text("expected_reviews")
        record.read(lambda tx: found_at(tx, site, id))
        expected = forms.version(count)
        try:
            record.write(
                lambda tx: store.undo(
                    tx, id.lower(), expected_reviews=expected, by=visitor.principal, at=at
                )
            )
        except Problem as problem:
            return shown_case(visitor, id, here, problem=problem)
        follow(site)
        return web.go(address("sites", site, "infractions", id, part=here.name, done=id))

    @routes.post("/infractions/{id}/corrections")
    def correct(id: str, visitor: Visitor = acting, part: str = "") -> Response:
        site, at, by = visitor.at_site.id, web.at(), visitor.principal
        here, typed = Part.named(part), _Typed.by(visitor)

        def work(tx: Connection) -> None:
            infraction = found_at(tx, site, id)
            gone = visitor.text("remove")
            if gone:
                corrections.unlink(tx, infraction, gone, by=by, at=at)
                return
            other = corrections.named(tx, site, typed.correction)
            corrections.link(record, tx, infraction, other, by=by, at=at)

        try:
            record.write(work)
        except Problem as problem:
            return shown_case(visitor, id, here, typed=typed, problem=problem)
        return web.go(address("sites", site, "infractions", id, part=here.name))

    # Photos

    @routes.get("/photos/{sha256}")
    def show_photo(
        request: Request, sha256: str, visitor: Visitor = visiting, size: str = Query("")
    ) -> Response:
        """A photo of an infraction of the site: the original, or smaller for a screen."""
        site, name = visitor.at_site.id, photo_name(sha256)

        def find(tx: Connection) -> photos.StoredPhoto:
            found = photos.stored(tx, name)
            if found is None or site not in photos.sites_of(tx, name):
                raise UnknownPhoto(sha256=name)
            return found

        found = record.read(find)
        # A browser that others sit at asks each time whether it may still show what it keeps.
        asked_again = {**UNCHANGING, "Cache-Control": "private, no-cache"}
        if size != "screen":
            answer = photo_response(request, web.settings, found)
            answer.headers.update(asked_again)
            return answer
        tag = f'"{name}-{PREVIEW}"'
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={**asked_again, "ETag": tag})
        small = photos.preview(web.settings.photo_dir, name, longest_side=PREVIEW)
        if small is None:
            raise UnknownPhoto(sha256=name)
        return Response(small, media_type="image/jpeg", headers={**asked_again, "ETag": tag})

    return routes
