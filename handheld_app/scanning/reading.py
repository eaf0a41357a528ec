"""What a plate reader promises, whichever reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image

Region = tuple[int, int, int, int]
"""x, y, width, height in pixels of a picture."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a plate may say.

    text        2 to 8 of A-Z and 0-9, as `sync.plates.normalise` leaves them
    confidence  0 to 1; those of one picture add up to no more than 1
    box         where it stands in the picture given, upright
    """

    text: str
    confidence: float
    box: Region


class ReadingError(Exception):
    """A picture cannot be read.

    ReaderMissing   what reads plates is not installed on this device; the message says what to do
    """


class ReaderMissing(ReadingError):
    """What reads plates is not installed here: plates are typed."""


class PlateReader(Protocol):
    """Reads plates. One picture at a time: callers share a reader among threads with a lock."""

    def read(self, image: Image, region: Region | None = None) -> list[Candidate]:
        """The most prominent plate's text, best reading first; empty when there is none.

        `image` is a PIL picture in mode RGB. `region` is the part of it to look in (the
        viewfinder), None all of it; boxes are in pixels of `image` in either case. A region that
        reaches over the edge is cut; one that lies outside finds nothing.
        Raises ReaderMissing.
        """


def open_reader() -> PlateReader:
    """The reader of this device: ML Kit on Android, the networks of `rapidocr` elsewhere.

    It takes a second and some 150 MB: open it when somebody scans, not at the start.
    Raises ReaderMissing.
    """
    if "ANDROID_ARGUMENT" in os.environ:
        from handheld_app.scanning.mlkit import MLKitReader

        return MLKitReader()
    try:
        from handheld_app.scanning.rapid import RapidReader
    except ImportError as error:
        raise ReaderMissing(
            f"{error.name or 'a package'} is missing: pip install 'patrouille[reader]'"
        ) from error
    return RapidReader()


def within(region: Region | None, size: tuple[int, int]) -> Region | None:
    """The part of a region that lies within a picture of this width and height; None if none."""
    width, height = size
    if region is None:
        return (0, 0, width, height) if width > 0 and height > 0 else None
    x, y, w, h = region
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + w, width), min(y + h, height)
    return (left, top, right - left, bottom - top) if left < right and top < bottom else None
