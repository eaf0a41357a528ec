"""What is known of a person: confirmed, given to them, erased, let go when it has served (Law 25);
on both engines.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from enforcement_api.database.tables import events, metadata
from enforcement_api.subscriptions import privacy
from sync.codec import instant
from tests.mail import Mailbox
from tests.service import NOW, Service, picture, running
from tests.subscribing import Office, new_id

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SECRETS = ("Zacharie", "Quenneville", "zq@example.org", "Introuvable", "819 555-9876", "ABC123")


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as mailbox:
        yield mailbox


@pytest.fixture
def office(tmp_path: Path, database_url: str | None, mailbox: Mailbox) -> Iterator[Office]:
    with running(tmp_path, database_url=database_url, **mailbox.settings) as service:
        service.site(zones=["G1", "G2"])
        yield Office(service)


def zacharie(office: Office) -> str:
    return office.holder(
        first_name="Zacharie",
        last_name="Quenneville",
        email="zq@example.org",
        line1="77, rue Introuvable",
        mobile="819 555-9876",
    )


def attach(office: Office, purpose: str) -> str:
    id = new_id()
    params = {"site": "1085", "purpose": purpose, "name": "Zacharie Quenneville.jpg"}
    content = picture("red" if purpose == "proof" else "green")
    answer = office.client.put(f"/v1/attachments/{id}", params=params, content=content)
    assert answer.status_code == 201, answer.text
    return id


def with_everything(office: Office) -> tuple[str, str]:
    """Somebody with a bit of all: the holder, and their subscription."""
    question = {"code": "school", "text": {"fr": "Établissement", "en": "School"}}
    office.product(price_cents=2308, questions=[question])
    holder, message = zacharie(office), new_id()
    subscription = office.subscribe(
        "ABC 123",
        holder=holder,
        answers={"school": "École de Zacharie"},
        attachments=[attach(office, "proof")],
        payment={"method": "cheque", "cheque": attach(office, "cheque")},
        message="Bonjour, ici Zacharie.",
    )
    office.approve(subscription)
    shape = {"body": "Zacharie change de voiture.", "attachments": [attach(office, "message")]}
    office.does("PUT", f"subscriptions/{subscription}/messages/{message}", json=shape)
    office.act(subscription, "suspend", reason="Zacharie Quenneville a appelé.")
    office.act(subscription, "resume")
    office.service.parts.clerk.do_all()
    return holder, subscription


def written(service: Service) -> str:
    """All that the record holds, but for versions of permits, which have their own retention."""
    with service.parts.record.reading() as tx:
        rows = {
            table.name: [tuple(row) for row in tx.execute(select(table))]
            for table in metadata.sorted_tables
            if table.name != "permit_versions"
        }
    return str(rows)


def files(service: Service) -> list[Path]:
    return [path for path in service.settings.attachment_dir.rglob("*") if path.is_file()]


# Addresses


def links(mailbox: Mailbox) -> list[str]:
    bodies = [letter.get_body(("plain",)) for letter in mailbox.letters]
    texts = [body.get_content() for body in bodies if body is not None]
    return [word for text in texts for word in text.split() if "/abonnes/confirmation" in word]


def confirmed_at(office: Office, holder: str) -> Any:
    return office.does("GET", f"holders/{holder}")["email_confirmed_at"]


def test_address_is_confirmed_by_pressing_the_button_and_not_by_looking(
    office: Office, mailbox: Mailbox
) -> None:
    holder = zacharie(office)
    office.service.parts.clerk.do_all()
    (link,) = links(mailbox)
    browser = office.service.client(None)
    for _ in range(2):
        shown = browser.get(link)
        assert shown.status_code == 200
        assert "zq@example.org" in shown.text
        assert "script" not in shown.text
        assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert confirmed_at(office, holder) is None
    for _ in range(2):
        assert browser.post(link).status_code == 200
    assert confirmed_at(office, holder) == instant(NOW)
    answer = office.ask("POST", f"holders/{holder}/confirmation")
    assert answer.json()["type"] == "/problems/address-confirmed"


@pytest.mark.parametrize("how", ["too late", "newer link", "other address", "guessed"])
def test_link_that_is_no_longer_good_confirms_nothing(
    office: Office, mailbox: Mailbox, how: str
) -> None:
    holder = zacharie(office)
    office.service.parts.clerk.do_all()
    (link,) = links(mailbox)
    if how == "too late":
        office.service.clock.advance(hours=48)
    elif how == "newer link":
        office.does("POST", f"holders/{holder}/confirmation")
    elif how == "other address":
        person = office.person(email="other@example.org")
        office.does("PUT", f"holders/{holder}", json=person)
    else:
        link = link[:-4] + "AAAA"
    browser = office.service.client(None)
    assert browser.get(link).status_code == 410
    assert browser.post(link).status_code == 410
    assert confirmed_at(office, holder) is None
    office.service.parts.clerk.do_all()
    if how in ("newer link", "other address"):
        newest = links(mailbox)[-1]
        assert browser.post(newest).status_code == 200
        assert confirmed_at(office, holder) == instant(NOW)


def test_letter_that_could_not_be_sent_is_shown_and_sent_again(
    office: Office, mailbox: Mailbox
) -> None:
    mailbox.refuse_recipient("zq@example.org", "550 5.1.1 no such mailbox")
    holder = zacharie(office)
    office.service.parts.clerk.do_all()
    (letter,) = office.does("GET", f"holders/{holder}")["letters"]
    assert letter["state"] == "failed"
    assert "no such mailbox" in letter["error"]
    mailbox.behave()
    path = f"holders/{holder}/letters/{letter['id']}/retry"
    assert office.ask("POST", path).status_code == 204
    office.service.parts.clerk.do_all()
    (letter,) = office.does("GET", f"holders/{holder}")["letters"]
    assert letter["state"] == "sent"
    assert office.ask("POST", path).json()["type"] == "/problems/letter-sent"


# One person


def test_person_is_given_all_that_is_known_of_them(office: Office) -> None:
    holder, subscription = with_everything(office)
    answer = office.ask("GET", f"holders/{holder}/export")
    assert answer.headers["content-disposition"].startswith("attachment")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        known = json.loads(archive.read("everything.json"))
        names = archive.namelist()
        contents = [archive.read(name) for name in names]
    text = json.dumps(known, ensure_ascii=False)
    for secret in (*SECRETS, "École de Zacharie", "change de voiture", "a appelé"):
        assert secret in text
    assert "payment_token" not in text  # nobody but the provider has use for it
    assert [row["number"] for row in known["subscriptions"]] == [office.get(subscription)["number"]]
    assert len([name for name in names if name.startswith("files/")]) == 3
    assert len([content for content in contents if content.startswith(b"%PDF")]) == 1
    assert len([content for content in contents if content.startswith(b"\xff\xd8")]) == 3
    history = office.does("GET", f"holders/{holder}")["history"]
    assert history[-1]["action"] == "exported"
    cheque = office.get(subscription)["payment"]["cheque"]
    log = office.does("GET", "audit", params={"subject": f"attachment:{cheque}"})["items"]
    assert [entry["action"] for entry in log] == ["attachment-received", "attachment-read"]


def test_person_with_a_subscription_is_not_erased(office: Office) -> None:
    holder, subscription = with_everything(office)
    answer = office.ask("DELETE", f"holders/{holder}")
    assert answer.status_code == 409
    assert office.get(subscription)["number"] in answer.json()["detail"]


def test_nothing_of_an_erased_person_is_left(office: Office, mailbox: Mailbox) -> None:
    holder, subscription = with_everything(office)
    waiting = office.get(subscription)["number"]
    office.act(subscription, "cancel")
    assert len(files(office.service)) == 3
    assert all(secret in written(office.service) for secret in SECRETS)
    for _ in range(2):
        assert office.ask("DELETE", f"holders/{holder}").status_code == 204
    left = written(office.service)
    for secret in (*SECRETS, "École de", "change de voiture", "a appelé", ".jpg"):
        assert secret not in left
    assert files(office.service) == []
    assert waiting in left  # what accounts need, and tells of nobody
    found = office.get(subscription)
    assert (found["status"], found["contracts"], found["messages"]) == ("cancelled", [], [])
    office.service.parts.clerk.do_all()
    assert all("ann" not in (letter["Subject"] or "") for letter in mailbox.letters[3:])
    assert office.does("GET", "holders", params={"q": "zach"})["items"] == []
    shape = office.person()
    assert office.ask("PUT", f"holders/{holder}", json=shape).status_code == 404
    wanted = office.wanted("XYZ 789", holder=holder)
    assert office.ask("PUT", f"requests/{new_id()}", json=wanted).status_code == 404


def test_erasing_one_leaves_others_alone(office: Office) -> None:
    holder, subscription = with_everything(office)
    marie = office.holder(first_name="Marie", email="marie@example.org")
    hers = office.subscribed(
        "XYZ 789",
        holder=marie,
        answers={"school": "Sherbrooke"},
        payment={"method": "cheque", "cheque": attach(office, "cheque")},
    )
    before = office.get(hers)
    office.act(subscription, "cancel")
    assert office.ask("DELETE", f"holders/{holder}").status_code == 204
    assert office.get(hers) == before
    assert office.does("GET", f"holders/{marie}")["first_name"] == "Marie"


# All, when it has served


def purge(office: Office, *, does: bool = True) -> dict[str, int]:
    service = office.service
    done = privacy.purge(service.parts.record, service.settings, at=service.clock.at, does=does)
    return {what: count for what, count in done.as_json().items() if count}


def looked_up(office: Office, verdict: str) -> None:
    row = {
        "site": "1085",
        "id": new_id(),
        "kind": "check",
        "at": NOW,
        "device": "d",
        "after_revocation": False,
        "received_at": NOW,
        "facts": {"plate": "ABC123", "verdict": verdict},
        "content_hash": "",
    }
    office.service.parts.record.write(lambda tx: tx.execute(insert(events).values(row)))


def test_purge_lets_go_of_what_has_served_and_of_nothing_else(office: Office) -> None:
    holder, subscription = with_everything(office)
    looked_up(office, "valid")
    looked_up(office, "unknown")
    attach(office, "proof")
    clock = office.service.clock
    assert purge(office) == {}
    clock.at = NOW + 2 * DAY + HOUR
    assert purge(office, does=False) == {"untaken": 1, "links": 1}
    assert purge(office) == {"untaken": 1, "links": 1}
    clock.at = NOW + 30 * DAY
    assert purge(office) == {"lookups": 1}
    clock.at = NOW + 365 * DAY
    letters = len(office.does("GET", f"holders/{holder}")["letters"])
    assert purge(office, does=False) == {"proofs": 1, "message_files": 1, "letters": letters}
    assert purge(office) == {"proofs": 1, "message_files": 1, "letters": letters}
    assert len(files(office.service)) == 1  # the cheque, as long as it pays
    assert purge(office) == {}
    assert office.does("GET", f"holders/{holder}")["first_name"] == "Zacharie"
    office.act(subscription, "cancel")
    clock.advance(days=729)
    assert "holders" not in purge(office)
    clock.advance(days=1)
    assert purge(office)["holders"] == 1
    assert "Zacharie" not in written(office.service)
    assert files(office.service) == []


def test_purge_lets_go_of_messages_to_patrols_long_after_they_expired(office: Office) -> None:
    service, clock = office.service, office.service.clock
    for expires in (NOW + DAY, NOW + 2 * DAY):
        body = {"text": "Le P3 est fermé.", "expires_at": instant(expires)}
        service.admin.put(f"/v1/sites/1085/messages/{new_id()}", json=body).raise_for_status()
    clock.at = NOW + 91 * DAY - HOUR
    assert purge(office) == {}
    clock.at = NOW + 91 * DAY
    assert purge(office, does=False) == {"patrol_messages": 1}
    assert purge(office) == {"patrol_messages": 1}
    assert purge(office) == {}
    assert len(service.admin.get("/v1/sites/1085/messages").json()["items"]) == 1


def test_purge_forgets_the_plates_of_courtesy_permits(office: Office) -> None:
    shape = {
        "site": "1085",
        "plate": "ABC 123",
        "zones": ["G1"],
        "reason": "Zacharie a une voiture de courtoisie.",
        "expires_at": instant(NOW + DAY),
    }
    id = new_id()
    office.does("PUT", f"courtesy-permits/{id}", json=shape)
    office.service.clock.at = NOW + 730 * DAY
    assert purge(office) == {}
    office.service.clock.advance(days=1)
    assert purge(office) == {"courtesies": 1}
    assert purge(office) == {}
    assert "Zacharie" not in written(office.service)
    assert office.does("GET", f"courtesy-permits/{id}")["plate"] == ""


def test_purge_is_run_by_the_service_once_a_day(office: Office) -> None:
    parts, clock = office.service.parts, office.service.clock
    attach(office, "proof")
    clock.advance(days=2)
    parts.run_due_purge()
    assert files(office.service) == []
    attach(office, "proof")
    clock.advance(hours=23)
    parts.run_due_purge()
    assert len(files(office.service)) == 1
    clock.advance(hours=2)
    parts.run_due_purge()
    assert files(office.service) == []
    log = office.does("GET", "audit", params={"subject": "record"})["items"]
    assert [entry["facts"]["untaken"] for entry in map(entry_of, log)] == [1, 1]


def entry_of(item: dict[str, Any]) -> dict[str, Any]:
    return item if "facts" in item else dict(json.loads(item["entry"]))
