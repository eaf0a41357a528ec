"""A restore: the record of a backup in the place of the present one, and all that follows.

The new record is a file of its own until it is whole: verified against the backup, migrated, of a
new epoch, its number series moved ahead. Then it takes the place of the present one in a single
step, a rename or a transaction; whatever fails before that leaves everything as it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, RowMapping, delete, exists, func, inspect, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.schema import Table

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.audit.core import hash_of as hash_of_entry
from enforcement_api.audit.core import read as read_entry
from enforcement_api.database.engine import (
    Record,
    RecordDamaged,
    RecordOfANewerVersion,
    is_known,
    new_epoch,
)
from enforcement_api.database.tables import (
    account_links,
    accounts,
    audit_heads,
    audit_log,
    contract_series,
    counters,
    devices,
    earlier_epochs,
    holders,
    infractions,
    keys,
    meta,
    metadata,
    number_blocks,
    number_series,
    patrollers,
    sessions,
    sites,
    subscriptions,
)
from enforcement_api.devices.numbers import SERIES_BEGIN_AT
from enforcement_api.hashed_files import is_name, path_of
from enforcement_api.operations.backup import (
    ATTACHMENTS,
    BACKED_UP_AT,
    FORMAT,
    MANIFEST,
    PHOTOS,
    RECORD,
    carry,
    hash_of,
    set_meta,
)
from enforcement_api.operations.copying import empty, transfer
from enforcement_api.operations.core import (
    Manifest,
    held,
    issued_number,
    moved_ahead,
    number_floor,
)
from enforcement_api.operations.using import alone
from enforcement_api.problems import N_, Problem, Sentence, storage
from enforcement_api.settings import Settings
from enforcement_api.sites.core import PIN_RESET
from enforcement_api.subscriptions.store import FIRST_NUMBER
from sync import codec
from sync.files import PART, fsync_folder

_TOKENS = (
    devices.c.enrolment_hash,
    devices.c.enrolment_expires_at,
    devices.c.install_id,
    devices.c.enrolled_at,
    devices.c.token_hash,
    devices.c.next_token_hash,
)
"""What a device gets in by."""
_BEYOND = ("-wal", "-shm")
"""What SQLite keeps beside a file in use."""


class NotABackup(Problem):
    """The file is no backup, or not a whole one, or was changed since."""

    status = 422
    slug = "not-a-backup"
    title = N_("The file is not a whole backup")
    detail = N_("{file}: {reason}. Nothing was changed; use another backup.")


class BackupOfANewerVersion(Problem):
    """The backup was made by a newer program."""

    status = 422
    slug = "backup-of-a-newer-version"
    title = N_("A newer version of Patrouille has made this backup")
    detail = N_("{file}: install that version, then restore it. Nothing was changed.")


_NO_ZIP = Sentence(N_("it cannot be read as what `patrouille backup` writes"))
_WRONG_HASH = N_("{name} is not what was backed up: its hash differs")
_WRONG_COUNT = N_("{name} has {found} rows and not {wanted}")
_UNSOUND = N_("its record is damaged: {told}")
_FEWER_PHOTOS = N_("it has {found} photos and not {wanted}")
_FEWER_ATTACHMENTS = N_("it has {found} attached files and not {wanted}")


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did. `series`, `contracts`: the next number of notices, and of contracts, by
    site. `carried_over`: the replaced record went on from the backup and could be
    read, so that whoever it let in or out since is let in or out still. `to_erase`: people whom it
    had erased, and whom the backup brings back. `aside`: where it lies now (SQLite only).
    """

    manifest: Manifest
    epoch: str
    series: dict[str, int]
    contracts: dict[str, int]
    carried_over: bool
    to_erase: tuple[str, ...]
    aside: Path | None


@dataclass(frozen=True, slots=True)
class _Deed:
    """An entry of the log that lets a patroller or a device in or out: where it stands, of whom."""

    chain: str
    number: int
    hash: str
    subject: str


