"""What is counted, under what, and what a figure tells. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from enforcement_api.problems import N_, Invalid, Problem
from sync.entities import Localized

Dimension = Literal["zone", "lot", "code", "patroller"]
"""What infractions are told by, besides the day."""
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)

UNDECIDED = frozenset({"received", "information_requested"})
"""States of an infraction that still wait for a supervisor."""
OTHER = "other"
"""The reason of a voiding that is none of the list (DOMAIN 5)."""

AGES = (
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(hours=1),
    timedelta(hours=24),
)
"""Up to which age each band of changes goes; what is older is in a last one."""

PARTS = ("night", "morning", "afternoon", "evening")
"""Parts of a day at the site, of six hours each, from midnight."""

MOST_DAYS = 3 * 366
"""Days of one figure."""
DAYS = 28
"""Days of a figure where nobody says which: whole weeks, so that it compares with those before."""

_DAY = timedelta(days=1)
_MOST_APART = 92
"""Columns of a chart."""


def local(at: datetime, time_zone: str) -> datetime:
    """The instant as the clock at the site shows it; its date is the one that it counts under."""
    return at.astimezone(ZoneInfo(time_zone))


def age_band(age: timedelta) -> int:
    """The band of an age: a place in AGES, or the one after."""
    return bisect_left(AGES, age)


# What is counted


@dataclass(frozen=True, slots=True)
class Counted:
    """An infraction, as far as it is counted. `day`: the date at the site when it was observed."""

    site: str
    day: date
    zone: str
    lot: str | None
    codes: Sequence[str]
    patroller: str
    outcome: str

    def values(self) -> list[tuple[str, str]]:
        """What it counts under: (dimension, value), each once, always in the same order."""
        codes = sorted(set(self.codes)) or [""]
        return [
            ("all", ""),
            *(("code", code) for code in codes),
            ("lot", self.lot or ""),
            ("patroller", self.patroller),
            ("zone", self.zone),
        ]


@dataclass(frozen=True, slots=True)
class Standing:
    """What has become of an infraction, as far as it is counted.

    `reason`: why it is voided, one of those of DOMAIN 5 or OTHER.
    """

    state: str
    reason: str = OTHER

    @property
    def is_undecided(self) -> bool:
        """Whether it waits for a supervisor."""
        return self.state in UNDECIDED

    @property
    def voided_for(self) -> str | None:
        """Why it is voided; None: it is not."""
        return self.reason if self.state == "voided" else None


# What a figure tells


def _begins_week(day: date) -> bool:
    return day.weekday() == 0


def _begins_month(day: date) -> bool:
    return day.day == 1


@dataclass(frozen=True, slots=True)
class Period:
    """Days at a site, the first and the last included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        """Raises Invalid."""
        if self.last < self.first:
            told = N_("must not be before the first day")
            raise Invalid(errors=[Problem.Error("/query/to", told)])
        if len(self) > MOST_DAYS:
            told = N_("must be at most {days} days after the first")
            raise Invalid(errors=[Problem.Error("/query/to", told, days=MOST_DAYS)])

    @classmethod
    def until(cls, last: date, *, days: int = DAYS) -> Period:
        """So many days that end with this one."""
        return cls(last - (days - 1) * _DAY, last)

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def days(self) -> list[date]:
        """Each of its days, in order."""
        return [self.first + number * _DAY for number in range(len(self))]

    @property
    def spans(self) -> list[Period]:
        """It in parts that one can tell apart in a chart: days, weeks from Monday, or months."""
        if len(self) <= _MOST_APART:
            return [Period(day, day) for day in self.days]
        is_begin = _begins_week if len(self) <= _MOST_APART * 7 else _begins_month
        begins = [self.first, *(day for day in self.days[1:] if is_begin(day))]
        ends = [*(begin - _DAY for begin in begins[1:]), self.last]
        return list(map(Period, begins, ends))

    @property
    def before(self) -> Period:
        """As many days that end where this begins, to compare with."""
        return Period.until(self.first - _DAY, days=len(self))


@dataclass(frozen=True, slots=True)
class Tally:
    """Numbers of infractions: all that were recorded, by outcome, and what became of them."""

    notices: int = 0
    warnings: int = 0
    no_issues: int = 0
    undecided: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Why those that are voided are: of each reason that there is, how many."""

    @property
    def total(self) -> int:
        """All that were recorded."""
        return self.notices + self.warnings + self.no_issues

    @property
    def decided(self) -> int:
        """Those that wait for nobody."""
        return self.total - self.undecided

    @property
    def voided(self) -> int:
        """Those that are, for whatever reason."""
        return sum(self.reasons.values())

    @property
    def share_voided(self) -> float | None:
        """Of those that are decided, the part that is voided; None: none is decided.

        What waits tells nothing yet: with it the share of the last days would always look good.
        """
        return self.voided / self.decided if self.decided else None

    def __add__(self, other: Tally) -> Tally:
        return total((self, other))


NOTHING = Tally()


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them together."""
    notices = warnings = no_issues = undecided = 0
    reasons: Counter[str] = Counter()
    for one in tallies:
        notices += one.notices
        warnings += one.warnings
        no_issues += one.no_issues
        undecided += one.undecided
        for reason, count in one.reasons.items():
            reasons[reason] += count
    return Tally(notices, warnings, no_issues, undecided, reasons)


@dataclass(frozen=True, slots=True)
class DayTally:
    """The infractions that were observed on a day."""

    day: date
    tally: Tally


@dataclass(frozen=True, slots=True)
class Line:
    """The infractions of one zone, lot, code or patroller in a period, and in the one before.

    `value`: the code or id; empty: none was told. `name`: as the site has it, in both languages
    where it has them; None: the site does not have it, or no longer.
    """

    value: str
    name: str | Localized | None
    tally: Tally
    before: Tally


@dataclass(frozen=True, slots=True)
class DayChecks:
    """The checks of a day: of each verdict how many; an empty one: none was told."""

    day: date
    verdicts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.verdicts.values())


@dataclass(frozen=True, slots=True)
class DayCatchUps:
    """How often a handheld got what was new on a day, by the age of the oldest change of a permit
    in it: a number for each of AGES, and one for what was older.
    """

    day: date
    bands: tuple[int, ...]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.bands)


@dataclass(frozen=True, slots=True)
class Visited:
    """What patrols left of themselves in one zone or lot in a period.

    `last_at`: when the last was there, up to the end of the period, also before its beginning;
    None: nobody ever was, as far as is counted.
    """

    kind: Literal["zone", "lot"]
    code: str
    name: str | Localized
    zone: str | None
    checks: Mapping[str, int]
    """Of each of PARTS how many."""
    infractions: int
    days: int
    """On how many days of the period somebody was there."""
    last_at: datetime | None

    @property
    def is_visited(self) -> bool:
        """Whether anybody was there in the period."""
        return self.days > 0
