"""Photos as evidence: hashed when taken, the original kept unaltered (DOMAIN 5)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps

LARGEST = 8 * 1024 * 1024
"""Bytes of a photo that the service takes."""
LARGEST_PIXELS = 89_000_000
"""Pixels of a photo that the service takes."""
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_FORMATS = ("JPEG", "PNG", "WEBP")


@dataclass(frozen=True, slots=True)
class Photo:
    """A kept picture: its name is its SHA-256."""

    sha256: str
    bytes: int
    taken_at: datetime
    path: Path


class PhotoRefused(Exception):
    """The file cannot be evidence: `reason` says why."""

    def __init__(self, reason: Literal["unreadable", "not_a_picture", "too_large"]):
        self.reason = reason
        super().__init__(reason)


def read_picture(source: Path) -> bytes:
    """The bytes of a picture file: JPEG, PNG or WebP, at most 8 MiB. Raises PhotoRefused."""
    try:
        with open(source, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise PhotoRefused("unreadable") from error
    if len(content) > LARGEST:
        raise PhotoRefused("too_large")
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            small_enough = picture.width * picture.height <= LARGEST_PIXELS
            if small_enough:
                picture.load()
    except Exception as error:  # Pillow raises many kinds for a file that is no picture
        raise PhotoRefused("not_a_picture") from error
    if not small_enough:
        raise PhotoRefused("too_large")
    return content


def thumbnail(picture: Path, side: int) -> bytes:
    """A small PNG of a picture, upright, for the screen. Raises PhotoRefused."""
    try:
        with Image.open(picture, formats=_FORMATS) as original:
            original.draft("RGB", (side * 2, side * 2))
            upright = ImageOps.exif_transpose(original).convert("RGB")
            upright.thumbnail((side, side))
            small = io.BytesIO()
            upright.save(small, "PNG")
            return small.getvalue()
    except Exception as error:  # as above
        raise PhotoRefused("not_a_picture") from error


def picture_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and the pictures in a folder, by name; hidden ones left out."""
    folders: list[Path] = []
    pictures: list[Path] = []
    try:
        for entry in sorted(folder.iterdir(), key=lambda path: path.name.casefold()):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry)
            elif entry.suffix.lower() in PICTURE_SUFFIXES:
                pictures.append(entry)
    except OSError:
        return [], []
    return folders, pictures
