"""Photos as evidence: hashed when taken, the original kept unaltered (DOMAIN 5)."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal

from PIL import Image, ImageOps

LARGEST = 8 * 1024 * 1024
"""Bytes of a photo that the service takes."""
LARGEST_PIXELS = 89_000_000
"""Pixels of a photo that the service takes."""
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_FORMATS = ("JPEG", "PNG", "WEBP")


Shows = Literal["plate", "context", "sign", "other"]
"""What a photo is of; `other` until somebody says."""

WANTED: tuple[Shows, ...] = ("plate", "context", "sign")
"""What the photos of an infraction show, in the order in which they are asked for."""

QUALITY = 90
"""Of the JPEG that a picture of the camera becomes, once."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A kept picture: its name is its SHA-256. `faces`: how many were found in it; None: nobody
    looked.
    """

    sha256: str
    bytes: int
    taken_at: datetime
    path: Path
    shows: Shows = "other"
    faces: int | None = None


Refusal = Literal[
    "unreadable", "not_a_picture", "too_large", "too_many_pixels", "no_room", "not_kept"
]


class PhotoRefused(Exception):
    """The file cannot be evidence: `reason` says why."""

    def __init__(self, reason: Refusal) -> None:
        self.reason = reason
        super().__init__(reason)


def read_picture(source: Path) -> bytes:
    """The bytes of a picture file: JPEG, PNG or WebP, at most 8 MiB. Raises PhotoRefused."""
    try:
        with _open(source) as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise PhotoRefused("unreadable") from error
    if len(content) > LARGEST:
        raise PhotoRefused("too_large")
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            _check_pixels(picture)
            picture.load()
    except PhotoRefused:
        raise
    except Exception as error:  # Pillow raises many kinds for a file that is no picture
        raise PhotoRefused("not_a_picture") from error
    return content


def encode(frame: Image.Image) -> bytes:
    """What the camera saw, as a JPEG: these bytes are the original. Takes its time. Raises
    PhotoRefused.
    """
    file = io.BytesIO()
    try:
        frame.convert("RGB").save(file, "JPEG", quality=QUALITY)
    except (OSError, ValueError, MemoryError) as error:
        raise PhotoRefused("not_a_picture") from error
    if file.tell() > LARGEST:
        raise PhotoRefused("too_large")
    return file.getvalue()


def thumbnail(picture: Path, side: int) -> bytes:
    """A small PNG of a picture, upright, for the screen. Raises PhotoRefused."""
    try:
        with _open(picture) as file, Image.open(file, formats=_FORMATS) as original:
            _check_pixels(original)
            original.draft("RGB", (side * 2, side * 2))
            original.thumbnail((side, side))
            upright = ImageOps.exif_transpose(original).convert("RGB")
            small = io.BytesIO()
            upright.save(small, "PNG")
            return small.getvalue()
    except PhotoRefused:
        raise
    except OSError as error:
        raise PhotoRefused("unreadable") from error
    except Exception as error:  # as above
        raise PhotoRefused("not_a_picture") from error


def _open(path: Path) -> BinaryIO:
    """A regular file: reading from a pipe that only has the name of one would never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is no regular file")
    return open(path, "rb")


def _check_pixels(picture: Image.Image) -> None:
    """Before it is decoded: a small file may be a picture of a great many pixels."""
    if picture.width * picture.height > LARGEST_PIXELS:
        raise PhotoRefused("too_many_pixels")


def picture_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders by name and the pictures, the newest first, in a folder; no hidden ones.

    What cannot be read is left out.
    """
    folders: list[Path] = []
    pictures: list[tuple[float, Path]] = []
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError:
        return [], []
    for entry in found:
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        try:
            status = entry.stat()
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode):
            folders.append(path)
        elif stat.S_ISREG(status.st_mode) and path.suffix.lower() in PICTURE_SUFFIXES:
            pictures.append((status.st_mtime, path))
    folders.sort(key=lambda path: path.name.casefold())
    pictures.sort(key=lambda dated: (-dated[0], dated[1].name))
    return folders, [path for _, path in pictures]
