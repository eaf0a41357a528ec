"""What a patroller recorded and the service has not yet acknowledged (DESIGN, "Outbox").

A file of its own, `synchronous=FULL`: nothing that rebuilds the index can touch it, and what
`put` has returned from survives a power cut. Photos lie beside it, named by their SHA-256. What was
sent stays for KEPT, to be sent again to a record that was restored and lacks it. The numbers of
notices are kept here too, so that one is taken in the transaction that records its notice.

A `service` is the address of the service that something was recorded for and goes to, and to no
other; empty for what was recorded before outboxes knew of it: it goes to any.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import shutil
import sqlite3
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from sqlite_utils import Database, Migrations

from sync import codec
from sync.files import (
    SQLITE_ERRORS,
    UNREADABLE,
    make_folder,
    sqlite_code,
    sweep_parts,
    write_durably,
    writing_durably,
)

RESERVE = 16 * 1024 * 1024
"""Bytes that photos leave free, so that an infraction can always be recorded."""

KEPT = timedelta(days=30)
"""For how long after its acknowledgement something can be sent again (CONTRACT, "Restoring")."""
ABANDONED = timedelta(days=2)
"""A photo that no infraction took is deleted when it is older, and of an earlier program."""
LOW_NUMBERS = 15
"""With fewer numbers left than this another block is asked for and people are warned: about half
a day of notices on the busiest lots [choice]."""

ItemKind = Literal["infraction", "photo", "event"]

migrations = Migrations("outbox")


@migrations()
def one_row_an_item(db: Database) -> None:
    """`state` is waiting, sent or set_aside; `body` is the JSON to send, null for a photo."""
    db.execute(
        """
        CREATE TABLE item (
            number INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            id TEXT NOT NULL,
            body TEXT,
            put_at TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'waiting',
            attempts INTEGER NOT NULL DEFAULT 0,
            problem TEXT,
            answer TEXT,
            answered_at TEXT,
            UNIQUE (kind, id)
        ) STRICT
        """
    )
    db.execute("CREATE INDEX item_waiting ON item (number) WHERE state = 'waiting'")


@migrations()
def what_is_not_sent_is_counted_without_the_rest(db: Database) -> None:
    """What was sent stays for the log, and grows."""
    db.execute("CREATE INDEX item_unsent ON item (state) WHERE state != 'sent'")


@migrations()
def an_item_is_of_a_service(db: Database) -> None:
    """A photo may be of several infractions, of several services. `round` grows whenever the
    service's record is another one than before: what it acknowledged until then, it may lack.
    """
    db.execute("ALTER TABLE item RENAME TO item_before")
    db.execute(
        """
        CREATE TABLE item (
            number INTEGER PRIMARY KEY,
            service TEXT NOT NULL,
            kind TEXT NOT NULL,
            id TEXT NOT NULL,
            body TEXT,
            put_at TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'waiting',
            attempts INTEGER NOT NULL DEFAULT 0,
            problem TEXT,
            answer TEXT,
            answered_at TEXT,
            round INTEGER NOT NULL DEFAULT 0,
            UNIQUE (kind, id, service)
        ) STRICT
        """
    )
    db.execute(
        "INSERT INTO item SELECT number, '', kind, id, body, put_at, state, attempts, problem,"
        " answer, answered_at, 0 FROM item_before"
    )
    db.execute("DROP TABLE item_before")
    db.execute("CREATE INDEX item_waiting ON item (number) WHERE state = 'waiting'")
    db.execute("CREATE INDEX item_unsent ON item (state) WHERE state != 'sent'")
    db.execute(
        """
        CREATE TABLE photo_of (
            infraction TEXT NOT NULL,
            photo TEXT NOT NULL,
            PRIMARY KEY (infraction, photo)
        ) STRICT, WITHOUT ROWID
        """
    )
    db.execute("CREATE INDEX photo_of_photo ON photo_of (photo)")
    db.execute(
        "INSERT OR IGNORE INTO photo_of SELECT item.id, json_extract(photo.value, '$.sha256')"
        " FROM item, json_each(item.body, '$.photos') AS photo"
        " WHERE item.kind = 'infraction' AND json_extract(photo.value, '$.sha256') IS NOT NULL"
    )
    db.execute("CREATE TABLE record (service TEXT PRIMARY KEY, epoch TEXT NOT NULL) STRICT")


@migrations()
def numbers_come_in_blocks(db: Database) -> None:
    """A block without numbers was asked for. `next` is the first number that was not taken."""
    db.execute(
        """
        CREATE TABLE number_block (
            id TEXT PRIMARY KEY,
            service TEXT NOT NULL,
            site TEXT NOT NULL,
            prefix TEXT,
            first INTEGER,
            last INTEGER,
            next INTEGER
        ) STRICT
        """
    )
    db.execute(
        """
        CREATE TABLE number (
            service TEXT NOT NULL,
            site TEXT NOT NULL,
            number TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('issued', 'spoiled')),
            infraction TEXT NOT NULL UNIQUE,
            at TEXT NOT NULL,
            PRIMARY KEY (service, site, number)
        ) STRICT
        """
    )


@migrations()
def what_waits_is_found_among_what_is_not_sent(db: Database) -> None:
    """One index less for each commit to write to."""
    db.execute("DROP INDEX item_waiting")


@migrations()
def what_was_voided_here_is_remembered(db: Database) -> None:
    """By the patroller who recorded it; the service hears of it by an event."""
    db.execute(
        "CREATE TABLE voided (infraction TEXT PRIMARY KEY, reason TEXT NOT NULL, at TEXT NOT NULL)"
        " STRICT, WITHOUT ROWID"
    )


@migrations()
def what_is_not_sent_is_counted_by_its_kind(db: Database) -> None:
    """Each check leaves an event; what a patroller waits for is counted without reading those."""
    db.execute("DROP INDEX item_unsent")
    db.execute("CREATE INDEX item_unsent ON item (state, kind) WHERE state != 'sent'")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to send, sent, or refused by the service and set aside with its reason."""

    number: int
    kind: ItemKind
    id: str
    body: Mapping[str, Any] | None
    put_at: datetime
    state: Literal["waiting", "sent", "set_aside"]
    attempts: int
    problem: str | None
    answer: Mapping[str, Any] | None
    answered_at: datetime | None
    service: str = ""
    round: int = 0


