"""Every page of the console on a record of three years: CPU, against what a page may cost.

    with signed_in(settings) as (app, get):
        for asked in pages(app, record, plates):
            assert get(asked).status_code == 200

The list of pages is also what a test has SQLite explain.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import Connection, select

from benchmarks import searching
from benchmarks.console_site import CODES, DEVICES, LOTS, NOW, PATROLLERS, SITE, ZONES
from benchmarks.measuring import Line
from enforcement_api.app import create_app
from enforcement_api.console.log_filters import Query
from enforcement_api.console.review_pages import OTHERS
from enforcement_api.console.web import COOKIE, ROOT
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import accounts, infractions, requests, subscriptions
from enforcement_api.feed import store as feed
from enforcement_api.figures.core import DIMENSIONS, MOST_DAYS
from enforcement_api.infractions import queue
from enforcement_api.infractions.attention import REASONS, REST
from enforcement_api.infractions.core import ORDERS, Place
from enforcement_api.infractions.queue import QueuePlace
from enforcement_api.settings import Settings
from enforcement_api.shapes import page_cursor
from enforcement_api.staff import store as staff
from enforcement_api.subscriptions.core import KINDS, REQUEST_STATES

LIMIT_MS = searching.LIMIT_MS
HERE = f"{ROOT}/sites/{SITE}"
EXEMPT: Mapping[str, str] = {
    "/console/static/{name:path}": "a file of the program; the record is not asked",
    "/console/sign-in": "nobody is signed in",
    "/console/password/{secret}": "nobody is signed in; a link is found by its hash",
    "/console/sites/{site}/photos/{sha256}": "a file, one row of its name",
    "/console/sites/{site}/requests/files/{id}": "a file, one row of its id",
    "/console/sites/{site}/requests/subscriptions/{id}/contracts/{position}": "a PDF to be saved",
    "/console/sites/{site}/settings/lots.geojson": "a file to be saved: all lots",
    "/console/sites/{site}/infractions/export.csv": "a stream: see console_export.py",
    "/console/sites/{site}/infractions/export.geojson": "a stream: see console_export.py",
    "/console/sites/{site}/infractions/exports/{id}": "how far an export is stands in memory",
    "/console/sites/{site}/infractions/{id}/case-file.pdf": "a PDF to be saved",
}
"""Routes whose pages are not measured, and why."""

_DEEP = NOW - timedelta(days=500)
_NOBODY = "00000000-0000-7000-8000-000000000000"
_NAMES = {
    "zones": "zone",
    "lots": "lot",
    "plates": "plate",
    "looks_like": "plate",
    "numbers": "number",
    "patrollers": "patroller",
    "devices": "device",
    "codes": "code",
    "states": "state",
    "outcomes": "outcome",
    "reasons": "reason",
    "differs": "differs",
    "begins": "from",
    "ends": "to",
    "words": "q",
}
"""What the log's filters are called in an address."""


# Which pages there are


def routes(app: FastAPI) -> list[str]:
    """The paths that the console answers, in the order in which they are tried."""
    return [
        found.path
        for found in iter_route_contexts(app.routes)
        if found.path.startswith(ROOT) and "GET" in (found.methods or ())
    ]


def route_of(app: FastAPI, asked: str) -> str | None:
    """The one that answers an address; None: none does."""
    path = asked.partition("?")[0]
    for found in iter_route_contexts(app.routes):
        if "GET" in (found.methods or ()) and found.path_regex and found.path_regex.match(path):
            return found.path
    return None


def pages(app: FastAPI, record: Record, plates: Sequence[str]) -> list[str]:
    """Addresses of a record that console_record.py filled, each with what it has most to do for,
    and the JSON twin of each that has one.
    """
    known = set(routes(app))
    found = record.read(lambda tx: _Found(tx, plates))
    listed: list[str] = []
    for some in (_review, _log, _figures, _live, _plates, _requests, _settings, _staff):
        if some is _log and f"{ROOT}/sites/{{site}}/infractions" not in known:
            continue
        for address in some(found):
            listed.append(address)
            path, _, query = address.partition("?")
            if f"{route_of(app, address)}.json" in known:
                listed.append(f"{path}.json" + (f"?{query}" if query else ""))
    return listed


class _Found:
    """What addresses name of the record."""

    def __init__(self, tx: Connection, plates: Sequence[str]) -> None:
        self.plates = plates
        here = infractions.c.site == SITE

        def one(*where: Any) -> str:
            by = infractions.c.received_at.desc()
            query = select(infractions.c.id).where(here, *where).order_by(by).limit(1)
            return str(tx.execute(query).scalar_one())

        c = infractions.c
        self.waiting = queue.waiting(tx, SITE, limit=1)[0].id
        self.asked_about = one(c.state == "information_requested")
        self.of_busy_plate = one(c.plate == plates[0])
        self.decided = one(c.state == "voided")
        self.requests = [
            str(id)
            for kind in KINDS
            for id in tx.execute(
                select(requests.c.id)
                .where(requests.c.kind == kind, requests.c.state == "submitted")
                .limit(1)
            ).scalars()
        ]
        s = subscriptions.c
        approved = select(s.id, s.number).where(s.decision == "approved").limit(1)
        self.subscription, self.number = tx.execute(approved).one()
        self.account = str(tx.execute(select(accounts.c.id).limit(1)).scalar_one())
        self.sequence = feed.level(tx, SITE).sequence


