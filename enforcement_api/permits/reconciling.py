"""Reconciliation: a source's list of all its permits at a site (CONTRACT, "Plate updates").

What the list has is applied; what it lacks, and was recorded before the list was drawn up, is
cancelled. It may be long: it is read from a file, a part at a time, in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO

from sqlalchemy import Connection

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.engine import Record
from enforcement_api.feed import store as feed
from enforcement_api.permits import core, intake, store, updates
from enforcement_api.permits.core import FUTURE_CONFIRMATION
from enforcement_api.permits.intake import Desk, OnChange, Rejection, Taken
from enforcement_api.permits.updates import Item
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.security import Principal
from sync import codec

AT_ONCE = 10_000
"""Lines that are in memory together."""
SHARE = 0.05
"""Of a source's live permits, what a list may let go without saying how many."""

LONGEST_LINE = 1024 * 1024
"""Bytes of a line; a longer one cannot be read, and takes no memory."""

Lines = Callable[[], Iterable[bytes]]
"""The list from its beginning, each time it is called: a transaction may have to be repeated."""


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
    been, so that it lives on.
    """

    cancelled: int = 0
    held_back: int = 0

    def as_json(self, epoch: str, language: str) -> dict[str, Any]:
        """The answer of CONTRACT, "Plate updates"."""
        counts = {"cancelled": self.cancelled, "held_back": self.held_back}
        return Taken.as_json(self, epoch, language) | counts


def reconcile(
    record: Record,
    site: str,
    lines: Lines,
    *,
    by: Principal,
    as_of: datetime,
    count: int,
    max_cancel: int,
    now: datetime,
    on_change: OnChange,
) -> Reconciled:
    """Make a source's permits at a site those of the list.

    Raises UnknownSite, Invalid, AnotherCount, ReconciliationTooLarge, StorageFailed, and has done
    nothing then.
    """
    now = now.replace(microsecond=0)  # as the record keeps it
    if as_of > now + FUTURE_CONFIRMATION:
        told = N_("is in the future: check the sender's clock")
        raise Invalid(errors=[Problem.Error("/query/as_of", told)])
    found = sum(1 for line in lines() if line.strip())
    if found != count:
        raise AnotherCount(said=count, found=found)

    def work(tx: Connection) -> Reconciled:
        desk = intake.open_desk(tx, site)
        live = store.live_permits(tx, site, by.source, now)
        all_live = len(live)
        reconciled, all_readable = _apply_all(
            tx, desk, updates.read_lines(lines()), live, by, now, on_change
        )
        missing = [id for id, at in live.items() if at < as_of]
        if not all_readable:
            reconciled.held_back, missing = len(missing), []
        if len(missing) > max(SHARE * all_live, max_cancel):
            raise ReconciliationTooLarge(
                cancelled=len(missing),
                live=all_live,
                source=by.source,
                extra={"cancelled": len(missing), "live": all_live},
            )
        for some in _parts(sorted(missing)):
            _cancel(tx, desk, some, by, now, on_change)
        reconciled.cancelled = len(missing)
        feed.save(tx, desk.counter, fed_at=now)
        reconciled.sequence[site] = desk.counter.sequence
        _remember(tx, site, reconciled, by=by, as_of=as_of, now=now)
        return reconciled

    return record.write(work)


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file from its beginning."""
    file.seek(0)
    while line := file.readline(LONGEST_LINE):
        yield line
        while len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)  # the rest of one that cannot be read anyway


def _parts(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while part := list(islice(rest, AT_ONCE)):
        yield part


def _apply_all(
    tx: Connection,
    desk: Desk,
    lines: Iterable[object],
    missing: dict[str, datetime],
    by: Principal,
    now: datetime,
    on_change: OnChange,
) -> tuple[Reconciled, bool]:
    """Apply the list; what came of it, and whether each line has an id. The ids that it names are
    taken out of those that are missing.
    """
    reconciled = Reconciled()
    all_readable = True
    index = 0
    for part in _parts(lines):
        items = [_item(line, desk.site.id) for line in part]
        ids = [id for id, _ in items if id is not None]
        for listed in ids:
            missing.pop(listed, None)
        all_readable = all_readable and len(ids) == len(items)
        desk.begin(tx, ids)
        for id, item in items:
            try:
                if isinstance(item, Problem):
                    raise item
                effect = intake.apply_one(desk, item, by, now, reconciling=True)
            except Problem as problem:
                reconciled.rejected.append(Rejection(index, id, problem))
            else:
                setattr(reconciled, effect, getattr(reconciled, effect) + 1)
            index += 1
        desk.end(tx, now, on_change)
    return reconciled, all_readable


def _item(line: object, site: str) -> Item:
    if isinstance(line, Problem):
        return None, line
    id, item = updates.read_item(line)
    if not isinstance(item, Problem) and item.site != site:
        return id, OtherSite(site=site, id=id, named=item.site)
    return id, item


def _cancel(
    tx: Connection, desk: Desk, ids: list[str], by: Principal, now: datetime, on_change: OnChange
) -> None:
    desk.begin(tx, ids)
    for id in ids:
        permit = desk.ledger.current(id)
        assert permit is not None
        lacking = core.lacking(permit, now)
        _, versions = core.apply(
            lacking,
            current=permit,
            before=desk.ledger.before(id),
            site=desk.site,
            zones=desk.zones | set(permit.facts.zones),
            source=by.source,
            now=now,
            reconciling=True,
        )
        desk.put(core.marked_reconciled(versions, id))
    desk.end(tx, now, on_change)


def _remember(
    tx: Connection,
    site: str,
    reconciled: Reconciled,
    *,
    by: Principal,
    as_of: datetime,
    now: datetime,
) -> None:
    facts = {
        "source": by.source,
        "as_of": codec.instant(as_of),
        "applied": reconciled.applied,
        "unchanged": reconciled.unchanged,
        "stale": reconciled.stale,
        "rejected": len(reconciled.rejected),
        "cancelled": reconciled.cancelled,
        "held_back": reconciled.held_back,
    }
    entry = Entry(now, f"key:{by.id}", "reconciled", f"source:{by.source}", facts)
    audit.append(tx, entry, site=site)