@dataclass(slots=True)
class _Replaced:
    """What can still be read of the record that is replaced."""

    epoch: str | None = None
    feeds: dict[str, dict[str, int]] = field(default_factory=dict)
    heads: dict[str, tuple[int, str]] = field(default_factory=dict)
    numbers: dict[str, set[int]] = field(default_factory=dict)
    contracts: dict[str, int] = field(default_factory=dict)
    blocks: list[RowMapping] = field(default_factory=list)
    revoked: dict[str, dict[str, datetime]] = field(default_factory=dict)
    deeds: list[_Deed] = field(default_factory=list)
    pins: dict[tuple[str, str], str] = field(default_factory=dict)
    tokens: dict[str, RowMapping] = field(default_factory=dict)
    accounts: dict[str, RowMapping] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    goes_on: bool = False
    """Its log begins with the whole log of the backup, and who it let in or out could be read."""
    is_whole: bool = False
    """All of this could be read."""

    def take(self, site: str, number: int) -> None:
        self.numbers.setdefault(site, set()).add(number)

    def take_contract(self, site: str, number: int) -> None:
        self.contracts[site] = max(number, self.contracts.get(site, 0))


def restore(record: Record, settings: Settings, file: Path, *, at: datetime) -> Restored:
    """Put the record of a backup in the place of the present one, and add the backup's photos and
    attached files.

    Raises InUse, NotABackup, BackupOfANewerVersion, RecordOfANewerVersion, StorageFailed,
    RecordUnavailable; the present record is then what it was.
    """
    with storage(settings.data_dir):
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        if record.is_sqlite and record.url.database:
            Path(record.url.database).parent.mkdir(parents=True, exist_ok=True)
    with alone(record, settings), _readable(file), zipfile.ZipFile(file) as archive:
        manifest = _manifest(archive, file)
        _check_files(archive, file, PHOTOS, wanted=manifest.photos, otherwise=_FEWER_PHOTOS)
        attached = manifest.attachments
        _check_files(archive, file, ATTACHMENTS, wanted=attached, otherwise=_FEWER_ATTACHMENTS)
        folder = Path(record.url.database or "").parent if record.is_sqlite else settings.data_dir
        made = folder.absolute() / f"record.{uuid.uuid4().hex}{PART}"
        try:
            _unpack(archive, file, manifest, made)
            replaced = _read(record, manifest)
            done = _renew(made, manifest, replaced, at=at)
            _add_files(archive, PHOTOS, settings.photo_dir, mode=0o644)
            _add_files(archive, ATTACHMENTS, settings.attachment_dir, mode=0o600)
            aside = _install(record, made, at=at)
        finally:
            for left in (made, *(made.with_name(made.name + tail) for tail in _BEYOND)):
                left.unlink(missing_ok=True)
        # Of the old epoch. Should they stay, after a crash, nobody would believe them.
        for stale in (settings.index_dir, settings.snapshot_dir):
            shutil.rmtree(stale, ignore_errors=True)
    return replace(done, aside=aside)


# The backup


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        raise NotABackup(file=file, reason=_NO_ZIP) from error


def _manifest(archive: zipfile.ZipFile, file: Path) -> Manifest:
    try:
        told = json.loads(archive.read(MANIFEST))
        newer = told["format"] > FORMAT or not is_known(told["revision"])
        manifest = None if newer else Manifest(**told)
    except (ValueError, TypeError) as error:
        raise NotABackup(file=file, reason=_NO_ZIP) from error
    if manifest is None:
        raise BackupOfANewerVersion(file=file)
    return manifest


def _files(archive: zipfile.ZipFile, place: str) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    for entry in archive.infolist():
        name = entry.filename.removeprefix(place)
        if name != entry.filename and is_name(name):
            yield name, entry


def _check_files(
    archive: zipfile.ZipFile, file: Path, place: str, *, wanted: int, otherwise: str
) -> None:
    found = 0
    with open(os.devnull, "wb") as nowhere:
        for name, entry in _files(archive, place):
            with archive.open(entry) as source:
                if carry(source, nowhere) != name:
                    raise NotABackup(file=file, reason=Sentence(_WRONG_HASH, name=entry.filename))
            found += 1
    if found != wanted:
        raise NotABackup(file=file, reason=Sentence(otherwise, found=found, wanted=wanted))


