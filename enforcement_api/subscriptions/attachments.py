"""Files that people attach: proofs, void cheques, files of messages. Looked into before they are
kept, named by the SHA-256 of what is kept, and gone with the last that needs them.

The same file under two ids is kept once; a void cheque is encrypted, each time anew. What is kept
may be another file than what came, since a picture is made anew (`inspection`): so what came is
known again by a hash of its own.

A row names a file only while that file is there. Whoever writes a row makes sure of it in the same
transaction, with the sweep held off; the sweep deletes what no row names, with everybody else held
off. Whatever crashes in between leaves a file too many, which the next sweep deletes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, get_args

from sqlalchemy import Connection, delete, select, update

from enforcement_api import hashed_files
from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import attachments, meta
from enforcement_api.infractions.photos import TooManyPixels
from enforcement_api.problems import N_, Invalid, Problem, Sentence, TooLarge
from enforcement_api.settings import Settings
from enforcement_api.shapes import UUID_PATTERN, mebibytes, mended
from enforcement_api.subscriptions import inspection, sealing
from sync import codec

_log = logging.getLogger(__name__)

Purpose = Literal["proof", "message", "cheque"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
SEALED: tuple[Purpose, ...] = ("cheque",)
"""What is encrypted, and of which each reading is written down."""

SWEPT_AT = "attachments_swept_at"
"""The name in `meta` of when files that nobody needs were last deleted; who holds the row, holds
off, or is, whoever deletes."""
INSPECTION_SECONDS = 60
"""How long a file is looked into: several times what its processor's seconds take here."""
LONGEST_NAME = 150

_UUID = re.compile(UUID_PATTERN)
_UNNAMED = "document"
"""What a file without a name is called: the same word in both languages."""
_PRIVATE = 0o600
_PASSED_ON = ("LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH")
"""What a program needs to find its modules; nothing of what else the service was told."""
_IN_ONE_QUERY = 500
_ENDINGS = {"image/jpeg": ".jpg", "image/png": ".png", inspection.PDF: ".pdf"}
_ALL_ENDINGS = (*_ENDINGS.values(), ".jpeg")
# Each takes up to `inspection.MEMORY`.
_inspecting = threading.BoundedSemaphore(2)
_c = attachments.c


# What is not kept


class FileTooLarge(TooLarge):
    """More bytes than a file of this purpose may have."""

    detail = N_(
        "At most {limit} are taken. Send a picture of a lower resolution, or print the document to"
        " a smaller PDF."
    )


class UnknownKind(Problem):
    """Neither JPEG nor PNG nor PDF."""

    status = 422
    slug = "unknown-kind-of-file"
    title = N_("This kind of file is not taken")
    detail = N_(
        "Send a JPEG, a PNG or a PDF. What the file is called does not count: photograph the"
        " document, or print it to a PDF."
    )


class DamagedFile(Problem):
    """A file that is not whole."""

    status = 422
    slug = "damaged-file"
    title = N_("The file is damaged")
    detail = N_(
        "It cannot be read to its end. Send it again; if that does not help, print it to a new PDF,"
        " or photograph it."
    )


class EncryptedPdf(Problem):
    """A PDF that asks for a password, or forbids something."""

    status = 422
    slug = "encrypted-pdf"
    title = N_("The PDF is protected")
    detail = N_(
        "Send it without its password or protection: print it to a new PDF, or photograph it."
    )


class TooManyPages(Problem):
    """A PDF that nobody would read to its end."""

    status = 422
    slug = "too-many-pages"
    title = N_("The PDF has too many pages")
    detail = N_("It has {pages}; at most {most} are taken. Print those that matter to a new PDF.")


class ActivePdf(Problem):
    """A PDF that does something, or carries something, besides being looked at."""

    status = 422
    slug = "active-pdf"
    title = N_("The PDF is more than a document")
    detail = N_("It holds {what}. Print it to a new PDF and send that, or photograph it.")


class TooIntricate(Problem):
    """A file that takes more time or memory to look into than any document should."""

    status = 422
    slug = "too-intricate"
    title = N_("The file takes too much work to look into")
    detail = N_("Print it to a new PDF and send that, or photograph it.")


class InspectionFailed(Problem):
    """The machine has no room or no time to look into a file now."""

    status = 503
    slug = "inspection-failed"
    title = N_("The file could not be looked into")
    detail = N_("Nothing was kept. Send it again in {retry_after} seconds.")


_HELD = {
    "script": Sentence(N_("a script")),
    "action": Sentence(N_("actions that run by themselves, or lead out of it")),
    "file": Sentence(N_("other files")),
    "form": Sentence(N_("a form of a kind that runs by itself (XFA)")),
    "media": Sentence(N_("sound, film or 3D")),
    "tail": Sentence(N_("something behind its end")),
}


