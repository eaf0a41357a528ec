"""Boxes of text become lines, and the tallest is the plate's number."""

from __future__ import annotations

import math

import pytest

from handheld_app.scanning.lines import Line, join
from handheld_app.scanning.mlkit import Piece, candidates


def box(
    x: float, y: float, width: float, height: float, angle: float = 0.0, score: float = 0.9
) -> Line:
    return Line(x, y, width, height, angle, score)


def test_groups_of_a_number_become_one_line_with_the_emblem_between_them() -> None:
    (line,) = join([box(50, 50, 80, 40), box(160, 52, 80, 38, score=0.95)])
    assert line.x == pytest.approx(105)
    assert (line.width, line.score) == (190, 0.95)


def test_number_comes_before_name_and_slogan() -> None:
    name, number, slogan = box(100, 15, 120, 20), box(100, 60, 180, 60), box(100, 100, 190, 12)
    assert join([name, slogan, number]) == [number, name, slogan]


def test_high_sticker_comes_after_a_lower_but_wide_number() -> None:
    sticker, number = box(20, 60, 20, 65), box(150, 60, 180, 40)
    assert join([sticker, number])[0] == number


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(box(160, 80, 80, 40), id="lower down"),
        pytest.param(box(160, 50, 80, 20), id="much smaller"),
        pytest.param(box(250, 50, 80, 40), id="far away"),
    ],
)
def test_what_stands_elsewhere_stays_apart(other: Line) -> None:
    assert len(join([box(50, 50, 80, 40), other])) == 2


def test_turned_groups_are_joined_along_the_text() -> None:
    angle = math.radians(20)
    first = box(100, 100, 80, 40, angle)
    second = box(100 + 110 * math.cos(angle), 100 + 110 * math.sin(angle), 80, 40, angle)
    (line,) = join([first, second])
    assert (line.width, line.height) == (pytest.approx(190), pytest.approx(40))
    assert line.y == pytest.approx(100 + 55 * math.sin(angle))
    assert line.angle == angle


def test_corners_go_round_from_the_top_left() -> None:
    assert box(10, 5, 20, 10).corners() == ((0, 0), (20, 0), (20, 10), (0, 10))
    (x, y), *_ = box(0, 0, 20, 10, math.pi / 2).corners()
    assert (x, y) == (pytest.approx(5), pytest.approx(-10))


def test_shrunk_line_never_vanishes() -> None:
    line = box(0, 0, 2, 2).grown(-3, -3)
    assert line.width == line.height == 1


def test_no_box_is_no_line() -> None:
    assert join([]) == []


# What ML Kit's answer becomes; the rest of that reader needs an Android device.


def piece(line: Line, text: str, confidence: float = 1.0) -> Piece:
    return Piece(line, [(symbol, confidence) for symbol in text])


def test_mlkit_groups_are_read_from_left_to_right_as_one_plate() -> None:
    found = candidates(
        [
            piece(box(160, 52, 80, 38), "123"),
            piece(box(50, 50, 80, 40), "abc"),
            piece(box(100, 100, 190, 12), "Je me souviens"),
        ],
        (1000, 500),
        (300, 200),
    )
    assert [(c.text, c.confidence) for c in found] == [("ABC123", 1.0)]
    assert found[0].box == (1010, 530, 190, 41)


def test_mlkit_doubt_goes_to_look_alikes() -> None:
    symbols = [("A", 1.0), ("B", 0.6), ("-", 0.2), ("1", 1.0), ("2", 1.0), ("2", 1.0)]
    found = candidates([Piece(box(50, 50, 80, 20), symbols)], (0, 0), (100, 100))
    assert [(c.text, pytest.approx(c.confidence)) for c in found] == [
        ("AB122", 0.6),
        ("A8122", 0.4),
    ]


def test_mlkit_without_text_reads_nothing() -> None:
    assert candidates([], (0, 0), (100, 100)) == []
    assert candidates([piece(box(50, 50, 80, 20), "·-")], (0, 0), (100, 100)) == []
