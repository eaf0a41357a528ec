"""The log: searched by filters that are in the address, narrowed by facets, taken out as files."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from anyio import CancelScope
from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from enforcement_api.console import log_filters
from enforcement_api.console.exporting import Exports
from enforcement_api.console.log_filters import Asked, Known
from enforcement_api.console.review_pages import found_at
from enforcement_api.console.web import ROOT, Visitor, Web, address
from enforcement_api.figures import store as figures
from enforcement_api.figures.core import MOST_DAYS, Period, local
from enforcement_api.infractions import case_file, cases, exports, search, taken_out
from enforcement_api.infractions.core import Infraction, Selection
from enforcement_api.infractions.exports import COLUMNS
from enforcement_api.infractions.search import Facets, Found
from enforcement_api.shapes import mended
from enforcement_api.spreadsheets import CSV_TYPE
from sync import codec
from sync.plates import LONGEST, LONGEST_RAW, SHORTEST, normalise

A_PAGE = 50
EXACT = 3
"""Infractions of exactly the number or plate that was typed, shown before all others."""
A_FACET = 8
"""Values of a facet that are seen at once."""
MOST_LOOKS = 20
"""Times that a page asks for an export of which nothing is known yet."""

_MADE_UP = re.compile("[0-9a-f]{32}")
"""The id of an export that a page made up, to ask how far it is."""


@dataclass(frozen=True, slots=True)
class Exact:
    """What bears exactly the number, or the plate, that was typed as free text."""

    numbers: Found | None
    plate: str
    plates: Found | None

    @property
    def is_any(self) -> bool:
        """Whether there is any."""
        return any(found and found.items for found in (self.numbers, self.plates))

    @classmethod
    def of(cls, tx: Connection, site: str, words: str) -> Exact:
        """Look for it, whatever else is filtered by."""
        numbers = tuple(dict.fromkeys((words, words.upper())))
        plate = normalise(words) if len(words) <= LONGEST_RAW else ""
        by_plate = None
        if SHORTEST <= len(plate) <= LONGEST:
            by_plate = search.search(tx, Selection((site,), plates=(plate,)), limit=EXACT)
        by_number = search.search(tx, Selection((site,), numbers=numbers), limit=EXACT)
        return cls(by_number, plate, by_plate)


class Download(StreamingResponse):
    """A file made piece by piece. However sending it ends, the pieces are told that it has."""

    def __init__(self, pieces: Iterator[Any], *, name: str, kind: str, **headers: str) -> None:
        # The first piece is made here, so that what fails is answered as a problem.
        self._pieces = pieces
        super().__init__(
            itertools.chain([next(pieces)], pieces),
            media_type=kind,
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-store",
                **headers,
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                with CancelScope(shield=True):
                    await run_in_threadpool(close)


def router(web: Web, *, underway: Exports) -> APIRouter:
    """The pages of the log. `underway`: the exports of this process.

    To be included before the pages of one infraction: `/infractions/facets` is no id.
    """
    routes = APIRouter(prefix=f"{ROOT}/sites/{{site}}", include_in_schema=False)
    record = web.record
    visiting, watching = Depends(web.visitor), Depends(web.watcher)

    def known(tx: Connection, visitor: Visitor) -> Known:
        site = visitor.at_site
        return Known.read(tx, site.id, today=local(web.at(), site.time_zone).date())

    def asked(tx: Connection, visitor: Visitor, request: Request, *besides: str) -> Asked:
        """What the address asks for, but for what is not the log's to know."""
        given = [pair for pair in request.query_params.multi_items() if pair[0] not in besides]
        return log_filters.read(log_filters.Query.of(given), known(tx, visitor))

    # The list

    @routes.get("/infractions")
    def show_log(request: Request, visitor: Visitor = visiting) -> Response:
        site, show = visitor.at_site.id, web.showing(visitor)
        given = request.query_params.multi_items()
        inline = "facets" in request.query_params
        pairs = [pair for pair in given if pair[0] not in ("facets", "press")]
        query = log_filters.Query.of(pairs)
        press = request.query_params.get("press")
        if press is not None:
            names = record.read(lambda tx: known(tx, visitor))
            query = query.pressed(mended(press), names)
        here = address("sites", site, "infractions")
        if press is not None or list(query.pairs) != pairs:
            facets = [("facets", "1")] if inline else []
            onward = urlencode([*query.pairs, *facets])
            return web.go(f"{here}?{onward}" if onward else here)

        def look(tx: Connection) -> dict[str, Any]:
            names = known(tx, visitor)
            wanted = log_filters.read(query, names)
            words = wanted.selection.words
            counted = search.facets(tx, wanted.selection) if inline else None
            return {
                "known": names,
                "asked": wanted,
                "found": search.search(tx, wanted.selection, after=wanted.after, limit=A_PAGE),
                "exact": Exact.of(tx, site, words) if words and not wanted.after else None,
                "counted": counted,
            }

        shown = record.read(look)
        names, wanted, counted = shown["known"], shown["asked"], shown["counted"]
        return web.page(
            "log.html",
            visitor,
            status=422 if wanted.errors else 200,
            errors=log_filters.told(wanted.errors, show),
            query=query,
            inline=inline,
            here=here,
            back=str(query),
            chips=log_filters.chips(query, names, show),
            chosen={
                name: [names.same(name, value) for value in query.values(name)]
                for name in log_filters.CHOSEN
            },
            options={name: names.options(name, show) for name in log_filters.CHOSEN},
            facets=counted and log_filters.facets(counted.counts, query.whole, names, show),
            labels=log_filters.LABELS,
            headings=log_filters.HEADINGS,
            all_columns=COLUMNS,
            periods=log_filters.PERIODS,
            differs=log_filters.DIFFERS,
            sorts=log_filters.SORTS,
            a_facet=A_FACET,
            **shown,
        )

    @routes.get("/infractions.json")
    def show_log_as_json(request: Request, visitor: Visitor = visiting) -> Response:
        def look(tx: Connection) -> tuple[Found, Facets | None]:
            wanted = asked(tx, visitor, request, "facets")
            wanted.check()
            counted = None
            if "facets" in request.query_params:
                counted = search.facets(tx, wanted.selection)
            return search.search(tx, wanted.selection, after=wanted.after, limit=A_PAGE), counted

        found, counted = record.read(look)
        shown: dict[str, Any] = {
            "items": [one.as_json() | {"attention": list(one.attention)} for one in found.items],
            "next_cursor": found.next and str(found.next),
            "examined_until": codec.optional_instant(found.examined_until),
        }
        if counted is not None:
            shown["facets"] = {
                "matches": counted.matches,
                "is_exact": counted.is_exact,
                "counts": {
                    name: [{"value": value, "count": n} for value, n in values]
                    for name, values in counted.counts.items()
                },
            }
        return web.twin(visitor, shown)

    @routes.get("/infractions/facets")
    def show_facets(request: Request, visitor: Visitor = visiting) -> Response:
        """The part of the page that the list does not wait for."""
        show = web.showing(visitor)

        def look(tx: Connection) -> tuple[Known, Asked, Facets]:
            names = known(tx, visitor)
            wanted = log_filters.read(
                log_filters.Query.of(request.query_params.multi_items()), names
            )
            return names, wanted, search.facets(tx, wanted.selection)

        names, wanted, counted = record.read(look)
        return web.page(
            "log-facets.html",
            visitor,
            query=wanted.query,
            inline=False,
            here=address("sites", visitor.at_site.id, "infractions"),
            counted=counted,
            facets=log_filters.facets(counted.counts, wanted.query.whole, names, show),
            a_facet=A_FACET,
        )

    # Files

    def expected(tx: Connection, visitor: Visitor, wanted: Asked) -> int | None:
        """About how many infractions are wanted; None: nobody knows without counting them."""
        counted = search.facets(tx, wanted.selection)
        if counted.is_exact:
            return counted.matches
        if wanted.query.is_filtered:
            return None
        today = local(web.at(), visitor.at_site.time_zone).date()
        days = figures.by_day(tx, visitor.at_site.id, Period.until(today, days=MOST_DAYS))
        return sum(day.tally.total for day in days)

    def export(
        request: Request, visitor: Visitor, form: str, made_up: str, *, excel: bool, whole: bool
    ) -> Response:
        site, by = visitor.at_site.id, visitor.actor
        id = made_up if _MADE_UP.fullmatch(made_up) else secrets.token_hex(16)

        def look(tx: Connection) -> tuple[Asked, int | None]:
            wanted = asked(tx, visitor, request, "after", "export", "excel", "all")
            wanted.check()
            return wanted, expected(tx, visitor, wanted)

        wanted, number = record.read(look)
        columns = tuple(COLUMNS) if whole else wanted.columns
        begun = underway.begin(id, by=by, expected=number)

        def noted() -> Iterator[str]:
            rows = 0

            def counted() -> Iterator[Infraction]:
                nonlocal rows
                for one in underway.counted(search.whole_log(record, wanted.selection), begun):
                    rows += 1
                    yield one

            def made() -> Iterator[str]:
                record.write(
                    lambda tx: taken_out.begun(
                        tx,
                        id,
                        site=site,
                        form=form,
                        filters=wanted.query.filters,
                        columns=columns,
                        by=by,
                        at=web.at(),
                    )
                )
                if form == "geojson":
                    yield from exports.as_geojson(counted(), columns=columns)
                else:
                    yield from exports.as_csv(
                        counted(), columns=columns, language=visitor.language, excel=excel
                    )

            state = "cancelled"
            try:
                yield from underway.wrap(made(), begun)
                state = "done"
            except GeneratorExit:
                raise
            except BaseException:
                state = "broken"
                raise
            finally:
                record.write(
                    lambda tx: taken_out.ended(
                        tx, id, site=site, rows=rows, state=state, by=by, at=web.at()
                    )
                )

        kind = exports.GEOJSON_TYPE if form == "geojson" else CSV_TYPE
        today = local(web.at(), visitor.at_site.time_zone).date()
        return Download(noted(), name=f"infractions-{today}.{form}", kind=kind)

    @routes.get("/infractions/export.csv")
    def export_csv(
        request: Request,
        visitor: Visitor = visiting,
        excel: bool = False,
        whole: bool = Query(False, alias="all"),
        made_up: str = Query("", alias="export"),
    ) -> Response:
        """All that the address asks for. `export`: an id that the page made up."""
        return export(request, visitor, "csv", made_up, excel=excel, whole=whole)

    @routes.get("/infractions/export.geojson")
    def export_geojson(
        request: Request,
        visitor: Visitor = visiting,
        whole: bool = Query(False, alias="all"),
        made_up: str = Query("", alias="export"),
    ) -> Response:
        """The same as points on a map."""
        return export(request, visitor, "geojson", made_up, excel=False, whole=whole)

    @routes.get("/infractions/exports/{id}")
    def show_export(id: str, visitor: Visitor = watching, look: int = Query(0, ge=0)) -> Response:
        """How far an export is; the part asks again by itself until it has ended."""
        return web.page(
            "log-export.html",
            visitor,
            export=underway.find(id, by=visitor.actor),
            id=id,
            look=look,
            most=MOST_LOOKS,
        )

    @routes.get("/infractions/{id}/case-file.pdf")
    def show_case_file(id: str, visitor: Visitor = visiting) -> Response:
        """All that is known of one infraction, on paper."""
        site, at = visitor.at_site.id, web.at()
        language = visitor.language

        def look(tx: Connection) -> cases.Case:
            return cases.case(tx, found_at(tx, site, id).id, at=at)

        case = record.read(look)
        made = case_file.pdf(case, language=language, folder=web.settings.photo_dir)
        named = case.infraction.id
        record.write(
            lambda tx: taken_out.case_file(
                tx, named, site=site, language=language, by=visitor.actor, at=at
            )
        )
        length = {"Content-Length": str(made.size)}
        return Download(made.pieces, name=made.name, kind=case_file.MEDIA_TYPE, **length)

    return routes
