"""Facts as a person reads them: dates of the site, numbers and amounts of the language, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_time, format_timedelta
from babel.numbers import format_currency, format_decimal

from enforcement_api.console import wording
from enforcement_api.infractions import wording as infractions
from enforcement_api.permits.checking import WORDS
from enforcement_api.problems import N_, translation
from enforcement_api.wording import COLONS
from sync import codec
from sync.entities import ALL_ZONES, Instrument

_LOCALES = {"fr": Locale("fr", "CA"), "en": Locale("en", "CA")}


@dataclass(frozen=True, slots=True)
class Showing:
    """How a page shows things: in a language, at a site's local time, at an instant."""

    language: str
    time_zone: str
    at: datetime

    @property
    def colon(self) -> str:
        """The colon of the language, with the spaces around it."""
        return COLONS[self.language]

    @property
    def _locale(self) -> Locale:
        return _LOCALES[self.language]

    def _local(self, at: datetime) -> datetime:
        return at.astimezone(ZoneInfo(self.time_zone))

    def text(self, text: str, **facts: object) -> str:
        """A marked text, with its facts."""
        told = translation(self.language).gettext(text)
        return told.format(**facts) if facts else told

    def moment(self, at: datetime | None) -> str:
        """A date and a time: 23 nov. 2026, 10:15."""
        if at is None:
            return "—"
        local = self._local(at)
        return f"{self.day(local.date())}, {local:%H:%M}"

    def seconds(self, at: datetime | None) -> str:
        """The same with seconds, for evidence."""
        if at is None:
            return "—"
        local = self._local(at)
        return f"{self.day(local.date())}, {format_time(local, 'HH:mm:ss', locale=self._locale)}"

    def machine(self, at: datetime) -> str:
        """An instant as programs read it, for `<time datetime>`."""
        return self._local(at).isoformat()

    def field_moment(self, at: datetime | None) -> str:
        """The site's date and time as a `datetime-local` field has them."""
        return "" if at is None else self._local(at).strftime("%Y-%m-%dT%H:%M")

    def clock(self, at: datetime) -> str:
        """The time of day: 10:15."""
        return str(format_time(self._local(at), "HH:mm", locale=self._locale))

    def day(self, day: date | datetime | None) -> str:
        """A date: 23 nov. 2026."""
        if day is None:
            return "—"
        if isinstance(day, datetime):
            day = self._local(day).date()
        return _day(day, self.language)

    def short_day(self, day: date) -> str:
        """A date in what goes without saying of its year: 23 nov."""
        return str(format_date(day, "d MMM" if self.language == "fr" else "MMM d", self._locale))

    def month(self, day: date) -> str:
        """The month of a date: nov. 2026."""
        return str(format_date(day, "MMM y", locale=self._locale))

    def weekday(self, day: date) -> str:
        """A date with its day: lun. 23 nov."""
        return str(format_datetime(day, "EEE d MMM", locale=self._locale))

    def ago(self, at: datetime | None) -> str:
        """How long ago, roughly: il y a 5 minutes."""
        if at is None:
            return "—"
        gone = timedelta(seconds=round((at - self.at).total_seconds()))
        if abs(gone) < timedelta(seconds=5):
            return self.text(N_("just now"))
        return str(format_timedelta(gone, add_direction=True, locale=self._locale))

    def lasting(self, for_: timedelta) -> str:
        """A length of time, roughly: 5 minutes."""
        return str(format_timedelta(for_, locale=self._locale))

    def number(self, value: float) -> str:
        """1 085."""
        return _number(value, self.language)

    def share(self, part: float, whole: float) -> str:
        """12 %; a dash of nothing."""
        if not whole:
            return "—"
        percent = self.number(round(100 * part / whole))
        return f"{percent}\u00a0%" if self.language == "fr" else f"{percent}%"

    def size(self, bytes: int) -> str:
        """1,2 Mo, roughly."""
        kilo, mega = bytes / 1000, bytes / 1_000_000
        if mega >= 1:
            return self.text(
                N_("{size} MB"), size=format_decimal(round(mega, 1), locale=self._locale)
            )
        return self.text(N_("{size} kB"), size=self.number(max(1, round(kilo))))

    def read(self, text: str | None) -> datetime | None:
        """An instant as the record's texts have it."""
        return None if text is None else codec.parse_instant(text)

    def money(self, cents: int | None) -> str:
        """80,00 $."""
        if cents is None:
            return "—"
        return str(format_currency(cents / 100, "CAD", locale=self._locale))

    def localized(self, text: dict[str, str] | object) -> str:
        """A text that somebody wrote in both languages."""
        if isinstance(text, dict):
            return str(text.get(self.language) or text.get("fr") or text.get("en") or "")
        return str(getattr(text, self.language, text))

    # Words

    def _word(self, words: Mapping[str, str], code: str | None) -> str:
        if not code:
            return "—"
        return self.text(words[code]) if code in words else code

    def said(self, words: Mapping[str, str], code: str | None) -> str:
        """A code in words of these, where they have some."""
        return self._word(words, code)

    def verdict(self, code: str | None) -> str:
        """VALIDE."""
        return self._word(WORDS, code)

    def state(self, code: str | None) -> str:
        """What has become of an infraction."""
        return self._word(infractions.STATES, code)

    def outcome(self, code: str, instrument: Instrument) -> str:
        """What a patroller made of what they saw, at a site of this instrument."""
        return self.text(infractions.outcome_words(code, instrument))

    def reason(self, code: str | None) -> str:
        """Why something was voided, or nothing issued."""
        return self._word(infractions.REASONS, code)

    def warning(self, code: str) -> str:
        """What is flagged of an infraction."""
        return self._word(infractions.WARNINGS, code)

    def event(self, code: str) -> str:
        """What the log says was done to an infraction."""
        return self._word(wording.EVENTS, code)

    def decided(self, code: str) -> str:
        """What a review did."""
        return self._word(wording.DECIDED, code)

    def decide(self, code: str) -> str:
        """What may be decided, as a button says it."""
        return self._word(wording.DECIDE, code)

    def attention_icon(self, code: str) -> str:
        """The sign that stands for it."""
        return wording.ATTENTION_ICONS[code]

    def date(self, at: datetime) -> date:
        """The site's date at an instant."""
        return self._local(at).date()

    def attention(self, code: str) -> str:
        """Why an infraction should be looked at."""
        return self.text(wording.ATTENTION[code])

    def plate_source(self, code: str) -> str:
        """Whether a plate was typed or read."""
        return self._word(infractions.PLATE_SOURCES, code)

    def shows(self, code: str | None) -> str:
        """What a photo is of."""
        return self._word(infractions.SHOWS, code)

    def permit_status(self, code: str) -> str:
        """Active, suspended, cancelled."""
        return self._word(infractions.PERMIT_STATUS, code)

    def purpose(self, text: str | None) -> str:
        """What a plate was looked up for: a word of ours, somebody's own words, or both."""
        code, _, own = (text or "").partition(": ")
        if code not in wording.PURPOSES:
            return text or "—"
        said = self.text(wording.PURPOSES[code])
        return f"{said} – {own}" if own else said

    def zones(self, codes: Sequence[str]) -> str:
        """G1, G2; or all of them."""
        return self.text(N_("all zones")) if ALL_ZONES in codes else ", ".join(codes)

    def role(self, code: str | None) -> str:
        """What somebody of the staff may."""
        return self._word(wording.ROLES, code)

    def field(self, name: str) -> str:
        """What a field of a form is called."""
        if name in wording.PRINTED:
            return " – ".join(map(self.text, wording.PRINTED[name]))
        return self._word(wording.FIELDS, name)

    def value(self, name: str, value: str) -> str:
        """What was chosen in a field, in words where there are some: what comes before a colon says
        of what kind it is.
        """
        words, kind = wording.VALUES.get(name, {}), value.partition(":")[0]
        return self._word(words, kind if kind in words else value)


@lru_cache(maxsize=10_000)
def _number(value: float, language: str) -> str:
    # Kept, as days are: pages have thousands of both, told again and again.
    return str(format_decimal(value, locale=_LOCALES[language]))


@lru_cache(maxsize=10_000)
def _day(day: date, language: str) -> str:
    return str(format_date(day, "d MMM y", locale=_LOCALES[language]))
