"""Issue policy and DOMAIN 3.5: exact, or the only look-alike, is filled in; the rest is offered."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reading import Index, random_plates
from handheld_app.handheld import Handheld
from handheld_app.scanning.matching import LookAlikes, Match, match
from handheld_app.scanning.reading import Candidate
from sync.plates import Plate, fold
from tests.handheld_app.conftest import World, fill

QC = "CA-QC"
Shares = dict[str, float]


def read(shares: Shares) -> list[Candidate]:
    return [Candidate(text, share, (0, 0, 10, 4)) for text, share in shares.items()]


def index(*plates: str) -> LookAlikes:
    """Plates as `text` of Québec or `text/jurisdiction`."""
    known = [Plate(text, j or QC) for text, _, j in (plate.partition("/") for plate in plates)]
    return lambda plate: [k for k in known if k.fold == plate.fold]


def scan(shares: Shares, *plates: str) -> Match:
    return match(read(shares), index(*plates), jurisdiction=QC)


def offered(found: Match) -> list[tuple[str, str]]:
    return [(s.plate.text, s.why) for s in found.suggestions]


def test_exact_plate_is_filled_in() -> None:
    found = scan({"ABC123": 0.9}, "ABC123", "XYZ999")
    assert (found.text, found.preselected, found.how) == ("ABC123", Plate("ABC123", QC), "exact")


def test_only_look_alike_is_filled_in_when_the_reader_does_not_exclude_it() -> None:
    found = scan({"A8C123": 0.8, "ABC123": 0.1}, "ABC123")
    assert (found.preselected, found.how) == (Plate("ABC123", QC), "look_alike")


def test_letter_o_and_zero_have_one_shape() -> None:
    assert scan({"A0C12O": 1.0}, "AOC120").how == "look_alike"


@pytest.mark.parametrize("plate", ["ABC123", "A8C1Z3", "A8CI23"])
def test_look_alike_that_the_reader_excludes_is_only_offered(plate: str) -> None:
    found = scan({"A8C123": 0.99}, plate)
    assert found.preselected is None
    assert offered(found) == [(plate, "look_alike")]


def test_two_look_alikes_fill_in_nothing() -> None:
    found = scan({"A0C123": 0.9}, "AOC123", "AQC123")
    assert found.preselected is None
    assert offered(found) == [("AOC123", "look_alike"), ("AQC123", "look_alike")]


def test_exact_plate_is_filled_in_beside_a_look_alike_that_was_not_read() -> None:
    found = scan({"ABC123": 0.9, "A8C123": 0.05}, "ABC123", "A8C123")
    assert found.how == "exact"
    assert offered(found) == [("A8C123", "look_alike")]


def test_two_indexed_plates_that_read_nearly_alike_fill_in_nothing() -> None:
    found = scan({"ABC123": 0.5, "A8C123": 0.4}, "ABC123", "A8C123")
    assert found.preselected is None
    assert [text for text, _ in offered(found)] == ["ABC123", "A8C123"]


def test_badly_read_text_fills_in_nothing() -> None:
    found = scan({"ABC123": 0.4, "ABC128": 0.3}, "ABC123")
    assert (found.text, found.preselected) == ("ABC123", None)
    assert offered(found) == [("ABC123", "same_text")]


def test_look_alike_readings_of_one_plate_count_together() -> None:
    assert scan({"ABC12O": 0.4, "ABC120": 0.35}, "ABC12O").how == "exact"


def test_less_likely_reading_is_only_offered_though_it_is_in_the_index() -> None:
    found = scan({"ABC123": 0.6, "ABC728": 0.3}, "ABC728")
    assert (found.text, found.preselected) == ("ABC123", None)
    assert offered(found) == [("ABC728", "other_reading")]


@pytest.mark.parametrize("plate", ["ABC124", "ABC12", "ABC1234", "XABC123", "ABC173", "BC123"])
def test_plate_one_edit_away_is_only_offered(plate: str) -> None:
    found = scan({"ABC123": 1.0}, plate)
    assert found.preselected is None
    assert offered(found) == [(plate, "one_edit")]


def test_plate_two_edits_away_is_not_offered() -> None:
    assert scan({"ABC123": 1.0}, "ABC999").suggestions == ()


def test_not_found_fills_in_nothing_and_keeps_the_text() -> None:
    assert scan({"ABC123": 1.0}, "XYZ999") == Match("ABC123", None, None, ())


def test_same_text_of_another_jurisdiction_is_only_offered() -> None:
    found = scan({"ABC123": 1.0}, "ABC123/CA-ON")
    assert found.preselected is None
    assert found.suggestions[0].plate == Plate("ABC123", "CA-ON")
    assert found.suggestions[0].why == "same_text"


def test_look_alike_of_another_jurisdiction_is_only_offered() -> None:
    assert scan({"A0C123": 1.0}, "AOC123/CA-ON").preselected is None


def test_chosen_jurisdiction_is_the_one_filled_in() -> None:
    found = match(read({"ABC123": 1.0}), index("ABC123", "ABC123/US-VT"), jurisdiction="US-VT")
    assert found.preselected == Plate("ABC123", "US-VT")
    assert found.suggestions[0].plate == Plate("ABC123", QC)


def test_nothing_read_matches_nothing() -> None:
    assert match([], index("ABC123"), jurisdiction=QC) == Match(None, None, None, ())
    unusable = read({"A": 0.9, "ABCDEFGH1": 0.1, "ab-1": 0.1})
    assert match(unusable, index("ABC123"), jurisdiction=QC).text is None


def test_no_more_than_five_are_offered_and_none_twice() -> None:
    near = [f"ABC12{digit}" for digit in "456789"]
    found = scan({"ABC123": 0.7, "ABC124": 0.2}, *near)
    assert len(found.suggestions) == 5
    assert len({s.plate for s in found.suggestions}) == 5
    assert offered(found)[0] == ("ABC124", "other_reading")


PLATES = st.text("ABDIO0128Q", min_size=2, max_size=8)


@given(
    st.dictionaries(PLATES, st.floats(0.01, 1.0), min_size=1, max_size=5),
    st.lists(PLATES, max_size=8, unique=True),
)
def test_what_is_filled_in_folds_like_the_first_reading_and_stands_in_the_index(
    shares: Shares, plates: list[str]
) -> None:
    ranked = dict(sorted(shares.items(), key=lambda item: -item[1]))
    found = scan(ranked, *plates)
    first = next(iter(ranked))
    assert found.text == first
    if found.preselected is not None:
        assert found.preselected.text in plates
        assert fold(found.preselected.text) == fold(first)
        if found.how == "exact":
            assert found.preselected.text == first
        else:
            assert [p for p in plates if fold(p) == fold(first)] == [found.preselected.text]
    assert found.preselected not in [s.plate for s in found.suggestions]
    assert all(s.plate.text in plates for s in found.suggestions)


@given(st.dictionaries(PLATES, st.floats(0.01, 1.0), min_size=1, max_size=5))
def test_without_an_indexed_look_alike_nothing_is_filled_in(shares: Shares) -> None:
    first = max(shares, key=lambda text: shares[text])
    others = {text for text in shares if fold(text) != fold(first)}
    ranked = dict(sorted(shares.items(), key=lambda item: -item[1]))
    if next(iter(ranked)) == first:
        assert scan(ranked, *others).preselected is None


def test_replica_answers_the_matcher(world: World, handheld: Handheld) -> None:
    world.permit("AOC120")
    world.permit("XYZ999")
    world.permit("XYZ999", number="100014765")
    fill(handheld, world)
    with handheld.replica_of("1085").reading() as view:

        def look_alikes(plate: Plate) -> set[Plate]:
            return {permit.plate for permit in view.look_alikes(plate)}

        alike = match(read({"A0C12O": 0.9}), look_alikes, jurisdiction=QC)
        exact = match(read({"XYZ999": 0.9}), look_alikes, jurisdiction=QC)
        near = match(read({"XYZ998": 0.9}), look_alikes, jurisdiction=QC)
    assert alike.preselected == Plate("AOC120", QC)
    assert exact.preselected == Plate("XYZ999", QC)
    assert (near.preselected, offered(near)) == (None, [("XYZ999", "one_edit")])


def test_random_plates_are_the_same_for_a_seed_and_lack_what_they_should() -> None:
    some = random_plates(7, set(), 500)
    assert random_plates(7, set(), 500) == some
    left_out = set(sorted(some)[:50])
    assert not random_plates(7, left_out, 500) & left_out


def test_true_plates_read_well_are_filled_in_and_strangers_are_not() -> None:
    plates = sorted(random_plates(3, set(), 3000))
    known: Iterable[str] = plates[:2000]
    indexed = Index()
    indexed.add(known)
    for text in plates[:2000:20]:
        assert scan_in(indexed, text).preselected == Plate(text, QC)
    for text in plates[2000::20]:
        found = scan_in(indexed, text)
        assert found.preselected is None or found.how == "look_alike"


def scan_in(indexed: Index, text: str) -> Match:
    return match(read({text: 0.95}), indexed.look_alikes, jurisdiction=QC)
