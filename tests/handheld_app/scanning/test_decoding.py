"""What a recogniser says becomes ranked texts; brute force over all ways agrees."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handheld_app.scanning.decoding import ALPHABET, beam_search, probability, vote

FEW = "AB1"
"""Enough characters to try every way in a blink."""


def step(blank: float, **shares: float) -> list[float]:
    return [blank, *(shares.get(c if c.isalpha() else f"d{c}", 0.0) for c in ALPHABET)]


def certain(*symbols: str) -> list[list[float]]:
    """A step for each symbol; `-` is the blank."""
    return [
        [1.0 if s == "-" else 0.0, *(1.0 if c == s else 0.0 for c in ALPHABET)] for s in symbols
    ]


@st.composite
def short_readings(draw: st.DrawFn) -> list[list[float]]:
    steps = []
    for _ in range(draw(st.integers(1, 5))):
        weights = [draw(st.integers(0, 9)) for _ in range(len(FEW) + 1)]
        total = sum(weights) or 1
        blank, *shares = (w / total for w in weights) if sum(weights) else (1.0, 0.0, 0.0, 0.0)
        by_character = dict(zip(FEW, shares, strict=True))
        steps.append([blank, *(by_character.get(c, 0.0) for c in ALPHABET)])
    return steps


def every_way(steps: list[list[float]]) -> dict[str, float]:
    """The probability of each text, by trying every symbol at every step."""
    texts: dict[str, float] = {}
    for way in itertools.product("-" + FEW, repeat=len(steps)):
        chance = math.prod(
            here[0] if symbol == "-" else here[1 + ALPHABET.index(symbol)]
            for here, symbol in zip(steps, way, strict=True)
        )
        text = "".join(key for key, _ in itertools.groupby(way) if key != "-")
        texts[text] = texts.get(text, 0.0) + chance
    return {text: chance for text, chance in texts.items() if chance > 0}


@given(short_readings())
def test_wide_search_finds_every_text_with_its_probability(steps: list[list[float]]) -> None:
    found = dict(beam_search(steps, width=1000))
    expected = every_way(steps)
    assert {t: p for t, p in found.items() if p > 0} == pytest.approx(expected)


@given(short_readings(), st.text(FEW, max_size=5))
def test_probability_of_a_text_is_the_sum_over_all_ways(
    steps: list[list[float]], text: str
) -> None:
    assert probability(text, steps) == pytest.approx(every_way(steps).get(text, 0.0))


@given(short_readings(), st.integers(1, 6))
def test_narrow_search_is_ranked_and_never_claims_too_much(
    steps: list[list[float]], width: int
) -> None:
    found = beam_search(steps, width)
    assert len(found) <= width
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
    assert all(p <= probability(text, steps) + 1e-9 for text, p in found)


@pytest.mark.parametrize(
    ("symbols", "text"),
    [
        ("A-BB1", "AB1"),
        ("AA--A", "AA"),
        ("A-A", "AA"),
        ("AAA", "A"),
        ("---", ""),
    ],
)
def test_repeats_are_one_character_unless_a_blank_separates_them(symbols: str, text: str) -> None:
    assert beam_search(certain(*symbols))[0] == (text, 1.0)
    assert probability(text, certain(*symbols)) == 1.0


def test_sum_over_ways_beats_the_likeliest_way() -> None:
    # Step by step the blank is likeliest, so greedy decoding reads nothing; all in all, it is an A.
    steps = [step(0.6, A=0.4), step(0.6, A=0.4)]
    assert beam_search(steps)[0] == ("A", pytest.approx(0.64))


def test_nothing_said_is_the_empty_text() -> None:
    assert beam_search([]) == [("", 1.0)]
    assert probability("", []) == 1.0
    assert probability("A", []) == 0.0
    assert vote([]) == []


def test_views_vote_by_the_mean_of_their_probabilities() -> None:
    sure = certain(*"ABC12")
    unsure = [*certain(*"ABC1"), step(0.0, d2=0.4, Z=0.6)]
    ranked = vote([sure, unsure])
    assert ranked[0] == ("ABC12", pytest.approx(0.7))
    assert ranked[1] == ("ABC1Z", pytest.approx(0.3))


def test_text_that_is_no_plate_gets_no_vote() -> None:
    assert vote([certain("A")]) == []
    assert vote([certain(*"ABCDEFGH1")]) == []


def test_short_text_counts_less_than_a_whole_plate() -> None:
    half = [*certain(*"ABC"), step(0.6, d1=0.4), *certain("-"), step(0.6, d2=0.4)]
    ranked = vote([half])
    assert probability("ABC", half) > probability("ABC12", half)
    assert ranked[0][0] != "ABC"


@given(st.lists(short_readings(), min_size=1, max_size=3))
def test_shares_add_up_to_no_more_than_one(views: list[list[list[float]]]) -> None:
    ranked = vote(views)
    assert sum(share for _, share in ranked) <= 1 + 1e-9
    assert [s for _, s in ranked] == sorted((s for _, s in ranked), reverse=True)
