"""Plate updates over HTTP, on both engines (CONTRACT, "Plate updates")."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import event

from enforcement_api.database import bulk
from enforcement_api.permits import store as permits
from sync.codec import instant
from sync.plates import Plate
from sync.validity import judge
from tests.service import NOW, Service, infraction, ndjson, new_id

NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(autouse=True)
def _site(service: Service) -> None:
    service.site()


def counts(answer: dict[str, Any]) -> tuple[int, int, int, int]:
    """Applied, unchanged, stale, rejected."""
    return answer["applied"], answer["unchanged"], answer["stale"], len(answer["rejected"])


def slugs(answer: dict[str, Any]) -> list[tuple[int, str | None, str]]:
    """Index, id and kind of each rejection."""
    return [(r["index"], r["id"], r["problem"]["type"].split("/")[-1]) for r in answer["rejected"]]


def test_json_and_ndjson_say_the_same(service: Service) -> None:
    update = service.update("abc 123")
    assert counts(service.push(update)) == (1, 0, 0, 0)
    answer = service.feeder.post("/v1/plate-updates", content=ndjson(update, ""), headers=NDJSON)
    assert counts(answer.json()) == (0, 1, 0, 0)


def test_answer_tells_epoch_and_sequence_and_checks_see_it_at_once(service: Service) -> None:
    before = service.check("ABC123")
    assert before["verdict"] == "unknown"
    answer = service.push(service.update("ABC123"))
    assert set(answer) == {"applied", "unchanged", "stale", "rejected", "epoch", "sequence"}
    assert answer["sequence"] == {"1085": before["sequence"] + 1}
    after = service.check("ABC123")
    assert (after["verdict"], after["sequence"]) == ("valid", before["sequence"] + 1)
    assert after["fed_at"] == "2026-11-23T15:15:00Z"


def test_same_update_again_changes_nothing_however_it_is_typed(service: Service) -> None:
    update = service.permit("ABC123", zone="G1 G2", vehicle=None)
    again = update | {
        "plate": "abc-123", "zones": ["G2", "G1"], "jurisdiction": "CA-QC", "valid_until": None,
    }  # fmt: skip
    del again["vehicle"]
    sequence = service.check("ABC123")["sequence"]
    assert counts(service.push(again)) == (0, 1, 0, 0)
    assert service.check("ABC123")["sequence"] == sequence


def test_unchanged_stays_so_when_the_settings_of_the_site_change(service: Service) -> None:
    update = service.permit("ABC123", confirmed_at="2026-11-23T10:00:00Z")
    active_from = service.check("ABC123")["changes_at"]
    assert active_from == "2026-11-24T10:00:00Z"
    service.site(activation_hours=2)
    assert counts(service.push(update)) == (0, 1, 0, 0)
    assert service.check("ABC123")["changes_at"] == active_from
    # and applies to updates that come later
    service.push(update | {"version": 2})
    assert service.verdict("ABC123") == "valid"


def test_lower_version_is_stale_and_ignored(service: Service) -> None:
    update = service.permit("ABC123", version=5)
    assert counts(service.push(update | {"version": 4, "zones": ["G2"]})) == (0, 0, 1, 0)
    assert service.verdict("ABC123") == "valid"


def test_what_is_known_already_is_so_when_its_zone_is_gone(service: Service) -> None:
    """A feeder that sends its whole file again is not refused for what it said long ago."""
    service.site(zones=("G1", "OLD"))
    moved = service.permit(id="moved", zone="OLD")
    service.push(moved | {"version": 2, "zones": ["G1"]})
    ended = service.permit("EEE111", id="ended", zone="OLD", valid_until="2026-02-01")
    service.prune(service.clock.at)
    service.site(zones=("G1",))
    answer = service.push(moved, ended, moved | {"id": "new"})
    assert counts(answer) == (0, 1, 1, 1)
    assert answer["rejected"][0]["id"] == "new"
    assert answer["rejected"][0]["problem"]["type"] == "/problems/unknown-zone"


def test_same_version_with_other_content_is_rejected_alone(service: Service) -> None:
    update = service.permit("ABC123")
    answer = service.push(
        service.update("DDD444", id="before"),
        update | {"zones": ["G2"]},
        service.update("EEE555", id="after"),
    )
    assert counts(answer) == (2, 0, 0, 1)
    assert slugs(answer) == [(1, update["id"], "version-conflict")]
    assert service.verdict("ABC123") == service.verdict("EEE555") == "valid"


def test_other_source_may_not_touch_a_permit(service: Service) -> None:
    update = service.permit("ABC123")
    other = service.client(service.key("feeder", name="other"))
    answer = service.push(update | {"version": 2}, service.update("DDD444"), by=other)
    assert counts(answer) == (1, 0, 0, 1)
    assert slugs(answer) == [(0, update["id"], "not-your-permit")]
    # the source is the key's, not the key itself
    same = service.client(service.key("feeder", name="new key", source="feeder"))
    assert counts(service.push(update | {"version": 2}, by=same)) == (1, 0, 0, 0)


def test_same_id_at_two_sites_is_two_permits(service: Service) -> None:
    service.site("2000")
    update = service.permit("ABC123")
    answer = service.push(update | {"site": "2000", "plate": "DDD444"})
    assert counts(answer) == (1, 0, 0, 0)
    assert service.verdict("DDD444", site="2000") == "valid"
    assert service.verdict("ABC123", site="2000") == "unknown"


def test_feeder_of_one_site_changes_no_other(service: Service) -> None:
    service.site("2000")
    key = service.client(service.key("feeder", name="f2", sites=["2000"]))
    answer = service.push(service.update("AAA111"), service.update("BBB222", site="2000"), by=key)
    assert slugs(answer) == [(0, "permit-1", "forbidden-site")]
    assert service.verdict("BBB222", site="2000") == "valid"
    alone = key.post("/v1/plate-updates", json={"updates": [service.update("AAA111")]})
    assert alone.status_code == 403


def test_updates_count_in_the_order_given(service: Service) -> None:
    one = service.update("ABC123", id="p")
    answer = service.push(
        one, one | {"version": 3, "zones": ["G2"]}, one | {"version": 2}, one | {"version": 3}
    )
    assert (answer["applied"], answer["stale"]) == (2, 1)
    assert slugs(answer) == [(3, "p", "version-conflict")]
    assert service.verdict("ABC123", zone="G2") == "valid"
    versions = service.reader.get("/v1/sites/1085/permits/p").json()["versions"]
    assert [v["version"] for v in versions] == [1, 3]
    assert versions[1]["sequence"] == versions[0]["sequence"] + 1


def test_atomic_request_with_a_rejection_keeps_nothing(service: Service) -> None:
    sequence = service.check("ABC123")["sequence"]
    updates = [service.update("ABC123"), service.update("X"), service.update("DDD444", zone="Q9")]
    atomic = service.feeder.post(
        "/v1/plate-updates", params={"atomic": "true"}, json={"updates": updates}
    )
    assert atomic.status_code == 422
    assert atomic.json()["type"] == "/problems/rejected"
    plain = service.push(*updates)
    assert atomic.json()["rejected"] == plain["rejected"]
    assert [r["index"] for r in plain["rejected"]] == [1, 2]
    assert plain["sequence"] == {"1085": sequence + 1}


def test_atomic_request_without_one_is_kept(service: Service) -> None:
    answer = service.feeder.post(
        "/v1/plate-updates", params={"atomic": "true"}, json={"updates": [service.update("ABC123")]}
    )
    assert answer.status_code == 200
    assert service.verdict("ABC123") == "valid"


def test_empty_list_is_a_heartbeat(service: Service) -> None:
    service.permit("ABC123")
    handheld = service.handheld()
    handheld.pull()
    service.clock.advance(hours=3)
    answer = service.push()
    assert counts(answer) == (0, 0, 0, 0)
    assert list(answer["sequence"]) == ["1085"]
    assert service.check("ABC123")["fed_at"] == "2026-11-23T18:15:00Z"
    handheld.pull()
    state = handheld.replica.state()
    assert state is not None
    assert state.fed_at == service.clock()


def test_empty_ndjson_is_a_heartbeat_too(service: Service) -> None:
    answer = service.feeder.post("/v1/plate-updates", content=b"\n\n", headers=NDJSON)
    assert answer.status_code == 200
    assert service.check("ABC123")["fed_at"] == "2026-11-23T15:15:00Z"


def test_heartbeat_is_of_the_sites_of_its_key(service: Service) -> None:
    """A feeder that lives says nothing of another's site."""
    service.site("2000")
    service.push()
    service.clock.advance(hours=3)
    answer = service.push(by=service.client(service.key("feeder", sites=["2000"])))
    assert list(answer["sequence"]) == ["2000"]
    assert service.check("ABC123")["fed_at"] == "2026-11-23T15:15:00Z"
    assert service.check("ABC123", site="2000")["fed_at"] == "2026-11-23T18:15:00Z"


