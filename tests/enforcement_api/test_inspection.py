"""What is in a file that somebody attached, by what is in it and never by what it is called."""

from __future__ import annotations

import contextlib
import io
import zlib
from typing import Any

import pytest
from PIL import Image

from enforcement_api.subscriptions import inspection
from enforcement_api.subscriptions.attachments import DamagedFile, TooIntricate, look_into
from enforcement_api.subscriptions.inspection import Found, Refused, inspect
from tests import papers
from tests.papers import compressed_pdf, pdf, photograph

MOST = 2 * 1024 * 1024


def found(content: bytes, *, most: int = MOST) -> Found:
    told = inspect(content, most_bytes=most)
    assert isinstance(told, Found), told
    return told


def renewed(content: bytes, *, most: int = MOST) -> Image.Image:
    """The picture that is kept, decoded."""
    kept = found(content, most=most).renewed
    assert kept is not None
    assert len(kept) <= most
    picture = Image.open(io.BytesIO(kept))
    picture.load()
    return picture


def why(content: bytes) -> tuple[str, Any]:
    told = inspect(content, most_bytes=MOST)
    assert isinstance(told, Refused), told
    return told.why, told.facts.get("what")


def as_file(picture: Image.Image, kind: str, **how: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **how)
    return out.getvalue()


# Pictures


def test_picture_loses_its_place_time_and_comment_and_stands_upright() -> None:
    sent = papers.as_a_telephone_takes_it(orientation=6)
    assert Image.open(io.BytesIO(sent)).getexif().get_ifd(0x8825)
    picture = renewed(sent)
    assert picture.size == (240, 320)
    # Turned to the right, the left upper corner is the right upper one.
    assert picture.getpixel((230, 10))[0] > 200  # type: ignore[index]
    assert picture.getpixel((10, 10))[0] < 60  # type: ignore[index]
    kept = found(sent).renewed or b""
    assert not picture.getexif()
    assert b"Marie" not in kept
    assert b"commentaire" not in kept
    assert {marker for marker in papers.parts_of_jpeg(kept) if 0xE1 <= marker <= 0xEF} == set()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_stands_as_its_file_says(orientation: int) -> None:
    corners = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1),
               8: (0, 1)}  # fmt: skip
    picture = renewed(papers.as_a_telephone_takes_it(orientation=orientation))
    width, height = picture.size
    assert (width > height) == (orientation <= 4)
    right, bottom = corners[orientation]
    red, _, blue = picture.getpixel((right * (width - 20) + 10, bottom * (height - 20) + 10))  # type: ignore[misc]
    assert red > 200 > 60 > blue


def test_what_follows_a_pictures_end_is_gone() -> None:
    for kind in ("JPEG", "PNG"):
        sent = photograph(kind=kind) + b"PK\x03\x04 a program <script>alert(1)</script>"
        kept = found(sent).renewed or b""
        assert b"PK\x03\x04" not in kept
        assert b"script" not in kept


def test_png_stays_a_png_with_its_pixels_and_nothing_else() -> None:
    from PIL.PngImagePlugin import PngInfo

    more = PngInfo()
    more.add_text("Author", "Marie Tremblay")
    more.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>", zip=True)
    picture = Image.open(io.BytesIO(photograph(kind="PNG")))
    exif = picture.getexif()
    exif.get_ifd(0x8825).update(papers.PLACE)
    sent = as_file(picture, "PNG", pnginfo=more, exif=exif, dpi=(300, 300))
    told = found(sent)
    assert told.media_type == "image/png"
    assert set(papers.parts_of_png(told.renewed or b"")) == {b"IHDR", b"IDAT", b"IEND"}
    assert renewed(sent).tobytes() == picture.tobytes()


