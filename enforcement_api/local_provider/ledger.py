"""What the local provider keeps: tickets, cards as tokens, orders, and events to be told.

An SQLite file of its own. Every change is one transaction, on the disk before it is answered. An
order's id is its key, so that it is carried out once however often, and however many at a time, it
is asked for.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from enforcement_api.local_provider.cards import Behaviour
from enforcement_api.problems import N_, Problem, storage
from sync import codec
from sync.files import make_folder

TICKET_HOURS = 24
_WAIT_SECONDS = 20

Outcome = Literal["charged", "declined", "refunded"]

_TABLES = """
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, secret TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS cards (
    token TEXT PRIMARY KEY, brand TEXT NOT NULL, last4 TEXT NOT NULL, expiry TEXT NOT NULL,
    behaviour TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS tickets (
    ticket TEXT PRIMARY KEY, language TEXT NOT NULL, return_url TEXT NOT NULL,
    opened_at INTEGER NOT NULL, completed_at INTEGER, card TEXT REFERENCES cards (token)
) STRICT;
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, card TEXT NOT NULL, of_order TEXT,
    amount_cents INTEGER NOT NULL, outcome TEXT NOT NULL, transaction_id TEXT NOT NULL,
    reason TEXT, at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS orders_card ON orders (card);
CREATE INDEX IF NOT EXISTS orders_of_order ON orders (of_order);
CREATE TABLE IF NOT EXISTS events (
    id TEXT PRIMARY KEY, body TEXT NOT NULL, next_try_at INTEGER, attempts INTEGER NOT NULL,
    told_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS events_due ON events (next_try_at) WHERE next_try_at IS NOT NULL;
"""


class UnknownTicket(Problem):
    """No such ticket."""

    status = 404
    slug = "unknown-ticket"
    title = N_("There is no such payment page")
    detail = N_("Open a new page: this address is wrong, or its page is too old.")


class TicketExpired(Problem):
    """Nobody has given a card in time."""

    status = 410
    slug = "ticket-expired"
    title = N_("This payment page is no longer open")
    detail = N_("Open a new page: this one was open for {hours} hours.")


class UnknownOrder(Problem):
    """Nobody asked for such an order."""

    status = 404
    slug = "unknown-order"
    title = N_("There is no such order")
    detail = N_("Nothing was charged under this id; it may be asked for.")


class OrderConflict(Problem):
    """The id belongs to another order."""

    status = 409
    slug = "order-conflict"
    title = N_("Another order has this id")
    detail = N_(
        "It was carried out as it was asked for first. Give the other one an id of its own."
    )


class NothingToRefund(Problem):
    """The order took no money, or gave it back."""

    status = 409
    slug = "nothing-to-refund"
    title = N_("There is nothing to give back")
    detail = N_("At most what the order took, and was not given back yet: {cents} cents.")


@dataclass(frozen=True, slots=True)
class Card:
    """All that is kept of a card."""

    token: str = field(repr=False)
    brand: str
    last4: str
    expiry: str
    behaviour: Behaviour


@dataclass(frozen=True, slots=True)
class Ticket:
    """A hosted page for one person. `card`: what they gave."""

    ticket: str
    language: str
    return_url: str
    opened_at: datetime
    completed_at: datetime | None
    card: Card | None

    def check_open(self, at: datetime) -> None:
        """Raises TicketExpired."""
        if self.card is None and at >= self.opened_at + timedelta(hours=TICKET_HOURS):
            raise TicketExpired(hours=TICKET_HOURS)


@dataclass(frozen=True, slots=True)
class Order:
    """What became of an order: a purchase, or the refund of one. `transaction`: our own name of
    it; `reason`: why it was declined.
    """

    id: str
    outcome: Outcome
    transaction: str
    reason: str | None
    amount_cents: int
    at: datetime

    def as_json(self) -> dict[str, Any]:
        """As the service reads it."""
        return {
            "order": self.id,
            "outcome": self.outcome,
            "transaction": self.transaction,
            "reason": self.reason,
            "amount_cents": self.amount_cents,
            "at": codec.instant(self.at),
        }


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the service is to be told."""

    id: str
    body: str
    attempts: int


class Ledger:
    """The file. Threads and processes share it."""

    def __init__(self, file: Path) -> None:
        """Raises StorageFailed."""
        self.file = file
        with storage(file):
            make_folder(file.parent)
            with self._open() as db:
                db.execute("PRAGMA journal_mode = WAL")
                db.executescript(_TABLES)

    def secret(self, name: str) -> str:
        """A secret that is made the first time it is asked for, and stays."""
        with self._write() as db:
            fresh = secrets.token_urlsafe(32)
            db.execute("INSERT INTO secrets VALUES (?, ?) ON CONFLICT DO NOTHING", (name, fresh))
            found = db.execute("SELECT secret FROM secrets WHERE name = ?", (name,))
            return str(found.fetchone()[0])

    # tickets

    def preload(self, *, language: str, return_url: str, at: datetime) -> Ticket:
        """A new ticket."""
        ticket = secrets.token_urlsafe(24)
        with self._write() as db:
            db.execute(
                "INSERT INTO tickets VALUES (?, ?, ?, ?, NULL, NULL)",
                (ticket, language, return_url, _seconds(at)),
            )
            return _ticket(db, ticket)

    def ticket(self, ticket: str) -> Ticket:
        """Raises UnknownTicket."""
        with self._read() as db:
            return _ticket(db, ticket)

    def complete(
        self, ticket: str, *, brand: str, last4: str, expiry: str, behaviour: Behaviour,
        at: datetime,
    ) -> Ticket:  # fmt: skip
        """Keep the card that somebody gave, once: of two that were sent, the first counts.

        Raises UnknownTicket, TicketExpired.
        """
        with self._write() as db:
            found = _ticket(db, ticket)
            found.check_open(at)
            if found.card is None:
                token = f"card_{secrets.token_urlsafe(24)}"
                db.execute(
                    "INSERT INTO cards VALUES (?, ?, ?, ?, ?)",
                    (token, brand, last4, expiry, behaviour),
                )
                db.execute(
                    "UPDATE tickets SET completed_at = ?, card = ? WHERE ticket = ?",
                    (_seconds(at), token, ticket),
                )
                _tell(db, "page.completed", {"ticket": ticket}, at)
            return _ticket(db, ticket)

    # orders

    def purchase(self, id: str, *, token: str, amount_cents: int, at: datetime) -> Order:
        """Charge a card, once. An order that is known is answered as it was the first time.

        Raises OrderConflict.
        """
        with self._write() as db:
            content = ("purchase", token, None, amount_cents)
            if (known := _known(db, id, content)) is not None:
                return known
            behaviour = db.execute("SELECT behaviour FROM cards WHERE token = ?", (token,))
            reason = _decline(db, token, behaviour.fetchone())
            _carry_out(db, id, content, "charged" if reason is None else "declined", reason, at)
            _tell(db, "order.decided", {"order": id}, at)
            return _order(db, id)

    def refund(self, id: str, *, of_order: str, amount_cents: int, at: datetime) -> Order:
        """Give back what an order took, or a part of it, once.

        Raises OrderConflict, UnknownOrder, NothingToRefund.
        """
        with self._write() as db:
            found = db.execute(
                "SELECT card, amount_cents, outcome FROM orders WHERE id = ?", (of_order,)
            ).fetchone()
            if found is None:
                raise UnknownOrder
            card, taken, outcome = found
            content = ("refund", card, of_order, amount_cents)
            if (known := _known(db, id, content)) is not None:
                return known
            given = db.execute(
                "SELECT coalesce(sum(amount_cents), 0) FROM orders WHERE of_order = ?", (of_order,)
            ).fetchone()[0]
            left = taken - given if outcome == "charged" else 0
            if amount_cents > left:
                raise NothingToRefund(cents=left)
            _carry_out(db, id, content, "refunded", None, at)
            return _order(db, id)

    def order(self, id: str) -> Order:
        """Raises UnknownOrder."""
        with self._read() as db:
            return _order(db, id)

    def orders(self) -> list[Order]:
        """All of them, the oldest first."""
        with self._read() as db:
            return [
                _order(db, row[0]) for row in db.execute("SELECT id FROM orders ORDER BY rowid")
            ]

    # events

    def due_events(self, *, at: datetime, limit: int = 20) -> list[Event]:
        """Those that are to be told by now."""
        with self._read() as db:
            found = db.execute(
                "SELECT id, body, attempts FROM events WHERE next_try_at <= ?"
                " ORDER BY next_try_at LIMIT ?",
                (_seconds(at), limit),
            )
            return [Event(*row) for row in found]

    def told(self, event: Event, *, at: datetime, next_try_at: datetime | None, ok: bool) -> None:
        """An event was told, or could not be; `next_try_at` None: not again."""
        with self._write() as db:
            db.execute(
                "UPDATE events SET attempts = attempts + 1, next_try_at = ?, told_at = ?"
                " WHERE id = ?",
                (
                    None if next_try_at is None else _seconds(next_try_at),
                    _seconds(at) if ok else None,
                    event.id,
                ),
            )

    def untold(self) -> int:
        """How many events are still to be told."""
        with self._read() as db:
            waiting = "SELECT count(*) FROM events WHERE next_try_at IS NOT NULL"
            return int(db.execute(waiting).fetchone()[0])

    # transactions

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self.file, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous = FULL")
            yield db
        finally:
            db.close()

    @contextlib.contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with storage(self.file), self._open() as db:
            yield db

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is committed at the end of the block, or not at all."""
        with storage(self.file), self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")


Content = tuple[str, str, str | None, int]
"""What an order asks for: kind, card, the order that it refunds, cents."""


def _known(db: sqlite3.Connection, id: str, content: Content) -> Order | None:
    """The order, if it was asked for before. Raises OrderConflict if it was another."""
    found = db.execute("SELECT kind, card, of_order, amount_cents FROM orders WHERE id = ?", (id,))
    row = found.fetchone()
    if row is None:
        return None
    if row != content:
        raise OrderConflict
    return _order(db, id)


def _decline(db: sqlite3.Connection, token: str, card: tuple[str] | None) -> str | None:
    """Why a card does not pay now; None: it pays."""
    if card is None:
        return "unknown_card"
    before = db.execute("SELECT count(*) FROM orders WHERE card = ?", (token,)).fetchone()[0]
    if card[0] == "declines" or (card[0] == "declines_once" and before == 0):
        return "card_declined"
    return None


def _carry_out(
    db: sqlite3.Connection,
    id: str,
    content: Content,
    outcome: Outcome,
    reason: str | None,
    at: datetime,
) -> None:
    transaction = f"txn_{secrets.token_hex(8)}"
    db.execute(
        "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (id, *content, outcome, transaction, reason, _seconds(at)),
    )


def _order(db: sqlite3.Connection, id: str) -> Order:
    found = db.execute(
        "SELECT id, outcome, transaction_id, reason, amount_cents, at FROM orders WHERE id = ?",
        (id,),
    ).fetchone()
    if found is None:
        raise UnknownOrder
    return Order(found[0], found[1], found[2], found[3], found[4], _instant(found[5]))


def _ticket(db: sqlite3.Connection, ticket: str) -> Ticket:
    found = db.execute(
        "SELECT ticket, language, return_url, opened_at, completed_at, token, brand, last4, expiry,"
        " behaviour FROM tickets LEFT JOIN cards ON token = card WHERE ticket = ?",
        (ticket,),
    ).fetchone()
    if found is None:
        raise UnknownTicket
    name, language, return_url, opened_at, completed_at, *of_card = found
    return Ticket(
        ticket=name,
        language=language,
        return_url=return_url,
        opened_at=_instant(opened_at),
        completed_at=None if completed_at is None else _instant(completed_at),
        card=None if of_card[0] is None else Card(*of_card),
    )


def _tell(db: sqlite3.Connection, kind: str, about: dict[str, str], at: datetime) -> None:
    id = secrets.token_hex(16)
    body = json.dumps({"id": id, "kind": kind, "at": codec.instant(at)} | about)
    db.execute("INSERT INTO events VALUES (?, ?, ?, 0, NULL)", (id, body, _seconds(at)))


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