def test_feeder_lives_also_when_all_that_it_says_is_known(service: Service) -> None:
    update = service.permit("ABC123")
    service.clock.advance(hours=3)
    assert counts(service.push(update)) == (0, 1, 0, 0)
    assert service.check("ABC123")["fed_at"] == "2026-11-23T18:15:00Z"


def test_index_counts_lines_from_0_blank_ones_aside(service: Service) -> None:
    body = ndjson(
        "", service.update("AAA111"), "  ", "{not json", "", '["a list"]', "null",
        {"id": "bad", "version": 1}, service.update("BBB222"),
    )  # fmt: skip
    answer = service.feeder.post("/v1/plate-updates", content=body, headers=NDJSON).json()
    assert counts(answer) == (2, 0, 0, 4)
    assert [(r["index"], r["id"]) for r in answer["rejected"]] == [
        (1, None), (2, None), (3, None), (4, "bad"),
    ]  # fmt: skip


def test_changed_vehicle_is_valid_after_24_hours_and_the_old_one_until_then(
    service: Service,
) -> None:
    update = service.permit("AAA111")
    service.push(update | {"version": 2, "plate": "BBB222", "confirmed_at": "2026-11-23T15:00:00Z"})
    assert service.verdict("AAA111") == "valid"
    pending = service.check("BBB222")
    assert (pending["verdict"], pending["changes_at"]) == (
        "pending_activation", "2026-11-24T15:00:00Z",
    )  # fmt: skip
    for at, old, new in (
        ("2026-11-24T14:59:59Z", "valid", "pending_activation"),
        ("2026-11-24T15:00:00Z", "expired", "valid"),
    ):
        assert (service.verdict("AAA111", at=at), service.verdict("BBB222", at=at)) == (old, new)


