"""What stands on a notice, for each instrument (DOMAIN 5)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sync.paper.notice import Line, NotPrintable, compose, payment_address
from sync.wording import money
from tests.sync.paper.sheets import (
    CODES,
    PAY,
    code,
    infraction,
    sheet,
    site,
    three,
    warning,
)

PENAL = (
    "amende", "constat", "infraction", "pénal", "poursuivant", "coupable", "plaid", "contravention",
    "fine", "offence", "penal", "prosecut", "guilty", "your plea", "ticket", "statement",
)  # fmt: skip
CIVIL = ("réclam", "civil", "claim", "exploitant", "operator", "notice", "avis")
TO_PAY = ("$", "montant", "amount", "52", "pay to", "pour payer", "http", "exemple")


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def lines(words: str) -> list[str]:
    return plain(words).split("\n")


def found(words: tuple[str, ...], text: str) -> list[str]:
    """Those of the words that the text has, at the beginning of a word of its own."""
    return [word for word in words if re.search(rf"(?<!\w){re.escape(word)}", text.lower())]


def test_a_claim_says_what_a_driver_needs_in_french() -> None:
    assert lines(sheet(languages=("fr",)).words) == [
        "CIUSSS de l’Estrie – CHUS",
        "375, rue Argyll, Sherbrooke (Québec) J1J 3H5",
        "Avis de réclamation",
        "N° 1085-1042",
        "Réclamation privée, de droit civil, faite par l’exploitant de ce stationnement. Elle "
        "n’émane d’aucune autorité publique.",
        "Observé le 23 novembre 2026 à 15 h 05",
        "Lieu G1 · Hôtel-Dieu",
        "Stationnement 3",
        "2e rangée, près de l’entrée",
        "Plaque ABC123 (QC)",
        "Véhicule Toyota Corolla, bleu",
        "Motif de la réclamation",
        "P01 · Sans permis valide",
        "Règlement de stationnement, art. 12",
        "Montant réclamé 52,00 $",
        "Pour payer",
        "Balayez le code, ou ouvrez l’adresse qui l’accompagne, et entrez le numéro.",
        "N° 1085-1042 payer.exemple.quebec/avis",
        "Si vous n’êtes pas d’accord",
        "Écrivez à l’exploitant, donnez le numéro de cet avis et dites pourquoi.",
        "Patrouilleur 4217",
    ]


def test_english_follows_smaller() -> None:
    both, french = sheet(), sheet(languages=("fr",))
    assert both.blocks[: len(french.blocks)] == french.blocks
    english = both.blocks[len(french.blocks) :]
    titles = [block for block in english if isinstance(block, Line) and block.size != "small"]
    assert [title.words for title in titles] == ["Notice of claim"]
    words = plain(both.words).split("Notice of claim")[1]
    assert "Observed on November 23, 2026 at 15:05" in words
    assert "P01 · No valid permit" in words
    assert "Amount claimed $52.00" in words
    assert "Write to the operator" in words


def test_either_language_may_stand_alone_or_first() -> None:
    assert "Avis" not in sheet(languages=("en",)).words
    assert sheet(languages=("en", "fr")).words.index("Notice of claim") < sheet(
        languages=("en", "fr")
    ).words.index("Avis de réclamation")


@pytest.mark.parametrize("texts", [{"payment_url": PAY.replace("avis", "x")}, {}])
@pytest.mark.parametrize("codes", [["P01"], ["P01", "S02", "M02"], ["M02"], ["X99"]])
def test_the_instruments_share_no_word_of_law(texts: dict[str, Any], codes: list[str]) -> None:
    claim = sheet(infraction(codes=codes), texts=texts)
    penal = sheet(infraction(codes=codes), "constat", texts=texts)
    for instrument in ("avis", "constat"):
        told = sheet(warning(codes=codes), instrument, texts=texts).words  # type: ignore[arg-type]
        assert found((*PENAL, *CIVIL), told) == []
    assert found(PENAL, claim.words) == []
    assert found(CIVIL, penal.words) == []
    assert found(CIVIL, claim.words) != []
    assert found(PENAL, penal.words) != []


def test_only_the_penal_form_looks_official() -> None:
    frames = {
        form: [block.frame for block in of.blocks if isinstance(block, Line)]
        for form, of in three().items()
    }
    assert set(frames["avis"]) == {"none"}
    assert "bar" in frames["constat"]
    assert "CONSTAT D’INFRACTION" in three()["constat"].words
    assert "box" in frames["warning"]
    assert "bar" not in frames["warning"]


@pytest.mark.parametrize("instrument", ["avis", "constat"])
def test_a_warning_names_no_amount_and_nothing_to_pay(instrument: Any) -> None:
    texts = {"payment_url": PAY, "warning": {"fr": {"how_to_pay": "Payez ici."}}}
    told = sheet(warning(codes=["P01", "S02"]), instrument, texts=texts)
    assert found(TO_PAY, told.words) == []
    assert "Payez" not in told.words
    assert told.code is None
    assert "il n’y a rien à payer" in told.words


@pytest.mark.parametrize(
    ("observed", "fr"),
    [
        ("2026-11-24T04:59:59Z", "52,00 $"),
        ("2026-11-24T05:00:00Z", "57,00 $"),
        ("2027-03-01T12:00:00Z", "57,00 $"),
    ],
)
def test_the_amount_is_that_of_the_day_at_the_site(observed: str, fr: str) -> None:
    assert f"Montant réclamé {fr}" in plain(sheet(infraction(observed_at=observed)).words)


def test_several_codes_have_their_amounts_and_one_sum() -> None:
    words = plain(sheet(infraction(codes=["P01", "S02"])).words)
    assert "P01 · Sans permis valide 52,00 $" in words
    assert "S02 · Entrave à la circulation 78,00 $" in words
    assert "Montant réclamé 130,00 $" in words
    assert "Amount claimed $130.00" in words


@pytest.mark.parametrize("codes", [["M02"], ["P01", "M02"], ["X99"], []])
def test_no_sum_is_told_when_an_amount_is_not_known(codes: list[str]) -> None:
    words = plain(sheet(infraction(codes=codes)).words)
    assert "Montant réclamé" not in words
    assert "L’exploitant vous fera connaître le montant réclamé." in words
    penal = plain(sheet(infraction(codes=codes), "constat").words)
    assert "Le poursuivant vous fera connaître le montant de l’amende." in penal


def test_a_code_that_costs_nothing_says_so() -> None:
    free = code("F01", "Gratuit", "Free", ("2026-01-01", 0))
    words = plain(sheet(infraction(codes=["F01"]), codes=[free]).words)
    assert "Montant réclamé 0,00 $" in words


@pytest.mark.parametrize(
    ("cents", "fr", "en"),
    [
        (5200, "52,00 $", "$52.00"),
        (5, "0,05 $", "$0.05"),
        (123456789, "1 234 567,89 $", "$1,234,567.89"),
        (-150, "-1,50 $", "-$1.50"),
    ],
)
def test_money_reads_as_people_write_it(cents: int, fr: str, en: str) -> None:
    assert (plain(money(cents, "fr")), money(cents, "en")) == (fr, en)


@pytest.mark.parametrize(
    ("url", "form", "payload"),
    [
        (PAY, "avis", f"{PAY}?avis=1085-1042"),
        (PAY, "constat", f"{PAY}?constat=1085-1042"),
        (f"{PAY}?site=1085&x=#bas", "avis", f"{PAY}?site=1085&x=&avis=1085-1042#bas"),
        ("", "avis", ""),
        ("https://[nobody", "avis", ""),
    ],
)
def test_the_payment_address_carries_the_number(url: str, form: Any, payload: str) -> None:
    assert payment_address(url, form, "1085-1042") == payload


def test_a_number_with_strange_letters_cannot_change_the_address() -> None:
    assert payment_address(PAY, "avis", "a&b=c d/é") == f"{PAY}?avis=a%26b%3Dc+d%2F%C3%A9"


@pytest.mark.parametrize("texts", [None, {}, {"payment_url": None}])
def test_without_an_address_the_code_is_the_number_alone(texts: Any) -> None:
    told = sheet(texts=texts)
    assert told.code == "1085-1042"
    assert "Demandez à l’exploitant comment payer" in told.words
    assert "Balayez" not in told.words


def test_the_sites_own_words_stand_in_place_of_ours() -> None:
    own = {
        "operator": "Parc-Estrie",
        "how_to_pay": "Par la poste.",
        "how_to_contest": "Écrivez-nous.",
    }
    texts = {"avis": {"fr": own | {"footer": "Merci."}, "en": {"how_to_pay": "By mail."}}}
    words = sheet(texts=texts).words
    for told in (*own.values(), "Merci.", "By mail.", "CIUSSS de l’Estrie – CHUS"):
        assert told in words
    assert "Demandez à l’exploitant" not in words
    assert "Write to the operator" in words  # English was not given


def test_words_for_one_form_never_stand_on_another() -> None:
    texts = {
        form: {"fr": {"how_to_pay": f"payez {form}", "footer": f"pied {form}"}}
        for form in ("avis", "constat", "warning")
    }
    assert "constat" not in sheet(texts=texts).words
    assert "avis" not in sheet(instrument="constat", texts=texts).words
    assert "pied avis" not in sheet(warning(), texts=texts).words


@pytest.mark.parametrize(
    "texts",
    [
        {"avis": None},
        {"avis": "?"},
        {"avis": {"fr": None}},
        {"avis": {"fr": {"operator": 7, "how_to_pay": ["x"], "footer": {}}}},
        {"payment_url": 12},
        {"avis": {"fr": {"operator": "  ", "how_to_pay": ""}}},
    ],
)
def test_words_of_the_wrong_shape_are_as_if_left_out(texts: dict[str, Any]) -> None:
    assert sheet(texts=texts).words == sheet(texts={}).words


def test_notes_and_permits_stay_off_the_paper() -> None:
    body = infraction(known=[{"permit_number": "100014764"}], note="Il a crié.")
    words = sheet(body).words
    assert "crié" not in words
    assert "100014764" not in words
    assert "marie" not in words  # the badge tells who, to those who may know


def test_a_vehicle_without_plate_says_why_in_both_languages() -> None:
    words = sheet(infraction(plate=None, plate_missing_reason="covered", vehicle=None)).words
    assert "Plaque La plaque est couverte" in words
    assert "Plate The plate is covered" in words
    assert "Véhicule" not in words


def test_a_plate_from_abroad_names_its_country() -> None:
    assert "ABC123 (ON)" in plain(sheet(infraction(jurisdiction="CA-ON")).words)
    assert "ABC123 (US-VT)" in plain(sheet(infraction(jurisdiction="US-VT")).words)


def test_the_hour_that_comes_twice_is_told_with_its_offset() -> None:
    words = plain(sheet(infraction(observed_at="2026-11-01T05:30:00Z")).words)
    assert "1er novembre 2026 à 1 h 30 (UTC-0400)" in words


def test_a_place_that_is_no_longer_known_is_told_as_recorded() -> None:
    words = sheet(zone=None, lot=None, languages=("fr",)).words
    assert "Lieu G1\nL3\n2e rangée" in words
    bare = sheet(infraction(zone="", lot=None, place=None), zone=None, lot=None)
    assert "Lieu CIUSSS de l’Estrie – CHUS" in bare.words


def test_what_issued_nothing_or_has_no_number_is_not_printed() -> None:
    with pytest.raises(NotPrintable) as nothing:
        sheet(infraction(outcome="no_issue"))
    assert nothing.value.reason == "nothing_issued"
    for number in (None, ""):
        with pytest.raises(NotPrintable) as none:
            sheet(infraction(number=number))
        assert none.value.reason == "no_number"


def test_composing_changes_nothing_in_what_was_recorded() -> None:
    body = infraction()
    first = compose(body, site=site(), codes=CODES)
    assert body == infraction()
    assert compose(body, site=site(), codes=CODES) == first


def test_every_sentence_of_ours_is_translated() -> None:
    for texts in ({"payment_url": PAY}, {}):
        for body in (infraction(), warning(), infraction(codes=["M02"])):
            for instrument in ("avis", "constat"):
                french, english = (
                    set(lines(sheet(body, instrument, texts=texts, languages=(lang,)).words))  # type: ignore[arg-type]
                    for lang in ("fr", "en")
                )
                sentences = {line for line in french & english if re.search(r"\w \w+ \w", line)}
                assert sentences <= {
                    "CIUSSS de l’Estrie – CHUS",
                    "375, rue Argyll, Sherbrooke (Québec) J1J 3H5",
                    "Règlement de stationnement, art. 12",
                    "2e rangée, près de l’entrée",
                }