def _unpack(archive: zipfile.ZipFile, file: Path, manifest: Manifest, made: Path) -> None:
    """The backup's record as a file, once it is proved to be what was backed up."""
    with storage(made.parent):
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as target, archive.open(RECORD) as source:
            sha256 = carry(source, target)
    if sha256 != manifest.record_sha256:
        raise NotABackup(file=file, reason=Sentence(_WRONG_HASH, name=RECORD))
    with contextlib.closing(sqlite3.connect(made)) as connection:
        told = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if told != "ok":
            raise NotABackup(file=file, reason=Sentence(_UNSOUND, told=told))
        for name, wanted in manifest.rows.items():
            quoted = name.replace('"', '""')
            [found] = connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()
            if found != wanted:
                reason = Sentence(_WRONG_COUNT, name=name, found=found, wanted=wanted)
                raise NotABackup(file=file, reason=reason)


# The record that is replaced


def _read(record: Record, manifest: Manifest) -> _Replaced:
    """What the record that is replaced knows and its backup does not; what of it can be read.

    Raises RecordOfANewerVersion: it may know what this program cannot see.
    """
    found = _Replaced()
    if record.is_sqlite and not Path(record.url.database or "").exists():
        return found
    with contextlib.suppress(RecordDamaged):
        revision = record.revision()
        if revision is not None and not is_known(revision):
            raise RecordOfANewerVersion(where=record.where)
        deeds = partial(_read_deeds, heads=manifest.heads)
        parts = (
            _read_numbers,
            _read_contracts,
            _read_heads,
            _read_feeds,
            _read_revoked,
            _read_erased,
            deeds,
        )
        unread = len(parts)
        for part in parts:
            # A damaged part of a file does not hide the others.
            with contextlib.suppress(RecordDamaged), record.reading() as tx:
                part(tx, found, set(inspect(tx).get_table_names()))
                unread -= 1
        found.is_whole = not unread
    return found


def _read_numbers(tx: Connection, found: _Replaced, tables: set[str]) -> None:
    _take_numbers(tx, found, tables)
    if number_series.name in tables:
        for site, next in tx.execute(select(number_series.c.site, number_series.c.next)):
            found.take(site, next - 1)
    if number_blocks.name in tables:
        found.blocks = list(tx.execute(select(number_blocks)).mappings())


def _take_numbers(tx: Connection, found: _Replaced, tables: set[str]) -> None:
    """The largest number of each site that a block or a notice has."""
    if number_blocks.name in tables:
        last = select(number_blocks.c.site, func.max(number_blocks.c.last))
        for site, number in tx.execute(last.group_by(number_blocks.c.site)):
            found.take(site, number)
    if infractions.name in tables:
        numbered = select(infractions.c.site, infractions.c.number).where(
            infractions.c.number.is_not(None)
        )
        largest: dict[str, int] = {}
        with tx.execute(numbered.execution_options(yield_per=1000)) as rows:
            for site, text in rows:
                largest[site] = max(largest.get(site, 0), issued_number(site, text) or 0)
        for site, number in largest.items():
            found.take(site, number)


def _read_contracts(tx: Connection, found: _Replaced, tables: set[str]) -> None:
    _take_contracts(tx, found, tables)
    if contract_series.name in tables:
        for site, next in tx.execute(select(contract_series.c.site, contract_series.c.next)):
            found.take_contract(site, next - 1)


def _take_contracts(tx: Connection, found: _Replaced, tables: set[str]) -> None:
    """The largest number of each site that a subscription has."""
    if subscriptions.name in tables:
        numbered = select(subscriptions.c.site, subscriptions.c.number)
        with tx.execute(numbered.execution_options(yield_per=1000)) as rows:
            for site, number in rows:
                found.take_contract(site, int(number))


def _read_heads(tx: Connection, found: _Replaced, tables: set[str]) -> None:
    if meta.name in tables:
        here = select(meta.c.value).where(meta.c.name == "epoch")
        found.epoch = tx.execute(here).scalar()
    if audit_heads.name in tables:
        heads = audit.heads(tx)
        found.heads = {chain: (head.number, head.hash) for chain, head in heads.items()}


def _read_feeds(tx: Connection, found: _Replaced, tables: set[str]) -> None:
    if found.epoch is not None:
        found.feeds = _feeds(tx, found.epoch, tables)


