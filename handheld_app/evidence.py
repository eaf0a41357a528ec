"""Photos as evidence: hashed when taken, the original kept unaltered (DOMAIN 5)."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from PIL import Image

LARGEST = 8 * 1024 * 1024
"""Bytes of a photo that the service takes."""
LARGEST_SIDE = 20_000
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_SUFFIX_OF = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}


@dataclass(frozen=True, slots=True)
class Photo:
    """A kept picture: its name is its SHA-256."""

    sha256: str
    bytes: int
    taken_at: datetime
    path: Path


class PhotoRefused(Exception):
    """The file cannot be evidence: `reason` says why."""

    def __init__(self, reason: Literal["unreadable", "not_a_picture", "too_large", "not_kept"]):
        self.reason = reason
        super().__init__(reason)


def keep_photo(source: Path, folder: Path, *, taken_at: datetime) -> Photo:
    """Copy a picture file into the folder, byte for byte, under its SHA-256; it is on disk then.

    JPEG, PNG or WebP, at most 8 MiB. Raises PhotoRefused.
    """
    try:
        with open(source, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise PhotoRefused("unreadable") from error
    if len(content) > LARGEST:
        raise PhotoRefused("too_large")
    suffix = _picture_suffix(content)
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / f"{sha256}{suffix}"
    try:
        _write(path, content)
    except OSError as error:
        raise PhotoRefused("not_kept") from error
    return Photo(sha256, len(content), taken_at, path)


def _picture_suffix(content: bytes) -> str:
    try:
        with Image.open(io.BytesIO(content), formats=list(_SUFFIX_OF)) as picture:
            suffix = _SUFFIX_OF[str(picture.format)]
            if max(picture.size) > LARGEST_SIDE:
                raise PhotoRefused("too_large")
            picture.load()
    except PhotoRefused:
        raise
    except Exception as error:  # Pillow raises many kinds for a file that is no picture
        raise PhotoRefused("not_a_picture") from error
    return suffix


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = path.with_suffix(".part")
    try:
        with open(half, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(half, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            half.unlink()


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
