"""Plate updates into the record: one transaction a request, whoever sends them.

Used by the HTTP route, by `patrouille import`, and by the subscription core.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, ClassVar

from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.feed import store as feed
from enforcement_api.permits import core, store
from enforcement_api.permits.updates import Item, Line, PlateUpdateIn, read_item
from enforcement_api.problems import N_, Problem
from enforcement_api.security import ForbiddenSite, Principal
from enforcement_api.sites import store as sites
from enforcement_api.sites.core import UnknownSite
from sync import codec
from sync.entities import Site
from sync.plates import Plate

AT_ONCE = 20_000
"""Lines of a file that are in memory together, and that whoever records meanwhile waits for. Half
as many write half as much again to the disk; twice as many take 90 MB more."""

OnChange = Callable[[Connection, str, set[Plate], datetime], None]
"""Told, in the same transaction, of the plates whose permits changed at a site."""


class Rejected(Problem):
    """An atomic request with a rejection: nothing of it was kept."""

    status: ClassVar[int] = 422
    slug = "rejected"
    title = N_("Nothing was kept, because a part of it was rejected")
    detail = N_("Correct what `rejected` names, or send it without `atomic=true`.")

    def __init__(self, rejections: Sequence[Rejection]) -> None:
        self.rejections = rejections
        super().__init__()

    def as_json(self, language: str) -> dict[str, Any]:
        """The problem, with the same list that a partial answer has."""
        return super().as_json(language) | {"rejected": rejected_json(self.rejections, language)}


class RetentionOutOfTime(Problem):
    """A run as of an instant that has not come, or that no calendar of ours has."""

    status: ClassVar[int] = 422
    slug = "retention-out-of-time"
    title = N_("The retention job cannot be run as of {at}")
    detail = N_(
        "Name an instant from 1970 on that has passed: handhelds refuse to judge what lies before"
        " a run, so that one in the future would leave them without a verdict until it comes."
        " For a trial, add --future."
    )


@dataclass(frozen=True, slots=True)
class Rejection:
    """One item that was not taken, and why; `index` is its number in what it came in."""

    index: int
    id: str | None
    problem: Problem


@dataclass(slots=True)
class Taken:
    """What became of a request's items."""

    applied: int = 0
    unchanged: int = 0
    stale: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    sequence: dict[str, int] = field(default_factory=dict)

    def as_json(self, epoch: str, language: str) -> dict[str, Any]:
        """The answer of CONTRACT, "Plate updates"."""
        return {
            "applied": self.applied,
            "unchanged": self.unchanged,
            "stale": self.stale,
            "rejected": rejected_json(self.rejected, language),
            "epoch": epoch,
            "sequence": self.sequence,
        }


def rejected_json(rejections: Iterable[Rejection], language: str) -> list[dict[str, Any]]:
    """Rejections as they travel."""
    return [
        {"index": r.index, "id": r.id, "problem": r.problem.as_json(language)} for r in rejections
    ]


@dataclass(slots=True)
class Desk:
    """What one transaction needs of a site whose permits it changes."""

    site: Site
    zones: set[str]
    counter: feed.Counter
    ledger: store.Ledger
    plates: set[Plate] = field(default_factory=set)

    def put(self, versions: Iterable[core.StoredPermit]) -> None:
        """Record versions, each of which supersedes the one before."""
        for version in versions:
            before = self.ledger.put(version)
            if before is not None:
                self.plates.add(before.facts.plate)
            self.plates.add(version.facts.plate)

    def end(self, tx: Connection, now: datetime, on_change: OnChange) -> None:
        """Write what was put, and tell of the plates concerned."""
        self.ledger.save()
        if self.plates:
            on_change(tx, self.site.id, self.plates, now)


_bulks = 0
_counting = threading.Lock()


@contextlib.contextmanager
def in_bulk() -> Iterator[None]:
    """Python's collector of cycles rests for as long as a request's items are in memory.

    There are no cycles in them; walking over them again and again as they grow in number takes
    a quarter of the time of 10,000 updates. What came meanwhile is looked at once, at the end.
    """
    global _bulks
    with _counting:
        _bulks += 1
        gc.disable()
    try:
        yield
    finally:
        with _counting:
            _bulks -= 1
            if not _bulks:
                gc.enable()
        gc.collect(0)


