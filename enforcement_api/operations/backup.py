"""A backup: one file with a consistent copy of the record, its photos and its attached files, made
while serving.

It is a zip file: `record.db`, an SQLite file with all tables (also of a record on PostgreSQL, so
that a site can move from one engine to the other), `photos/<sha256>`, `attachments/<sha256>`, and
`manifest.json`, which comes last and has the hash of the record; the name of a photo or an attached
file is its own. No index and no snapshot is in it: they are made from the record. Nor is the key of
what is encrypted: who finds a backup does not read void cheques.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, delete, select

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import attachments, meta, photos
from enforcement_api.hashed_files import path_of
from enforcement_api.operations.copying import transfer
from enforcement_api.operations.core import Manifest
from enforcement_api.problems import N_, Problem, StorageFailed
from enforcement_api.settings import Settings
from sync import codec
from sync.files import PART, fsync_folder

FORMAT = 1
"""Of the file; another when this program could not read it."""

MANIFEST, RECORD, PHOTOS, ATTACHMENTS = "manifest.json", "record.db", "photos/", "attachments/"
BACKED_UP_AT = "backed_up_at"
"""The name in `meta` of when the last backup was made."""
CHUNK = 1024 * 1024


class BackupNotWritten(Problem):
    """The disk that the backup goes to is full, read-only or failing."""

    status = 507
    slug = "backup-not-written"
    title = N_("The backup could not be written")
    detail = N_(
        "Free space in {folder}, or name a file elsewhere; nothing is left behind. The system said:"
        " {reason}"
    )


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that lies on the disk."""

    file: Path
    bytes: int
    manifest: Manifest

    def as_json(self) -> dict[str, Any]:
        """For a script. The heads are worth noting elsewhere: `patrouille audit verify --head`."""
        return {
            "file": str(self.file),
            "bytes": self.bytes,
            "made_at": self.manifest.made_at,
            "epoch": self.manifest.epoch,
            "rows": sum(self.manifest.rows.values()),
            "photos": self.manifest.photos,
            "missing_photos": self.manifest.missing,
            "attachments": self.manifest.attachments,
            "missing_attachments": self.manifest.missing_attachments,
            "heads": self.manifest.heads,
        }


def backup(record: Record, settings: Settings, file: Path, *, at: datetime) -> Backup:
    """Write a backup, whole and durably or not at all; a file of that name is replaced at the end.

    It is the record as it is at one moment; whoever writes meanwhile is not held up. Raises
    BackupNotWritten, RecordNotReady, RecordUnavailable, RecordDamaged.
    """
    record.check_ready()
    name = f"{file.name}.{uuid.uuid4().hex}"
    copy, part = (file.with_name(f"{name}{kind}{PART}") for kind in (".db", ""))
    try:
        with _written(file.parent, where=f"{copy}"):
            file.parent.mkdir(parents=True, exist_ok=True)
            copied = _copy(record, copy)
            manifest = _pack(copied, copy, part, settings, at=at)
            os.replace(part, file)
            fsync_folder(file.parent)
    finally:
        for left in (copy, part, *(copy.with_name(copy.name + tail) for tail in ("-wal", "-shm"))):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)
    record.write(lambda tx: _remember(tx, manifest, at))
    return Backup(file, file.stat().st_size, manifest)


@contextlib.contextmanager
def _written(folder: Path, *, where: str) -> Iterator[None]:
    """Within the block, what the disk refuses is a BackupNotWritten."""
    try:
        yield
    except StorageFailed as problem:
        if problem.facts["where"] != where:
            raise
        raise BackupNotWritten(folder=folder, reason=problem.facts["reason"]) from problem
    except OSError as error:
        raise BackupNotWritten(folder=folder, reason=error) from error


@dataclass(frozen=True, slots=True)
class _Copied:
    epoch: str
    rows: dict[str, int]
    photos: list[str]
    attachments: list[str]
    sealed: int
    heads: dict[str, tuple[int, str]]


def _copy(record: Record, file: Path) -> _Copied:
    """All rows of the record, as they are at one moment, in a new SQLite file."""
    os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
    copy = Record(f"sqlite:///{file}")
    try:
        copy.migrate()
        with record.reading() as source:

            def fill(target: Connection) -> dict[str, int]:
                target.execute(delete(meta))
                return transfer(source, target)

            rows = copy.write(fill)
            named = source.execute(select(photos.c.sha256).order_by(photos.c.sha256))
            attached = _attached(source)
            heads = audit.heads(source)
            return _Copied(
                epoch=record.epoch(source),
                rows=rows,
                photos=list(named.scalars()),
                attachments=sorted(attached),
                sealed=sum(attached.values()),
                heads={chain: (head.number, head.hash) for chain, head in heads.items()},
            )
    finally:
        copy.close()


def _attached(tx: Connection) -> dict[str, bool]:
    """The attached files that are needed, and whether each is encrypted."""
    c = attachments.c
    found = select(c.sha256, c.is_encrypted).where(c.removed_at.is_(None)).distinct()
    return {row.sha256: row.is_encrypted for row in tx.execute(found)}


def _pack(copied: _Copied, copy: Path, part: Path, settings: Settings, *, at: datetime) -> Manifest:
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            sha256 = _add(archive, RECORD, copy, zipfile.ZIP_DEFLATED)
            missing = _add_files(archive, PHOTOS, settings.photo_dir, copied.photos)
            lacking = _add_files(archive, ATTACHMENTS, settings.attachment_dir, copied.attachments)
            manifest = Manifest(
                format=FORMAT,
                made_at=codec.instant(at),
                revision=_revision(copy),
                epoch=copied.epoch,
                record_sha256=sha256,
                rows=copied.rows,
                photos=len(copied.photos) - len(missing),
                missing=missing,
                heads=copied.heads,
                attachments=len(copied.attachments) - len(lacking),
                missing_attachments=lacking,
                sealed=copied.sealed,
            )
            archive.writestr(MANIFEST, json.dumps(asdict(manifest), ensure_ascii=False, indent=1))
        file.flush()
        os.fsync(file.fileno())
    return manifest


def _add_files(
    archive: zipfile.ZipFile, place: str, folder: Path, names: Iterable[str]
) -> list[str]:
    """Put files into the archive that are named by their hashes; those that are not there, or not
    what their names promise. What lies in a backup can be restored.
    """
    missing = []
    for name in names:
        path = path_of(folder, name)
        if path.is_file() and hash_of(path) == name:
            _add(archive, place + name, path, zipfile.ZIP_STORED)
        else:
            missing.append(name)
    return missing


def _revision(copy: Path) -> str:
    made = Record(f"sqlite:///{copy}")
    try:
        return str(made.revision())
    finally:
        made.close()


def _add(archive: zipfile.ZipFile, name: str, path: Path, compression: int) -> str:
    """Put a file into the archive; its SHA-256."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = compression
    entry.external_attr = 0o600 << 16
    with open(path, "rb") as source, archive.open(entry, "w", force_zip64=True) as target:
        return carry(source, target)


def carry(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy bytes to the end; their SHA-256."""
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def hash_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remember(tx: Connection, manifest: Manifest, at: datetime) -> None:
    set_meta(tx, BACKED_UP_AT, manifest.made_at)
    facts = {"epoch": manifest.epoch, "photos": manifest.photos, "missing": len(manifest.missing)}
    audit.append(tx, Entry(at, "command", "backed_up", "record", facts))


def set_meta(tx: Connection, name: str, value: str) -> None:
    """Write what the record says of itself."""
    tx.execute(delete(meta).where(meta.c.name == name))
    tx.execute(meta.insert().values(name=name, value=value))
