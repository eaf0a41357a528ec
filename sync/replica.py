"""The index file: what a site's permits are, as known at one point of the feed (DESIGN, "Index").

One SQLite file a site, in a folder of its own; the file `current` names the one in use. It is
filled by whole catch-ups or replaced by a snapshot, and read by the same code on the service
and on a handheld.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import json
import os
import shutil
import sqlite3
import threading
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

from sqlite_utils import Database, Migrations

from sync import codec
from sync.entities import (
    HotlistEntry,
    InfractionCode,
    Lot,
    Notice,
    Permit,
    PermitStatus,
    Site,
    Vehicle,
    Zone,
)
from sync.files import SQLITE_ERRORS, UNREADABLE, fsync_folder, sqlite_code, write_durably
from sync.messages import (
    EMPTY_DIGEST,
    LARGEST_SNAPSHOT,
    ChangePage,
    Digest,
    Record,
    SnapshotManifest,
)
from sync.plates import Plate, fold
from sync.validity import UNKNOWN, Check, Judgement, check, judge

_POINTER = "current"
_CHUNK = 1 << 20
_MOST_EXPANDED, _ALWAYS_TAKEN = 50, 16 << 20
"""How many times its packed size a snapshot may have, and how many bytes in any case. A real one
has three or four times its size; an empty one thirty. Gzip can make it a thousand."""
_LARGEST = 8 * LARGEST_SNAPSHOT
"""Bytes of an index, whatever its packed size."""
_BATCH = 500
"""Permits looked for with one SELECT: every SQLite takes this many parameters."""


class ReplicaError(Exception):
    """The index cannot answer or cannot be filled.

    NotFilled          nothing has been fetched yet
    Overtaken          somebody else filled the index meanwhile: ask for changes again
    UnknownZone        the site has no such zone
    BeforeRetention    the instant asked for is earlier than the last retention run
    DigestMismatch     what was applied is not what the service has: fetch it again
    DamagedIndex       the file in use cannot be read: fetch it again
    BadSnapshot        the file is not what its manifest says, or is damaged
    StaleSnapshot      the file is older than what is here already
    """


class NotFilled(ReplicaError):
    """Nothing has been fetched for this site yet."""


class UnknownZone(ReplicaError):
    """The site has no such zone."""


class BeforeRetention(ReplicaError):
    """What ended long before `pruned_at` is gone, so an earlier instant is not judged here."""

    def __init__(self, pruned_at: datetime) -> None:
        self.pruned_at = pruned_at
        super().__init__(f"instants before {codec.instant(pruned_at)} are not judged")


class Overtaken(ReplicaError):
    """The index is no longer at the cursor that the pages follow; nothing was applied."""


class DigestMismatch(ReplicaError):
    """A catch-up ended in another digest than the service's; nothing of it was kept."""

    def __init__(self, here: Digest, there: Digest) -> None:
        self.here, self.there = here, there
        super().__init__(
            f"{here.count} rows {here.hex} here, {there.count} rows {there.hex} at the service"
        )


class DamagedIndex(ReplicaError):
    """SQLite, or what is in its rows, says that the file in use is damaged, or it is gone."""


class BadSnapshot(ReplicaError):
    """The snapshot file is not what its manifest says, or is damaged."""


class StaleSnapshot(ReplicaError):
    """The snapshot is older than what this replica has of the same epoch."""


_DAMAGE = UNREADABLE | {0, sqlite3.SQLITE_ERROR}
"""SQLite's codes for what no second try mends: a bad page, a table that is not there."""


# Schema

migrations = Migrations("replica")