@pytest.mark.parametrize(
    ("kind", "mode", "kept"),
    [
        ("JPEG", "L", "L"),
        ("JPEG", "CMYK", "RGB"),
        ("JPEG", "YCbCr", "RGB"),
        ("PNG", "1", "1"),
        ("PNG", "L", "L"),
        ("PNG", "LA", "LA"),
        ("PNG", "P", "P"),
        ("PNG", "RGBA", "RGBA"),
        ("PNG", "I;16", "L"),
    ],
)
def test_every_kind_of_colour_is_kept_or_turned_into_one_that_all_can_show(
    kind: str, mode: str, kept: str
) -> None:
    if mode == "I;16":
        picture = Image.new(mode, (64, 48), 0x9C40)
    else:
        picture = Image.new("RGB", (64, 48), (200, 40, 40)).convert(mode)
    shown = renewed(as_file(picture, kind))
    assert (shown.mode, shown.size) == (kept, (64, 48))
    if mode == "I;16":
        assert shown.getpixel((5, 5)) == 0x9C
    elif mode in ("CMYK", "RGBA", "P"):
        red, green, blue, *_ = shown.convert("RGB").getpixel((5, 5))  # type: ignore[misc]
        assert red > 150
        assert max(green, blue) < 110


def test_transparency_of_a_palette_is_kept() -> None:
    picture = Image.new("RGB", (64, 48), "red").convert("P")
    sent = as_file(picture, "PNG", transparency=picture.getpixel((5, 5)))
    for shown in (Image.open(io.BytesIO(sent)), renewed(sent)):
        assert shown.convert("RGBA").getpixel((5, 5))[3] == 0  # type: ignore[index]


def test_first_picture_of_several_is_kept() -> None:
    red, blue = Image.new("RGB", (64, 48), "red"), Image.new("RGB", (64, 48), "blue")
    moving = as_file(red, "PNG", save_all=True, append_images=[blue])
    assert b"acTL" in moving
    kept = found(moving).renewed or b""
    assert set(papers.parts_of_png(kept)) == {b"IHDR", b"IDAT", b"IEND"}
    assert renewed(moving).getpixel((5, 5)) == (255, 0, 0)
    two = as_file(red, "MPO", save_all=True, append_images=[blue])
    assert found(two).media_type == "image/jpeg"
    assert renewed(two).getpixel((5, 5))[0] > 240  # type: ignore[index]
    assert len(found(two).renewed or b"") < len(two)


def test_picture_made_anew_is_never_larger_than_may_be_sent() -> None:
    for kind in ("JPEG", "PNG"):
        sent = photograph((400, 300), kind=kind)
        for most in (100_000, 30_000, 5_000, 1_000):
            shown = renewed(sent, most=most)
            assert shown.size[0] / shown.size[1] == pytest.approx(4 / 3, rel=0.2)


def test_same_picture_is_made_the_same_each_time() -> None:
    for kind in ("JPEG", "PNG"):
        sent = photograph(kind=kind)
        assert found(sent) == found(sent)


def test_picture_with_an_unreadable_place_is_taken() -> None:
    sent = bytearray(papers.as_a_telephone_takes_it())
    begins = sent.index(b"Exif\0\0")
    sent[begins + 20 : begins + 120] = b"\xff" * 100
    assert found(bytes(sent)).media_type == "image/jpeg"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "unknown-kind"),
        (b"GIF89a" + b"\0" * 100, "unknown-kind"),
        (as_file(Image.new("RGB", (9, 9)), "WEBP"), "unknown-kind"),
        (as_file(Image.new("RGB", (9, 9)), "TIFF"), "unknown-kind"),
        (as_file(Image.new("RGB", (9, 9)), "BMP"), "unknown-kind"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "unknown-kind"),
        (b"<!doctype html><script>alert(1)</script>", "unknown-kind"),
        (b"MZ\x90\0" * 100, "unknown-kind"),
        (b"PK\x03\x04" * 100, "unknown-kind"),
        (b"%!PS-Adobe-3.0\nshowpage", "unknown-kind"),
        (b"\n%PDF-1.7", "unknown-kind"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 1000, "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "damaged"),
        (b"%PDF-1.7", "damaged"),
        (b"%PDF-1.7\n%%EOF", "damaged"),
    ],
)
def test_other_kinds_are_refused_whatever_they_are_called(content: bytes, word: str) -> None:
    assert why(content)[0] == word


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_truncated_picture_is_refused(kind: str, part: float) -> None:
    sent = photograph(kind=kind)
    assert why(sent[: int(len(sent) * part)])[0] == "damaged"


def test_picture_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    wide = as_file(Image.new("1", (8001, 8001)), "PNG")
    assert len(wide) < 100_000
    told = inspect(wide, most_bytes=MOST)
    assert told == Refused(
        "too-many-pixels", {"width": 8001, "height": 8001, "most": inspection.MOST_PIXELS}
    )


