"""What a patroller takes instead of typing: makes, colours, phrases for a note. Pure.

Colours are kept in French, as the permits of a site have them, and shown in the language of the
screen; so a colour that was chosen on an English screen is the same in the log.
"""

from __future__ import annotations

from handheld_app.wording import gettext
from sync.wording import LANGUAGES

MAKES = (
    "Acura", "Audi", "BMW", "Buick", "Cadillac", "Chevrolet", "Chrysler", "Dodge", "Fiat", "Ford",
    "Genesis", "GMC", "Honda", "Hyundai", "Infiniti", "Jaguar", "Jeep", "Kia", "Land Rover",
    "Lexus", "Lincoln", "Mazda", "Mercedes-Benz", "Mini", "Mitsubishi", "Nissan", "Pontiac",
    "Porsche", "Ram", "Saturn", "Smart", "Subaru", "Suzuki", "Tesla", "Toyota", "Volkswagen",
    "Volvo",
)  # fmt: skip
"""Makes that are common on the roads of Québec; a name is the same in both languages."""


def N_(text: str) -> str:
    """Mark a text for translation."""
    return text


COLOURS = (
    N_("white"),
    N_("black"),
    N_("grey"),
    N_("silver"),
    N_("blue"),
    N_("red"),
    N_("green"),
    N_("beige"),
    N_("brown"),
    N_("gold"),
    N_("orange"),
    N_("yellow"),
    N_("burgundy"),
    N_("purple"),
)
"""The most frequent first."""

PHRASES = (
    N_("Driver absent."),
    N_("Driver met, told to leave."),
    N_("Sign in plain sight."),
    N_("Sign hidden by snow."),
    N_("Ground markings under snow."),
    N_("Plate cleared of snow to read it."),
    N_("Engine running."),
    N_("Hazard lights on."),
    N_("No charging cable connected."),
    N_("No parking badge for disabled people displayed."),
    N_("Vehicle blocks the passage."),
    N_("Second pass: the vehicle has not moved."),
)
"""For a note: a tap adds one."""


def kept_colour(english: str) -> str:
    """A colour of the list as it is recorded."""
    return gettext(english, LANGUAGES[0])


def shown_colour(kept: str | None, lang: str) -> str:
    """A recorded colour in the language of the screen; as it is when it is none of the list."""
    for english in COLOURS:
        if kept and kept.casefold() in (english, kept_colour(english).casefold()):
            return gettext(english, lang)
    return kept or ""
