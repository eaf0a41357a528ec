"""Card numbers in what people type: found, so that they are neither stored, nor logged, nor echoed.

Payment goes through a provider's page, and no field is for a card's number; but people type them
where they should not. What is found is what an issuer could have given: 13 to 19 digits of any
script, with spaces, dashes or dots between, whose check digit is right. A phone number, a place on
the Earth, a UUID or a hash is none. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

HIDDEN = "••••"
"""What stands where a card number stood."""

_SHORTEST, _LONGEST = 13, 19
_ISSUERS: tuple[tuple[re.Pattern[str], frozenset[int]], ...] = tuple(
    (re.compile(prefix), frozenset(lengths))
    for prefix, lengths in (
        ("4", (13, 16, 19)),  # Visa
        ("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
        ("3[47]", (15,)),  # American Express
        ("6011|64[4-9]|65|622(12[6-9]|1[3-9]|[2-8]|9[01]|92[0-5])", range(16, 20)),  # Discover
        ("30[0-5]|3095|36|3[89]", range(14, 20)),  # Diners Club
        ("352[89]|35[3-8]", range(16, 20)),  # JCB
        ("62|81[0-6]|817[01]", range(16, 20)),  # UnionPay
    )
)

_SEPARATOR = r"[\s\u00ad\u200b-\u200f\u2060\ufeff.\u00b7\u2022\u2010-\u2015\u2212-]"
_GROUPS = re.compile(rf"(?<![^\W_])[0-9]+(?:{_SEPARATOR}{{1,3}}[0-9]+)*(?![^\W_])")
_DIGITS = re.compile("[0-9]+")
_MAYBE = re.compile(r"(?:\d\D{0,3}){12}\d")
# What has as many digits and is something else.
_OTHER = re.compile(
    r"(?<![^\W_])(?:"
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # a UUID
    r"|[0-9]{1,3}\.[0-9]{5,}"  # a number with a fraction, such as a latitude
    r")(?![^\W_])",
    re.IGNORECASE,
)
_TELEPHONE = (3, 3, 4)


def has_card_number(text: str) -> bool:
    """Whether there is what looks like a card number in a text."""
    return len(text) >= _SHORTEST and next(_card_numbers(text), None) is not None


def without_card_numbers(text: str) -> str:
    """The text with HIDDEN in the place of what looks like card numbers: the same each time, and
    the same again when it is done to the result.
    """
    if len(text) < _SHORTEST:
        return text
    shown, at = "", 0
    for begins, ends in _card_numbers(text):
        shown += text[at:begins] + HIDDEN
        at = ends
    return text if not at else shown + text[at:]


def _card_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Where each begins and ends."""
    plain = text if text.isascii() else _plain(text)
    if not _MAYBE.search(plain):
        return
    plain = _OTHER.sub(lambda other: "x" * len(other[0]), plain)
    for run in _GROUPS.finditer(plain):
        yield from _in_run(plain, run.start(), run.end())


def _plain(text: str) -> str:
    """The text with each digit of any script as one of 0 to 9, each character in its place; nothing
    at all if it has too few of them.
    """
    if sum(map(str.isdigit, text)) < _SHORTEST:
        return ""
    return "".join(c if c.isascii() else _folded(c) for c in text)


def _folded(character: str) -> str:
    folded = unicodedata.normalize("NFKC", character)
    if len(folded) != 1:
        return character
    value = unicodedata.decimal(folded, None)
    return folded if value is None else str(value)


def _in_run(plain: str, begins: int, ends: int) -> Iterator[tuple[int, int]]:
    """In digits and what separates them: a card number begins and ends with a group of digits."""
    groups = [m.span() for m in _DIGITS.finditer(plain, begins, ends)]
    first = 0
    while first < len(groups):
        last = _last_group(plain, groups, first)
        if last is None:
            first += 1
        else:
            yield groups[first][0], groups[last][1]
            first = last + 1


def _last_group(plain: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """The last group of the longest card number that begins with a group; None: none does."""
    if tuple(ends - begins for begins, ends in groups[first : first + 3]) == _TELEPHONE:
        return None
    digits, found = "", None
    for i in range(first, len(groups)):
        begins, ends = groups[i]
        digits += plain[begins:ends]
        if len(digits) > _LONGEST:
            break
        if len(digits) >= _SHORTEST and _is_card_number(digits):
            found = i
    return found


def _is_card_number(digits: str) -> bool:
    return any(
        len(digits) in lengths and prefix.match(digits) for prefix, lengths in _ISSUERS
    ) and _has_check_digit(digits)


def _has_check_digit(digits: str) -> bool:
    """Whether the last digit fits the others (Luhn's rule, ISO/IEC 7812)."""
    doubled = (
        int(d) if i % 2 == 0 else int("0246813579"[int(d)]) for i, d in enumerate(digits[::-1])
    )
    return sum(doubled) % 10 == 0
