"""Reconciliation: a source's list of all its permits at a site (CONTRACT, "Plate updates").

What the list has is applied; what it lacks, and was recorded before the list was drawn up, is
cancelled. It may be long, so it is read twice from where it lies: first to find out what it lacks
and whether it may be taken, with nothing done; then a part at a time is applied, and at last what
it lacks is cancelled, each part in a transaction of its own, so that nobody waits for more than
one. A list that was cut short is sent again: what was applied of it is what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, BinaryIO

from sqlalchemy import Connection

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.engine import Record
from enforcement_api.feed import store as feed
from enforcement_api.permits import core, intake, store, updates
from enforcement_api.permits.core import FUTURE_CONFIRMATION
from enforcement_api.permits.intake import OnChange, Rejection, Taken
from enforcement_api.permits.updates import Item, Line
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.security import Principal
from sync import codec

AT_ONCE = 1_000
"""Lines that are in memory together, and that whoever records at the site meanwhile waits for."""
SHARE = 0.05
"""Of a source's live permits, what a list may let go without saying how many."""

MOST_REJECTED = 10_000
"""Rejected lines that are told one by one; of more, how many they are."""

LONGEST_LINE = 1024 * 1024
"""Bytes of a line; a longer one cannot be read, and takes no memory."""

Lines = Callable[[], Iterable[Line]]
"""The list from its beginning, each time it is called."""


class AnotherCount(Problem):
    """The list is not as long as its sender says: a part of it may be missing."""

    status = 422
    slug = "another-count"
    title = N_("The list is not complete")
    detail = N_(
        "`count` says {said} lines, but {found} came. Nothing was done: draw the list up again and"
        " send it whole."
    )


class ReconciliationTooLarge(Problem):
    """More permits would be cancelled than a list may let go by itself."""

    status = 409
    slug = "reconciliation-too-large"
    title = N_("Too many permits would be cancelled")
    detail = N_(
        "{cancelled} of the {live} live permits of {source} are not in the list. Nothing was done."
        " If that is right, send it again with `max_cancel={cancelled}`."
    )


class OtherSite(Problem):
    """A line of another site than the list's."""

    status = 422
    slug = "other-site"
    title = N_("The permit is of another site")
    detail = N_("This is the list of site {site}; the permit {id} names site {named}.")


@dataclass(slots=True)
class Reconciled(Taken):
    """What a list came to. `held_back`: what it lacks but a line that nobody could read may have
    been, so that it lives on. `more_rejected`: lines beyond those that `rejected` tells.
    """

    cancelled: int = 0
    held_back: int = 0
    more_rejected: int = 0

    def add(self, part: Taken) -> None:
        """Count what a part of the list came to."""
        self.applied += part.applied
        self.unchanged += part.unchanged
        self.stale += part.stale
        told = part.rejected[: max(0, MOST_REJECTED - len(self.rejected))]
        self.rejected += told
        self.more_rejected += len(part.rejected) - len(told)

    def as_json(self, epoch: str, language: str) -> dict[str, Any]:
        """The answer of CONTRACT, "Plate updates"."""
        counts = {
            "cancelled": self.cancelled,
            "held_back": self.held_back,
            "more_rejected": self.more_rejected,
        }
        return Taken.as_json(self, epoch, language) | counts


