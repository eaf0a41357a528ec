"""What a patroller can do, without a window and without a service."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from handheld_app.drafts import Draft
from handheld_app.evidence import LARGEST, PhotoRefused
from handheld_app.handheld import Handheld
from handheld_app.patrol import (
    LONGEST_NOTE,
    MOST_KNOWN,
    MOST_PHOTOS,
    IndexExpired,
    Lacking,
    NeedsService,
    NotReady,
    NotSignedIn,
    Patrol,
)
from handheld_app.signing_in import SHIFT
from handheld_app.staff import WrongPin
from handheld_app.wording import sign_in_trouble
from sync.codec import instant
from sync.entities import InfractionCode, NoNotice
from sync.exchange import InsecureAddress, NotNow, Refused, Unreachable
from sync.messages import SignIn
from sync.outbox import LOW_NUMBERS, RESERVE, AlreadyPut
from sync.plates import Plate, UnusablePlate
from sync.replica import DamagedIndex, UnknownZone
from tests.damage import DAMAGES, file_of
from tests.handheld_app.conftest import (
    BADGE,
    CHEAP,
    CODES,
    DAY,
    NOW,
    PIN,
    World,
    enrol,
    fill,
    give_numbers,
)


@pytest.fixture
def patrol(handheld: Handheld, world: World) -> Patrol:
    """At work in zone G1 of a site that has been fetched."""
    fill(handheld, world)
    return handheld.patrol


def recorded(handheld: Handheld) -> dict[str, object]:
    (item,) = handheld.outbox.infractions()
    assert item.body is not None
    return dict(item.body)


# where


def test_zones_are_those_of_the_site(patrol: Patrol) -> None:
    assert list(patrol.zones()) == ["G1", "G2", "M1"]


def test_a_zone_that_the_site_lacks_cannot_be_chosen(patrol: Patrol) -> None:
    with pytest.raises(UnknownZone):
        patrol.choose_zone("G9")
    assert patrol.device.zone == "G1"


def test_another_site_asks_for_a_zone_anew(patrol: Patrol) -> None:
    patrol.choose_site("2000")
    assert patrol.device.zone == ""
    assert patrol.zone() is None


@pytest.mark.parametrize("address", ["http://parking.example", "ftp://x", "", "http://10.0.0.7"])
def test_enrolment_over_plain_http_to_another_machine_is_refused(
    patrol: Patrol, address: str
) -> None:
    with pytest.raises(InsecureAddress):
        patrol.enrol(address, "CODE")


# checking


def test_nothing_is_judged_before_something_was_fetched(handheld: Handheld) -> None:
    with pytest.raises(NotReady):
        handheld.patrol.check("ABC123", "CA-QC")
    assert handheld.patrol.is_stale()


def test_nothing_is_judged_in_a_zone_that_is_gone(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    del world.zones["G1"]
    fill(handheld, world)
    with pytest.raises(NotReady):
        patrol.check("ABC123", "CA-QC")


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_damaged_index_gives_no_verdict_and_ends_no_program(
    handheld: Handheld, patrol: Patrol, world: World, damage: str
) -> None:
    world.permit("ABC123")
    fill(handheld, world)
    replica = handheld.replica_of("1085")
    DAMAGES[damage](replica)
    replica.close()
    assert not patrol.is_settled("ABC123", "CA-QC")
    assert patrol.site() is None
    with pytest.raises(NotReady):
        patrol.check("ABC123", "CA-QC")
    fill(handheld, world)
    assert patrol.check("ABC123", "CA-QC").verdict == "valid"


def test_a_damaged_page_of_permits_gives_no_verdict_of_them(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.permit("ABC123")
    fill(handheld, world)
    with sqlite3.connect(file_of(handheld.replica_of("1085"))) as connection:
        connection.execute("DROP TABLE permit")
    connection.close()
    assert not patrol.is_settled("ABC123", "CA-QC")
    with pytest.raises(NotReady):
        patrol.check("ABC123", "CA-QC")
    with pytest.raises(DamagedIndex):  # which the next sync is told
        handheld.replica_of("1085").state()


def test_damage_that_a_look_up_meets_halts_no_infraction(
    handheld: Handheld, patrol: Patrol
) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    with sqlite3.connect(file_of(handheld.replica_of("1085"))) as connection:
        connection.execute("DROP TABLE permit")
    connection.close()
    assert patrol.verdict_now(draft) is None
    assert patrol.cautions(draft) == []
    assert patrol.lacks(draft) == []
    patrol.record(draft)


def test_a_verdict_carries_what_the_handheld_knew(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    permit = world.permit("ABC 123")
    fill(handheld, world)
    sighting = patrol.check("abc-123", "CA-QC")
    assert sighting.verdict == "valid"
    assert sighting.plate == Plate("ABC123", "CA-QC")
    assert sighting.check.judgement.permits == (permit,)
    assert sighting.state == patrol.state()
    assert sighting.at == NOW


def test_what_is_no_plate_is_not_judged(patrol: Patrol) -> None:
    with pytest.raises(UnusablePlate):
        patrol.check("A", "CA-QC")


def test_a_verdict_comes_while_typing_once_more_letters_cannot_change_what_plate_it_is(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.permit("ABC123")
    fill(handheld, world)
    assert patrol.is_settled("ABC123", "CA-QC")
    assert not patrol.is_settled("ABC12", "CA-QC")
    assert patrol.is_settled("ABC13", "CA-QC")
    assert patrol.is_settled("ABC123", "CA-ON")
    assert patrol.is_settled("4BC", "CA-QC")
    assert not patrol.is_settled("", "CA-QC")


def test_verdicts_use_the_services_time(handheld: Handheld, patrol: Patrol, world: World) -> None:
    world.permit("ABC123", active_from=NOW + timedelta(minutes=5))
    fill(handheld, world)
    assert patrol.check("ABC123", "CA-QC").verdict == "pending_activation"
    stamp = handheld.clock.stamp()
    handheld.clock.observe(NOW + timedelta(minutes=10), sent=stamp, received=stamp)
    assert patrol.check("ABC123", "CA-QC").verdict == "valid"


# the age of what is known


def test_age_is_that_of_the_older_of_sync_and_feed(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.fed_at, world.synced_at = NOW - 3 * DAY, NOW
    fill(handheld, world)
    assert patrol.known_at() == NOW - 3 * DAY
    world.fed_at, world.synced_at = NOW, NOW - 2 * DAY
    fill(handheld, world)
    assert patrol.known_at() == NOW - 2 * DAY


def test_a_fresh_copy_of_a_dead_feed_is_stale(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    assert not patrol.is_stale()
    world.fed_at = NOW - timedelta(hours=25)
    fill(handheld, world)
    assert patrol.is_stale()


def test_a_feed_never_heard_of_is_stale(handheld: Handheld, patrol: Patrol, world: World) -> None:
    world.fed_at = None
    fill(handheld, world)
    assert patrol.known_at() is None
    assert patrol.is_stale()


# recording


@pytest.mark.parametrize(
    ("permit", "code", "outcome"),
    [
        (None, "P01", "notice"),
        ({"zone": "G2"}, "P02", "notice"),
        ({"ends_at": NOW - DAY}, "P03", "notice"),
        ({"active_from": NOW + DAY}, "P04", "warning"),
        ({"status": "suspended"}, "P01", "notice"),
        ({"starts_at": NOW + DAY}, "P01", "notice"),
    ],
)
def test_the_verdict_suggests_a_code_and_an_outcome(
    handheld: Handheld,
    patrol: Patrol,
    world: World,
    permit: dict[str, object] | None,
    code: str,
    outcome: str,
) -> None:
    if permit is not None:
        world.permit("ABC123", **permit)  # type: ignore[arg-type]
    fill(handheld, world)
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    assert (draft.codes, draft.outcome) == ([code], outcome)


def test_a_valid_plate_suggests_no_code(handheld: Handheld, patrol: Patrol, world: World) -> None:
    world.permit("ABC123")
    fill(handheld, world)
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    assert draft.codes == []
    assert patrol.lacks(draft) == ["code"]


def test_what_was_recorded_is_the_contracts_infraction(
    handheld: Handheld, patrol: Patrol, world: World, picture: Callable[..., Path]
) -> None:
    world.permit("ABC123", zone="G2")
    fill(handheld, world)
    draft = patrol.draft(patrol.check("abc 123", "CA-QC"))
    draft.photos.append(patrol.take_photo(picture()))
    draft.note = "  Devant l’entrée. "
    id = patrol.record(draft).id
    photo = draft.photos[0]
    state = patrol.state()
    assert state is not None
    body = recorded(handheld)
    known = body.pop("known")
    assert [permit["plate"] for permit in known] == ["ABC123"]  # type: ignore[attr-defined]
    assert body == {
        "site": "1085",
        "zone": "G1",
        "plate": "ABC123",
        "jurisdiction": "CA-QC",
        "plate_raw": "abc 123",
        "plate_source": "typed",
        "codes": ["P02"],
        "outcome": "notice",
        "patroller": "marie",
        "number": "1085-1001",
        "observed_at": instant(NOW),
        "device_time": instant(NOW),
        "clock_offset_ms": 0,
        "clock_uncertainty_ms": 500,
        "clock_jumped": False,
        "verdict": "wrong_zone",
        "epoch": state.epoch,
        "cursor": state.cursor,
        "note": "Devant l’entrée.",
        "photos": [{"sha256": photo.sha256, "bytes": photo.bytes, "taken_at": instant(NOW)}],
    }
    assert [item.id for item in handheld.outbox.waiting()] == [id, photo.sha256]
    assert id[14] == "7"


def test_no_more_permits_are_told_than_the_service_takes(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    for _ in range(MOST_KNOWN + 20):
        world.permit("ABC123", zone="G2")
    world.permit("ABC123", zone="G1")
    fill(handheld, world)
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    draft.codes = ["M02"]
    patrol.record(draft)
    known: list[dict[str, object]] = recorded(handheld)["known"]  # type: ignore[assignment]
    assert len(known) == MOST_KNOWN
    assert known[0]["zones"] == ["G1"]


def test_recording_again_adds_nothing(handheld: Handheld, patrol: Patrol) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    assert patrol.record(draft) == patrol.record(draft)
    assert patrol.unsent() == 1


def test_an_infraction_without_plate_says_why(handheld: Handheld, patrol: Patrol) -> None:
    draft = patrol.draft(None)
    draft.codes = ["M02"]
    with pytest.raises(Lacking) as lacking:
        patrol.record(draft)
    assert lacking.value.lacks == ("plate_reason",)
    draft.plate_missing_reason = "covered"
    patrol.record(draft)
    body = recorded(handheld)
    assert body["plate"] is None
    assert body["plate_source"] == "none"
    assert body["plate_missing_reason"] == "covered"
    assert body["verdict"] is None


@pytest.mark.parametrize(
    ("spoil", "lack"),
    [
        (lambda draft: setattr(draft, "codes", []), "code"),
        (lambda draft: setattr(draft, "outcome", "no_issue"), "reason"),
        (lambda draft: setattr(draft, "codes", ["R01"]), "photos"),
    ],
)
def test_what_is_lacking_stops_it(
    handheld: Handheld, patrol: Patrol, spoil: Callable[[Draft], None], lack: str
) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    spoil(draft)
    with pytest.raises(Lacking) as lacking:
        patrol.record(draft)
    assert lacking.value.lacks == (lack,)
    assert patrol.unsent() == 0


def test_nobody_records_without_signing_in_but_anybody_checks(
    handheld: Handheld, patrol: Patrol
) -> None:
    patrol.sign_out()
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    assert patrol.lacks(draft) == ["sign_in"]
    with pytest.raises(Lacking):
        patrol.record(draft)
    patrol.sign_in(BADGE, PIN)
    patrol.record(draft)
    assert recorded(handheld)["patroller"] == "marie"


def test_nothing_issued_asks_for_a_reason_but_no_photo(handheld: Handheld, patrol: Patrol) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    draft.codes, draft.outcome = ["R01"], "no_issue"
    draft.no_issue_reason = "driver_returned"
    patrol.record(draft)
    assert recorded(handheld)["no_issue_reason"] == "driver_returned"


def test_an_observation_is_of_the_instant_that_was_judged(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    sighting = patrol.check("ABC123", "CA-QC")
    world.now = NOW + timedelta(minutes=4)
    draft = patrol.draft(sighting)
    world.now = NOW + timedelta(minutes=9)
    patrol.record(draft)
    assert recorded(handheld)["observed_at"] == instant(NOW)


def test_a_vehicle_without_plate_is_observed_when_its_form_is_begun(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.now = NOW + timedelta(minutes=4)
    draft = patrol.draft(None)
    draft.codes, draft.plate_missing_reason = ["M02"], "no_plate"
    world.now = NOW + timedelta(minutes=9)
    patrol.record(draft)
    assert recorded(handheld)["observed_at"] == instant(NOW + timedelta(minutes=4))


def test_a_revocation_takes_nothing_from_what_was_seen(handheld: Handheld, patrol: Patrol) -> None:
    seen = patrol.draft(patrol.check("ABC123", "CA-QC"))
    without_plate = patrol.draft(None)
    without_plate.codes, without_plate.plate_missing_reason = ["M02"], "no_plate"
    handheld.forget_sites()
    for draft in (seen, without_plate):
        assert patrol.lacks(draft) == ["stale"]
        draft.stale_accepted = True
        patrol.record(draft)
    bodies = [item.body for item in handheld.outbox.infractions()]
    assert [body and body["cursor"] for body in bodies] == ["c12", "c12"]


def test_a_wrong_clock_is_told_beside_the_right_time(
    handheld: Handheld, patrol: Patrol, world: World, picture: Callable[..., Path]
) -> None:
    at = NOW + timedelta(minutes=10)
    stamp = handheld.clock.stamp()
    handheld.clock.observe(at, sent=stamp, received=stamp)
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    draft.photos.append(patrol.take_photo(picture()))
    patrol.record(draft)
    body = recorded(handheld)
    assert (body["observed_at"], body["device_time"]) == (instant(at), instant(NOW))
    assert body["clock_offset_ms"] == 600_500
    (photo,) = body["photos"]  # type: ignore[misc]
    assert photo["taken_at"] == instant(at)  # type: ignore[index]


def test_the_zone_that_was_judged_is_recorded(handheld: Handheld, patrol: Patrol) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    patrol.choose_zone("G2")
    patrol.record(draft)
    assert recorded(handheld)["zone"] == "G1"


@pytest.mark.parametrize("seen", [True, False])
def test_an_infraction_is_of_where_it_was_begun_whatever_was_chosen_since(
    handheld: Handheld, patrol: Patrol, world: World, seen: bool
) -> None:
    world.no_notice = (NoNotice(NOW - DAY, NOW + DAY, ("G1",), "Tempête"),)
    fill(handheld, world)
    draft = patrol.draft(patrol.check("ABC123", "CA-QC") if seen else None)
    draft.codes, draft.plate_missing_reason = ["R01"], "no_plate"
    patrol.choose_zone("G2")
    patrol.choose_site("2000")
    assert patrol.lacks(draft) == ["photos"]
    assert "no_notice" in patrol.cautions(draft)
    draft.decide("warning")
    draft.codes = ["M02"]
    patrol.record(draft)
    body = recorded(handheld)
    assert (body["site"], body["zone"], body["jurisdiction"]) == ("1085", "G1", "CA-QC")


def test_what_was_typed_is_recorded_with_the_plate_that_was_taken_instead(
    handheld: Handheld, patrol: Patrol
) -> None:
    patrol.record(patrol.draft(patrol.check("B8Z5S2", "CA-QC", typed="BBZ5S2")))
    body = recorded(handheld)
    assert (body["plate"], body["plate_raw"]) == ("B8Z5S2", "BBZ5S2")


def test_what_changes_after_recording_began_changes_nothing(
    handheld: Handheld, patrol: Patrol
) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    draft.note = "first"
    frozen = draft.frozen()
    draft.note = "second"
    draft.codes.append("M02")
    draft.photos.clear()
    patrol.record(frozen)
    assert (recorded(handheld)["note"], recorded(handheld)["codes"]) == ("first", ["P01"])
    with pytest.raises(AlreadyPut):
        patrol.record(draft)


def test_a_note_is_no_longer_than_the_service_takes(handheld: Handheld, patrol: Patrol) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    draft.note = "x" * (LONGEST_NOTE + 1)
    assert patrol.lacks(draft) == ["note"]
    draft.note = f" {'x' * LONGEST_NOTE} "
    patrol.record(draft)


def test_half_a_character_keeps_nothing_from_being_recorded(
    handheld: Handheld, patrol: Patrol
) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    draft.note = "half \ud83d, whole \ud83d\ude97, nothing \0"
    patrol.record(draft)
    assert recorded(handheld)["note"] == "half \ufffd, whole 🚗, nothing \ufffd"


@pytest.mark.parametrize(
    ("codes", "required"), [([], 0), (["P01"], 0), (["S01", "X02"], 2), (["X02", "P01"], 2)]
)
def test_the_code_that_asks_for_most_photos_counts(
    handheld: Handheld, patrol: Patrol, world: World, codes: list[str], required: int
) -> None:
    world.codes = (*CODES, code("X02", photos_required=2))
    fill(handheld, world)
    draft = patrol.draft(None)
    draft.codes = codes
    assert patrol.photos_required(draft) == required


def test_only_codes_of_the_sites_instrument_that_are_in_use_are_offered(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.codes = (
        code("A1", instruments=("avis",)),
        code("B1", instruments=("constat",)),
        code("C1", active=False),
        code("D1", instruments=()),
    )
    fill(handheld, world)
    assert [known.id for known in patrol.codes()] == ["A1", "D1"]


def code(id: str, **facts: Any) -> InfractionCode:
    return replace(CODES[0], id=id, **facts)


def test_the_next_infraction_begins_empty(
    handheld: Handheld, patrol: Patrol, picture: Callable[..., Path]
) -> None:
    sighting = patrol.check("ABC123", "CA-QC")
    first = patrol.draft(sighting)
    first.note, first.stale_accepted = "first", True
    first.codes.append("M02")
    first.photos.append(patrol.take_photo(picture()))
    patrol.record(first)
    second = patrol.draft(sighting)
    assert (second.note, second.codes, second.photos) == ("", ["P01"], [])
    assert not second.stale_accepted
    assert second.id != first.id


# what to think of first


def test_stale_data_is_confirmed_before_a_notice_but_not_before_a_warning(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.now = NOW + 2 * DAY
    patrol.sign_in(BADGE, PIN)
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    assert patrol.cautions(draft) == ["stale"]
    assert patrol.lacks(draft) == ["stale"]
    draft.stale_accepted = True
    assert patrol.lacks(draft) == []
    draft.stale_accepted, draft.outcome = False, "warning"
    assert patrol.lacks(draft) == []


def test_a_verdict_that_changed_since_the_check_is_told(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    assert patrol.cautions(draft) == []
    world.permit("ABC123")
    fill(handheld, world)
    assert patrol.verdict_now(draft) == "valid"
    assert patrol.cautions(draft) == ["verdict_changed", "valid"]


def test_a_window_without_notices_is_told(handheld: Handheld, patrol: Patrol, world: World) -> None:
    world.no_notice = (NoNotice(NOW - DAY, NOW + DAY, ("*",), "Tempête"),)
    fill(handheld, world)
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    assert patrol.cautions(draft) == ["no_notice"]
    draft.outcome = "warning"
    assert patrol.cautions(draft) == []


def test_a_window_of_another_zone_is_none_of_ours(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.no_notice = (NoNotice(NOW - DAY, NOW + DAY, ("G2",), "Tempête"),)
    fill(handheld, world)
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    assert patrol.cautions(draft) == []
    patrol.choose_zone("G2")
    assert patrol.cautions(patrol.draft(patrol.check("ABC123", "CA-QC"))) == ["no_notice"]


def test_a_window_that_is_over_is_none_of_ours(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.no_notice = (NoNotice(NOW - DAY, NOW, ("*",), "Tempête"),)
    fill(handheld, world)
    assert patrol.cautions(patrol.draft(patrol.check("ABC123", "CA-QC"))) == []


def test_another_outcome_asks_about_stale_data_anew(patrol: Patrol, world: World) -> None:
    world.now = NOW + 2 * DAY
    patrol.sign_in(BADGE, PIN)
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    draft.stale_accepted = True
    draft.decide("warning")
    draft.decide("notice")
    assert patrol.lacks(draft) == ["stale"]


def test_a_verdict_is_over_when_its_instant_comes(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.permit("ABC123", active_from=NOW + timedelta(minutes=5))
    fill(handheld, world)
    sighting = patrol.check("ABC123", "CA-QC")
    world.now = NOW + timedelta(minutes=5, seconds=-1)
    assert not patrol.is_over(sighting)
    world.now = NOW + timedelta(minutes=5)
    assert patrol.is_over(sighting)
    assert patrol.check("ABC123", "CA-QC").verdict == "valid"
    assert not patrol.is_over(patrol.check("ZZZ999", "CA-QC"))


# photos


def test_nothing_is_recorded_without_a_photo_that_is_being_added(
    handheld: Handheld, patrol: Patrol, picture: Callable[..., Path]
) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    draft.expect_photo()
    with pytest.raises(Lacking) as lacking:
        patrol.record(draft)
    assert lacking.value.lacks == ("photo_pending",)
    photo = patrol.take_photo(picture())
    draft.keep_photo(photo)
    patrol.record(draft)
    (sent,) = recorded(handheld)["photos"]  # type: ignore[misc]
    assert sent["sha256"] == photo.sha256  # type: ignore[index]


def test_a_photo_that_is_refused_says_why_and_holds_up_nothing(patrol: Patrol) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    draft.expect_photo()
    draft.miss_photo("not_a_picture")
    assert (patrol.lacks(draft), draft.photo_refused) == ([], "not_a_picture")
    draft.expect_photo()
    assert draft.photo_refused is None


def test_the_same_photo_is_there_once(patrol: Patrol, picture: Callable[..., Path]) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    for _ in range(2):
        draft.expect_photo()
        draft.keep_photo(patrol.take_photo(picture()))
    assert len(draft.photos) == 1
    assert draft.photos_pending == 0


def test_the_photo_that_was_removed_is_the_one_that_goes(
    patrol: Patrol, picture: Callable[..., Path]
) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    photos = [patrol.take_photo(picture(f"{n}.jpg", (100 + n, 80))) for n in range(3)]
    draft.photos += photos
    draft.remove_photo(photos[1])
    assert draft.photos == [photos[0], photos[2]]


def test_there_are_no_more_photos_than_the_service_takes(
    patrol: Patrol, picture: Callable[..., Path]
) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    photo = patrol.take_photo(picture())
    draft.photos = [replace(photo, sha256=f"{n:064x}") for n in range(MOST_PHOTOS + 1)]
    assert patrol.lacks(draft) == ["too_many_photos"]
    draft.photos.pop()
    assert patrol.lacks(draft) == []


def test_a_photo_without_room_is_refused_and_the_infraction_recorded(
    handheld: Handheld, patrol: Patrol, picture: Callable[..., Path]
) -> None:
    handheld.outbox._free = lambda folder: RESERVE
    with pytest.raises(PhotoRefused, match="no_room"):
        patrol.take_photo(picture())
    patrol.record(patrol.draft(patrol.check("ABC123", "CA-QC")))


def test_a_photo_that_the_disk_does_not_take_is_refused(
    patrol: Patrol, picture: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError("the disk is full")

    source = picture()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PhotoRefused, match="not_kept"):
        patrol.take_photo(source)


def test_a_photo_is_kept_unaltered_under_its_hash(
    patrol: Patrol, picture: Callable[..., Path]
) -> None:
    source = picture()
    photo = patrol.take_photo(source)
    assert photo.path.read_bytes() == source.read_bytes()
    assert photo.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert photo.taken_at == NOW
    source.unlink()
    assert photo.path.exists()


@pytest.mark.parametrize("name", ["car.png", "car.webp", "car.jpeg"])
def test_pictures_of_each_kind_are_taken(
    patrol: Patrol, picture: Callable[..., Path], name: str
) -> None:
    assert patrol.take_photo(picture(name)).bytes > 0


def test_what_is_no_picture_is_refused(patrol: Patrol, tmp_path: Path) -> None:
    words = tmp_path / "words.jpg"
    words.write_bytes(b"not a picture")
    with pytest.raises(PhotoRefused, match="not_a_picture"):
        patrol.take_photo(words)


def test_a_torn_picture_is_refused(patrol: Patrol, picture: Callable[..., Path]) -> None:
    torn = picture()
    torn.write_bytes(torn.read_bytes()[:400])
    with pytest.raises(PhotoRefused, match="not_a_picture"):
        patrol.take_photo(torn)


def test_a_file_that_is_too_large_is_refused(patrol: Patrol, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(b"\0" * (LARGEST + 1))
    with pytest.raises(PhotoRefused, match="too_large"):
        patrol.take_photo(large)


def test_a_file_that_is_gone_is_refused(patrol: Patrol, tmp_path: Path) -> None:
    with pytest.raises(PhotoRefused, match="unreadable"):
        patrol.take_photo(tmp_path / "gone.jpg")


def test_a_draft_can_still_be_shown_when_the_plates_are_gone(
    handheld: Handheld, world: World
) -> None:
    world.permit("ABC123", zone="G2")
    fill(handheld, world)
    patrol = handheld.patrol
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    handheld.forget_sites()
    assert patrol.site() is None
    assert draft.site is not None
    assert draft.zone == world.zones["G1"]
    assert draft.codes == ["P02"]
    assert "P02" in {code.id for code in draft.known_codes}


# who


def service_says(
    handheld: Handheld, monkeypatch: pytest.MonkeyPatch, answer: SignIn | Exception
) -> list[tuple[str, str]]:
    """What the service answers whoever signs in; who was asked about."""
    asked: list[tuple[str, str]] = []

    def ask(badge: str, pin: str) -> SignIn:
        asked.append((badge, pin))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(handheld.patrol, "_ask_sign_in", ask)
    return asked


REFUSED = Refused(403, {"type": "/problems/sign-in-refused", "title": "No", "detail": ""})
NO_ANSWER = Unreachable("[Errno 111] Connection refused")
LUC = SignIn("luc", NOW + 30 * DAY, "Luc Gagnon")


def test_the_first_sign_in_asks_the_service_and_the_next_one_nobody(
    handheld: Handheld, patrol: Patrol, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = service_says(handheld, monkeypatch, LUC)
    assert patrol.sign_in(" 302 ", "135790").called == "Luc Gagnon"
    patrol.sign_out()
    assert patrol.signed_in() is None
    who = patrol.sign_in("302", "135790")
    assert (who.patroller, who.unconfirmed) == ("luc", True)
    assert asked == [("302", "135790")]
    assert patrol.device.badge == "302"


def test_the_first_sign_in_needs_the_network(
    handheld: Handheld, patrol: Patrol, monkeypatch: pytest.MonkeyPatch
) -> None:
    service_says(handheld, monkeypatch, NO_ANSWER)
    with pytest.raises(NeedsService) as error:
        patrol.sign_in("302", "135790")
    assert "[Errno" not in sign_in_trouble(error.value, "en")
    service_says(handheld, monkeypatch, NotNow("Too many tries. Wait five minutes."))
    with pytest.raises(NeedsService) as error:
        patrol.sign_in("302", "135790")
    assert "Wait five minutes" in sign_in_trouble(error.value, "en")


def test_who_the_service_refuses_is_not_let_in(
    handheld: Handheld, patrol: Patrol, monkeypatch: pytest.MonkeyPatch
) -> None:
    patrol.sign_out()
    service_says(handheld, monkeypatch, REFUSED)
    with pytest.raises(WrongPin) as error:
        patrol.sign_in("302", "135790")
    assert error.value.left is None
    assert patrol.signed_in() is None


def test_a_pin_that_is_new_at_the_service_is_let_in_on_line(
    handheld: Handheld, patrol: Patrol, monkeypatch: pytest.MonkeyPatch
) -> None:
    service_says(handheld, monkeypatch, replace(LUC, patroller="marie"))
    patrol.sign_in(BADGE, "111111")
    service_says(handheld, monkeypatch, NO_ANSWER)
    assert patrol.sign_in(BADGE, "111111").patroller == "marie"
    with pytest.raises(WrongPin):
        patrol.sign_in(BADGE, PIN)


@pytest.mark.parametrize("answer", [NO_ANSWER, REFUSED])
def test_a_wrong_pin_is_counted_whatever_the_service_says(
    handheld: Handheld, patrol: Patrol, monkeypatch: pytest.MonkeyPatch, answer: Exception
) -> None:
    service_says(handheld, monkeypatch, answer)
    for left in (9, 8):
        with pytest.raises(WrongPin) as error:
            patrol.sign_in(BADGE, "111111")
        assert error.value.left == left


def test_the_service_has_the_last_word_on_who_was_let_in_here(
    handheld: Handheld, patrol: Patrol, monkeypatch: pytest.MonkeyPatch
) -> None:
    service_says(handheld, monkeypatch, NO_ANSWER)
    patrol.confirm_sign_in(BADGE, PIN)
    assert patrol.signed_in() is not None
    service_says(handheld, monkeypatch, REFUSED)
    with pytest.raises(NotSignedIn):
        patrol.confirm_sign_in(BADGE, PIN)
    assert patrol.signed_in() is None
    with pytest.raises(WrongPin):
        patrol.sign_in(BADGE, PIN)


def test_a_confirmed_sign_in_is_good_for_another_month(
    handheld: Handheld, patrol: Patrol, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.now = NOW + 29 * DAY
    said = SignIn("marie", world.now + 30 * DAY, "Marie Tremblay")
    service_says(handheld, monkeypatch, said)
    patrol.confirm_sign_in(BADGE, PIN)
    service_says(handheld, monkeypatch, NO_ANSWER)
    world.now = NOW + 58 * DAY
    assert patrol.sign_in(BADGE, PIN).patroller == "marie"
    world.now = NOW + 59 * DAY
    with pytest.raises(NeedsService):
        patrol.sign_in(BADGE, PIN)


def test_a_shift_ends_a_sign_in(patrol: Patrol, world: World) -> None:
    world.now = NOW + SHIFT - timedelta(seconds=1)
    assert patrol.signed_in() is not None
    world.now = NOW + SHIFT
    assert patrol.signed_in() is None


def test_a_restart_signs_out(handheld: Handheld, world: World, tmp_path: Path) -> None:
    again = Handheld(tmp_path, now=lambda: world.now, boot=lambda: world.now.timestamp())
    assert again.patrol.signed_in() is None
    assert again.staff.badges() == [BADGE]
    again.close()


def test_another_enrolment_and_a_revocation_leave_no_verifier(
    handheld: Handheld, patrol: Patrol
) -> None:
    handheld.forget_sites()
    assert not (handheld.folder / "staff.json").exists()
    assert patrol.signed_in() is not None  # what is being recorded is still recorded
    patrol.sign_in(BADGE, PIN)  # and so it is after the device was locked
    assert not (handheld.folder / "staff.json").exists()
    patrol.sign_out()
    handheld.forget_sites()
    assert handheld.staff.badges() == []


def test_a_clock_set_back_while_the_device_was_off_extends_nothing(
    handheld: Handheld, world: World, tmp_path: Path
) -> None:
    fill(handheld, world)
    world.now = NOW + 2 * DAY
    handheld.patrol.keep_time()
    handheld.close()
    world.now = NOW - 300 * DAY
    again = Handheld(
        tmp_path, now=lambda: world.now, boot=lambda: 5.0, boot_id=lambda: "another start"
    )
    assert again.patrol._latest() >= NOW + 2 * DAY
    again.device_file.change(seen_at=instant(NOW + 4 * DAY))
    assert again.patrol.is_expired()
    again.device_file.change(seen_at=instant(NOW + 31 * DAY))
    with pytest.raises(NeedsService):
        again.patrol.sign_in(BADGE, PIN)
    again.close()


def test_time_goes_on_though_the_clock_is_set_back_at_each_start(
    handheld: Handheld, world: World, tmp_path: Path
) -> None:
    fill(handheld, world)
    world.now = NOW + 2 * DAY
    handheld.patrol.keep_time()
    handheld.close()
    for start in range(4):
        boot = [5.0]
        again = Handheld(
            tmp_path,
            now=lambda: NOW - 300 * DAY,
            boot=lambda boot=boot: boot[0],
            boot_id=lambda start=start: f"start {start}",
        )
        assert again.patrol.is_expired() is (start == 3)
        boot[0] += timedelta(hours=9).total_seconds()
        again.patrol.keep_time()
        again.close()


def test_who_signs_in_on_line_before_the_clock_was_compared_is_signed_in(
    handheld: Handheld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handheld.device_file.change(seen_at=instant(NOW + DAY))
    handheld.close()
    again = Handheld(
        tmp_path, now=lambda: NOW - 300 * DAY, boot=lambda: 5.0, boot_id=lambda: "another start"
    )
    service_says(again, monkeypatch, LUC)
    again.patrol.sign_in("302", "135790")
    who = again.patrol.signed_in()
    assert who is not None
    assert who.until == NOW + DAY + SHIFT
    again.close()


def test_a_clock_that_was_measured_corrects_a_time_that_never_was(
    handheld: Handheld, patrol: Patrol
) -> None:
    handheld.device_file.change(seen_at="2038-01-19T03:14:07Z")
    assert patrol._latest() == NOW
    patrol.keep_time()
    assert patrol.device.seen_at == instant(NOW)


# an index that is too old


def too_old(handheld: Handheld, world: World) -> None:
    """Nothing was synced for 72 hours, and a second more than the clock may be wrong by."""
    fill(handheld, world)
    world.now = NOW + timedelta(hours=72, seconds=15)
    handheld.patrol.sign_in(BADGE, PIN)


def test_an_index_gives_verdicts_for_72_hours_after_its_last_sync(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.permit("ABC123")
    fill(handheld, world)
    world.now = NOW + timedelta(hours=72) - timedelta(seconds=15)
    assert patrol.check("ABC123", "CA-QC").verdict == "valid"
    too_old(handheld, world)
    with pytest.raises(IndexExpired) as error:
        patrol.check("ABC123", "CA-QC")
    assert error.value.age > timedelta(hours=72)
    assert not patrol.is_settled("ABC123", "CA-QC")
    assert patrol.warnings()[0] == "expired"
    world.synced_at = world.now
    fill(handheld, world)
    assert patrol.check("ABC123", "CA-QC").verdict == "valid"


def test_how_long_an_index_answers_is_a_setting_of_the_device(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.permit("ABC123")
    fill(handheld, world)
    handheld.device_file.change(index_lifetime_hours=8)
    world.now = NOW + timedelta(hours=9)
    with pytest.raises(IndexExpired):
        patrol.check("ABC123", "CA-QC")


def test_what_the_clock_may_be_wrong_by_counts_as_age(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    fill(handheld, world)
    world.now = NOW + timedelta(hours=72) - timedelta(seconds=1)
    assert patrol.is_expired()  # fifty millionths of three days are thirteen seconds


def test_a_plate_that_cannot_be_judged_is_recorded_without_a_verdict(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.permit("ABC123")
    too_old(handheld, world)
    draft = patrol.draft(None, patrol.unjudged("abc 123", "CA-QC"))
    assert draft.codes == []
    draft.codes, draft.outcome = ["M02"], "warning"
    assert patrol.lacks(draft) == []
    patrol.record(draft)
    body = recorded(handheld)
    assert (body["plate"], body["plate_raw"], body["plate_source"]) == (
        "ABC123", "abc 123", "typed",
    )  # fmt: skip
    assert (body["verdict"], body["known"]) == (None, [])
    assert "plate_missing_reason" not in body


def test_a_draft_tells_nothing_of_a_plate_once_the_index_is_too_old(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    world.permit("ABC123")
    too_old(handheld, world)
    assert patrol.verdict_now(draft) is None
    assert "valid" not in patrol.cautions(draft)


# numbers of notices


def test_a_notice_takes_the_next_number_and_nothing_else_does(
    handheld: Handheld, patrol: Patrol
) -> None:
    numbers = []
    for outcome in ("notice", "warning", "no_issue", "notice"):
        draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
        draft.outcome, draft.no_issue_reason = outcome, "driver_returned"  # type: ignore[assignment]
        expected = patrol.number_of(draft)
        found = patrol.record(draft)
        assert found.number == expected
        assert patrol.record(draft) == found
        numbers.append(found.number)
    assert numbers == ["1085-1001", None, None, "1085-1002"]
    assert patrol.numbers_left() == 48


def test_running_out_of_numbers_is_told_early_and_hinders_nothing(
    handheld: Handheld, patrol: Patrol
) -> None:
    handheld.outbox.put_block("https://parking.example", "2000", "other", "2000-", 1, 1)
    patrol.choose_site("1085")
    for _ in range(50 - LOW_NUMBERS):
        patrol.record(patrol.draft(patrol.check("ABC123", "CA-QC")))
    assert patrol.warnings() == []
    patrol.record(patrol.draft(patrol.check("ABC123", "CA-QC")))
    assert patrol.warnings() == ["low_numbers"]
    while patrol.numbers_left():
        patrol.record(patrol.draft(patrol.check("ABC123", "CA-QC")))
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    assert patrol.warnings() == ["no_number"]
    assert patrol.cautions(draft) == ["no_number"]
    assert patrol.record(draft).number is None
    assert "number" not in (patrol.log(most=1)[0].body or {})
    give_numbers(handheld, 2001, 2050)
    assert patrol.warnings() == []


def test_a_number_that_was_not_printed_is_told_once(handheld: Handheld, patrol: Patrol) -> None:
    assert patrol.spoilable() is None
    found = patrol.record(patrol.draft(patrol.check("ABC123", "CA-QC")))
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    draft.outcome = "warning"
    patrol.record(draft)
    item = patrol.spoilable()
    assert item is not None
    assert item.id == found.id
    patrol.spoil(item, "print_failed")
    patrol.spoil(item, "print_failed")
    events = [item.body for item in handheld.outbox.waiting() if item.kind == "event"]
    assert [(body or {})["number"] for body in events] == ["1085-1001"]
    assert patrol.spoilable() is None
    assert patrol.spoiled() == {found.id}


def test_numbers_are_those_of_the_service_and_site_where_the_draft_was_begun(
    handheld: Handheld, patrol: Patrol
) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    handheld.device_file.change(server="https://other.example", site="2000")
    draft.stale_accepted = True  # nothing is known of that site any more
    assert patrol.numbers_left() == 0
    assert patrol.record(draft).number == "1085-1001"


# what stays


def test_what_was_recorded_for_another_service_stays_and_is_shown_apart(
    handheld: Handheld, patrol: Patrol
) -> None:
    patrol.record(patrol.draft(patrol.check("ABC123", "CA-QC")))
    assert patrol.unsent_elsewhere() == {}
    handheld.device_file.change(server="https://other.example")
    handheld.forget_sites()
    assert patrol.unsent_elsewhere() == {"https://parking.example": 1}
    assert patrol.unsent() == 1


def test_what_was_refused_is_exported_with_its_reason(
    handheld: Handheld, patrol: Patrol, tmp_path: Path
) -> None:
    patrol.record(patrol.draft(patrol.check("ABC123", "CA-QC")))
    (item,) = handheld.outbox.waiting()
    handheld.outbox.refuse(item, "The site is gone.", at=NOW)
    path = patrol.export_set_aside(tmp_path / "exports")
    with zipfile.ZipFile(path) as archive:
        (found,) = json.loads(archive.read("items.json"))
    assert (found["id"], found["problem"]) == (item.id, "The site is gone.")
    assert [still.id for still in patrol.set_aside()] == [item.id]


# a clock that is not sure


def test_a_clock_that_jumped_moves_no_verdict_and_is_told(
    handheld: Handheld, patrol: Patrol, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.permit("ABC123")
    fill(handheld, world)
    monkeypatch.setattr(handheld.clock, "_now", lambda: NOW - 500 * DAY)
    sighting = patrol.check("ABC123", "CA-QC")
    assert (sighting.verdict, sighting.at) == ("valid", NOW)
    assert patrol.warnings() == ["clock_jumped"]
    draft = patrol.draft(sighting)
    draft.codes, draft.outcome = ["M02"], "warning"
    assert patrol.cautions(draft) == ["clock"]
    patrol.record(draft)
    body = recorded(handheld)
    assert body["clock_jumped"] is True
    assert (body["observed_at"], body["device_time"]) == (instant(NOW), instant(NOW - 500 * DAY))


def test_a_clock_that_was_never_compared_is_told(tmp_path: Path, world: World) -> None:
    handheld = Handheld(tmp_path / "new", now=lambda: world.now, boot=lambda: 0.0, pin_cost=CHEAP)
    enrol(handheld)
    give_numbers(handheld)
    fill(handheld, world)
    patrol = handheld.patrol
    assert patrol.warnings() == ["clock_unsure"]
    patrol.record(patrol.draft(patrol.check("ABC123", "CA-QC")))
    assert recorded(handheld)["clock_uncertainty_ms"] is None
    handheld.close()