@migrations()
def one_table_for_permits_and_one_for_the_rest(db: Database) -> None:
    """Version 1; described in docs/snapshot.md.

    `permit` leads with the look-alike fold: one key serves the exact look-up and the search
    for plates to compare. Instants are seconds since 1970 in UTC.
    """
    db.execute(
        """
        CREATE TABLE permit (
            fold TEXT NOT NULL,
            plate TEXT NOT NULL,
            jurisdiction TEXT NOT NULL,
            id TEXT NOT NULL,
            zones TEXT NOT NULL,
            permit_number TEXT NOT NULL,
            starts_at INTEGER NOT NULL,
            ends_at INTEGER,
            active_from INTEGER NOT NULL,
            status TEXT NOT NULL,
            make TEXT,
            colour TEXT,
            PRIMARY KEY (fold, plate, jurisdiction, id)
        ) STRICT, WITHOUT ROWID
        """
    )
    db.execute("CREATE UNIQUE INDEX permit_id ON permit (id)")
    db.execute(
        """
        CREATE TABLE entry (
            kind TEXT NOT NULL,
            id TEXT NOT NULL,
            plate TEXT,
            record TEXT NOT NULL,
            PRIMARY KEY (kind, id)
        ) STRICT, WITHOUT ROWID
        """
    )
    db.execute("CREATE INDEX entry_plate ON entry (kind, plate) WHERE plate IS NOT NULL")
    db.execute("CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT) STRICT, WITHOUT ROWID")


_COLUMNS = (
    "id, plate, jurisdiction, zones, permit_number, "
    "starts_at, ends_at, active_from, status, make, colour"
)
_SELECT_PLATE = f"SELECT {_COLUMNS} FROM permit WHERE fold = ? AND plate = ? AND jurisdiction = ?"
_SELECT_FOLD = f"SELECT {_COLUMNS} FROM permit WHERE fold = ?"
_SELECT_ROWS = f"SELECT fold, {_COLUMNS} FROM permit"
_INSERT = f"INSERT INTO permit (fold, {_COLUMNS}) VALUES ({', '.join('?' * 12)})"

_Row = tuple[Any, ...]
_FROM_TIMESTAMP = datetime.fromtimestamp


