"""The canonical text of a permit, written by hand, is the one that any record has."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync import codec
from sync.plates import _FOLD, fold
from sync.replica import _permit, _record
from tests.builders import permit

TEXTS = st.text() | st.sampled_from(['"', "\\", "\x00", "\x7f", "\u2028", "É", "🚗", "2026\n"])
VEHICLES = st.none() | st.fixed_dictionaries(
    {"make": st.none() | TEXTS, "colour": st.none() | TEXTS}
)
KNOWN = {
    "id": TEXTS,
    "plate": TEXTS,
    "jurisdiction": TEXTS,
    "zones": st.lists(TEXTS),
    "permit_number": TEXTS,
    "starts_at": TEXTS,
    "ends_at": st.none() | TEXTS,
    "active_from": TEXTS,
    "status": TEXTS,
    "vehicle": VEHICLES,
}
RECORDS = st.fixed_dictionaries(KNOWN, optional={"added_later": TEXTS | st.lists(TEXTS)})


def plain(record: Any) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@given(record=RECORDS)
def test_a_permit_has_its_canonical_text(record: dict[str, Any]) -> None:
    assert codec.canonical_permit(record) == codec.canonical(record) == plain(record)


@given(record=st.fixed_dictionaries(KNOWN), more=TEXTS)
def test_what_a_newer_service_says_of_a_vehicle_is_part_of_the_text(
    record: dict[str, Any], more: str
) -> None:
    record["vehicle"] = {"make": None, "colour": None, "model": more}
    assert codec.canonical_permit(record) == plain(record)


@pytest.mark.parametrize("field", sorted(KNOWN))
def test_a_permit_that_lacks_a_field_has_no_text(field: str) -> None:
    record = codec.permit_record(permit())
    del record[field]
    record["other"] = "x"
    with pytest.raises(KeyError):
        codec.canonical_permit(record)


@pytest.mark.parametrize("wrong", [5, True, None, ["A"]])
def test_a_text_that_is_none_is_not_hashed(wrong: object) -> None:
    record = codec.permit_record(permit())
    record["permit_number"] = wrong
    with pytest.raises(TypeError):
        codec.canonical_permit(record)


@given(
    texts=st.tuples(*[st.text(min_size=1)] * 5),
    instants=st.tuples(*[st.integers(-62_135_596_800, 253_402_300_799)] * 3),
    is_open=st.booleans(),
    vehicle=st.tuples(st.none() | TEXTS, st.none() | TEXTS),
)
def test_a_row_is_read_as_the_record_of_its_permit(
    texts: tuple[str, ...],
    instants: tuple[int, ...],
    is_open: bool,
    vehicle: tuple[str | None, str | None],
) -> None:
    id, plate, jurisdiction, zones, number = texts
    starts, ends, active = instants
    row = (
        *(id, plate, jurisdiction, zones, number, starts),
        *(None if is_open else ends, active, "active", *vehicle),
    )
    assert _record(row) == codec.permit_record(_permit(row))


@given(text=st.text())
@example(text="".join(map(chr, range(128))))
def test_a_text_folds_the_same_by_bytes_and_by_letters(text: str) -> None:
    assert fold(text) == text.translate(_FOLD)
