"""Plates at the console: looked up for a purpose, judged, explained; courtesy; the feed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sync.codec import instant
from tests.enforcement_api.console.visiting import Visiting, fields, visiting, words
from tests.service import NOW, Service, infraction, ndjson, new_id
from tests.subscribing import Office

HERE = "/console/sites/1085/plates"
PLATE = f"{HERE}/CA-QC/ABC123"
HOSTILE = "<script>alert(1)</script>\u202e=1+1'; DROP TABLE lookups; --"


def look_up(visitor: Visiting, plate: str, **facts: Any) -> Any:
    form = {"plate": plate, "jurisdiction": "CA-QC", "purpose": "subscriber"} | facts
    return visitor.send(HERE, **form)


def seen(visitor: Visiting, path: str = PLATE, **query: Any) -> str:
    return words(visitor.page(path, **({"for": "review"} | query)))


# Looking up


def test_plate_is_looked_up_as_typed_and_the_purpose_kept_with_the_name(
    service: Service, supervisor: Visiting
) -> None:
    service.permit("ABC123")
    answer = look_up(supervisor, "abc 123", purpose_told="Appel de la réception")
    assert answer.headers["location"] == PLATE
    told = words(supervisor.page(PLATE))
    assert "VALID" in told
    assert "Marie Côté staff Subscriber's question – Appel de la réception" in told


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"plate": "é"}, "Plate: is no plate"),
        ({"jurisdiction": "Québec"}, "Jurisdiction: must be a code such as CA-QC"),
        ({"purpose": ""}, "Purpose: is missing"),
        ({"purpose": "other"}, "In other words: is missing"),
        ({"purpose_told": "4111 1111 1111 1111"}, "In other words:"),
    ],
)
def test_what_cannot_be_looked_up_is_told_and_what_was_typed_stays(
    supervisor: Visiting, facts: dict[str, str], told: str
) -> None:
    answer = look_up(supervisor, facts.pop("plate", "ABC 123"), **facts)
    assert answer.status_code == 422
    assert told in words(answer.text)
    assert not facts or 'value="ABC 123"' in answer.text


def test_certificate_number_is_asked_about_and_never_stripped_silently(
    supervisor: Visiting,
) -> None:
    answer = look_up(supervisor, "ABC123-4")
    assert answer.status_code == 200
    assert "the plate is then ABC123" in words(answer.text)
    answer = look_up(supervisor, "ABC123-4", certificate="plate")
    assert answer.headers["location"] == PLATE
    answer = look_up(supervisor, "ABC123-4", certificate="typed")
    assert answer.headers["location"] == f"{HERE}/CA-QC/ABC1234"


def test_plate_without_a_purpose_is_shown_only_once_one_is_told(
    service: Service, supervisor: Visiting
) -> None:
    answer = supervisor.get(PLATE)
    assert answer.status_code == 303
    page = supervisor.page(answer.headers["location"])
    assert "Say what you look it up for" in words(page)
    assert 'value="ABC123"' in page
    assert supervisor.get(f"{PLATE}.json").status_code == 422
    look_up(supervisor, "ABC123")
    assert supervisor.get(PLATE).status_code == 200
    assert supervisor.get(f"{PLATE}.json").status_code == 200
    service.clock.advance(minutes=31)
    assert supervisor.get(PLATE).status_code == 303


def test_whoever_comes_from_a_review_need_not_say_so(supervisor: Visiting) -> None:
    referer = {"Referer": "http://localhost/console/sites/1085/infractions/x"}
    answer = supervisor.client.get(PLATE, headers=referer)
    assert answer.status_code == 200
    assert "Review of an infraction" in words(answer.text)
    elsewhere = {"Referer": "http://evil.example/console/sites/1085/infractions/x"}
    assert supervisor.client.get(f"{HERE}/CA-QC/XYZ999", headers=elsewhere).status_code == 303


def test_same_look_up_is_kept_once_within_a_while(service: Service, supervisor: Visiting) -> None:
    for _ in range(3):
        seen(supervisor)
    assert len(supervisor.twin(PLATE)["lookups"]) == 1
    service.clock.advance(minutes=31)
    seen(supervisor)
    assert len(supervisor.twin(PLATE)["lookups"]) == 2


def test_supervisor_of_another_site_sees_no_plate(service: Service) -> None:
    service.site("2000")
    other = visiting(service, "o@example.org", sites=["2000"])
    for path in (HERE, PLATE, f"{PLATE}.json", f"{HERE}/feed", f"{HERE}/courtesy"):
        assert other.get(path).status_code == 403


# Judging


def test_verdict_is_told_at_any_instant_in_any_zone_with_the_test_that_decided(
    service: Service, supervisor: Visiting
) -> None:
    service.permit("ABC123", zone="G1", valid_from="2026-01-01", valid_until="2026-11-30")
    told = seen(supervisor)
    assert "Test 7: It has begun, is active, and is good in this zone." in told
    assert "Changes 1 Dec 2026, 00:00." in told
    told = seen(supervisor, zone="G2")
    assert "Test 5: It is not good in this zone, but in: G1." in told
    told = seen(supervisor, at="2026-12-05T12:00")
    assert "Test 2: It has ended: 1 Dec 2026, 00:00." in told
    told = seen(supervisor, at="2025-12-31T23:59")
    assert "Test 4: It begins only 1 Jan 2026, 00:00." in told
    told = seen(supervisor, at="2027-06-01T00:00")
    assert "Test 1:" in told
    twin = supervisor.twin(PLATE, zone="G2", at="2026-11-20T12:00")
    assert twin["verdict"] == "wrong_zone"
    assert twin["zones"]["G1"]["verdict"] == "valid"
    assert [turn["verdict"] for turn in twin["timeline"]][-1] == "unknown"


def test_verdict_is_told_by_what_was_known_then_and_versions_say_what_changed(
    service: Service, supervisor: Visiting
) -> None:
    update = service.permit("ABC123", zone="G1")
    first = service.check("ABC123")["sequence"]
    service.clock.advance(minutes=5)
    service.push(update | {"version": 2, "status": "suspended", "zones": ["G1", "G2"]})
    page = supervisor.page(PLATE, **{"for": "review"})
    told = words(page)
    assert "SUSPENDED" in told
    assert "status active" in told
    assert "<del>active</del>" in page.replace("\n", "")
    assert "<ins>suspended</ins>" in page.replace("\n", "")
    assert "<ins>G1, G2</ins>" in page.replace("\n", "")
    twin = supervisor.twin(PLATE, known=first)
    assert twin["verdict"] == "valid"
    assert len(twin["histories"][0]["versions"]) == 2


@pytest.mark.parametrize(
    "query",
    [
        *({"at": "yesterday"}, {"at": "9999-99-99T00:00"}, {"at": "0001-01-01T00:00"}),
        *({"known": "99999"}, {"known": "-1"}, {"known": "x"}),
    ],
)
def test_question_that_cannot_be_read_is_told_and_left_out(
    service: Service, supervisor: Visiting, query: dict[str, str]
) -> None:
    service.permit("ABC123")
    answer = supervisor.get(PLATE, **{"for": "review"}, **query)
    assert answer.status_code in (200, 422)
    if query != {"at": "0001-01-01T00:00"}:
        assert answer.status_code == 422
        assert "VALID" in words(answer.text)
        assert supervisor.get(f"{PLATE}.json", **query).status_code == 422


def test_unknown_plate_offers_look_alikes_with_what_differs_marked(
    service: Service, supervisor: Visiting
) -> None:
    service.permit("ABC128")
    page = supervisor.page(f"{HERE}/CA-QC/ABC12B", **{"for": "review"})
    assert "ABC12<mark>8</mark>" in page
    assert "looks alike" in words(page)


def test_infractions_hotlist_and_checks_of_the_plate_are_told(
    service: Service, supervisor: Visiting
) -> None:
    device = service.device_client()
    id = new_id()
    device.put(f"/v1/infractions/{id}", json=infraction("ABC123", note=HOSTILE)).raise_for_status()
    device.put(f"/v1/infractions/{new_id()}", json=infraction("ABC123", jurisdiction="CA-ON"))
    body = {
        "kind": "check",
        "site": "1085",
        "at": instant(NOW),
        "plate": "ABC123",
        "jurisdiction": "CA-QC",
        "zone": "G1",
        "verdict": "unknown",
        "purpose": "patrol",
    }
    device.put(f"/v1/events/{new_id()}", json=body).raise_for_status()
    entry = {"plate": "ABC 123", "reason": HOSTILE, "priority": "high"}
    service.admin.put("/v1/sites/1085/hotlist/a", json=entry).raise_for_status()
    page = supervisor.page(PLATE, **{"for": "review"})
    told = words(page)
    assert "<script>alert" not in page
    assert f"/console/sites/1085/infractions/{id}" in page
    assert "On the hotlist : " in told
    assert "DROP TABLE" in told
    assert "Handheld 7 patrol Patrol" in told
    twin = supervisor.twin(PLATE)
    assert twin["infractions"] == [id]
    assert [one["who"] for one in twin["lookups"]].count("patrol") == 1


def test_subscription_behind_a_permit_is_told_to_those_who_may_see_it(
    service: Service, supervisor: Visiting, administrator: Visiting
) -> None:
    id = Office(service).subscribed("ABC 123")
    page = administrator.page(PLATE, **{"for": "review"})
    assert f"/console/sites/1085/requests/subscriptions/{id}" in page
    assert "John John" in words(page)
    assert administrator.twin(PLATE)["subscriptions"][0]["number"] == "100000001"
    page = supervisor.page(PLATE, **{"for": "review"})
    assert "John" not in page
    assert id not in page
    twin = supervisor.twin(PLATE)
    assert twin["subscriptions"] == []
    assert "John" not in str(twin)


# Courtesy permits


def grant(visitor: Visiting, **facts: Any) -> Any:
    query = {"plate": "LOC 123", "jurisdiction": "CA-QC"}
    form = fields(visitor.page(f"{HERE}/courtesy/new", **query))
    given = {"once": form["once"], "until": "2026-11-25T18:00", "zones": ["G1"], "reason": "Prêt"}
    return visitor.send(f"{HERE}/courtesy/new", **(query | given | facts))


def test_courtesy_permit_is_good_at_once_and_ends_when_it_is_ended(
    service: Service, supervisor: Visiting
) -> None:
    assert grant(supervisor).status_code == 303
    assert service.verdict("LOC 123") == "valid"
    assert service.check("LOC 123")["changes_at"] == "2026-11-25T23:00:00Z"
    page = supervisor.page(f"{HERE}/courtesy", done="granted")
    assert "LOC123" in page
    assert "Marie Côté" in words(page)
    assert "is granted" in words(page)
    (item,) = supervisor.twin(f"{HERE}/courtesy")["items"]
    told = seen(supervisor, f"{HERE}/CA-QC/LOC123")
    assert "Granted by Marie Côté until 25 Nov 2026, 18:00: Prêt" in told
    for _ in range(2):
        supervisor.sent(f"{HERE}/courtesy/{item['id']}/end")
    assert service.verdict("LOC 123") == "cancelled"
    assert supervisor.twin(f"{HERE}/courtesy")["items"] == []


def test_second_press_grants_nothing_twice(supervisor: Visiting) -> None:
    once = new_id()
    for _ in range(2):
        assert grant(supervisor, once=once).status_code == 303
    assert len(supervisor.twin(f"{HERE}/courtesy")["items"]) == 1


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"until": ""}, "Until: must be a date and a time"),
        ({"until": "2026-11-20T10:00"}, "Until: is over"),
        ({"until": "2027-11-20T10:00"}, "Until: must be within 7 days"),
        ({"zones": []}, "Zones: is missing"),
        ({"zones": ["Z9"]}, "Z9"),
        ({"reason": ""}, "Reason: is missing"),
        ({"plate": "é"}, "Plate: is no plate"),
        ({"jurisdiction": "Q"}, "Jurisdiction:"),
        ({"once": "x"}, "once"),
    ],
)
def test_courtesy_that_cannot_be_granted_is_told_and_what_was_typed_stays(
    service: Service, supervisor: Visiting, facts: dict[str, Any], told: str
) -> None:
    answer = grant(supervisor, **({"reason": HOSTILE} | facts))
    assert answer.status_code in (404, 422)
    assert told in words(answer.text)
    assert "<script>alert" not in answer.text
    assert "reason" in facts or "DROP TABLE" in answer.text
    assert supervisor.twin(f"{HERE}/courtesy")["items"] == []


def test_certificate_number_is_granted_only_when_it_was_confirmed(
    service: Service, supervisor: Visiting
) -> None:
    answer = grant(supervisor, plate="ABC123-4")
    assert answer.status_code == 422
    assert "the plate is then ABC123" in words(answer.text)
    assert grant(supervisor, plate="ABC123-4", plate_confirmed="on").status_code == 303
    assert service.verdict("ABC1234") == "valid"


def test_courtesy_permit_of_another_site_is_not_ended(
    service: Service, supervisor: Visiting
) -> None:
    service.site("2000")
    grant(supervisor)
    (item,) = supervisor.twin(f"{HERE}/courtesy")["items"]
    other = visiting(service, "o@example.org", sites=["2000"])
    for path in (HERE, "/console/sites/2000/plates"):
        assert other.send(f"{path}/courtesy/{item['id']}/end").status_code in (403, 404)
    both = visiting(service, "b@example.org", sites=["1085", "2000"])
    answer = both.send(f"/console/sites/2000/plates/courtesy/{item['id']}/end")
    assert answer.status_code == 404
    assert service.verdict("LOC 123") == "valid"


# The feed


def test_feed_is_told_with_its_digests_and_what_is_wrong_comes_first(
    service: Service, supervisor: Visiting
) -> None:
    assert "No subscription system has been in contact yet." in words(
        supervisor.page(f"{HERE}/feed")
    )
    service.permit("ABC123")
    service.permit("XYZ789", status="suspended")
    told = words(supervisor.page(f"{HERE}/feed"))
    assert "All is well" in told
    twin = supervisor.twin(f"{HERE}/feed")
    assert twin["digest"] == twin["index"]["digest"]
    assert twin["wrong"] == []
    assert twin["permits"] is None
    assert supervisor.twin(f"{HERE}/feed", count="true")["permits"] == {"active": 1, "suspended": 1}
    assert [one["source"] for one in twin["sources"]] == ["feeder"]
    service.clock.advance(hours=25)
    later = visiting(service, "l@example.org", sites=["1085"])
    page = later.page(f"{HERE}/feed")
    assert "last heard of 1 day ago" in words(page)
    assert page.index("last heard of") < page.index("Record and index")


def test_reconciliations_of_a_source_are_told(service: Service, supervisor: Visiting) -> None:
    update = service.permit("ABC123")
    service.feeder.post(
        "/v1/sites/1085/reconciliation",
        params={"as_of": instant(NOW - timedelta(minutes=1)), "count": 1},
        content=ndjson(update),
        headers={"Content-Type": "application/x-ndjson"},
    ).raise_for_status()
    (done,) = supervisor.twin(f"{HERE}/feed")["reconciliations"]
    assert (done["source"], done["unchanged"]) == ("feeder", 1)
    assert "feeder" in words(supervisor.page(f"{HERE}/feed"))


def test_page_of_another_site_looks_no_plate_up_in_somebodys_name(
    service: Service, supervisor: Visiting
) -> None:
    path = "/console/sites/1085/plates/CA-QC/ABC123?for=review"
    answer = supervisor.client.get(path, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 303
    assert "why=purpose" in answer.headers["location"]
    assert supervisor.client.get(path, headers={"Sec-Fetch-Site": "none"}).status_code == 200
