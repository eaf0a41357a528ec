"""The programs that are traced, and what each has promised when it tells so.

    python -m tests.crashes.workloads NAME FOLDER [FLAW]

A flaw is a known-bad variant of our code, to show that the power cuts find it. The service is
imported where it is needed: under strace that takes longer than what a handheld's files are put to.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sync.files
import sync.outbox
import sync.replica
from sync import codec
from sync.entities import Zone
from sync.files import make_folder
from sync.messages import EMPTY_DIGEST, Change, ChangePage, Digest, SnapshotManifest
from sync.outbox import Outbox
from sync.replica import Replica, SnapshotFile
from tests.builders import a_site, permit
from tests.crashes.tracing import tell

AT = datetime(2026, 11, 23, 15, 15, tzinfo=UTC)
SERVICE, SITE = "https://service.example", "1085"
SETTLED = "what was done so far is on the disk"


# The outbox


def outbox(folder: Path) -> None:
    """A first start; numbers; infractions with photos, their acknowledgements; an end."""
    handheld = folder / "handheld"
    make_folder(handheld)
    box = Outbox(handheld)
    box.note_epoch(SERVICE, "e", sent_since=AT)
    box.put_block(SERVICE, SITE, "block", "P-", 1, 9)
    tell({"block": "block"})
    for number in (1, 2):
        _record(box, number)
    box.put_event("e1", {"kind": "x"}, at=AT, service=SERVICE)
    tell({"event": "e1"})
    for item in box.sendable(SERVICE)[:1]:
        box.acknowledge(item, {}, at=AT, missing=[])
        tell({"sent": item.id})
    box.spoil("i2", "torn", at=AT, event_id="e2")
    tell({"event": "e2"})
    box.close()


def _record(box: Outbox, number: int) -> None:
    sha256 = box.keep_photo(bytes([number]) * 3000)
    tell({"photo": sha256})
    id, body = f"i{number}", {"site": SITE, "note": "x" * 900 * number}
    taken = box.put_infraction(id, body, [sha256], at=AT, service=SERVICE, number_of_site=SITE)
    tell({"infraction": id, "number": taken})


def outbox_after_a_kill(folder: Path) -> None:
    """A handheld that was killed, so that its log was left; the next one recovers and goes on."""
    handheld = folder / "handheld"
    killed = os.fork()
    if not killed:
        make_folder(handheld)
        box = Outbox(handheld)
        box.put_block(SERVICE, SITE, "block", "P-", 1, 9)
        tell({"block": "block"})
        _record(box, 1)
        os._exit(0)
    _, status = os.waitpid(killed, 0)
    assert status == 0
    tell(SETTLED)
    box = Outbox(handheld)
    _record(box, 2)
    box.close()


# The index


def changes_of(*plates: str) -> list[Change]:
    """What a feed says of a site with these plates."""
    permits = [permit(plate, id=plate) for plate in plates]
    entities = [a_site(), Zone("G1", {"fr": "Zone 1"}, None), *permits]
    return [codec.change_of(entity) for entity in entities]


def page(changes: list[Change], sequence: int, *, of: list[Change]) -> ChangePage:
    """The changes, that lead to `of`."""
    digest = EMPTY_DIGEST
    for kind, id, record in of:
        assert record is not None
        digest += codec.record_hash(kind, id, codec.canonical(record))
    cursor = f"c{sequence}"
    return ChangePage(1, "e", cursor, sequence, False, changes, digest, AT, None)


FIRST, SECOND, THIRD = (
    [f"AAA{n:03}" for n in range(40)],
    [f"BBB{n:03}" for n in range(60)],
    [f"BBB{n:03}" for n in range(90)],
)
"""The plates of three moments: of the index before, of the snapshot, and after the catch-up."""
PAGES = [
    page(changes_of(*plates), n, of=changes_of(*plates))
    for n, plates in enumerate((FIRST, SECOND, THIRD), start=1)
]


def manifest_of(file: SnapshotFile) -> SnapshotManifest:
    """As the service would tell it."""
    state = file.state
    return SnapshotManifest(
        1, state.epoch, state.cursor, state.sequence, "/", file.sha256, file.bytes, "gzip",
        state.digest, AT, None,
    )  # fmt: skip


def index(folder: Path) -> None:
    """An index in use; a snapshot installed over it, then a catch-up applied."""
    first, second, third = PAGES
    source = Replica(folder.parent / "service")
    source.apply([second], after=None)
    snapshot = source.export(folder.parent / "snapshots")
    source.close()
    replica = Replica(folder / "index")
    replica.apply([first], after=None)
    tell(SETTLED)
    replica.install(snapshot.path, manifest_of(snapshot))
    tell({"installed": second.sequence})
    replica.apply([third], after=second.cursor)
    replica.close()
    again = Replica(folder / "index")
    assert again.state() is not None
    again.sweep()
    again.close()


# The record


def record(folder: Path) -> None:
    """A service at work: a plate update, an infraction and its photo, each answered."""
    from enforcement_api.database.engine import Record
    from tests.service import infraction, new_id, picture, running

    content = picture("navy")
    sha256 = hashlib.sha256(content).hexdigest()
    (folder / "service").mkdir()
    prepared = Record(f"sqlite:///{folder / 'service' / 'record.db'}")
    prepared.migrate()
    prepared.close()
    with running(folder, follow_seconds=3600.0) as service:
        service.site()
        device, feeder = service.device_client(), service.feeder
        tell(SETTLED)
        update = service.update("ABC123")
        answer = feeder.post("/v1/plate-updates", json={"updates": [update]})
        assert answer.json()["rejected"] == [], answer.text
        tell({"permit": update["id"]})
        id = new_id()
        body = infraction(
            photos=[{"sha256": sha256, "bytes": len(content), "taken_at": codec.instant(AT)}]
        )
        assert device.put(f"/v1/infractions/{id}", json=body).status_code == 201
        tell({"infraction": id})
        assert device.put(f"/v1/photos/{sha256}", content=content).status_code == 201
        tell({"photo": sha256})


# Flaws


@contextlib.contextmanager
def _careless_outbox(level: str) -> Iterator[None]:
    open_ = Outbox._open

    def careless(self: Outbox) -> sqlite3.Connection:
        connection = open_(self)
        connection.execute(f"PRAGMA synchronous = {level}")
        return connection

    Outbox._open = careless  # type: ignore[method-assign]
    yield


@contextlib.contextmanager
def _careless_record() -> Iterator[None]:
    from enforcement_api.database import engine

    prepare = engine._prepare_sqlite

    def careless(connection: sqlite3.Connection, entry: Any) -> None:
        prepare(connection, entry)
        connection.execute("PRAGMA synchronous = NORMAL")

    engine._prepare_sqlite = careless
    yield


@contextlib.contextmanager
def _no_folder_is_synced() -> Iterator[None]:
    from enforcement_api import hashed_files

    for module in (sync.files, sync.replica, hashed_files):
        module.fsync_folder = lambda folder: None  # type: ignore[attr-defined]
    yield


@contextlib.contextmanager
def _no_file_is_synced() -> Iterator[None]:
    fsync = os.fsync

    def careless(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            fsync(descriptor)

    os.fsync = careless
    yield


@contextlib.contextmanager
def _pointed_to_before_it_is_synced() -> Iterator[None]:
    """The snapshot's file is pointed to as soon as it is unpacked; then it is synced."""
    fsync, prepare = os.fsync, sync.replica._prepare
    point_to = Replica._point_to
    replicas: list[Replica] = []
    alone = Replica._alone

    def careless(descriptor: int) -> None:
        if not os.readlink(f"/proc/self/fd/{descriptor}").endswith(".db"):
            fsync(descriptor)

    def pointed(path: Path) -> None:
        if replicas:
            point_to(replicas[-1], path)
        prepare(path)

    @contextlib.contextmanager
    def remembered(self: Replica) -> Iterator[None]:
        replicas.append(self)
        with alone(self):
            yield

    os.fsync = careless
    sync.replica._prepare = pointed
    Replica._alone = remembered  # type: ignore[method-assign, assignment]
    yield


