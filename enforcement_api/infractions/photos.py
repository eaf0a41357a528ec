"""Photos as evidence: named by their SHA-256, truly pictures, kept unaltered and durably; and what
the record says of them.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from sqlalchemy import Connection, bindparam, exists, func, select

from enforcement_api import hashed_files, pictures
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import devices, infraction_photos, photos
from enforcement_api.infractions import store, weighing
from enforcement_api.infractions.core import Event
from enforcement_api.pictures import MOST_PIXELS, Jpeg, load, media_type
from enforcement_api.problems import N_, Problem, TooLarge
from enforcement_api.security import Principal
from enforcement_api.shapes import mebibytes

MOST_UNNAMED = 64 * 1024 * 1024
"""Bytes of photos of one device that no infraction names. A handheld hands infractions over first;
another client may do otherwise, with a few."""
MOST_AFTER_REVOCATION = 4 * 1024 * 1024 * 1024
"""Bytes of photos that a revoked device may still hand over: more than a month's work."""
_PHOTO = select(photos).where(photos.c.sha256 == bindparam("of_photo"))
_WITH_PHOTO = (
    select(infraction_photos.c.site, infraction_photos.c.infraction)
    .where(infraction_photos.c.sha256 == bindparam("of_photo"))
    .distinct()
    .order_by(infraction_photos.c.site, infraction_photos.c.infraction)
)

_FORMATS = ("JPEG", "PNG", "WEBP")
# Each picture takes up to 360 MB while it is decoded: not many at once.
_decoding = threading.BoundedSemaphore(2)


class PhotoTooLarge(TooLarge):
    """More bytes than a photo may have."""

    detail = N_("A photo may have {limit} bytes. Take it with a lower resolution.")


class WrongHash(Problem):
    """The bytes are not those that were hashed when the photo was taken."""

    status = 422
    slug = "photo-hash"
    title = N_("The photo is not the one that its name promises")
    detail = N_(
        "Its SHA-256 is {found}, not {named}: send the original file again, unaltered and whole."
    )


class NotAPicture(Problem):
    """Not JPEG, PNG or WebP, or damaged."""

    status = 422
    slug = "not-a-picture"
    title = N_("The file is no picture that can be shown")
    detail = N_("Send a whole JPEG, PNG or WebP file.")


class TooManyPixels(Problem):
    """A picture so large, once decoded, that looking at it would be dangerous."""

    status = 422
    slug = "too-many-pixels"
    title = N_("The picture has too many pixels")
    detail = N_("It has {width} × {height}; at most {most} in all are taken.")

    @classmethod
    def of(cls, found: pictures.TooManyPixels, *, most: int) -> TooManyPixels:
        """The problem that such a picture is."""
        return cls(width=found.width or "?", height=found.height or "?", most=most)


class InfractionFirst(Problem):
    """More than a device may leave here that no infraction names. It passes when the infraction
    comes, as it does again to a record that was restored: the photo is to be kept and sent again.
    """

    status = 507
    slug = "infraction-first"
    title = N_("The infraction that the photo is of is not here")
    detail = N_(
        "This device has left as many photos that no infraction names as there is room for, {most}."
        " Hand over the infraction, then the photo again."
    )


class NoRoomForPhoto(Problem):
    """More than a revoked device may leave here."""

    status = 409
    slug = "no-room-for-photo"
    title = N_("No more photos of this device are taken")
    detail = N_(
        "A revoked device may hand over {most}; give whoever administers the service what is"
        " beyond."
    )


class UnknownPhoto(Problem):
    """No such photo."""

    status = 404
    slug = "unknown-photo"
    title = N_("There is no such photo")
    detail = N_(
        "Check the SHA-256 {sha256}; an infraction's `photos` say which have been received."
    )


# As files