# PDF


@pytest.mark.parametrize(
    "content",
    [
        pdf(),
        pdf(pages=inspection.MOST_PAGES),
        papers.written(pages=3),
        compressed_pdf({6: "<< /Title (Preuve) >>"}),
        # What office programs write: where to open it, and links.
        pdf(catalog="/OpenAction [10 0 R /XYZ null null 0]"),
        pdf(catalog="/OpenAction << /S /GoTo /D [10 0 R /Fit] >>"),
        pdf(catalog="/OpenAction 100 0 R", objects={100: "[10 0 R /Fit]"}),
        pdf({100: "<< /Type /Annot /Subtype /Link /A << /S /URI /URI (https://x.ca) >> >>"}),
        pdf({100: "<< /Type /StructElem /S /P >>"}),
        pdf(catalog="/AcroForm << /Fields [] >>"),
        pdf() + b"\r\n\0\0 ",
        # A text about such things is none.
        pdf({100: "(a /AA and a /JS and a JavaScript)"}),
    ],
)
def test_document_is_kept_as_it_came(content: bytes) -> None:
    assert found(content) == Found("application/pdf")


SCRIPT = "<< /S /JavaScript /JS (app.alert\\(1\\)) >>"
ACTIVE = {
    "script when it is opened": (pdf(catalog=f"/OpenAction {SCRIPT}"), "script"),
    "script elsewhere": (pdf({100: SCRIPT}, catalog="/OpenAction 100 0 R"), "script"),
    "script by its name": (
        pdf(catalog=f"/Names << /JavaScript << /Names [(a) {SCRIPT}] >> >>"),
        "script",
    ),
    "script in disguise": (pdf({100: "<< /S /J#61va#53cript /J#53 (x) >>"}), "script"),
    "script whose kind is elsewhere": (
        pdf({100: "<< /S 101 0 R >>", 101: "/JavaScript"}),
        "script",
    ),
    "script that is packed": (compressed_pdf({6: SCRIPT}, catalog="/OpenAction 6 0 R"), "script"),
    "packed and pointed to by nothing": (compressed_pdf({6: SCRIPT}), "script"),
    "deep inside": (pdf({100: f"[[[<< /A [<< /B {SCRIPT} >>] >>]]]"}), "script"),
    "program that is started": (pdf({100: "<< /S /Launch /F (cmd.exe) >>"}), "action"),
    "action on a page": (
        pdf({100: "<< /Type /Page /Parent 2 0 R /AA << /O << /S /URI /URI (h) >> >> >>"}),
        "action",
    ),
    "address when it is opened": (
        pdf(catalog="/OpenAction << /S /URI /URI (https://x.ca) >>"),
        "action",
    ),
    "form that is sent": (pdf({100: "<< /S /SubmitForm /F (http://x.ca) >>"}), "action"),
    "another document": (pdf({100: "<< /S /GoToR /F (\\\\\\\\x\\\\y) /D [0 /Fit] >>"}), "action"),
    "file": (papers.with_file(), "file"),
    "file by its name": (pdf(catalog="/Names << /EmbeddedFiles << /Names [] >> >>"), "file"),
    "portfolio": (pdf(catalog="/Collection << /View /T >>"), "file"),
    "XFA": (pdf(catalog="/AcroForm << /XFA [(a) 100 0 R] >>", objects={100: "(x)"}), "form"),
    "film": (pdf({100: "<< /Type /Annot /Subtype /RichMedia >>"}), "media"),
    "something behind its end": (pdf() + b"PK\x03\x04 a program", "tail"),
    "no object that its table names": (
        pdf(untold=b"99 0 obj << /S /Launch >> endobj\n"),
        "action",
    ),
}


@pytest.mark.parametrize("case", ACTIVE)
def test_pdf_that_does_or_carries_something_is_refused(case: str) -> None:
    content, what = ACTIVE[case]
    assert why(content) == ("active", what)


@pytest.mark.parametrize(("password", "owner"), [("secret", None), ("", "owner")])
def test_protected_pdf_is_refused(password: str, owner: str | None) -> None:
    content = papers.written(password=password, owner=owner)
    assert why(content)[0] == "encrypted"


