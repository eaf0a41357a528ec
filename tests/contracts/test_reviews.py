"""Reviews (CONTRACT, "Infractions"; DOMAIN 5): decided once, told to all, never overwritten."""

from __future__ import annotations

import itertools
import threading
from datetime import timedelta
from typing import Any

import httpx
import pytest

from enforcement_api.infractions.lifecycle import DECISIONS, VOID_REASONS
from enforcement_api.problems import translation
from enforcement_api.staff import keys
from tests.enforcement_api.infraction_log import (
    InfractionLog,
    new_id,
    picture,
    sha256,
)


def review(
    log: InfractionLog, id: str, decision: str, *, key: str | None = None, **wanted: Any
) -> httpx.Response:
    body = {"decision": decision, "expected_state": "received"} | wanted
    return log.request("POST", f"/v1/infractions/{id}/reviews", key or log.admin, json=body)


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"]


def test_a_confirmed_infraction_is_decided_and_handhelds_hear_of_it(log: InfractionLog) -> None:
    id = log.record()
    log.now += timedelta(hours=1)
    answer = review(log, id, "confirm", note="vu")
    assert answer.status_code == 201
    told = answer.json()
    assert (told["state_before"], told["state"]) == ("received", "confirmed")
    assert told["at"] == "2026-11-23T18:00:00Z"
    found = log.get(id)
    assert found["state"] == "confirmed"
    assert [one["note"] for one in found["reviews"]] == ["vu"]
    changes = log.page_of_changes()["changes"]
    (notice,) = [change["record"] for change in changes if change["kind"] == "notice"]
    assert (notice["id"], notice["state"]) == (id, "confirmed")


def test_a_voided_infraction_says_why(log: InfractionLog) -> None:
    id = log.record()
    assert review(log, id, "void", reason="misread_plate").status_code == 201
    found = log.get(id)
    assert (found["state"], found["decision_reason"]) == ("voided", "misread_plate")
    notices = [c["record"] for c in log.page_of_changes()["changes"] if c["kind"] == "notice"]
    assert notices[0]["decision_reason"] == "misread_plate"


@pytest.mark.parametrize("reason", [None, "", "because"])
def test_voiding_needs_a_reason_of_the_list(log: InfractionLog, reason: str | None) -> None:
    id = log.record()
    answer = review(log, id, "void", reason=reason)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/reason"
    assert log.get(id)["state"] == "received"


def test_the_reasons_have_words_in_french() -> None:
    french = [translation("fr").gettext(words) for words in VOID_REASONS.values()]
    assert french == [
        "permis valide au moment", "remplacement en cours", "plaque mal lue", "réplique périmée",
        "signalisation déficiente", "urgence", "doublon", "erreur de code",
    ]  # fmt: skip


STATES = {
    "received": [],
    "information_requested": ["request_information"],
    "confirmed": ["confirm"],
    "voided": ["void"],
}
ALLOWED = {
    ("received", "confirm"): "confirmed",
    ("received", "void"): "voided",
    ("received", "request_information"): "information_requested",
    ("information_requested", "confirm"): "confirmed",
    ("information_requested", "void"): "voided",
    ("information_requested", "reopen"): "received",
    ("confirmed", "void"): "voided",
    ("confirmed", "reopen"): "received",
    ("voided", "reopen"): "received",
}


def test_each_state_allows_its_decisions_and_no_others(log: InfractionLog) -> None:
    for state, decision in itertools.product(STATES, DECISIONS):
        id = log.record()
        for step in STATES[state]:
            assert review(log, id, step, reason="duplicate").status_code == 201
        answer = review(log, id, decision, reason="duplicate", expected_state=state)
        expected = ALLOWED.get((state, decision))
        if expected is None:
            assert problem(answer) == (409, "/problems/not-decidable"), (state, decision)
        else:
            assert answer.json()["state"] == expected, (state, decision)
        assert log.get(id)["state"] == expected or state


def test_a_decision_on_what_has_moved_on_is_refused(log: InfractionLog) -> None:
    id = log.record()
    review(log, id, "confirm")
    assert problem(review(log, id, "void", reason="duplicate")) == (
        409,
        "/problems/state-moved-on",
    )
    assert log.get(id)["state"] == "confirmed"


def test_two_who_decide_at_once_never_overwrite_each_other(log: InfractionLog) -> None:
    id = log.record()
    answers: list[int] = []
    begin = threading.Barrier(6)

    def decide(number: int) -> None:
        begin.wait()
        wanted = {"reason": "duplicate"} if number % 2 else {}
        answers.append(review(log, id, "void" if number % 2 else "confirm", **wanted).status_code)

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201] + [409] * 5
    assert len(log.get(id)["reviews"]) == 1


