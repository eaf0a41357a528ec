"""What letters and papers say alike: days, instants and money as people of Québec write them,
and the texts of others made harmless. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, get_timezone_name
from babel.numbers import format_currency, format_decimal

from enforcement_api.problems import LANGUAGES, N_, translation
from sync import codec

_LOCALES = {"fr": "fr_CA", "en": "en_CA"}
_DAYS = {"fr": "d MMMM y", "en": "MMMM d, y"}
_FIRST_DAYS = {"fr": "'1er' MMMM y", "en": "MMMM d, y"}
_TIMES = {"fr": ("H 'h' mm", "H 'h' mm 'min' ss 's'"), "en": ("h:mm a", "h:mm:ss a")}
"""To the minute, and to the second."""

_NO_BREAK = "\u00a0"
COLONS = {"fr": f"{_NO_BREAK}: ", "en": ": "}
"""What stands between a name and what it is, in each language."""
# Marks that turn the direction of what follows, and others that nobody sees.
_UNSEEN = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
# Spaces but for those that hold words together, controls, and halves of characters.
_GAP = re.compile("(?:[^\\S\u00a0\u202f]|[\x00-\x1f\x7f-\x9f\ud800-\udfff])+")
_LINE_END = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_LINK = re.compile(r"://|@|\bwww\.|\w\w\.\w\w", re.IGNORECASE)


class Words:
    """A language, and the time zone in which instants are shown."""

    def __init__(self, language: str, time_zone: str) -> None:
        self.language = language if language in LANGUAGES else LANGUAGES[0]
        self._locale = _LOCALES[self.language]
        self.zone = ZoneInfo(time_zone)
        self._texts = translation(self.language)

    def say(self, text: str, **facts: object) -> str:
        """A marked text in the language, with its facts in it."""
        return self._texts.gettext(text).format(**facts)

    def ngettext(self, one: str, many: str, n: int, **facts: object) -> str:
        """Of two texts the one for this number, with `{n}` and its facts in it."""
        return self._texts.ngettext(one, many, n).format(n=self.number(n), **facts)

    def day(self, on: str | date) -> str:
        """Such as 8 mars 2026."""
        on = date.fromisoformat(on) if isinstance(on, str) else on
        patterns = _FIRST_DAYS if on.day == 1 else _DAYS
        return format_date(on, patterns[self.language], locale=self._locale)

    def moment(self, at: str | datetime) -> str:
        """Such as 8 mars 2026 à 15 h 00 (heure de l’Est); with seconds where they are not 0.

        In the hour that comes twice in autumn, the name of the zone says which of the two.
        """
        at = codec.parse_instant(at) if isinstance(at, str) else at
        local = at.astimezone(self.zone)
        pattern = _TIMES[self.language][local.second != 0]
        time = format_datetime(local, pattern, tzinfo=self.zone, locale=self._locale)
        comes_twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        zone = get_timezone_name(
            local,
            zone_variant="generic"
            if not comes_twice
            else "daylight"
            if local.dst()
            else "standard",
            locale=self._locale,
        )
        return self.say(
            N_("{day} at {time} ({zone})"),
            day=self.day(local.date()),
            time=re.sub(r"\s", _NO_BREAK, time),
            zone=zone.replace(" ", _NO_BREAK),
        )

    def when(self, at: str) -> str:
        """A day or an instant, whichever it is."""
        return self.moment(at) if "T" in at else self.day(at)

    def money(self, cents: int) -> str:
        """Such as 23,08 $."""
        return format_currency(Decimal(cents) / 100, "CAD", locale=self._locale)

    def number(self, number: float, *, digits: int = 0) -> str:
        """Such as 812 345, or 2,00 with two digits behind the comma."""
        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        return format_decimal(number, pattern, locale=self._locale)


def seen(text: str) -> str:
    """A text of somebody's without what turns its direction or cannot be seen."""
    return _UNSEEN.sub("", text)


def line(text: object) -> str:
    """The same on one line, with one space wherever there is room between words."""
    return _GAP.sub(" ", seen(str(text))).strip()


def lines(text: object) -> Sequence[str]:
    """Its lines, each made harmless; empty ones go."""
    return [kept for part in _LINE_END.split(str(text)) if (kept := line(part))]


def name_to_greet(name: object) -> str:
    """A name, unless there is a link in it: who fills in a form could send one to anybody, in a
    letter of ours.
    """
    name = line(name)
    return "" if _LINK.search(name) else name