def take(
    record: Record,
    items: Sequence[Item],
    *,
    by: Principal,
    now: datetime,
    atomic: bool = False,
    reconciling: bool = False,
    on_change: OnChange,
) -> Taken:
    """Apply plate updates in the order given, in one transaction; the rejected ones aside.

    `reconciling`: they are of a source's list of all its permits (see core.apply).
    Raises Rejected when `atomic` and any is rejected; StorageFailed, RecordUnavailable.
    """

    def work(tx: Connection) -> Taken:
        return apply(
            tx,
            items,
            by=by,
            now=now,
            atomic=atomic,
            reconciling=reconciling,
            on_change=on_change,
        )

    return record.write(work)


def take_lines(
    record: Record,
    lines: Iterable[Line],
    *,
    by: Principal,
    now: Callable[[], datetime],
    at_once: int,
    read: Callable[[object], Item] = read_item,
    reconciling: bool = False,
    on_change: OnChange,
) -> Iterator[Taken]:
    """Apply the lines of something long, `at_once` in a transaction and in memory; what came of
    each part, with the numbers of its rejected lines.

    Raises as `take`, and whatever the lines raise; the parts before stay.
    """
    rest = iter(lines)

    def some() -> Taken | None:
        numbers: list[int] = []
        items: list[Item] = []
        for number, line in islice(rest, at_once):
            numbers.append(number)
            items.append(read(line))
        if not items:
            return None
        taken = take(record, items, by=by, now=now(), reconciling=reconciling, on_change=on_change)
        taken.rejected = [replace(one, index=numbers[one.index]) for one in taken.rejected]
        return taken

    while True:
        with in_bulk():
            taken = some()
        if taken is None:
            return
        yield taken


def apply(
    tx: Connection,
    items: Sequence[Item],
    *,
    by: Principal,
    now: datetime,
    atomic: bool = False,
    reconciling: bool = False,
    is_contact: bool = True,
    on_change: OnChange,
) -> Taken:
    """As `take`, within a transaction of the caller's.

    `is_contact`: the system that feeds the site was heard of with it.
    """
    now = now.replace(microsecond=0)  # as the record keeps it
    taken = Taken()
    effects: dict[core.Effect, int] = {"applied": 0, "unchanged": 0, "stale": 0}
    wanted: dict[str, list[str]] = {}
    for _, item in items:
        if not isinstance(item, Problem) and by.may_touch(item.site):
            wanted.setdefault(item.site, []).append(item.id)
    desks = {site: _desk(tx, site, wanted[site]) for site in sorted(wanted)}
    for index, (id, item) in enumerate(items):
        try:
            if isinstance(item, Problem):
                raise item
            by.check_site(item.site)
            desk = desks[item.site]
            if desk is None:
                raise UnknownSite(site=item.site)
            effect = _apply_one(desk, item, by, now, reconciling=reconciling)
        except Problem as problem:
            taken.rejected.append(Rejection(index, id, problem))
            continue
        effects[effect] += 1
    taken.applied = effects["applied"]
    taken.unchanged = effects["unchanged"]
    taken.stale = effects["stale"]
    if atomic and taken.rejected:
        raise Rejected(taken.rejected)
    for site, desk in desks.items():
        if desk is None:
            continue
        desk.end(tx, now, on_change)
        feed.save(tx, desk.counter, fed_at=now if is_contact else None)
        taken.sequence[site] = desk.counter.sequence
    return taken


def open_desk(tx: Connection, site: str, ids: Sequence[str]) -> Desk:
    """Lock a site's feed, to change permits of these ids. Raises UnknownSite."""
    counter = feed.lock(tx, site)
    return Desk(
        site=sites.site(tx, site),
        zones=set(sites.zone_codes(tx, site)),
        counter=counter,
        ledger=store.Ledger(tx, counter, ids),
    )