def test_confirming_what_differs_must_say_so(log: InfractionLog) -> None:
    id = log.record()
    log.permit("ABC123")
    answer = review(log, id, "confirm")
    assert problem(answer) == (409, "/problems/differs-unacknowledged")
    assert answer.json()["recheck"] == {"verdict": "valid", "differs": True}
    told = review(log, id, "confirm", acknowledge_differs=True).json()
    assert told["acknowledged_differs"] is True
    assert told["recheck"] == {"verdict": "valid", "differs": True}


def test_it_is_judged_once_more_when_it_is_decided(log: InfractionLog) -> None:
    """Time alone changes nothing, but a site's retention may have."""
    log.permit("ABC123", valid_until="2026-11-01")
    id = log.record(verdict="expired")
    assert log.get(id)["recheck"]["differs"] is False
    log.put_site("1085", retention_days=10)
    assert problem(review(log, id, "confirm")) == (409, "/problems/differs-unacknowledged")


def test_what_is_decided_is_judged_no_more_until_it_is_reopened(log: InfractionLog) -> None:
    id = log.record()
    review(log, id, "confirm")
    log.permit("ABC123")
    assert log.list(differs=True).json()["items"] == []
    review(log, id, "reopen", expected_state="confirmed")
    assert [item["id"] for item in log.list(differs=True).json()["items"]] == [id]


@pytest.mark.parametrize("source", ["42", "marie", "MARIE"])
def test_nobody_reviews_their_own(log: InfractionLog, source: str) -> None:
    id = log.record(patroller="42")
    key = log.service.record.write(
        lambda tx: keys.create(tx, role="admin", name="Marie", source=source, at=log.now)
    )
    assert problem(review(log, id, "confirm", key=key)) == (403, "/problems/own-infraction")


def test_only_admins_of_the_site_decide(log: InfractionLog) -> None:
    id = log.record()
    log.put_site("2000")
    for key in (log.key("reader"), log.key("feeder"), log.device, log.key("admin", "2000")):
        assert review(log, id, "confirm", key=key).status_code == 403
    assert review(log, new_id(), "confirm").status_code == 404
    assert review(log, "nothing", "confirm").status_code == 422


def test_everything_that_happens_is_in_the_history_in_one_chain(log: InfractionLog) -> None:
    photo = picture()
    photos = [{"sha256": sha256(photo), "bytes": len(photo), "taken_at": "2026-11-23T16:59:00Z"}]
    id = log.record(photos=photos)
    log.put_photo(photo)
    log.put_photo(photo)
    log.permit("ABC123")
    review(log, id, "void", reason="permit_valid_at_the_time")
    history = log.get(id)["history"]
    assert [event["event"] for event in history] == [
        "received", "photo_received", "rechecked", "reviewed",
    ]  # fmt: skip
    assert history[1]["facts"] == {"sha256": sha256(photo), "missing": 0}
    assert history[3]["facts"]["decision"] == "void"
    assert history[3]["state"] == "voided"


# As known


def test_the_verdict_is_told_three_ways(log: InfractionLog) -> None:
    id = log.record()
    log.permit("ABC123")
    told = {"device": "unknown", "cursor": "unknown", "cursor_reason": None, "now": "valid"}
    assert log.get(id)["verdicts"] == told


def test_a_device_that_judges_otherwise_than_its_copy_says_is_flagged(log: InfractionLog) -> None:
    log.permit("ABC123")
    body = log.infraction(verdict="unknown")
    told = log.put(body).json()
    assert "verdict-not-as-known" in told["warnings"]
    log.permit("ABC123", status="suspended")
    late = log.put(body | {"verdict": "valid"}).json()
    assert "verdict-not-as-known" not in late["warnings"]
    assert late["recheck"] == {"verdict": "suspended", "differs": True}


def test_of_a_cursor_that_nobody_knows_nothing_is_reconstructed(log: InfractionLog) -> None:
    id = log.record(epoch="another")
    told = {"device": "unknown", "cursor": None, "cursor_reason": "unknown-cursor"}
    assert log.get(id)["verdicts"] == told | {"now": "unknown"}


def test_what_the_clock_is_worth_is_kept_and_shown(log: InfractionLog) -> None:
    id = new_id()
    body = log.infraction(clock_uncertainty_ms=640, clock_jumped=True)
    assert "clock-jumped" in log.put(body, id).json()["warnings"]
    found = log.get(id)
    assert (found["clock_uncertainty_ms"], found["clock_jumped"]) == (640, True)
    exported = log.list(headers={"accept": "text/csv"}).text
    assert "640" in exported
    assert log.put(body, id).status_code == 200
