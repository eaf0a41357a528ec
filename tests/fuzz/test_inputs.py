"""Spoiled and made-up inputs, the same each time; `make fuzz` makes many more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.inputs import FUZZERS, Arena, Fuzzer, arena, hunt

EXAMPLES = 60


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with arena(tmp_path_factory.mktemp("fuzz")) as made:
        yield made


@pytest.mark.parametrize("fuzzer", FUZZERS, ids=lambda fuzzer: fuzzer.name)
def test_whatever_is_read_is_answered_or_refused_in_our_words(
    ground: Arena, fuzzer: Fuzzer
) -> None:
    assert hunt(fuzzer, ground, examples=EXAMPLES) > 0
    ground.service.assert_consistent()
