"""Charts (charts.py): whatever is shown, they are well-formed, safe, legible and honest."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from enforcement_api.console import charts
from enforcement_api.console.charts import Bar, Column, Series, bars, columns, ticks_to
from enforcement_api.console.static import OWN

SERIES = [
    Series("Avis"),
    Series("Avertissements", "second", "stripes"),
    Series("Sans suite", "muted", "dots"),
]
SAID = {"description": "Ce qu’on y voit.", "language": "fr", "empty": "Rien."}
HOSTILE = "<script>alert(1)</script>\"'&\u202e\0]]>"


def of_days(count: int, number: int = 7) -> list[Column]:
    return [Column(f"jour {n}", f"{n} nov.", [number + n % 5, n % 3, n % 2]) for n in range(count)]


def drawn(chart: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(str(chart))


def texts(figure: ElementTree.Element, kind: str) -> list[str]:
    """The texts of a class."""
    return [e.text or "" for e in figure.iter("text") if kind in e.get("class", "").split()]


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (1, [0, 1]),
        (5, [0, 1, 2, 3, 4, 5]),
        (6, [0, 2, 4, 6]),
        (11, [0, 5, 10, 15]),
        (69, [0, 20, 40, 60, 80]),
        (100, [0, 20, 40, 60, 80, 100]),
        (1234, [0, 500, 1000, 1500]),
    ],
)
def test_axis_has_few_round_ticks(most: int, ticks: list[int]) -> None:
    assert ticks_to(most) == ticks


@given(st.integers(1, 10**15))
def test_axis_reaches_what_is_highest_and_not_much_farther(most: int) -> None:
    ticks = ticks_to(most)
    assert ticks[0] == 0
    assert 2 <= len(ticks) <= 6
    assert len({b - a for a, b in itertools.pairwise(ticks)}) == 1
    assert ticks[-2] < most <= ticks[-1]


def test_numbers_are_written_as_in_the_language() -> None:
    french = drawn(columns("c", "T", SERIES, of_days(3, 12_000), **SAID))
    assert "15\u00a0000" in texts(french, "chart-tick")
    english = drawn(columns("c", "T", SERIES, of_days(3, 12_000), **SAID | {"language": "en"}))
    assert "15,000" in texts(english, "chart-tick")


def test_huge_numbers_are_short_on_the_axis_and_whole_in_words() -> None:
    figure = drawn(
        columns("c", "T", SERIES, [Column("lundi", "lun.", [1_234_567_890, 0, 0])], **SAID)
    )
    assert "1,5\u00a0G" in texts(figure, "chart-tick")
    titles = [e.text for e in figure.iter("title")]
    first, *others = (titles[-1] or "").split("\n")
    assert first == "lundi"
    assert others[0] == "Avis\u00a0: 1\u00a0234\u00a0567\u00a0890"


@pytest.mark.parametrize("count", [1, 2, 7, 28, 31, 62, 92, 366])
def test_columns_stay_inside_and_labels_apart(count: int) -> None:
    figure = drawn(columns("c", "T", SERIES, of_days(count), **SAID))
    for rect in figure.iter("rect"):
        if rect.get("x", "").endswith("%"):
            x, width = (float(rect.get(name, "").rstrip("%")) for name in ("x", "width"))
            assert -0.01 <= x <= x + width <= 100.01
    for narrow, room in ((True, charts._NARROW), (False, charts._WIDE)):
        shown = [
            (float(e.get("x", "").rstrip("%")) / 100 * (room - 76), charts.width_of(e.text or ""))
            for e in figure.iter("text")
            if "chart-middle" in e.get("class", "")
            and not (narrow and "chart-more" in e.get("class", ""))
        ]
        assert shown
        for (a, width_a), (b, width_b) in itertools.pairwise(shown):
            assert a + width_a / 2 + 4 <= b - width_b / 2
        last, width = shown[-1]
        assert last + width / 2 <= room - 76 + charts._RIGHT + 0.01


@given(st.lists(st.lists(st.integers(0, 10**9), min_size=3, max_size=3), min_size=1, max_size=40))
def test_stacks_are_as_high_as_what_they_count(counted: list[list[int]]) -> None:
    shown = [Column(f"{n}", f"{n}", values) for n, values in enumerate(counted)]
    figure = drawn(columns("c", "T", SERIES, shown, **SAID))
    most = max(map(sum, counted))
    if not most:
        assert figure.find("p") is not None
        return
    scale = charts._HIGH / ticks_to(most)[-1]
    for group, values in zip(figure.iter("g"), counted, strict=True):
        found = [
            float(e.get("height", ""))
            for e in group.iter("rect")
            if "chart-hit" not in e.get("class", "")
        ]
        assert len(found) == sum(map(bool, values))
        for height, value in zip(found, filter(None, values), strict=True):
            assert height >= charts._LEAST
            assert abs(height - value * scale) <= charts._GAP + 0.1


def test_bars_are_as_long_as_what_they_count() -> None:
    shown = [Bar("P1", [30, 10, 0], before=80), Bar("P2", [0, 0, 0], before=0), Bar("", [0, 2, 0])]
    figure = drawn(bars("b", "T", SERIES, shown, before="avant", **SAID))
    groups = list(figure.iter("g"))
    widths = [
        [e.get("width") for e in g.iter("rect") if "chart-hit" not in e.get("class", "")]
        for g in groups
    ]
    assert widths == [["37.500%", "12.500%", "100.000%"], [], ["2.500%"]]
    assert texts(figure, "chart-value") == ["40", "0", "2"]
    assert "avant" in "".join(figure.itertext())


@pytest.mark.parametrize("shown", [[], [Column("a", "a", [0, 0, 0])]])
def test_nothing_is_said_in_words(shown: list[Column]) -> None:
    for figure in (
        drawn(columns("c", "Titre", SERIES, shown, **SAID)),
        drawn(bars("c", "Titre", SERIES, [Bar(c.label, c.values) for c in shown], **SAID)),
    ):
        assert figure.findtext("p") == "Rien."
        assert figure.findtext("figcaption") == "Titre"
        assert figure.find("svg") is None


def all_charts() -> Iterator[Markup]:
    hostile = [Series(HOSTILE, "bad", "grid"), Series("x" * 500, "wait", "lines")]
    said = {"description": HOSTILE, "language": "fr", "empty": HOSTILE}
    names = [
        HOSTILE,
        "=1+1",
        "אבג\u202e",
        "漢" * 80,
        "a\u0301" * 90,
        "W" * 300,
        "",
        "\n\t",
        "👩‍👩‍👧 P1",
    ]
    yield columns("a", HOSTILE, hostile, [Column(n, n, [1, 2]) for n in names], **said)
    yield bars(
        "b", HOSTILE, hostile, [Bar(n, [1, 2], before=9) for n in names], before=HOSTILE, **said
    )
    yield columns("c", HOSTILE, hostile, [], **said)


@pytest.mark.parametrize("chart", list(all_charts()))
def test_what_others_wrote_is_shown_as_text(chart: Markup) -> None:
    assert "<script" not in chart
    figure = drawn(chart)  # well-formed
    for element in figure.iter():
        assert element.tag in {
            "figure", "figcaption", "ul", "li", "svg", "title", "desc", "defs", "pattern", "rect",
            "path", "circle", "line", "text", "g", "p",
        }  # fmt: skip
        assert not {name for name, _ in element.items() if name == "style" or name.startswith("on")}
    told = "".join(figure.itertext())
    assert "<script>alert(1)</script>" in told
    assert not set(told) & set("\u202e\0")
    for name in texts(figure, "chart-narrow"):
        assert charts.width_of(name) <= charts._NARROW * 0.42


def test_reader_of_the_screen_is_told_what_there_is_to_see() -> None:
    figure = drawn(columns("days", "Par jour", SERIES, of_days(7), **SAID))
    (svg,) = figure.findall("svg")
    assert svg.get("role") == "img"
    ids = {element.get("id"): element.text for element in svg}
    named = [ids[id] for id in (svg.get("aria-labelledby") or "").split()]
    assert named == ["Par jour", "Ce qu’on y voit."]


def test_series_differ_by_more_than_colour() -> None:
    figure = drawn(columns("days", "Par jour", SERIES, of_days(7), **SAID))
    assert [item.findtext(".") or item[0].tail for item in figure.iter("li")] == [
        "Avis", "Avertissements", "Sans suite",
    ]  # fmt: skip
    patterns = {e.get("id") for e in figure.iter("pattern")}
    fills = {e.get("fill", "").removeprefix("url(#").rstrip(")") for e in figure.iter("rect")}
    assert patterns == fills - {""} == {"days-second-stripes", "days-muted-dots"}


def test_a_chart_of_a_year_is_made_in_no_time_and_no_room() -> None:
    chart = columns("year", "Une année", SERIES, of_days(366), **SAID)
    assert len(chart) < 250_000


# The style sheet


def colours() -> dict[str, dict[str, str]]:
    """The colours by name, in the light and in the dark."""
    text = "".join((OWN / name).read_text() for name in ("console.css", "charts.css"))
    found: dict[str, dict[str, str]] = {"light": {}, "dark": {}}
    dark = "".join(re.findall(r"@media \(prefers-color-scheme: dark\) \{\s*:root \{[^}]*\}", text))
    light = "".join(re.findall(r"(?m)^:root \{[^}]*\}", text))
    for scheme, rules in (("light", light), ("dark", dark)):
        for name, value in re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})\b", rules):
            digits = value[1:]
            found[scheme][name] = digits if len(digits) == 6 else "".join(2 * d for d in digits)
    found["dark"] = found["light"] | found["dark"]
    return found


def luminance(colour: str) -> float:
    parts = (int(colour[n : n + 2], 16) / 255 for n in (0, 2, 4))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tone_stands_out_from_the_ground_and_from_the_gap_beside_it(scheme: str) -> None:
    found = colours()[scheme]
    sheet = (OWN / "charts.css").read_text()
    tones = dict(re.findall(r"\.chart-(\w+) \{ color: var\(--([\w-]+)\); \}", sheet))
    assert set(tones) == set(charts.Tone.__args__)  # type: ignore[attr-defined]
    for name in tones.values():
        assert contrast(found[name], found["paper"]) >= 3, name
        assert contrast(found[name], found["raised"]) >= 3, name
    for name in ("ink", "muted"):  # texts
        assert contrast(found[name], found["paper"]) >= 4.5


def test_the_style_sheet_knows_the_widths_of_the_charts() -> None:
    sheet = (OWN / "charts.css").read_text()
    assert f"calc(100% - {charts._LEFT + charts._RIGHT}px)" in sheet
    assert f"padding: 10px {charts._RIGHT}px 0 {charts._LEFT}px" in sheet
    for width in (charts._MEDIUM, charts._WIDE, charts._WIDER):
        assert f"(min-width: {width}px)" in sheet
    assert f"font-size: {charts._LETTERS}px" in sheet
