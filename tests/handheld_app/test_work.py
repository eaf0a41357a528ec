"""One's own work: what became of what was recorded, and what supervisors want."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from handheld_app.handheld import Handheld
from handheld_app.patrol import TooLate
from handheld_app.work import Entry
from sync.entities import Notice
from sync.exchange import Briefed
from sync.outbox import Item
from tests.handheld_app.conftest import NOW, World, fill, sign_in

MINUTE = timedelta(minutes=1)
SERVER = "https://parking.example"


@pytest.fixture
def recorded(handheld: Handheld, world: World) -> Item:
    """One notice that was recorded now."""
    fill(handheld, world)
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("XYZ789", "CA-QC")))
    return handheld.outbox.infractions()[0]


def entry(handheld: Handheld) -> Entry:
    return handheld.patrol.work()[0]


def receive(handheld: Handheld, item: Item, world: World, **changes: Any) -> None:
    """The service has it, and tells of it by the feed."""
    handheld.outbox.acknowledge(item, {"state": "received"}, at=NOW)
    if changes:
        body = item.body or {}
        facts: dict[str, Any] = {
            "id": item.id, "plate": None, "codes": tuple(body["codes"]), "zone": body["zone"],
            "observed_at": NOW, "outcome": body["outcome"], "number": body.get("number"),
            "patroller": "marie", "state": "received", "decision_reason": None,
        }  # fmt: skip
        world.more[:] = [Notice(**(facts | changes))]
        fill(handheld, world)


def brief(handheld: Handheld, **body: Any) -> None:
    handheld.briefings.keep(SERVER, "1085", Briefed(body, '"1"'), at=NOW)


def question(item: Item, at: str = "2026-11-23T20:10:00Z") -> dict[str, str]:
    return {"infraction": item.id, "at": at, "from": "Anne", "text": "Quelle rangée ?"}


def test_state_follows_what_became_of_an_infraction(
    handheld: Handheld, world: World, recorded: Item
) -> None:
    assert entry(handheld).state == "waiting"
    receive(handheld, recorded, world)
    assert entry(handheld).state == "received"
    for state in ("confirmed", "paid", "contested", "upheld", "cancelled"):
        receive(handheld, recorded, world, state=state)
        assert entry(handheld).state == state
    receive(handheld, recorded, world, state="voided", decision_reason="misread_plate")
    assert (entry(handheld).state, entry(handheld).reason) == ("voided", "misread_plate")


def test_photos_that_the_service_lacks_are_told(
    handheld: Handheld, world: World, picture: Any
) -> None:
    fill(handheld, world)
    patrol = handheld.patrol
    draft = patrol.draft(patrol.check("XYZ789", "CA-QC"))
    draft.expect_photo()
    draft.keep_photo(patrol.take_photo(picture()))
    patrol.record(draft)
    item = handheld.outbox.infractions()[0]
    sha256 = draft.photos[0].sha256
    handheld.outbox.acknowledge(item, {}, at=NOW, missing=[sha256])
    assert (entry(handheld).state, entry(handheld).photos_waiting) == ("photos_missing", 1)
    photo = handheld.outbox.waiting()[-1]
    handheld.outbox.acknowledge(photo, {}, at=NOW)
    assert entry(handheld).state == "received"


def test_what_the_service_refused_tells_why(
    handheld: Handheld, world: World, recorded: Item
) -> None:
    handheld.outbox.refuse(recorded, "Malformed. Hand it in.", at=NOW)
    assert (entry(handheld).state, entry(handheld).reason) == ("refused", "Malformed. Hand it in.")


def test_question_is_shown_answered_and_may_be_asked_again(
    handheld: Handheld, world: World, recorded: Item
) -> None:
    receive(handheld, recorded, world, state="information_requested")
    brief(handheld, questions=[question(recorded)])
    found = entry(handheld)
    assert found.state == "question"
    assert found.question is not None
    assert found.question.text == "Quelle rangée ?"
    world.now = NOW + 10 * MINUTE
    handheld.patrol.answer(found, " Rangée C ")
    assert entry(handheld).state == "answered"
    told = handheld.outbox.waiting()[-1].body
    assert told is not None
    assert (told["kind"], told["infraction"], told["text"], told["patroller"]) == (
        "answer", recorded.id, "Rangée C", "marie",
    )  # fmt: skip
    brief(handheld, questions=[question(recorded, "2026-11-23T20:20:00Z")])
    assert entry(handheld).state == "question"


def test_patroller_may_take_their_own_back_within_the_grace_time(
    handheld: Handheld, world: World, recorded: Item
) -> None:
    number = (recorded.body or {})["number"]
    world.now = NOW + 10 * MINUTE
    assert handheld.patrol.may_void(entry(handheld))
    handheld.patrol.void(entry(handheld), "misread_plate")
    assert (entry(handheld).state, entry(handheld).reason) == ("voided_here", "misread_plate")
    told = handheld.outbox.waiting()[-1].body
    assert told == {
        "kind": "infraction_voided", "at": "2026-11-23T20:15:00Z", "infraction": recorded.id,
        "reason": "misread_plate", "site": "1085", "patroller": "marie", "number": number,
    }  # fmt: skip
    with pytest.raises(TooLate):
        handheld.patrol.void(entry(handheld), "duplicate")
    assert number not in (handheld.outbox.next_number(SERVER, "1085"),)


def test_nobody_takes_back_too_late_what_is_decided_or_anothers(
    handheld: Handheld, world: World, recorded: Item
) -> None:
    world.now = NOW + 10 * MINUTE + timedelta(seconds=1)
    assert not handheld.patrol.may_void(entry(handheld))
    brief(handheld, settings={"void_minutes": 60})
    assert handheld.patrol.may_void(entry(handheld))
    receive(handheld, recorded, world, state="confirmed")
    assert not handheld.patrol.may_void(entry(handheld))
    receive(handheld, recorded, world, state="received")
    handheld.patrol.sign_out()
    assert not handheld.patrol.may_void(entry(handheld))


def test_work_is_searched_by_plate_number_code_and_words(
    handheld: Handheld, world: World, recorded: Item
) -> None:
    patrol = handheld.patrol
    other = patrol.draft(patrol.check("QRS456", "CA-QC"))
    other.note, other.codes = "Borne 4", ["S01"]
    other.decide("warning")
    other.codes = ["M02"]
    world.now = NOW + MINUTE
    patrol.record(other)

    def found(text: str) -> list[str]:
        return [str(one.body["plate"]) for one in patrol.work(text=text)]

    assert found("") == ["QRS456", "XYZ789"]
    assert found("xyz 7") == found("P01") == ["XYZ789"]
    assert found((recorded.body or {})["number"]) == ["XYZ789"]
    assert found("borne") == found("m02") == ["QRS456"]
    assert patrol.work(since=NOW + MINUTE)[0].body["plate"] == "QRS456"
    assert len(patrol.work(since=NOW + MINUTE)) == 1


def message(id: str, to: str | None = None) -> dict[str, Any]:
    at = f"2026-11-23T20:0{len(id)}:00Z"
    return {"id": id, "at": at, "from": "Anne", "text": "Tempête", "to": to}


def test_messages_of_this_patroller_are_shown_until_read(handheld: Handheld, world: World) -> None:
    fill(handheld, world)
    brief(handheld, messages=[message("bb"), message("a", "marie"), message("ccc", "luc"), {}])
    patrol = handheld.patrol
    assert [one.id for one in patrol.messages()] == ["a", "bb"]
    patrol.read_message(patrol.messages()[0])
    assert [one.id for one in patrol.messages()] == ["bb"]
    told = handheld.outbox.waiting()[-1].body
    assert told is not None
    assert (told["kind"], told["message"], told["patroller"]) == ("message_read", "a", "marie")
    handheld.staff.wipe()
    sign_in(handheld, badge="99")
    assert [one.id for one in patrol.messages()] == ["bb"]


def test_briefing_of_another_shape_has_the_defaults(handheld: Handheld, world: World) -> None:
    fill(handheld, world)
    brief(
        handheld, settings={"repeat_days": "7", "void_minutes": -1, "chalk_minutes": [0]},
        messages={}, questions=[1, {"infraction": 1}], checks=None, texts=[],
    )  # fmt: skip
    found = handheld.patrol.briefing()
    assert found.settings.repeat == timedelta(days=7)
    assert found.settings.void_within == 10 * MINUTE
    assert found.settings.chalk_minutes == (15, 30, 60, 120)
    assert (found.messages, found.questions, found.checks, found.texts) == ((), (), (), {})