_COLUMNS = (
    "number, kind, id, body, put_at, state, attempts, problem, answer, answered_at, service, round"
)


def _item(row: tuple[Any, ...]) -> Item:
    number, kind, id, body, put_at, state, attempts, problem, answer, answered_at, *rest = row
    return Item(
        number=number,
        kind=kind,
        id=id,
        body=None if body is None else json.loads(body),
        put_at=codec.parse_instant(put_at),
        state=state,
        attempts=attempts,
        problem=problem,
        answer=None if answer is None else json.loads(answer),
        answered_at=codec.parse_optional_instant(answered_at),
        service=rest[0],
        round=rest[1],
    )


_OF_SERVICE = "(service = '' OR service = ?)"
_UNSENT = "state != 'sent'"
"""Word for word as the index has it: otherwise all that was ever sent is looked through."""
_WAITING = f"{_UNSENT} AND state = 'waiting'"
_SET_ASIDE = f"{_UNSENT} AND state = 'set_aside'"
_SENDABLE = f"""
    {_WAITING} AND {_OF_SERVICE} AND (
        kind != 'photo'
        OR NOT EXISTS (SELECT * FROM photo_of WHERE photo = item.id)
        OR EXISTS (
            SELECT * FROM photo_of JOIN item AS taken
            ON taken.kind = 'infraction' AND taken.id = photo_of.infraction
            AND taken.state = 'sent' AND taken.service = item.service
            WHERE photo_of.photo = item.id
        )
    )
    ORDER BY kind = 'photo', number
"""
_FORGETTABLE = """
    SELECT number FROM item WHERE state = 'sent' AND answered_at < :before AND (
        kind = 'event'
        OR kind = 'infraction' AND NOT EXISTS (
            SELECT * FROM photo_of JOIN item AS photo
            ON photo.kind = 'photo' AND photo.id = photo_of.photo
            AND photo.service = item.service
            WHERE photo_of.infraction = item.id
            AND (photo.state != 'sent' OR photo.answered_at >= :before)
        )
    )
"""
_OF_NO_INFRACTION = """
    NOT EXISTS (
        SELECT * FROM photo_of JOIN item AS needing
        ON needing.kind = 'infraction' AND needing.id = photo_of.infraction
        WHERE photo_of.photo = item.id AND needing.service = item.service
    )
"""


