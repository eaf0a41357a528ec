"""Requests and subscriptions at the console: listed, decided and changed by those who may."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from PIL import Image
from sqlalchemy import event

from enforcement_api.audit import store as audit
from enforcement_api.shapes import page_cursor
from enforcement_api.staff import store as staff
from tests.enforcement_api.console.visiting import Visiting, fields, visiting, words
from tests.service import NOW, Service, picture
from tests.subscribing import Office, new_id

HERE = "/console/sites/1085/requests"
HOSTILE = "</textarea><script>alert(1)</script>\u202eevil =1+1'; DROP TABLE requests; --"


@pytest.fixture
def office(service: Service) -> Office:
    return Office(service)


@pytest.fixture
def clerk(service: Service) -> Visiting:
    """A supervisor who may see subscribers."""
    return visiting(
        service, "lea@example.org", sites=["1085"], name="Léa Roy", sees_subscribers=True
    )


def decide(clerk: Visiting, id: str, decision: str, **facts: Any) -> httpx.Response:
    form = fields(clerk.page(f"{HERE}/{id}")) | {"decision": decision} | facts
    return clerk.send(f"{HERE}/{id}", **{n: v for n, v in form.items() if n != "token"})


def change(clerk: Visiting, id: str, action: str, **facts: Any) -> httpx.Response:
    path = f"{HERE}/subscriptions/{id}"
    form = fields(clerk.page(path)) | {"action": action} | facts
    return clerk.send(path, **{n: v for n, v in form.items() if n != "token"})


def attach(service: Service, content: bytes, purpose: str = "proof", name: str = "") -> str:
    id = new_id()
    answer = service.admin.put(
        f"/v1/attachments/{id}",
        params={"site": "1085", "purpose": purpose, "name": name},
        content=content,
    )
    assert answer.status_code == 201, answer.text
    return id


def pdf() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (20, 20), "white").save(made, "PDF")
    return made.getvalue()


def logged(service: Service, subject: str) -> list[tuple[str, str]]:
    found = service.parts.record.read(lambda tx: audit.entries(tx, subject, site="1085"))
    return [(entry.action, entry.by) for entry in found]


# Who may


def test_only_those_who_may_see_subscribers_are_shown_any(
    supervisor: Visiting, clerk: Visiting, administrator: Visiting, office: Office
) -> None:
    id = office.subscribe("ABC 123")
    file = attach(office.service, picture())
    for path in (
        *("", ".json", f"/{id}", f"/{id}.json", f"/subscriptions/{id}", f"/files/{file}"),
        *(f"/subscriptions/{id}.json", "/subscriptions?q=John", f"/subscriptions/{id}/contracts/1"),
    ):
        answer = supervisor.get(HERE + path)
        assert answer.status_code == 403, path
        assert "John" not in answer.text
        for allowed in (clerk, administrator):
            assert allowed.get(HERE + path).status_code in (200, 404), path
    for path in (f"/{id}", f"/subscriptions/{id}"):
        assert supervisor.send(HERE + path, decision="approve").status_code == 403
    assert office.status(id) == "requested"


def test_clerk_of_another_site_is_shown_nothing(service: Service, office: Office) -> None:
    service.site("2000")
    id = office.subscribe("ABC 123")
    other = visiting(service, "o@example.org", sites=["2000"], sees_subscribers=True)
    assert other.get(f"{HERE}/{id}").status_code == 403
    for path in (f"/{id}", f"/subscriptions/{id}", f"/{id}.json", f"/subscriptions/{id}.json"):
        answer = other.get(f"/console/sites/2000/requests{path}")
        assert answer.status_code == 404, path
        assert "John" not in answer.text
    answer = other.send(f"/console/sites/2000/requests/{id}", decision="approve")
    assert answer.status_code == 404


def test_sight_of_subscribers_that_is_taken_away_is_gone_at_the_next_page(
    service: Service, office: Office, clerk: Visiting
) -> None:
    id = office.subscribe("ABC 123")
    form = fields(clerk.page(f"{HERE}/{id}"))
    before = clerk.account
    after = replace(before, sees_subscribers=False)
    service.parts.record.write(
        lambda tx: staff.change(tx, before, after, by="staff:boss", at=service.clock())
    )
    del form["token"]
    answer = clerk.send(f"{HERE}/{id}", **form, decision="approve")
    assert answer.status_code == 403
    assert "John" not in answer.text
    assert clerk.get(f"{HERE}/{id}").status_code == 403
    assert office.status(id) == "requested"


def test_decision_of_an_ended_session_waits_for_the_sign_in(
    service: Service, office: Office, clerk: Visiting
) -> None:
    id = office.subscribe("ABC 123")
    form = fields(clerk.page(f"{HERE}/{id}"))
    del form["token"]
    service.clock.advance(hours=13)
    answer = clerk.send(f"{HERE}/{id}", **form, decision="refuse", reason="La preuve manque")
    assert answer.status_code == 401
    kept = fields(answer.text)
    assert kept["kept_action"] == f"{HERE}/{id}"
    assert (kept["kept-decision"], kept["kept-reason"]) == ("refuse", "La preuve manque")
    assert "John" not in answer.text
    assert office.status(id) == "requested"


def test_who_was_shown_what_is_personal_is_in_the_log_once_in_a_while(
    service: Service, office: Office, clerk: Visiting, administrator: Visiting
) -> None:
    holder = office.holder()
    id = office.subscribed("ABC 123", holder=holder)
    file = attach(service, picture())
    lea, anne = (f"staff:{who.account.id}" for who in (clerk, administrator))
    for path in (f"/{id}", f"/{id}.json", f"/subscriptions/{id}", f"/subscriptions/{id}.json"):
        assert clerk.get(HERE + path).status_code == 200
    assert logged(service, f"holder:{holder}")[1:] == [("looked-at", lea)]
    assert administrator.get(f"{HERE}/subscriptions/{id}/contracts/1").status_code == 200
    service.clock.advance(minutes=31)
    clerk.page(f"{HERE}/{id}")
    assert logged(service, f"holder:{holder}")[2:] == [("looked-at", anne), ("looked-at", lea)]
    clerk.get(f"{HERE}/files/{file}")
    assert ("looked-at", lea) in logged(service, f"attachment:{file}")


def test_lists_that_name_holders_are_in_the_log(
    service: Service, office: Office, clerk: Visiting
) -> None:
    clerk.page(HERE)
    clerk.page(f"{HERE}/subscriptions", q="nobody")
    assert logged(service, "holders") == []
    holder = office.holder()
    office.subscribe("ABC 123", holder=holder)
    for path in (HERE, f"{HERE}.json", f"{HERE}/subscriptions?q=John"):
        assert clerk.get(path).status_code == 200
    (entry,) = service.parts.record.read(lambda tx: audit.entries(tx, "holders", site="1085"))
    assert entry.facts == {"holders": [holder]}


# The list


def test_list_has_what_is_to_be_decided_the_oldest_first(
    service: Service, office: Office, clerk: Visiting
) -> None:
    first = office.subscribe("AAA 111")
    service.clock.advance(minutes=1)
    second = office.subscribe("BBB 222")
    office.approve(office.subscribe("CCC 333"))
    page = clerk.page(HERE)
    assert page.index(f"{HERE}/{first}") < page.index(f"{HERE}/{second}")
    assert "AAA111" in page
    assert "CCC333" not in page
    assert "CCC333" in clerk.page(HERE, state="approved")
    assert [one["id"] for one in clerk.twin(HERE)["items"]] == [first, second]
    assert len(clerk.twin(HERE, state="all")["items"]) == 3
    assert clerk.twin(HERE, kind="cancellation")["items"] == []
    assert clerk.twin(HERE)["undecided"] == {"subscription": 2}


def test_list_goes_on_where_a_page_ended(
    service: Service, office: Office, clerk: Visiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enforcement_api.console.request_pages.A_PAGE", 2)
    ids = []
    for number in range(5):
        service.clock.advance(seconds=number % 2)  # some at the same instant
        ids.append(office.subscribe(f"AAA 11{number}"))
    found: list[str] = []
    after = None
    for _ in range(3):
        shown = clerk.twin(HERE, **({} if after is None else {"after": after}))
        found += [one["id"] for one in shown["items"]]
        after = shown["next_cursor"]
    assert after is None
    assert sorted(found) == sorted(ids)
    assert clerk.get(HERE, after="nonsense").status_code == 422


# Deciding


def test_request_is_shown_with_all_that_it_is_decided_by(
    service: Service, office: Office, clerk: Visiting
) -> None:
    question = {"code": "school", "text": {"fr": "École", "en": "School"}, "required": True}
    office.product("5569", price_cents=2308, questions=[question], proof_required=True)
    proof = attach(service, picture(), name="lettre de stage.jpg")
    cheque = attach(service, pdf(), "cheque", name="spécimen.pdf")
    id = office.subscribe(
        "ABC 123",
        starts_on="2026-12-01",
        answers={"school": "Université de Sherbrooke"},
        attachments=[proof],
        payment={"method": "cheque", "cheque": cheque},
        message=HOSTILE,
    )
    page = clerk.page(f"{HERE}/{id}")
    told = words(page)
    assert "<script>alert" not in page
    for expected in (
        *("John John", "School", "Université de Sherbrooke", "$23.08 a month", "ABC123"),
        *("lettre de stage.jpg", "spécimen.pdf", "1 Dec 2026", "Void cheque", "DROP TABLE"),
        "I accept the terms of payment.",
    ):
        assert expected in told, expected
    assert "1 Dec 2026, 00:00" in told  # good from then, were it approved now
    assert f'src="{HERE}/files/{proof}"' in page
    assert f'src="{HERE}/files/{cheque}"' not in page
    twin = clerk.twin(f"{HERE}/{id}")
    assert twin["subscription_now"]["payment"]["is_complete"]
    assert "token" not in str(twin["subscription_now"]["payment"])


def test_approval_makes_plates_good_and_the_next_request_follows(
    service: Service, office: Office, clerk: Visiting
) -> None:
    first = office.subscribe("AAA 111")
    service.clock.advance(minutes=1)
    second = office.subscribe("BBB 222")
    assert "24 Nov 2026, 10:16" in words(clerk.page(f"{HERE}/{first}"))
    answer = decide(clerk, first, "approve")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{HERE}/{second}?")
    assert office.status(first) == "waiting"
    assert service.verdict("AAA 111") == "pending_activation"
    assert service.check("AAA 111")["permits"][0]["active_from"] == "2026-11-24T15:16:00Z"
    told = words(clerk.page(answer.headers["location"]))
    assert "Approved: subscription 100000001" in told
    answer = decide(clerk, second, "refuse", reason="La preuve manque.")
    assert answer.headers["location"].startswith(f"{HERE}?")
    page = clerk.page(answer.headers["location"])
    assert "Nothing awaits a decision." in words(page)
    assert office.status(second) == "refused"
    assert ("refused", f"staff:{clerk.account.id}") in logged(service, f"request:{second}")
    assert "La preuve manque." in words(clerk.page(f"{HERE}/{second}"))
    assert "Léa Roy" in words(clerk.page(f"{HERE}/{second}"))


def test_second_press_of_a_decision_changes_nothing_twice(
    service: Service, office: Office, clerk: Visiting
) -> None:
    id = office.subscribe("ABC 123")
    form = fields(clerk.page(f"{HERE}/{id}")) | {"decision": "approve"}
    del form["token"]
    for _ in range(2):
        assert clerk.send(f"{HERE}/{id}", **form).status_code == 303
    assert [action for action, _ in logged(service, f"request:{id}")] == ["submitted", "approved"]


def test_refusal_without_a_reason_is_not_made_and_another_keeps_what_was_typed(
    office: Office, clerk: Visiting
) -> None:
    id = office.subscribe("ABC 123")
    answer = decide(clerk, id, "refuse")
    assert answer.status_code == 422
    assert "Reason: is missing" in words(answer.text)
    answer = decide(clerk, id, "sing", reason=HOSTILE)
    assert answer.status_code == 422
    assert "DROP TABLE" in words(answer.text)
    assert "<script>alert" not in answer.text
    assert office.status(id) == "requested"


def test_two_who_decide_at_once_never_overwrite_each_other(
    office: Office, clerk: Visiting, administrator: Visiting
) -> None:
    id = office.subscribe("ABC 123")
    late = fields(clerk.page(f"{HERE}/{id}"))
    del late["token"]
    assert decide(administrator, id, "approve").status_code == 303
    answer = clerk.send(f"{HERE}/{id}", **late, decision="refuse", reason="Trop tard, dommage")
    assert answer.status_code == 409
    told = words(answer.text)
    assert "The request has been decided" in told
    assert "Anne Roy" in told
    assert "What you had typed: Trop tard, dommage" in told
    assert office.status(id) == "waiting"


def test_what_cannot_be_approved_says_so_before_and_after(office: Office, clerk: Visiting) -> None:
    office.product("5569", price_cents=2308)
    id = office.subscribe("ABC 123", payment={"method": "card"})
    assert "The subscription has no payment method" in words(clerk.page(f"{HERE}/{id}"))
    answer = decide(clerk, id, "approve")
    assert answer.status_code == 409
    assert "The subscription has no payment method" in words(answer.text)
    assert office.status(id) == "requested"


def test_change_of_category_shows_both_prices_and_may_be_to_another_product(
    office: Office, clerk: Visiting
) -> None:
    office.product("5569")
    office.product("6000", name={"fr": "Permis H", "en": "Permit H"}, zones=["G2"])
    subscription = office.subscribed("ABC 123")
    id = new_id()
    shape = {
        "kind": "category_change",
        "subscription": subscription,
        "message": "Un autre permis, s’il vous plaît",
    }
    office.does("PUT", f"requests/{id}", json=shape)
    told = words(clerk.page(f"{HERE}/{id}"))
    assert "They name none: choose one below." in told
    assert decide(clerk, id, "approve").status_code == 422
    answer = decide(clerk, id, "approve", product="6000")
    assert answer.status_code == 303
    assert office.get(subscription)["product"] == "6000"


def test_cancellation_tells_what_follows_and_may_have_another_last_day(
    office: Office, clerk: Visiting
) -> None:
    subscription = office.subscribed("ABC 123")
    id = new_id()
    shape = {"kind": "cancellation", "subscription": subscription, "on": "2026-11-30"}
    office.does("PUT", f"requests/{id}", json=shape)
    told = words(clerk.page(f"{HERE}/{id}"))
    assert "Its plates are good until 1 Dec 2026, 00:00" in told
    answer = decide(clerk, id, "approve", on="2020-01-01")
    assert answer.status_code == 422
    assert 'value="2020-01-01"' in answer.text
    assert decide(clerk, id, "approve", on="2026-12-31").status_code == 303
    assert office.get(subscription)["cancelled_at"] == "2027-01-01T05:00:00Z"


# Files


def test_picture_is_shown_and_a_pdf_saved_and_neither_runs(
    service: Service, office: Office, clerk: Visiting
) -> None:
    for content, kind, shown in (
        (picture(), "image/jpeg", "inline"),
        (pdf(), "application/pdf", "attachment"),
    ):
        id = attach(service, content, name="preuve\u202e.exe")
        answer = clerk.get(f"{HERE}/files/{id}")
        assert answer.status_code == 200
        headers = answer.headers
        assert headers["content-type"] == kind
        assert headers["content-disposition"].startswith(f"{shown};")
        assert "\u202e" not in headers["content-disposition"]
        assert "sandbox" in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_each_reading_of_a_void_cheque_is_in_the_log(service: Service, clerk: Visiting) -> None:
    id = attach(service, picture(), "cheque")
    assert clerk.get(f"{HERE}/files/{id}").status_code == 200
    who = f"staff:{clerk.account.id}"
    assert ("attachment-read", who) in logged(service, f"attachment:{id}")


def test_file_of_another_site_is_none(service: Service) -> None:
    service.site("2000")
    id = attach(service, picture())
    other = visiting(service, "o@example.org", sites=["2000"], sees_subscribers=True)
    assert other.get(f"/console/sites/2000/requests/files/{id}").status_code == 404


# Subscriptions


def test_subscription_is_shown_with_all_that_belongs_to_it(
    service: Service, office: Office, clerk: Visiting
) -> None:
    id = office.subscribed("ABC 123")
    service.admin.put(
        f"/v1/subscriptions/{id}/messages/{new_id()}", json={"sender": "holder", "body": HOSTILE}
    ).raise_for_status()
    page = clerk.page(f"{HERE}/subscriptions/{id}")
    told = words(page)
    for expected in ("John John", "Approved, not active yet", "24 Nov 2026, 10:15", "DROP TABLE"):
        assert expected in told, expected
    assert "/console/sites/1085/plates/CA-QC/ABC123" in page
    assert "subscription-100000001-1" in told
    answer = clerk.get(f"{HERE}/subscriptions/{id}/contracts/1")
    assert answer.content.startswith(b"%PDF")
    assert clerk.get(f"{HERE}/subscriptions/{id}/contracts/2").status_code == 404
    assert clerk.twin(f"{HERE}/subscriptions/{id}")["contracts"][0]["position"] == 1


def test_subscription_is_suspended_resumed_and_cancelled_with_a_reason(
    service: Service, office: Office
) -> None:
    id = office.subscribed("ABC 123")
    service.clock.advance(hours=25)
    clerk = visiting(service, "lea@example.org", sites=["1085"], sees_subscribers=True)
    assert change(clerk, id, "suspend").status_code == 422
    assert change(clerk, id, "suspend", reason="Chèque refusé").status_code == 303
    assert service.verdict("ABC 123") == "suspended"
    assert "Chèque refusé" in words(clerk.page(f"{HERE}/subscriptions/{id}"))
    assert change(clerk, id, "resume").status_code == 303
    assert service.verdict("ABC 123") == "valid"
    assert change(clerk, id, "cancel", reason="Parti", on="2026-12-31").status_code == 303
    assert office.get(id)["cancelled_at"] == "2027-01-01T05:00:00Z"
    assert change(clerk, id, "keep").status_code == 303
    assert change(clerk, id, "cancel", reason="Parti").status_code == 303
    assert service.verdict("ABC 123") == "cancelled"
    assert 'name="action"' not in clerk.page(f"{HERE}/subscriptions/{id}")


def test_stale_change_of_a_subscription_is_told_and_keeps_what_was_typed(
    office: Office, clerk: Visiting
) -> None:
    id = office.subscribed("ABC 123")
    path = f"{HERE}/subscriptions/{id}"
    late = fields(clerk.page(path))
    del late["token"]
    office.act(id, "suspend")
    answer = clerk.send(path, **late, action="cancel", reason="Motif écrit")
    assert answer.status_code == 412
    assert "It was changed meanwhile" in words(answer.text)
    assert ">Motif écrit</textarea>" in answer.text
    assert office.status(id) == "suspended"


@pytest.mark.parametrize("q", ["100000001", "abc-123", "john", "John JOHN"])
def test_subscription_is_found_by_number_plate_or_name(
    office: Office, clerk: Visiting, q: str
) -> None:
    id = office.subscribed("ABC 123")
    assert f"{HERE}/subscriptions/{id}" in clerk.page(f"{HERE}/subscriptions", q=q)


@pytest.mark.parametrize("q", ["", "%", "'; --", "\u202e", "\0", "x" * 200, "é" * 9])
def test_strange_search_finds_nothing_and_harms_nothing(
    office: Office, clerk: Visiting, q: str
) -> None:
    id = office.subscribed("ABC 123")
    page = clerk.page(f"{HERE}/subscriptions", q=q)
    assert not re.search(f"subscriptions/{id}", page)


def test_pages_are_in_french(service: Service, office: Office) -> None:
    clerk = visiting(service, "l@example.org", language="fr", sites=["1085"], sees_subscribers=True)
    id = office.subscribe("ABC 123")
    assert 'lang="fr"' in clerk.page(f"{HERE}/{id}")
    assert "24 nov. 2026, 10:15" in words(clerk.page(f"{HERE}/{id}"))
    assert service.clock() == NOW


# Speed


def test_no_page_reads_a_whole_table(service: Service, office: Office, clerk: Visiting) -> None:
    id = office.subscribed("ABC 123")
    pending = office.subscribe("XYZ 789")
    after = page_cursor(int(NOW.timestamp()), pending)
    pages = (
        *(HERE, f"{HERE}?state=all", f"{HERE}?kind=cancellation", f"{HERE}?after={after}"),
        *(f"{HERE}/{pending}", f"{HERE}/subscriptions/{id}", f"{HERE}/subscriptions?q=100000001"),
        *(f"{HERE}/subscriptions?q=abc123", "/console/sites/1085/plates/CA-QC/ABC123?for=review"),
        *("/console/sites/1085/plates/courtesy", "/console/sites/1085/plates/feed"),
    )
    for path in pages:
        with asked(service) as queries:
            clerk.page(path)
        for query, plan in plans(service, queries):
            few = plan.startswith("CO-ROUTINE")  # what is sorted is what came of a limit
            in_order = "LIMIT" in query and (few or "TEMP B-TREE" not in plan)
            assert not _WHOLE.search(plan) or in_order, f"{path}: {query}: {plan}"
    with asked(service) as queries:
        clerk.page("/console/sites/1085/plates/feed?count=true")  # which says so
    assert any(_WHOLE.search(plan) for _, plan in plans(service, queries))


_GROWING = (
    "requests|subscriptions|vehicles|holders|permit_versions|courtesy_permits|infractions"
    "|lookups|events|attachments|letters|payments|subscription_events|audit_log|messages"
)
_WHOLE = re.compile(rf"SCAN ({_GROWING})\b|SEARCH ({_GROWING})\b[^;]*\(site=\?\)")


@contextlib.contextmanager
def asked(service: Service) -> Iterator[list[tuple[str, Any]]]:
    """The queries that are sent meanwhile."""
    found: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith("SELECT"):
            found.append((statement, parameters))

    engine = service.parts.record.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def plans(service: Service, queries: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    """The queries, and how SQLite finds what each asks for."""
    with service.parts.record.engine.connect() as connection:
        told = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {q}", p).all() for q, p in queries]
    steps = ("; ".join(row[3] for row in plan) for plan in told)
    return [(query, plan) for (query, _), plan in zip(queries, steps, strict=True)]
