"""Metrics and the log over HTTP, on both engines (CONTRACT, "Operations")."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, event, update

from enforcement_api.database.tables import letters
from enforcement_api.subscriptions import post
from enforcement_api.subscriptions.letters import Letter
from tests.paging import turns
from tests.service import Service, infraction, new_id


@pytest.fixture
def site(service: Service) -> Service:
    service.site("1085")
    return service


def metrics(client: httpx.Client, **headers: str) -> dict[tuple[str, str], float]:
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, sample.labels.get("site", sample.labels.get("chain", ""))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_a_site_and_its_devices_are_told_in_numbers(site: Service) -> None:
    site.permit("ABC123")
    handheld = site.handheld()
    handheld.pull()
    for plate in ("XYZ999", "ABC123"):
        id = new_id()
        handheld.outbox.put_infraction(id, infraction(plate), [], at=site.clock())
    handheld.push()
    told = site.client(handheld.token)
    facts = {"app_version": "1", "unsent": 3, "clock_offset_ms": 0, "mismatches": 2}
    assert told.put("/v1/devices/self", json=facts).status_code == 204
    told.put(f"/v1/sites/1085/number-blocks/{new_id()}").raise_for_status()
    site.clock.advance(minutes=10)
    found = metrics(site.client(None))
    assert found["patrouille_feed_sequence", "1085"] == site.check("ABC123")["sequence"]
    assert found["patrouille_feed_age_seconds", "1085"] == 600
    assert found["patrouille_index_behind", "1085"] == 0
    assert found["patrouille_infractions_undecided", "1085"] == 2
    assert found["patrouille_infractions_differing", "1085"] == 1
    assert found["patrouille_devices", "1085"] == 1
    assert found["patrouille_devices_silent", "1085"] == 0
    assert found["patrouille_devices_unsent", "1085"] == 3
    assert found["patrouille_devices_mismatches", "1085"] == 2
    assert found["patrouille_devices_behind", "1085"] == 1  # of the two notices
    assert found["patrouille_numbers_given", "1085"] == 50
    assert found["patrouille_audit_entries", "1085"] >= 2
    assert found["patrouille_audit_entries", ""] >= 2
    site.clock.advance(hours=2)
    assert metrics(site.client(None))["patrouille_devices_silent", "1085"] == 1


def test_letters_that_wait_or_failed_are_numbers(site: Service) -> None:
    record = site.parts.record

    def write(tx: Connection) -> None:
        for number in range(5):
            letter = Letter("1085", f"l{number}", "h", None, "resumed", "fr", "a@example.org", {})
            post.write(record, tx, letter, at=site.clock())
        for number, state in enumerate(("failed", "sent")):
            of_it = letters.c.key == f"l{number}"
            tx.execute(update(letters).where(of_it).values(state=state))

    record.write(write)
    site.clock.advance(minutes=3)
    record.write(
        lambda tx: post.write(
            record,
            tx,
            Letter("1085", "later", "h", None, "resumed", "fr", "a@example.org", {}),
            at=site.clock(),
        )
    )
    site.clock.advance(minutes=1)
    found = metrics(site.client(None))
    assert found["patrouille_letters_queued", "1085"] == 4
    assert found["patrouille_letters_failed", "1085"] == 1
    assert found["patrouille_letters_oldest_seconds", "1085"] == 240


def test_a_lost_handheld_is_a_number(site: Service) -> None:
    for number in range(7):
        site.permit(f"ABC{number:03}", id=f"p{number}")
    handheld = site.handheld()
    handheld.pull()
    assert site.admin.delete(f"/v1/devices/{handheld.id}").status_code == 204
    found = metrics(site.client(None))
    assert found["patrouille_plates_held_by_revoked_devices", "1085"] == 7
    assert found.get(("patrouille_devices", "1085"), 0) == 0


def test_answers_are_counted_by_route_and_not_by_what_was_asked(site: Service) -> None:
    for plate in ("ABC123", "XYZ999"):
        site.check(plate)
    site.client(None).get("/anything/at/all?plate=ABC123")
    text = site.client(None).get("/metrics").text
    line = (
        'patrouille_request_seconds_count{method="GET",route="/v1/sites/{site}/check",status="200"}'
    )
    assert f"{line} 2.0" in text
    assert 'route="",status="404"' in text
    assert "ABC123" not in text
    assert "anything" not in text


@pytest.fixture
def stranger(site: Service) -> Service:
    site.bridge.transport.client = ("203.0.113.9", 50000)
    return site


def test_from_another_machine_a_key_is_needed(stranger: Service) -> None:
    assert stranger.client(None).get("/metrics").status_code == 401
    assert stranger.feeder.get("/metrics").status_code == 403
    assert stranger.reader.get("/metrics").status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_through_a_proxy_on_the_same_machine_too(site: Service, header: str) -> None:
    answer = site.client(None).get("/metrics", headers={header: "203.0.113.9"})
    assert answer.status_code == 401


def test_a_key_of_a_site_sees_its_own_site(stranger: Service) -> None:
    stranger.site("2000")
    found = metrics(stranger.client(stranger.key("reader", sites=["2000"])))
    assert {site for _, site in found if site} == {"2000"}


def test_two_services_in_one_process_count_apart(site: Service) -> None:
    site.restart()
    text = site.client(None).get("/metrics").text
    assert 'route="/v1/sites/{site}/check"' not in text


def test_nothing_that_grows_with_permits_is_read(site: Service) -> None:
    """By the queries themselves: none names a table of permits, of photos, or of events."""
    asked: list[str] = []
    engine = site.parts.record.engine

    def note(_: object, __: object, statement: str, *rest: object) -> None:
        asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        metrics(site.client(None))
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert asked
    growing = ("permit_versions", "feed_entries", "photos", "events", "audit_log", "reviews")
    assert not [text for text in asked for table in growing if table in text]
    (waiting, failed) = [text for text in asked if "letters" in text]
    assert "state = 'queued'" in waiting
    assert "state = 'failed'" in failed
    (undecided, differing) = [text for text in asked if "infractions" in text]
    assert "decided_at IS NULL" in undecided
    assert "decided_at IS NULL" in differing


# The log


def test_the_log_is_read_page_by_page_and_by_subject(site: Service) -> None:
    handheld = site.handheld()
    handheld.pull()
    ids = [new_id() for _ in range(3)]
    for id in ids:
        handheld.outbox.put_infraction(id, infraction(), [], at=site.clock())
    handheld.push()
    entries = []
    parameters = {"limit": 2}
    for _ in turns():
        page = site.admin.get("/v1/audit", params=parameters).json()
        entries += page["items"]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    places = [(entry["chain"], entry["number"]) for entry in entries]
    assert places == sorted(set(places))
    assert {"received"} <= {entry["action"] for entry in entries if entry["chain"] == "1085"}
    assert {entry["chain"] for entry in entries} == {"", "1085"}
    (mine,) = site.admin.get(
        "/v1/audit", params={"site": "1085", "subject": f"infraction:{ids[1]}"}
    ).json()["items"]
    assert (mine["action"], mine["by"]) == ("received", f"device:{handheld.id}")
    assert len(mine["hash"]) == 64


def test_what_belongs_to_no_site_is_for_keys_of_all_sites(site: Service) -> None:
    site.site("2000")
    admin = site.client(site.key("admin", sites=["1085"]))
    items = admin.get("/v1/audit").json()["items"]
    assert {entry["chain"] for entry in items} == {"1085"}
    assert admin.get("/v1/audit", params={"site": "2000"}).status_code == 403
    assert site.admin.get("/v1/audit", params={"site": "nowhere"}).status_code == 404
    assert site.admin.get("/v1/audit", params={"cursor": "x"}).status_code == 422
