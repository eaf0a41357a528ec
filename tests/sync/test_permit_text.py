"""The hash of a permit's row, whose text is written by hand, is that of its record."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from sync import codec
from sync.plates import _FOLD, fold
from sync.replica import _permit, _row_hash

TEXTS = st.text() | st.sampled_from(['"', "\\", "\x00", "\x7f", "\u2028", "É", "🚗", "2026\n"])


def plain_hash(record: Any) -> int:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    row = f"permit\0{record['id']}\0{text}".encode()
    return int.from_bytes(blake2b(row, digest_size=8).digest(), "big")


@given(
    texts=st.tuples(*[st.text(min_size=1) | TEXTS] * 5),
    instants=st.tuples(*[st.integers(-62_135_596_800, 253_402_300_799)] * 3),
    is_open=st.booleans(),
    vehicle=st.tuples(st.none() | TEXTS, st.none() | TEXTS),
)
def test_a_row_has_the_hash_of_the_record_that_it_says(
    texts: tuple[str, ...],
    instants: tuple[int, ...],
    is_open: bool,
    vehicle: tuple[str | None, str | None],
) -> None:
    id, plate, jurisdiction, zones, number = texts
    starts, ends, active = instants
    columns = (
        *(id, plate, jurisdiction, zones, number, starts),
        *(None if is_open else ends, active, "active", *vehicle),
    )
    record = codec.permit_record(_permit(columns))
    assert _row_hash((fold(plate), *columns)) == plain_hash(record)


@given(text=st.text())
@example(text="".join(map(chr, range(128))))
def test_a_text_folds_the_same_by_bytes_and_by_letters(text: str) -> None:
    assert fold(text) == text.translate(_FOLD)