@lru_cache(maxsize=4096)
def _seconds(text: str) -> int:
    # Most permits begin and end at one of few midnights.
    return int(datetime.fromisoformat(text).timestamp() // 1)


@lru_cache(maxsize=4096)
def _instant(seconds: int) -> str:
    return codec.instant(_FROM_TIMESTAMP(seconds, UTC))


_FIELDS = (
    *("id", "plate", "jurisdiction", "zones", "permit_number"),
    *("starts_at", "ends_at", "active_from", "status", "vehicle"),
)
_fields_of = itemgetter(*_FIELDS)
_NO_VEHICLE = {"make": None, "colour": None}


def _row(record: Record) -> _Row:
    """A permit's record as its row: the fold and _COLUMNS."""
    id, plate, jurisdiction, zones, number, starts, ends, active, status, vehicle = _fields_of(
        record
    )
    if vehicle is None:
        vehicle = _NO_VEHICLE
    return (
        fold(plate),
        id,
        plate,
        jurisdiction,
        " ".join(zones),
        number,
        _seconds(starts),
        None if ends is None else _seconds(ends),
        _seconds(active),
        status,
        vehicle["make"],
        vehicle["colour"],
    )


def _row_hash(row: _Row) -> int:
    """The hash of the record that the row says."""
    _, id, plate, jurisdiction, zones, number, starts, ends, active, *rest = row
    return codec.permit_hash(
        id,
        plate,
        jurisdiction,
        zones,
        number,
        _instant(starts),
        None if ends is None else _instant(ends),
        _instant(active),
        *rest,
    )


def _record_hash(record: Record, row: _Row) -> int:
    """The hash of a permit's record; its row tells as much of it as is known here."""
    vehicle = record["vehicle"]
    if len(record) == len(_FIELDS) and (vehicle is None or len(vehicle) == len(_NO_VEHICLE)):
        return _row_hash(row)
    return codec.record_hash("permit", row[1], codec.canonical(record))


def _hashes(rows: Iterable[_Row]) -> Iterator[int]:
    """The hashes of rows that are here. Raises DamagedIndex."""
    for row in rows:
        try:
            yield _row_hash(row)
        except (ValueError, OverflowError, OSError) as error:
            raise _unreadable(row[1], error) from error


def _unreadable(id: str, error: Exception) -> DamagedIndex:
    return DamagedIndex(f"the permit {id} in the index cannot be read: {error}")


def _permit(row: _Row) -> Permit:
    (id, plate, jurisdiction, zones, number, starts, ends, active, status, make, colour) = row
    try:
        return Permit(
            id,
            Plate(plate, jurisdiction),
            tuple(zones.split(" ")),
            number,
            _FROM_TIMESTAMP(starts, UTC),
            None if ends is None else _FROM_TIMESTAMP(ends, UTC),
            _FROM_TIMESTAMP(active, UTC),
            cast(PermitStatus, status),
            None if make is None and colour is None else Vehicle(make, colour),
        )
    except (ValueError, OverflowError, OSError) as error:
        raise _unreadable(id, error) from error


# Reading


@dataclass(frozen=True, slots=True)
class State:
    """How far a replica has come, and when."""

    epoch: str
    cursor: str
    sequence: int
    digest: Digest
    fed_at: datetime | None
    server_time: datetime


class View:
    """What is known at one moment. Belongs to the thread that asked for it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self.state = _read_state(connection)
        sites = self._entries("site")
        if not sites:
            raise NotFilled("nothing has been fetched for this site yet")
        self.site = cast(Site, sites[0])
        self.zones = {zone.id: zone for zone in cast(list[Zone], self._entries("zone"))}

    def _entries(self, kind: str, plate: Plate | None = None) -> list[Any]:
        if plate is None:
            found = self._execute("SELECT record FROM entry WHERE kind = ? ORDER BY id", (kind,))
        else:
            key = f"{plate.jurisdiction} {plate.text}"
            found = self._execute(
                "SELECT record FROM entry WHERE kind = ? AND plate = ? ORDER BY id", (kind, key)
            )
        try:
            return [codec.entity(kind, json.loads(record)) for (record,) in found]
        except ValueError as error:
            raise DamagedIndex(f"a {kind} in the index cannot be read: {error}") from error

    def lots(self) -> list[Lot]:
        """The site's lots, by code."""
        return self._entries("lot")

    def codes(self) -> list[InfractionCode]:
        """The site's infraction codes, by code."""
        return self._entries("code")

    def hotlist(self, plate: Plate) -> list[HotlistEntry]:
        """Why supervisors want this plate seen."""
        return self._entries("hotlist", plate)

    def notices(self, plate: Plate) -> list[Notice]:
        """What this plate was noticed for lately."""
        return self._entries("notice", plate)

    def notice(self, id: str) -> Notice | None:
        """What became of an infraction of the last 30 days; None when it is not known here."""
        found = self._execute(
            "SELECT record FROM entry WHERE kind = 'notice' AND id = ?", (id,)
        ).fetchone()
        if found is None:
            return None
        try:
            return cast(Notice, codec.entity("notice", json.loads(found[0])))
        except ValueError as error:
            raise DamagedIndex(f"the notice {id} in the index cannot be read: {error}") from error

    def plates_of(self, number: str) -> list[Plate]:
        """Every plate with a permit of this number. Reads the whole index, 0.1 s of a million
        permits: not for the thread that draws.
        """
        found = self._execute(
            "SELECT DISTINCT plate, jurisdiction FROM permit WHERE permit_number = ?"
            " ORDER BY plate, jurisdiction",
            (number,),
        )
        return [Plate(plate, jurisdiction) for plate, jurisdiction in found]

    def recount(self) -> Digest:
        """The digest of what is here, from the rows and not from what was kept along the way."""
        digest = EMPTY_DIGEST.with_rows(_hashes(self._execute(_SELECT_ROWS)))
        for kind, id, record in self._execute("SELECT kind, id, record FROM entry"):
            digest += codec.record_hash(kind, id, record)
        return digest

    def permits_for(self, plate: Plate) -> list[Permit]:
        """Every permit of the plate at this site, whatever its dates."""
        found = self._execute(
            _SELECT_PLATE, (fold(plate.text), plate.text, plate.jurisdiction)
        ).fetchall()
        return [_permit(row) for row in found] if found else []

    def look_alikes(self, plate: Plate) -> list[Permit]:
        """Every permit whose plate folds like this one, in any jurisdiction."""
        return [_permit(row) for row in self._execute(_SELECT_FOLD, (plate.fold,)).fetchall()]

    def begins_a_plate(self, beginning: Plate) -> bool:
        """Whether a permit's plate of the same jurisdiction begins with this one's text."""
        after = "\N{REPLACEMENT CHARACTER}"  # sorts behind every letter and digit
        text, begin = beginning.text, beginning.fold
        found = self._execute(
            "SELECT 1 FROM permit WHERE fold >= ? AND fold < ? AND plate >= ? AND plate < ?"
            " AND jurisdiction = ? LIMIT 1",
            (begin, begin + after, text, text + after, beginning.jurisdiction),
        )
        return found.fetchone() is not None

    def judge(self, plate: Plate, *, zone: str, at: datetime) -> Judgement:
        """The verdict alone. Raises UnknownZone, BeforeRetention."""
        self._may_judge(zone, at)
        permits = self.permits_for(plate)
        if not permits:
            return UNKNOWN
        return judge(permits, zone=zone, at=at, retention=self.site.retention)

    def _may_judge(self, zone: str, at: datetime) -> None:
        if zone not in self.zones:
            raise UnknownZone(zone)
        pruned_at = self.site.pruned_at
        if pruned_at is not None and at < pruned_at:
            raise BeforeRetention(pruned_at)

    def check(self, plate: Plate, *, zone: str, at: datetime) -> Check:
        """The verdict and, if unknown, what to compare. Raises UnknownZone, BeforeRetention."""
        self._may_judge(zone, at)
        return check(
            plate,
            self.permits_for(plate),
            lambda: self.look_alikes(plate),
            zone=self.zones[zone],
            at=at,
            retention=self.site.retention,
        )


def _view(connection: sqlite3.Connection) -> View:
    try:
        return View(connection)
    except ValueError as error:  # what is in the rows cannot be read
        raise DamagedIndex(f"the index is damaged: {error}") from error


def _read_state(connection: sqlite3.Connection) -> State:
    state = dict(connection.execute("SELECT name, value FROM state"))
    if "cursor" not in state:
        raise NotFilled("nothing has been fetched for this site yet")
    return State(
        epoch=state["epoch"],
        cursor=state["cursor"],
        sequence=int(state["sequence"]),
        digest=Digest(int(state["count"]), int(state["sum"], 16)),
        fed_at=codec.parse_optional_instant(state["fed_at"]),
        server_time=codec.parse_instant(state["server_time"]),
    )


def _write_state(connection: sqlite3.Connection, page: ChangePage, digest: Digest) -> None:
    connection.executemany(
        "INSERT INTO state VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [
            ("epoch", page.epoch),
            ("cursor", page.cursor),
            ("sequence", str(page.sequence)),
            ("count", str(digest.count)),
            ("sum", digest.hex),
            ("fed_at", codec.optional_instant(page.fed_at)),
            ("server_time", codec.instant(page.server_time)),
        ],
    )