class NoRoom(OSError):
    """Too little storage is left for a photo; there is enough for an infraction."""

    def __init__(self, free: int) -> None:
        super().__init__(errno.ENOSPC, f"only {free} bytes are free")


class AlreadyPut(Exception):
    """The id was put before, with other content: an infraction is immutable."""


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


_FILE = "outbox.db"


def _damaged(number: int | str) -> str:
    return f"outbox.damaged-{number}.db"


class Outbox:
    """The outbox in its folder. Threads share it; one writes at a time, and who reads does not
    wait for the disk that a writer waits for.

    A file that cannot be read is put aside, never overwritten, and a new one begun.
    """

    def __init__(self, folder: Path, *, free: Callable[[Path], int] = _free) -> None:
        """`free` tells how many bytes may still be written in a folder."""
        self._free = free
        self.photos = folder / "photos"
        make_folder(self.photos)
        sweep_parts(self.photos)
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._keeping = threading.Lock()
        self._in_hand: set[str] = set()
        # Of (service, epoch). No answer is under way for longer than the program runs.
        self._left: set[tuple[str, str]] = set()
        self._folder = folder
        try:
            self._connection = self._open()
        except SQLITE_ERRORS as error:
            if sqlite_code(error) not in UNREADABLE:
                raise
            self._put_damaged_file_aside()
            self._connection = self._open()
        self._reader = self._connect()
        self._reader.execute("PRAGMA query_only = ON")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._folder / _FILE, isolation_level=None, timeout=30, check_same_thread=False
        )

    def _open(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            migrations.apply(Database(connection, execute_plugins=False))
        except BaseException:
            connection.close()
            raise
        return connection

    def _put_damaged_file_aside(self) -> None:
        number = next(n for n in itertools.count(1) if not (self._folder / _damaged(n)).exists())
        for end in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                (self._folder / (_FILE + end)).rename(self._folder / (_damaged(number) + end))

    def damaged_files(self) -> list[Path]:
        """Outboxes that could not be read and were put aside here, whole, for someone to rescue."""
        return sorted(self._folder.glob(_damaged("*")))

    def close(self) -> None:
        """Close the file. What was put stays."""
        with self._lock, self._reading:
            self._reader.close()
            self._connection.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def keep_photo(self, picture: bytes) -> str:
        """Keep a photo's bytes unaltered, durably; its SHA-256 in hexadecimal. Raises NoRoom."""
        sha256 = hashlib.sha256(picture).hexdigest()
        path = self.photos / sha256
        with self._keeping:
            if not path.exists():
                free = self._free(self.photos)
                if free - len(picture) < RESERVE:
                    raise NoRoom(free)
                write_durably(path, picture)
            self._in_hand.add(sha256)
        return sha256

    def photo(self, sha256: str) -> Path:
        """Where a kept photo lies."""
        return self.photos / sha256

    def put_infraction(
        self,
        id: str,
        body: Mapping[str, Any],
        photos: Sequence[str],
        *,
        at: datetime,
        service: str = "",
        number_of_site: str | None = None,
    ) -> str | None:
        """Keep an infraction and then its photos for sending. Durable when this returns.

        `photos` are the SHA-256 that keep_photo gave. With `number_of_site` the infraction takes
        the site's next number, in its body's `number`; what it got is returned, None when none is
        left. The same infraction again changes nothing and has the same number; another one of the
        same id raises AlreadyPut.
        """
        with self._writing() as connection:
            number: str | None
            found = connection.execute(
                "SELECT item.body, number.number FROM item LEFT JOIN number"
                " ON number.infraction = item.id WHERE kind = 'infraction' AND id = ?",
                (id,),
            ).fetchone()
            if found is not None:
                before, number = found
                if before != _text(body, number):
                    raise AlreadyPut(id)
                return number
            number = None
            if number_of_site is not None:
                number = self._take_number(service, number_of_site, id, at)
            self._insert("infraction", id, _text(body, number), service, at)
            for sha256 in photos:
                self._insert("photo", sha256, None, service, at)
                # It was kept again just now, whatever became of it before.
                connection.execute(
                    "UPDATE item SET state = 'waiting' WHERE kind = 'photo' AND id = ?"
                    " AND service = ? AND state = 'set_aside'",
                    (sha256, service),
                )
                connection.execute(
                    "INSERT INTO photo_of VALUES (?, ?) ON CONFLICT DO NOTHING", (id, sha256)
                )
        self._in_hand.difference_update(photos)
        return number

    def put_event(
        self, id: str, body: Mapping[str, Any], *, at: datetime, service: str = ""
    ) -> None:
        """Keep an event for sending. Durable when this returns. The same again changes nothing;
        another one of the same id raises AlreadyPut.
        """
        with self._writing():
            self._put_event(id, body, service, at)

    def _put_event(self, id: str, body: Mapping[str, Any], service: str, at: datetime) -> None:
        self._insert("event", id, _text(body, None), service, at)
        found = self._connection.execute(
            "SELECT body FROM item WHERE kind = 'event' AND id = ? AND service = ?", (id, service)
        )
        if found.fetchone()[0] != _text(body, None):
            raise AlreadyPut(id)

    def _insert(
        self, kind: ItemKind, id: str, body: str | None, service: str, at: datetime
    ) -> None:
        self._connection.execute(
            "INSERT INTO item (service, kind, id, body, put_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (service, kind, id, body, codec.instant(at)),
        )

    # Numbers of notices

    def block_wanted(self, service: str, site: str, *, new_id: str) -> str | None:
        """The id of a block of numbers to ask the service for; None while enough are left.

        It is the same id until that block came, over restarts too, so that no block of the
        service's gets lost; `new_id` is taken when none was asked for.
        """
        if self.numbers_left(service, site) >= LOW_NUMBERS:
            return None
        with self._writing() as connection:
            asked = connection.execute(
                "SELECT id FROM number_block WHERE service = ? AND site = ? AND first IS NULL",
                (service, site),
            ).fetchone()
            if asked is not None:
                return str(asked[0])
            connection.execute(
                "INSERT INTO number_block (id, service, site) VALUES (?, ?, ?)",
                (new_id, service, site),
            )
            return new_id

    def put_block(
        self, service: str, site: str, id: str, prefix: str, first: int, last: int
    ) -> None:
        """Keep a block of numbers, `first` to `last`. The same one again changes nothing, however
        much of it was used; another one of the same id raises AlreadyPut.
        """
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO number_block VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
                " SET prefix = excluded.prefix, first = excluded.first, last = excluded.last,"
                " next = excluded.next WHERE first IS NULL",
                (id, service, site, prefix, first, last, first),
            )
            found = connection.execute(
                "SELECT service, site, prefix, first, last FROM number_block WHERE id = ?", (id,)
            )
            if found.fetchone() != (service, site, prefix, first, last):
                raise AlreadyPut(id)

    def forget_blocks(self) -> None:
        """Take no number any more of the blocks that are here: they are of another device."""
        with self._writing() as connection:
            connection.execute("DELETE FROM number_block")

    def next_number(self, service: str, site: str) -> str | None:
        """The number that the site's next notice will get; None when none is left."""
        with self._reading:
            found = _next_number(self._reader, service, site)
        return None if found is None else found[0]

    def numbers_left(self, service: str, site: str) -> int:
        """How many numbers this device still has for the site."""
        with self._reading:
            found = self._reader.execute(
                "SELECT coalesce(sum(last - next + 1), 0) FROM number_block"
                " WHERE service = ? AND site = ?",
                (service, site),
            )
            return int(found.fetchone()[0])

    def _take_number(self, service: str, site: str, infraction: str, at: datetime) -> str | None:
        found = _next_number(self._connection, service, site)
        if found is None:
            return None
        number, block, value = found
        self._connection.execute(
            "UPDATE number_block SET next = ? WHERE id = ?", (value + 1, block)
        )
        self._connection.execute(
            "INSERT INTO number VALUES (?, ?, ?, 'issued', ?, ?)",
            (service, site, number, infraction, codec.instant(at)),
        )
        return number

    def spoil(self, infraction: str, reason: str, *, at: datetime, event_id: str) -> None:
        """The infraction's number is of no use, as when its paper tore: keep that, and the event
        `number_spoiled` that tells the service, in one. Once spoiled, it changes nothing more.
        LookupError if the infraction took no number here.
        """
        with self._writing() as connection:
            found = connection.execute(
                "SELECT service, site, number, state FROM number WHERE infraction = ?",
                (infraction,),
            ).fetchone()
            if found is None:
                raise LookupError(f"the infraction {infraction} took no number on this device")
            service, site, number, state = found
            if state == "spoiled":
                return
            connection.execute(
                "UPDATE number SET state = 'spoiled' WHERE infraction = ?", (infraction,)
            )
            body = {
                "kind": "number_spoiled",
                "site": site,
                "at": codec.instant(at),
                "number": number,
                "infraction": infraction,
                "reason": reason,
            }
            self._put_event(event_id, body, service, at)

    def spoiled(self) -> set[str]:
        """The infractions whose numbers are spoiled."""
        with self._reading:
            rows = self._reader.execute("SELECT infraction FROM number WHERE state = 'spoiled'")
            return {str(infraction) for (infraction,) in rows}

    def void(
        self,
        infraction: str,
        reason: str,
        facts: Mapping[str, Any],
        *,
        at: datetime,
        event_id: str,
    ) -> None:
        """Its patroller takes an infraction back: keep that, and the event `infraction_voided` that
        tells the service, in one. Its number stays taken. Once voided, it changes nothing more.
        LookupError if it was not recorded here.
        """
        with self._writing() as connection:
            found = connection.execute(
                "SELECT service FROM item WHERE kind = 'infraction' AND id = ?", (infraction,)
            ).fetchone()
            if found is None:
                raise LookupError(f"the infraction {infraction} was not recorded on this device")
            added = connection.execute(
                "INSERT INTO voided VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (infraction, reason, codec.instant(at)),
            )
            if added.rowcount:
                told = {"infraction": infraction, "reason": reason, **facts}
                body = {"kind": "infraction_voided", "at": codec.instant(at), **told}
                self._put_event(event_id, body, found[0], at)

    def voided(self) -> dict[str, str]:
        """The infractions that were taken back here, and why."""
        with self._reading:
            return dict(self._reader.execute("SELECT infraction, reason FROM voided").fetchall())

    # What waits and what became of it

    def waiting(self) -> list[Item]:
        """What is still to be sent, to whatever service, the oldest first."""
        return self._items(f"{_WAITING} ORDER BY number")

    def sendable(self, service: str) -> list[Item]:
        """What may be sent to a service now: infractions and events, the oldest first, then the
        photos of those infractions that the service has. Photos of one that waits, or is set
        aside, stay with it.
        """
        with self._reading:
            rows = self._reader.execute(
                f"SELECT {_COLUMNS} FROM item WHERE {_SENDABLE}", (service,)
            ).fetchall()
        return [_item(row) for row in rows]

    def owner_of(self, photo: Item) -> Item | None:
        """An infraction that the photo is of and that its service has: the receipt of that one,
        sent once more, tells whether the photo is missing there. None if there is none.
        """
        with self._reading:
            row = self._reader.execute(
                f"SELECT {_COLUMNS} FROM item JOIN photo_of ON photo_of.infraction = item.id"
                " WHERE photo_of.photo = ? AND kind = 'infraction' AND state = 'sent'"
                " AND service = ? ORDER BY number LIMIT 1",
                (photo.id, photo.service),
            ).fetchone()
        return None if row is None else _item(row)

    def set_aside(self, *, most: int | None = None) -> list[Item]:
        """What the service refused, with its reason in `problem`; the oldest `most` of it."""
        return self._items(f"{_SET_ASIDE} ORDER BY number", most)

    def infractions(self, *, most: int | None = None) -> list[Item]:
        """The infractions recorded here, the newest first, whatever became of them."""
        return self._items("kind = 'infraction' ORDER BY number DESC", most)

    def infraction(self, id: str) -> Item | None:
        """One infraction that was recorded here."""
        with self._reading:
            row = self._reader.execute(
                f"SELECT {_COLUMNS} FROM item WHERE kind = 'infraction' AND id = ?", (id,)
            ).fetchone()
        return None if row is None else _item(row)

    def photos_waiting(self) -> dict[str, int]:
        """How many photos the service does not have yet, by infraction."""
        with self._reading:
            rows = self._reader.execute(
                "SELECT infraction, count(*) FROM photo_of JOIN item ON item.id = photo_of.photo"
                f" WHERE item.kind = 'photo' AND item.{_UNSENT} GROUP BY infraction"
            )
            return {str(infraction): int(count) for infraction, count in rows}

    def hold(self, photos: Iterable[str]) -> None:
        """Keep these photos as long as this program runs: a draft has them."""
        with self._keeping:
            self._in_hand.update(photos)

    def unsent(self) -> int:
        """How many items the service has not acknowledged, set-aside ones included."""
        return self._count(_UNSENT)

    def recorded_waiting(self) -> int:
        """How many infractions and photos are still to be sent; events are not counted."""
        return self._count(f"{_WAITING} AND kind IN ('infraction', 'photo')")

    def refused(self) -> int:
        """How many items are set aside."""
        return self._count(_SET_ASIDE)

    def _count(self, condition: str) -> int:
        with self._reading:
            found = self._reader.execute(f"SELECT count(*) FROM item WHERE {condition}")
            return int(found.fetchone()[0])

    def _items(self, condition: str, most: int | None = None) -> list[Item]:
        select = f"SELECT {_COLUMNS} FROM item WHERE {condition} LIMIT ?"
        with self._reading:
            rows = self._reader.execute(select, (-1 if most is None else most,)).fetchall()
        return [_item(row) for row in rows]

    def acknowledge(
        self,
        item: Item,
        answer: Mapping[str, Any],
        *,
        at: datetime,
        missing: Sequence[str] = (),
    ) -> None:
        """The service has the item durably: it leaves the queue. Of an infraction's photos those
        that are `missing` there wait from now on, and the others do no longer.

        An acknowledgement of before `note_epoch` put the item back is not believed.
        """
        with self._writing() as connection:
            if not self._settle(item, "sent", None, answer, at) or item.kind != "infraction":
                return
            connection.execute(
                "UPDATE item SET state = 'sent', answered_at = ? WHERE kind = 'photo'"
                " AND service = ? AND state = 'waiting'"
                " AND id IN (SELECT photo FROM photo_of WHERE infraction = ?)",
                (codec.instant(at), item.service, item.id),
            )
            for sha256 in missing:
                connection.execute(
                    "INSERT INTO item (service, kind, id, put_at) VALUES (?, 'photo', ?, ?)"
                    " ON CONFLICT DO UPDATE SET state = 'waiting' WHERE state != 'set_aside'",
                    (item.service, sha256, codec.instant(at)),
                )

    def refuse(self, item: Item, problem: str, *, at: datetime) -> None:
        """The service will never take the item: set it aside, so that it blocks nothing."""
        with self._writing():
            self._settle(item, "set_aside", problem, None, at)

    def send_again(self, kind: ItemKind, id: str) -> None:
        """Put an item back in the queue."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE item SET state = 'waiting' WHERE kind = ? AND id = ?", (kind, id)
            )

    def send_all_again(self, since: datetime) -> int:
        """Put what was acknowledged since then back in the queue; how many items. Safe to repeat:
        the service knows what it has.
        """
        with self._writing() as connection:
            again = connection.execute(
                "UPDATE item SET state = 'waiting', round = round + 1"
                " WHERE state = 'sent' AND answered_at >= ?",
                (codec.instant(since),),
            )
            return again.rowcount

    def note_epoch(self, service: str, epoch: str, *, sent_since: datetime) -> int:
        """The service's record is of this epoch. When it is not the one noted before, what was
        sent since `sent_since` goes back in the queue: a restored record may lack it. How many
        items that were.

        No record goes back to an epoch that it left: an answer of one was long under way.
        """
        with self._reading:
            noted = _epoch_of(self._reader, service)
        if noted == epoch:
            return 0
        with self._writing() as connection:
            noted = _epoch_of(connection, service)
            if noted == epoch or (service, epoch) in self._left:
                return 0
            if noted is not None:
                self._left.add((service, noted))
            connection.execute(
                "INSERT INTO record VALUES (?, ?) ON CONFLICT (service)"
                " DO UPDATE SET epoch = excluded.epoch",
                (service, epoch),
            )
            # What waits may be under way, and acknowledged by the record that is gone.
            connection.execute(
                f"UPDATE item SET round = round + 1 WHERE {_WAITING} AND {_OF_SERVICE}",
                (service,),
            )
            again = connection.execute(
                "UPDATE item SET state = 'waiting', round = round + 1"
                f" WHERE state = 'sent' AND answered_at >= ? AND {_OF_SERVICE}",
                (codec.instant(sent_since), service),
            )
            return again.rowcount

    def failed(self, item: Item, problem: str) -> None:
        """An attempt did not get through; the item stays where it is."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE item SET attempts = attempts + 1, problem = ? WHERE number = ?",
                (problem, item.number),
            )

    def _settle(
        self,
        item: Item,
        state: str,
        problem: str | None,
        answer: Mapping[str, Any] | None,
        at: datetime,
    ) -> bool:
        settled = self._connection.execute(
            "UPDATE item SET state = ?, problem = ?, answer = ?, answered_at = ?,"
            " attempts = attempts + 1 WHERE number = ? AND round = ?",
            (
                state,
                problem,
                None if answer is None else json.dumps(answer, ensure_ascii=False),
                codec.instant(at),
                item.number,
                item.round,
            ),
        )
        return settled.rowcount == 1

    # Forgetting

    def forget_sent(self, before: datetime) -> int:
        """Delete what was acknowledged before then, and the photos that nothing needs any more;
        how many items were forgotten.

        An infraction goes when each of its photos was acknowledged before then, and its photos go
        with the last infraction that they are of. The rows go first: a crash leaves files that
        nothing needs, never rows whose files are gone.
        """
        with self._writing() as connection:
            forgotten = connection.execute(
                f"DELETE FROM item WHERE number IN ({_FORGETTABLE})",
                {"before": codec.instant(before)},
            ).rowcount
            forgotten += connection.execute(
                "DELETE FROM item WHERE kind = 'photo' AND state = 'sent' AND answered_at < ?"
                f" AND {_OF_NO_INFRACTION}",
                (codec.instant(before),),
            ).rowcount
            for table in ("photo_of", "voided"):
                connection.execute(
                    f"DELETE FROM {table} WHERE NOT EXISTS (SELECT * FROM item"
                    f" WHERE kind = 'infraction' AND id = {table}.infraction)"
                )
        self._sweep_photos()
        return forgotten

    def _sweep_photos(self) -> None:
        """Delete the photos that no item needs and no draft can.

        A draft lives as long as its program, which kept its photos through this object: those are
        in hand, and stay. An outbox that could not be read may need any photo: all stay.
        """
        if self.damaged_files():
            return
        long_ago = time.time() - ABANDONED.total_seconds()
        for path in self.photos.iterdir():
            # Between the look and the deletion nobody may keep the same photo again.
            with self._keeping, contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < long_ago and not self._is_needed(path.name):
                    path.unlink()

    def _is_needed(self, sha256: str) -> bool:
        if sha256 in self._in_hand:
            return True
        with self._reading:
            found = self._reader.execute(
                "SELECT EXISTS (SELECT * FROM item WHERE kind = 'photo' AND id = :photo)"
                " OR EXISTS (SELECT * FROM photo_of WHERE photo = :photo)",
                {"photo": sha256},
            )
            return bool(found.fetchone()[0])

    # Handing in

    def export_set_aside(self, folder: Path, *, at: datetime) -> Path:
        """Write what is set aside, and outboxes that could not be read, to one file that somebody
        can hand in; where it is. What is in it stays here. Raises OSError.

        A zip: `items.json` with every item and its reason; `photos/` with those set aside and
        those of the infractions; `damaged/` with the outboxes, and then every photo here.
        """
        items = self.set_aside()
        photos = {item.id for item in items if item.kind == "photo"}
        with self._reading:
            for item in items:
                rows = self._reader.execute(
                    "SELECT photo FROM photo_of WHERE infraction = ?", (item.id,)
                )
                photos |= {str(photo) for (photo,) in rows}
        if self.damaged_files():
            photos |= {path.name for path in self.photos.iterdir()}
        target = folder / f"patrouille-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}.zip"
        with writing_durably(target) as file, zipfile.ZipFile(file, "w") as archive:
            listed = [_exported(item) for item in items]
            archive.writestr("items.json", json.dumps(listed, ensure_ascii=False, indent=1))
            for sha256 in sorted(photos):
                with contextlib.suppress(FileNotFoundError):
                    archive.write(self.photos / sha256, f"photos/{sha256}")
            for path in sorted(self._folder.glob(_damaged("*") + "*")):
                archive.write(path, f"damaged/{path.name}")
        return target


