"""Plates: what is typed, painted or read, made comparable (DOMAIN 3)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

SHORTEST = 2
LONGEST = 8
LONGEST_RAW = 64
"""Characters of typed text that are looked at; more than this is no plate."""

_PLATE_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_DROP = {code: None for code in range(128) if chr(code) not in _PLATE_CHARACTERS}
_LOOK_ALIKES = ("0ODQ", "1IL", "8B", "5S", "2Z", "6G", "UV", "MW")
_FOLD = str.maketrans({c: group[0] for group in _LOOK_ALIKES for c in group})
_FOLD_BYTES = bytes(range(128)).decode().translate(_FOLD).encode() + bytes(range(128, 256))
_DASHES = (
    "-\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{EN DASH}\N{EM DASH}"
    "\N{MINUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}"
)
_CERTIFICATE = re.compile(rf"^(?P<plate>.*[^{_DASHES}\s])\s*[{_DASHES}]\s*[0-9]\s*$", re.DOTALL)
_JURISDICTION = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")


class UnusablePlate(ValueError):
    """The text is no plate: fewer than 2 or more than 8 of A-Z 0-9 remain (DOMAIN 3.2)."""

    def __init__(self, raw: str) -> None:
        self.raw = raw
        super().__init__(f"{raw[:LONGEST_RAW]!r} is no plate: 2 to 8 of A-Z and 0-9 are needed")


class UnusableJurisdiction(ValueError):
    """The text is no jurisdiction code such as CA-QC, US-VT or FR."""

    def __init__(self, raw: str) -> None:
        self.raw = raw
        super().__init__(f"{raw[:LONGEST_RAW]!r} is no jurisdiction code such as CA-QC")


def normalise(raw: str) -> str:
    """The text as compared: NFKD, accents dropped, upper case, only A-Z and 0-9 (DOMAIN 3.2)."""
    if raw.isascii():
        upper = raw.upper()
        return upper if upper.isalnum() else upper.translate(_DROP)
    decomposed = unicodedata.normalize("NFKD", raw)
    upper = "".join(c for c in decomposed if not unicodedata.combining(c)).upper()
    return "".join(c for c in upper if c in _PLATE_CHARACTERS)


def fold(text: str) -> str:
    """Normalised text with each look-alike replaced by one of its group (DOMAIN 3.5)."""
    # As bytes in a third of the time.
    return text.encode().translate(_FOLD_BYTES).decode()


@dataclass(frozen=True, slots=True)
class Plate:
    """The identity of a plate: jurisdiction and normalised text (DOMAIN 3.1)."""

    text: str
    jurisdiction: str

    @classmethod
    def parse(cls, raw: str, jurisdiction: str) -> Plate:
        """Read a plate as typed. Raises UnusablePlate, UnusableJurisdiction."""
        if len(raw) > LONGEST_RAW:
            raise UnusablePlate(raw)
        text = normalise(raw)
        if not SHORTEST <= len(text) <= LONGEST:
            raise UnusablePlate(raw)
        if jurisdiction not in _KNOWN_GOOD:
            check_jurisdiction(jurisdiction)
        return cls(text, jurisdiction)

    @property
    def fold(self) -> str:
        """What look-alike plates have in common."""
        return fold(self.text)

    def __str__(self) -> str:
        return f"{self.text} ({self.jurisdiction})"


_KNOWN_GOOD: set[str] = {"CA-QC", "CA-ON", "CA-NB"}
"""Jurisdictions already checked; bounded, since a hostile caller may send every code there is."""


def check_jurisdiction(code: str) -> str:
    """The code itself if it is one such as CA-QC. Raises UnusableJurisdiction."""
    if not _JURISDICTION.fullmatch(code):
        raise UnusableJurisdiction(code)
    if len(_KNOWN_GOOD) < 1000:
        _KNOWN_GOOD.add(code)
    return code


def certificate_hint(raw: str) -> str | None:
    """The plate within what may be a registration certificate number, `ABC123-4` (DOMAIN 3.3).

    To be offered to a person, never applied silently: other jurisdictions print dashes.
    None when the text does not end in a dash and one digit, or what is left is no plate.
    """
    match = _CERTIFICATE.match(unicodedata.normalize("NFKD", raw[:LONGEST_RAW]))
    if match is None:
        return None
    text = normalise(match["plate"])
    return text if SHORTEST <= len(text) <= LONGEST else None


def differing(text: str, other: str) -> Iterator[int]:
    """Positions at which two normalised plates of equal length differ."""
    return (i for i, (a, b) in enumerate(zip(text, other, strict=True)) if a != b)
