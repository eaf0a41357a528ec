"""One item of what feeders send, read without a record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcement_api.permits.updates import EXAMPLE, UnreadableItem, id_of, read_item
from enforcement_api.problems import Problem

ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([])
ITEMS = st.fixed_dictionaries(
    {}, optional={name: st.just(value) | ANYTHING for name, value in EXAMPLE.items()}
)


@given(item=ANYTHING | ITEMS)
def test_the_id_alone_is_that_of_the_item_read_whole(item: object) -> None:
    assert id_of(item) == read_item(item)[0]


@pytest.mark.parametrize("id", ["", "a~1", "\ud800", "x" * 101, " a", 7, None])
def test_an_id_that_is_refused_is_told_as_far_as_it_can_be(id: Any) -> None:
    told, problem = read_item({"id": id})
    assert isinstance(problem, Problem)
    assert told == id_of({"id": id})
    assert (told is None) == (not isinstance(id, str))


def test_a_line_that_could_not_be_read_stays_a_problem() -> None:
    line = UnreadableItem(reason="it is no JSON")
    assert read_item(line) == (None, line)
    assert id_of(line) is None
