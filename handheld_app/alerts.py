"""What a patroller must not miss about the plate in front of them. Pure: it is given what is known.

An alert is shown until it is acknowledged, once a shift; the service hears of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sync.entities import HotlistEntry, Localized, NoNotice, Notice
from sync.plates import Plate

AlertKind = Literal["hotlist", "two_vehicles", "repeated", "no_notice", "stale"]
"""The gravest first; an alert of a plate comes before one of the place."""

_WITHDRAWN = ("voided", "cancelled")


@dataclass(frozen=True, slots=True)
class Seen:
    """A plate that was checked: where, when, and by which handheld (empty: this one)."""

    plate: Plate
    permit_number: str
    zone: str
    place: str
    at: datetime
    device: str


@dataclass(frozen=True, slots=True)
class Alert:
    """`id` is the same as long as there is nothing new to tell; `urgent`: in the way until it is
    acknowledged, the others only shown. The rest is what its kind tells of.
    """

    kind: AlertKind
    id: str
    urgent: bool
    entry: HotlistEntry | None = None
    notices: tuple[Notice, ...] = ()
    """The latest first."""
    today: bool = False
    seen: Seen | None = None
    reason: str | Localized | None = None
    until: datetime | None = None


def hotlisted(entries: Iterable[HotlistEntry], at: datetime) -> list[Alert]:
    """A supervisor wants this plate seen; high priority first."""
    living = [entry for entry in entries if entry.expires_at is None or at < entry.expires_at]
    living.sort(key=lambda entry: (entry.priority != "high", entry.id))
    return [
        Alert("hotlist", f"hotlist {entry.id}", entry.priority == "high", entry=entry)
        for entry in living
    ]


def repeated(
    notices: Iterable[Notice], *, at: datetime, within: timedelta, since_midnight: datetime
) -> list[Alert]:
    """The plate has notices or warnings of late that were not taken back; urgent if of today,
    for a second one on the same day is mostly a mistake.
    """
    late = [
        notice
        for notice in notices
        if notice.outcome != "no_issue"
        and notice.state not in _WITHDRAWN
        and at - within <= notice.observed_at <= at
    ]
    if not late:
        return []
    late.sort(key=lambda notice: (notice.observed_at, notice.id), reverse=True)
    today = late[0].observed_at >= since_midnight
    return [Alert("repeated", f"repeated {late[0].id}", today, notices=tuple(late), today=today)]


def two_vehicles(
    plate: Plate, numbers: Sequence[str], seen: Iterable[Seen], *, at: datetime, within: timedelta
) -> list[Alert]:
    """Another plate of one of these permit numbers was seen at the site a short while ago (P05)."""
    others = [
        one
        for one in seen
        if one.plate != plate and one.permit_number in numbers and at - within <= one.at <= at
    ]
    if not others:
        return []
    last = max(others, key=lambda one: one.at)
    pair = " ".join((*_words(plate), *_words(last.plate)))
    return [Alert("two_vehicles", f"two_vehicles {pair}", True, seen=last)]


def _words(plate: Plate) -> tuple[str, str]:
    return plate.jurisdiction, plate.text


def no_notice(windows: Iterable[NoNotice], zone: str, at: datetime) -> list[Alert]:
    """Nothing is to be issued in the zone now."""
    return [
        Alert(
            "no_notice",
            f"no_notice {window.begins.isoformat()} {zone}",
            False,
            reason=window.reason,
            until=window.ends,
        )
        for window in windows
        if window.covers(zone, at)
    ]