def _feeds(tx: Connection, epoch: str, tables: set[str]) -> dict[str, dict[str, int]]:
    """Of each site, up to which sequence number its feed in each epoch is in a record."""
    feeds: dict[str, dict[str, int]] = {}
    if earlier_epochs.name in tables:
        for row in tx.execute(select(earlier_epochs)):
            feeds.setdefault(row.site, {})[row.epoch] = row.sequence
    if counters.name in tables:
        for row in tx.execute(select(counters.c.site, counters.c.sequence)):
            feeds.setdefault(row.site, {})[epoch] = row.sequence
    return feeds


_REVOKED = ((keys, "key"), (devices, "device"), (accounts, "staff"))
"""Who can be let in no more, and how the log names them."""
_OF_ACCOUNTS = tuple(
    accounts.c[name]
    for name in ("password_hash", "role", "sites", "sees_subscribers", "revoked_at")
)
"""What lets somebody of the staff in, and where."""


def _read_revoked(tx: Connection, found: _Replaced, tables: set[str]) -> None:
    for table, _ in _REVOKED:
        if table.name in tables:
            ended = select(table.c.id, table.c.revoked_at).where(table.c.revoked_at.is_not(None))
            found.revoked[table.name] = {row.id: row.revoked_at for row in tx.execute(ended)}


def _read_erased(tx: Connection, found: _Replaced, tables: set[str]) -> None:
    if holders.name in tables:
        erased = select(holders.c.id).where(holders.c.erased_at.is_not(None))
        found.erased = set(tx.execute(erased).scalars())


_CARRIED_OVER = "carried-over"
_LETTING_IN = {
    "patroller": {_CARRIED_OVER, "created", "replaced", "deleted", PIN_RESET},
    "device": {
        _CARRIED_OVER,
        "device-code-renewed",
        "device-enrolled",
        "device-token-offered",
        "device-token-replaced",
    },
    "staff": {_CARRIED_OVER, "password-set", "changed", "reinstated"},
}
"""The deeds that let somebody in or out, by what they are done to; a revocation lies in its row."""


def _read_deeds(
    tx: Connection,
    found: _Replaced,
    tables: set[str],
    *,
    heads: Mapping[str, tuple[int, str]],
) -> None:
    if audit_log.name not in tables:
        return
    log = audit_log.c
    goes_on = bool(heads) and all(
        _has_entry(tx, chain, number, hash) for chain, (number, hash) in heads.items()
    )
    for kind, actions in _LETTING_IN.items():
        of_kind = select(audit_log).where(log.subject.startswith(f"{kind}:", autoescape=True))
        in_order = of_kind.order_by(log.chain, log.number).execution_options(yield_per=1000)
        with tx.execute(in_order) as rows:
            found.deeds += [
                _Deed(row.chain, row.number, row.hash, row.subject)
                for row in rows
                if hash_of_entry(row.entry) == row.hash and read_entry(row.entry).action in actions
            ]
    for patroller in tx.execute(select(patrollers)):
        found.pins[patroller.site, patroller.id] = patroller.pin_hash
    for device in tx.execute(select(devices.c.id, *_TOKENS)).mappings():
        found.tokens[device["id"]] = device
    if accounts.name in tables:
        for account in tx.execute(select(accounts.c.id, *_OF_ACCOUNTS)).mappings():
            found.accounts[account["id"]] = account
    found.goes_on = goes_on  # not before: who of a part is not there would look removed


def _has_entry(tx: Connection, chain: str, number: int, hash: str) -> bool:
    log = audit_log.c
    here = (log.chain == chain, log.number == number, log.hash == hash)
    return bool(tx.execute(select(exists().where(*here))).scalar_one())


# The record that takes its place


def _renew(made: Path, manifest: Manifest, replaced: _Replaced, *, at: datetime) -> Restored:
    """Make the backup's record the present one's successor."""
    record = Record(f"sqlite:///{made}")
    try:
        record.migrate()
        return record.write(lambda tx: _succeed(tx, manifest, replaced, at=at))
    finally:
        record.close()