def _to(path: str = "", **query: object) -> str:
    """An address at the site; `from_` stands for `from`."""
    pairs = urlencode({name.rstrip("_"): value for name, value in query.items()})
    return f"{HERE}{path}" + (f"?{pairs}" if pairs else "")


def _review(found: _Found) -> Iterator[str]:
    yield f"{ROOT}"
    for part in ("", *REASONS, OTHERS):
        yield _to("/review", part=part)
    yield _to("/review", done=found.decided)
    for rank in (2, REST):
        after = QueuePlace(rank, NOW - timedelta(hours=40), found.waiting)
        part = OTHERS if rank == REST else ""
        yield _to("/review", part=part, after=after)
    for id in (found.waiting, found.asked_about, found.of_busy_plate, found.decided):
        yield _to(f"/infractions/{id}")
        yield _to(f"/infractions/{id}", part=OTHERS, done=found.waiting)
    yield _to(f"/infractions/{found.waiting}.json")


def _log(found: _Found) -> Iterator[str]:
    for filters in searching.selections(found.plates).values():
        for order in ORDERS[:2]:
            yield _to_log("", filters, sort=order)
        yield _to_log("/facets", filters)
    for order in ORDERS:
        after = Place(order, _DEEP, _NOBODY)
        for filters in ({}, {"words": "girafe"}, {"zones": ZONES[:3]}, {"codes": CODES[3:6]}):
            yield _to_log("", filters, sort=order, after=after)
    yield _to_log("", {"lots": LOTS, "patrollers": PATROLLERS, "devices": DEVICES[:50]}, facets=1)


def _to_log(path: str, filters: Mapping[str, Any], **more: object) -> str:
    pairs: list[tuple[str, object]] = []
    for name, values in filters.items():
        listed = values if isinstance(values, tuple | list) else (values,)
        pairs += [(_NAMES[name], _typed(value)) for value in listed]
    if "looks_like" in filters:
        pairs.append(("alike", "true"))
    # In its one form: from another one the page leads there, and costs nothing itself.
    query = Query.of((name, str(value)) for name, value in [*pairs, *more.items()])
    return f"{HERE}/infractions{path}?{query}" if query.pairs else f"{HERE}/infractions{path}"


