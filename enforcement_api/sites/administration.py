"""What is done to sites, their patrollers and their hotlist, whoever does it: each in one
transaction with what the feed hears of it and the entry in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.engine import Record
from enforcement_api.problems import Invalid, Problem
from enforcement_api.security import Principal, slow_hash
from enforcement_api.shapes import is_identifier
from enforcement_api.sites import core, store
from enforcement_api.sites.core import (
    PIN_RESET,
    Patroller,
    SitePlan,
    SiteThere,
    UnknownHotlistEntry,
    UnknownPatroller,
)
from enforcement_api.sites.pieces import Edit, Seen, SiteChanged, differences
from enforcement_api.sites.shapes import HotlistEntryShape, NamesShape, PatrollerShape, outline
from sync import codec
from sync.entities import HotlistEntry, Site
from sync.messages import Change


@dataclass(frozen=True, slots=True)
class Administration:
    """What is done to sites. Every method is a transaction of its own, in which `by` did it at
    `at`, and raises ForbiddenSite where the site is none of theirs.

    `publish` puts changes into a site's feed, which it locks until the transaction ends;
    `follow` brings the service's own index level with what was committed.
    `zones_named` and `has_permits` tell what the permits of a site hold on to; `reinstate` brings
    back to the feed what counts again under a longer retention.
    """

    record: Record
    open_feed: Callable[[Connection, str], None]
    publish: Callable[[Connection, str, Iterable[Change]], None]
    follow: Callable[[str], None]
    zones_named: Callable[[Connection, str], set[str]]
    has_permits: Callable[[Connection, str], bool]
    reinstate: Callable[[Connection, Site, datetime], None]

    # Sites

    def put_site(self, plan: SitePlan, *, by: Principal, at: datetime) -> tuple[SitePlan, bool]:
        """Write a site whole; as it is then, and whether it is new.

        Raises SiteHasPermits, ZoneInUse.
        """
        site = plan.site.id
        by.check_site(site)

        def write(tx: Connection) -> tuple[SitePlan, bool]:
            if store.add(tx, self.record, plan.site, at=at):
                self.open_feed(tx, site)
                before, new = None, plan
            else:
                before = self._locked(tx, site)
                new = self._allowed(tx, before, plan)
            self._write(tx, before, new, by, at)
            return new, before is None

        new, is_new = self.record.write(write)
        self.follow(site)
        return new, is_new

    def create_site(self, plan: SitePlan, *, by: Principal, at: datetime) -> SitePlan:
        """Write a site that is new. Raises SiteThere."""
        site = plan.site.id
        by.check_site(site)

        def write(tx: Connection) -> None:
            if not store.add(tx, self.record, plan.site, at=at):
                raise SiteThere(site=site)
            self.open_feed(tx, site)
            self._write(tx, None, plan, by, at)

        self.record.write(write)
        self.follow(site)
        return plan

    def change_site(
        self, site: str, edit: Edit, *, seen: Seen | None, by: Principal, at: datetime
    ) -> SitePlan:
        """Change a part of a site and leave the rest to others; the site as it is then. An edit
        that changes nothing leaves no trace.

        `seen`: the pieces that the edit was made from (None: it does not matter what they were).
        Raises UnknownSite, SiteChanged, SiteHasPermits, ZoneInUse, Invalid, and what the edit does.
        """
        by.check_site(site)

        def write(tx: Connection) -> SitePlan:
            before = self._locked(tx, site)
            if seen is not None:
                _check_seen(tx, seen, before)
            wanted = edit(before)
            errors = list(wanted.errors())
            if errors:
                raise Invalid(errors=errors)
            new = self._allowed(tx, before, wanted)
            if new == before:
                return before
            told = set(map(_text, before.changes(None)))
            changes = [change for change in new.changes(before) if _text(change) not in told]
            self._keep(tx, before, new, changes, at)
            facts = differences(before, new)
            _tell(tx, site, by, at, "changed", f"site:{site}", pieces=facts)
            return new

        new = self.record.write(write)
        self.follow(site)
        return new

    def _locked(self, tx: Connection, site: str) -> SitePlan:
        """The site as nobody else can change it, nor push permits to it. Raises UnknownSite."""
        self.publish(tx, site, ())
        return store.plan(tx, site)

    def _allowed(self, tx: Connection, before: SitePlan, wanted: SitePlan) -> SitePlan:
        site = before.site.id
        return wanted.after(
            before,
            zones_named=lambda: self.zones_named(tx, site),
            has_permits=lambda: self.has_permits(tx, site),
        )

    def _write(
        self, tx: Connection, before: SitePlan | None, new: SitePlan, by: Principal, at: datetime
    ) -> None:
        site = new.site.id
        self._keep(tx, before, new, new.changes(before), at)
        action = "created" if before is None else "replaced"
        _tell(tx, site, by, at, action, f"site:{site}", plan=outline(new))

    def _keep(
        self,
        tx: Connection,
        before: SitePlan | None,
        new: SitePlan,
        changes: Iterable[Change],
        at: datetime,
    ) -> None:
        store.replace_plan(tx, new)
        self.publish(tx, new.site.id, changes)
        if before is not None and new.site.retention_days > before.site.retention_days:
            self.reinstate(tx, new.site, at)

    # Patrollers

    def put_patroller(
        self, site: str, id: str, wanted: PatrollerShape, *, by: Principal, at: datetime
    ) -> tuple[Patroller, bool]:
        """Write a patroller with badge and PIN; and whether they are new.

        Raises UnknownSite, BadgeTaken.
        """
        by.check_site(site)
        self.record.read(lambda tx: store.site(tx, site))
        patroller = Patroller(id, wanted.badge, wanted.name, slow_hash(wanted.pin))

        def write(tx: Connection) -> bool:
            is_new = store.put_patroller(tx, site, patroller)
            facts = {"badge": patroller.badge, "name": patroller.name}
            action = "created" if is_new else "replaced"
            _tell(tx, site, by, at, action, f"patroller:{id}", **facts)
            return is_new

        return patroller, self.record.write(write)

    def rename_patroller(
        self, site: str, id: str, wanted: NamesShape, *, by: Principal, at: datetime
    ) -> Patroller:
        """Another badge or name; the PIN stays.

        Raises UnknownSite, UnknownPatroller, BadgeTaken.
        """
        by.check_site(site)

        def write(tx: Connection) -> Patroller:
            known = store.patroller(tx, site, id)
            new = replace(known, badge=wanted.badge, name=wanted.name)
            if new != known:
                store.put_patroller(tx, site, new)
                facts = {"badge": new.badge, "name": new.name}
                _tell(tx, site, by, at, "renamed", f"patroller:{id}", **facts)
            return new

        return self.record.write(write)

    def reset_pin(
        self, site: str, id: str, pin: str | None = None, *, by: Principal, at: datetime
    ) -> str:
        """Give a patroller another PIN, a random one if none is given; the PIN, to be told once.

        A device with network takes the old one no more from its next sign-in on, and forgets the
        verifier that it made of it. Without network it lets them in by the old one until its
        verifier expires: `sign_ins.verifiers` tells which may. Raises UnknownSite,
        UnknownPatroller, Invalid.
        """
        by.check_site(site)
        if pin is not None:
            try:
                core.check_pin(pin)
            except ValueError as error:
                raise Invalid(errors=[Problem.Error("/pin", str(error))]) from error
        pin = pin or core.new_pin()
        self.record.read(lambda tx: store.site(tx, site))
        hash = slow_hash(pin)

        def write(tx: Connection) -> None:
            store.set_pin(tx, site, id, hash)
            _tell(tx, site, by, at, PIN_RESET, f"patroller:{id}")

        self.record.write(write)
        return pin

    def delete_patroller(self, site: str, id: str, *, by: Principal, at: datetime) -> None:
        """The patroller can no longer sign in; what they recorded stays.

        Raises UnknownSite, UnknownPatroller.
        """
        by.check_site(site)
        if not is_identifier(id):
            raise UnknownPatroller(id=id)

        def write(tx: Connection) -> None:
            store.delete_patroller(tx, site, id)
            _tell(tx, site, by, at, "deleted", f"patroller:{id}")

        self.record.write(write)

    # Hotlist

    def put_hotlist_entry(
        self, site: str, id: str, wanted: HotlistEntryShape, *, by: Principal, at: datetime
    ) -> tuple[HotlistEntry, bool]:
        """Write an entry, which every handheld of the site hears of; and whether it is new.

        Raises UnknownSite, Invalid for a plate that is none.
        """
        by.check_site(site)

        def write(tx: Connection) -> tuple[HotlistEntry, bool]:
            entry = wanted.entity(id, store.site(tx, site))
            change = codec.change_of(entry)
            self.publish(tx, site, [change])
            is_new = store.put_hotlist_entry(tx, site, entry)
            action = "created" if is_new else "replaced"
            _tell(tx, site, by, at, action, f"hotlist:{id}", entry=change.record)
            return entry, is_new

        written = self.record.write(write)
        self.follow(site)
        return written

    def delete_hotlist_entry(self, site: str, id: str, *, by: Principal, at: datetime) -> None:
        """Every handheld of the site forgets it. Raises UnknownSite, UnknownHotlistEntry."""
        by.check_site(site)
        if not is_identifier(id):
            raise UnknownHotlistEntry(id=id)

        def write(tx: Connection) -> None:
            store.site(tx, site)
            self.publish(tx, site, [Change("hotlist", id, None)])
            store.delete_hotlist_entry(tx, site, id)
            _tell(tx, site, by, at, "deleted", f"hotlist:{id}")

        self.record.write(write)
        self.follow(site)


def _check_seen(tx: Connection, seen: Seen, plan: SitePlan) -> None:
    """Raises SiteChanged, which tells who changed the site last, and when, too."""
    try:
        seen.check(plan)
    except SiteChanged as changed:
        site = plan.site.id
        last = audit.entries(tx, f"site:{site}", site=site)[-1:]
        for entry in last:
            changed.extra |= {"by": entry.by, "at": codec.instant(entry.at)}
        raise


def _text(change: Change) -> str:
    return codec.canonical({"kind": change.kind, "id": change.id, "record": change.record})


def _tell(
    tx: Connection,
    site: str,
    by: Principal,
    at: datetime,
    action: str,
    subject: str,
    **facts: Any,
) -> None:
    audit.append(tx, Entry(at, by.actor, action, subject, facts), site=site)
