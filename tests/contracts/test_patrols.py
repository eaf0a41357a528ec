"""What patrols are told, and what they tell of their infractions; on both engines."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from enforcement_api.devices import events
from enforcement_api.devices.events import EventIn
from enforcement_api.feed import store as feed
from enforcement_api.infractions import store as infractions
from enforcement_api.infractions.lifecycle import VOID_REASONS
from enforcement_api.patrols import store as patrols
from enforcement_api.permits import store as permits
from enforcement_api.security import Principal
from sync.codec import instant
from sync.plates import Plate
from tests.service import NOW, Service, infraction, new_id

SETTINGS = {
    "repeat_days": 7,
    "two_vehicles_minutes": 120,
    "void_minutes": 10,
    "idle_lock_minutes": 10,
    "ask_about_faces": True,
    "chalk_minutes": [15, 30, 60, 120],
}
NOTHING = {"operator": None, "how_to_pay": None, "how_to_contest": None, "footer": None}
TEXTS = {kind: {"fr": NOTHING, "en": NOTHING} for kind in ("avis", "constat", "warning")} | {
    "payment_url": None
}
AT = "/v1/sites/1085"


@pytest.fixture(autouse=True)
def site(service: Service) -> None:
    service.site()


def briefing(device: httpx.Client) -> dict[str, Any]:
    answer = device.get(f"{AT}/briefing")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def tell(device: httpx.Client, kind: str, *, at: Any = NOW, id: str = "", **facts: Any) -> str:
    """An event, kept; its id."""
    id = id or new_id()
    body = {"kind": kind, "site": "1085", "at": instant(at)} | facts
    answer = device.put(f"/v1/events/{id}", json=body)
    assert answer.status_code in (200, 201), answer.text
    return id


def record(device: httpx.Client, id: str = "", **facts: Any) -> str:
    """An infraction, handed over; its id."""
    id = id or new_id()
    answer = device.put(f"/v1/infractions/{id}", json=infraction(**facts))
    assert answer.status_code in (200, 201), answer.text
    return id


def review(service: Service, id: str, decision: str, **wanted: Any) -> httpx.Response:
    body = {"decision": decision, "expected_state": "received"} | wanted
    return service.admin.post(f"/v1/infractions/{id}/reviews", json=body)


def look(service: Service, id: str) -> dict[str, Any]:
    found: dict[str, Any] = service.admin.get(f"/v1/infractions/{id}").json()
    return found


def notice(service: Service, id: str) -> dict[str, Any]:
    """What handhelds are told of an infraction."""
    changes = service.admin.get(f"{AT}/changes").json()["changes"]
    (found,) = [c["record"] for c in changes if (c["kind"], c["id"]) == ("notice", id)]
    told: dict[str, Any] = found
    return told


def history(service: Service, id: str) -> list[tuple[str, str]]:
    return [(line["event"], line["state"]) for line in look(service, id)["history"]]


def marie(service: Service) -> None:
    body = {"badge": "4217", "name": "Marie Tremblay", "pin": "204816"}
    assert service.admin.put(f"{AT}/patrollers/marie", json=body).status_code == 201


# The briefing and its settings


def test_briefing_has_defaults_for_everything(service: Service) -> None:
    told = {"settings": SETTINGS, "texts": TEXTS, "messages": [], "questions": [], "checks": []}
    assert briefing(service.device_client()) == told
    answer = service.admin.get(f"{AT}/patrol-settings")
    assert answer.json() == {"settings": SETTINGS, "texts": TEXTS}


def test_briefing_that_is_the_same_is_not_sent_again(service: Service) -> None:
    device = service.device_client()
    first = device.get(f"{AT}/briefing")
    asking = {"If-None-Match": first.headers["etag"]}
    again = device.get(f"{AT}/briefing", headers=asking)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    service.admin.put(f"{AT}/patrol-settings", json={"settings": {"repeat_days": 1}})
    changed = device.get(f"{AT}/briefing", headers=asking)
    assert changed.status_code == 200
    assert changed.json()["settings"] == SETTINGS | {"repeat_days": 1}


def test_settings_are_replaced_as_a_whole_and_logged(service: Service) -> None:
    printed = {"operator": "SPAQ", "footer": "Merci\nà bientôt"}
    texts = {"avis": {"fr": printed}, "payment_url": "https://example.org/payer?no={number}"}
    whole = {"settings": {"chalk_minutes": [90]}, "texts": texts}
    answer = service.admin.put(f"{AT}/patrol-settings", json=whole)
    assert answer.status_code == 200, answer.text
    shown = {
        "settings": SETTINGS | {"chalk_minutes": [90]},
        "texts": TEXTS | texts | {"avis": {"fr": NOTHING | printed, "en": NOTHING}},
    }
    assert answer.json() == service.admin.get(f"{AT}/patrol-settings").json() == shown
    told = briefing(service.device_client())
    assert {name: told[name] for name in ("settings", "texts")} == shown
    answer = service.admin.put(f"{AT}/patrol-settings", json={})
    assert answer.json() == {"settings": SETTINGS, "texts": TEXTS}
    log = service.admin.get("/v1/audit", params={"subject": "patrol-settings:1085"}).json()
    assert len(log["items"]) == 2


def test_settings_that_make_no_sense_are_refused_and_named(service: Service) -> None:
    for pointer, body in {
        "/settings/repeat_days": {"settings": {"repeat_days": 366}},
        "/settings/two_vehicles_minutes": {"settings": {"two_vehicles_minutes": -1}},
        "/settings/void_minutes": {"settings": {"void_minutes": 1441}},
        "/settings/idle_lock_minutes": {"settings": {"idle_lock_minutes": 0}},
        "/settings/ask_about_faces": {"settings": {"ask_about_faces": "yes"}},
        "/settings/chalk_minutes": {"settings": {"chalk_minutes": []}},
        "/settings/chalk_minutes/0": {"settings": {"chalk_minutes": [0]}},
        "/settings/unheard": {"settings": {"unheard": 1}},
        "/texts/avis/fr/footer": {"texts": {"avis": {"fr": {"footer": "x" * 2001}}}},
        "/texts/avis/en/operator": {"texts": {"avis": {"en": {"operator": "4111111111111111"}}}},
        "/texts/payment_url": {"texts": {"payment_url": "javascript:alert(1)"}},
    }.items():
        answer = service.admin.put(f"{AT}/patrol-settings", json=body)
        assert answer.status_code == 422, (pointer, answer.text)
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    twice = {"settings": {"chalk_minutes": [15, 15]}}
    assert service.admin.put(f"{AT}/patrol-settings", json=twice).status_code == 422
    assert service.admin.get(f"{AT}/patrol-settings").json()["settings"] == SETTINGS


# Messages


def send(service: Service, id: str = "", **message: Any) -> httpx.Response:
    body = {"text": "Le P3 est fermé."} | message
    return service.admin.put(f"{AT}/messages/{id or new_id()}", json=body)


def test_message_reaches_every_device_until_it_expires(service: Service) -> None:
    devices = [service.device_client() for _ in range(2)]
    sent = send(service)
    assert sent.status_code == 201
    told = {name: sent.json()[name] for name in ("id", "at", "from", "text")} | {"to": None}
    assert (told["at"], told["from"]) == (instant(NOW), "admin")
    assert [briefing(device)["messages"] for device in devices] == [[told], [told]]
    until_noon = send(service, text="À midi", expires_at="2026-11-23T17:00:00Z").json()["id"]
    assert {m["id"] for m in briefing(devices[0])["messages"]} == {told["id"], until_noon}
    service.clock.at = NOW + timedelta(hours=2)
    assert briefing(devices[0])["messages"] == [told]
    service.clock.at = NOW + timedelta(days=7)
    assert briefing(devices[0])["messages"] == []


def test_message_to_one_device_or_patroller_says_so(service: Service) -> None:
    marie(service)
    one, other = service.handheld(), service.handheld()
    theirs = service.client(one.token), service.client(other.token)
    assert send(service, text="À toi", to_device=one.id).status_code == 201
    assert send(service, text="À Marie", to_patroller="4217").json()["to_patroller"] == "marie"
    told = [{(m["text"], m["to"]) for m in briefing(device)["messages"]} for device in theirs]
    assert told == [{("À toi", None), ("À Marie", "marie")}, {("À Marie", "marie")}]
    for whom in ({"to_device": "nobody"}, {"to_device": "\0"}, {"to_patroller": "nobody"}):
        assert send(service, **whom).status_code == 422
    service.site("2000")
    assert send(service, to_device=service.handheld("2000").id).status_code == 422


def test_message_is_sent_once_and_withdrawn(service: Service) -> None:
    device, id = service.device_client(), new_id()
    first = send(service, id)
    again = send(service, id.upper())
    assert (again.status_code, again.json()) == (200, first.json())
    other = send(service, id, text="Autre chose")
    assert (other.status_code, other.json()["type"]) == (409, "/problems/message-conflict")
    assert service.admin.delete(f"{AT}/messages/{id}").status_code == 204
    assert briefing(device)["messages"] == []
    for unknown in (id, "x"):
        answer = service.admin.delete(f"{AT}/messages/{unknown}")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-message")
    log = service.admin.get("/v1/audit", params={"subject": f"message:{id}"}).json()
    assert len(log["items"]) == 2


def test_messages_sent_at_once_under_one_id_are_one(service: Service) -> None:
    id = new_id()
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: send(service, id).status_code, range(8)))
    assert sorted(told) == [200] * 7 + [201]


def test_supervisor_sees_who_has_read_a_message(service: Service) -> None:
    handheld = service.handheld()
    device = service.client(handheld.token)
    ids = [send(service, text=text).json()["id"] for text in "abc"]
    tell(device, "message_read", message=ids[0].upper(), at=NOW + timedelta(minutes=2))
    tell(device, "message_read", message=ids[0], at=NOW + timedelta(minutes=1))
    tell(device, "message_read", message=new_id())
    first = service.admin.get(f"{AT}/messages", params={"limit": 2}).json()
    rest = service.admin.get(f"{AT}/messages", params={"cursor": first["next_cursor"]}).json()
    assert rest["next_cursor"] is None
    read = {m["id"]: m["read"] for m in first["items"] + rest["items"]}
    assert read == {
        ids[0]: [{"device": handheld.id, "at": "2026-11-23T15:16:00Z"}], ids[1]: [], ids[2]: []
    }  # fmt: skip


# Questions and answers


def test_question_reaches_the_device_and_its_answer_the_log(service: Service) -> None:
    marie(service)
    device, other = service.device_client(), service.device_client()
    id = record(device, number="1085-1")
    assert briefing(device)["questions"] == []
    review(service, id, "request_information", note="Quelle place ?")
    told = {
        "infraction": id,
        "number": "1085-1",
        "plate": "ABC123",
        "at": instant(NOW),
        "from": "admin",
        "text": "Quelle place ?",
    }
    assert briefing(device)["questions"] == [told]
    assert briefing(other)["questions"] == []
    event = tell(device, "answer", infraction=id.upper(), text="La C12", patroller="4217")
    assert briefing(device)["questions"] == []
    found = look(service, id)
    assert found["state"] == notice(service, id)["state"] == "received"
    last = found["reviews"][-1]
    assert (last["decision"], last["note"]) == ("answer", "La C12")
    assert (last["by_name"], last["state_before"]) == ("Marie Tremblay", "information_requested")
    line = found["history"][-1]
    assert (line["event"], line["facts"]["event"]) == ("answered", event)
    service.assert_consistent()
    # Asked once more, the newest question counts.
    service.clock.advance(minutes=1)
    review(service, id, "request_information", note="Et le lot ?")
    assert [asked["text"] for asked in briefing(device)["questions"]] == ["Et le lot ?"]


def test_answer_that_nobody_asked_for_is_kept_and_changes_nothing(service: Service) -> None:
    device = service.device_client()
    id = record(device)
    tell(device, "answer", infraction=id, text="Au fait", patroller="4217")
    assert history(service, id) == [("received", "received"), ("answered", "received")]
    assert look(service, id)["reviews"] == []
    review(service, id, "confirm")
    tell(device, "answer", infraction=id, text="Trop tard", patroller="4217")
    assert history(service, id)[-1] == ("answered", "confirmed")
    assert look(service, id)["state"] == "confirmed"


# Voided by who recorded it


def test_patroller_voids_their_own_and_every_handheld_hears_why(service: Service) -> None:
    marie(service)
    device = service.device_client()
    block = device.put(f"{AT}/number-blocks/{(block_id := new_id())}").json()
    number = f"{block['prefix']}{block['first']}"
    id = record(device, number=number, patroller="marie")
    for _ in range(2):  # sent twice, it counts once
        tell(device, "infraction_voided", id=id, infraction=id, reason="duplicate",
             patroller="4217", at=NOW + timedelta(minutes=9))  # fmt: skip
    found = look(service, id)
    told = notice(service, id)
    assert (found["state"], found["decision_reason"]) == ("voided", "duplicate")
    assert (told["state"], told["decision_reason"]) == ("voided", "duplicate")
    assert history(service, id) == [("received", "received"), ("voided", "voided")]
    (only,) = found["reviews"]
    assert (only["by_name"], only["decision"]) == ("Marie Tremblay", "void")
    assert "voided-late" not in found["warnings"]
    kept = service.reader.get(f"{AT}/number-blocks/{block_id}").json()
    assert kept["issued"] == [number]
    # A supervisor may look at it again.
    again = review(service, id, "reopen", expected_state="voided")
    assert again.status_code == 201
    assert notice(service, id)["decision_reason"] is None
    service.assert_consistent()


def test_reason_that_is_not_of_the_list_is_kept_as_it_is(service: Service) -> None:
    device = service.device_client()
    for reason in (*VOID_REASONS, "le chat a marché dessus"):
        id = record(device)
        tell(device, "infraction_voided", infraction=id, reason=reason, patroller="4217")
        assert look(service, id)["decision_reason"] == reason


def test_voiding_after_the_grace_time_counts_and_is_flagged(service: Service) -> None:
    device = service.device_client()
    id = record(device)
    receipt = device.put(f"/v1/infractions/{id}", json=infraction()).json()
    late = NOW + timedelta(minutes=10, seconds=1)
    tell(device, "infraction_voided", infraction=id, reason="duplicate", patroller="4217", at=late)
    found = look(service, id)
    assert found["state"] == "voided"
    assert "voided-late" in found["warnings"]
    assert found["history"][-1]["facts"]["late"] is True
    assert device.put(f"/v1/infractions/{id}", json=infraction()).json() == receipt
    service.admin.put(f"{AT}/patrol-settings", json={"settings": {"void_minutes": 30}})
    other = record(device)
    tell(device, "infraction_voided", infraction=other, reason="x", patroller="4217", at=late)
    assert "voided-late" not in look(service, other)["warnings"]


def test_voiding_that_comes_before_its_infraction_waits_for_it(service: Service) -> None:
    device, id = service.device_client(), new_id()
    tell(device, "infraction_voided", infraction=id, reason="emergency", patroller="4217")
    answer = device.put(f"/v1/infractions/{id}", json=infraction())
    assert (answer.status_code, answer.json()["state"]) == (201, "received")
    assert look(service, id)["state"] == notice(service, id)["state"] == "voided"
    again = device.put(f"/v1/infractions/{id}", json=infraction())
    assert (again.status_code, again.json()) == (200, answer.json())
    service.assert_consistent()


def test_voiding_and_its_infraction_at_the_same_moment_meet(service: Service) -> None:
    device, ids = service.device_client(), [new_id() for _ in range(12)]
    holding, may_end = threading.Event(), threading.Event()

    def hold(tx: Any) -> None:
        feed.lock(tx, "1085")
        holding.set()
        may_end.wait(30)

    def void(id: str) -> None:
        tell(device, "infraction_voided", infraction=id, reason="duplicate", patroller="4217")

    with ThreadPoolExecutor(25) as pool:
        held = pool.submit(service.parts.record.write, hold)
        assert holding.wait(30)
        asked = [pool.submit(what, *of) for id in ids for what, of in
                 ((record, (device, id)), (void, (id,)))]  # fmt: skip
        may_end.set()
        for each in (held, *asked):
            each.result(60)
    assert {look(service, id)["state"] for id in ids} == {"voided"}
    service.assert_consistent()


def test_voiding_that_may_not_be_is_kept_and_the_history_tells(service: Service) -> None:
    handheld = service.handheld()
    device = service.client(handheld.token)

    def void(id: str, patroller: Any = "4217") -> None:
        tell(device, "infraction_voided", infraction=id, reason="duplicate", patroller=patroller)

    def because(id: str) -> str:
        line = look(service, id)["history"][-1]
        assert line["event"] == "void-kept"
        return str(line["facts"]["because"])

    decided = record(device)
    review(service, decided, "confirm")
    void(decided)
    assert (look(service, decided)["state"], because(decided)) == ("confirmed", "decided")
    anothers = record(device)
    for patroller in ("4218", None, 4217):
        void(anothers, patroller)
        assert look(service, anothers)["state"] == "received"
        assert because(anothers) == "another-patroller"
    service.admin.delete(f"/v1/devices/{handheld.id}")
    void(anothers)
    assert because(anothers) == "after-revocation"
    service.site("2000")
    elsewhere = service.device_client("2000")
    body = {"kind": "infraction_voided", "site": "2000", "at": instant(NOW), "patroller": "4217"}
    body |= {"infraction": anothers, "reason": "duplicate"}
    assert elsewhere.put(f"/v1/events/{new_id()}", json=body).status_code == 201
    assert look(service, anothers)["state"] == "received"


# Vehicles seen elsewhere


def check(device: httpx.Client, plate: str, number: Any, **facts: Any) -> str:
    facts = {"plate": plate, "jurisdiction": "CA-QC", "zone": "G1", "lot": None, "place": "C12",
             "verdict": "valid", "permit_number": number, "patroller": "4217", "shift": None,
             "purpose": "patrol"} | facts  # fmt: skip
    return tell(device, "check", **facts)


def two_vehicles(service: Service) -> None:
    for plate in ("AAA111", "BBB222"):
        service.permit(plate, permit_number="P-2")
    service.permit("CCC333", permit_number="P-1")


def test_vehicle_of_a_shared_permit_is_told_to_other_devices_alone(service: Service) -> None:
    two_vehicles(service)
    handheld, other = service.handheld(), service.device_client()
    device = service.client(handheld.token)
    id = check(device, "AAA111", "P-2")
    check(device, "CCC333", "P-1")
    check(device, "DDD444", None)
    check(device, "DDD444", "P-2")  # the permit is not this plate's
    check(device, "AAA111", "P-9")
    told = {
        "id": id,
        "plate": "AAA111",
        "jurisdiction": "CA-QC",
        "permit_number": "P-2",
        "zone": "G1",
        "lot": None,
        "place": "C12",
        "at": instant(NOW),
        "device": "Handheld 7",
    }
    assert briefing(other)["checks"] == [told]
    assert briefing(device)["checks"] == []
    service.site("2000")
    elsewhere = service.device_client("2000")
    assert elsewhere.get("/v1/sites/2000/briefing").json()["checks"] == []


def test_vehicle_is_told_within_the_time_that_the_site_sets(service: Service) -> None:
    two_vehicles(service)
    device, other = service.device_client(), service.device_client()
    old = check(device, "AAA111", "P-2", at=NOW - timedelta(minutes=121))
    new = check(device, "BBB222", "P-2", at=NOW - timedelta(minutes=120))
    assert [seen["id"] for seen in briefing(other)["checks"]] == [new]
    settings = {"settings": {"two_vehicles_minutes": 180}}
    service.admin.put(f"{AT}/patrol-settings", json=settings)
    assert [seen["id"] for seen in briefing(other)["checks"]] == [new, old]


def test_plate_that_has_ended_shares_no_permit(service: Service) -> None:
    service.permit("AAA111", permit_number="P-2")
    service.permit("BBB222", permit_number="P-2", ends_at=instant(NOW - timedelta(days=1)))
    device, other = service.device_client(), service.device_client()
    check(device, "AAA111", "P-2")
    assert briefing(other)["checks"] == []


def test_number_that_a_feeder_gives_to_all_is_no_shared_permit(service: Service) -> None:
    service.push(*(service.update(f"AAA{n:03}") for n in range(101)))
    device, other = service.device_client(), service.device_client()
    check(device, "AAA001", "100014764")
    assert briefing(other)["checks"] == []


def test_newest_five_hundred_are_told(service: Service) -> None:
    two_vehicles(service)
    record, device = service.parts.record, service.device_client()
    by = Principal("d-1", "device", "d-1", "d-1", frozenset({"1085"}))

    def write(tx: Any) -> None:
        for n in range(501):
            sent = EventIn.model_validate(
                {"kind": "check", "site": "1085", "at": instant(NOW - timedelta(seconds=n)),
                 "plate": "AAA111", "permit_number": "P-2", "place": str(n)}
            )  # fmt: skip
            events.receive(record, tx, new_id(), sent, by=by, at=NOW, plates_of=permits.plates_of)

    record.write(write)
    told = [seen["place"] for seen in briefing(device)["checks"]]
    assert told == [str(n) for n in range(500)]


@pytest.mark.parametrize("database_url", [None], ids=["sqlite"])
def test_what_a_briefing_asks_is_read_by_an_index(service: Service) -> None:
    """Of events and infractions there are very many, and every handheld asks twice a minute. Of
    SQLite alone: PostgreSQL plans by what lies in the tables.
    """
    with service.parts.record.reading() as tx:
        asked: list[str] = []
        connection = tx.connection.driver_connection
        assert connection is not None
        connection.set_trace_callback(asked.append)
        events.shared_checks(tx, "1085", besides="d", since=NOW)
        events.of_subject(tx, "1085", "infraction:x")
        events.read_by(tx, "1085", ["x", "y"])
        permits.plates_of(tx, "1085", "P-2", NOW)
        infractions.questions(tx, "1085", "d")
        patrols.messages_for(tx, "1085", "d", NOW)
        connection.set_trace_callback(None)
        plans = [
            " ".join(str(row) for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}"))
            for query in asked
        ]
    named = ("events_shared_permit", "events_subject", "events_subject", "permit_versions_number",
             "infractions_asked", "patrol_messages_expires")  # fmt: skip
    for plan, index in zip(plans, named, strict=True):
        assert f" ix_{index} (" in plan


# Whatever comes


ODD = (None, True, 7, "", " ", "x", [], {}, ["a"], {"a": 1}, "x" * 3000, "4111111111111111", "\0")


def test_event_with_odd_facts_is_kept_and_hurts_nobody(service: Service) -> None:
    two_vehicles(service)
    device, other = service.device_client(), service.device_client()
    id, message = record(device), send(service).json()["id"]
    whole: dict[str, dict[str, Any]] = {
        "check": {"plate": "AAA111", "permit_number": "P-2", "zone": "G1", "place": "C12",
                  "verdict": "valid"},
        "answer": {"infraction": id, "text": "x", "patroller": "4217"},
        "infraction_voided": {"infraction": id, "reason": "x", "patroller": "nobody"},
        "message_read": {"message": message},
    }  # fmt: skip
    sent = 0
    for kind, facts in whole.items():
        for name in facts:
            for odd in ODD:
                tell(device, kind, **(facts | {name: odd}))
                sent += 1
    assert len(service.reader.get("/v1/events", params={"limit": 500}).json()["items"]) == sent
    assert look(service, id)["state"] == "received"
    for seen in briefing(other)["checks"]:
        assert all(value is None or len(value) <= 500 for value in seen.values())
    assert service.admin.get(f"{AT}/messages").status_code == 200


def test_handheld_hands_its_events_over_by_its_outbox(service: Service) -> None:
    handheld = service.handheld()
    id = record(service.client(handheld.token))
    body = {"kind": "infraction_voided", "site": "1085", "at": instant(NOW), "infraction": id,
            "reason": "duplicate", "patroller": "4217"}  # fmt: skip
    handheld.outbox.put_event(new_id(), body, at=NOW)
    handheld.push()
    handheld.pull()
    with handheld.replica.reading() as view:
        states = [told.state for told in view.notices(Plate("ABC123", "CA-QC"))]
    assert states == ["voided"]
    handheld.assert_level_with(service)
