"""Messages, the hotlist, patrollers and their questions, as a browser is told them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.enforcement_api.console.patrolling import Patrol
from tests.enforcement_api.console.visiting import Visiting, fields, visiting, words
from tests.service import Service, new_id

LIVE = "/console/sites/1085/live"


def patroller(service: Service, id: str = "marie", badge: str = "4217", name: str = "Marie") -> str:
    body = {"badge": badge, "name": name, "pin": "204816"}
    service.admin.put(f"/v1/sites/1085/patrollers/{id}", json=body).raise_for_status()
    return id


def signs_in(patrol: Patrol, badge: str, pin: str) -> bool:
    answer = patrol.client.post("/v1/sign-ins", json={"badge": badge, "pin": pin})
    return answer.status_code == 200


def told(patrol: Patrol) -> list[str]:
    briefing = patrol.client.get("/v1/sites/1085/briefing").json()
    return [message["text"] for message in briefing["messages"]]


# Messages


def test_message_reaches_devices_and_its_readers_are_told(
    service: Service, supervisor: Visiting
) -> None:
    one, two = Patrol(service, "H1"), Patrol(service, "H2")
    target = supervisor.sent(f"{LIVE}/messages", to="", text="Le P3 est fermé.", until="")
    assert "The message is sent" in words(supervisor.page(target))
    assert told(one) == told(two) == ["Le P3 est fermé."]
    (message,) = supervisor.twin(f"{LIVE}/messages")["items"]
    one.tell("message_read", message=message["id"], patroller="4217")
    page = words(supervisor.page(f"{LIVE}/messages"))
    assert "Devices that have read it: 1 of 2 H1" in page
    assert [each["device"] for each in supervisor.twin(f"{LIVE}/messages")["items"][0]["read"]] == [
        one.id
    ]


def test_message_to_one_device_or_patroller_says_whom(
    service: Service, supervisor: Visiting
) -> None:
    one, two = Patrol(service, "H1"), Patrol(service, "H2")
    patroller(service)
    form = supervisor.page(f"{LIVE}/messages", device=one.id)
    assert f'value="device:{one.id}" selected' in form
    supervisor.sent(f"{LIVE}/messages", to=f"device:{one.id}", text="À vous.")
    supervisor.sent(f"{LIVE}/messages", to="patroller:marie", text="Marie ?")
    assert set(told(one)) == {"Marie ?", "À vous."}
    assert told(two) == ["Marie ?"]
    page = words(supervisor.page(f"{LIVE}/messages"))
    assert "To: H1" in page
    assert "To: Marie" in page


def test_message_is_withdrawn_and_expires(service: Service, supervisor: Visiting) -> None:
    patrol = Patrol(service)
    supervisor.sent(f"{LIVE}/messages", to="", text="Un", until="2026-11-23T10:45")
    supervisor.sent(f"{LIVE}/messages", to="", text="Deux")
    items = supervisor.twin(f"{LIVE}/messages")["items"]
    assert {each["text"]: each["expires_at"] for each in items}["Un"] == "2026-11-23T15:45:00Z"
    id = next(each["id"] for each in items if each["text"] == "Deux")
    supervisor.sent(f"{LIVE}/messages/{id}/withdraw")
    assert told(patrol) == ["Un"]
    service.clock.advance(minutes=31)
    assert told(patrol) == []
    page = words(supervisor.page(f"{LIVE}/messages"))
    assert page.index("Past messages") < page.index("Un To:")


def test_form_sent_twice_is_one_message(service: Service, supervisor: Visiting) -> None:
    id = fields(supervisor.page(f"{LIVE}/messages"))["id"]
    for _ in range(2):
        supervisor.sent(f"{LIVE}/messages", id=id, to="", text="Une fois", until="2026-12-01T00:00")
    assert len(supervisor.twin(f"{LIVE}/messages")["items"]) == 1


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"text": " "}, "Text:"),
        ({"text": "x", "until": "hier"}, "Until: must be a date and a time"),
        ({"text": "x", "until": "2020-01-01T00:00"}, "Until: has passed already"),
        ({"text": "x", "to": "device:no"}, "Device: is no device of this site"),
        ({"text": "x", "to": "patroller:no"}, "Patroller: is no patroller of this site"),
        ({"text": "4111 1111 1111 1111"}, "card number"),
    ],
)
def test_message_that_cannot_be_taken_comes_back(
    supervisor: Visiting, given: dict[str, str], wrong: str
) -> None:
    answer = supervisor.send(f"{LIVE}/messages", **given)
    assert answer.status_code == 422
    assert wrong in words(answer.text)
    assert f">{given['text'].strip()}</textarea>" in answer.text
    assert supervisor.twin(f"{LIVE}/messages")["items"] == []


def test_older_messages_are_on_further_pages(service: Service, supervisor: Visiting) -> None:
    for n in range(55):
        body = {"text": f"Message {n}."}
        service.admin.put(f"/v1/sites/1085/messages/{new_id()}", json=body).raise_for_status()
        service.clock.advance(seconds=1)
    page = supervisor.page(f"{LIVE}/messages")
    (older,) = re.findall(r'href="([^"]*after=[^"]*)"', page)
    assert "Message 54." in page
    assert "Message 4." not in page
    assert "Message 4." in supervisor.page(older)


# Hotlist


def test_plate_is_listed_changed_and_taken_off(service: Service, supervisor: Visiting) -> None:
    form = supervisor.page(f"{LIVE}/hotlist", plate="abc 123")
    assert 'value="abc 123"' in form
    supervisor.sent(
        f"{LIVE}/hotlist",
        plate="abc 123",
        jurisdiction="CA-QC",
        reason="Volé",
        priority="high",
        instructions="Appeler.",
        expires_at="2027-01-31T00:00",
    )
    (entry,) = supervisor.twin(f"{LIVE}/hotlist")["items"]
    assert (entry["plate"], entry["priority"], entry["expires_at"]) == (
        "ABC123",
        "high",
        "2027-01-31T05:00:00Z",
    )
    handheld = service.handheld()
    handheld.pull()
    again = words(supervisor.page(f"{LIVE}/hotlist", plate="ABC123"))
    assert "ABC123 is on it already: Volé" in again
    path = f"{LIVE}/hotlist/{entry['id']}"
    page = supervisor.page(path)
    assert 'value="2027-01-31T00:00"' in page
    supervisor.sent(
        path,
        plate="ABC123",
        jurisdiction="CA-QC",
        reason="Retrouvé",
        priority="low",
        seen=fields(page)["seen"],
    )
    (entry,) = supervisor.twin(f"{LIVE}/hotlist")["items"]
    assert (entry["reason"], entry["priority"], entry["expires_at"]) == ("Retrouvé", "low", None)
    supervisor.sent(f"{path}/remove")
    assert supervisor.twin(f"{LIVE}/hotlist")["items"] == []
    assert supervisor.get(path).status_code == 404


def test_entry_that_somebody_else_changed_is_not_overwritten(
    service: Service, supervisor: Visiting
) -> None:
    given = {"plate": "ABC123", "jurisdiction": "CA-QC", "reason": "Volé", "priority": "high"}
    supervisor.sent(f"{LIVE}/hotlist", **given)
    (entry,) = supervisor.twin(f"{LIVE}/hotlist")["items"]
    path = f"{LIVE}/hotlist/{entry['id']}"
    seen = fields(supervisor.page(path))["seen"]
    other = visiting(service, "luc@example.org", sites=["1085"])
    other.sent(path, **(given | {"reason": "Retrouvé"}), seen=seen)
    answer = supervisor.send(path, **given, seen=seen)
    assert answer.status_code == 409
    assert "Somebody else has changed this entry meanwhile" in words(answer.text)
    assert 'value="Retrouvé"' in answer.text


def test_urgent_comes_first_and_expired_last_and_a_plate_is_found(
    service: Service, supervisor: Visiting
) -> None:
    entries: list[tuple[str, str, Any]] = [
        ("AAA111", "high", "2026-11-23T15:20:00Z"),
        ("BBB222", "low", None),
        ("CCC333", "high", None),
    ]
    for plate, priority, expires in entries:
        body = {"plate": plate, "reason": "x", "priority": priority, "expires_at": expires}
        service.admin.put(f"/v1/sites/1085/hotlist/{plate}", json=body).raise_for_status()
    service.clock.advance(minutes=10)
    plates = [each["plate"] for each in supervisor.twin(f"{LIVE}/hotlist")["items"]]
    assert plates == ["CCC333", "BBB222", "AAA111"]
    found = supervisor.twin(f"{LIVE}/hotlist", find="bb 2")["items"]
    assert [each["plate"] for each in found] == ["BBB222"]
    assert "expired" in words(supervisor.page(f"{LIVE}/hotlist"))


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"plate": "!!"}, "Plate: is no plate"),
        ({"reason": ""}, "Reason:"),
        ({"priority": "medium"}, "Priority:"),
        ({"jurisdiction": "Québec"}, "Jurisdiction:"),
        ({"expires_at": "2020-01-01T00:00"}, "Until: has passed already"),
    ],
)
def test_entry_that_cannot_be_taken_comes_back(
    supervisor: Visiting, changed: dict[str, str], wrong: str
) -> None:
    given = {"plate": "ABC123", "jurisdiction": "CA-QC", "reason": "Volé", "priority": "high"}
    answer = supervisor.send(f"{LIVE}/hotlist", **(given | changed))
    assert answer.status_code == 422
    assert wrong in words(answer.text)
    assert supervisor.twin(f"{LIVE}/hotlist")["items"] == []


# Patrollers


def pin_of(page: str) -> str:
    found = re.search(r'class="pin">(\d{3}) (\d{3})<', page)
    assert found is not None
    return found[1] + found[2]


def test_patroller_is_added_with_a_pin_shown_once(service: Service, supervisor: Visiting) -> None:
    answer = supervisor.send(f"{LIVE}/patrollers", name="Marie Tremblay", badge="4217")
    assert answer.status_code == 200
    pin = pin_of(answer.text)
    (person,) = supervisor.twin(f"{LIVE}/patrollers")["patrollers"]
    assert re.fullmatch(r"marie-tremblay-[0-9a-f]{6}", person["id"])
    assert signs_in(Patrol(service), "4217", pin)
    page = supervisor.page(f"{LIVE}/patrollers/{person['id']}")
    assert 'class="pin"' not in page


def test_new_pin_takes_the_place_of_the_old_and_tells_where_that_may_still_work(
    service: Service, supervisor: Visiting
) -> None:
    id, patrol = patroller(service), Patrol(service, "Handheld 7")
    assert signs_in(patrol, "4217", "204816")
    answer = supervisor.send(f"{LIVE}/patrollers/{id}/pin")
    pin = pin_of(answer.text)
    assert "these devices may still take the old PIN" in words(answer.text)
    assert "Handheld 7 , until" in words(answer.text)
    assert signs_in(patrol, "4217", pin)
    assert not signs_in(patrol, "4217", "204816")
    assert "old PIN" not in words(supervisor.page(f"{LIVE}/patrollers/{id}"))


def test_patroller_is_renamed_and_removed(service: Service, supervisor: Visiting) -> None:
    id = patroller(service)
    patroller(service, "luc", "5000", "Luc")
    path = f"{LIVE}/patrollers/{id}"
    answer = supervisor.send(path, name="Marie Roy", badge="5000")
    assert answer.status_code == 409
    assert 'value="Marie Roy"' in answer.text
    supervisor.sent(path, name="Marie Roy", badge="4218")
    people = supervisor.twin(f"{LIVE}/patrollers")["patrollers"]
    assert [(each["name"], each["badge"]) for each in people] == [
        ("Luc", "5000"),
        ("Marie Roy", "4218"),
    ]
    supervisor.sent(f"{path}/remove")
    assert supervisor.get(path).status_code == 404


def test_last_shift_and_last_activity_are_told(service: Service, supervisor: Visiting) -> None:
    patroller(service)
    patrol = Patrol(service)
    patrol.tell("shift_started", shift="s", patroller="marie", zone="G1")
    service.clock.advance(minutes=20)
    patrol.record(patroller="4217")
    service.clock.advance(minutes=10)
    (person,) = supervisor.twin(f"{LIVE}/patrollers")["patrollers"]
    assert person["last_shift_at"] == "2026-11-23T15:15:00Z"
    assert person["last_activity_at"] == "2026-11-23T15:35:00Z"
    page = words(supervisor.page(f"{LIVE}/patrollers"))
    assert "Marie 4217 30 minutes ago 10 minutes ago" in page


def test_question_that_nobody_hears_is_told_with_what_to_do(
    service: Service, supervisor: Visiting
) -> None:
    patroller(service)
    here, silent, gone = (Patrol(service, name) for name in ("Here", "Silent", "Gone"))
    service.clock.advance(minutes=1)
    for patrol in (here, silent, gone):
        patrol.ask(patrol.record(patroller="4217", number=None, outcome="warning"))
    service.clock.advance(minutes=45)
    supervisor.page(f"{LIVE}/patrollers")
    service.clock.advance(minutes=20)
    here.is_like()
    supervisor.sent(f"{LIVE}/devices/{gone.id}/revoke")

    lost = {
        each["device"]: each["lost"] for each in supervisor.twin(f"{LIVE}/patrollers")["questions"]
    }

    assert lost == {here.id: None, silent.id: "unheard", gone.id: "revoked"}
    page = words(supervisor.page(f"{LIVE}/patrollers"))
    assert "Its device is revoked: nobody hears the question. Reopen it, or decide." in page
    assert page.count("Reopen it, or decide.") == 2
    assert "Marie 4217 — 1 hour ago 3" in page
    one = words(supervisor.page(f"{LIVE}/patrollers/marie"))
    assert one.count("Quelle place ?") == 3


def test_nobody_touches_another_site_s(service: Service, supervisor: Visiting) -> None:
    service.site("2000")
    other = "/console/sites/2000/live"
    for path in ("messages", "hotlist", "patrollers"):
        assert supervisor.get(f"{other}/{path}").status_code == 403
        assert supervisor.get(f"{other}/{path}.json").status_code == 403
        assert supervisor.send(f"{other}/{path}", name="x", badge="1").status_code == 403


def test_forms_need_their_token(service: Service, supervisor: Visiting) -> None:
    id = patroller(service)
    for path in ("messages", "hotlist", "patrollers", f"patrollers/{id}/pin"):
        answer = supervisor.client.post(f"{LIVE}/{path}", data={"text": "x", "name": "x"})
        assert answer.status_code == 403


def test_hostile_text_is_text(service: Service, supervisor: Visiting) -> None:
    hostile = "<script>alert(1)</script>\N{RIGHT-TO-LEFT OVERRIDE}'; DROP TABLE x;--=1+1"
    supervisor.sent(f"{LIVE}/messages", to="", text=hostile)
    supervisor.sent(f"{LIVE}/hotlist", plate="ABC123", reason=hostile, priority="high")
    supervisor.send(f"{LIVE}/patrollers", name=hostile, badge="1")
    for path in ("messages", "hotlist", "patrollers"):
        page = supervisor.page(f"{LIVE}/{path}")
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page
