"""The words that a notice on paper and a handheld's screen have in common, in French and English.

English messages are the keys; French comes from `locale`, compiled by `make translations`.
Texts use U+00A0 where French wants a narrow space: the handheld's letters have no U+202F.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import lru_cache
from gettext import NullTranslations, translation
from pathlib import Path
from zoneinfo import ZoneInfo

from sync.entities import Localized, Zone

LANGUAGES = ("fr", "en")
"""French is the default and complete; English is equal."""

_LOCALE = Path(__file__).parent / "locale"


@lru_cache
def _catalogue(lang: str) -> NullTranslations:
    return translation("sync", _LOCALE, languages=[lang], fallback=True)


def gettext(message: str, lang: str) -> str:
    """The message in the language; itself where the language has no other word for it."""
    return _catalogue(lang).gettext(message) if message else ""


_ = gettext


def localized(text: Localized | str | None, lang: str) -> str:
    """The text of a record in the language, else in the other one; empty for none."""
    if text is None or isinstance(text, str):
        return text or ""
    return text.get(lang) or next((words for words in text.values() if words), "")


# Days, instants, money


def _months(lang: str) -> tuple[str, ...]:
    return (
        _("January", lang),
        _("February", lang),
        _("March", lang),
        _("April", lang),
        _("May", lang),
        _("June", lang),
        _("July", lang),
        _("August", lang),
        _("September", lang),
        _("October", lang),
        _("November", lang),
        _("December", lang),
    )


def day(of: date, lang: str, *, year: bool = True) -> str:
    """A day in words: `1er juillet 2027`, `July 1, 2027`."""
    number = "1er" if lang == "fr" and of.day == 1 else str(of.day)
    pattern = _("{month} {day}, {year}", lang) if year else _("{month} {day}", lang)
    return pattern.format(month=_months(lang)[of.month - 1], day=number, year=of.year)


def clock_time(of: datetime, lang: str) -> str:
    """A time of day in words: `15 h 05`, `15:05`."""
    return _("{hour}:{minute:02}", lang).format(hour=of.hour, minute=of.minute)


def told_once(local: datetime, lang: str) -> str:
    """A time of day that no other instant of that day has."""
    words = clock_time(local, lang)
    if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():
        words += f" (UTC{local:%z})"
    return words


def dated_instant(at: datetime, zone: ZoneInfo, lang: str) -> str:
    """An instant on the site's clock for paper, which is read on another day: always its date."""
    local = at.astimezone(zone)
    of = day(local.date(), lang)
    return _("{day} at {time}", lang).format(day=of, time=told_once(local, lang))


def money(cents: int, lang: str) -> str:
    """An amount in dollars: `52,00 $`, `$52.00`."""
    dollars, rest = divmod(abs(cents), 100)
    sign = "-" if cents < 0 else ""
    if lang == "fr":
        return f"{sign}{dollars:,}".replace(",", "\u00a0") + f",{rest:02}\u00a0$"
    return f"{sign}${dollars:,}.{rest:02}"


# Places, plates, outcomes


def zone_title(zone: Zone, lang: str) -> str:
    """A zone by what tells it from others first: its code, unless its name begins with that."""
    name = localized(zone.name, lang)
    begins = re.split(r"\W+", name.strip(), maxsplit=3)[:2]
    return name if zone.id in begins else f"{zone.id} · {name}"


def short_jurisdiction(code: str) -> str:
    """What the chip on the plate shows of `CA-QC`: `QC`."""
    return code.rpartition("-")[2]


def outcome_words(outcome: str, instrument: str, lang: str) -> str:
    """What is issued, in the words of the site's instrument, which are never mixed (DOMAIN 5)."""
    if outcome == "warning":
        return _("Warning", lang)
    if outcome == "no_issue":
        return _("Nothing issued", lang)
    if instrument == "constat":
        return _("Statement of offence", lang)
    return _("Notice of claim", lang)


def plate_missing_reason(reason: str, lang: str) -> str:
    """Why there is no plate."""
    return {
        "no_plate": _("The vehicle carries no plate", lang),
        "unreadable": _("The plate cannot be read", lang),
        "covered": _("The plate is covered", lang),
    }.get(reason, reason)