def _succeed(tx: Connection, manifest: Manifest, replaced: _Replaced, *, at: datetime) -> Restored:
    _keep_epochs(tx, replaced)
    epoch = new_epoch()
    set_meta(tx, "epoch", epoch)
    set_meta(tx, BACKED_UP_AT, manifest.made_at)
    # A site that was made after the backup, in a record that is lost, may be made again.
    set_meta(tx, SERIES_BEGIN_AT, str(number_floor(at)))
    _keep_blocks(tx, replaced)
    series = _move_series(tx, replaced, at=at)
    contracts = _move_contracts(tx, replaced, at=at)
    for table in (sessions, account_links):
        tx.execute(delete(table))  # one that was ended since would let in again
    for table, kind in _REVOKED:
        _revoke(tx, table, kind, replaced.revoked.get(table.name, {}), at=at)
    if replaced.goes_on:
        _let_in(tx, replaced, at=at)
    carried_over = replaced.goes_on and replaced.is_whole
    facts = {
        "epoch": epoch,
        "backup": {"made_at": manifest.made_at, "epoch": manifest.epoch, "heads": manifest.heads},
        "replaced": {"epoch": replaced.epoch, "heads": replaced.heads},
        "carried_over": carried_over,
    }
    audit.append(tx, Entry(at, "command", "restored", "record", facts))
    known = tx.execute(select(holders.c.id).where(holders.c.erased_at.is_(None))).scalars()
    to_erase = tuple(sorted(replaced.erased.intersection(known)))
    return Restored(manifest, epoch, series, contracts, carried_over, to_erase, aside=None)


def _keep_epochs(tx: Connection, replaced: _Replaced) -> None:
    """What handhelds knew before the restore can be named as far as the backup goes."""
    ended = tx.execute(select(meta.c.value).where(meta.c.name == "epoch")).scalar_one()
    feeds = _feeds(tx, ended, set(metadata.tables))
    tx.execute(delete(earlier_epochs))
    for site in sorted(feeds.keys() | replaced.feeds.keys()):
        kept = held(feeds.get(site, {ended: 0}), replaced.feeds.get(site, {}))
        rows = [{"site": site, "epoch": of, "sequence": upto} for of, upto in sorted(kept.items())]
        tx.execute(earlier_epochs.insert(), rows)


def _keep_blocks(tx: Connection, replaced: _Replaced) -> None:
    """Numbers that were given since the backup stay who they were given to."""
    c = number_blocks.c
    known = {(row.site, row.id) for row in tx.execute(select(c.site, c.id))}
    for block in replaced.blocks:
        below = (c.site == block["site"], c.first <= block["last"])
        taken = tx.execute(select(c.last).where(*below).order_by(c.first.desc()).limit(1)).scalar()
        is_free = taken is None or taken < block["first"]
        if is_free and (block["site"], block["id"]) not in known:
            tx.execute(number_blocks.insert().values(**block))


def _move_series(tx: Connection, replaced: _Replaced, *, at: datetime) -> dict[str, int]:
    """Also those of sites that only the replaced record has: such a site may be made again."""
    taken = _Replaced(numbers=replaced.numbers)
    _take_numbers(tx, taken, set(metadata.tables))
    return _move(tx, number_series, taken.numbers, at=at)


def _move_contracts(tx: Connection, replaced: _Replaced, *, at: datetime) -> dict[str, int]:
    """As the numbers of notices."""
    taken = _Replaced(contracts=replaced.contracts)
    _take_contracts(tx, taken, set(metadata.tables))
    known = {site: {number} for site, number in taken.contracts.items()}
    return _move(tx, contract_series, known, at=at, beyond=FIRST_NUMBER - 1)


def _move(
    tx: Connection,
    series: Table,
    taken: Mapping[str, set[int]],
    *,
    at: datetime,
    beyond: int = 0,
) -> dict[str, int]:
    """Move the series of every site ahead; where each goes on."""
    known: dict[str, int] = {row.site: row.next for row in tx.execute(select(series))}
    moved = {}
    for site in sorted({*tx.execute(select(sites.c.id)).scalars(), *known, *taken}):
        next = moved_ahead(known.get(site, 1), taken=taken.get(site, ()), at=at, beyond=beyond)
        if site in known:
            tx.execute(update(series).where(series.c.site == site).values(next=next))
        else:
            tx.execute(series.insert().values(site=site, next=next))
        moved[site] = next
    return moved


