"""From a recogniser's probabilities to ranked texts: pure, and the standard library alone.

A recogniser that was trained with CTC (connectionist temporal classification) says for each of some
steps from left to right how likely each character stands there, or none: the blank. A text's
probability is the sum over all ways to spread it over the steps, where a character may be repeated
and a blank separates equal ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sync.plates import LONGEST, SHORTEST

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
"""What a plate is made of (DOMAIN 3.2)."""

Step = Sequence[float]
"""The probability of the blank, then of each character of ALPHABET."""

_PLACE = {character: place for place, character in enumerate(ALPHABET, 1)}
_SURELY_BLANK = 0.999
_NEGLIGIBLE = 0.001
"""A character less likely than this is not tried at a step."""
_WIDTH = 12
"""Texts that are followed at the same time."""

_LEAST_SHARE = 0.0001
"""What has less is not worth a look."""
_LIKELY_LENGTHS = {2: 0.1, 3: 0.25, 4: 0.5}
"""How much a short reading counts beside a longer one: the rest of it may lie in shade."""


def beam_search(steps: Sequence[Step], width: int = _WIDTH) -> list[tuple[str, float]]:
    """The likeliest texts with their probabilities, best first, at most `width` of them.

    The empty text may be among them. A probability is a lower bound: what was cut off on the way
    is missing from it.
    """
    # For each text: the probability of the ways that end in a blank, and of those that do not.
    beams: dict[str, tuple[float, float]] = {"": (1.0, 0.0)}
    for step in steps:
        blank = step[0]
        likely = (
            []
            if blank > _SURELY_BLANK
            else [(c, p) for c, p in zip(ALPHABET, step[1:], strict=True) if p > _NEGLIGIBLE]
        )
        longer: dict[str, tuple[float, float]] = {}
        for text, (blanked, ended) in beams.items():
            last = text[-1:]
            both = blanked + ended
            so_far = longer.get(text, (0.0, 0.0))
            repeated = ended * step[_PLACE[last]] if last else 0.0
            longer[text] = (so_far[0] + both * blank, so_far[1] + repeated)
            for character, probability in likely:
                grown = text + character
                before = blanked if character == last else both
                so_far = longer.get(grown, (0.0, 0.0))
                longer[grown] = (so_far[0], so_far[1] + before * probability)
        if len(longer) > width:
            best = sorted(longer.items(), key=lambda item: -sum(item[1]))
            longer = dict(best[:width])
        beams = longer
    found = [(text, blanked + ended) for text, (blanked, ended) in beams.items()]
    return sorted(found, key=lambda item: (-item[1], item[0]))


def probability(text: str, steps: Sequence[Step]) -> float:
    """How likely the steps say exactly this text of ALPHABET: the sum over all ways to."""
    places = [0]
    for character in text:
        places += (_PLACE[character], 0)
    # ways[i]: the probability of all ways so far that stand at place i.
    ways = [1.0] + [0.0] * (len(places) - 1)
    skips = [i > 1 and place > 0 and place != places[i - 2] for i, place in enumerate(places)]
    first = True
    for step in steps:
        moved = []
        for i, place in enumerate(places):
            way = ways[i]
            if i and (not first or i == 1):
                way += ways[i - 1]
                if skips[i]:
                    way += ways[i - 2]
            moved.append(way * step[place])
        ways, first = moved, False
    return ways[-1] + (ways[-2] if text and not first else 0.0)


def vote(views: Iterable[Sequence[Step]], most: int = 10) -> list[tuple[str, float]]:
    """The likeliest plates, given several views of the same one: the mean of their probabilities.

    Only what can be a plate is kept: 2 to 8 characters. Short texts count less. Best first, at
    most `most`; the shares add up to no more than 1.
    """
    seen = list(views)
    texts = {
        text
        for steps in seen
        for text, _ in beam_search(steps)[:most]
        if SHORTEST <= len(text) <= LONGEST
    }
    shares = [
        (
            text,
            sum(probability(text, steps) for steps in seen)
            / len(seen)
            * _LIKELY_LENGTHS.get(len(text), 1.0),
        )
        for text in texts
    ]
    likely = [(text, share) for text, share in shares if share >= _LEAST_SHARE]
    return sorted(likely, key=lambda item: (-item[1], item[0]))[:most]
