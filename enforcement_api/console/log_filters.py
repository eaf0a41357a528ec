"""What somebody wants of a site's log, as an address says it: filters, columns, order, place.

An address has one form: names in the order of NAMES, values sorted, each once, nothing empty and
nothing that goes without saying. So a bookmark is a saved search, and a link changes one thing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection

from enforcement_api.console.showing import Showing
from enforcement_api.devices import store as devices
from enforcement_api.infractions.attention import REASONS
from enforcement_api.infractions.core import ORDERS, STATES, Place, Selection
from enforcement_api.infractions.exports import COLUMNS
from enforcement_api.infractions.routes import LONGEST_WORDS, MOST_VALUES, OUTCOMES
from enforcement_api.permits.core import day_begins
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.shapes import NotAPageCursor, day, mended
from enforcement_api.sites import store as sites
from enforcement_api.sites.core import Patroller, SitePlan
from sync.plates import LONGEST, SHORTEST, normalise

LABELS: Mapping[str, str] = {
    "q": N_("Words"),
    "period": N_("Period"),
    "from": N_("From"),
    "to": N_("To and including"),
    "plate": N_("Plate"),
    "alike": N_("Look-alikes too"),
    "number": N_("Number"),
    "zone": N_("Zone"),
    "lot": N_("Lot"),
    "patroller": N_("Patroller"),
    "device": N_("Handheld"),
    "code": N_("Code"),
    "outcome": N_("Outcome"),
    "state": N_("State"),
    "differs": N_("Verdict known now"),
    "reason": N_("Why look"),
    "sort": N_("Order"),
    "columns": N_("Columns"),
    "after": N_("Place in the list"),
}
"""What is asked, by the name that it has in an address."""
NAMES = tuple(LABELS)
CHOSEN = ("zone", "lot", "patroller", "device", "code", "outcome", "state", "reason")
"""Filters whose values are chosen from a list; several let each of theirs through."""
_MANY = {*CHOSEN, "plate", "number"}
_SPLIT = {
    "plate": re.compile(r"[,;\n]"),
    "number": re.compile(r"[,;\n]"),
    "columns": re.compile(","),
}
"""Filters whose values may be typed into one field, and what stands between them."""
_FILTERS = tuple(name for name in NAMES if name not in ("sort", "columns", "after"))

PERIODS: Mapping[str, str] = {
    "today": N_("Today"),
    "7d": N_("Last 7 days"),
    "30d": N_("Last 30 days"),
    "year": N_("This year"),
}
"""Periods that a bookmark keeps up to date: in local dates of the observation."""
DIFFERS: Mapping[str, str] = {
    "true": N_("contradicts the handheld"),
    "false": N_("agrees, or is not known"),
}
SORTS: Mapping[str, str] = {
    "-received_at": N_("Last received first"),
    "received_at": N_("First received first"),
    "-observed_at": N_("Last observed first"),
    "observed_at": N_("First observed first"),
}
SHOWN = (
    "plate",
    "number",
    "codes",
    "outcome",
    "state",
    "zone",
    "lot",
    "patroller",
    "observed_at",
    "differs",
    "photos_missing",
)
"""The columns of the list, unless others are chosen."""
HEADINGS: Mapping[str, str] = {
    **{id: column.heading for id, column in COLUMNS.items()},
    "observed_at": N_("Observed"),
    "received_at": N_("Received"),
    "device_time": N_("By the handheld's clock"),
    "photos_missing": N_("Photos"),
    "differs": N_("Verdict"),
}
"""What columns are called on the page, where instants are those of the site."""
LONGEST_VALUE = 200

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Query:
    """The query of an address, in its one form."""

    pairs: Pairs

    @classmethod
    def of(cls, given: Iterable[tuple[str, str]]) -> Query:
        """Whatever was sent, in that form. What is not understood stays, to be told."""
        found: dict[str, list[str]] = {}
        for raw_name, raw in given:
            name = mended(raw_name)
            split = _SPLIT.get(name)
            parts = split.split(raw) if split else [raw]
            values = [value for part in parts if (value := mended(part).strip())]
            if name == "plate":
                values = [_plate(value) or value for value in values]
            if values:
                found.setdefault(name, []).extend(values)
        if "from" in found or "to" in found:
            found.pop("period", None)
        if "plate" not in found:
            found.pop("alike", None)
        for name, usual in (("sort", ORDERS[1]), ("alike", "false"), ("columns", ",".join(SHOWN))):
            if name in found and ",".join(found[name]) == usual:
                del found[name]
        pairs: list[tuple[str, str]] = []
        for name in (*NAMES, *sorted(found.keys() - set(NAMES))):
            values = found.get(name, [])
            if name == "columns":
                values = [",".join(dict.fromkeys(values))] if values else []
            elif name in _MANY or name not in NAMES:
                values = sorted(set(values))
            pairs += [(name, value) for value in values[: None if name in _MANY else 1]]
        return cls(tuple(pairs))

    def __str__(self) -> str:
        return urlencode(self.pairs)

    def values(self, name: str) -> list[str]:
        """The values of a name."""
        return [value for each, value in self.pairs if each == name]

    def value(self, name: str) -> str:
        """The value of a name that has one; empty if it has none."""
        return next(iter(self.values(name)), "")

    def put(self, **changed: str | Sequence[str] | None) -> Query:
        """The same with other values (`from_` stands for `from`), from the beginning."""
        new = {name.rstrip("_"): value for name, value in changed.items()}
        kept = [pair for pair in self.pairs if pair[0] not in new and pair[0] != "after"]
        for name, values in new.items():
            listed = [values] if isinstance(values, str) else values or ()
            kept += [(name, value) for value in listed]
        return Query.of(kept)

    def pressed(self, what: str, known: Known) -> Query:
        """The same with a value more, or without it where it has it, from the beginning.

        `what`: a filter and a value, `lot:P3`; that of anything else changes nothing.
        """
        name, _, value = what.partition(":")
        if name not in _FILTERS:
            return self.whole
        had = self.values(name)
        others = [each for each in had if known.same(name, each) != known.same(name, value)]
        if len(others) < len(had):
            return self.put(**{name: others})
        return self.put(**{name: [*others, value] if name in _MANY else value})

    @property
    def whole(self) -> Query:
        """The same from the beginning."""
        return self.put()

    @property
    def bare(self) -> Query:
        """The order and the columns alone."""
        return Query(tuple(pair for pair in self.pairs if pair[0] in ("sort", "columns")))

    @property
    def is_filtered(self) -> bool:
        """Whether it lets anything through rather than everything."""
        return any(name in _FILTERS for name, _ in self.pairs)

    @property
    def filters(self) -> dict[str, list[str]]:
        """What it filters by, as it is noted."""
        return {name: values for name in _FILTERS if (values := self.values(name))}


def _plate(text: str) -> str | None:
    plate = normalise(text[: LONGEST_VALUE + 1])
    return plate if SHORTEST <= len(plate) <= LONGEST else None


@dataclass(frozen=True)
class Known:
    """What a site's log may be filtered by, with the names of it all."""

    plan: SitePlan
    patrollers: Sequence[Patroller]
    devices: Mapping[str, str]
    """Names by id."""
    today: date

    @classmethod
    def read(cls, tx: Connection, site: str, *, today: date) -> Known:
        """As it is now."""
        found = devices.page(tx, among=[site], after=None, limit=None)
        return cls(
            sites.plan(tx, site),
            sites.all_patrollers(tx, site),
            {one.id: one.name for one in found},
            today,
        )

    @cached_property
    def _by_name(self) -> dict[str, Patroller]:
        by_badge = {one.badge: one for one in self.patrollers}
        return by_badge | {one.id: one for one in self.patrollers}

    def patroller(self, named: str) -> Patroller | None:
        """Who is named so by an infraction: by id, or else by badge."""
        return self._by_name.get(named)

    def patroller_name(self, named: str) -> str:
        """What they are called; as they were named, if nobody knows them."""
        found = self.patroller(named)
        return found.name if found else named

    def same(self, name: str, value: str) -> str:
        """One value for whatever means the same: a patroller's id for the badge."""
        found = self.patroller(value) if name == "patroller" else None
        return found.id if found else value

    def options(self, name: str, show: Showing) -> dict[str, str]:
        """The values that a filter may have, in words."""
        return dict(self._options[name](show))

    @cached_property
    def _options(self) -> dict[str, Callable[[Showing], Iterator[tuple[str, str]]]]:
        plan = self.plan

        def named(code: str, name: object, show: Showing) -> tuple[str, str]:
            told = show.localized(name)
            return code, code if told in ("", code) else f"{code} – {told}"

        return {
            "zone": lambda show: (named(one.id, one.name, show) for one in plan.zones),
            "lot": lambda show: (named(one.id, one.name, show) for one in plan.lots),
            "code": lambda show: (named(one.id, one.title, show) for one in plan.codes),
            "patroller": lambda show: ((one.id, one.name) for one in self.patrollers),
            "device": lambda show: iter(
                sorted(self.devices.items(), key=lambda one: (one[1].casefold(), one[0]))
            ),
            "outcome": lambda show: (
                (each, show.outcome(each, plan.site.instrument)) for each in OUTCOMES
            ),
            "state": lambda show: ((each, show.state(each)) for each in STATES),
            "reason": lambda show: ((each, show.attention(each)) for each in REASONS),
        }

    def word(self, name: str, value: str, show: Showing) -> str | None:
        """A value in words; None: the site knows no such thing."""
        words = {"period": PERIODS, "differs": DIFFERS, "sort": SORTS}
        if name in CHOSEN:
            return self.options(name, show).get(self.same(name, value))
        if name in words:
            return show.text(words[name][value]) if value in words[name] else None
        if name in ("from", "to"):
            try:
                return show.day(day(value))
            except ValueError:
                return None
        return value


