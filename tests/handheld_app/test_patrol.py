"""What a patroller can do, without a window and without a service."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from handheld_app.evidence import LARGEST, PhotoRefused
from handheld_app.handheld import Handheld
from handheld_app.patrol import MOST_KNOWN, Draft, Lacking, NotReady, Patrol
from sync.client import InsecureAddress
from sync.codec import instant
from sync.entities import NoNotice
from sync.plates import Plate, UnusablePlate
from sync.replica import UnknownZone
from tests.handheld_app.conftest import DAY, NOW, World, fill


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


def test_a_verdict_while_typing_needs_a_permit(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.permit("ABC123")
    fill(handheld, world)
    assert patrol.has_permits("ABC123", "CA-QC")
    assert not patrol.has_permits("ABC12", "CA-QC")
    assert not patrol.has_permits("ABC123", "CA-ON")
    assert not patrol.has_permits("", "CA-QC")


def test_verdicts_use_the_services_time(handheld: Handheld, patrol: Patrol, world: World) -> None:
    world.permit("ABC123", active_from=NOW + timedelta(minutes=5))
    fill(handheld, world)
    assert patrol.check("ABC123", "CA-QC").verdict == "pending_activation"
    handheld.clock.observe(NOW + timedelta(minutes=10), sent_at=world.now, received_at=world.now)
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
    id = patrol.record(draft)
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
        "patroller": "4217",
        "observed_at": instant(NOW),
        "device_time": instant(NOW),
        "clock_offset_ms": 0,
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


def test_nobody_records_without_a_badge(patrol: Patrol) -> None:
    patrol.sign("   ")
    assert patrol.lacks(patrol.draft(patrol.check("ABC123", "CA-QC"))) == ["badge"]


def test_nothing_issued_asks_for_a_reason_but_no_photo(handheld: Handheld, patrol: Patrol) -> None:
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    draft.codes, draft.outcome = ["R01"], "no_issue"
    draft.no_issue_reason = "driver_returned"
    patrol.record(draft)
    assert recorded(handheld)["no_issue_reason"] == "driver_returned"


# what to think of first


def test_stale_data_is_confirmed_before_a_notice_but_not_before_a_warning(
    handheld: Handheld, patrol: Patrol, world: World
) -> None:
    world.now = NOW + 2 * DAY
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


# photos


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
