"""Card numbers in text: found in every spelling, and nothing else is taken for one."""

from __future__ import annotations

import hashlib
import random
import unicodedata
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcement_api.cards import HIDDEN, has_card_number, without_card_numbers

# Numbers that the networks give out for tests.
NUMBERS = (
    "4111111111111111",
    "4012888888881881",
    "4222222222222",
    "5555555555554444",
    "5105105105105100",
    "2223003122003222",
    "2720990000000015",
    "378282246310005",
    "341111111111111",
    "6011111111111117",
    "6445644564456445",
    "6510000000000034",
    "6221260000000000",
    "30569309025904",
    "38520000023237",
    "36227206271667",
    "3530111333300000",
    "6212345678901232",
    "8171999900000000021",
)

SPELLINGS = {
    "plain": lambda d: d,
    "in fours": lambda d: " ".join(d[i : i + 4] for i in range(0, len(d), 4)),
    "with dashes": lambda d: "-".join(d[i : i + 4] for i in range(0, len(d), 4)),
    "with long dashes": lambda d: " – ".join(d[i : i + 4] for i in range(0, len(d), 4)),
    "with dots": lambda d: ".".join(d[i : i + 4] for i in range(0, len(d), 4)),
    "with no-break spaces": lambda d: "\u00a0".join(d[i : i + 4] for i in range(0, len(d), 4)),
    "with narrow spaces": lambda d: "\u202f".join(d[i : i + 4] for i in range(0, len(d), 4)),
    "with spaces that are not seen": lambda d: "\u200b".join(d),
    "on lines": lambda d: "\n".join(d[i : i + 4] for i in range(0, len(d), 4)),
    "as on the card": lambda d: f"{d[:4]} {d[4:10]} {d[10:]}",
    "one by one": lambda d: " ".join(d),
    "fullwidth": lambda d: "".join(chr(0xFF10 + int(c)) for c in d),
    "Arabic-Indic": lambda d: "".join(chr(0x0660 + int(c)) for c in d),
    "Devanagari": lambda d: "".join(chr(0x0966 + int(c)) for c in d),
    "mathematical": lambda d: "".join(chr(0x1D7CE + int(c)) for c in d),
    "mixed": lambda d: d[:5] + "".join(chr(0x0660 + int(c)) for c in d[5:]),
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("number", NUMBERS)
def test_number_is_found_in_every_spelling(number: str, spelling: str) -> None:
    text = SPELLINGS[spelling](number)
    if spelling == "as on the card" and len(number) < 14:
        return
    assert has_card_number(text)
    assert without_card_numbers(text) == HIDDEN


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ma carte : 4111 1111 1111 1111, exp. 12/28", "Ma carte : ••••, exp. 12/28"),
        ("(4111111111111111)", "(••••)"),
        ("4111111111111111.", "••••."),
        ("no_4111111111111111_", "no_••••_"),
        ("2 4111111111111111", "2 ••••"),
        ("4111111111111111 5555555555554444", "•••• ••••"),
        ("a 4111111111111111 b 378282246310005 c", "a •••• b •••• c"),
        ("4111-1111-1111-1111 2026", "•••• 2026"),
        ("é 4111 1111 1111 1111 è", "é •••• è"),
        ("819 555-0199 4111111111111111", "819 555-0199 ••••"),
    ],
)
def test_what_stands_around_it_stays(text: str, shown: str) -> None:
    assert without_card_numbers(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111111111111112",  # its check digit is wrong
        "411111111111111",  # a digit less
        "41111111111111111",  # one more
        "9111111111111111",  # of no issuer
        "0000000000000000",
        "a4111111111111111",
        "4111111111111111a",
        "4111111111111111é",
        "14111111111111111234567890",
        "4111_1111_1111_1111",
        "4111    1111    1111    1111",
        "4111, 1111, 1111, 1111",
        # Telephones that happen to have a check digit that fits.
        "514 555-0104 450 555-0105",
        "+1 514 555-0199",
        # Places.
        "45.40123456789014, -71.89",
        "-71.4111111111111111",
        "100014764",
        "2026-11-23T15:15:00Z",
        "2026-11-23 15:15:00.000000",
        "815-30000 12345 1234567",
        "01939a7e-5c1b-7c7e-8f5e-3a1d2b4c5d6e",
        "41111111-1111-0006-8111-111111111111",
        "(5555555-5555-5544-4455-555555555555)",
        "1" * 64,
    ],
)
def test_nothing_else_is_taken_for_one(text: str) -> None:
    assert not has_card_number(text)
    assert without_card_numbers(text) == text


def test_no_hash_and_no_uuid_is_taken_for_one() -> None:
    dice = random.Random(1)
    for _ in range(20_000):
        id = str(uuid.UUID(int=dice.getrandbits(128)))
        assert not has_card_number(id), id
        assert not has_card_number(id.upper())
    digits = "".join(dice.choice("0123456789") for _ in range(8 * 4))
    for n in range(5_000):
        id = f"{digits[:8]}-{n:04}-{4000 + n % 1000}-{8000 + n % 1000}-{digits[8:20]}"
        assert not has_card_number(id), id
        assert not has_card_number(hashlib.sha256(id.encode()).hexdigest())


@given(st.text(max_size=60))
def test_text_without_so_many_digits_stays_as_it_is(text: str) -> None:
    if sum(unicodedata.numeric(c, None) is not None for c in text) < 13:
        assert without_card_numbers(text) == text


@given(
    st.lists(
        st.sampled_from([*NUMBERS, *"0123456789", " ", "-", ".", "a", "é", "\n", "•", "٤", "_"]),
        max_size=40,
    ).map("".join)
)
def test_hiding_again_changes_nothing(text: str) -> None:
    once = without_card_numbers(text)
    assert without_card_numbers(once) == once
    assert not has_card_number(once)
    assert has_card_number(text) == (once != text)


@given(st.sampled_from(NUMBERS), st.integers(0, 12), st.integers(1, 9))
def test_one_wrong_digit_is_noticed(number: str, place: int, by: int) -> None:
    """As the check digit is for."""
    wrong = number[:place] + str((int(number[place]) + by) % 10) + number[place + 1 :]
    assert not has_card_number(wrong)


@pytest.mark.parametrize(
    "text",
    ["4 " * 50_000, "4" * 100_000, "4-" * 50_000 + "x", "4.12345 " * 10_000, "é" + "4 " * 50_000],
    ids=["apart", "one", "dashes", "fractions", "accents"],
)
def test_long_text_takes_no_longer_than_its_length(text: str) -> None:
    assert not has_card_number(text)