@dataclass(frozen=True)
class Asked:
    """What an address asks for, as far as it is understood, and what is wrong with the rest."""

    query: Query
    selection: Selection
    columns: tuple[str, ...]
    after: Place | None
    errors: tuple[Problem.Error, ...]

    def check(self) -> None:
        """Raises Invalid: a part of it is not understood."""
        if self.errors:
            raise Invalid(errors=self.errors)


def read(query: Query, known: Known) -> Asked:
    """What a query asks of the log of a site."""
    return _Reading(query, known).asked()


class _Reading:
    def __init__(self, query: Query, known: Known) -> None:
        self._query = query
        self._known = known
        self._errors: list[Problem.Error] = []

    def asked(self) -> Asked:
        query = self._query
        for name in dict.fromkeys(name for name, _ in query.pairs if name not in NAMES):
            self._wrong(name[:LONGEST_VALUE], N_("is nothing that the log is asked for"))
        order = next((each for each in ORDERS if each == (query.value("sort") or ORDERS[1])), None)
        if order is None:
            self._wrong("sort", N_("must be one of: {allowed}"), allowed=", ".join(ORDERS))
            order = ORDERS[1]
        plates = self._plates()
        is_alike = self._truth("alike") is True
        begins, ends = self._period()
        words = query.value("q")
        if len(words) > LONGEST_WORDS:
            self._wrong("q", N_("is too long"))
            words = ""
        selection = Selection(
            sites=(self._known.plan.site.id,),
            zones=self._values("zone"),
            lots=self._values("lot"),
            plates=() if is_alike else plates,
            looks_like=plates if is_alike else (),
            numbers=self._values("number"),
            patrollers=self._patrollers(),
            devices=self._values("device"),
            codes=self._values("code"),
            states=self._values("state", STATES),
            outcomes=self._values("outcome", OUTCOMES),
            reasons=self._values("reason", REASONS),  # type: ignore[arg-type]  # some of these
            differs=self._truth("differs"),
            begins=begins,
            ends=ends,
            words=words or None,
            order=order,
        )
        after: Place | None = None
        try:
            if query.value("after"):
                after = Place.parse(query.value("after"), order=order)
        except NotAPageCursor:
            self._wrong("after", N_("is no place in this list: it is shown from its beginning"))
        return Asked(query, selection, self._columns(), after, tuple(self._errors))

    def _wrong(self, name: str, detail: str, **facts: object) -> None:
        self._errors.append(Problem.Error(f"/query/{name}", detail, **facts))

    def _values(self, name: str, allowed: Sequence[str] = ()) -> tuple[str, ...]:
        given = self._query.values(name)
        if len(given) > MOST_VALUES:
            self._wrong(name, N_("has too many items"))
            given = given[:MOST_VALUES]
        if any(len(value) > LONGEST_VALUE for value in given):
            self._wrong(name, N_("is too long"))
        if allowed and not set(given) <= set(allowed):
            self._wrong(name, N_("must be one of: {allowed}"), allowed=", ".join(allowed))
            return tuple(value for value in given if value in allowed)
        return tuple(value for value in given if len(value) <= LONGEST_VALUE)

    def _plates(self) -> tuple[str, ...]:
        given = self._values("plate")
        plates = [plate for value in given if (plate := _plate(value))]
        if len(plates) < len(given):
            self._wrong("plate", N_("is no plate: 2 to 8 letters and digits are needed"))
        return tuple(dict.fromkeys(plates))

    def _patrollers(self) -> tuple[str, ...]:
        """Each by whatever names an infraction may have for them."""
        named: list[str] = []
        for value in self._values("patroller"):
            who = self._known.patroller(value)
            named += [value] if who is None else [who.id, who.badge]
        return tuple(dict.fromkeys(named))

    def _truth(self, name: str) -> bool | None:
        value = self._query.value(name)
        if value not in ("", "true", "false"):
            self._wrong(name, N_("must be one of: {allowed}"), allowed="true, false")
        return {"true": True, "false": False}.get(value)

    def _day(self, name: str) -> date | None:
        value = self._query.value(name)
        try:
            return day(value) if value else None
        except ValueError as error:
            self._wrong(name, str(error))
            return None

    def _period(self) -> tuple[datetime | None, datetime | None]:
        today, time_zone = self._known.today, self._known.plan.site.time_zone
        first, last = self._day("from"), self._day("to")
        if first is not None and last is not None and last < first:
            self._wrong("to", N_("must not be before the first day"))
            last = None
        period = self._query.value("period")
        begins = {
            "today": today,
            "7d": today - timedelta(days=6),
            "30d": today - timedelta(days=29),
            "year": today.replace(month=1, day=1),
        }
        if period and period not in begins:
            allowed = ", ".join(PERIODS)
            self._wrong("period", N_("must be one of: {allowed}"), allowed=allowed)
        first = begins.get(period, first)
        return (
            None if first is None else day_begins(first, time_zone),
            None if last is None else day_begins(last + timedelta(days=1), time_zone),
        )

    def _columns(self) -> tuple[str, ...]:
        named = [each for each in self._query.value("columns").split(",") if each]
        if not set(named) <= set(COLUMNS):
            told = N_("must be columns, each once, of: {allowed}")
            self._wrong("columns", told, allowed=", ".join(COLUMNS))
        return tuple(each for each in named if each in COLUMNS) or SHOWN


