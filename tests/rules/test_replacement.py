"""DOMAIN 2.4: a plate is replaced make-before-break, so that one plate always works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

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
from tests.builders import DAY, HOUR, SECOND, a_site, at, confirmed

BEGAN = at("2026-01-02 05:00")
"""When a permit confirmed on the first day became active."""


class Record:
    """One id's permits, as updates are applied to them."""

    def __init__(self) -> None:
        self.permits: dict[str, StoredPermit] = {}

    def push(self, update: PlateUpdate, *, now: datetime, source: str = "s") -> str:
        before = [self.permits[i] for i in sorted(self.permits) if "~" in i]
        effect, versions = apply(
            update,
            current=self.permits.get(update.id),
            before=before,
            site=a_site(),
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


def test_permit_may_be_given_back_after_its_cancellation(record: Record) -> None:
    record.push(confirmed(BEGAN - DAY, version=2, status="cancelled"), now=CHANGED)
    record.push(confirmed(BEGAN - DAY, version=3), now=CHANGED + DAY)
    assert record.working(CHANGED + DAY) == "A"
