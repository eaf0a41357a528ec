"""What is in a file that somebody attached: a JPEG, a PNG or a PDF that does nothing by itself.

A file may be made to keep whoever opens it busy for hours, or to take all memory. So this is a
program of its own, to be run in a process with little of both (`look_into` of `attachments`):
the file on stdin; on stdout one line of JSON, then, for a picture, the picture made anew. It
imports what it needs for that and nothing else of the service, so that it starts quickly.

    python -m enforcement_api.subscriptions.inspection MOST_BYTES MEMORY PROCESSOR_SECONDS
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pypdf import PdfReader

MOST_PIXELS = 64_000_000
"""More than telephones make; decoded, it takes a quarter of the memory."""
MOST_PAGES = 100
MEMORY = 768 * 1024 * 1024
"""Bytes of address space that the process gets: enough to turn a picture of that many pixels."""
PROCESSOR_SECONDS = 10

PDF = "application/pdf"
OUT_OF_MEMORY = 3
"""What the process exits with when its memory is used up."""

_PDF_BEGINS, _PDF_ENDS = b"%PDF-", b"%%EOF"
_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")
_NAMED = re.compile(rb"/(JavaScript|Launch|EmbeddedFile|RichMedia)(?![^\s\0()<>\[\]{}/%])")
_BY_NAME = {
    b"JavaScript": "script",
    b"Launch": "action",
    b"EmbeddedFile": "file",
    b"RichMedia": "media",
}
_WORST_FIRST = ("script", "action", "file", "form", "media")
_SCRIPTS = {"/JS", "/JavaScript"}
_ACTIONS = {"/Launch", "/ImportData", "/SubmitForm", "/GoToR", "/GoToE", "/RichMediaExecute"}
_MEDIA = {"/Sound", "/Movie", "/Rendition", "/RichMedia", "/Screen", "/3D"}
_FILES = {"/EF", "/EmbeddedFiles", "/Collection"}


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be kept. `renewed`: made anew; None: it is kept as it came."""

    media_type: str
    renewed: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that may not be kept, by a word of WHY, with what there is to say of it."""

    why: str
    facts: Mapping[str, int | str | None] = field(default_factory=dict)


def inspect(content: bytes, *, most_bytes: int) -> Found | Refused:
    """What a file is, by what is in it. A picture is made anew, of `most_bytes` at most."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a picture says of itself, and nobody asks
        return _inspect(content, most_bytes)


def _inspect(content: bytes, most_bytes: int) -> Found | Refused:
    if content.startswith(_PDF_BEGINS):
        why = _why_not_pdf(content)
        return Found(PDF) if why is None else why
    from enforcement_api import pictures

    try:
        picture = pictures.load(content, ("JPEG", "PNG"), most_pixels=MOST_PIXELS)
        renewed = pictures.renewed(picture, most_bytes=most_bytes)
    except pictures.TooManyPixels as found:
        facts = {"width": found.width, "height": found.height, "most": MOST_PIXELS}
        return Refused("too-many-pixels", facts)
    except pictures.NotAPicture:
        is_one = content.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        return Refused("damaged" if is_one else "unknown-kind")
    return Found(pictures.media_type(picture), renewed)


# PDF


def _why_not_pdf(content: bytes) -> Refused | None:
    """Why a PDF may not be kept; None: it may."""
    from pypdf import PdfReader

    behind = content[content.rfind(_PDF_ENDS) + len(_PDF_ENDS) :]
    if _PDF_ENDS not in content:
        return Refused("damaged")
    if behind.strip(b"\0 \t\r\n\f"):
        return Refused("active", {"what": "tail"})
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted:
            return Refused("encrypted")
        pages = len(reader.pages)
        if not pages:
            return Refused("damaged")
        if pages > MOST_PAGES:
            return Refused("too-many-pages", {"pages": pages, "most": MOST_PAGES})
        done = {*_does(reader), *_names(content)}
    except MemoryError:
        raise
    except Exception:  # pypdf raises many kinds for what is no PDF
        return Refused("damaged")
    what = next((what for what in _WORST_FIRST if what in done), None)
    return None if what is None else Refused("active", {"what": what})


def _does(reader: PdfReader) -> Iterator[str]:
    """What the parts of a PDF would do besides being looked at and printed."""
    for part in _parts(reader):
        said = {str(part[key]) for key in ("/S", "/Subtype", "/Type") if key in part}
        if _SCRIPTS & (part.keys() | said):
            yield "script"
        if "/AA" in part or _ACTIONS & said or _acts(part.get("/OpenAction")):
            yield "action"
        if _FILES & part.keys() or {"/EmbeddedFile", "/FileAttachment"} & said:
            yield "file"
        if "/XFA" in part:
            yield "form"
        if _MEDIA & said:
            yield "media"


def _acts(action: Any) -> bool:
    """Whether it does more than show a page: most programs write which one to open at."""
    whole = None if action is None else action.get_object()
    if whole is None or isinstance(whole, list):
        return False
    return not isinstance(whole, dict) or whole.get("/S") != "/GoTo"


def _parts(reader: PdfReader) -> Iterator[dict[str, Any]]:
    """Every dictionary of a PDF: of each object that there is, and of each that is pointed to."""
    from pypdf.generic import IndirectObject

    seen: set[tuple[int, int]] = set()
    waiting: list[Any] = [reader.trailer]
    numbered = [(number, of) for of, numbers in reader.xref.items() for number in numbers]
    for number, generation in (*numbered, *((number, 0) for number in reader.xref_objStm)):
        waiting.append(IndirectObject(number, generation, reader))
    while waiting:
        part = waiting.pop()
        if isinstance(part, IndirectObject):
            place = (part.idnum, part.generation)
            if place not in seen:
                seen.add(place)
                waiting.append(part.get_object())
        elif isinstance(part, dict):
            yield part
            waiting += dict.values(part)
        elif isinstance(part, list):
            waiting += list.__iter__(part)


def _names(content: bytes) -> Iterator[str]:
    """What the bytes themselves name: a reader may find objects that another one overlooks."""
    plain = _ESCAPED.sub(lambda escaped: bytes([int(escaped[1], 16)]), content)
    for name in _NAMED.finditer(plain):
        yield _BY_NAME[name[1]]


# As a program


def _bound(memory: int, seconds: int) -> None:
    """Take from this process what it does not need. Raises nothing where a system knows no such
    limit: then the time that it is waited for is the only one.
    """
    import resource

    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for limit, most in limits.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))


def main() -> int:
    """Read the file, and say what it is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal; who started this ends it
    most_bytes, memory, seconds = map(int, sys.argv[1:])
    _bound(memory, seconds)
    try:
        found = inspect(sys.stdin.buffer.read(), most_bytes=most_bytes)
    except MemoryError:
        return OUT_OF_MEMORY
    told = asdict(found)
    renewed = told.pop("renewed", None)
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n" + (renewed or b""))
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
