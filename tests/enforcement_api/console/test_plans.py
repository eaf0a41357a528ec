"""How SQLite finds what each page of the console asks for, and what is asked when something is
received or decided: along an index, and no further than is needed. (Its planner goes by the indexes
that there are, not by how much is in the tables; so a small record tells of a large one.)
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from benchmarks import console_pages, console_record
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import metadata
from sync.codec import instant
from tests.enforcement_api.console.patrolling import Patrol
from tests.enforcement_api.console.visiting import Visiting, visiting
from tests.service import Service, picture, running

SMALL = {
    "accounts",
    "audit_heads",
    "categories",
    "codes",
    "counters",
    "devices",
    "earlier_epochs",
    "hotlist",
    "keys",
    "lots",
    "meta",
    "patrol_settings",
    "patrollers",
    "products",
    "sites",
    "zones",
}
"""Tables of what a site has some of: hundreds of rows, which years do not add to."""
GROWING = set(metadata.tables) - SMALL
_WINDOW = "a window of the log: so many entries and no more (infractions/search.py)"
BOUNDED = {
    "audit_log USING INDEX sqlite_autoindex_audit_log_1 (chain=?)": "a page, from the newest on",
    "courtesy_permits USING INDEX ix_courtesy_permits_granted (site=?)": (
        "those that live, by when they were granted: it passes those that have ended, some"
        " thousands in years"
    ),
    "holders USING INDEX ix_holders_name (site=?)": (
        "a part of a name, which no index knows: at the worst it passes all subscribers"
    ),
    "infractions USING COVERING INDEX ix_infractions_received (site=?)": _WINDOW,
    "infractions USING INDEX ix_infractions_received (site=?)": _WINDOW,
    "infractions USING INDEX ix_infractions_differs (site=?)": _WINDOW,
    "number_blocks USING INDEX sqlite_autoindex_number_blocks_1 (site=?)": (
        "a device's: one row of 50 notices"
    ),
    "patrol_messages USING INDEX ix_patrol_messages_at (site=?)": "a page, from the newest on",
    "permit_versions USING INDEX ix_permit_versions_number (site=?)": (
        "how many permits there are by status, on demand, once for each state of the feed"
    ),
    "permit_versions USING INDEX sqlite_autoindex_permit_versions_1 (site=?)": (
        "the sources of the newest 5,000"
    ),
    "requests USING INDEX ix_requests_submitted (site=?)": (
        "a page, from the oldest on; of one kind, it passes the others"
    ),
    "subscriptions USING INDEX ix_subscriptions_number (site=?)": (
        "those with a plate, by number: it passes all, each looked up in a list of few"
    ),
}
"""What reads along all that a site has in a table, and why it may: a LIMIT ends it, or there is
not much.
"""


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[Service, list[str]]]:
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as service:
        plates = console_record.fill(service.parts.record, infractions=400, photos=80)
        service.parts.follower.follow(console_record.SITE)
        yield service, plates


@pytest.fixture(scope="module")
def visitor(filled: tuple[Service, list[str]]) -> Visiting:
    service, _ = filled
    return visiting(service, "anne@example.org", role="administrator", sees_subscribers=True)


@pytest.fixture(scope="module")
def addresses(filled: tuple[Service, list[str]], visitor: Visiting) -> list[str]:
    service, plates = filled
    return console_pages.pages(service.bridge.transport.app, service.parts.record, plates)


def test_every_page_of_the_console_is_asked_for(
    filled: tuple[Service, list[str]], addresses: list[str]
) -> None:
    """One that is not, says why not (`console_pages.EXEMPT`)."""
    app = filled[0].bridge.transport.app
    asked = {console_pages.route_of(app, address) for address in addresses}
    assert set(console_pages.routes(app)) - asked - console_pages.EXEMPT.keys() == set()
    assert asked & console_pages.EXEMPT.keys() == set()


def test_no_page_of_the_console_goes_through_a_table_that_grows(
    filled: tuple[Service, list[str]], visitor: Visiting, addresses: list[str]
) -> None:
    def ask(address: str) -> None:
        answer = visitor.get(address)
        assert answer.status_code == 200 or address == "/console", f"{answer}: {address}"

    check(filled[0].parts.record, {address: partial(ask, address) for address in addresses})


def test_nothing_that_is_received_or_decided_goes_through_a_table_that_grows(
    filled: tuple[Service, list[str]], visitor: Visiting
) -> None:
    service, plates = filled
    patrol = Patrol(service)
    content = picture("teal")
    photo = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "taken_at": instant(service.clock()),
    }
    recorded: list[str] = []

    def record_one() -> None:
        recorded.append(patrol.record(plate=plates[0], photos=[photo], patroller="4200"))

    def upload() -> None:
        answer = patrol.client.put(f"/v1/photos/{photo['sha256']}", content=content)
        answer.raise_for_status()

    def decide(decision: str, state: str, reviews: int, **facts: Any) -> None:
        there = f"/console/sites/1085/infractions/{recorded[0]}/decision"
        expected = {"expected_state": state, "expected_reviews": reviews}
        visitor.sent(there, decision=decision, acknowledge_differs="1", **expected, **facts)

    def look_up() -> None:
        visitor.sent("/console/sites/1085/plates", plate=plates[3], purpose="contested")

    check(
        service.parts.record,
        {
            "an infraction": record_one,
            "its photo": upload,
            "a check": lambda: patrol.tell("check", plate=plates[0], zone="G1", verdict="valid"),
            "a plate update": lambda: service.permit(plates[0], zone="G1"),
            "a question": lambda: decide("request_information", "received", 0, note="Où ?"),
            "a confirmation": lambda: decide("confirm", "information_requested", 1),
            "a voiding": lambda: decide("void", "confirmed", 2, reason="misread_plate"),
            "a reopening": lambda: decide("reopen", "voided", 3),
            "a look-up": look_up,
            "a catch-up": patrol.catch_up,
        },
    )


def check(record: Record, asked: Mapping[str, Callable[[], None]]) -> None:
    """Nothing of what is asked goes through a table that grows."""
    seen: set[str] = set()
    found: list[str] = []
    for name, ask in asked.items():
        for statement, parameters in statements(record, ask).items():
            if statement not in seen:
                seen.add(statement)
                steps = faults(record, statement, parameters)
                found += (f"{name}\n  {step}\n  {statement}" for step in steps)
    assert not found, "\n\n".join(found)


def statements(record: Record, ask: Callable[[], None]) -> dict[str, Any]:
    """What the record is asked meanwhile, each with the parameters of the first time."""
    asked: dict[str, Any] = {}

    def note(_c: Any, _cur: Any, statement: str, parameters: Any, *_: Any) -> None:
        if re.match(r"\s*(SELECT|WITH|UPDATE|DELETE)\b", statement, re.I):
            asked.setdefault(statement, parameters)

    sa.event.listen(record.engine, "before_cursor_execute", note)
    try:
        ask()
    finally:
        sa.event.remove(record.engine, "before_cursor_execute", note)
    return asked


def faults(record: Record, statement: str, parameters: Any) -> Iterator[str]:
    """Steps of a statement's plan that go through a growing table: through all of it, or all that a
    site has in it.
    """
    with record.reading() as tx:
        plan = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    called = dict(re.findall(r"(?:FROM|JOIN|,)\s+(\w+) AS (\w+)", statement))
    names = {alias: table for table, alias in called.items()}
    for *_, step in plan:
        through = re.match(r"(SCAN|SEARCH) (\w+)(.*)", step)
        if through is None:
            continue
        how, name, along = through.groups()
        if names.get(name, name) not in GROWING:
            continue
        is_whole = how == "SCAN" or re.search(r"\((site|chain)=\?\)$", along)
        why = BOUNDED.get(name + along)
        if is_whole and (why is None or (why is _WINDOW and " LIMIT " not in statement)):
            yield step
