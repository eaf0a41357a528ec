"""What is kept encrypted: files with people's bank details, under one key of the installation.

The key lies in a file of its own, which is made when it is first needed, and is in no backup. The
record knows which key it is by a fingerprint of it: without that key nothing is sealed or opened,
and no new one is made over files that an old one sealed.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import uuid
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, exists, select, update

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import attachments, meta
from enforcement_api.problems import N_, Problem, storage
from sync.files import PART, fsync_folder, make_folder

KEY_IN_USE = "attachment_key"
"""The name in `meta` of the fingerprint of the key that files are sealed with."""

_BYTES = 32
_NONCE = 12
_FORM = b"\x01"
"""What a sealed file begins with: its form. Then come the nonce, the content and the tag."""


class KeyMissing(Problem):
    """Files were sealed, and the key is not there."""

    status = 503
    slug = "attachment-key-missing"
    title = N_("The key of encrypted files is missing")
    detail = N_(
        "Put it back as {file}; it is in no backup of the record. No new one is made as long as"
        " there are files that need it."
    )


class WrongKey(Problem):
    """The key is not the one that files were sealed with."""

    status = 503
    slug = "attachment-key-wrong"
    title = N_("The key of encrypted files is another than it was")
    detail = N_("Put the key back as {file} that they were encrypted with.")


class UnusableKey(Problem):
    """The key's file holds no key, or cannot be read."""

    status = 503
    slug = "attachment-key-unusable"
    title = N_("The key of encrypted files cannot be used")
    detail = N_(
        "{file} must hold 32 bytes in base64, and be readable by the service. Put the right file"
        " in its place. The system said: {reason}"
    )


class SealBroken(Problem):
    """A sealed file that the right key does not open."""

    status = 503
    slug = "seal-broken"
    title = N_("The file cannot be decrypted")
    detail = N_("It was changed on the disk. Restore it from a backup.")


def seal(record: Record, key_file: Path, content: bytes, *, of: str) -> tuple[bytes, str]:
    """The content encrypted, to be opened as what it is `of` alone, and the fingerprint of the key.
    The key is made if none was needed so far.

    Raises KeyMissing, WrongKey, UnusableKey, StorageFailed.
    """
    nonce, key = os.urandom(_NONCE), _key(record, key_file, making=True)
    sealed = AESGCM(key).encrypt(nonce, content, of.encode())
    return _FORM + nonce + sealed, fingerprint(key)


def is_in_use(tx: Connection, key: str) -> bool:
    """Whether the key of this fingerprint is the one in use, until the transaction ends."""
    known = select(meta.c.value).where(meta.c.name == KEY_IN_USE).with_for_update(read=True)
    return tx.execute(known).scalar() == key


def opened(record: Record, key_file: Path, sealed: bytes, *, of: str) -> bytes:
    """What was sealed as `of`. Raises KeyMissing, WrongKey, UnusableKey, SealBroken."""
    key = _key(record, key_file, making=False)
    nonce, content = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
    try:
        if not sealed.startswith(_FORM):
            raise SealBroken
        return AESGCM(key).decrypt(nonce, content, of.encode())
    except (InvalidTag, ValueError) as error:
        raise SealBroken from error


def fingerprint(key: bytes) -> str:
    """What tells one key from another, and tells nothing of it."""
    return hashlib.sha256(b"patrouille attachment key\0" + key).hexdigest()[:32]


def _key(record: Record, key_file: Path, *, making: bool) -> bytes:
    in_use, is_needed = record.read(_in_use)
    key = _read(key_file)
    if key is None:
        if is_needed or not making:
            raise KeyMissing(file=key_file)
        _make(key_file)
        key = _read(key_file)
        if key is None:
            raise KeyMissing(file=key_file)
    if in_use != fingerprint(key) and not record.write(lambda tx: _take(record, tx, key)):
        raise WrongKey(file=key_file)
    return key


def _in_use(tx: Connection) -> tuple[str | None, bool]:
    """The fingerprint of the key in use, and whether there are files that need it."""
    known = tx.execute(select(meta.c.value).where(meta.c.name == KEY_IN_USE)).scalar()
    sealed = exists().where(attachments.c.is_encrypted, attachments.c.removed_at.is_(None))
    return known, known is not None and bool(tx.execute(select(sealed)).scalar_one())


def _take(record: Record, tx: Connection, key: bytes) -> bool:
    """Make a key the one in use, if no other one is needed; whether it is."""
    here = meta.c.name == KEY_IN_USE
    row = {"name": KEY_IN_USE, "value": fingerprint(key)}
    tx.execute(record.insert(meta).values(row).on_conflict_do_nothing())
    tx.execute(select(meta.c.value).where(here).with_for_update())
    in_use, is_needed = _in_use(tx)
    if in_use != row["value"] and not is_needed:
        tx.execute(update(meta).where(here).values(value=row["value"]))
        return True
    return in_use == row["value"]


def _read(key_file: Path) -> bytes | None:
    try:
        key = base64.b64decode(key_file.read_bytes().strip(), validate=True)
        if len(key) != _BYTES:
            raise ValueError(f"{len(key)} bytes")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, binascii.Error) as error:
        raise UnusableKey(file=key_file, reason=error) from error
    return key


def _make(key_file: Path) -> None:
    """Write a new key durably, for its owner's eyes alone, unless another process does so first."""
    part = key_file.with_name(f"{key_file.name}.{uuid.uuid4().hex}{PART}")
    with storage(key_file):
        make_folder(key_file.parent)
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(base64.b64encode(os.urandom(_BYTES)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(part, key_file)
        finally:
            part.unlink(missing_ok=True)
        fsync_folder(key_file.parent)