Parts = Callable[..., Iterator[Callable[[], object]]]


def apply_in(parts: Parts) -> Any:
    """Replica.apply in several transactions."""

    def apply(self: Replica, pages: Any, *, after: str | None) -> Any:
        with self._alone():
            connection = self._writer()
            for part in parts(connection, list(pages)):
                with sync.replica._immediate(connection):
                    part()
            return sync.replica._read_state(connection)

    return apply


def apply_rows(connection: sqlite3.Connection, pages: Any) -> Digest:
    """The rows of these pages, without their cursor; the digest that they lead to."""
    try:
        kept = sync.replica._read_state(connection).digest
    except sync.replica.NotFilled:
        kept = EMPTY_DIGEST
    applier = sync.replica._Applier(connection, kept)
    for page in pages:
        applier.apply(page)
    return applier.digest


def _cursor_first(connection: Any, pages: Any) -> Iterator[Callable[[], object]]:
    yield lambda: sync.replica._write_state(connection, pages[-1], pages[-1].digest)
    yield lambda: apply_rows(connection, pages)


def _cursor_apart(connection: Any, pages: Any) -> Iterator[Callable[[], object]]:
    yield lambda: apply_rows(connection, pages)
    yield lambda: sync.replica._write_state(connection, pages[-1], pages[-1].digest)


@contextlib.contextmanager
def _applied_in(parts: Parts) -> Iterator[None]:
    Replica.apply = apply_in(parts)  # type: ignore[method-assign]
    yield


FLAWS: Mapping[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "outbox-at-normal": lambda: _careless_outbox("NORMAL"),
    "outbox-at-off": lambda: _careless_outbox("OFF"),
    "record-at-normal": _careless_record,
    "no-folder-synced": _no_folder_is_synced,
    "no-file-synced": _no_file_is_synced,
    "pointed-to-before-synced": _pointed_to_before_it_is_synced,
    "cursor-before-its-rows": lambda: _applied_in(_cursor_first),
    "cursor-in-another-transaction": lambda: _applied_in(_cursor_apart),
}
WORKLOADS: Mapping[str, Callable[[Path], None]] = {
    "outbox": outbox,
    "outbox-after-a-kill": outbox_after_a_kill,
    "index": index,
    "record": record,
}


def main() -> None:
    """Run one."""
    name, folder, *flaw = sys.argv[1:]
    with FLAWS[flaw[0]]() if flaw else contextlib.nullcontext():
        WORKLOADS[name](Path(folder))


if __name__ == "__main__":
    main()