# Writing


class _Applier:
    """Applies changes to the rows and keeps the digest; one for each catch-up."""

    def __init__(self, connection: sqlite3.Connection, digest: Digest) -> None:
        self._connection = connection
        self.digest = digest

    def apply(self, page: ChangePage) -> None:
        """Apply a page. Raises MalformedMessage: what the service sent is no fault of the file."""
        try:
            self._apply(page)
        except (
            AttributeError,
            KeyError,
            OverflowError,
            TypeError,
            ValueError,
            sqlite3.IntegrityError,
            sqlite3.InterfaceError,
            sqlite3.ProgrammingError,
        ) as error:
            raise codec.MalformedMessage(f"a change cannot be applied: {error!r}") from error

    def _apply(self, page: ChangePage) -> None:
        permits: dict[str, Record | None] = {}
        for kind, id, record in page.changes:
            if kind == "permit":
                permits[id] = record
            else:
                self._apply_entry(kind, id, record)
        ids = list(permits)
        for at in range(0, len(ids), _BATCH):
            self._remove_permits(ids[at : at + _BATCH])
        rows: list[_Row] = []
        hashes: list[int] = []
        for id, record in permits.items():
            if record is not None:
                row = _row(record)
                if row[1] != id:
                    raise ValueError(f"the record of {id!r} is that of {row[1]!r}")
                rows.append(row)
                hashes.append(_record_hash(record, row))
        self.digest = self.digest.with_rows(hashes)
        # In the order of the table, each of its pages is written once.
        rows.sort(key=itemgetter(0))
        self._connection.executemany(_INSERT, rows)

    def _remove_permits(self, ids: Sequence[str]) -> None:
        """Remove those of the permits that are here."""
        select = f"{_SELECT_ROWS} WHERE id IN ({', '.join('?' * len(ids))})"
        found = self._connection.execute(select, ids).fetchall()
        self.digest = self.digest.without_rows(_hashes(found))
        delete = "DELETE FROM permit WHERE id = ?"
        self._connection.executemany(delete, ((row[1],) for row in found))

    def _apply_entry(self, kind: str, id: str, record: Record | None) -> None:
        execute = self._connection.execute
        old = execute("SELECT record FROM entry WHERE kind = ? AND id = ?", (kind, id)).fetchone()
        if old is not None:
            self.digest -= codec.record_hash(kind, id, old[0])
            execute("DELETE FROM entry WHERE kind = ? AND id = ?", (kind, id))
        if record is not None:
            text = codec.canonical(record)
            self.digest += codec.record_hash(kind, id, text)
            plate = record.get("plate")
            key = None if plate is None else f"{record['jurisdiction']} {plate}"
            execute("INSERT INTO entry VALUES (?, ?, ?, ?)", (kind, id, key, text))


