"""DOMAIN 3: what is typed, painted or read becomes one plate, or a clear no."""

from __future__ import annotations

import pytest

from sync.plates import (
    Plate,
    UnusableJurisdiction,
    UnusablePlate,
    certificate_hint,
    fold,
    normalise,
)
from sync.validity import suggest
from tests.builders import NOON, RETENTION, permit


@pytest.mark.parametrize(
    ("typed", "plate"),
    [
        ("ABC123", "ABC123"),
        ("abc 123", "ABC123"),
        (" abc-123\t", "ABC123"),
        ("A.B/C·1_2'3", "ABC123"),
        # accents, precomposed and combining
        ("ÉTÉ 42", "ETE42"),
        ("e\N{COMBINING ACUTE ACCENT}te\N{COMBINING ACUTE ACCENT}42", "ETE42"),
        ("çàñ-1", "CAN1"),
        ("A\N{COMBINING ENCLOSING CIRCLE}B1", "AB1"),
        # compatibility forms
        ("ＡＢＣ１２３", "ABC123"),
        ("ａｂｃ－１２３", "ABC123"),
        ("①②③", "123"),
        ("ⅣAB", "IVAB"),
        ("x²y³", "X2Y3"),
        ("ﬁn1", "FIN1"),
        ("ﬃ-9", "FFI9"),
        ("𝐀𝐁𝐂𝟏", "ABC1"),
        # upper case that is longer, or is of another alphabet before it
        ("straße", "STRASSE"),
        ("ı1", "I1"),
        ("İ2", "I2"),
        ("ſ9z", "S9Z"),
        # what is no letter A-Z and no digit 0-9 is dropped
        ("A\0B1", "AB1"),
        ("A🚗B1", "AB1"),
        ("A\N{ZERO WIDTH SPACE}B\N{SOFT HYPHEN}1", "AB1"),
        ("A\N{RIGHT-TO-LEFT OVERRIDE}B1", "AB1"),
        ("АВС AB1", "AB1"),  # Cyrillic look-alikes are not Latin letters
        ("٣٤AB", "AB"),  # Arabic digits are not 0-9
        ("Ø1Æ", "1"),
    ],
)
def test_normalised_text_keeps_only_a_to_z_and_0_to_9(typed: str, plate: str) -> None:
    assert normalise(typed) == plate


@pytest.mark.parametrize("typed", ["é1", "ＡＢ", "ﬁ", "aß", "ı2", "x²", "ABC123"])
def test_normalising_twice_changes_nothing(typed: str) -> None:
    assert normalise(normalise(typed)) == normalise(typed)


@pytest.mark.parametrize("typed", ["AB", "A1", "ABCDEFGH", "AB CD EF GH", "12345678"])
def test_2_to_8_characters_are_a_plate(typed: str) -> None:
    assert 2 <= len(Plate.parse(typed, "CA-QC").text) <= 8


@pytest.mark.parametrize(
    "typed", ["", " ", "A", "-", "🚗🚗🚗", "\0\0", "ABCDEFGHI", "ABCDE FGHIJ", "A" * 5000, "ǈ" * 5]
)
def test_fewer_than_2_or_more_than_8_characters_are_none(typed: str) -> None:
    with pytest.raises(UnusablePlate, match="2 to 8"):
        Plate.parse(typed, "CA-QC")


def test_same_letters_of_two_jurisdictions_are_two_plates() -> None:
    assert Plate.parse("ABC123", "CA-QC") != Plate.parse("ABC123", "CA-ON")
    assert Plate.parse("abc 123", "CA-QC") == Plate.parse("ABC123", "CA-QC")


@pytest.mark.parametrize("code", ["CA-QC", "US-VT", "FR", "GB-ENG", "MX-9"])
def test_jurisdiction_is_a_code(code: str) -> None:
    assert Plate.parse("AB1", code).jurisdiction == code


@pytest.mark.parametrize(
    "code", ["", "ca-qc", "Québec", "CA-", "CAN-QC", "CA-QC\n", "C", "CA-QCQC"]
)
def test_other_text_is_no_jurisdiction(code: str) -> None:
    with pytest.raises(UnusableJurisdiction):
        Plate.parse("AB1", code)


@pytest.mark.parametrize(
    ("typed", "plate"),
    [
        ("ABC123-4", "ABC123"),
        ("abc 123 - 4", "ABC123"),
        ("ABC123\N{EN DASH}4", "ABC123"),
        ("ABC123\N{NON-BREAKING HYPHEN}4 ", "ABC123"),
        ("A12-BCD-7", "A12BCD"),
        ("ABC1234", None),
        ("ABC-1234", None),
        ("ABC123-", None),
        ("ABC123-X", None),
        ("A-4", None),  # one character would be left
        ("-4", None),
        ("", None),
        ("ABCDEFGHI-4", None),
        ("ABC123-\N{FULLWIDTH DIGIT FOUR}", "ABC123"),
    ],
)
def test_certificate_number_offers_the_plate_in_it(typed: str, plate: str | None) -> None:
    assert certificate_hint(typed) == plate


def test_certificate_number_is_never_stripped_silently() -> None:
    assert Plate.parse("ABC123-4", "CA-QC").text == "ABC1234"


@pytest.mark.parametrize("group", ["0ODQ", "1IL", "8B", "5S", "2Z", "6G", "UV", "MW"])
def test_look_alikes_fold_together(group: str) -> None:
    assert len({fold(f"A{c}9") for c in group}) == 1


def test_characters_of_different_groups_never_fold_together() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    groups = {frozenset(g) for g in ("0ODQ", "1IL", "8B", "5S", "2Z", "6G", "UV", "MW")}
    for a in alphabet:
        for b in alphabet:
            together = a == b or any(a in g and b in g for g in groups)
            assert (fold(a) == fold(b)) == together, (a, b)


def _suggested(plate: str, *candidates: object, zone: str = "G1") -> list[str]:
    found = suggest(
        Plate.parse(plate, "CA-QC"), candidates, zone=zone, at=NOON, retention=RETENTION
    )
    return [str(p) for p in found]


def test_same_plate_elsewhere_is_suggested_before_look_alikes() -> None:
    assert _suggested(
        "ABC120",
        permit("A8C12O", id="a"),
        permit("ABC12O", id="b"),
        permit("ABC120", id="c", jurisdiction="CA-ON"),
    ) == ["ABC120 (CA-ON)", "ABC12O (CA-QC)", "A8C12O (CA-QC)"]


def test_only_what_is_valid_here_and_now_is_suggested() -> None:
    assert not _suggested("ABC120", permit("ABC12O", zone="G2"))
    assert not _suggested("ABC120", permit("ABC12O", ends_at=NOON))
    assert not _suggested("ABC120", permit("ABC12O", status="suspended"))
    assert not _suggested("ABC120", permit("ABC12O", active_from=NOON + RETENTION))
    assert _suggested("ABC120", permit("ABC12O", zone="*")) == ["ABC12O (CA-QC)"]


def test_five_are_suggested_at_most_and_the_plate_itself_never() -> None:
    many = [permit(f"A{a}C{b}", id=a + b) for a in "8B" for b in "0ODQ"]
    suggested = _suggested("ABC0", *many)
    assert len(suggested) == 5
    assert "ABC0 (CA-QC)" not in suggested
    assert suggested[:4] == ["A8C0 (CA-QC)", "ABCD (CA-QC)", "ABCO (CA-QC)", "ABCQ (CA-QC)"]
