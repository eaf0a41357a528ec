"""The contract: the same bytes for the same facts, text that can be read and copied (DOMAIN 4)."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pypdf import PdfReader

from enforcement_api.paper import printable
from enforcement_api.subscriptions import contract
from tests.contract_facts import contract_facts

PRINT = """
import hashlib, json, sys
from enforcement_api.paper import printable
from enforcement_api.subscriptions import contract
print(hashlib.sha256(contract.pdf(json.load(sys.stdin))).hexdigest())
"""


def read(**changed: Any) -> PdfReader:
    return PdfReader(io.BytesIO(contract.pdf(contract_facts(**changed))))


def text_of(reader: PdfReader) -> str:
    """All of it, with lines that a cell broke put together, and every space a plain one."""
    return " ".join(" ".join(page.extract_text() for page in reader.pages).split())


# The same bytes


def test_the_same_facts_are_the_same_bytes_in_any_process_at_any_time() -> None:
    facts = contract_facts()
    here = hashlib.sha256(contract.pdf(facts)).hexdigest()
    environments = [
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LANG": "C"},
        {"PYTHONHASHSEED": "2", "TZ": "America/Toronto", "SOURCE_DATE_EPOCH": "1234567890"},
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PRINT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | environment,
            text=True,
        )
        for environment in environments
    ]
    # A record keeps no order of names.
    given = json.dumps(facts, sort_keys=True)
    assert {process.communicate(given)[0].strip() for process in processes} == {here}


def test_contracts_that_are_made_at_once_are_as_those_made_alone() -> None:
    wanted = [contract_facts(number=str(number), language="fr") for number in range(6)]
    alone = [contract.pdf(facts) for facts in wanted]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(contract.pdf, wanted)) == alone
    assert len(set(alone)) == len(alone)


# What it says


def test_it_says_what_was_agreed_in_french() -> None:
    reader = read()
    text = text_of(reader)
    for told in (
        "Contrat d’abonnement",
        "100014764",
        "1085 - CIUSSS de l’Estrie - CHUS",
        "375 rue Argyll, J1J 3H5, Sherbrooke, QC",
        "5569 - Permis G (général zone 1) - Superviseur de stage-épisodique",
        "G1 - Zone générale 1",
        "Valide seulement dans les stationnements de la zone 1.",
        "1er juin 2021",
        "Indéterminée",
        "John John",
        "App. 4",
        "Sherbrooke (QC)",
        "819 555-0101, poste 22",
        "ABC123",
        "2021 Acura NSX, Rouge",
        "1er juin 2021 à 0 h 00",
        "31 mai 2021 à 14 h 20 min 27 s",
        "Une plaque ajoutée ou modifiée est connue des patrouilleurs 24 heures plus tard.",
        "23,08 $ par mois, taxes comprises",
        "Carte de crédit, se terminant par 4242",
        "Université de Sherbrooke",
        "J’accepte les conditions de service.",
        "Je comprends que je ne serai débité qu’une fois l’abonnement approuvé.",
        "28 mai 2021 à 9 h 02 min 11 s",
        "28 mai 2021 à 9 h 05 min 40 s",
        "Page 1 de 2",
        "Page 2 de 2",
    ):
        assert told in text, told
    assert len(reader.pages) == 2


def test_it_says_it_in_english() -> None:
    text = text_of(
        read(
            language="en",
            ends_on="2021-12-31",
            payment_method="cheque",
            card_last4=None,
            billing_period="year",
        )
    )
    for told in (
        "Subscription contract",
        "December 31, 2021",
        "May 30, 2021 at 2:20:27 p.m. (Eastern Time)",
        "$23.08 a year, taxes included",
        "Void cheque",
        "Accepted by the holder",
        "Page 1 of 2",
    ):
        assert told in text, told


def test_what_there_is_not_is_left_out() -> None:
    text = text_of(
        read(
            language="en",
            price_cents=0,
            payment_method=None,
            card_last4=None,
            notice=None,
            answers=[],
            consents=[],
            zones=[],
            vehicles=[],
            activation_hours=0,
            holder={"name": "John John", "email": "john@example.org"},
            site={"name": "1085", "address": ""},
        )
    )
    assert "Free of charge" in text
    for absent in ("None", "Payment method", "Information given", "telephone", "Apartment"):
        assert absent not in text


def test_it_says_what_it_is_to_whoever_reads_the_file() -> None:
    reader = read()
    assert reader.metadata is not None
    assert reader.metadata.title == "Contrat d’abonnement 100014764"
    assert reader.metadata.author == "1085 - CIUSSS de l’Estrie - CHUS"
    assert reader.metadata.creator == "Patrouille"
    assert str(reader.metadata.creation_date) == "2021-05-30 18:20:27+00:00"
    root: Any = reader.trailer["/Root"]
    assert root["/Lang"] == "fr-CA"
    assert root["/ViewerPreferences"]["/DisplayDocTitle"] == True  # noqa: E712
    width, height = reader.pages[0].mediabox.width, reader.pages[0].mediabox.height
    assert (width, height) == (612, 792)  # Letter


def test_its_fonts_come_with_it() -> None:
    for page in read().pages:
        resources: Any = page["/Resources"]
        for font in resources["/Font"].values():
            described = font.get_object()["/FontDescriptor"].get_object()
            assert "/FontFile2" in described


# What people type


def test_a_name_is_no_markup() -> None:
    name = "John <b>John</b> & <font size=90>Co</font> &amp; <para/>"
    notice = "Zone <1> & <br/>"
    text = text_of(read(holder=contract_facts()["holder"] | {"name": name}, notice=notice))
    assert name in text
    assert notice in text


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("Œuvre Ça Éloïse l’été « à »", "Œuvre Ça Éloïse l’été « à »"),
        ("Łukasz Őze Nguyễn", "Łukasz Oze Nguyen"),
        ("Иван", "Ivan"),
        ("李小龍", "LiXiaoLong"),
        ("e\u0301", "e"),
        ("\u202eabc\u200f", "abc"),
        ("a\x00\x07\ud800b\tc\nd", "a b c d"),
        ("23\u202f$", "23\u00a0$"),
        ("😀", ":grinning:"),
    ],
)
def test_letters_that_the_font_lacks_are_written_in_those_it_has(typed: str, printed: str) -> None:
    assert printable(typed) == printed
    holder = contract_facts()["holder"] | {"name": typed}
    assert printed.replace("\u00a0", " ") in text_of(read(holder=holder))


def test_however_much_was_typed_there_is_a_contract() -> None:
    """Words longer than a cell, cells longer than a page, heads longer than the paper is wide."""
    reader = read(
        notice="Avis. " * 3000,
        site={"name": "Organisme " * 60, "address": "W" * 900},
        holder=contract_facts()["holder"] | {"name": "W" * 2000, "line1": "x " * 4000},
        answers=[{"question": "Q" * 600, "answer": "réponse " * 3000}] * 2,
        zones=[{"code": f"Z{n}", "name": "Zone " * 9} for n in range(200)],
        vehicles=[contract_facts()["vehicles"][0] | {"model": "M" * 400}] * 40,
        consents=[
            {"code": "terms", "text": "J’accepte. " * 2000, "accepted_at": "2021-05-28T13:02:11Z"}
        ],
    )
    last = reader.pages[-1].extract_text()
    assert f"Page {len(reader.pages)} de {len(reader.pages)}" in last
    assert len(reader.pages) > 10