def test_pdf_of_too_many_pages_or_none_is_refused() -> None:
    told = inspect(pdf(pages=inspection.MOST_PAGES + 1), most_bytes=MOST)
    assert told == Refused("too-many-pages", {"pages": 101, "most": 100})
    assert why(pdf(pages=0))[0] == "damaged"


def test_pdf_whose_parts_go_in_circles_is_told_at_once() -> None:
    circle = pdf().replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev %d" % pdf().index(b"xref\n"))
    assert inspect(circle, most_bytes=MOST) in (Found("application/pdf"), Refused("damaged"))
    assert why(pdf().replace(b"[10 0 R]", b"[2 0 R]"))[0] == "damaged"
    itself = pdf({100: "<< /A 101 0 R >>", 101: "<< /B 100 0 R >>"})
    assert found(itself) == Found("application/pdf")


def test_spoiled_files_are_taken_or_refused_and_nothing_else() -> None:
    whole = (
        pdf({100: "<< /Type /Annot /Subtype /Link >>"}),
        compressed_pdf({6: "<< /Title (Preuve) >>"}),
        papers.as_a_telephone_takes_it(),
        photograph((40, 30), kind="PNG"),
    )
    for content in whole:
        for seed in range(60):
            told = inspect(papers.spoiled(content, seed=seed), most_bytes=MOST)
            assert isinstance(told, Found | Refused)
        for cut in range(0, len(content), len(content) // 25):
            assert isinstance(inspect(content[:cut], most_bytes=MOST), Refused)


# In a process of its own


def test_file_is_looked_into_apart() -> None:
    assert look_into(pdf(), most_bytes=MOST) == ("application/pdf", pdf())
    sent = photograph()
    assert look_into(sent, most_bytes=MOST) == ("image/jpeg", found(sent).renewed)


def bomb(size: int) -> str:
    """A stream of objects that unpacks to a lot: bytes of it, as the text that an object is."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(size >> 20)) + packer.flush()
    return (
        f"<< /Type /ObjStm /N 1 /First 4 /Filter /FlateDecode /Length {len(packed)} >>\nstream\n"
        + packed.decode("latin-1")
        + "\nendstream"
    )


@pytest.mark.parametrize(
    "content",
    [
        pdf(dict.fromkeys(range(100, 120), bomb(70 << 20))),
        compressed_pdf({6: "1" + " " * (60 << 20)}),
        pdf({100: "[" * 200_000 + "]" * 200_000}),
        pdf({100: "<< /A " * 100_000 + ">>" * 100_000}),
        pdf().replace(b"/Size", b"/Size 2000000000 /Size"),
        compressed_pdf({6: "1"}).replace(b"/W [1 4 2]", b"/W [1 4 2] /Index [0 2000000000]"),
        compressed_pdf({6: "1"}).replace(b"/W [1 4 2]", b"/W [1 4 9999999]"),
    ],
    ids=["bomb", "packed", "lists", "objects", "size", "index", "width"],
)
def test_pdf_that_unpacks_to_a_lot_harms_nobody(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "MEMORY", 256 * 1024 * 1024)
    monkeypatch.setattr(inspection, "PROCESSOR_SECONDS", 1)
    with contextlib.suppress(DamagedFile, TooIntricate):
        assert look_into(content, most_bytes=MOST) == ("application/pdf", content)


def test_picture_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "PROCESSOR_SECONDS", 1)
    slow = papers.of_many_scans(3000)
    assert len(slow) < MOST
    with pytest.raises(TooIntricate):
        look_into(slow, most_bytes=MOST)


def test_picture_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "MEMORY", 160 * 1024 * 1024)
    large = as_file(Image.new("RGB", (7000, 7000)), "JPEG")
    with pytest.raises(TooIntricate):
        look_into(large, most_bytes=MOST)


def test_largest_picture_is_looked_into_within_the_limits() -> None:
    side = int(inspection.MOST_PIXELS**0.5)
    exif = Image.Exif()
    exif[0x0112] = 6
    sent = as_file(Image.new("RGB", (side, side)), "JPEG", exif=exif)
    media_type, kept = look_into(sent, most_bytes=MOST)
    assert media_type == "image/jpeg"
    assert Image.open(io.BytesIO(kept)).size == (side, side)
