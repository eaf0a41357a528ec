"""What is known of a person: given to them, erased, and let go when it has served (Law 25).

What stays of somebody who was erased is what accounts and evidence need and tells of nobody:
contract numbers, products, dates and amounts. Permits, in which a plate is, have a retention of
their own; the append-only log never had a name in it.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, func, or_, select, update
from sqlalchemy.sql import ColumnElement

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import attachments as files
from enforcement_api.database.tables import (
    confirmations,
    contracts,
    courtesy_permits,
    events,
    holders,
    letters,
    lookups,
    messages,
    meta,
    patrol_messages,
    payments,
    requests,
    subscription_events,
    subscriptions,
    vehicles,
)
from enforcement_api.problems import N_, Problem
from enforcement_api.settings import Settings
from enforcement_api.subscriptions import attachments, contract, store
from enforcement_api.subscriptions.attachments import Attachment
from enforcement_api.subscriptions.core import Holder
from enforcement_api.subscriptions.store import Action
from sync import codec

AT_ONCE = 200
"""Rows that one transaction lets go."""
UNTAKEN = timedelta(days=1)
"""How long a file waits for what it belongs to."""
NO_COURTESY = {"plate": "", "plate_raw": "", "reason": "", "content_hash": ""}
"""What is left of a courtesy permit that is forgotten."""
PURGED_AT = "purged_at"
"""The name in `meta` of when the last purge was."""


class StillSubscribed(Problem):
    """Somebody whose subscription is not over."""

    status = 409
    slug = "still-subscribed"
    title = N_("This person has a subscription that is not over")
    detail = N_("Cancel or refuse {numbers} first: without a holder nobody could be told.")


# One person


def everything(tx: Connection, holder: Holder) -> dict[str, Any]:
    """All that the record knows of a person, for them to read; but for what lets the provider
    charge their card.
    """
    site, its = holder.site, store.of_holder(tx, holder.site, holder.id)
    ids = [subscription.id for subscription in its]
    subjects = _subjects(tx, holder, ids)

    def rows(table: Table, where: ColumnElement[bool]) -> list[dict[str, Any]]:
        told = (column for column in table.columns if column is not subscriptions.c.payment_token)
        found = tx.execute(select(*told).where(table.c.site == site, where))
        return [{name: _plain(value) for name, value in row._mapping.items()} for row in found]

    return {
        "holder": rows(holders, holders.c.id == holder.id)[0],
        "subscriptions": rows(subscriptions, subscriptions.c.id.in_(ids)),
        "vehicles": rows(vehicles, vehicles.c.subscription.in_(ids)),
        "courtesy_permits": rows(courtesy_permits, courtesy_permits.c.subscription.in_(ids)),
        "requests": rows(requests, requests.c.subscription.in_(ids)),
        "messages": rows(messages, messages.c.subscription.in_(ids)),
        "contracts": rows(contracts, contracts.c.subscription.in_(ids)),
        "payments": rows(payments, payments.c.subscription.in_(ids)),
        "letters": rows(letters, letters.c.holder == holder.id),
        "files": rows(files, files.c.subject.in_(subjects)),
        "history": rows(subscription_events, subscription_events.c.subject.in_(subjects)),
    }


def files_of(tx: Connection, holder: Holder) -> list[Attachment]:
    """The files that a person handed in, and that are there."""
    ids = [subscription.id for subscription in store.of_holder(tx, holder.site, holder.id)]
    return attachments.of_subjects(tx, holder.site, _subjects(tx, holder, ids))


def archive(
    known: dict[str, Any], files: Sequence[Attachment], read: Callable[[Attachment], bytes]
) -> bytes:
    """A zip file with all that is known of a person, as somebody can read it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as zipped:
        text = json.dumps(known, ensure_ascii=False, indent=2)
        zipped.writestr("everything.json", text)
        for file in files:
            zipped.writestr(f"files/{file.id}-{file.name}", read(file))
        for row in known["contracts"]:
            name = f"contracts/{row['facts']['number']}-{row['position']}.pdf"
            zipped.writestr(name, contract.pdf(row["facts"]))
    return made.getvalue()