def test_pending_replacement_that_is_replaced_in_turn_ends_at_once(service: Service) -> None:
    first = service.permit("AAA111", id="p")
    service.push(first | {"version": 2, "plate": "BBB222", "confirmed_at": "2026-11-23T15:00:00Z"})
    service.clock.advance(hours=5)
    service.push(first | {"version": 3, "plate": "CCC333", "confirmed_at": "2026-11-23T20:00:00Z"})
    assert service.verdict("BBB222") == "expired"
    at = "2026-11-24T19:59:59Z"
    assert [service.verdict(p, at=at) for p in ("AAA111", "CCC333")] == [
        "valid", "pending_activation",
    ]  # fmt: skip
    at = "2026-11-24T20:00:00Z"
    assert [service.verdict(p, at=at) for p in ("AAA111", "CCC333")] == ["expired", "valid"]
    ids = {
        id: service.reader.get(f"/v1/sites/1085/permits/{id}").json()["plate"]
        for id in ("p", "p~1", "p~2")
    }
    assert ids == {"p": "CCC333", "p~1": "AAA111", "p~2": "BBB222"}
    service.assert_consistent()


def test_whole_chain_in_one_request_comes_to_the_same(service: Service) -> None:
    """Also when the record learns of it late, long after each change took effect."""
    first = service.update("AAA111", id="p")
    changes = [
        first,
        first | {"version": 2, "plate": "BBB222", "confirmed_at": "2026-11-10T15:00:00Z"},
        first | {"version": 3, "plate": "CCC333", "confirmed_at": "2026-11-10T20:00:00Z"},
    ]
    assert counts(service.push(*changes)) == (3, 0, 0, 0)
    for at, valid in (
        ("2026-11-11T19:59:59Z", "AAA111"),
        ("2026-11-11T20:00:00Z", "CCC333"),
    ):
        found = [p for p in ("AAA111", "BBB222", "CCC333") if service.verdict(p, at=at) == "valid"]
        assert found == [valid]


def test_a_dozen_plates_one_after_another_keep_their_order(service: Service) -> None:
    """`p~10` comes after `p~9`, whichever way a text sorts."""
    update = service.permit("AAA000", id="p")
    for n in range(1, 13):
        confirmed = f"2026-11-{n:02}T15:00:00Z"
        update |= {"version": n + 1, "plate": f"AAA{n:03}", "confirmed_at": confirmed}
        assert counts(service.push(update)) == (1, 0, 0, 0)
    for n in range(12):
        before = service.reader.get(f"/v1/sites/1085/permits/p~{n + 1}").json()
        assert (before["plate"], before["ends_at"]) == (
            f"AAA{n:03}",
            f"2026-11-{n + 2:02}T15:00:00Z",
        )
    service.assert_consistent()