def _problem_of(why: str, facts: dict[str, Any]) -> Problem:
    if why == "too-many-pixels":
        unknown = {name: "?" for name, fact in facts.items() if fact is None}
        return TooManyPixels(**(facts | unknown))
    if why == "active":
        return ActivePdf(what=_HELD[facts["what"]])
    kinds: dict[str, type[Problem]] = {
        "unknown-kind": UnknownKind,
        "damaged": DamagedFile,
        "encrypted": EncryptedPdf,
        "too-many-pages": TooManyPages,
    }
    return kinds[why](**facts)


def look_into(content: bytes, *, most_bytes: int) -> tuple[str, bytes]:
    """The media type of a file, and what is to be kept of it; by `inspection`, in a process of its
    own with little memory and time.

    Raises UnknownKind, DamagedFile, TooManyPixels, EncryptedPdf, TooManyPages, ActivePdf,
    TooIntricate, InspectionFailed.
    """
    limits = (most_bytes, inspection.MEMORY, inspection.PROCESSOR_SECONDS)
    command = [sys.executable, "-P", "-m", inspection.__name__, *map(str, limits)]
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        with _inspecting:
            done = subprocess.run(
                command,
                input=content,
                capture_output=True,
                timeout=INSPECTION_SECONDS,
                env=environment,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("a file could not be looked into: %s", type(error).__name__)
        raise InspectionFailed(retry_after=60) from None
    if done.returncode == inspection.OUT_OF_MEMORY or done.returncode < 0:
        if done.returncode in (-signal.SIGTERM, -signal.SIGINT):
            raise InspectionFailed(retry_after=60)  # somebody ended it
        raise TooIntricate
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        _log.error("files cannot be looked into: %s", told.partition(":")[0])
        raise InspectionFailed(retry_after=60)
    head, _, renewed = done.stdout.partition(b"\n")
    told_of_it = json.loads(head)
    if "why" in told_of_it:
        raise _problem_of(told_of_it["why"], told_of_it["facts"])
    media_type: str = told_of_it["media_type"]
    return media_type, renewed or content


# What is kept


class UnknownAttachment(Problem):
    """No such file."""

    status = 404
    slug = "unknown-attachment"
    title = N_("There is no such file")
    detail = N_("Check the id {id}. A file that nothing took within a day is deleted.")


class AttachmentConflict(Problem):
    """The id was used for something else."""

    status = 409
    slug = "attachment-conflict"
    title = N_("Another file was received under this id")
    detail = N_("What was received first stays unchanged. Send this one with an id of its own.")


class AttachmentGone(AttachmentConflict):
    """The file was received under this id, and was removed."""

    title = N_("The file of this id was removed")
    detail = N_("If it is needed again, send it with an id of its own.")


class AttachmentRemoved(Problem):
    """The file was there, and is not any more."""

    status = 404
    slug = "attachment-removed"
    title = N_("The file was removed")
    detail = N_("If it is needed again, have it sent again, with another id.")


class AttachmentLost(Problem):
    """The record has it, the disk does not."""

    status = 503
    slug = "attachment-lost"
    title = N_("The file is not on the disk, or is damaged there")
    detail = N_("Restore {file} from a backup.")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that was received. `bytes`: what a reader gets. `sha256`: of what lies on the disk,
    `given_sha256` of what came. `subject`: what it was handed in with, such as `request:<id>`.
    """

    site: str
    id: str
    purpose: Purpose
    name: str
    given_sha256: str
    sha256: str
    media_type: str
    bytes: int
    is_encrypted: bool
    received_at: datetime
    received_by: str
    subject: str | None = None
    removed_at: datetime | None = None

    def entry(self, action: str, *, by: str, at: datetime) -> Entry:
        """What was done to it, for the log: nothing of what it is called or holds."""
        facts = {"purpose": self.purpose, "bytes": self.bytes}
        return Entry(at, by, action, f"attachment:{self.id}", facts)


def largest(settings: Settings, purpose: Purpose) -> int:
    """How many bytes a file of this purpose may have."""
    return settings.largest_message_file if purpose == "message" else settings.largest_proof


def shown_name(given: str, *, media_type: str) -> str:
    """What a file is called: one line that ends as its kind does, without folders, characters that
    are not seen or turn the line around, and card numbers.
    """
    last = unicodedata.normalize("NFC", mended(given)).replace("\\", "/").rpartition("/")[2]
    seen = "".join(c for c in last if not unicodedata.category(c).startswith(("C", "Zl", "Zp")))
    stem = " ".join(seen.split()).rstrip(". ")
    ending = next((e for e in _ALL_ENDINGS if stem.lower().endswith(e)), "")
    stem = stem[: len(stem) - len(ending)].strip(". ")
    return (stem[:LONGEST_NAME].rstrip(". ") or _UNNAMED) + _ENDINGS[media_type]


def receive(
    record: Record,
    settings: Settings,
    *,
    site: str,
    id: str,
    purpose: Purpose,
    name: str,
    content: bytes,
    by: str,
    at: datetime,
) -> tuple[Attachment, bool]:
    """Keep a file; what is known of it, and whether this was the first time.

    Raises FileTooLarge, what `look_into` raises, AttachmentConflict, what
    `sealing.seal` raises, StorageFailed.
    """
    most = largest(settings, purpose)
    if len(content) > most:
        raise FileTooLarge(limit=mebibytes(most))
    given = hashlib.sha256(content).hexdigest()

    def again(known: Attachment) -> Attachment:
        named = shown_name(name, media_type=known.media_type)
        same = (known.site, known.purpose, known.given_sha256) == (site, purpose, given)
        if same and known.removed_at is not None:
            raise AttachmentGone
        if not same or known.name != named:
            raise AttachmentConflict
        return known

    known = record.read(lambda tx: _found(tx, id))
    if known is not None:
        return again(known), False
    media_type, kept = look_into(content, most_bytes=most)
    size, key = len(kept), None
    if purpose in SEALED:
        of = _place(site, id)
        kept, key = sealing.seal(record, settings.attachment_key_file, kept, of=of)
    made = Attachment(
        site=site,
        id=id,
        purpose=purpose,
        name=shown_name(name, media_type=media_type),
        given_sha256=given,
        sha256=hashlib.sha256(kept).hexdigest(),
        media_type=media_type,
        bytes=size,
        is_encrypted=key is not None,
        received_at=at,
        received_by=by,
    )
    folder = settings.attachment_dir
    path = hashed_files.path_of(folder, made.sha256)

    def keep() -> None:
        hashed_files.keep(folder, made.sha256, kept, mode=_PRIVATE)

    def put(tx: Connection) -> Attachment | None:
        _hold_off_sweep(record, tx)
        if not path.exists():
            keep()  # it was swept before a row named it, which nobody does from here on
        if key is not None and not sealing.is_in_use(tx, key):
            raise sealing.WrongKey(file=settings.attachment_key_file)
        added = tx.execute(record.insert(attachments).values(asdict(made)).on_conflict_do_nothing())
        if added.rowcount:
            audit.append(tx, made.entry("attachment-received", by=by, at=at), site=site)
            return made
        return _found(tx, id)

    keep()  # here and not there, so that nobody waits for a disk
    stored = record.write(put)
    assert stored is not None, f"an attachment neither added nor found: {id}"
    return (made, True) if stored is made else (again(stored), False)


def content_of(record: Record, settings: Settings, attachment: Attachment) -> bytes:
    """What a reader gets of a file. Raises AttachmentLost, what `sealing.opened` raises."""
    content = hashed_files.whole(settings.attachment_dir, attachment.sha256)
    if content is None:
        file = hashed_files.path_of(settings.attachment_dir, attachment.sha256)
        raise AttachmentLost(file=file)
    if not attachment.is_encrypted:
        return content
    of = _place(attachment.site, attachment.id)
    return sealing.opened(record, settings.attachment_key_file, content, of=of)


def _place(site: str, id: str) -> str:
    return f"{site}/{id}"


def _hold_off_sweep(record: Record, tx: Connection) -> None:
    _begin_sweeping(record, tx)
    here = select(meta.c.value).where(meta.c.name == SWEPT_AT)
    tx.execute(here.with_for_update(read=True))


def _begin_sweeping(record: Record, tx: Connection) -> None:
    never = record.insert(meta).values(name=SWEPT_AT, value="")
    tx.execute(never.on_conflict_do_nothing())


# In the record


def is_id(text: str) -> bool:
    """Whether a file could have this id."""
    return _UUID.fullmatch(text) is not None


def _attachment(row: Any) -> Attachment:
    return Attachment(**row._mapping)


def _found(tx: Connection, id: str) -> Attachment | None:
    row = tx.execute(select(attachments).where(_c.id == id)).first()
    return None if row is None else _attachment(row)


def find(tx: Connection, id: str) -> Attachment:
    """A file that is there. Raises UnknownAttachment, AttachmentRemoved."""
    found = _found(tx, id.lower()) if is_id(id) else None
    if found is None:
        raise UnknownAttachment(id=id)
    if found.removed_at is not None:
        raise AttachmentRemoved
    return found


def use(
    tx: Connection,
    site: str,
    ids: Sequence[str],
    *,
    purposes: Collection[str],
    subject: str,
    pointer: str,
) -> None:
    """Say what files were handed in with: they stay as long as that. Safe to do again.

    Raises Invalid at `pointer`/<i> for each that is not there, has another purpose, or was handed
    in with something else.
    """
    errors = []
    for i, id in enumerate(ids):
        wrong = _take(tx, site, id, purposes=purposes, subject=subject)
        if wrong is not None:
            errors.append(Problem.Error(f"{pointer}/{i}", wrong))
    if errors:
        raise Invalid(errors=errors)


def _take(
    tx: Connection, site: str, id: str, *, purposes: Collection[str], subject: str
) -> str | None:
    """Make a file one of a subject's; what is wrong with that, or None."""
    if not is_id(id):
        return _NOT_THERE
    here = (_c.site == site, _c.id == id.lower(), _c.removed_at.is_(None))
    # Locked: it may be swept, or taken for something else, at this moment.
    row = tx.execute(select(_c.purpose, _c.subject).where(*here).with_for_update()).first()
    if row is None:
        return _NOT_THERE
    if row.purpose not in purposes:
        return N_("is a file that was sent for another purpose")
    if row.subject not in (None, subject):
        return N_("was handed in with something else: send the file again, with an id of its own")
    tx.execute(update(attachments).where(*here).values(subject=subject))
    return None


_NOT_THERE = N_("is no file that is here: send it first, and within a day what it belongs to")


def of_subjects(tx: Connection, site: str, subjects: Collection[str]) -> list[Attachment]:
    """The files that were handed in with these, and are there; the oldest first."""
    found: list[Attachment] = []
    for some in _parts(sorted(subjects)):
        here = (_c.site == site, _c.subject.in_(some), _c.removed_at.is_(None))
        found += map(_attachment, tx.execute(select(attachments).where(*here)))
    return sorted(found, key=lambda one: (one.received_at, one.id))


def remove(tx: Connection, wanted: Sequence[Attachment], *, by: str, at: datetime) -> None:
    """Take files away: nobody can read them any more, and what they were called is forgotten. They
    leave the disk with `delete_unnamed`, or with the next sweep.
    """
    for one in wanted:
        here = (_c.site == one.site, _c.id == one.id, _c.removed_at.is_(None))
        gone = update(attachments).where(*here).values(removed_at=at, name="")
        if tx.execute(gone).rowcount:
            audit.append(tx, one.entry("attachment-removed", by=by, at=at), site=one.site)


def note_reading(tx: Connection, read: Attachment, *, by: str, at: datetime) -> None:
    """Write down that somebody was given a file's content."""
    audit.append(tx, read.entry("attachment-read", by=by, at=at), site=read.site)


def sweep(
    record: Record, settings: Settings, *, before: datetime, at: datetime
) -> list[Attachment]:
    """Delete what came before an instant and was handed in with nothing, and every file that no
    row names. The former, the oldest first. Raises StorageFailed.
    """

    def forget(tx: Connection) -> list[Attachment]:
        here = (_c.subject.is_(None), _c.removed_at.is_(None), _c.received_at < before)
        gone = tx.execute(delete(attachments).where(*here).returning(*_c))
        untaken = sorted(map(_attachment, gone), key=lambda one: (one.site, one.received_at))
        for one in untaken:
            audit.append(tx, one.entry("attachment-swept", by="service", at=at), site=one.site)
        return untaken

    untaken = record.write(forget)
    delete_unnamed(record, settings, list(hashed_files.names(settings.attachment_dir)), at=at)
    hashed_files.sweep_parts(settings.attachment_dir)
    return untaken


def delete_unnamed(
    record: Record, settings: Settings, sha256s: Sequence[str], *, at: datetime
) -> int:
    """Delete those of these files that no row names; how many. Raises StorageFailed."""
    count = 0
    for some in _parts(sha256s):
        # Looked at before anybody is held off: there is seldom anything to delete.
        unnamed = record.read(partial(_unnamed, sha256s=some))

        def work(tx: Connection, those: Sequence[str] = unnamed) -> int:
            _begin_sweeping(record, tx)
            here = meta.c.name == SWEPT_AT
            tx.execute(update(meta).where(here).values(value=codec.instant(at)))
            gone = _unnamed(tx, those)
            for sha256 in gone:
                hashed_files.delete(settings.attachment_dir, sha256)
            return len(gone)

        if unnamed:
            count += record.write(work)
    return count


def _unnamed(tx: Connection, sha256s: Sequence[str]) -> list[str]:
    named = select(_c.sha256).where(_c.sha256.in_(sha256s), _c.removed_at.is_(None))
    found = set(tx.execute(named).scalars())
    return [sha256 for sha256 in sha256s if sha256 not in found]


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for i in range(0, len(values), _IN_ONE_QUERY):
        yield values[i : i + _IN_ONE_QUERY]
