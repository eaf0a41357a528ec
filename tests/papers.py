"""Files as people attach them, and as somebody would who means harm."""

from __future__ import annotations

import io
import random
import re
import zlib
from collections.abc import Mapping

from PIL import Image
from pypdf import PdfWriter


def pdf(
    objects: Mapping[int, str] | None = None,
    *,
    pages: int = 1,
    catalog: str = "",
    untold: bytes = b"",
) -> bytes:
    """A PDF of empty pages, with these objects besides (numbers from 100 on), this much more in its
    catalogue, and something of which its table does not tell.
    """
    kids = " ".join(f"{10 + n} 0 R" for n in range(pages))
    parts = {
        1: f"<< /Type /Catalog /Pages 2 0 R {catalog} >>",
        2: f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>",
        **{10 + n: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] >>" for n in range(pages)},
        **(objects or {}),
    }
    out, places = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), {}
    for number, text in parts.items():
        places[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, text.encode("latin-1"))
    out += untold
    begins, size = len(out), max(parts) + 1
    out += b"xref\n"
    for number in sorted(places):
        out += b"%d 1\n%010d 00000 n \n" % (number, places[number])
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, begins)
    return bytes(out)


def compressed_pdf(objects: Mapping[int, str], *, catalog: str = "") -> bytes:
    """As `pdf`, with these objects where no search of the bytes finds them: in a stream of objects,
    as most programs write them.
    """
    plain = {
        1: f"<< /Type /Catalog /Pages 2 0 R {catalog} >>",
        2: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        3: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] >>",
    }
    out, places = bytearray(b"%PDF-1.7\n"), {}
    for number, text in plain.items():
        places[number] = len(out)
        out += f"{number} 0 obj\n{text}\nendobj\n".encode()
    head, body = [], ""
    for number, text in objects.items():
        head.append(f"{number} {len(body)}")
        body += text + " "
    heading = " ".join(head) + " "
    packed = zlib.compress((heading + body).encode("latin-1"))
    places[4] = len(out)
    out += (
        f"4 0 obj\n<< /Type /ObjStm /N {len(objects)} /First {len(heading)}"
        f" /Filter /FlateDecode /Length {len(packed)} >>\nstream\n"
    ).encode()
    out += packed + b"\nendstream\nendobj\n"
    begins = places[5] = len(out)
    size = max([5, *objects]) + 1
    rows = bytearray()
    inside = {number: i for i, number in enumerate(objects)}
    for number in range(size):
        if number in places:
            rows += b"\x01" + places[number].to_bytes(4, "big") + b"\0\0"
        elif number in inside:
            rows += b"\x02" + (4).to_bytes(4, "big") + inside[number].to_bytes(2, "big")
        else:
            rows += b"\0" * 7
    table = zlib.compress(bytes(rows))
    out += (
        f"5 0 obj\n<< /Type /XRef /Size {size} /W [1 4 2] /Root 1 0 R /Filter /FlateDecode"
        f" /Length {len(table)} >>\nstream\n"
    ).encode()
    out += table + b"\nendstream\nendobj\n" + b"startxref\n%d\n%%%%EOF\n" % begins
    return bytes(out)


def written(*, pages: int = 1, password: str | None = None, owner: str | None = None) -> bytes:
    """A PDF as a library writes it; encrypted if there is a password (an empty one is one)."""
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(612, 792)
    if password is not None:
        writer.encrypt(password, owner)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def with_file() -> bytes:
    """A PDF with another file in it."""
    writer = PdfWriter()
    writer.add_blank_page(612, 792)
    writer.add_attachment("prog.exe", b"MZ" * 100)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def photograph(size: tuple[int, int] = (320, 240), *, kind: str = "JPEG", seed: int = 7) -> bytes:
    """A picture that does not compress to next to nothing."""
    pixels = random.Random(seed).randbytes(size[0] * size[1] * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", size, pixels).save(out, kind)
    return out.getvalue()


PLACE = {1: "N", 2: (45.0, 24.0, 36.9), 3: "W", 4: (71.0, 53.0, 27.3)}


def as_a_telephone_takes_it(*, orientation: int = 6) -> bytes:
    """A picture that tells where and when it was taken, and is to be turned: its left upper corner,
    as it lies in the file, is red.
    """
    picture = Image.new("RGB", (320, 240), "navy")
    picture.paste("red", (0, 0, 80, 80))
    exif = picture.getexif()
    exif[0x0112] = orientation
    exif[0x010F] = "Appareil de Marie"
    exif.get_ifd(0x8825).update(PLACE)
    out = io.BytesIO()
    picture.save(out, "JPEG", exif=exif, comment=b"un commentaire", quality=95)
    return out.getvalue()


def of_many_scans(count: int, size: tuple[int, int] = (2000, 2000)) -> bytes:
    """A JPEG whose last scan comes again and again: each is decoded over all of the picture."""
    out = io.BytesIO()
    Image.new("RGB", size, "white").save(out, "JPEG", progressive=True)
    content = out.getvalue()
    begins = [m.start() for m in re.finditer(b"\xff\xda", content)][-1]
    return content[:begins] + content[begins:-2] * count + b"\xff\xd9"


def parts_of_png(content: bytes) -> list[bytes]:
    """The kinds of a PNG's chunks, in order."""
    found, at = [], 8
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        found.append(content[at + 4 : at + 8])
        at += 12 + length
    return found


def parts_of_jpeg(content: bytes) -> list[int]:
    """A JPEG's markers, up to its first scan."""
    found, at = [], 2
    while content[at] == 0xFF and content[at + 1] != 0xDA:
        found.append(content[at + 1])
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return found


def spoiled(content: bytes, *, seed: int, times: int = 3) -> bytes:
    """The content with a few of its bytes changed."""
    dice, changed = random.Random(seed), bytearray(content)
    for _ in range(times):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)
