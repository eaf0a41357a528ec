"""What a restore must get right, without a record at hand. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_LARGEST = 10**12
"""Beyond this a number is a slip, or an attempt to use a series up; no series gets there."""

_NUMBER = re.compile(r"([0-9]{1,12})$")


def number_floor(at: datetime) -> int:
    """A number that no series can have reached before `at`: one for each second since 2026.

    A series begins at 1, or where a restore moved it, and patrols do not use a number a second, day
    and night, for months. So whatever was given out before `at`, by a record that is lost, is below
    it; and two restores of one old backup at different times begin apart.
    """
    return max(1, int((at - _BEGINNING).total_seconds()))


def issued_number(site: str, number: str) -> int | None:
    """The integer of a notice's number at a site; None for what no series gave."""
    found = _NUMBER.search(number)
    return int(found[1]) if found is not None and number.startswith(f"{site}-") else None


def moved_ahead(next: int, *, taken: Iterable[int], at: datetime, beyond: int = 0) -> int:
    """Where a restored series, whose numbers all lie `beyond` one, goes on, so that no number comes
    twice.

    The restored record does not know which numbers were given out after the backup was made, and
    a handheld that was given them prints them without asking. So the series goes on beyond where it
    was (`next`), beyond every number known to be taken (`taken`: of blocks and notices, in the
    backup and in the record that it replaces, as far as that can still be read), and, since that
    record may be lost, as far beyond where series begin as `number_floor(at)` says.
    """
    known = (number for number in taken if number < _LARGEST)
    return max(next, beyond + number_floor(at), *(number + 1 for number in known), beyond + 1)


def held(backup: Mapping[str, int], replaced: Mapping[str, int]) -> dict[str, int]:
    """Up to which sequence number a restored record holds a site's feed in each epoch there was.

    Each of the two says so for its own epoch and for those before it. Feeds that have an epoch in
    common are one feed up to the smaller of the two numbers, and so then is all that the replaced
    record holds up to there, of whatever epoch.
    """
    both = backup.keys() & replaced.keys()
    in_common = max((min(backup[epoch], replaced[epoch]) for epoch in both), default=0)
    found = {epoch: min(sequence, in_common) for epoch, sequence in replaced.items()}
    return found | {epoch: max(found.get(epoch, 0), backup[epoch]) for epoch in backup}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. `rows` by table; `missing`: photos that were not on the disk,
    or were not what their names promise; `heads`: of the audit log's chains; `sealed`: how many of
    its attached files need the key that is not in it.
    """

    format: int
    made_at: str
    revision: str
    epoch: str
    record_sha256: str
    rows: dict[str, int]
    photos: int
    missing: list[str]
    heads: dict[str, tuple[int, str]]
    attachments: int = 0
    missing_attachments: list[str] = field(default_factory=list)
    sealed: int = 0
