"""What patrols are doing, as the record tells it: on both engines, and by indexes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from enforcement_api.infractions import patrolling
from tests.service import NOW, Service, infraction, instant, new_id

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Patrol:
    """A device, and whoever has it."""

    def __init__(self, service: Service, name: str = "Handheld 7") -> None:
        made = service.device(name=name)
        answer = service.client(None).post("/v1/enrolments", json={"code": made["enrolment_code"]})
        self.id = made["id"]
        self.client: httpx.Client = service.client(answer.json()["token"])

    def tell(self, kind: str, *, at: Any = NOW, **facts: Any) -> None:
        body = {"kind": kind, "site": "1085", "at": instant(at)} | facts
        self.client.put(f"/v1/events/{new_id()}", json=body).raise_for_status()

    def record(self, *, at: Any = NOW, **facts: Any) -> str:
        id = new_id()
        sent = infraction(at=at, **facts)
        self.client.put(f"/v1/infractions/{id}", json=sent).raise_for_status()
        return id


@pytest.fixture(autouse=True)
def site(service: Service) -> None:
    service.site("1085")


def read(service: Service, work: Any, *given: Any) -> Any:
    return service.parts.record.read(lambda tx: work(tx, "1085", *given))


def test_last_told_is_the_later_of_a_check_and_an_infraction(service: Service) -> None:
    one, two, idle = (Patrol(service, name) for name in ("H1", "H2", "H3"))
    one.tell("check", at=NOW - 3 * MINUTE, lot="P3", zone="G1", patroller="4217", place="rangée C")
    one.tell("check", at=NOW - 9 * MINUTE, lot="P1")
    where = {"lat": 45.4, "lon": -71.9, "accuracy_m": 8.0}
    id = two.record(at=NOW - MINUTE, position=where, lot="P5")
    two.tell("check", at=NOW - 2 * MINUTE)
    two.tell("chalk", at=NOW)

    found = read(service, patrolling.last_told, [one.id, two.id, idle.id])

    assert set(found) == {one.id, two.id}
    first, second = found[one.id], found[two.id]
    assert (first.what, first.at, first.lot, first.place, first.patroller, first.lat) == (
        "check",
        NOW - 3 * MINUTE,
        "P3",
        "rangée C",
        "4217",
        None,
    )
    assert (second.what, second.id, second.lot, second.lat, second.accuracy_m) == (
        "infraction",
        id,
        "P5",
        45.4,
        8.0,
    )
    assert set(read(service, patrolling.last_positions, [one.id, two.id])) == {two.id}


def test_shift_is_open_until_it_is_ended_or_forgotten(service: Service) -> None:
    patrol = Patrol(service)
    for shift, began in (("a", 5 * HOUR), ("b", 2 * HOUR), ("c", 17 * HOUR), ("d", HOUR)):
        patrol.tell("shift_started", at=NOW - began, shift=shift, patroller="4217", zone="G1")
    patrol.tell("shift_ended", at=NOW - HOUR, shift="a", patroller="4217")
    patrol.tell("shift_started", at=NOW, shift=7)

    found = read(service, patrolling.open_shifts, NOW)

    assert [(each.id, each.patroller, each.zone, each.device) for each in found] == [
        ("d", "4217", "G1", patrol.id),
        ("b", "4217", "G1", patrol.id),
    ]


def test_checks_are_counted_by_the_hour(service: Service) -> None:
    patrol = Patrol(service)
    for minutes in (5, 20, 59, 60, 119, 200):
        patrol.tell("check", at=NOW - minutes * MINUTE)
    patrol.tell("chalk", at=NOW - MINUTE)
    edges = [NOW - 2 * HOUR, NOW - HOUR, NOW]

    assert read(service, patrolling.checks_between, edges) == [1, 4]
    assert read(service, patrolling.checks_between, [NOW]) == []


def test_patroller_s_activity_is_found_by_id_and_by_badge(service: Service) -> None:
    for id, badge in (("marie", "4217"), ("luc", "5000"), ("new", "6000")):
        body = {"badge": badge, "name": id, "pin": "204816"}
        service.admin.put(f"/v1/sites/1085/patrollers/{id}", json=body).raise_for_status()
    patrol = Patrol(service)
    patrol.tell("shift_started", at=NOW - 3 * HOUR, shift="a", patroller="marie")
    patrol.tell("shift_started", at=NOW - 2 * HOUR, shift="b", patroller="5000")
    patrol.record(at=NOW - HOUR, patroller="4217")

    found = read(service, patrolling.activities)

    assert found["marie"] == patrolling.Activity(NOW - 3 * HOUR, patrol.id, NOW - HOUR)
    assert found["luc"] == patrolling.Activity(NOW - 2 * HOUR, patrol.id, NOW - 2 * HOUR)
    assert found["new"] == patrolling.Activity()


def test_unanswered_questions_come_with_their_device_the_longest_waiting_first(
    service: Service,
) -> None:
    patrol = Patrol(service)
    ids = [patrol.record(plate=plate) for plate in ("ABC123", "DEF456", "GHI789")]
    for id in (ids[1], ids[0]):
        body = {"decision": "request_information", "note": "Quelle place ?"}
        body["expected_state"] = "received"
        service.admin.post(f"/v1/infractions/{id}/reviews", json=body).raise_for_status()
        service.clock.advance(minutes=1)

    found = read(service, patrolling.unanswered)

    assert [each.infraction for each in found] == [ids[1], ids[0]]
    assert {(each.device, each.patroller, each.text) for each in found} == {
        (patrol.id, "4217", "Quelle place ?")
    }


def test_what_is_asked_every_ten_seconds_is_read_by_indexes(service: Service) -> None:
    record = service.parts.record
    asked: list[tuple[str, Any]] = []

    def look(tx: Any) -> list[str]:
        def remember(conn: Any, cursor: Any, statement: str, given: Any, *rest: Any) -> None:
            asked.append((statement, given))

        event.listen(tx, "before_cursor_execute", remember)
        patrolling.last_told(tx, "1085", ["a", "b"])
        patrolling.open_shifts(tx, "1085", NOW)
        patrolling.checks_between(tx, "1085", [NOW - HOUR, NOW])
        patrolling.unanswered(tx, "1085")
        patrolling.activities(tx, "1085")
        patrolling.latest_of(tx, "1085", "a", NOW, most=20)
        patrolling.infractions_of(tx, "1085", "a", most=20)
        event.remove(tx, "before_cursor_execute", remember)
        explain = "EXPLAIN QUERY PLAN"
        if not record.is_sqlite:
            # It plans by what a table holds, and here it holds next to nothing.
            tx.exec_driver_sql("SET LOCAL enable_seqscan = off")
            explain = "EXPLAIN"
        return [
            str(row)
            for statement, given in asked
            for row in tx.exec_driver_sql(f"{explain} {statement}", given)
        ]

    plans = " ".join(record.read(look))

    for scan in ("SCAN", "Seq Scan on"):
        assert f"{scan} events" not in plans
        assert f"{scan} infractions" not in plans
    if not record.is_sqlite:
        return  # which of several indexes it takes of an empty table is chance
    for index in ("ix_events_checks", "ix_events_kind", "ix_infractions_device"):
        assert index in plans, plans
    assert "ix_events_at " not in plans, "all that a site's patrols told, in order"