def _revoke(
    tx: Connection, table: Table, kind: str, revoked: dict[str, datetime], *, at: datetime
) -> None:
    """Who was revoked since the backup stays so: a restore lets nobody in. The log says so of
    each.
    """
    for id, revoked_at in revoked.items():
        here = update(table).where(table.c.id == id, table.c.revoked_at.is_(None))
        if tx.execute(here.values(revoked_at=revoked_at)).rowcount:
            facts = {"revoked_at": codec.instant(revoked_at)}
            audit.append(tx, Entry(at, "command", _CARRIED_OVER, f"{kind}:{id}", facts))


def _let_in(tx: Connection, replaced: _Replaced, *, at: datetime) -> None:
    """Patrollers who were removed since the backup stay out, and PINs, tokens and passwords that
    were changed since are the ones that hold, as are roles. Who is new since then is not let in.

    The log says so of each: another restore has no other log to read it in.
    """
    told = (
        (deed.chain, deed.subject)
        for deed in replaced.deeds
        if not _has_entry(tx, deed.chain, deed.number, deed.hash)
    )
    for chain, subject in list(dict.fromkeys(told)):
        if _carry_over(tx, replaced, chain, subject):
            audit.append(tx, Entry(at, "command", _CARRIED_OVER, subject, {}), site=chain)


def _carry_over(tx: Connection, replaced: _Replaced, chain: str, subject: str) -> bool:
    """Let somebody in as the replaced record does; whether the backup knows them."""
    kind, _, id = subject.partition(":")
    if kind == "device":
        if id not in replaced.tokens:
            return False
        device = update(devices).where(devices.c.id == id).values(**replaced.tokens[id])
        return bool(tx.execute(device).rowcount)
    if kind == "staff":
        if id not in replaced.accounts:
            return False
        account = update(accounts).where(accounts.c.id == id).values(**replaced.accounts[id])
        return bool(tx.execute(account).rowcount)
    there = (patrollers.c.site == chain, patrollers.c.id == id)
    pin_hash = replaced.pins.get((chain, id))
    if pin_hash is None:
        return bool(tx.execute(delete(patrollers).where(*there)).rowcount)
    return bool(tx.execute(update(patrollers).where(*there).values(pin_hash=pin_hash)).rowcount)


def _add_files(archive: zipfile.ZipFile, place: str, folder: Path, *, mode: int) -> None:
    """Files of the backup that are not there, or are damaged; those beyond the backup stay."""
    with storage(folder):
        changed = set()
        for name, entry in _files(archive, place):
            path = path_of(folder, name)
            if path.is_file() and hash_of(path) == name:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{name}.{uuid.uuid4().hex}{PART}")
            try:
                descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
                with open(descriptor, "wb") as target, archive.open(entry) as source:
                    carry(source, target)
                    target.flush()
                    os.fsync(target.fileno())
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)
            changed |= {folder.parent, folder, path.parent}
        for touched in changed:
            fsync_folder(touched)


def _install(record: Record, made: Path, *, at: datetime) -> Path | None:
    if record.is_sqlite:
        return _install_file(Path(record.url.database or "").absolute(), record, made, at=at)
    source = Record(f"sqlite:///{made}")
    try:
        with source.reading() as rows:

            def replace(tx: Connection) -> None:
                record.upgrade(tx)
                empty(tx)
                transfer(rows, tx)

            record.write(replace)
    finally:
        source.close()
    return None


def _install_file(path: Path, record: Record, made: Path, *, at: datetime) -> Path | None:
    """The new file under the name of the old one, in one step; where the old one lies now."""
    aside = path.with_name(f"{path.name}.replaced-{at:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}")
    with storage(path.parent):
        _settle(made)
        if not path.exists():
            aside = None  # type: ignore[assignment]
        else:
            with contextlib.suppress(Problem, DBAPIError), record.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            record.close()
            os.link(path, aside)
        # A log of the old file's must never be taken for one of the new file's.
        for tail in _BEYOND:
            left = path.with_name(path.name + tail)
            if left.exists() and aside is not None:
                os.replace(left, aside.with_name(aside.name + tail))
            left.unlink(missing_ok=True)
        fsync_folder(path.parent)
        os.replace(made, path)
        fsync_folder(path.parent)
    return aside


def _settle(made: Path) -> None:
    """Make a file durable that nobody has open."""
    with open(made, "r+b") as file:
        os.fsync(file.fileno())