def test_history_tells_every_version_with_its_source_and_time(service: Service) -> None:
    update = service.permit("ABC123", id="p", permit_number="n1")
    service.clock.advance(hours=1)
    service.push(update | {"version": 2, "status": "suspended"})
    told = service.reader.get("/v1/sites/1085/permits/p").json()
    assert (told["version"], told["status"], told["source"]) == (2, "suspended", "feeder")
    assert [(v["version"], v["status"], v["recorded_at"]) for v in told["versions"]] == [
        (1, "active", "2026-11-23T15:15:00Z"),
        (2, "suspended", "2026-11-23T16:15:00Z"),
    ]


@pytest.mark.parametrize("id", ["2026/17", "/x", "x/", "a//b", "a%2Fb", "é ✓", "?q#f", "x" * 100])
def test_history_is_found_by_whatever_id_a_pusher_has(service: Service, id: str) -> None:
    service.permit(id=id)
    found = service.reader.get(f"/v1/sites/1085/permits/{quote(id, safe='')}")
    assert (found.status_code, found.json()["id"]) == (200, id)


def test_cancelled_without_an_end_ends_when_it_is_first_received(service: Service) -> None:
    update = service.permit("ABC123")
    service.clock.advance(hours=1)
    cancelled = update | {"version": 2, "status": "cancelled"}
    service.push(cancelled)
    service.clock.advance(hours=1)
    assert counts(service.push(cancelled)) == (0, 1, 0, 0)
    assert service.verdict("ABC123", at="2026-11-23T16:14:59Z") == "valid"
    assert service.verdict("ABC123", at="2026-11-23T16:15:00Z") == "cancelled"


def test_update_is_rechecked_against_what_was_recorded(service: Service) -> None:
    """A permit approved meanwhile flags the infraction that it contradicts."""
    id = new_id()
    device = service.device_client()
    receipt = device.put(f"/v1/infractions/{id}", json=infraction("ABC123", at=NOW)).json()
    assert receipt["recheck"] == {"verdict": "unknown", "differs": False}
    service.permit("ABC123")
    found = service.reader.get(f"/v1/infractions/{id}").json()
    assert (found["recheck"]["verdict"], found["recheck"]["differs"]) == ("valid", True)


def test_removed_permit_comes_back_with_its_next_version(service: Service) -> None:
    update = service.permit("ABC123", valid_until="2026-02-01")
    assert service.prune(service.clock() - timedelta(days=1)) == 1
    assert service.verdict("ABC123") == "unknown"
    versions = service.reader.get(f"/v1/sites/1085/permits/{update['id']}").json()["versions"]
    assert [v["removed"] for v in versions] == [False, True]
    assert versions[1]["recorded_at"] == instant(NOW)
    service.push(update | {"version": 2, "valid_until": None})
    assert service.verdict("ABC123") == "valid"
    service.assert_consistent()


def test_longer_retention_brings_back_what_counts_again(service: Service) -> None:
    service.site(retention_days=30)
    service.permit("ABC123", valid_until="2026-10-01")
    assert service.prune(NOW) == 1
    assert service.verdict("ABC123") == "unknown"
    service.site(retention_days=90)
    assert service.verdict("ABC123") == "expired"
    handheld = service.handheld()
    handheld.pull()
    assert handheld.verdict("ABC123", at=NOW) == "expired"
    service.assert_consistent()


def test_earlier_retention_run_than_the_last_does_nothing(service: Service) -> None:
    service.permit("ABC123", valid_until="2026-02-01")
    assert service.prune(NOW) == 1
    level = service.check("ABC123")["sequence"]
    assert service.prune(NOW - timedelta(days=10)) == 0
    assert service.check("ABC123")["sequence"] == level