def _typed(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return value.date().isoformat() if isinstance(value, datetime) else value


def _figures(found: _Found) -> Iterator[str]:
    last = NOW.date()
    longest = last - timedelta(days=MOST_DAYS - 1)
    yield _to("/figures")
    for by in DIMENSIONS:
        yield _to("/figures", from_=longest, to=last, by=by)
        for name in (by, f"{by}-voided"):
            yield _to(f"/figures/{name}.csv", from_=longest, to=last)
    for name in ("days", "checks", "places", "handhelds"):
        yield _to(f"/figures/{name}.csv", from_=longest, to=last, excel=True)


def _live(found: _Found) -> Iterator[str]:
    device = DEVICES[0]
    yield from map(_to, ("/live", "/live/part", "/live/devices/new"))
    yield from map(_to, (f"/live/devices/{device}", f"/live/devices/{device}/revoke"))
    since = (NOW - timedelta(minutes=5)).isoformat().replace("+00:00", "Z")
    yield _to(f"/live/devices/{device}/enrolled", since=since, until=since)
    yield _to("/live/messages")
    yield _to("/live/messages", after=page_cursor(_seconds(NOW - timedelta(days=30)), _NOBODY))
    yield _to("/live/hotlist")
    yield _to("/live/hotlist", find=found.plates[7][:2])
    yield _to("/live/hotlist/h7")
    yield _to("/live/patrollers")
    yield _to(f"/live/patrollers/p{PATROLLERS[0]}")


def _plates(found: _Found) -> Iterator[str]:
    yield _to("/plates")
    yield _to("/plates/feed")
    yield _to("/plates/feed", count=True)
    yield _to("/plates/courtesy")
    yield _to("/plates/courtesy", after=page_cursor(_seconds(NOW - timedelta(days=9)), _NOBODY))
    yield _to("/plates/courtesy/new", plate=found.plates[3])
    for plate in (found.plates[0], found.plates[2], found.plates[-2], "QQ999"):
        yield _to(f"/plates/CA-QC/{plate}", for_="review")
    known = {"at": "2025-11-23 10:00", "known": found.sequence // 2, "zone": ZONES[-1]}
    yield _to(f"/plates/CA-QC/{found.plates[0]}", for_="review", **known)


def _requests(found: _Found) -> Iterator[str]:
    for kind in ("all", *KINDS):
        for state in ("all", *REQUEST_STATES):
            yield _to("/requests", kind=kind, state=state)
    deep = page_cursor(_seconds(NOW - timedelta(days=90)), _NOBODY)
    for state in ("all", "approved", "submitted"):
        yield _to("/requests", state=state, after=deep)
    for id in found.requests:
        yield _to(f"/requests/{id}")
    for sought in ("", found.number, found.plates[-2], "Tremblay-7", "girafe"):
        yield _to("/requests/subscriptions", q=sought)
    yield _to(f"/requests/subscriptions/{found.subscription}")


def _settings(found: _Found) -> Iterator[str]:
    yield f"{ROOT}/sites/new"
    for name in ("", "/site", "/zone", "/times", "/patrols", "/lots", "/codes", "/texts"):
        yield _to(f"/settings{name}")
    yield _to("/settings/zone", code=ZONES[0])
    yield _to("/settings/lots", zone=ZONES[0])
    yield _to("/settings/lot", code=LOTS[0])
    yield _to("/settings/code", code=CODES[0])


def _staff(found: _Found) -> Iterator[str]:
    yield from (f"{ROOT}/account", f"{ROOT}/staff", f"{ROOT}/staff/{found.account}")
    for query in (
        {"chain": ""},
        {"chain": SITE},
        {"chain": SITE, "before": 100},
        {"chain": SITE, "before": found.sequence // 4},
        {"chain": SITE, "subject": f"infraction:{found.waiting}"},
        {"chain": SITE, "subject": "infraction:none", "before": 1_000_000},
    ):
        yield f"{ROOT}/audit?{urlencode(query)}"


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


# Asking for them


Get = Callable[[str], httpx.Response]


def entered(tx: Connection, *, email: str, at: datetime) -> str:
    """The cookie of somebody new, who is signed in and may see everything."""
    account, _ = staff.create(tx, email=email, role="administrator", sees_subscribers=True, at=at)
    lasts = timedelta(hours=12)
    opened = {"address": "192.0.2.7", "browser": "a benchmark"}
    return staff.open_session(tx, account, at=at, lasts=lasts, **opened)[1]


@contextlib.contextmanager
def signed_in(settings: Settings) -> Iterator[tuple[FastAPI, Get]]:
    """The application in this process, and somebody who is signed in and may see everything."""
    app = create_app(settings, now=lambda: NOW)
    parts = app.state.service
    cookie = parts.record.write(lambda tx: entered(tx, email="anne@example.org", at=NOW))
    with asyncio.Runner() as runner:
        life = app.router.lifespan_context(app)
        runner.run(life.__aenter__())
        client = httpx.AsyncClient(
            base_url="http://localhost",
            transport=httpx.ASGITransport(app),
            cookies={COOKIE: cookie},
            headers={"Accept": "text/html", "Accept-Language": "fr"},
        )
        try:
            yield app, lambda asked: runner.run(client.get(asked))
        finally:
            runner.run(client.aclose())
            runner.run(life.__aexit__(None, None, None))


def measure(settings: Settings, plates: Sequence[str], *, repetitions: int) -> Iterator[Line]:
    """The worst of each section's pages, on a record that `fill` made."""
    with signed_in(settings) as (app, get):
        listed = pages(app, app.state.service.record, plates)
        for section, asked in by_section(app, listed).items():
            least = {each: _least(get, each) for each in asked}
            worst = max(least, key=least.__getitem__)
            costs = [_cost(get, worst) for _ in range(repetitions)]
            yield Line(
                name=f"pages: {section}",
                ours=f"the worst of {len(asked)} pages: {worst}",
                limit=f"what a page may cost the service: {LIMIT_MS} ms",
                unit="ms",
                goal=1.0,
                ratios=[cost / LIMIT_MS for cost in costs],
                our_cost=statistics.median(costs),
                limit_cost=LIMIT_MS,
            )


def by_section(app: FastAPI, asked: Iterable[str]) -> dict[str, list[str]]:
    """The addresses by what they are about."""
    of_site = f"{ROOT}/sites/{{site}}/"
    found: dict[str, list[str]] = {}
    for address in asked:
        route = route_of(app, address)
        assert route is not None, address
        section = "accounts"
        if route.startswith(of_site):
            section = route.removeprefix(of_site).partition("/")[0].partition(".")[0]
        found.setdefault(section, []).append(address)
    return found


def _least(get: Get, asked: str) -> float:
    """What it costs at the least, once it is known."""
    answer = get(asked)
    assert answer.status_code == (303 if asked == ROOT else 200), f"{answer.status_code}: {asked}"
    return min(_cost(get, asked) for _ in range(2))


def _cost(get: Get, asked: str) -> float:
    """CPU milliseconds. What the collector does meanwhile is part of them."""
    started = time.process_time()
    get(asked)
    return 1000 * (time.process_time() - started)
