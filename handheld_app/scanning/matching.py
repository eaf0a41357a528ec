"""What was read, compared with the index: what may be filled in, and what is only offered.

Pure. A reading fills in a plate for the patroller to confirm, or fills in nothing: a false "valid"
misses an infraction, a false "unknown" tickets an innocent driver (DOMAIN 3.5). docs/scanning.md
tells at what rate the policy fills in a wrong plate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from handheld_app.scanning.decoding import ALPHABET
from handheld_app.scanning.reading import Candidate
from sync.plates import LONGEST, SHORTEST, Plate, UnusablePlate, differing, fold

How = Literal["exact", "look_alike"]
Why = Literal["same_text", "look_alike", "other_reading", "one_edit"]

MOST_SUGGESTIONS = 5

WELL_READ = 0.5
"""A text, with those that only look-alikes tell from it, is well read from this share on."""
NOT_EXCLUDED = 0.01
"""A look-alike may stand for the text when the reader gave it this part of the text's share…"""
AS_GOOD = 1 / 3
"""…and makes it doubtful from this part on."""
_SAME_SHAPE = frozenset("0O")
"""Painted alike on many plates, and issued as one another (DOMAIN 3.4): no picture tells which."""

_FOLDED = sorted(set(fold(ALPHABET)))


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An indexed plate to compare with the picture.

    same_text      says what was read: of another jurisdiction, or read too badly to be filled in
    look_alike     differs from what was read in look-alikes only
    other_reading  is, or looks like, what the reader thought less likely
    one_edit       has one character more, less or otherwise than what was read
    """

    plate: Plate
    why: Why


@dataclass(frozen=True, slots=True)
class Match:
    """What the screen starts with.

    text         what was read, to be confirmed or corrected; None when nothing was
    preselected  the indexed plate to fill in instead of the text; None: the text as it was read
    how          why it may be: it says exactly what was well read, or is the only look-alike
    suggestions  at most 5 other indexed plates, likeliest first; never more than offers
    """

    text: str | None
    preselected: Plate | None
    how: How | None
    suggestions: tuple[Suggestion, ...]


LookAlikes = Callable[[Plate], Iterable[Plate]]
"""The indexed plates that fold like this one, in any jurisdiction, itself among them."""


def match(candidates: Sequence[Candidate], look_alikes: LookAlikes, *, jurisdiction: str) -> Match:
    """Compare a picture's candidates, best first, with the index.

    `jurisdiction` is the one that the patroller has chosen: no picture tells it, so only plates of
    it are filled in. With a replica's view: `lambda plate: {p.plate for p in
    view.look_alikes(plate)}`, some 400 indexed look-ups, 2 ms. Raises UnusableJurisdiction.

    Only the first candidate may fill in a plate. One further down that happens to be in the index
    is offered: among several readings of a car without a permit, one too easily is another's plate.
    """
    shares: dict[str, float] = {}
    for candidate in candidates:
        shares.setdefault(candidate.text, candidate.confidence)
    texts = [text for text in shares if _usable(text, jurisdiction)]
    if not texts:
        return Match(None, None, None, ())
    first = Plate.parse(texts[0], jurisdiction)
    alike = set(look_alikes(first))
    preselected, how = _preselected(first, alike, shares)
    others = _others(first, alike, texts, look_alikes, edits=preselected is None)
    suggestions: dict[Plate, Suggestion] = {}
    for suggestion in others:
        if suggestion.plate != preselected:
            suggestions.setdefault(suggestion.plate, suggestion)
        if len(suggestions) == MOST_SUGGESTIONS:
            break
    return Match(first.text, preselected, how, tuple(suggestions.values()))


def _usable(text: str, jurisdiction: str) -> bool:
    try:
        return Plate.parse(text, jurisdiction).text == text
    except UnusablePlate:
        return False


def _preselected(
    first: Plate, alike: set[Plate], shares: dict[str, float]
) -> tuple[Plate | None, How | None]:
    share = shares[first.text]
    if sum(s for text, s in shares.items() if fold(text) == first.fold) < WELL_READ:
        return None, None
    if first in alike:
        doubtful = any(
            plate.text != first.text and shares.get(plate.text, 0.0) >= AS_GOOD * share
            for plate in alike
        )
        return (None, None) if doubtful else (first, "exact")
    if len(alike) == 1:
        (only,) = alike
        if only.jurisdiction == first.jurisdiction and (
            shares.get(only.text, 0.0) >= NOT_EXCLUDED * share or _same_shape(only.text, first.text)
        ):
            return only, "look_alike"
    return None, None


def _same_shape(text: str, other: str) -> bool:
    return all({text[i], other[i]} == _SAME_SHAPE for i in differing(text, other))


def _others(
    first: Plate, alike: set[Plate], texts: Sequence[str], look_alikes: LookAlikes, *, edits: bool
) -> Iterator[Suggestion]:
    """What to compare, likeliest first; the index is asked as far as somebody wants to know."""

    def nearest(plates: Iterable[Plate], to: str) -> list[Plate]:
        return sorted(
            plates,
            key=lambda plate: (
                sum(1 for _ in differing(plate.text, to)),
                plate.jurisdiction != first.jurisdiction,
                plate.text,
                plate.jurisdiction,
            ),
        )

    for plate in nearest(alike, first.text):
        yield Suggestion(plate, "same_text" if plate.text == first.text else "look_alike")
    for text in texts[1:]:
        reading = Plate(text, first.jurisdiction)
        for plate in nearest(look_alikes(reading), text):
            yield Suggestion(plate, "other_reading")
    if edits:
        for edited in _one_edit(first.fold):
            # Folded, so that one look-up finds every way to write it.
            found = look_alikes(Plate(edited, first.jurisdiction))
            for plate in sorted(found, key=lambda p: (p.text, p.jurisdiction)):
                yield Suggestion(plate, "one_edit")


def _one_edit(folded: str) -> Iterator[str]:
    """Every folded plate that is one character away: another one, one less, one more."""
    for i, here in enumerate(folded):
        for character in _FOLDED:
            if character != here:
                yield folded[:i] + character + folded[i + 1 :]
    if len(folded) > SHORTEST:
        for i in range(len(folded)):
            yield folded[:i] + folded[i + 1 :]
    if len(folded) < LONGEST:
        for i in range(len(folded) + 1):
            for character in _FOLDED:
                yield folded[:i] + character + folded[i:]
