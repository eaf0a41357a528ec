"""The case file: all that the record holds of an infraction, on paper, and what of it is proved."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image
from pypdf import PdfReader

from enforcement_api import hashed_files
from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.tables import audit_log
from enforcement_api.infractions import case_file, cases, corrections, store
from enforcement_api.infractions.case_file import CaseFile
from enforcement_api.infractions.photos import UnknownPhoto
from enforcement_api.security import Principal
from tests.contracts.test_audit import tamper
from tests.enforcement_api.infraction_log import InfractionLog, picture, sha256

CODES = [
    {
        "code": "P01",
        "title": {"fr": "Sans permis valide", "en": "No valid permit"},
        "article": "4.2",
        "amounts": [
            {"from": "2026-01-01", "amount_cents": 6000},
            {"from": "2026-11-24", "amount_cents": 9900},
        ],
    },
    {
        "code": "S01",
        "title": {"fr": "Voie réservée", "en": "Fire lane"},
        "amounts": [{"from": "2025-01-01", "amount_cents": 8050}],
    },
]


def taken(*contents: bytes, **facts: Any) -> list[dict[str, Any]]:
    """Photos as the device tells of them."""
    return [
        {"sha256": sha256(content), "bytes": len(content), "taken_at": "2026-11-23T16:59:40Z"}
        | facts
        for content in contents
    ]


def made(log: InfractionLog, id: str, language: str = "en") -> CaseFile:
    case = log.service.record.read(lambda tx: cases.case(tx, id, at=log.now))
    return case_file.pdf(case, language=language, folder=log.settings.photo_dir)


def whole(file: CaseFile) -> bytes:
    content = b"".join(file.pieces)
    assert len(content) == file.size
    return content


def read(log: InfractionLog, id: str, language: str = "en") -> PdfReader:
    return PdfReader(io.BytesIO(whole(made(log, id, language))), strict=True)


def text_of(reader: PdfReader) -> str:
    return " ".join(" ".join(page.extract_text() for page in reader.pages).split())


def pictures_in(reader: PdfReader) -> list[bytes]:
    """The files of the pictures, as they lie in the document."""
    found: dict[int, bytes] = {}
    for page in reader.pages:
        resources: Any = page["/Resources"]
        for placed in resources.get("/XObject", {}).values():
            stream = placed.get_object()
            assert stream["/Filter"] == "/DCTDecode"
            found[placed.idnum] = stream._data
    return list(found.values())


def review(log: InfractionLog, id: str, decision: str, **wanted: Any) -> None:
    body = {"decision": decision, "expected_state": "received"} | wanted
    answer = log.request("POST", f"/v1/infractions/{id}/reviews", log.admin, json=body)
    assert answer.status_code == 201, answer.text


# What it says


def a_case(log: InfractionLog) -> str:
    """An infraction with a permit that came in late, two photos, and a decision."""
    log.put_site("1085", name="1085 - CHUS", codes=CODES)
    log.permit("ABC123", valid_until="2026-10-31")
    changes = log.page_of_changes()["changes"]
    known = [change["record"] for change in changes if change["kind"] == "permit"]
    photos = [picture(), picture("PNG")]
    id = log.record(
        number="1085-137",
        codes=["P01", "S01"],
        lot="P3",
        place="rangée C",
        position={"lat": 45.41, "lon": -71.88, "accuracy_m": 6.5},
        vehicle={"make": "Acura", "colour": "rouge", "doors": 2},
        verdict="expired",
        known=known,
        shift="quart 7",
        clock_uncertainty_ms=540,
        clock_jumped=True,
        note="moteur froid",
        photos=taken(photos[0], shows="plate") + taken(photos[1]),
    )
    for photo in photos:
        assert log.put_photo(photo).status_code == 201
    log.now += timedelta(hours=1)
    log.permit("ABC123", valid_until="2026-12-31")
    log.now += timedelta(hours=1)
    review(log, id, "void", reason="permit_valid_at_the_time", note="vu")
    log.now += timedelta(days=1)
    return id


def test_it_says_all_that_is_known_in_english(log: InfractionLog) -> None:
    id = a_case(log)
    reader = read(log, id)
    text = text_of(reader)
    for told in (
        "it said EXPIRED; with what is known now, the verdict of that instant is VALID.",
        "Outcome Notice of claim Number 1085-137 State Voided permit valid at the time",
        "P01 No valid permit 4.2 $60.00",
        "S01 Fire lane — $80.50 In all $140.50",
        "Amount claimed",
        "ABC123 (CA-QC)",
        "Acura, rouge doors: 2",
        "Lot P3",
        "Place rangée C",
        "45.410000, -71.880000, within 6.5 m",
        "Marie (42)",
        "Shift quart 7",
        f"Pixel 4 {log.device_id}",
        "Observed on November 23, 2026 at 12:00 p.m. (Eastern Time)",
        "clock November 23, 2026 at 11:59:58 a.m. (Eastern Time)",
        "Corrected by +2.000 s",
        "± 0.540 s",
        "Yes: look at the times with care",
        "Patroller's note moteur froid",
        "Verdict EXPIRED VALID",
        "to November 1, 2026 at 12:00 a.m.",
        "to January 1, 2027 at 12:00 a.m.",
        "A whole copy at the handheld's sequence number says: EXPIRED.",
        "Permit id permit of ABC123",
        "Judged again: a permit of the plate changed",
        "Reviewed: Voided",
        "All 5 entries above are as they were written, each in its place.",
        "Photo 1 of 2, the plate",
        "As it was taken: the original lies in this file",
        "Made of the original, which a PDF cannot hold as it is",
    ):
        assert told in text, told
    for photo in (picture(), picture("PNG")):
        assert sha256(photo) in text
    with log.service.record.reading() as tx:
        for entry in tx.execute(
            sa.select(audit_log).where(audit_log.c.subject == f"infraction:{id}")
        ):
            assert entry.hash in text
    assert reader.metadata is not None
    assert reader.metadata.title == "Infraction case file 1085-137"
    last = len(reader.pages)
    assert f"Page {last} of {last}" in reader.pages[-1].extract_text()


def test_it_says_it_in_french_and_never_speaks_of_a_fine(log: InfractionLog) -> None:
    """An avis is a civil claim (DOMAIN 5)."""
    text = text_of(read(log, a_case(log), "fr"))
    for told in (
        "Dossier d’infraction",
        "Avis de réclamation",
        "Montant réclamé",
        "140,50 $",
        "EXPIRÉ VALIDE",
        "23 novembre 2026 à 12 h 00 (heure de l’Est)",
        "permis valide au moment",
        "Les 5 entrées ci-dessus sont telles qu’elles ont été écrites, chacune à sa place.",
    ):
        assert told in text, told
    assert "amende" not in text.lower()
    assert "constat d" not in text.lower()


def test_a_statement_of_offence_is_called_so(log: InfractionLog) -> None:
    log.put_site("1085", instrument="constat", codes=CODES)
    text = text_of(read(log, log.record(codes=["P01"])))
    assert "Statement of offence" in text
    assert "Notice of claim" not in text
    assert "Article" in text


def test_of_a_warning_nothing_is_claimed(log: InfractionLog) -> None:
    log.put_site("1085", codes=CODES)
    text = text_of(read(log, log.record(codes=["P01", "S01"], outcome="warning")))
    assert "Nothing is claimed" in text
    assert "Amount claimed" not in text
    assert "In all" not in text


def test_without_a_plate_there_is_no_verdict_and_the_reason_is_told(log: InfractionLog) -> None:
    id = log.record(None, plate_missing_reason="covered", codes=["X99"])
    text = text_of(read(log, id))
    assert "No plate the plate is covered" in text
    assert "None: there is no plate to judge" in text
    assert "The site has no such code" in text
    assert "contradicts" not in text


def test_what_corrects_it_and_what_was_taken_back_is_told(log: InfractionLog) -> None:
    id, other = log.record(number="1085-1"), log.record(number="1085-2")
    record = log.service.record
    by = Principal("k1", "admin", "Supervision", "office", None)

    def link(tx: sa.Connection) -> None:
        wrong, right = store.find(tx, id), store.find(tx, other)
        assert corrections.link(record, tx, wrong, right, by=by, at=log.now)

    record.write(link)
    text = text_of(read(log, id))
    assert f"Corrected by another 1085-2 · {other} said by Supervision on" in text
    assert "A correction was named" in text
    assert f"Infraction {other}" in text
    assert f"Correction of another 1085-1 · {id}" in text_of(read(log, other))


def test_more_than_anybody_reads_is_counted_and_not_shown(log: InfractionLog) -> None:
    one = {"plate": "ABC123", "jurisdiction": "CA-QC", "zones": ["G1"], "permit_number": "7"}
    at = dict.fromkeys(("starts_at", "active_from"), "2026-01-01T05:00:00Z")
    rest = {"ends_at": None, "status": "active", "vehicle": None}
    known = [one | at | rest | {"id": f"p{n}"} for n in range(cases.MOST_PERMITS + 7)]
    id = log.record(known=known, verdict="valid", note="W" * 9000)
    again = Entry(log.now, "service", "rechecked", f"infraction:{id}", {"state": "received"})

    def append(tx: sa.Connection) -> None:
        for _ in range(case_file.MOST_ENTRIES + 4):
            audit.append(tx, again, site="1085")

    log.service.record.write(append)
    text = text_of(read(log, id))
    assert "and 7 more" in text
    assert "7 more permits of this plate are not shown." in text
    assert "5 earlier entries are not shown; the proof below is of them too." in text
    assert f"All {case_file.MOST_ENTRIES + 5} entries above are as they were written" in text


# Photos


def test_an_original_lies_in_it_byte_for_byte(log: InfractionLog) -> None:
    photos = [picture(shade=shade) for shade in (10, 110, 210)]
    id = log.record(photos=taken(*photos, photos[0]))
    for photo in photos:
        log.put_photo(photo)
    assert sorted(pictures_in(read(log, id))) == sorted(photos)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_what_a_pdf_cannot_hold_is_made_a_jpeg_and_told(log: InfractionLog, kind: str) -> None:
    photo = picture(kind)
    id = log.record(photos=taken(photo))
    log.put_photo(photo)
    reader = read(log, id)
    (shown,) = pictures_in(reader)
    with Image.open(io.BytesIO(shown)) as image:
        assert (image.format, image.size) == ("JPEG", (64, 48))
    assert "which a PDF cannot hold as it is" in text_of(reader)


def test_a_photo_that_has_not_come_is_told(log: InfractionLog) -> None:
    photo = picture()
    id = log.record(photos=taken(photo))
    text = text_of(read(log, id))
    assert "This photo has not been received" in text
    assert "1 photo cannot be shown" in text
    assert sha256(photo) in text


def test_a_photo_whose_file_is_gone_or_another_is_told_and_not_shown(log: InfractionLog) -> None:
    gone, altered = picture(shade=10), picture(shade=110)
    id = log.record(photos=taken(gone, altered))
    for photo in (gone, altered):
        log.put_photo(photo)
    folder = log.settings.photo_dir
    hashed_files.path_of(folder, sha256(gone)).unlink()
    forged = picture(shade=210)
    hashed_files.path_of(folder, sha256(altered)).write_bytes(forged)
    reader = read(log, id)
    text = text_of(reader)
    assert pictures_in(reader) == []
    assert "its file is missing: look for it in a backup" in text
    assert "is not the one that was received" in text
    assert sha256(forged) in text
    assert "2 photos cannot be shown" in text


def test_a_photo_that_is_lost_while_the_file_is_sent_ends_it(log: InfractionLog) -> None:
    """Half a file that says so is better than one that shows another photo."""
    photo = picture()
    id = log.record(photos=taken(photo))
    log.put_photo(photo)
    file = made(log, id)
    hashed_files.path_of(log.settings.photo_dir, sha256(photo)).write_bytes(b"other")
    with pytest.raises(UnknownPhoto):
        whole(file)


# Proof


def test_what_was_done_to_the_log_is_told(log: InfractionLog) -> None:
    id = log.record()
    other = log.record("XYZ987")
    assert "is as it was written, in its place" in text_of(read(log, id))
    entry = audit_log.c.entry
    here = audit_log.c.subject == f"infraction:{id}"
    forged = sa.func.replace(entry, '"state":"received"', '"state":"voided"')
    tamper(log.service.record, sa.update(audit_log).where(here).values(entry=forged))
    text = text_of(read(log, id))
    assert "The audit log of this infraction is not whole" in text
    assert "its text is not what was written: the hash differs" in text
    assert "Not every entry is proved" in text
    assert "the entry before it is missing, or is not what was written" in text_of(read(log, other))


def test_a_log_without_the_infraction_is_told(log: InfractionLog) -> None:
    id = log.record()
    gone = sa.delete(audit_log).where(audit_log.c.subject == f"infraction:{id}")
    tamper(log.service.record, gone)
    assert "The log has no entry of this infraction" in text_of(read(log, id))


# The same bytes, whatever was typed

PRINT = """
import hashlib, sys
from datetime import datetime
from pathlib import Path
from enforcement_api.database.engine import Record
from enforcement_api.infractions import case_file, cases, corrections, store
url, id, at, folder = sys.argv[1:]
record = Record(url)
case = record.read(lambda tx: cases.case(tx, id, at=datetime.fromisoformat(at)))
pieces = case_file.pdf(case, language="fr", folder=Path(folder)).pieces
print(hashlib.sha256(b"".join(pieces)).hexdigest())
record.close()
"""


def test_the_same_case_is_the_same_bytes_in_any_process_at_any_time(log: InfractionLog) -> None:
    id = a_case(log)
    here = hashlib.sha256(whole(made(log, id, "fr"))).hexdigest()
    settings = log.settings
    folder = str(settings.photo_dir)
    environment = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1234567890"}
    told = subprocess.run(
        [sys.executable, "-c", PRINT, settings.database_url, id, log.now.isoformat(), folder],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == here
    assert whole(made(log, id, "fr")) != whole(made(log, id, "en"))


HOSTILE = [
    "<b>bold</b> & <font size=90>x</font> <script>alert(1)</script>",
    "\u202eevil\u200f \u2066hidden\u2069 \ufeff",
    "W" * 480,
    "漢字 Привет 😀 e\u0301",
    "a\x00\x07b\tc\r\nd",
    "'); DROP TABLE infractions; --",
]


@pytest.mark.parametrize("typed", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_was_typed_is_text_and_breaks_nothing(log: InfractionLog, typed: str) -> None:
    a_line = "".join(filter(str.isprintable, typed))[:90]
    title = {"fr": a_line, "en": a_line}
    log.put_site("1085", codes=[{"code": "P01", "title": title, "article": a_line}])
    id = log.record(
        zone=typed[:90],
        lot=typed[:90],
        place=typed,
        plate_raw=typed[:300],
        vehicle={"make": typed[:190], typed[:40]: typed[:190]},
        codes=["P01", typed[:90]],
        number=typed[:90],
        shift=typed[:90],
        patroller=typed[:90],
        note=(typed + "\n") * 15,
        cursor=typed,
        photos=[],
    )
    review(log, id, "request_information", note=typed * 3)
    reader = read(log, id)
    text = text_of(reader)
    if "<" in typed:
        assert typed in text
    for unseen in ("\u202e", "\u200f", "\u2066", "\x00", "\ufeff"):
        assert unseen not in text
    assert f"Page {len(reader.pages)} of {len(reader.pages)}" in reader.pages[-1].extract_text()


def test_its_name_is_safe_whatever_the_number_is(log: InfractionLog) -> None:
    assert made(log, log.record(number="1085-137")).name == "case-file-1085-137.pdf"
    assert made(log, log.record(number="1085-138"), "fr").name == "dossier-1085-138.pdf"
    id = log.record(number='../"\r\nx')
    assert made(log, id).name == f"case-file-{id}.pdf"