def test_service_runs_the_retention_of_each_site_once_a_day(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that fails keeps no other one waiting, and is tried again."""
    service.site("2000")
    run = service.parts.run_retention
    tried = []

    def on_a_bad_day(site: str, *, at: datetime) -> int:
        tried.append(site)
        if site == "1085":
            raise OSError("a bad day")
        return run(site, at=at)

    with monkeypatch.context() as bad:
        bad.setattr(service.parts, "run_retention", on_a_bad_day)
        for _ in range(2):
            service.clock.advance(hours=13)
            service.parts.run_due_retention()
        service.parts.run_due_retention()
    assert tried == ["1085", "2000", "1085"]
    service.permit("ABC123", id="gone", valid_until="2026-02-01")
    service.parts.run_due_retention()
    assert service.reader.get("/v1/sites/1085/permits/gone").json()["removed"]


@pytest.mark.parametrize("role", ["reader", "device"])
def test_only_feeders_push(service: Service, role: str) -> None:
    client: httpx.Client = service.device_client() if role == "device" else service.as_(role)
    answer = client.post("/v1/plate-updates", json={"updates": []})
    assert answer.status_code == 403
    assert service.client(None).post("/v1/plate-updates", json={}).status_code == 401


def test_number_that_no_database_could_keep_spoils_its_own_item_alone(service: Service) -> None:
    service.site()
    good, bad = service.update("ABC123"), service.update("XYZ999")
    text = json.dumps({"updates": [bad, good]}).replace(
        '"version": 1', '"version": ' + "9" * 5000, 1
    )
    headers = {"Content-Type": "application/json"}
    answer = service.feeder.post("/v1/plate-updates", content=text, headers=headers).json()
    assert answer["applied"] == 1
    assert [(r["index"], r["id"]) for r in answer["rejected"]] == [(0, bad["id"])]
    assert service.verdict("ABC123") == "valid"


def test_plate_that_lives_on_after_a_retention_run_is_known_to_index_and_record(
    service: Service,
) -> None:
    """A plate that the retention removed and that a later replacement revives, in both alike."""
    service.site(retention_days=0)
    first = service.permit("AAA111", confirmed_at="2026-09-01T12:00:00Z")
    second = first | {"version": 2, "plate": "BBB222", "confirmed_at": "2026-11-20T12:00:00Z"}
    service.push(second)
    service.clock.advance(days=1)
    service.prune(service.clock())
    third = second | {"version": 3, "plate": "CCC333", "confirmed_at": "2026-11-20T13:00:00Z"}
    service.push(third | {"valid_from": "2026-12-24"})
    service.assert_consistent()
    at = service.clock() + timedelta(hours=1)
    with service.parts.record.reading() as tx:
        plate = Plate("AAA111", "CA-QC")
        in_record = permits.permits_for(tx, "1085", plate)
    with service.parts.follower.replica("1085").reading() as view:
        in_index = view.permits_for(plate)
    retention = timedelta(0)
    assert judge(in_record, zone="G1", at=at, retention=retention) == judge(
        in_index, zone="G1", at=at, retention=retention
    )


def test_endless_short_lines_are_refused_before_they_are_kept(service: Service) -> None:
    service.site()
    headers = {"Content-Type": "application/x-ndjson"}
    began = time.process_time()
    answer = service.feeder.post("/v1/plate-updates", content=b"1\n" * 1_000_000, headers=headers)
    assert answer.status_code == 413
    assert time.process_time() - began < 10


def test_many_permits_ask_the_database_a_few_times_only(service: Service) -> None:
    """While they are written, their site's infractions wait."""
    asked = 0

    def count(_: Any, __: Any, ___: Any, parameters: Any, ____: Any, is_many: bool) -> None:
        nonlocal asked
        is_far = not service.parts.record.is_sqlite
        asked += len(parameters) if is_many and is_far else 1

    event.listen(service.parts.record.engine, "before_cursor_execute", count)
    fresh = [service.update(f"AAA{n:03}", id=f"p{n}") for n in range(150)]
    for updates in (fresh, [update | {"version": 2, "zones": ["G2"]} for update in fresh]):
        asked = 0
        assert service.push(*updates)["applied"] == len(updates)
        assert asked < len(updates) / 3
    assert service.verdict("AAA149") == "wrong_zone"
    service.assert_consistent()


def test_permits_beyond_what_the_database_takes_at_once_are_written_in_parts(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 4)
    longest = 0

    def measure(_: Any, __: Any, ___: Any, parameters: Any, ____: Any, is_many: bool) -> None:
        nonlocal longest
        texts = [] if is_many else [value for value in parameters if isinstance(value, str)]
        longest = max(longest, *(text.count("},") + 1 for text in texts), 0)

    event.listen(service.parts.record.engine, "before_cursor_execute", measure)
    fresh = [service.update(f"AAA{n:03}", id=f"p{n}") for n in range(10)]
    for updates in (fresh, [update | {"version": 2, "zones": ["G2"]} for update in fresh]):
        assert service.push(*updates)["applied"] == 10
    assert [service.verdict(f"AAA{n:03}") for n in (0, 9)] == ["wrong_zone"] * 2
    assert longest <= 4
    service.assert_consistent()
