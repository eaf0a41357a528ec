"""DOMAIN 2.4: a plate is replaced make-before-break, so that one plate always works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcement_api.permits.core import (
    ConfirmedInTheFuture,
    GivenVehicle,
    NotYourPermit,
    PlateUpdate,
    StoredPermit,
    VersionConflict,
    apply,
)
from sync.plates import Plate
from sync.validity import judge
from tests.builders import DAY, HOUR, SECOND, ZONES, a_site, at, confirmed

BEGAN = at("2026-01-02 05:00")
"""When a permit confirmed on the first day became active."""


class Record:
    """One id's permits, as updates are applied to them."""

    def __init__(self) -> None:
        self.permits: dict[str, StoredPermit] = {}

    def push(self, update: PlateUpdate, *, now: datetime, source: str = "s") -> str:
        before = [self.permits[f"p~{n}"] for n in range(1, len(self.permits))]
        effect, versions = apply(
            update,
            current=self.permits.get(update.id),
            before=before,
            site=a_site(),
            zones=ZONES,
            source=source,
            now=now,
        )
        self.permits.update({v.id: v for v in versions})
        return effect

    def verdict(self, plate: str, when: datetime) -> str:
        wanted = Plate.parse(plate, "CA-QC")
        permits = [v.permit for v in self.permits.values() if v.facts.plate == wanted]
        return judge(permits, zone="G1", at=when, retention=90 * DAY).verdict

    def working(
        self, when: datetime, plates: Sequence[str] = ("AAA111", "BBB222", "CCC333")
    ) -> str:
        """The plates that are valid, by their first letter."""
        return "".join(p[0] for p in plates if self.verdict(p, when) == "valid")


@pytest.fixture
def record() -> Record:
    """A permit of plate AAA111, active for long."""
    record = Record()
    record.push(confirmed(BEGAN - DAY), now=BEGAN - DAY)
    assert record.working(BEGAN - SECOND) == ""
    assert record.working(BEGAN) == "A"
    return record


CHANGED = at("2026-06-01 14:00")
ACTIVE = CHANGED + DAY