def sweep(record: Record, settings: Settings, *, at: datetime) -> int:
    """Delete the files that nothing took within a day, and those that were let go; how many of the
    former.
    """
    return len(attachments.sweep(record, settings, before=at - UNTAKEN, at=at))


def _subjects(tx: Connection, holder: Holder, ids: Sequence[str]) -> list[str]:
    """What files and history of a person hang on."""
    named = [f"holder:{holder.id}", *(f"subscription:{id}" for id in ids)]
    for table, kind in ((requests, "request"), (messages, "message")):
        here = and_(table.c.site == holder.site, table.c.subscription.in_(ids))
        named += [f"{kind}:{id}" for id in tx.execute(select(table.c.id).where(here)).scalars()]
    return named


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return codec.instant(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def erase(tx: Connection, id: str, *, action: Action) -> Holder:
    """Erase a person; one who was erased stays so. Their files are marked as removed, for
    `attachments.sweep` to delete. Raises UnknownHolder, StillSubscribed.
    """
    holder = store.holder(tx, id, lock=True)
    if holder.erased_at is not None:
        return holder
    its = store.of_holder(tx, holder.site, id, lock=True)
    alive = [
        subscription.number
        for subscription in its
        if subscription.status(action.at) in ("requested", "waiting", "active", "suspended")
    ]
    ids = [subscription.id for subscription in its]
    c = courtesy_permits.c
    is_good = and_(c.ended_at.is_(None), c.expires_at > action.at)
    lent = select(c.number).where(c.site == holder.site, c.subscription.in_(ids), is_good)
    alive += tx.execute(lent.order_by(c.number)).scalars()
    if alive:
        raise StillSubscribed(numbers=", ".join(alive))
    _withdraw_waiting(tx, holder.site, ids, action)
    _erase(tx, holder, ids, by=action.by, at=action.at)
    store.remember(tx, holder.site, f"holder:{id}", "erased", action)
    return store.holder(tx, id)


def _withdraw_waiting(tx: Connection, site: str, ids: Sequence[str], action: Action) -> None:
    """Nobody decides any more what these subscriptions' holder asked for."""
    r = requests.c
    here = and_(r.site == site, r.subscription.in_(ids), r.state == "submitted")
    withdrawn = (
        update(requests)
        .where(here)
        .values(
            state="withdrawn",
            version=r.version + 1,
            decided_at=action.at,
            decided_by=action.by,
        )
        .returning(r.id, r.kind)
    )
    for row in tx.execute(withdrawn).all():
        store.remember(tx, site, f"request:{row.id}", "withdrawn", action, kind=row.kind)


def _erase(tx: Connection, holder: Holder, ids: list[str], *, by: str, at: datetime) -> None:
    site = holder.site
    subjects = _subjects(tx, holder, ids)

    def empty(table: Table, where: ColumnElement[bool], **values: Any) -> None:
        tx.execute(update(table).where(table.c.site == site, where).values(**values))

    def drop(table: Table, where: ColumnElement[bool]) -> None:
        tx.execute(delete(table).where(table.c.site == site, where))

    its = attachments.of_subjects(tx, site, subjects)
    attachments.remove(tx, its, by=by, at=at)
    empty(
        requests,
        requests.c.subscription.in_(ids),
        answers={},
        message=None,
        reason=None,
        attachments=[],
        content_hash="",
    )
    empty(
        subscription_events,
        subscription_events.c.subject.in_(subjects),
        reason=None,
        content_hash=None,
    )
    empty(
        courtesy_permits,
        courtesy_permits.c.subscription.in_(ids),
        **NO_COURTESY,
    )
    empty(
        subscriptions,
        subscriptions.c.id.in_(ids),
        payment_token=None,
        card_brand=None,
        card_last4=None,
        card_expiry=None,
        cheque=None,
    )
    empty(
        vehicles,
        vehicles.c.subscription.in_(ids),
        plate="",
        plate_raw="",
        make=None,
        model=None,
        year=None,
        colour=None,
    )
    drop(messages, messages.c.subscription.in_(ids))
    drop(contracts, contracts.c.subscription.in_(ids))
    drop(letters, letters.c.holder == holder.id)
    drop(confirmations, confirmations.c.holder == holder.id)
    personal = {
        column.name: "" if not column.nullable else None
        for column in holders.c
        if column.name not in ("site", "id", "version", "language", "created_at", "erased_at")
    }
    empty(holders, holders.c.id == holder.id, **personal, version=holder.version + 1, erased_at=at)


# All of them, when it has served


@dataclass(frozen=True, slots=True)
class Purged:
    """How much a purge let go of, or would."""

    holders: int = 0
    proofs: int = 0
    message_files: int = 0
    letters: int = 0
    links: int = 0
    lookups: int = 0
    patrol_messages: int = 0
    untaken: int = 0
    courtesies: int = 0

    def as_json(self) -> dict[str, int]:
        """For a script."""
        return asdict(self)


def purge(record: Record, settings: Settings, *, at: datetime, does: bool = True) -> Purged:
    """Let go of what has served its time; how much. `does`: or only count it.

    A person whose last subscription has been over for `holder_days`, and the plate of a courtesy
    permit that has; proofs decided `proof_days` ago; files of messages of `message_file_days`;
    letters of `letter_kept_days`; links that are too old; look-ups of plates that were valid, of
    `lookup_days`; messages to patrols that expired `patrol_message_days` ago; files that nothing
    took within a day. A part at a time, each in a transaction of its own, so that nobody waits for
    more than one. Raises StorageFailed, RecordBusy, RecordUnavailable: what was done stays done.
    """
    by = Action(by="service", at=at)
    people = record.read(lambda tx: _over_since(tx, at - timedelta(days=settings.holder_days)))
    if does:
        for id in people:
            with contextlib.suppress(StillSubscribed):  # since a moment ago: not this time
                record.write(partial(erase, id=id, action=by))
    a, r = files.c, requests.c
    decided = select("request:" + r.id).where(
        r.site == a.site, r.decided_at <= at - timedelta(days=settings.proof_days)
    )
    old_messages = at - timedelta(days=settings.message_file_days)
    proofs = and_(a.removed_at.is_(None), a.purpose == "proof", a.subject.in_(decided))
    message_files = and_(
        a.removed_at.is_(None),
        a.purpose == "message",
        a.subject.is_not(None),
        a.received_at <= old_messages,
    )
    e, c, k = letters.c, confirmations.c, courtesy_permits.c
    before = at - timedelta(days=settings.letter_kept_days)
    old_letters = and_(e.state != "queued", e.queued_at <= before)
    looked_up = at - timedelta(days=settings.lookup_days)
    let_go = _Purging(record, at, does)
    untaken = and_(a.subject.is_(None), a.removed_at.is_(None), a.received_at < at - UNTAKEN)
    done = Purged(
        holders=len(people),
        proofs=let_go.removed(proofs),
        message_files=let_go.removed(message_files),
        letters=let_go.deleted(letters, old_letters),
        links=let_go.deleted(confirmations, c.expires_at <= at),
        lookups=let_go.deleted(events, _valid_checks(looked_up))
        + let_go.deleted(lookups, _valid_lookups(looked_up)),
        patrol_messages=let_go.deleted(
            patrol_messages,
            patrol_messages.c.expires_at <= at - timedelta(days=settings.patrol_message_days),
        ),
        untaken=let_go.counted(files, untaken),
        courtesies=let_go.emptied(
            courtesy_permits,
            and_(k.plate != "", k.expires_at <= at - timedelta(days=settings.holder_days)),
            **NO_COURTESY,
        ),
    )
    if does:
        sweep(record, settings, at=at)
        record.write(lambda tx: _note(record, tx, done, at))
    return done


def is_due(tx: Connection, before: datetime) -> bool:
    """Whether the last purge was before an instant, or never."""
    last = tx.execute(select(meta.c.value).where(meta.c.name == PURGED_AT)).scalar()
    return last is None or codec.parse_instant(last) < before


def _note(record: Record, tx: Connection, done: Purged, at: datetime) -> None:
    value = {"value": codec.instant(at)}
    new = record.insert(meta).values(name=PURGED_AT, **value)
    tx.execute(new.on_conflict_do_update(index_elements=[meta.c.name], set_=value))
    if any(done.as_json().values()):
        audit.append(tx, Entry(at, "service", "purged", "record", done.as_json()))


def _valid_lookups(before: datetime) -> ColumnElement[bool]:
    """The staff's; one without a verdict tells as little against the plate."""
    c = lookups.c
    return and_(c.at <= before, or_(c.verdict.is_(None), c.verdict == "valid"))


def _valid_checks(before: datetime) -> ColumnElement[bool]:
    """The patrollers'."""
    c = events.c
    said = c.facts["verdict"].as_string()
    return and_(c.kind == "check", c.at <= before, said == "valid")


@dataclass(frozen=True, slots=True)
class _Purging:
    record: Record
    at: datetime
    does: bool

    def removed(self, where: ColumnElement[bool]) -> int:
        """Mark files as removed; how many."""

        def some(tx: Connection) -> int:
            rows = tx.execute(select(files).where(where).limit(AT_ONCE))
            gone = [attachments.Attachment(**row._mapping) for row in rows]
            attachments.remove(tx, gone, by="service", at=self.at)
            return len(gone)

        return self._all(files, where, some)

    def deleted(self, table: Table, where: ColumnElement[bool]) -> int:
        """Delete rows; how many. They are looked for once, while others may write: among very many
        look-ups it takes a while.
        """
        if not self.does:
            return self.counted(table, where)
        key = list(table.primary_key.columns)[-1]
        ids = self.record.read(lambda tx: tx.execute(select(key).where(where)).scalars().all())

        def some(first: int, tx: Connection) -> int:
            among = key.in_(ids[first : first + AT_ONCE])
            return tx.execute(delete(table).where(where, among)).rowcount

        firsts = range(0, len(ids), AT_ONCE)
        return sum(self.record.write(partial(some, first)) for first in firsts)

    def emptied(self, table: Table, where: ColumnElement[bool], **values: Any) -> int:
        """Overwrite what is personal in rows, which `where` finds no more then; how many."""
        key = list(table.primary_key.columns)[-1]

        def some(tx: Connection) -> int:
            ids = select(key).where(where).limit(AT_ONCE)
            return tx.execute(update(table).where(where, key.in_(ids)).values(**values)).rowcount

        return self._all(table, where, some)

    def counted(self, table: Table, where: ColumnElement[bool]) -> int:
        """How many rows there are."""
        count = select(func.count()).select_from(table).where(where)
        return int(self.record.read(lambda tx: tx.execute(count).scalar_one()))

    def _all(
        self, table: Table, where: ColumnElement[bool], some: Callable[[Connection], int]
    ) -> int:
        if not self.does:
            return self.counted(table, where)
        total = 0
        while done := self.record.write(some):
            total += done
        return total


def _over_since(tx: Connection, before: datetime) -> list[str]:
    """The people whose every subscription has been over since an instant, or who never had one."""
    h, s = holders.c, subscriptions.c
    is_over = or_(
        and_(s.decision.in_(("refused", "withdrawn")), s.decided_at <= before),
        and_(s.decision == "approved", s.ends_at.is_not(None), s.ends_at <= before),
    )
    alive = select(s.id).where(s.site == h.site, s.holder == h.id, ~is_over)
    query = (
        select(h.id)
        .where(h.erased_at.is_(None), h.created_at <= before, ~alive.exists())
        .order_by(h.id)
    )
    return list(tx.execute(query).scalars())