def reconcile(
    record: Record,
    site: str,
    lines: Lines,
    *,
    by: Principal,
    as_of: datetime,
    count: int | None,
    max_cancel: int,
    now: datetime,
    at_once: int,
    on_change: OnChange,
    on_rejected: Callable[[Rejection], None] = lambda rejection: None,
) -> Reconciled:
    """Make a source's permits at a site those of the list.

    `count`: how many lines it has, where its sender says so; `at_once`: how many go into one
    transaction. `on_rejected` is told of each rejected line as it comes, however many they are.

    Raises UnknownSite, Invalid, AnotherCount, ReconciliationTooLarge, and has done nothing then;
    StorageFailed, RecordUnavailable, RecordBusy: some of it may be done, and it is sent again.
    """
    now = now.replace(microsecond=0)  # as the record keeps it
    if as_of > now + FUTURE_CONFIRMATION:
        told = N_("is in the future: check the sender's clock")
        raise Invalid(errors=[Problem.Error("/query/as_of", told)])
    live = record.read(lambda tx: _live_permits(tx, site, by, now))
    lacking = _lacking(live, lines, count=count)
    missing = sorted(id for id in lacking.ids if live[id] < as_of)
    reconciled = Reconciled()
    if not lacking.is_certain:
        reconciled.held_back, missing = len(missing), []
    if len(missing) > max(SHARE * len(live), max_cancel):
        raise ReconciliationTooLarge(
            cancelled=len(missing),
            live=len(live),
            source=by.source,
            extra={"cancelled": len(missing), "live": len(live)},
        )
    for part in intake.take_lines(
        record,
        lines(),
        by=by,
        now=lambda: now,
        at_once=at_once,
        read=partial(_item, site),
        reconciling=True,
        on_change=on_change,
    ):
        reconciled.add(part)
        for rejection in part.rejected:
            on_rejected(rejection)
    for at in range(0, len(missing), at_once):
        ids = missing[at : at + at_once]
        found = {id: live[id] for id in ids}
        cancel = partial(_cancel, site=site, found=found, by=by, now=now)
        reconciled.cancelled += record.write(partial(cancel, on_change=on_change))
    record.write(partial(_end, site=site, reconciled=reconciled, by=by, as_of=as_of, now=now))
    return reconciled


def _live_permits(tx: Connection, site: str, by: Principal, now: datetime) -> dict[str, datetime]:
    feed.level(tx, site)  # that there is such a site
    return store.live_permits(tx, site, by.source, now)


@dataclass(frozen=True, slots=True)
class _Lacking:
    """What a list lacks. It is not certain when a line has no id that can be read."""

    ids: Set[str]
    is_certain: bool


def _lacking(live: Mapping[str, object], lines: Lines, *, count: int | None) -> _Lacking:
    """Which of a source's live permits the list lacks. Raises AnotherCount."""
    found, is_certain, ids = 0, True, set(live)
    for _, line in lines():
        found += 1
        id = updates.id_of(line)
        if id is None:
            is_certain = False
        else:
            ids.discard(id)
    if count is not None and found != count:
        raise AnotherCount(said=count, found=found)
    return _Lacking(ids, is_certain)


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file from its beginning."""
    file.seek(0)
    while line := file.readline(LONGEST_LINE):
        yield line
        while len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)  # the rest of one that cannot be read anyway


def _item(site: str, line: object) -> Item:
    id, item = updates.read_item(line)
    if not isinstance(item, Problem) and item.site != site:
        return id, OtherSite(site=site, id=id, named=item.site)
    return id, item


def _cancel(
    tx: Connection,
    *,
    site: str,
    found: Mapping[str, datetime],
    by: Principal,
    now: datetime,
    on_change: OnChange,
) -> int:
    """Cancel permits that the list lacks, but those that were recorded anew since they were found,
    however far ahead the clock of who drew up the list is; how many.
    """
    desk = intake.open_desk(tx, site, list(found))
    cancelled = 0
    for id, recorded_at in found.items():
        permit = desk.ledger.current(id)
        assert permit is not None
        if not permit.is_live(now) or permit.recorded_at != recorded_at:
            continue
        _, versions = core.apply(
            core.lacking(permit, now),
            current=permit,
            before=desk.ledger.before(id),
            site=desk.site,
            zones=desk.zones | set(permit.facts.zones),
            source=by.source,
            now=now,
            reconciling=True,
        )
        desk.put(core.marked_reconciled(versions, id))
        cancelled += 1
    desk.end(tx, now, on_change)
    feed.save(tx, desk.counter)
    return cancelled


def _end(
    tx: Connection,
    *,
    site: str,
    reconciled: Reconciled,
    by: Principal,
    as_of: datetime,
    now: datetime,
) -> None:
    """Remember that a list was taken, and tell how far the site has come with it."""
    counter = feed.lock(tx, site)
    feed.save(tx, counter, fed_at=now)
    reconciled.sequence[site] = counter.sequence
    facts = {
        "source": by.source,
        "as_of": codec.instant(as_of),
        "applied": reconciled.applied,
        "unchanged": reconciled.unchanged,
        "stale": reconciled.stale,
        "rejected": len(reconciled.rejected) + reconciled.more_rejected,
        "cancelled": reconciled.cancelled,
        "held_back": reconciled.held_back,
    }
    entry = Entry(now, by.actor, "reconciled", f"source:{by.source}", facts)
    audit.append(tx, entry, site=site)