def _desk(tx: Connection, site: str, ids: Sequence[str]) -> Desk | None:
    try:
        return open_desk(tx, site, ids)
    except UnknownSite:
        return None


def _apply_one(
    desk: Desk, item: PlateUpdateIn, by: Principal, now: datetime, *, reconciling: bool
) -> core.Effect:
    """Apply one update; what it came to. Raises the problems of core.apply, Invalid."""
    update = item.update(desk.site.jurisdiction)
    effect, versions = core.apply(
        update,
        current=desk.ledger.current(update.id),
        before=desk.ledger.before(update.id),
        site=desk.site,
        zones=desk.zones,
        source=by.source,
        now=now,
        reconciling=reconciling,
    )
    desk.put(versions)
    return effect


def heartbeat(record: Record, *, by: Principal, now: datetime) -> dict[str, int]:
    """An empty list: the feeder lives. The sequence of each of its sites."""

    def work(tx: Connection) -> dict[str, int]:
        levels = [level for level in feed.levels(tx) if by.may_touch(level.site)]
        for level in levels:
            feed.fed(tx, level.site, now)
        return {level.site: level.sequence for level in levels}

    return record.write(work)


def prune(record: Record, site: str, *, at: datetime, now: datetime) -> int:
    """The retention job: remove from the feed what no longer counts at `at`; how many.

    Changes no verdict for `at` or later (DOMAIN 2.6); replicas refuse to judge earlier instants.
    A run at an earlier instant than the last one does nothing.
    """

    def work(tx: Connection) -> int:
        counter = feed.lock(tx, site)
        here = sites.site(tx, site)
        if here.pruned_at is not None and at <= here.pruned_at:
            return 0
        ids = store.ended_before(tx, site, at, here.retention)
        ledger = store.Ledger(tx, counter, ids)
        for id in ids:
            permit = ledger.current(id)
            assert permit is not None
            ledger.put(replace(permit, removed=True, recorded_at=now))
        ledger.save()
        feed.append(tx, counter, [codec.change_of(sites.set_pruned_at(tx, site, at))])
        feed.save(tx, counter)
        return len(ids)

    return record.write(work)


RestsOn = Callable[[Connection, str, set[Plate]], set[Plate]]
"""Those of the plates of which something else needs to know all that was ever known."""


def forget(record: Record, site: str, *, before: datetime, rests_on: RestsOn) -> int:
    """Delete the versions of permits that nobody needs since an instant; how many.

    Versions of a plate that an infraction rests on stay. Cursors from before what was deleted
    expire, and what was known then cannot be asked for any more.
    """

    def work(tx: Connection) -> int:
        feed.lock(tx, site)
        old = store.old_versions(tx, site, before)
        kept = rests_on(tx, site, {version.plate for version in old})
        gone = [version for version in old if version.plate not in kept]
        if gone:
            store.delete_versions(tx, site, [version.sequence for version in gone])
            feed.forget_before(tx, site, max(version.needless_from for version in gone))
        return len(gone)

    return record.write(work)


def reinstate(tx: Connection, site: Site, now: datetime) -> None:
    """Bring back to the feed what counts again since the site's retention was made longer.

    Otherwise the index would call unknown what the record calls expired.
    """
    if site.pruned_at is None:
        return
    counter = feed.lock(tx, site.id)
    ids = store.removed_but_counting(tx, site.id, site.pruned_at, site.retention)
    ledger = store.Ledger(tx, counter, ids)
    for id in ids:
        permit = ledger.current(id)
        assert permit is not None
        ledger.put(replace(permit, removed=False, recorded_at=now))
    ledger.save()
    feed.save(tx, counter)


def check_allowed(items: Sequence[Item], by: Principal) -> None:
    """Raises ForbiddenSite when every readable update is for a site that is not the key's."""
    sites_named = {item.site for _, item in items if not isinstance(item, Problem)}
    if sites_named and not any(by.may_touch(site) for site in sites_named):
        raise ForbiddenSite(site=min(sites_named))
