"""Reviewing at the console: the queue, an infraction, decisions, and what two people do at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from enforcement_api.database.tables import lookups as of_staff
from enforcement_api.permits import lookups
from sync.plates import Plate
from tests.enforcement_api.console.visiting import Visiting, fields, visiting, words
from tests.enforcement_api.infraction_log import InfractionLog, infraction_log, picture, sha256
from tests.paging import turns

QUEUE = "/console/sites/1085/review"
LOG = "/console/sites/1085/infractions"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[InfractionLog]:
    with infraction_log(tmp_path) as made:
        yield made


@pytest.fixture
def marie(log: InfractionLog) -> Visiting:
    return visiting(log._service, "marie@example.org", sites=["1085"], name="Marie Côté")


@pytest.fixture
def jean(log: InfractionLog) -> Visiting:
    return visiting(log._service, "jean@example.org", sites=["1085"], name="Jean Roy")


def differing(log: InfractionLog, plate: str = "ABC123", **facts: Any) -> str:
    """An infraction of a plate that had a permit, as became known afterwards."""
    id = log.record(plate, **facts)
    log.permit(plate)
    return id


def decide(visitor: Visiting, id: str, decision: str, **typed: Any) -> str:
    """Decide from the page, with what its form carries; where it leads."""
    form = fields(visitor.page(f"{LOG}/{id}"))
    seen = {name: form[name] for name in ("expected_state", "expected_reviews")}
    return visitor.sent(f"{LOG}/{id}/decision", decision=decision, **(seen | typed))


def state_of(visitor: Visiting, id: str) -> str:
    return str(visitor.twin(f"{LOG}/{id}")["state"])


def reviews_of(visitor: Visiting, id: str) -> list[str]:
    return [one["decision"] for one in visitor.twin(f"{LOG}/{id}")["reviews"]]


# The queue


def test_queue_begins_with_what_differs(log: InfractionLog, marie: Visiting) -> None:
    jumped = log.record("AAA111", clock_jumped=True)
    differs = differing(log, "BBB222")
    page = marie.page(QUEUE)
    assert page.index(differs) < page.index(jumped)
    assert "Verdict differs" in words(page)
    assert "Clock jumped" in words(page)
    assert marie.twin(QUEUE)["counts"]["all"] >= 2


def test_part_of_the_queue_is_an_address(log: InfractionLog, marie: Visiting) -> None:
    jumped = log.record("AAA111", clock_jumped=True)
    differs = differing(log, "BBB222")
    page = marie.page(QUEUE, part="clock")
    assert jumped in page
    assert differs not in page
    assert [one["id"] for one in marie.twin(QUEUE, part="differs")["items"]] == [differs]


def test_queue_goes_on_by_pages_that_new_ones_do_not_shift(
    log: InfractionLog, marie: Visiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    from enforcement_api.console import review_pages

    monkeypatch.setattr(review_pages, "A_PAGE", 2)
    first = [log.record(f"AAA11{n}", clock_jumped=True) for n in range(5)]
    seen: list[str] = []
    path = QUEUE
    for _ in turns():
        page = marie.page(path)
        seen += re.findall(r'name="infraction" value="([0-9a-f-]{36}):', page)
        log.record("BBB222")  # another rank, and later
        onward = re.findall(r'rel="next" href="([^"]*review[^"]*)"', page)
        if not onward:
            break
        path = onward[0].replace("&amp;", "&")
    assert [id for id in seen if id in first] == sorted(first, key=seen.index)
    assert len(seen) == len(set(seen))
    assert set(first) <= set(seen)


def test_queue_of_nothing_says_so(log: InfractionLog, marie: Visiting) -> None:
    assert "Everything has been looked at" in words(marie.page(QUEUE))


def test_broken_place_in_the_queue_is_told(marie: Visiting) -> None:
    assert marie.get(QUEUE, after="nonsense").status_code == 422


# An infraction


def test_infraction_shows_both_verdicts_side_by_side(log: InfractionLog, marie: Visiting) -> None:
    id = differing(log)
    page = words(marie.page(f"{LOG}/{id}"))
    assert "contradicts the handheld’s verdict" in page
    assert "UNKNOWN" in page
    assert "VALID" in page


def test_infraction_shows_photos_and_what_has_not_come(log: InfractionLog, marie: Visiting) -> None:
    here, missing = picture(shade=1), picture(shade=2)
    names = [sha256(here), sha256(missing)]
    taken = "2026-11-23T15:14:40Z"
    sent = [{"sha256": name, "bytes": 10, "taken_at": taken} for name in names]
    id = log.record(photos=sent)
    log.request(
        "PUT",
        f"/v1/photos/{names[0]}",
        log.device,
        content=here,
        headers={"Content-Type": "image/jpeg"},
    )
    page = marie.page(f"{LOG}/{id}")
    assert f"/photos/{names[0]}" in page
    assert "This photo has not come yet" in words(page)
    original = marie.get(f"/console/sites/1085/photos/{names[0]}")
    assert original.content == here
    assert original.headers["cache-control"] == "private, no-cache"
    small = marie.get(f"/console/sites/1085/photos/{names[0]}", size="screen")
    assert small.headers["content-type"] == "image/jpeg"
    again = marie.client.get(
        f"/console/sites/1085/photos/{names[0]}?size=screen",
        headers={"If-None-Match": small.headers["etag"]},
    )
    assert again.status_code == 304
    assert marie.get(f"/console/sites/1085/photos/{names[1]}").status_code == 404
    assert marie.get("/console/sites/1085/photos/nonsense").status_code == 422


def looks(log: InfractionLog, plate: str = "ABC123") -> list[tuple[str, str | None]]:
    """Who of the staff looked a plate up, and what for."""
    sought = Plate(plate, "CA-QC")
    found = log.service.record.read(lambda tx: lookups.of_plate(tx, "1085", sought, most=50))
    return [(one.by_name, one.purpose) for one in found if one.who == "staff"]


def test_whoever_opens_an_infraction_looks_its_plate_up(
    log: InfractionLog, marie: Visiting, jean: Visiting
) -> None:
    id = log.record("ABC123")
    for page in (QUEUE, LOG):
        marie.page(page)
    assert looks(log) == []
    marie.page(f"{LOG}/{id}")
    marie.page(f"{LOG}/{id}")
    marie.twin(f"{LOG}/{id}")
    assert looks(log) == [("Marie Côté", "review")], "once within half an hour"
    page = marie.page("/console/sites/1085/plates/CA-QC/ABC123", **{"for": "review"})
    assert "Review of an infraction" in words(page)
    assert len(looks(log)) == 1, "the plate's page is looked at for the same"
    jean.twin(f"{LOG}/{id}")
    assert len(looks(log)) == 2
    log._service.clock.advance(minutes=31)
    marie.page(f"{LOG}/{id}")
    assert sorted(looks(log)) == [("Jean Roy", "review"), *[("Marie Côté", "review")] * 2]


def test_infraction_without_a_plate_looks_nothing_up(log: InfractionLog, marie: Visiting) -> None:
    id = log.record(None, plate_source="none", plate_missing_reason="no_plate")
    marie.page(f"{LOG}/{id}")
    assert log.service.record.read(lambda tx: tx.execute(select(of_staff)).all()) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
        {"HX-Request": "true"},
    ],
)
def test_what_is_fetched_before_anybody_opens_it_looks_nothing_up(
    log: InfractionLog, marie: Visiting, headers: dict[str, str]
) -> None:
    id = log.record("ABC123")
    plate = "/console/sites/1085/plates/CA-QC/ABC123?for=review"
    for path in (f"{LOG}/{id}", f"{LOG}/{id}.json", plate):
        answer = marie.client.get(path, headers=headers)
        assert answer.status_code == 403
        assert "What the handheld knew" not in answer.text
    assert looks(log) == []


def test_page_of_another_site_opens_no_infraction_in_somebodys_name(
    log: InfractionLog, marie: Visiting
) -> None:
    id = differing(log)
    for path in (f"{LOG}/{id}?part=differs", f"{LOG}/{id}.json"):
        answer = marie.client.get(path, headers={"Sec-Fetch-Site": "cross-site"})
        assert "A page of another site leads here." in words(answer.text)
        assert "What the handheld knew" not in answer.text
        assert "permit" not in words(answer.text).replace("permits of its plate", "")
    assert looks(log) == []
    answer = marie.client.get(f"{LOG}/{id}?part=differs", headers={"Sec-Fetch-Site": "same-site"})
    (onward,) = re.findall(r'class="button main" href="([^"]+)"', answer.text)
    assert onward == f"{LOG}/{id}?part=differs"
    answer = marie.client.get(onward, headers={"Sec-Fetch-Site": "same-origin"})
    assert "What the handheld knew" in words(answer.text)
    assert looks(log) == [("Marie Côté", "review")]
    again = marie.client.get(onward, headers={"Sec-Fetch-Site": "cross-site"})
    assert "What the handheld knew" in words(again.text), "it was looked up just now"


def test_photo_of_another_site_is_not_shown(log: InfractionLog, marie: Visiting) -> None:
    log._service.site("2000", zones=["G1"])
    _, token = log.enrol("2000")
    here = picture(shade=3)
    sent = [{"sha256": sha256(here), "bytes": 10, "taken_at": "2026-11-23T15:14:40Z"}]
    body = log.infraction(photos=sent) | {"site": "2000"}
    assert log.put(body, key=token).status_code == 201
    log.request("PUT", f"/v1/photos/{sha256(here)}", token, content=here)
    assert marie.get(f"/console/sites/1085/photos/{sha256(here)}").status_code == 404


def test_infraction_of_another_site_is_not_shown(log: InfractionLog, marie: Visiting) -> None:
    log._service.site("2000", zones=["G1"])
    _, token = log.enrol("2000")
    body = log.infraction() | {"site": "2000"}
    id = log.put(body, key=token).json()["id"]
    assert marie.get(f"{LOG}/{id}").status_code == 404
    assert marie.send(f"{LOG}/{id}/decision", decision="confirm").status_code == 404
    assert marie.get(f"/console/sites/2000/infractions/{id}").status_code == 403


@pytest.mark.parametrize("id", ["nonsense", "0" * 36, "01939a7e-5c1b-7c7e-8f5e-3a1d2b4c5d6e"])
def test_infraction_that_is_not_there_is_told(marie: Visiting, id: str) -> None:
    assert marie.get(f"{LOG}/{id}").status_code == 404
    assert marie.get(f"{LOG}/{id}.json").status_code == 404


def test_hostile_text_is_shown_as_text(log: InfractionLog, marie: Visiting) -> None:
    hostile = '<script>alert("x")</script>\u202e=HYPERLINK("http://x")\'; DROP TABLE infractions;--'
    id = log.record(
        note=hostile,
        place=hostile,
        zone=hostile[:90],
        plate_raw=hostile,
        codes=[hostile[:90]],
        vehicle={"make": hostile, "colour": "x" * 200},
        patroller=hostile[:90],
    )
    page = marie.page(f"{LOG}/{id}")
    assert "<script>alert" not in page
    assert hostile.replace("\u202e", "\u202e") in words(page)
    assert "<script>alert" not in marie.page(QUEUE) + marie.page(QUEUE, part="rest")


# Deciding


def test_confirmed_infraction_leads_to_the_next(log: InfractionLog, marie: Visiting) -> None:
    first = log.record("AAA111", clock_jumped=True)
    second = log.record("BBB222", clock_jumped=True)
    onward = decide(marie, first, "confirm")
    assert onward == f"{LOG}/{second}?done={first}"
    assert "Confirmed" in words(marie.page(onward))
    assert state_of(marie, first) == "confirmed"
    onward = decide(marie, second, "confirm")
    assert onward.startswith(QUEUE)


def test_confirming_what_differs_needs_to_be_said(log: InfractionLog, marie: Visiting) -> None:
    id = differing(log)
    form = fields(marie.page(f"{LOG}/{id}"))
    seen = {name: form[name] for name in ("expected_state", "expected_reviews")}
    answer = marie.send(f"{LOG}/{id}/decision", decision="confirm", **seen)
    assert answer.status_code == 409
    assert "contradicts" in words(answer.text)
    decide(marie, id, "confirm", acknowledge_differs="on")
    assert state_of(marie, id) == "confirmed"


def test_voiding_needs_a_reason_and_keeps_what_was_typed(
    log: InfractionLog, marie: Visiting
) -> None:
    id = differing(log)
    form = fields(marie.page(f"{LOG}/{id}"))
    seen = {name: form[name] for name in ("expected_state", "expected_reviews")}
    answer = marie.send(f"{LOG}/{id}/decision", decision="void", note="She called.", **seen)
    assert answer.status_code == 422
    assert "She called." in answer.text
    decide(marie, id, "void", reason="permit_valid_at_the_time", note="She called.")
    page = words(marie.page(f"{LOG}/{id}"))
    assert "Voided" in page
    assert "permit valid at the time" in page
    assert "She called." in page


def test_question_reaches_the_handheld_and_its_answer_the_page(
    log: InfractionLog, marie: Visiting
) -> None:
    id = differing(log)
    decide(marie, id, "request_information", note="Which lot was it?")
    told = log.request("GET", "/v1/sites/1085/briefing", log.device).json()
    assert told["questions"][0]["text"] == "Which lot was it?"
    assert told["questions"][0]["from"] == "Marie Côté"
    assert "Question asked" in words(marie.page(f"{LOG}/{id}")) or "requested" in words(
        marie.page(f"{LOG}/{id}")
    )


def test_question_without_words_is_refused(log: InfractionLog, marie: Visiting) -> None:
    id = differing(log)
    answer = marie.send(f"{LOG}/{id}/decision", decision="request_information")
    assert answer.status_code == 422
    assert "must say what you ask" in words(answer.text)


def test_log_names_who_decided(log: InfractionLog, marie: Visiting) -> None:
    id = differing(log)
    decide(marie, id, "void", reason="duplicate")
    review = marie.twin(f"{LOG}/{id}")["reviews"][0]
    assert review["by"] == f"staff:{marie.account.id}"
    assert review["by_name"] == "Marie Côté"


def test_nobody_reviews_their_own(log: InfractionLog, marie: Visiting) -> None:
    id = differing(log)
    own = visiting(log._service, "p42@example.org", sites=["1085"], badge="42")
    page = own.page(f"{LOG}/{id}")
    assert "nobody reviews their own" in words(page)
    answer = own.send(
        f"{LOG}/{id}/decision",
        decision="void",
        reason="duplicate",
        expected_state="received",
        expected_reviews="0",
    )
    assert answer.status_code == 403
    assert state_of(marie, id) == "received"


# Two at once


def test_second_of_two_is_told_and_loses_nothing(
    log: InfractionLog, marie: Visiting, jean: Visiting
) -> None:
    id = differing(log)
    seen = fields(jean.page(f"{LOG}/{id}"))
    decide(marie, id, "void", reason="duplicate")
    answer = jean.send(
        f"{LOG}/{id}/decision",
        decision="void",
        reason="misread_plate",
        note="It was O, not 0.",
        expected_state=seen["expected_state"],
        expected_reviews=seen["expected_reviews"],
    )
    assert answer.status_code == 409
    assert "Marie Côté has decided meanwhile" in words(answer.text)
    assert "It was O, not 0." in answer.text or "Nothing of yours was done" in words(answer.text)
    assert reviews_of(marie, id) == ["void"]


def test_second_of_two_is_told_even_where_the_state_is_as_it_was(
    log: InfractionLog, marie: Visiting, jean: Visiting
) -> None:
    """Confirmed and taken back meanwhile: what they saw is not what is."""
    id = log.record("AAA111", clock_jumped=True)
    seen = fields(jean.page(f"{LOG}/{id}"))
    decide(marie, id, "confirm")
    marie.sent(f"{LOG}/{id}/undo", expected_reviews="1")
    answer = jean.send(
        f"{LOG}/{id}/decision",
        decision="confirm",
        expected_state=seen["expected_state"],
        expected_reviews=seen["expected_reviews"],
    )
    assert answer.status_code == 409
    assert reviews_of(marie, id) == ["confirm", "undo"]


def test_one_press_twice_decides_once(log: InfractionLog, marie: Visiting) -> None:
    id = log.record("AAA111", clock_jumped=True)
    seen = fields(marie.page(f"{LOG}/{id}"))
    form = {name: seen[name] for name in ("expected_state", "expected_reviews")}
    assert marie.send(f"{LOG}/{id}/decision", decision="confirm", **form).status_code == 303
    assert marie.send(f"{LOG}/{id}/decision", decision="confirm", **form).status_code == 409
    assert reviews_of(marie, id) == ["confirm"]


# Undoing


def test_undo_is_an_entry_of_its_own(log: InfractionLog, marie: Visiting) -> None:
    id = log.record("AAA111", clock_jumped=True)
    onward = decide(marie, id, "confirm")
    page = marie.page(onward)
    (path,) = re.findall(r'id="undo" action="([^"]+)"', page)
    marie.sent(path.replace("&amp;", "&"), expected_reviews=fields(page)["expected_reviews"])
    assert state_of(marie, id) == "received"
    assert reviews_of(marie, id) == ["confirm", "undo"]
    events = [one["event"] for one in marie.twin(f"{LOG}/{id}")["history"]]
    assert events == ["received", "reviewed", "reviewed"]


def test_undoing_a_reopening_brings_the_reason_back(log: InfractionLog, marie: Visiting) -> None:
    id = differing(log)
    decide(marie, id, "void", reason="duplicate")
    decide(marie, id, "reopen")
    marie.sent(f"{LOG}/{id}/undo", expected_reviews="2")
    shown = marie.twin(f"{LOG}/{id}")
    assert (shown["state"], shown["decision_reason"]) == ("voided", "duplicate")


def test_undone_voiding_of_a_confirmed_one_is_confirmed(
    log: InfractionLog, marie: Visiting
) -> None:
    id = log.record("AAA111", clock_jumped=True)
    decide(marie, id, "confirm")
    decide(marie, id, "void", reason="duplicate")
    marie.sent(f"{LOG}/{id}/undo", expected_reviews="2")
    assert state_of(marie, id) == "confirmed"


def test_nobody_undoes_what_another_decided(
    log: InfractionLog, marie: Visiting, jean: Visiting
) -> None:
    id = log.record("AAA111", clock_jumped=True)
    decide(marie, id, "confirm")
    answer = jean.send(f"{LOG}/{id}/undo", expected_reviews="1")
    assert answer.status_code == 409
    assert state_of(marie, id) == "confirmed"


@pytest.mark.parametrize("count", ["", "0", "7", "-1", "x"])
def test_undo_of_something_else_is_refused(log: InfractionLog, marie: Visiting, count: str) -> None:
    id = log.record("AAA111", clock_jumped=True)
    decide(marie, id, "confirm")
    assert marie.send(f"{LOG}/{id}/undo", expected_reviews=count).status_code == 409
    assert state_of(marie, id) == "confirmed"


# Many at once


def chosen(marie: Visiting, *ids: str) -> list[str]:
    page = marie.page(QUEUE) + marie.page(QUEUE, part="rest")
    return [
        value
        for value in re.findall(r'name="infraction" value="([^"]+)"', page)
        if value[:36] in ids
    ]


def test_many_are_confirmed_together_but_for_what_differs_and_is_own(
    log: InfractionLog, marie: Visiting
) -> None:
    good = [log.record(f"AAA11{n}", clock_jumped=True) for n in range(3)]
    left = differing(log, "BBB222")
    answer = marie.send(QUEUE, decision="confirm", infraction=chosen(marie, *good, left))
    assert answer.status_code == 200
    assert "Confirmed: 3" in words(answer.text)
    assert "Left as they were: 1" in words(answer.text)
    assert [state_of(marie, id) for id in (*good, left)] == ["confirmed"] * 3 + ["received"]


def test_what_was_decided_together_is_undone_together(log: InfractionLog, marie: Visiting) -> None:
    ids = [log.record(f"AAA11{n}", clock_jumped=True) for n in range(3)]
    answer = marie.send(
        QUEUE, decision="void", reason="deficient_signs", infraction=chosen(marie, *ids)
    )
    again = re.findall(r'name="infraction" value="([^"]+)"', answer.text)
    answer = marie.send(f"{QUEUE}/undo", infraction=again)
    assert "Taken back: 3" in words(answer.text)
    assert [state_of(marie, id) for id in ids] == ["received"] * 3


def test_nothing_chosen_is_told(log: InfractionLog, marie: Visiting) -> None:
    log.record("AAA111", clock_jumped=True)
    assert marie.send(QUEUE, decision="confirm").status_code == 422
    assert marie.send(QUEUE, decision="void", infraction=["x"]).status_code == 200


# Corrections


def test_correction_is_linked_both_ways_and_can_be_taken_back(
    log: InfractionLog, marie: Visiting
) -> None:
    wrong = log.record("AAA111", clock_jumped=True)
    right = log.record("AAA112", clock_jumped=True)
    decide(marie, wrong, "void", reason="wrong_code", correction=right)
    assert right in marie.page(f"{LOG}/{wrong}")
    assert "corrects" in words(marie.page(f"{LOG}/{right}"))
    marie.sent(f"{LOG}/{wrong}/corrections", remove=right)
    assert marie.twin(f"{LOG}/{wrong}")["corrections"] == []
    events = [one["event"] for one in marie.twin(f"{LOG}/{wrong}")["history"]]
    assert events[-2:] == ["correction-linked", "correction-unlinked"]


def test_infraction_does_not_correct_itself(log: InfractionLog, marie: Visiting) -> None:
    id = log.record("AAA111", clock_jumped=True)
    answer = marie.send(f"{LOG}/{id}/corrections", correction=id)
    assert answer.status_code == 409
    other = log.record("AAA112", clock_jumped=True)
    marie.sent(f"{LOG}/{id}/corrections", correction=other)
    assert marie.send(f"{LOG}/{other}/corrections", correction=id).status_code == 409


def test_correction_that_is_not_there_voids_nothing(log: InfractionLog, marie: Visiting) -> None:
    id = log.record("AAA111", clock_jumped=True)
    form = fields(marie.page(f"{LOG}/{id}"))
    seen = {name: form[name] for name in ("expected_state", "expected_reviews")}
    answer = marie.send(
        f"{LOG}/{id}/decision", decision="void", reason="wrong_code", correction="A-1", **seen
    )
    assert answer.status_code == 404
    assert state_of(marie, id) == "received"


# A session that ends while somebody decides


def test_decision_that_was_typed_outlives_the_session(log: InfractionLog, marie: Visiting) -> None:
    from enforcement_api.staff import store

    id = differing(log)
    form = fields(marie.page(f"{LOG}/{id}"))
    seen = {name: form[name] for name in ("expected_state", "expected_reviews")}
    link = log.service.record.write(
        lambda tx: store.give_link(tx, marie.account, "reset", by="command", at=log.now)
    )
    log.service.entrance.set_password(link, "trois chats sur la neige")
    log.now += timedelta(hours=2)
    answer = marie.send(
        f"{LOG}/{id}/decision", decision="void", reason="duplicate", note="Deux fois.", **seen
    )
    assert answer.status_code == 401
    kept = {n: v for n, v in fields(answer.text).items() if n.startswith("kept")}
    marie.client.cookies.clear()  # as a browser puts the new one in its place
    answer = marie.client.post(
        "/console/sign-in",
        data={"email": "marie@example.org", "password": "trois chats sur la neige"} | kept,
    )
    told = words(answer.text)
    assert "duplicate" in told
    assert "Deux fois." in told
    again = fields(answer.text)
    assert marie.client.post(f"{LOG}/{id}/decision", data=again).status_code == 303
    shown = marie.client.get(f"{LOG}/{id}.json").json()
    assert (shown["state"], shown["reviews"][0]["note"]) == ("voided", "Deux fois.")


def test_browser_asks_each_time_whether_it_may_show_a_photo(
    log: InfractionLog, marie: Visiting
) -> None:
    content = picture(shade=7)
    photo = {"sha256": sha256(content), "bytes": len(content), "taken_at": "2026-11-23T17:00:00Z"}
    log.record(photos=[photo])
    log.put_photo(content)
    path = f"/console/sites/1085/photos/{sha256(content)}"
    tags = {}
    for size in ("", "screen"):
        answer = marie.get(path, size=size)
        assert answer.headers["cache-control"] == "private, no-cache"
        tags[size] = {"If-None-Match": answer.headers["etag"]}
        assert marie.client.get(path, params={"size": size}, headers=tags[size]).status_code == 304
    log._service.clock.advance(hours=13)
    for size, tag in tags.items():
        assert marie.client.get(path, params={"size": size}, headers=tag).status_code == 303


def test_nobody_says_what_corrects_what_they_recorded(log: InfractionLog, marie: Visiting) -> None:
    id, other = (log.record(f"AAA11{n}", clock_jumped=True) for n in range(2))
    own = visiting(log._service, "p42@example.org", sites=["1085"], badge="42")
    assert own.send(f"{LOG}/{id}/corrections", correction=other).status_code == 403
    marie.sent(f"{LOG}/{id}/corrections", correction=other)
    assert own.send(f"{LOG}/{id}/corrections", remove=other).status_code == 403
    assert marie.twin(f"{LOG}/{id}")["corrections"]