@contextlib.contextmanager
def _immediate(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _connect(path: Path, mapped: int, cached: int) -> sqlite3.Connection:
    """Open an index that is there, with so many bytes of it mapped, and so many of its pages'
    cached. Raises DamagedIndex.
    """
    uri = f"{path.absolute().as_uri()}?mode=rw"
    try:
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=30, cached_statements=32
        )
    except sqlite3.OperationalError as error:
        if path.exists():
            raise
        raise DamagedIndex(f"{path} is gone") from error
    try:
        # Every index was made so before it was pointed to; turning it on now would wait for others.
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            raise DamagedIndex(f"{path} has no write-ahead log")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{cached >> 10}")
        connection.execute(f"PRAGMA mmap_size = {mapped}")
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(path: Path) -> None:
    """Make a file, new or fetched, one that an index can be: with a write-ahead log."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        migrations.apply(Database(connection, execute_plugins=False))


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """An exported index: gzipped, named by its SHA-256, immutable."""

    path: Path
    sha256: str
    bytes: int
    state: State


class Replica:
    """The index of one site in its folder. Threads share it; each has connections of its own."""

    def __init__(self, folder: Path, *, mapped: int = 1 << 30, cached: int = 16 << 20) -> None:
        """`mapped`: bytes of the file that are read as memory, the quickest way; what was touched
        of them counts as the process's own until others need it. `cached`: bytes of what is
        changed, or lies beyond those, that each thread may hold.
        """
        self.folder = folder
        self._mapped, self._cached = mapped, cached
        self._pointer_file = str(folder / _POINTER)
        self._lock = threading.Lock()
        self._damaged = False
        self._migrated: Path | None = None
        self._local = threading.local()

    # reading

    @contextlib.contextmanager
    def _finding_damage(self) -> Iterator[None]:
        """Within the block, what shows that the file is damaged is a DamagedIndex: remembered,
        since whoever meets it (a look-up) is not who can mend it (the next catch-up).
        """
        try:
            yield
        except SQLITE_ERRORS as error:
            if sqlite_code(error) not in _DAMAGE:
                raise
            self._damaged = True
            raise DamagedIndex(f"the index is damaged: {error}") from error
        except DamagedIndex:
            self._damaged = True
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[View]:
        """What is known now, held still until the block ends. Raises NotFilled, DamagedIndex.

        One read transaction: cheap for one look-up, cheaper still for many.
        """
        local = self._local
        with self._finding_damage():
            connection = self._reader()
            if connection.in_transaction:
                yield local.view
                return
            connection.execute("BEGIN")
            try:
                version = connection.execute("PRAGMA data_version").fetchone()[0]
                if local.version != version:
                    local.view, local.version = _view(connection), version
                yield local.view
            finally:
                connection.execute("COMMIT")

    def state(self) -> State | None:
        """How far this replica has come; None before it is filled.

        Raises DamagedIndex if it is, or if a look-up has found it so: it is to be replaced.
        """
        if self._damaged:
            raise DamagedIndex("a look-up found the index damaged")
        try:
            with self.reading() as view:
                return view.state
        except NotFilled:
            return None

    def _reader(self) -> sqlite3.Connection:
        local = self._local
        if getattr(local, "pointer", None) is not None and local.connection.in_transaction:
            return cast(sqlite3.Connection, local.connection)
        while (pointer := self._pointer()) is None or pointer != getattr(local, "pointer", None):
            self.close()
            path = self._current()
            if path is None:
                raise NotFilled("nothing has been fetched for this site yet")
            try:
                connection = _connect(path, self._mapped, self._cached)
            except (DamagedIndex, sqlite3.OperationalError):
                if self._pointer() == pointer:
                    raise
                continue  # it was replaced, and swept away, in between
            local.connection, local.version, local.pointer = connection, None, pointer
        return cast(sqlite3.Connection, local.connection)

    def close(self) -> None:
        """Close this thread's connection. The next look-up opens it again."""
        local = self._local
        if getattr(local, "pointer", None) is not None:
            local.view = local.pointer = None
            local.connection.close()

    def _pointer(self) -> tuple[int, int] | None:
        """What changes whenever anybody, of this process or another, flips the pointer."""
        try:
            found = os.stat(self._pointer_file)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _current(self) -> Path | None:
        try:
            return self.folder / (self.folder / _POINTER).read_text()
        except FileNotFoundError:
            return None

    # filling

    def apply(self, pages: Iterable[ChangePage], *, after: str | None) -> State:
        """Apply a whole catch-up with its cursor in one transaction, compare, and only then use it.

        The pages follow one another from the cursor `after` (None: from the beginning) to the one
        that has a digest. Not within `reading` of the same thread. Raises Overtaken,
        DigestMismatch, DamagedIndex, MalformedMessage, and keeps nothing then.
        """
        with (
            self._alone(),
            self._finding_damage(),
            _immediate(connection := self._writer()),
        ):
            try:
                here = _read_state(connection)
                cursor, digest = here.cursor, here.digest
            except NotFilled:
                cursor, digest = None, EMPTY_DIGEST
            if cursor != after:
                raise Overtaken(f"the index is at {cursor}, not at {after}")
            applier = _Applier(connection, digest)
            last: ChangePage | None = None
            for page in pages:
                applier.apply(page)
                last = page
            if last is None or last.digest is None:
                raise codec.MalformedMessage("the last page of a catch-up has no digest")
            if applier.digest != last.digest:
                raise DigestMismatch(applier.digest, last.digest)
            _write_state(connection, last, applier.digest)
            return _read_state(connection)

    def _writer(self) -> sqlite3.Connection:
        """The connection with which this thread reads: what it changes is at hand."""
        path = self._current() or self._create()
        connection = self._reader()
        if not path.exists():
            raise DamagedIndex(f"{path} is gone")
        self._local.version = None  # its own changes do not change its data_version
        if path != self._migrated:
            migrations.apply(Database(connection, execute_plugins=False))
            self._migrated = path
        return connection

    def _create(self) -> Path:
        path = self.folder / f"{uuid.uuid4().hex}.db"
        _prepare(path)
        self._point_to(path)
        return path

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Whoever fills, replaces or deletes does so alone, also among processes."""
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(self.folder / "lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    def _point_to(self, path: Path) -> None:
        """Make `path` the index in use: from one instant to the next, or not at all."""
        write_durably(self.folder / _POINTER, path.name.encode())

    def wipe(self) -> None:
        """Forget everything: the index of a revoked or re-enrolled device."""
        with self._alone():
            (self.folder / _POINTER).unlink(missing_ok=True)
            self._damaged = False
            self._sweep()
            shutil.rmtree(self.folder / "downloads", ignore_errors=True)

    def sweep(self) -> None:
        """Delete index files that are not the one in use: what a crash left behind."""
        with self._alone():
            self._sweep()

    def _sweep(self) -> None:
        current = self._current()
        for path in self.folder.glob("*.db*"):
            if current is None or not path.name.startswith(current.name):
                path.unlink(missing_ok=True)

    # snapshots

    def export(self, folder: Path) -> SnapshotFile:
        """Write the index, compacted and gzipped, under its SHA-256.

        Raises NotFilled, DamagedIndex.
        """
        folder.mkdir(parents=True, exist_ok=True)
        plain = folder / f"{uuid.uuid4().hex}.tmp"
        packed = plain.with_suffix(".gz.tmp")
        try:
            with self._finding_damage():
                self._reader().execute("VACUUM INTO ?", (str(plain),))
            with contextlib.closing(sqlite3.connect(plain)) as connection:
                state = _read_state(connection)
            with open(plain, "rb") as source, open(packed, "wb") as file:
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as target:
                    while chunk := source.read(_CHUNK):
                        target.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            with open(packed, "rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            path = folder / f"{sha256}.gz"
            os.replace(packed, path)
            fsync_folder(folder)
            return SnapshotFile(path, sha256, path.stat().st_size, state)
        finally:
            plain.unlink(missing_ok=True)
            packed.unlink(missing_ok=True)

    def install(self, file: Path, manifest: SnapshotManifest, *, distrust: bool = False) -> State:
        """Replace the index by a fetched snapshot, while the old one still answers.

        Verify, decompress to a new name, fsync, quick_check, write-ahead log, fsync the folder,
        flip the pointer.
        An index that is distrusted (its digest differed, or it is damaged) is not asked, and may be
        replaced by an older one.
        Raises BadSnapshot, StaleSnapshot, DamagedIndex; nothing has changed then.
        """
        with self._alone():
            here = None if distrust else self.state()
            same_epoch = here is not None and here.epoch == manifest.epoch
            if here and same_epoch and here.sequence > manifest.sequence:
                raise StaleSnapshot(f"sequence {manifest.sequence} is before {here.sequence}")
            path = self.folder / f"{uuid.uuid4().hex}.db"
            try:
                _unpack(file, path, manifest)
                state = _inspect(path, manifest)
                _prepare(path)
            except BaseException:
                for left in self.folder.glob(f"{path.name}*"):
                    left.unlink(missing_ok=True)
                raise
            fsync_folder(self.folder)
            self._point_to(path)
            self._damaged = False
            self._sweep()
            return state


def _unpack(file: Path, path: Path, manifest: SnapshotManifest) -> None:
    if manifest.encoding != "gzip":
        raise BadSnapshot(f"encoding {manifest.encoding!r} is not known: update this program")
    if file.stat().st_size != manifest.bytes:
        raise BadSnapshot(f"{file.stat().st_size} bytes instead of {manifest.bytes}")
    room = min(max(_ALWAYS_TAKEN, _MOST_EXPANDED * manifest.bytes), _LARGEST)
    with open(file, "rb") as packed:
        if hashlib.file_digest(packed, "sha256").hexdigest() != manifest.sha256:
            raise BadSnapshot("the SHA-256 is not the one promised")
        packed.seek(0)
        try:
            with gzip.GzipFile(fileobj=packed) as source, open(path, "wb") as target:
                while chunk := source.read(_CHUNK):
                    room -= len(chunk)
                    if room < 0:
                        raise BadSnapshot("decompressed, it is larger than any index")
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())
        except (OSError, EOFError, zlib.error) as error:
            if isinstance(error, gzip.BadGzipFile | EOFError | zlib.error):
                raise BadSnapshot(f"it cannot be decompressed: {error}") from error
            raise


def _inspect(path: Path, manifest: SnapshotManifest) -> State:
    """Check a decompressed index before it is used."""
    uri = f"{path.absolute().as_uri()}?immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise BadSnapshot("SQLite finds it damaged")
            state = _read_state(connection)
    except (*SQLITE_ERRORS, NotFilled) as error:
        raise BadSnapshot(f"it is no index: {error}") from error
    promised = (manifest.epoch, manifest.cursor, manifest.digest)
    if (state.epoch, state.cursor, state.digest) != promised:
        raise BadSnapshot("it is the index of another moment than promised")
    return state