def told(errors: Iterable[Problem.Error], show: Showing) -> list[str]:
    """What is wrong with what was asked, a sentence for each."""
    said = []
    for error in errors:
        name = error.pointer.rpartition("/")[2]
        label = show.text(LABELS[name]) if name in LABELS else name
        said.append(show.text(N_("{field}: {wrong}"), field=label, wrong=error.text(show.language)))
    return said


# What a page shows of it


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that holds; `press`: what takes it away."""

    label: str
    text: str
    is_known: bool
    press: str


def chips(query: Query, known: Known, show: Showing) -> list[Chip]:
    """What is filtered by, one value each."""
    found = []
    for name, value in query.pairs:
        if name not in _FILTERS or name == "alike":
            continue
        word = known.word(name, value, show)
        label = show.text(LABELS[name])
        if name == "plate" and query.value("alike") == "true":
            label = show.text(N_("Plate, or what looks alike"))
        found.append(Chip(label, word or value, word is not None, f"{name}:{value}"))
    return found


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A value that a search can be narrowed to, or that it has: a press adds or removes it."""

    text: str
    count: int | None
    """None: how many have it was not counted."""
    is_chosen: bool
    press: str | None
    """What asks for that (see Query.pressed); None: nothing is filtered by it."""


@dataclass(frozen=True, slots=True)
class Facet:
    """What a search's matches have of one kind, the commonest first."""

    name: str
    label: str
    values: Sequence[FacetValue]


def facets(
    counts: Mapping[str, Sequence[tuple[Any, int]]], query: Query, known: Known, show: Showing
) -> list[Facet]:
    """Facets of a search; where one is filtered by already, with what might be added."""
    found = []
    for name, counted in counts.items():
        if name == "differs":
            counted = [("true" if value else "false", n) for value, n in counted]
        here: dict[str | None, int | None] = {}
        for value, n in counted:
            same = None if value is None else known.same(name, value)
            here[same] = (here.get(same) or 0) + n
        chosen = {known.same(name, value) for value in query.values(name)}
        if name in CHOSEN:
            words = known.options(name, show)
        else:
            words = {value: show.text(word) for value, word in DIFFERS.items()}
        others = [*chosen, *(words if chosen else ())]
        here |= {value: None for value in others if value not in here}
        values = [
            FacetValue(show.text(N_("none told")), n, False, None)
            if value is None
            else FacetValue(words.get(value, value), n, value in chosen, f"{name}:{value}")
            for value, n in here.items()
        ]
        if values:
            found.append(Facet(name, show.text(LABELS[name]), values))
    return found