def _text(body: Mapping[str, Any], number: str | None) -> str:
    """The JSON to send, with the number that was taken."""
    whole = body if number is None else {**body, "number": number}
    return json.dumps(whole, ensure_ascii=False)


def _epoch_of(connection: sqlite3.Connection, service: str) -> str | None:
    """The epoch that was noted of the service's record."""
    found = connection.execute("SELECT epoch FROM record WHERE service = ?", (service,)).fetchone()
    return None if found is None else str(found[0])


def _next_number(
    connection: sqlite3.Connection, service: str, site: str
) -> tuple[str, str, int] | None:
    """The number, its block and its place there. One that was issued is passed over: blocks that
    overlap are a fault of the service's, which no notice may suffer from.
    """
    blocks = connection.execute(
        "SELECT id, prefix, next, last FROM number_block"
        " WHERE service = ? AND site = ? AND next <= last ORDER BY rowid",
        (service, site),
    ).fetchall()
    for block, prefix, first, last in blocks:
        for value in range(first, last + 1):
            number = f"{prefix}{value}"
            issued = connection.execute(
                "SELECT 1 FROM number WHERE service = ? AND site = ? AND number = ?",
                (service, site, number),
            ).fetchone()
            if issued is None:
                return number, block, value
    return None


def _exported(item: Item) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "id": item.id,
        "service": item.service,
        "put_at": codec.instant(item.put_at),
        "problem": item.problem,
        "answered_at": None if item.answered_at is None else codec.instant(item.answered_at),
        "body": item.body,
    }