def test_old_plate_works_until_the_new_one_does(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    assert record.working(CHANGED) == "A"
    assert record.verdict("BBB222", CHANGED) == "pending_activation"
    assert record.working(ACTIVE - SECOND) == "A"
    assert record.working(ACTIVE) == "B"
    assert record.verdict("AAA111", ACTIVE) == "expired"
    assert set(record.permits) == {"p", "p~1"}
    assert record.permits["p~1"].ends_at == ACTIVE


def test_pending_plate_that_is_replaced_ends_and_the_active_one_lives_on(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    again = CHANGED + 5 * HOUR
    record.push(confirmed(again, "CCC333", version=3), now=again)
    assert record.permits["p~2"].ends_at == again
    assert record.permits["p~1"].ends_at == again + DAY
    for hours in range(30):
        assert record.working(CHANGED + hours * HOUR) == ("A" if hours < 29 else "C")
    assert record.verdict("BBB222", ACTIVE) == "expired"


def test_chain_of_pending_plates_moves_the_end_to_the_newest(record: Record) -> None:
    for n in range(5):
        when = CHANGED + n * HOUR
        record.push(confirmed(when, f"XX{n}", version=2 + n), now=when)
    newest = CHANGED + 4 * HOUR + DAY
    assert record.working(newest - SECOND, ["AAA111", "XX4"]) == "A"
    assert record.working(newest, ["AAA111", "XX4"]) == "X"
    assert all(record.verdict(f"XX{n}", newest) != "valid" for n in range(4))


def test_replacement_after_the_last_took_over_keeps_the_new_plate_working(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    later = ACTIVE + DAY
    record.push(confirmed(later, "CCC333", version=3), now=later)
    assert record.working(later) == "B"
    assert record.working(later + DAY) == "C"
    assert record.permits["p~1"].ends_at == ACTIVE


def test_plate_that_comes_back_waits_like_a_new_one(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    back = ACTIVE + DAY
    record.push(confirmed(back, "AAA111", version=3), now=back)
    assert record.verdict("AAA111", back) == "pending_activation"
    assert record.working(back) == "B"
    assert record.working(back + DAY) == "A"


def test_plate_that_comes_back_while_it_still_works_keeps_working(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    back = CHANGED + HOUR
    record.push(confirmed(back, "AAA111", version=3), now=back)
    for hours in range(50):
        assert record.working(back + hours * HOUR) == "A"


def test_old_plate_keeps_its_own_earlier_end() -> None:
    record = Record()
    until = date(2026, 6, 1)  # ends 2026-06-02 04:00 in UTC
    record.push(confirmed(BEGAN - DAY, valid_until=until), now=BEGAN - DAY)
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    assert record.permits["p~1"].ends_at == at("2026-06-02 04:00")


def test_suspended_plate_stays_suspended_when_it_is_replaced(record: Record) -> None:
    record.push(confirmed(BEGAN - DAY, version=2, status="suspended"), now=CHANGED - HOUR)
    record.push(confirmed(CHANGED, "BBB222", version=3), now=CHANGED)
    assert record.verdict("AAA111", CHANGED) == "suspended"
    assert record.working(ACTIVE) == "B"


def test_cancelling_a_pending_replacement_ends_both_plates_at_once(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    gone = CHANGED + HOUR
    record.push(confirmed(CHANGED, "BBB222", version=3, status="cancelled", ends_at=gone), now=gone)
    assert record.working(gone - SECOND) == "A"
    assert record.working(gone) == ""


def test_plate_that_is_replaced_in_the_second_of_its_confirmation_ends_with_its_permit() -> None:
    record = Record()
    for version, plate in enumerate(("AAA111", "BBB222"), start=1):
        record.push(confirmed(CHANGED, plate, version=version), now=CHANGED)
    assert record.permits["p~1"].ends_at == ACTIVE  # when it would begin to work
    record.push(
        confirmed(CHANGED, "BBB222", version=3, status="cancelled", ends_at=CHANGED), now=CHANGED
    )
    assert record.verdict("AAA111", CHANGED) == "expired"
    assert record.verdict("BBB222", CHANGED) == "cancelled"


def test_plates_replaced_in_the_second_of_their_confirmation_leave_no_gap() -> None:
    record = Record()
    for version, plate in enumerate(("AAA111", "BBB222"), start=1):
        record.push(confirmed(CHANGED, plate, version=version), now=CHANGED)
    again = CHANGED + HOUR
    record.push(confirmed(again, "CCC333", version=3), now=again)
    assert [record.working(ACTIVE + n * HOUR) for n in (-1, 0, 1)] == ["", "A", "C"]
    assert record.verdict("BBB222", again) == "expired"


def test_renewal_of_the_new_plate_brings_no_old_plate_back(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    for version, valid_until in ((3, date(2027, 1, 1)), (4, None)):
        now = ACTIVE + version * DAY
        record.push(confirmed(CHANGED, "BBB222", version=version, valid_until=valid_until), now=now)
        assert record.permits["p~1"].ends_at == ACTIVE
        assert record.working(now) == "B"


def test_renewal_from_a_later_day_brings_no_old_plate_back(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    renewal = confirmed(CHANGED, "BBB222", version=3, valid_from=date(2026, 9, 1))
    record.push(renewal, now=ACTIVE + DAY)
    assert record.permits["p~1"].ends_at == ACTIVE
    assert record.verdict("AAA111", ACTIVE + DAY) == "expired"


def test_changes_after_a_renewal_from_a_later_day_bring_no_old_plate_back(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    later: dict[str, Any] = {"valid_from": date(2026, 9, 1)}
    colour = GivenVehicle("Acura", "NSX", 2021, "rouge")
    for version, facts in (
        (3, later),
        (4, later | {"vehicle": colour}),
        (5, later | {"status": "cancelled"}),
        (6, later),
    ):
        now = ACTIVE + (60 + version) * DAY
        record.push(confirmed(CHANGED, "BBB222", version=version, **facts), now=now)
        assert record.permits["p~1"].ends_at == ACTIVE
        assert record.verdict("AAA111", now) == "expired"


def test_new_plate_that_is_confirmed_again_long_after_brings_no_old_plate_back(
    record: Record,
) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    again = ACTIVE + 10 * DAY
    record.push(confirmed(again, "BBB222", version=3), now=again)
    assert record.permits["p~1"].ends_at == ACTIVE
    assert record.working(again) == ""
    assert record.working(again + DAY) == "B"


def test_plate_given_up_and_another_confirmed_at_that_instant_leave_no_gap(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    gone = CHANGED + HOUR
    record.push(confirmed(CHANGED, "BBB222", version=3, status="cancelled", ends_at=gone), now=gone)
    record.push(confirmed(gone, "CCC333", version=4), now=gone)
    assert record.working(gone) == "A"
    assert record.working(gone + DAY) == "C"


def test_pending_plate_that_is_confirmed_again_leaves_no_gap(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    again = CHANGED + 10 * HOUR
    record.push(confirmed(again, "BBB222", version=3), now=again)
    assert record.permits["p~1"].ends_at == again + 24 * HOUR
    assert record.working(ACTIVE) == "A"
    assert record.working(again + 24 * HOUR) == "B"


def test_renewal_from_a_later_day_during_the_overlap_does_not_prolong_the_old_plate(
    record: Record,
) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    renewal = confirmed(CHANGED, "BBB222", version=3, valid_from=date(2027, 1, 1))
    record.push(renewal, now=CHANGED + HOUR)
    assert record.permits["p~1"].ends_at == ACTIVE


def test_first_plate_that_is_still_pending_leaves_no_gap() -> None:
    """It is the only one that can work before the new one does."""
    record = Record()
    record.push(confirmed(CHANGED), now=CHANGED)
    corrected = CHANGED + 20 * HOUR
    record.push(confirmed(corrected, "BBB222", version=2), now=corrected)
    assert [record.working(ACTIVE + h * HOUR) for h in (-1, 0, 19, 20)] == ["", "A", "A", "B"]


def test_first_plate_that_has_not_started_leaves_no_gap() -> None:
    record = Record()
    starts = {"valid_from": date(2026, 6, 2)}  # 04:00 in UTC
    record.push(confirmed(CHANGED - 30 * DAY, **starts), now=CHANGED - 30 * DAY)
    record.push(confirmed(CHANGED, "BBB222", version=2, **starts), now=CHANGED)
    assert record.working(at("2026-06-02 03:59")) == ""
    assert record.working(at("2026-06-02 04:00")) == "A"
    assert record.working(ACTIVE - SECOND) == "A"
    assert record.working(ACTIVE) == "B"


def test_permit_cancelled_for_a_later_day_is_replaced_without_a_gap(record: Record) -> None:
    """DOMAIN 2.6: before its end, a cancelled permit counts like any other."""
    cancelled: dict[str, Any] = {"status": "cancelled", "ends_at": at("2026-12-31 00:00")}
    record.push(confirmed(BEGAN - DAY, version=2, **cancelled), now=CHANGED - DAY)
    record.push(confirmed(CHANGED, "BBB222", version=3, **cancelled), now=CHANGED)
    again = CHANGED + 18 * HOUR
    record.push(confirmed(again, "CCC333", version=4, **cancelled), now=again)
    for hours in range(50):
        assert record.working(CHANGED + hours * HOUR) == ("A" if hours < 42 else "C")


def test_plate_confirmed_again_leaves_no_gap_however_late_it_is_told(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    again = CHANGED + 6 * HOUR
    record.push(confirmed(again, "BBB222", version=3), now=ACTIVE + HOUR)
    assert record.working(ACTIVE + 2 * HOUR) == "A"
    assert record.working(again + DAY) == "B"


def test_replacement_that_was_cancelled_by_mistake_leaves_no_gap(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    oops = CHANGED + HOUR
    record.push(confirmed(CHANGED, "BBB222", version=3, status="cancelled"), now=oops)
    assert record.working(oops) == ""
    record.push(confirmed(CHANGED, "BBB222", version=4), now=oops + HOUR)
    assert record.working(oops + HOUR) == "A"
    assert record.working(ACTIVE) == "B"


@settings(max_examples=300, deadline=None, database=None)
@given(
    pauses=st.lists(st.integers(0, 60), min_size=1, max_size=5),
    delays=st.lists(st.integers(0, 60), min_size=6, max_size=6),
    starts=st.integers(-3, 6),
    cancelled=st.booleans(),
)
def test_one_plate_always_works(
    pauses: list[int], delays: list[int], starts: int, cancelled: bool
) -> None:
    """Whenever the service is told, and whether the permit has started or not."""
    facts: dict[str, Any] = {"valid_from": (CHANGED + starts * DAY).date()}
    if cancelled:
        facts |= {"status": "cancelled", "ends_at": CHANGED + 90 * DAY}
    changes, when = [confirmed(CHANGED, "P0", **facts)], CHANGED
    for version, pause in enumerate(pauses, start=2):
        when += pause * HOUR
        changes.append(confirmed(when, f"P{version - 1}", version=version, **facts))
    prompt, late, told = Record(), Record(), CHANGED
    for change, delay in zip(changes, delays, strict=False):
        assert change.facts.confirmed_at is not None
        prompt.push(change, now=change.facts.confirmed_at)
        told = max(told, change.facts.confirmed_at + delay * HOUR)
        late.push(change, now=told)
    ends = [{id: p.ends_at for id, p in record.permits.items()} for record in (prompt, late)]
    assert ends[0] == ends[1]
    plates = [change.facts.plate.text for change in changes]
    usable = [p.usable_from for p in prompt.permits.values()]
    newest = prompt.permits["p"].usable_from
    instant = min(usable)
    while instant < newest + DAY:
        working = [p for p in plates if prompt.verdict(p, instant) == "valid"]
        assert len(working) == 1
        assert (working == plates[-1:]) == (instant >= newest)
        instant += HOUR


@pytest.mark.parametrize(
    "change",
    [
        {"vehicle": GivenVehicle("Acura", "NSX", 2021, "rouge")},
        {"zones": ("G2", "G1")},
        {"permit_number": "other"},
        {"valid_until": date(2027, 1, 1)},
    ],
)
def test_clock_restarts_only_with_another_plate(record: Record, change: dict[str, Any]) -> None:
    """DOMAIN 2.3: the same confirmation goes on when colour, zone, number or end change."""
    record.push(confirmed(BEGAN - DAY, version=2, **change), now=CHANGED)
    assert record.working(CHANGED) == "A"
    assert set(record.permits) == {"p"}


def test_same_plate_of_another_jurisdiction_is_another_plate(record: Record) -> None:
    update = confirmed(CHANGED, version=2)
    elsewhere = replace(update, facts=replace(update.facts, plate=Plate("AAA111", "CA-ON")))
    record.push(elsewhere, now=CHANGED)
    assert set(record.permits) == {"p", "p~1"}


# idempotence, order, ownership


def test_same_version_again_changes_nothing(record: Record) -> None:
    assert record.push(confirmed(BEGAN - DAY), now=CHANGED) == "unchanged"


def test_order_of_zones_does_not_matter() -> None:
    record = Record()
    record.push(confirmed(None, zones=("G1", "G2")), now=BEGAN)
    assert record.push(confirmed(None, zones=("G2", "G1")), now=CHANGED) == "unchanged"


def test_lower_version_is_stale(record: Record) -> None:
    record.push(confirmed(BEGAN - DAY, version=7), now=CHANGED)
    assert record.push(confirmed(CHANGED, "BBB222", version=6), now=CHANGED) == "stale"
    assert record.working(CHANGED) == "A"


def test_same_version_with_other_content_is_a_conflict(record: Record) -> None:
    with pytest.raises(VersionConflict, match="version greater than 1"):
        record.push(confirmed(BEGAN - DAY, zones=("G2",)), now=CHANGED)


def test_permit_belongs_to_the_source_that_sent_it_first(record: Record) -> None:
    with pytest.raises(NotYourPermit):
        record.push(confirmed(BEGAN - DAY, version=9), now=CHANGED, source="other")
    with pytest.raises(NotYourPermit):
        record.push(confirmed(BEGAN - DAY), now=CHANGED, source="other")


def test_confirmation_may_be_five_minutes_ahead_and_no_more() -> None:
    five = timedelta(minutes=5)
    Record().push(confirmed(CHANGED + five), now=CHANGED)
    with pytest.raises(ConfirmedInTheFuture):
        Record().push(confirmed(CHANGED + five + SECOND), now=CHANGED)


def test_cancelled_without_an_end_ends_at_its_first_receipt(record: Record) -> None:
    record.push(confirmed(BEGAN - DAY, version=2, status="cancelled"), now=CHANGED)
    assert record.permits["p"].ends_at == CHANGED
    later = confirmed(BEGAN - DAY, version=3, status="cancelled", permit_number="corrected")
    record.push(later, now=CHANGED + DAY)
    assert record.permits["p"].ends_at == CHANGED
    assert record.verdict("AAA111", CHANGED - SECOND) == "valid"
    assert record.verdict("AAA111", CHANGED) == "cancelled"


@pytest.mark.parametrize(
    ("first", "corrected"), [(date(2026, 3, 31), date(2026, 12, 31)), (date(2026, 12, 31), None)]
)
def test_dates_corrected_after_a_cancellation_do_not_move_it(
    record: Record, first: date, corrected: date | None
) -> None:
    gone: dict[str, Any] = {"status": "cancelled"}
    record.push(confirmed(BEGAN - DAY, version=2, valid_until=first, **gone), now=CHANGED)
    record.push(confirmed(BEGAN - DAY, version=3, valid_until=corrected, **gone), now=CHANGED + DAY)
    assert record.permits["p"].ends_at == CHANGED


def test_cancelled_again_after_it_was_given_back_ends_at_the_second_receipt(record: Record) -> None:
    for version, status in ((2, "cancelled"), (3, "active"), (4, "cancelled")):
        now = CHANGED + version * DAY
        record.push(confirmed(BEGAN - DAY, version=version, status=status), now=now)
    assert record.permits["p"].ends_at == CHANGED + 4 * DAY


def test_permit_may_be_given_back_after_its_cancellation(record: Record) -> None:
    record.push(confirmed(BEGAN - DAY, version=2, status="cancelled"), now=CHANGED)
    record.push(confirmed(BEGAN - DAY, version=3), now=CHANGED + DAY)
    assert record.working(CHANGED + DAY) == "A"


def test_old_plate_is_suspended_and_resumed_with_its_permit(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    suspended = CHANGED + HOUR
    record.push(confirmed(CHANGED, "BBB222", version=3, status="suspended"), now=suspended)
    assert record.verdict("AAA111", suspended) == "suspended"
    resumed = CHANGED + 2 * HOUR
    record.push(confirmed(CHANGED, "BBB222", version=4), now=resumed)
    assert record.working(resumed) == "A"
    assert record.working(ACTIVE) == "B"


def test_plate_that_is_replaced_while_suspended_works_when_its_permit_is_resumed(
    record: Record,
) -> None:
    record.push(confirmed(BEGAN - DAY, version=2, status="suspended"), now=CHANGED - HOUR)
    record.push(confirmed(CHANGED, "BBB222", version=3, status="suspended"), now=CHANGED)
    assert record.verdict("AAA111", CHANGED) == "suspended"
    record.push(confirmed(CHANGED, "BBB222", version=4), now=CHANGED + HOUR)
    assert record.working(CHANGED + HOUR) == "A"
    assert record.working(ACTIVE) == "B"


def test_old_plate_is_good_where_its_permit_is(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    record.push(confirmed(CHANGED, "BBB222", version=3, zones=("G2",)), now=CHANGED + HOUR)
    assert record.verdict("AAA111", CHANGED + HOUR) == "wrong_zone"


def test_plate_that_has_ended_is_left_as_it_was(record: Record) -> None:
    record.push(confirmed(CHANGED, "BBB222", version=2), now=CHANGED)
    ended = record.permits["p~1"]
    record.push(confirmed(CHANGED, "BBB222", version=3, status="suspended"), now=ACTIVE)
    assert record.permits["p~1"] is ended


def test_old_plate_works_on_when_its_permit_is_renewed_before_the_end() -> None:
    record = Record()
    until = date(2026, 6, 1)  # ends 2026-06-02 04:00 in UTC
    record.push(confirmed(BEGAN - DAY, valid_until=until), now=BEGAN - DAY)
    record.push(confirmed(CHANGED, "BBB222", version=2, valid_until=until), now=CHANGED)
    record.push(confirmed(CHANGED, "BBB222", version=3), now=CHANGED + HOUR)
    assert record.working(at("2026-06-02 04:00")) == "A"
    assert record.working(ACTIVE - SECOND) == "A"
    assert record.working(ACTIVE) == "B"