def inspect(content: bytes, *, named: str) -> str:
    """The media type of a picture, by what is in it. Raises WrongHash, NotAPicture, TooManyPixels.

    The whole picture is decoded, so that a damaged one is found out while the device has it still.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != named:
        raise WrongHash(found=found, named=named)
    try:
        with _decoding:
            return media_type(load(content, _FORMATS))
    except pictures.TooManyPixels as error:
        raise TooManyPixels.of(error, most=MOST_PIXELS) from error
    except pictures.NotAPicture as error:
        raise NotAPicture from error


def preview(folder: Path, sha256: str, *, longest_side: int) -> bytes | None:
    """A photo as a smaller JPEG for a screen; None: the file is not there, or no picture."""
    try:
        content = hashed_files.path_of(folder, sha256).read_bytes()
        with _decoding:
            return pictures.preview(content, _FORMATS, longest_side=longest_side)
    except (OSError, pictures.NotAPicture, pictures.TooManyPixels):
        return None


def as_jpeg(content: bytes) -> tuple[Jpeg, bytes]:
    """A photo as what a PDF can hold: its own bytes where it is a JPEG. Raises NotAPicture,
    TooManyPixels.
    """
    try:
        with _decoding:
            return pictures.as_jpeg(content, _FORMATS)
    except pictures.TooManyPixels as error:
        raise TooManyPixels.of(error, most=MOST_PIXELS) from error
    except pictures.NotAPicture as error:
        raise NotAPicture from error


# In the record


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """A photo that was received."""

    sha256: str
    media_type: str
    bytes: int
    received_at: datetime


def stored(tx: Connection, sha256: str) -> StoredPhoto | None:
    """A photo that was received, or None."""
    row = tx.execute(_PHOTO, {"of_photo": sha256}).first()
    if row is None:
        return None
    return StoredPhoto(row.sha256, row.media_type, row.bytes, row.received_at)


def check_room(tx: Connection, sha256: str, size: int, *, by: Principal) -> None:
    """Whether a device may leave a photo of so many bytes.

    Raises NoRoomForPhoto, InfractionFirst.
    """
    if stored(tx, sha256) is not None:
        return
    of_device = select(func.coalesce(func.sum(photos.c.bytes), 0)).where(photos.c.device == by.id)
    # First what no infraction changes.
    if by.revoked:
        revoked_at = select(devices.c.revoked_at).where(devices.c.id == by.id).scalar_subquery()
        since = of_device.where(photos.c.received_at >= revoked_at)
        if tx.execute(since).scalar_one() + size > MOST_AFTER_REVOCATION:
            raise NoRoomForPhoto(most=mebibytes(MOST_AFTER_REVOCATION))
    if not _with_photo(tx, sha256):
        named = exists().where(infraction_photos.c.sha256 == photos.c.sha256)
        unnamed = of_device.where(photos.c.is_named.is_(False), ~named)
        if tx.execute(unnamed).scalar_one() + size > MOST_UNNAMED:
            raise InfractionFirst(most=mebibytes(MOST_UNNAMED))


def put(record: Record, tx: Connection, kept: StoredPhoto, *, device: str) -> bool:
    """Remember a photo whose file is on disk; whether it is new."""
    added = tx.execute(
        record.insert(photos)
        .values(
            sha256=kept.sha256,
            media_type=kept.media_type,
            bytes=kept.bytes,
            received_at=kept.received_at,
            device=device,
            is_named=exists().where(infraction_photos.c.sha256 == kept.sha256),
        )
        .on_conflict_do_nothing()
    )
    named = _with_photo(tx, kept.sha256)
    # Once more where it had come before: it may have come at the same moment as its infraction.
    for site, ids in groupby(named, key=itemgetter(0)):
        weighing.weigh(tx, site, [id for _, id in ids])
    if not added.rowcount:
        return False
    for site, id in named:
        infraction = store.find(tx, id)
        facts = {"sha256": kept.sha256, "missing": len(infraction.photos_missing)}
        at, state, by = kept.received_at, infraction.state, f"device:{device}"
        store.remember(tx, site, id, Event(at, "photo_received", state, by, facts))
    return True


def _with_photo(tx: Connection, sha256: str) -> list[tuple[str, str]]:
    """The infractions that name a photo, in the order in which sites are locked."""
    found = tx.execute(_WITH_PHOTO, {"of_photo": sha256})
    return [(row.site, row.infraction) for row in found]


def sites_of(tx: Connection, sha256: str) -> list[str]:
    """The sites that have an infraction with this photo."""
    return list(
        tx.execute(
            select(infraction_photos.c.site).where(infraction_photos.c.sha256 == sha256).distinct()
        ).scalars()
    )
