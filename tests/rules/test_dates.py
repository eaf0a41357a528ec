"""DOMAIN 2.1 and 2.2: local dates, and 24 elapsed hours, across every kind of clock change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from enforcement_api.permits.core import day_begins
from tests.builders import DAY, a_site, confirmed, recorded

TORONTO = ZoneInfo("America/Toronto")
HAS_UNUSUAL_MIDNIGHTS = [
    "Africa/Cairo",
    "Africa/Monrovia",
    "America/Asuncion",
    "America/Goose_Bay",
    "America/Havana",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "America/Toronto",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Pacific/Apia",
    "Pacific/Enderbury",
    "Pacific/Kwajalein",
]


def local(text: str, zone: ZoneInfo = TORONTO) -> datetime:
    """`2026-03-07 14:00` on the wall, as an instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("approved", "active"),
    [
        ("2026-03-07 14:00", "2026-03-08 15:00"),  # the night has 23 hours
        ("2026-10-31 14:00", "2026-11-01 13:00"),  # the night has 25 hours
        ("2026-06-01 14:00", "2026-06-02 14:00"),
        ("2026-03-08 14:00", "2026-03-09 14:00"),
    ],
)
def test_permit_is_active_24_elapsed_hours_after_its_confirmation(
    approved: str, active: str
) -> None:
    permit = recorded(confirmed(local(approved)))
    assert permit.active_from == local(active)


def test_activation_takes_the_hours_that_the_site_sets() -> None:
    permit = recorded(confirmed(local("2026-06-01 14:00")), site=a_site(activation_hours=48))
    assert permit.active_from == local("2026-06-03 14:00")


def test_permit_without_confirmation_is_active_from_its_start() -> None:
    permit = recorded(confirmed(None, valid_from=date(2026, 6, 1)))
    assert permit.active_from == permit.starts_at == local("2026-06-01 00:00")


def test_dates_are_inclusive_and_local() -> None:
    permit = recorded(confirmed(None, valid_from=date(2026, 6, 1), valid_until=date(2026, 6, 30)))
    assert permit.starts_at == local("2026-06-01 00:00")
    assert permit.ends_at == local("2026-07-01 00:00")


def test_day_of_a_clock_change_has_23_or_25_hours() -> None:
    spring = recorded(confirmed(None, valid_from=date(2026, 3, 8), valid_until=date(2026, 3, 8)))
    assert spring.ends_at is not None
    assert spring.ends_at - spring.starts_at == timedelta(hours=23)
    autumn = recorded(confirmed(None, valid_from=date(2026, 11, 1), valid_until=date(2026, 11, 1)))
    assert autumn.ends_at is not None
    assert autumn.ends_at - autumn.starts_at == timedelta(hours=25)


def test_permit_without_end_date_has_no_end() -> None:
    assert recorded(confirmed(None)).ends_at is None


def test_given_end_cuts_the_last_day_short_and_never_prolongs_it() -> None:
    until = date(2026, 6, 30)
    early, late = local("2026-06-10 09:00"), local("2026-08-01 00:00")
    cut = recorded(confirmed(None, valid_until=until, ends_at=early))
    assert cut.ends_at == early
    kept = recorded(confirmed(None, valid_until=until, ends_at=late))
    assert kept.ends_at == local("2026-07-01 00:00")
    assert recorded(confirmed(None, ends_at=early)).ends_at == early


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        # midnight is skipped: the day begins when the clock reads 01:00
        ("America/Sao_Paulo", "2017-10-15", "2017-10-15T03:00:00Z"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"),
        ("America/Havana", "2026-03-08", "2026-03-08T05:00:00Z"),
        ("America/Asuncion", "2023-10-01", "2023-10-01T04:00:00Z"),
        ("Asia/Beirut", "2022-03-27", "2022-03-26T22:00:00Z"),
        ("Africa/Cairo", "2024-04-26", "2024-04-25T22:00:00Z"),
        # midnight comes twice: the day begins the first time
        ("America/Havana", "2026-11-01", "2026-11-01T04:00:00Z"),
        ("Atlantic/Azores", "2026-10-25", "2026-10-25T00:00:00Z"),
        ("America/St_Johns", "2006-10-29", "2006-10-29T02:30:00Z"),
        # the hour before midnight comes twice
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00:00Z"),
        ("America/Asuncion", "2024-03-24", "2024-03-24T04:00:00Z"),
        ("Africa/Cairo", "2024-11-01", "2024-10-31T22:00:00Z"),
        # the gap begins before midnight: 23:30 is followed by 00:30 (or 00:00 by 00:44:30)
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30:00Z"),
        ("Africa/Monrovia", "1972-01-07", "1972-01-07T00:44:30Z"),
        # the whole day is missing: it begins when the next one does
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"),
        ("Pacific/Kwajalein", "1993-08-21", "1993-08-21T12:00:00Z"),
        # the ends of the calendar that is taken
        ("America/Toronto", "1970-01-01", "1970-01-01T05:00:00Z"),
        ("America/Toronto", "9990-12-31", "9990-12-31T05:00:00Z"),
    ],
)
def test_day_begins_at_the_first_instant_of_that_date(zone: str, day: str, begins: str) -> None:
    assert day_begins(date.fromisoformat(day), zone) == datetime.fromisoformat(begins)


def first_instant(day: date, zone: ZoneInfo) -> datetime:
    """The same by looking at every minute, and then second, for a clock that shows the date."""
    at = datetime.combine(day, time(), UTC) - timedelta(hours=26)

    def shows(instant: datetime) -> bool:
        return instant.astimezone(zone).date() >= day

    while not shows(at):
        at += timedelta(minutes=1)
    at -= timedelta(minutes=1)
    while not shows(at):
        at += timedelta(seconds=1)
    return at


@pytest.mark.parametrize("name", HAS_UNUSUAL_MIDNIGHTS)
def test_day_begins_where_a_clock_first_shows_it(name: str) -> None:
    """Every date since 1970 whose midnight is not a plain one, and the dates around it."""
    zone = ZoneInfo(name)
    day, last = date(1970, 1, 2), date(2037, 12, 30)
    unusual = []
    while day <= last:
        wall = datetime.combine(day, time())
        first = wall.replace(tzinfo=zone)
        if first.utcoffset() != first.replace(fold=1).utcoffset():
            unusual.append(day)
        day += DAY
    for day in unusual[::9] + unusual[-1:]:
        for near in (day - DAY, day, day + DAY):
            assert day_begins(near, name) == first_instant(near, zone), near


def test_days_follow_one_another_without_gap_or_overlap() -> None:
    """Also where midnights are missing or double: no permit of one day overlaps the next's."""
    for name in HAS_UNUSUAL_MIDNIGHTS:
        before = day_begins(date(2005, 12, 31), name)
        for n in range(366 * 8):
            begins = day_begins(date(2006, 1, 1) + n * DAY, name)
            assert timedelta(0) <= begins - before <= timedelta(hours=49), (name, n)
            before = begins
