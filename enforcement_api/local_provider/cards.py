"""The numbers that are taken, and what each card then does. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from enforcement_api.problems import N_

Behaviour = Literal["pays", "declines", "declines_once", "refused"]
"""`declines`: each charge; `declines_once`: the first; `refused`: it is not even kept."""


@dataclass(frozen=True, slots=True)
class TestCard:
    """A number that belongs to nobody."""

    __test__ = False  # to pytest, a class of this name is one of tests

    number: str
    brand: str
    behaviour: Behaviour
    does: str


TEST_CARDS = (
    TestCard("4242424242424242", "Visa", "pays", N_("every payment succeeds")),
    TestCard("5454545454545454", "Mastercard", "pays", N_("every payment succeeds")),
    TestCard("4000000000000341", "Visa", "declines", N_("every payment is declined")),
    TestCard(
        "4000000000009995",
        "Visa",
        "declines_once",
        N_("the first payment is declined, later ones succeed"),
    ),
    TestCard("4000000000000002", "Visa", "refused", N_("the card is declined at once")),
)

_BY_NUMBER = {card.number: card for card in TEST_CARDS}
_EXPIRY = re.compile(r"(\d{1,2})\s*[/-]?\s*(?:20)?(\d{2})")


class Unusable(ValueError):
    """What was typed cannot be used; the message is a sentence to translate."""


def read_number(typed: str) -> TestCard:
    """The test card with this number, however it is spaced. Raises Unusable.

    Any other number is refused, so that nobody gives a real one to a program that is none of a
    bank's.
    """
    digits = re.sub(r"[\s.-]", "", unicodedata.normalize("NFKC", typed))
    if not digits:
        raise Unusable(N_("Type the number of a test card."))
    card = _BY_NUMBER.get(digits)
    if card is None:
        raise Unusable(N_("Only the test numbers below are taken here. Never type a real one."))
    return card


def read_expiry(typed: str, *, at: datetime) -> str:
    """The month after which a card is no good, as `2028-05`. Raises Unusable."""
    found = _EXPIRY.fullmatch(unicodedata.normalize("NFKC", typed).strip())
    if found is None or not 1 <= int(found[1]) <= 12:
        raise Unusable(N_("Type the month and the year, such as 05/28."))
    expiry = f"20{found[2]}-{int(found[1]):02}"
    if expiry < at.strftime("%Y-%m"):
        raise Unusable(N_("This card has expired. Type a month that is still to come."))
    return expiry


def spaced(number: str) -> str:
    """As it is embossed."""
    return " ".join(number[place : place + 4] for place in range(0, len(number), 4))
