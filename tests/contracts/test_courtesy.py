"""Courtesy permits: active at once, for a few days, and marked as such, on both engines."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sync.codec import instant
from tests.service import NOW, Service
from tests.subscribing import Office, new_id

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@pytest.fixture
def office(service: Service) -> Office:
    service.site(zones=["G1", "G2"])
    return Office(service)


def wanted(plate: str = "LOC 123", **facts: Any) -> dict[str, Any]:
    return {
        "site": "1085",
        "plate": plate,
        "zones": ["G1"],
        "reason": "Voiture de courtoisie du garage",
        "expires_at": instant(NOW + 3 * DAY),
    } | facts


def test_plate_is_valid_at_once_until_it_expires_and_not_before(office: Office) -> None:
    granted = office.does("PUT", f"courtesy-permits/{new_id()}", json=wanted())
    check = office.service.check("LOC123")
    assert check["verdict"] == "valid"
    assert check["permits"][0]["permit_number"] == granted["number"]
    assert granted["number"].startswith("COURTOISIE-1")
    ends = NOW + 3 * DAY
    for at, verdict in (
        (NOW - SECOND, "pending_activation"),
        (ends - SECOND, "valid"),
        (ends, "expired"),
    ):
        assert office.service.verdict("LOC123", at=instant(at)) == verdict
    assert office.service.verdict("LOC123", zone="G2") == "wrong_zone"


def test_handheld_knows_it_for_what_it_is(office: Office) -> None:
    office.does("PUT", f"courtesy-permits/{new_id()}", json=wanted())
    handheld = office.service.handheld()
    handheld.pull()
    (permit,) = handheld.judge("LOC123", at=NOW).permits
    assert permit.is_courtesy


def test_zones_are_those_of_the_subscription_unless_they_are_named(office: Office) -> None:
    office.product("7001", zones=["G2"])
    subscription = office.subscribed(product="7001")
    shape = wanted(zones=[], subscription=subscription)
    office.does("PUT", f"courtesy-permits/{new_id()}", json=shape)
    assert office.service.verdict("LOC123", zone="G2") == "valid"
    answer = office.ask("PUT", f"courtesy-permits/{new_id()}", json=wanted(zones=[]))
    assert answer.json()["errors"][0]["pointer"] == "/zones"


def test_it_is_ended_at_once(office: Office) -> None:
    id = new_id()
    office.does("PUT", f"courtesy-permits/{id}", json=wanted())
    office.service.clock.advance(hours=2)
    ended = office.does("DELETE", f"courtesy-permits/{id}")
    assert ended["ended_at"] == instant(office.service.clock.at)
    assert office.does("DELETE", f"courtesy-permits/{id}") == ended
    assert office.service.verdict("LOC123") == "cancelled"
    assert office.service.verdict("LOC123", at=instant(NOW)) == "valid"


@pytest.mark.parametrize(
    ("facts", "status", "where"),
    [
        ({"expires_at": instant(NOW + 7 * DAY + SECOND)}, 422, "/expires_at"),
        ({"expires_at": instant(NOW)}, 422, "/expires_at"),
        ({"reason": " "}, 422, "/reason"),
        ({"plate": "LOC123-4"}, 422, "/problems/certificate-number"),
        ({"zones": ["G9"]}, 404, "/problems/unknown-zone"),
        ({"site": "none"}, 404, "/problems/unknown-site"),
        ({"subscription": new_id()}, 404, "/problems/unknown-subscription"),
    ],
)
def test_what_cannot_be_granted_is_refused(
    office: Office, facts: dict[str, Any], status: int, where: str
) -> None:
    answer = office.ask("PUT", f"courtesy-permits/{new_id()}", json=wanted(**facts))
    assert answer.status_code == status
    assert where in answer.text
    assert office.does("GET", "courtesy-permits")["items"] == []


def test_it_is_granted_once_and_for_seven_days_at_most(office: Office) -> None:
    id, shape = new_id(), wanted(expires_at=instant(NOW + 7 * DAY))
    first = office.ask("PUT", f"courtesy-permits/{id}", json=shape)
    again = office.ask("PUT", f"courtesy-permits/{id}", json=shape)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = office.ask("PUT", f"courtesy-permits/{id}", json=shape | {"plate": "XYZ 789"})
    assert other.json()["type"] == "/problems/action-conflict"


def test_those_that_are_good_now_are_listed_by_plate(office: Office) -> None:
    ids = [new_id() for _ in range(3)]
    for id, plate in zip(ids, ("LOC 1", "LOC 2", "LOC 3"), strict=True):
        office.does("PUT", f"courtesy-permits/{id}", json=wanted(plate))
    office.does("DELETE", f"courtesy-permits/{ids[0]}")

    def listed(**params: Any) -> set[str]:
        found = office.does("GET", "courtesy-permits", params=params)["items"]
        return {permit["id"] for permit in found}

    assert listed() == set(ids)
    assert listed(live=True) == set(ids[1:])
    assert listed(plate="loc-2") == {ids[1]}
    office.service.clock.advance(days=3)
    assert listed(live=True) == set()
    granted = office.does("GET", f"courtesy-permits/{ids[1]}")
    assert granted["reason"] == "Voiture de courtoisie du garage"
    assert granted["granted_by"].startswith("key:")


def test_patroller_and_command_line_are_told_that_it_is_a_courtesy(office: Office) -> None:
    from enforcement_api.permits import checking

    office.does("PUT", f"courtesy-permits/{new_id()}", json=wanted())
    found = checking.from_record(
        office.service.parts.record,
        site="1085",
        zone="G1",
        plate="LOC123",
        jurisdiction=None,
        at=None,
        now=NOW,
    )
    assert "courtesy permit" in found.sentence("en")
    assert "permis de courtoisie" in found.sentence("fr")
