"""Shifts, drafts that outlive a restart, chalk: what the notebook is for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from handheld_app.drafts import MalformedDraft, as_json, from_json
from handheld_app.handheld import Handheld
from handheld_app.locating import Position
from handheld_app.patrol import Lacking, Patrol
from sync.entities import Vehicle
from sync.plates import Plate
from tests.handheld_app.conftest import CHEAP, NOW, PIN, World, fill, measure, sign_in

MINUTE = timedelta(minutes=1)


def events(handheld: Handheld) -> list[dict[str, Any]]:
    return [dict(item.body or {}) for item in handheld.outbox.waiting() if item.kind == "event"]


def restarted(handheld: Handheld, world: World, folder: Path) -> Handheld:
    """The program, started again over the same folder."""
    handheld.close()
    again = Handheld(
        folder, now=lambda: world.now, boot=lambda: world.now.timestamp(), pin_cost=CHEAP
    )
    measure(again)
    return again


def test_shift_needs_somebody_signed_in(handheld: Handheld, world: World) -> None:
    fill(handheld, world)
    handheld.patrol.sign_out()
    with pytest.raises(Lacking):
        handheld.patrol.start_shift()


def test_shift_ends_with_what_it_came_to(
    handheld: Handheld, world: World, picture: Callable[..., Path]
) -> None:
    world.permit("ABC123")
    fill(handheld, world)
    patrol = handheld.patrol
    patrol.note_check(patrol.check("XYZ789", "CA-QC"))
    world.now = NOW + MINUTE
    shift = patrol.start_shift()
    for plate in ("ABC123", "XYZ789", "QRS456"):
        patrol.note_check(patrol.check(plate, "CA-QC"))
    draft = patrol.draft(patrol.check("XYZ789", "CA-QC"))
    draft.expect_photo()
    draft.keep_photo(patrol.take_photo(picture()))
    patrol.record(draft)
    warned = patrol.draft(patrol.check("QRS456", "CA-QC"))
    warned.decide("warning")
    patrol.record(warned)
    patrol.void(patrol.work()[0], "duplicate")
    patrol.mark(Plate("ABC123", "CA-QC"), minutes=30)
    world.now = NOW + 8 * 60 * MINUTE
    summary = patrol.end_shift()
    assert summary is not None
    assert summary.verdicts == {"valid": 1, "unknown": 2}
    assert summary.outcomes == {"notice": 1, "warning": 1}
    assert (summary.checks, summary.infractions) == (3, 2)
    assert (summary.voided, summary.chalked, summary.photos) == (1, 1, 1)
    assert summary.shift.ended_at == world.now
    assert patrol.shift is None
    told = [event for event in events(handheld) if event["kind"].startswith("shift_")]
    assert [event["kind"] for event in told] == ["shift_started", "shift_ended"]
    assert told[1]["checks"] == {"valid": 1, "unknown": 2}
    assert {event["shift"] for event in told} == {shift.id}


def test_infraction_is_of_its_shift(handheld: Handheld, world: World) -> None:
    fill(handheld, world)
    patrol = handheld.patrol
    shift = patrol.start_shift()
    patrol.record(patrol.draft(patrol.check("XYZ789", "CA-QC")))
    assert patrol.work()[0].body["shift"] == shift.id


def test_shift_outlives_a_restart_and_another_patroller_ends_it(
    handheld: Handheld, world: World, tmp_path: Path
) -> None:
    fill(handheld, world)
    shift = handheld.patrol.start_shift()
    again = restarted(handheld, world, tmp_path)
    try:
        assert again.patrol.shift == replace(shift, started_at=again.patrol.shift.started_at)  # type: ignore[union-attr]
        assert again.patrol.signed_in() is None
        again.patrol.sign_in("4217", PIN)
        assert again.patrol.go_on_with_shift() is not None
        again.staff.wipe()
        sign_in(again, badge="99")
        again.patrol._who = replace(again.patrol.signed_in(), patroller="luc")  # type: ignore[type-var]
        assert again.patrol.go_on_with_shift() is None
        assert events(again)[-1]["kind"] == "shift_ended"
    finally:
        again.close()


# Drafts


def full_draft(patrol: Patrol, picture: Callable[..., Path]) -> Any:
    draft = patrol.draft(patrol.check("xyz 789", "CA-QC", typed="XYZ789-1"))
    draft.codes, draft.note, draft.place = ["P01", "S01"], "Devant l’entrée", "Rangée C"
    draft.lot, draft.vehicle = "P3", Vehicle("Kia", "rouge")
    draft.position = Position(45.4, -71.9, 6.5, NOW)
    draft.decide("no_issue")
    draft.no_issue_reason = "driver_returned"
    draft.expect_photo()
    draft.keep_photo(patrol.take_photo(picture()))
    draft.label_photo(draft.photos[0], "sign")
    return draft


def test_draft_comes_back_after_a_restart_with_all_that_was_given(
    handheld: Handheld, world: World, tmp_path: Path, picture: Callable[..., Path]
) -> None:
    world.permit("XYZ789", zone="G2", vehicle=Vehicle("Kia", "rouge"))
    fill(handheld, world)
    draft = full_draft(handheld.patrol, picture)
    handheld.patrol.keep_draft(draft)
    again = restarted(handheld, world, tmp_path)
    try:
        kept = again.patrol.kept_draft()
        assert kept is not None
        assert as_json(kept) == as_json(draft)
        sign_in(again)
        again.patrol.record(kept)
        assert again.patrol.kept_draft() is None
        body = again.patrol.work()[0].body
        assert (body["note"], body["place"], body["lot"]) == ("Devant l’entrée", "Rangée C", "P3")
        assert body["position"] == {"lat": 45.4, "lon": -71.9, "accuracy_m": 6.5}
        assert body["vehicle"] == {"make": "Kia", "colour": "rouge"}
        assert body["photos"][0]["shows"] == "sign"
    finally:
        again.close()


def test_draft_that_was_recorded_does_not_come_back(handheld: Handheld, world: World) -> None:
    fill(handheld, world)
    patrol = handheld.patrol
    draft = patrol.draft(patrol.check("XYZ789", "CA-QC"))
    patrol.record(draft)
    patrol.keep_draft(draft)  # as if the program had ended between the two
    assert patrol.kept_draft() is None


def test_draft_that_was_given_up_does_not_come_back(handheld: Handheld, world: World) -> None:
    fill(handheld, world)
    draft = handheld.patrol.draft(None)
    handheld.patrol.keep_draft(draft)
    handheld.patrol.drop_draft(draft)
    assert handheld.patrol.kept_draft() is None


def test_draft_of_another_version_is_passed_over(handheld: Handheld, world: World) -> None:
    fill(handheld, world)
    with pytest.raises(MalformedDraft):
        from_json({"id": "1"})
    handheld.notebook.keep("draft", "1", {"id": "1"}, at=NOW)
    assert handheld.patrol.kept_draft() is None


def test_draft_keeps_its_place_when_the_device_is_revoked(
    handheld: Handheld, world: World, picture: Callable[..., Path]
) -> None:
    fill(handheld, world)
    patrol = handheld.patrol
    draft = full_draft(patrol, picture)
    patrol.keep_draft(draft)
    patrol.note_check(patrol.check("ABC123", "CA-QC"))
    handheld.forget_sites()
    kept = patrol.kept_draft()
    assert kept is not None
    assert kept.site == draft.site
    assert patrol.recent_checks() == []
    assert b"ABC123" not in (handheld.folder / "notebook.db").read_bytes()


def test_damaged_notebook_is_begun_anew_and_the_outbox_stays(
    handheld: Handheld, world: World, tmp_path: Path
) -> None:
    fill(handheld, world)
    handheld.patrol.record(handheld.patrol.draft(handheld.patrol.check("XYZ789", "CA-QC")))
    handheld.close()
    (handheld.folder / "notebook.db").write_bytes(b"no database" * 500)
    again = restarted(handheld, world, tmp_path)
    try:
        assert again.patrol.shift is None
        assert len(again.patrol.work()) == 1
    finally:
        again.close()


# Checks


def test_last_checks_are_there_each_plate_once(handheld: Handheld, world: World) -> None:
    world.permit("ABC123", number="55")
    fill(handheld, world)
    patrol = handheld.patrol
    for minute, plate in enumerate(("ABC123", "XYZ789", "ABC123")):
        world.now = NOW + minute * MINUTE
        patrol.note_check(patrol.check(plate, "CA-QC"))
    assert [check.plate.text for check in patrol.recent_checks()] == ["ABC123", "XYZ789"]
    checks = [event for event in events(handheld) if event["kind"] == "check"]
    assert [check["plate"] for check in checks] == ["ABC123", "XYZ789", "ABC123"]
    assert checks[0] | {"shift": None} == {
        "kind": "check", "site": "1085", "at": "2026-11-23T20:05:00Z", "plate": "ABC123",
        "jurisdiction": "CA-QC", "zone": "G1", "lot": None, "place": None, "verdict": "valid",
        "permit_number": "55", "patroller": "marie", "shift": None, "purpose": "patrol",
    }  # fmt: skip


def test_other_plates_of_the_permit_are_found(handheld: Handheld, world: World) -> None:
    world.permit("ABC123", number="55")
    world.permit("XYZ789", number="55")
    world.permit("LMN456", number="56")
    fill(handheld, world)
    patrol = handheld.patrol
    assert patrol.other_plates(patrol.check("ABC123", "CA-QC")) == [Plate("XYZ789", "CA-QC")]
    assert patrol.other_plates(patrol.check("LMN456", "CA-QC")) == []
    assert patrol.other_plates(patrol.check("QQQ111", "CA-QC")) == []


# Chalk


def test_marked_vehicle_is_due_when_its_time_is_up(handheld: Handheld, world: World) -> None:
    fill(handheld, world)
    patrol, plate = handheld.patrol, Plate("ABC123", "CA-QC")
    chalk = patrol.mark(plate, minutes=30, place="Quai 2", valves=(3, 9))
    assert patrol.marks() == [chalk]
    world.now = NOW + 30 * MINUTE - timedelta(seconds=1)
    assert patrol.marks_due() == []
    world.now = NOW + 30 * MINUTE
    assert patrol.marks_due() == [chalk]
    assert patrol.mark_of(plate) == chalk
    assert chalk.stands_as_before((3, 9)) is True
    assert chalk.stands_as_before((3, 10)) is False
    assert chalk.stands_as_before((None, None)) is None
    patrol.settle_mark(chalk, "not_moved")
    assert patrol.marks() == []
    assert patrol.mark_of(plate) is None
    told = [event for event in events(handheld) if event["kind"] == "chalk"]
    assert [event["found"] for event in told] == [None, "not_moved"]
    assert told[0]["chalk"] == told[1]["chalk"] == chalk.id


def test_marks_outlive_a_restart(handheld: Handheld, world: World, tmp_path: Path) -> None:
    fill(handheld, world)
    chalk = handheld.patrol.mark(Plate("ABC123", "CA-QC"), minutes=15)
    again = restarted(handheld, world, tmp_path)
    try:
        assert again.patrol.marks() == [chalk]
    finally:
        again.close()


# Where


SQUARE = {
    "type": "Polygon",
    "coordinates": [
        [[-71.9, 45.4], [-71.898, 45.4], [-71.898, 45.402], [-71.9, 45.402], [-71.9, 45.4]]
    ],
}  # fmt: skip


def test_lot_in_which_the_device_is_is_suggested(world: World, tmp_path: Path) -> None:
    from sync.entities import Lot

    world.more.append(Lot("P3", "P3", "G2", json.dumps(SQUARE)))
    here = [Position(45.401, -71.899, 8.0, NOW)]
    handheld = Handheld(
        tmp_path,
        now=lambda: world.now,
        boot=lambda: world.now.timestamp(),
        pin_cost=CHEAP,
        locate=lambda: here[0],
    )
    try:
        from tests.handheld_app.conftest import enrol

        enrol(handheld)
        measure(handheld)
        fill(handheld, world)
        lot = handheld.patrol.suggested_lot()
        assert lot is not None
        assert lot.id == "P3"
        here[0] = Position(45.401, -71.9001, 20.0, NOW)  # 8 m to the west of it
        assert handheld.patrol.suggested_lot() is not None
        here[0] = Position(45.401, -71.91, 20.0, NOW)
        assert handheld.patrol.suggested_lot() is None
        here[0] = Position(45.401, -71.899, 500.0, NOW)
        assert handheld.patrol.suggested_lot() is None
        here[0] = Position(45.401, -71.899, 8.0, NOW - 5 * MINUTE)
        assert handheld.patrol.position() is None
    finally:
        handheld.close()
