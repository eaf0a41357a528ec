"""Figures: how much there was of what in a period, as charts, tables and files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query
from markupsafe import Markup
from sqlalchemy import Connection
from starlette.responses import Response

from enforcement_api.console import charts
from enforcement_api.console.charts import Bar, Column, Series
from enforcement_api.console.showing import Showing
from enforcement_api.console.web import ROOT, NoSuchPage, Visitor, Web, address
from enforcement_api.figures import exports, store
from enforcement_api.figures.core import (
    DAYS,
    DIMENSIONS,
    OTHER,
    PARTS,
    DayCatchUps,
    DayChecks,
    DayTally,
    Dimension,
    Line,
    Period,
    Tally,
    Visited,
    local,
    total,
)
from enforcement_api.figures.exports import Rows
from enforcement_api.infractions.lifecycle import VOID_REASONS
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.shapes import day
from enforcement_api.spreadsheets import CSV_TYPE
from sync.validity import VERDICTS

T = TypeVar("T")
_From = Annotated[str, Query(alias="from", max_length=20)]
_Choice = Annotated[str, Query(max_length=20)]

_A_WEEK = 7
_IN_TIME = 3
"""Bands that are told together: within 5 minutes."""
_MOST_BARS = 15
"""The table beneath has more of them."""
MOST_ROWS = 100
"""Of a table on the page; its file has all of them."""
_LENGTHS = {
    7: N_("7 days"),
    DAYS: N_("4 weeks"),
    84: N_("12 weeks"),
    365: N_("12 months"),
}
"""Periods that are one click away."""

_BY: Mapping[Dimension, str] = {
    "zone": N_("Zone"),
    "lot": N_("Lot"),
    "code": N_("Code"),
    "patroller": N_("Patroller"),
}
_TITLES: Mapping[Dimension, str] = {
    "zone": N_("Infractions by zone"),
    "lot": N_("Infractions by lot"),
    "code": N_("Infractions by code"),
    "patroller": N_("Infractions by patroller"),
}
_REASONS = {**VOID_REASONS, OTHER: N_("another reason")}
_BANDS = (
    N_("10 s or less"),
    N_("1 min or less"),
    N_("5 min or less"),
    N_("1 h or less"),
    N_("24 h or less"),
    N_("later"),
)
_PARTS = dict(
    zip(PARTS, (N_("0 to 6"), N_("6 to 12"), N_("12 to 18"), N_("18 to 24")), strict=True)
)
_OUTCOMES = {
    "notices": Series(N_("Notices")),
    "warnings": Series(N_("Warnings"), "second", "stripes"),
    "no_issues": Series(N_("Nothing issued"), "muted", "dots"),
}
_VERDICTS = {
    ("valid",): Series(N_("Valid"), "good"),
    ("wrong_zone", "pending_activation", "not_started"): Series(
        N_("Another zone, or not yet"), "wait", "stripes"
    ),
    ("suspended", "expired", "cancelled"): Series(
        N_("Suspended, expired or cancelled"), "bad", "lines"
    ),
    ("unknown",): Series(N_("Unknown"), "bad"),
    ("",): Series(N_("No verdict told"), "muted", "dots"),
}
"""Verdicts that a chart has together; the table has each."""


@dataclass(frozen=True, slots=True)
class _Figures:
    """All that a page tells of a period."""

    period: Period
    days: list[DayTally]
    before: Tally
    dimension: Dimension
    lines: list[Line]
    checks: list[DayChecks]
    zones: list[Visited]
    lots: list[Visited]
    catch_ups: list[DayCatchUps]

    @classmethod
    def read(cls, tx: Connection, site: str, period: Period, dimension: Dimension) -> _Figures:
        """As they are counted now."""
        return cls(
            period,
            store.by_day(tx, site, period),
            store.whole(tx, site, period.before),
            dimension,
            store.by(tx, site, dimension, period),
            store.checks(tx, site, period),
            store.visited(tx, site, "zone", period),
            store.visited(tx, site, "lot", period),
            store.catch_ups(tx, site, period),
        )

    @property
    def total(self) -> Tally:
        """All infractions of the period."""
        return total(one.tally for one in self.days)

    def rows(self, language: str) -> dict[str, Rows]:
        """Each figure as a spreadsheet has it, by its name."""
        return {
            "days": exports.of_days(self.days),
            self.dimension: exports.of_lines(self.dimension, self.lines, language),
            f"{self.dimension}-voided": exports.of_reasons(self.dimension, self.lines, language),
            "checks": exports.of_checks(self.checks),
            "places": exports.of_visits([*self.zones, *self.lots], language),
            "handhelds": exports.of_catch_ups(self.catch_ups),
        }


def router(web: Web) -> APIRouter:
    """The pages of figures, their JSON twin, and a file of each."""
    routes = APIRouter(prefix=f"{ROOT}/sites/{{site}}", include_in_schema=False)
    visiting = Depends(web.visitor)

    def period_of(visitor: Visitor, begins: str, ends: str) -> Period:
        """Raises Invalid."""
        today = local(web.at(), visitor.at_site.time_zone).date()
        last = _day(ends, "/query/to") or today
        first = _day(begins, "/query/from")
        return Period.until(last) if first is None else Period(first, last)

    def read(visitor: Visitor, period: Period, dimension: Dimension) -> _Figures:
        site = visitor.at_site.id
        return web.record.read(lambda tx: _Figures.read(tx, site, period, dimension))

    @routes.get("/figures")
    def figures(
        visitor: Visitor = visiting, begins: _From = "", to: _Choice = "", by: _Choice = "zone"
    ) -> Response:
        errors: list[str] = []
        try:
            period = period_of(visitor, begins, to)
        except Invalid as problem:
            errors = [error.text(visitor.language) for error in problem.errors]
            period = period_of(visitor, "", "")
        found = read(visitor, period, _dimension(by))
        show = Showing(visitor.language, visitor.at_site.time_zone, at=web.at())
        return web.page(
            "figures.html",
            visitor,
            status=422 if errors else 200,
            errors=errors,
            **_page(found, show, visitor.at_site.id, today=local(web.at(), show.time_zone).date()),
        )

    @routes.get("/figures.json")
    def twin(
        visitor: Visitor = visiting, begins: _From = "", to: _Choice = "", by: _Choice = "zone"
    ) -> Response:
        found = read(visitor, period_of(visitor, begins, to), _dimension(by))
        rows = {name: rows.as_json() for name, rows in found.rows(visitor.language).items()}
        period = {"from": found.period.first.isoformat(), "to": found.period.last.isoformat()}
        return web.twin(visitor, {"site": visitor.at_site.id, **period, **rows})

    @routes.get("/figures/{name}.csv")
    def file(
        name: str,
        visitor: Visitor = visiting,
        begins: _From = "",
        to: _Choice = "",
        excel: bool = False,
    ) -> Response:
        dimension = _dimension(name.removesuffix("-voided"))
        found = read(visitor, period_of(visitor, begins, to), dimension)
        rows = found.rows(visitor.language).get(name)
        if rows is None:
            raise NoSuchPage
        called = f"{name}-{found.period.first}-{found.period.last}.csv"
        headers = {
            "Content-Disposition": f'attachment; filename="{called}"',
            "Cache-Control": "no-store",
        }
        return Response("".join(rows.as_csv(excel=excel)), headers=headers, media_type=CSV_TYPE)

    return routes


def _day(text: str, pointer: str) -> date | None:
    try:
        return day(text) if text else None
    except ValueError as error:
        raise Invalid(errors=[Problem.Error(pointer, str(error))]) from error


def _dimension(text: str) -> Dimension:
    """One of them; the first if it is none."""
    return next((each for each in DIMENSIONS if each == text), DIMENSIONS[0])


# What a page shows


def _page(found: _Figures, show: Showing, site: str, *, today: date) -> dict[str, Any]:
    """What the template is given."""
    period, whole = found.period, found.total
    names = [_span(span, show) for span in period.spans]
    tallies = [total(one.tally for one in days) for days in _of_spans(period, found.days)]
    checks = [
        sum((Counter(one.verdicts) for one in days), Counter[str]())
        for days in _of_spans(period, found.checks)
    ]
    bands = [_bands(days) for days in _of_spans(period, found.catch_ups)]
    all_bands = _bands(found.catch_ups)

    asked: dict[str, object] = {
        "from_": period.first,
        "to": period.last,
        "by": found.dimension,
    }

    def here(**other: object) -> str:
        return address("sites", site, "figures", **asked | other)

    def file_of(name: str) -> str:
        return address("sites", site, "figures", f"{name}.csv", from_=period.first, to=period.last)

    lengths = {words: Period.until(today, days=days) for days, words in _LENGTHS.items()}
    return {
        "period": period,
        "whole": whole,
        "before": found.before,
        "change": _change(show, whole.total, found.before.total),
        "by": found.dimension,
        "by_name": _BY[found.dimension],
        "choices": [(each, words, here(by=each)) for each, words in _BY.items()],
        "lengths": [
            (words, here(from_=each.first, to=each.last), each == period)
            for words, each in lengths.items()
        ],
        "earlier": here(from_=period.before.first, to=period.before.last),
        "file_of": file_of,
        "twin": address("sites", site, "figures.json", **asked),
        "tallies": list(zip([whole for whole, _ in names], tallies, strict=True)),
        "verdicts": (*VERDICTS, ""),
        "checks": list(zip([whole for whole, _ in names], checks, strict=True)),
        "all_checks": sum(one.total for one in found.checks),
        "band_names": _BANDS,
        "bands": list(zip([whole for whole, _ in names], bands, strict=True)),
        "all_bands": sum(all_bands),
        "in_time": sum(all_bands[:_IN_TIME]),
        "lines": [
            (
                _name(line, show, found.dimension),
                line,
                _change(show, line.tally.total, line.before.total),
            )
            for line in found.lines
        ],
        "most_rows": MOST_ROWS,
        "reasons_of": _reasons_of,
        "colon": show.colon,
        "kinds": [(N_("Zones"), found.zones), (N_("Lots"), found.lots)],
        "parts": _PARTS,
        "charts": {
            "days": _days_chart(show, period, names, tallies),
            "lines": _lines_chart(show, found),
            "reasons": _reasons_chart(show, whole),
            "checks": _checks_chart(show, period, names, checks),
            "handhelds": _handhelds_chart(show, all_bands),
        },
    }


def _of_spans(period: Period, days: Sequence[T]) -> Iterator[Sequence[T]]:
    """What is told of each day, by the parts of the period."""
    for span in period.spans:
        begins = (span.first - period.first).days
        yield days[begins : begins + len(span)]


def _span(span: Period, show: Showing) -> tuple[str, str]:
    """What a part of a period is called, and what stands under an axis."""
    if len(span) == 1:
        return show.weekday(span.first), show.short_day(span.first)
    name = f"{show.short_day(span.first)} – {show.day(span.last)}"
    return name, show.month(span.first) if len(span) > _A_WEEK else show.short_day(span.first)


def _bands(days: Sequence[DayCatchUps]) -> list[int]:
    return [sum(band) for band in zip(*(one.bands for one in days), strict=True)]


def _name(line: Line, show: Showing, dimension: Dimension) -> str:
    """A zone, lot or code by its code and name; a patroller by name."""
    if not line.value:
        return show.text(N_("none told"))
    name = "" if line.name is None else show.localized(line.name)
    if name in ("", line.value):
        return line.value
    return name if dimension == "patroller" else f"{line.value} – {name}"


def _change(show: Showing, now: int, before: int) -> str:
    """Such as +12 %; empty where there was nothing before."""
    if not before:
        return ""
    share = show.share(now - before, before)
    return f"+{share}" if now > before else share.replace("-", "\N{MINUS SIGN}")


def _reasons_of(tally: Tally) -> list[tuple[str, int]]:
    """Why what is voided is, in words to translate; the most frequent first."""
    known = [(_REASONS.get(reason, reason), n) for reason, n in tally.reasons.items()]
    return sorted(known, key=lambda pair: (-pair[1], pair[0]))


# Charts


def _said(show: Showing, description: str) -> dict[str, str]:
    empty = show.text(N_("Nothing in this period."))
    return {"description": description, "language": show.language, "empty": empty}


def _in(show: Showing, series: Sequence[Series]) -> list[Series]:
    return [replace(one, name=show.text(one.name)) for one in series]


def _days_chart(
    show: Showing, period: Period, names: Sequence[tuple[str, str]], tallies: Sequence[Tally]
) -> Markup:
    shown = [
        Column(name, tick, [getattr(tally, field) for field in _OUTCOMES])
        for (name, tick), tally in zip(names, tallies, strict=True)
    ]
    return charts.columns(
        "days",
        show.text(N_("Infractions over time")),
        _in(show, list(_OUTCOMES.values())),
        shown,
        **_said(show, _most(show, period, shown)),
    )


def _checks_chart(
    show: Showing,
    period: Period,
    names: Sequence[tuple[str, str]],
    checks: Sequence[Mapping[str, int]],
) -> Markup:
    shown = [
        Column(name, tick, [sum(here.get(each, 0) for each in group) for group in _VERDICTS])
        for (name, tick), here in zip(names, checks, strict=True)
    ]
    return charts.columns(
        "checks",
        show.text(N_("Checks over time")),
        _in(show, list(_VERDICTS.values())),
        shown,
        **_said(show, _most(show, period, shown)),
    )


def _most(show: Showing, period: Period, shown: Sequence[Column]) -> str:
    """What there is to see of columns, in a sentence."""
    highest = max(shown, key=lambda column: sum(column.values))
    return show.text(
        N_("{first} to {last}: {total} in all; the most, {most}: {when}"),
        first=show.day(period.first),
        last=show.day(period.last),
        total=show.number(sum(sum(column.values) for column in shown)),
        most=show.number(sum(highest.values)),
        when=highest.label,
    )


def _first(show: Showing, shown: Sequence[Bar]) -> str:
    """What there is to see of bars, in a sentence."""
    told = [f"{bar.label} ({show.number(sum(bar.values))})" for bar in shown[:3]]
    return show.text(N_("The most first: {names}"), names=", ".join(told))


def _lines_chart(show: Showing, found: _Figures) -> Markup:
    shown = [
        Bar(
            _name(line, show, found.dimension),
            [getattr(line.tally, field) for field in _OUTCOMES],
            before=line.before.total,
        )
        for line in found.lines[:_MOST_BARS]
    ]
    return charts.bars(
        "lines",
        show.text(_TITLES[found.dimension]),
        _in(show, list(_OUTCOMES.values())),
        shown,
        before=show.text(N_("The period before")),
        **_said(show, _first(show, shown)),
    )


def _reasons_chart(show: Showing, whole: Tally) -> Markup:
    shown = [Bar(show.text(words), [n]) for words, n in _reasons_of(whole)]
    title = show.text(N_("Why infractions were voided"))
    series = [Series(show.text(N_("Voided ones")))]
    return charts.bars("reasons", title, series, shown, **_said(show, _first(show, shown)))


def _handhelds_chart(show: Showing, bands: Sequence[int]) -> Markup:
    shown = [Bar(show.text(words), [n]) for words, n in zip(_BANDS, bands, strict=True)]
    title = show.text(N_("Age of changes when handhelds were given them"))
    series = [Series(show.text(N_("Updates of handhelds")))]
    told = ", ".join(f"{bar.label}{show.colon}{bar.values[0]}" for bar in shown)
    return charts.bars("handhelds", title, series, shown, **_said(show, told))
