"""What letters say, in French and English (DOMAIN 4, "E-mails")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest

from enforcement_api.subscriptions.letters import KINDS, Composed, Letter, compose
from enforcement_api.wording import Words, line, lines, name_to_greet

N = "\u00a0"
LANGUAGES = ("fr", "en")

EVERYWHERE = {
    "name": "John John",
    "number": "100014764",
    "product": "5569 - Permis G (général zone 1)",
    "site": "1085 - CIUSSS de l’Estrie - CHUS",
    "time_zone": "America/Toronto",
}
PLATE = {"plate": "XYZ987", "usable_from": "2026-03-08T19:00:00Z", "activation_hours": 24}
TERM = {"starts_on": "2026-06-01", "ends_on": None}
FACTS: dict[str, dict[str, Any]] = {
    "confirm_address": {
        "link": "https://parking.example.org/confirm?token=abc&x=1",
        "expires_at": "2026-03-08T19:00:00Z",
    },
    "request_received": TERM | {"plates": ["ABC123", "XYZ987"]},
    "approved": TERM
    | {
        "activation_hours": 24,
        "plates": [
            {"plate": "ABC123", "usable_from": "2026-06-01T04:00:00Z"},
            {"plate": "XYZ987", "usable_from": "2026-06-02T18:20:27Z"},
        ],
        "contract": 1,
    },
    "refused": {"reason": "Il manque la preuve.\nEnvoyez-la."},
    "vehicle_added": PLATE,
    "vehicle_changed": PLATE | {"previous": "ABC123"},
    "vehicle_deleted": {"plate": "ABC123"},
    "change_received": {},
    "change_approved": {"product_before": "5570 - Permis S", "contract": 2},
    "change_refused": {"reason": "Complet."},
    "cancellation_received": {"on": "2026-03-31"},
    "cancellation_approved": {"last_day": "2026-03-31"},
    "cancellation_refused": {"reason": "Préavis trop court."},
    "cancelled": {"last_day": "2026-03-31", "reason": None},
    "suspended": {"reason": "Fausse déclaration."},
    "resumed": {},
    "payment_failed": {
        "amount_cents": 2308,
        "reason": "Fonds insuffisants",
        "grace_until": "2026-03-10T04:00:00Z",
        "next_try_at": "2026-03-02T15:00:00Z",
    },
    "payment_suspended": {"amount_cents": 2308},
    "payment_received": {
        "amount_cents": 2308,
        "period_from": "2026-03-01",
        "period_until": "2026-03-31",
        "card_last4": "4242",
    },
}


def letter(kind: str, language: str = "fr", **facts: Any) -> Letter:
    everywhere = {"name", "time_zone"} if kind == "confirm_address" else set(EVERYWHERE)
    return Letter(
        "1085",
        "key",
        "holder",
        "subscription",
        kind,
        language,
        "john@example.org",
        {name: fact for name, fact in EVERYWHERE.items() if name in everywhere}
        | FACTS.get(kind, {})
        | facts,
    )


def composed(kind: str, language: str = "fr", **facts: Any) -> Composed:
    return compose(letter(kind, language, **facts))


class Read(HTMLParser):
    """What somebody sees of HTML, and the elements it is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._shown: list[str] = []
        self.feed(html)
        self.text = " ".join("".join(self._shown).split(" "))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._shown.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


# Complete


def test_every_kind_is_tried_here() -> None:
    assert set(FACTS) == set(KINDS)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_subject_and_says_the_same_in_text_and_html(
    kind: str, language: str
) -> None:
    made = composed(kind, language)
    assert made.language == language
    assert made.subject
    assert "\n" not in made.subject
    assert "{" not in made.text + made.subject
    html = Read(made.html)
    told = [part.strip(" *") for part in made.text.splitlines() if part.strip(" *-")]
    for part in told:
        # A row's name and value are two cells, and the title of a quote stands alone.
        for cell in re.split(f"{N}?: ", part) if part not in html.text else [part]:
            assert cell.rstrip(f":{N}") in html.text
    (root,) = html.named("html")
    assert root["lang"] == f"{language}-CA"


@pytest.mark.parametrize("kind", KINDS)
def test_french_and_english_are_two_languages(kind: str) -> None:
    french, english = composed(kind, "fr"), composed(kind, "en")
    assert french.subject != english.subject
    same = set(french.text.splitlines()) & set(english.text.splitlines())
    # Facts and links are the same in both.
    shown = " ".join(str(fact) for fact in (EVERYWHERE | FACTS[kind]).values())
    assert {part for part in same if part.strip(" -") and part.strip() not in shown} == set()


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"confirm_address"}))
def test_every_letter_says_which_contract_it_is_about(kind: str) -> None:
    made = composed(kind)
    assert made.subject.endswith("– contrat 100014764")
    assert f"Contrat{N}: 100014764\n" in made.text
    assert f"Stationnement{N}: 1085 - CIUSSS de l’Estrie - CHUS\n" in made.text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_fetched_and_nobody_is_followed(kind: str, language: str) -> None:
    html = composed(kind, language).html
    assert not re.search(r"<(img|script|link|iframe|object|form)|src=|url\(|@import", html)
    links = {attributes["href"] for attributes in Read(html).named("a")}
    assert links == ({FACTS[kind]["link"]} if kind == "confirm_address" else set())


# Exact


def test_the_approval_says_to_the_second_from_when_each_plate_may_be_parked() -> None:
    """DOMAIN 2.2."""
    text = composed("approved").text
    assert "Bonjour John John,\n" in text
    assert f"ABC123{N}: ne stationnez pas avant le 1er juin 2026 à 0{N}h{N}00" in text
    assert f"XYZ987{N}: ne stationnez pas avant le 2 juin 2026 à 14{N}h{N}20{N}min{N}27{N}s" in text
    assert "Un délai de 24 heures est nécessaire" in text
    assert f"Date de fin{N}: Indéterminée" in text
    assert "Votre contrat est joint à ce message." in text
    english = composed("approved", "en").text
    assert f"ABC123: do not park before June 1, 2026 at 12:00{N}a.m. (Eastern{N}Time)." in english
    assert f"XYZ987: do not park before June 2, 2026 at 2:20:27{N}p.m." in english
    assert "Patrollers need 24 hours" in english


def test_the_delay_is_what_the_site_has() -> None:
    assert "need 1 hour until" in composed("vehicle_added", "en", activation_hours=1).text
    assert "délai de 1 heure est" in composed("vehicle_added", activation_hours=1).text
    assert "hours" not in composed("vehicle_added", "en", activation_hours=0).text
    assert "do not park before" in composed("vehicle_added", "en", activation_hours=0).text


def test_a_replaced_plate_is_said_to_stay_valid_only_if_it_does() -> None:
    """DOMAIN 2.4."""
    told = "La plaque ABC123 reste valide jusqu’à ce moment"
    assert told in composed("vehicle_changed").text
    assert "ABC123" not in composed("vehicle_changed", previous=None).text


def test_a_reason_is_quoted_in_its_lines_and_left_out_where_there_is_none() -> None:
    made = composed("refused")
    assert f"Motif donné{N}:\n    Il manque la preuve.\n    Envoyez-la.\n" in made.text
    assert "<blockquote" in made.html
    for kind in ("suspended", "cancelled", "payment_failed"):
        assert "Motif" not in composed(kind, reason=None).text


def test_what_ended_at_once_has_no_last_day() -> None:
    assert "Son dernier jour est le 31 mars 2026" in composed("cancelled").text
    assert "Il a pris fin" in composed("cancelled", last_day=None).text
    assert "dès que possible" in composed("cancellation_received", on=None).text


def test_a_payment_that_fails_says_until_when_it_can_be_made() -> None:
    text = composed("payment_failed").text
    assert f"percevoir les 23,08{N}$ de" in text
    assert f"Sans paiement avant le 10 mars 2026 à 0{N}h{N}00" in text
    assert f"un nouvel essai le 2 mars 2026 à 10{N}h{N}00" in text
    bare = composed("payment_failed", reason=None, grace_until=None, next_try_at=None).text
    assert "avant le" not in bare
    assert "essai" not in bare
    assert "by March 12, 2026," in composed("payment_failed", "en", grace_until="2026-03-12").text


def test_a_payment_that_was_made_says_for_what() -> None:
    text = composed("payment_received").text
    assert f"Période{N}: 1er mars 2026 au 31 mars 2026\n" in text
    assert f"Carte{N}: se terminant par 4242\n" in text
    assert f"Montant{N}: 23,08{N}$\n" in text
    once = composed("payment_received", period_until=None, card_last4=None).text
    assert f"Période{N}: 1er mars 2026\n" in once
    assert "Carte" not in once


def test_the_link_is_whole_and_says_until_when_it_works() -> None:
    made = composed("confirm_address")
    assert "\nhttps://parking.example.org/confirm?token=abc&x=1\n" in made.text
    assert 'href="https://parking.example.org/confirm?token=abc&amp;x=1"' in made.html
    assert f"jusqu’au 8 mars 2026 à 15{N}h{N}00 (heure{N}de{N}l’Est)" in made.text
    assert made.subject == "Confirmez votre adresse courriel"


@pytest.mark.parametrize("kind", KINDS)
def test_no_letter_says_amende_or_takes_itself_for_a_notice(kind: str) -> None:
    """DOMAIN 5: the two instruments are never mixed, so that letters name neither."""
    text = composed(kind).text.lower()
    for word in ("amende", "constat", "infraction", "avis de réclamation"):
        assert word not in text


def test_another_language_than_the_two_gets_french() -> None:
    assert composed("resumed", "de").language == "fr"


def test_a_kind_or_a_fact_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError):
        composed("unknown")
    with pytest.raises(KeyError):
        compose(Letter("1085", "k", "h", None, "approved", "fr", "a@b.ca", EVERYWHERE))


# Harmless

HOSTILE = (
    "<script>alert(1)</script>\r\nBcc: all@example.org\n\u202egnp.exe\u2066\u200f &amp; {x} %s"
)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_others_wrote_is_text_wherever_it_stands(kind: str, language: str) -> None:
    def spoilt(fact: Any) -> Any:
        if isinstance(fact, list):
            return [spoilt(part) for part in fact]
        if isinstance(fact, Mapping):
            return {name: spoilt_named(name, part) for name, part in fact.items()}
        return fact

    def spoilt_named(name: str, fact: Any) -> Any:
        texts = ("name", "number", "product", "site", "reason", "plate", "previous")
        return HOSTILE if name in (*texts, "product_before") else spoilt(fact)

    made = composed(kind, language, **spoilt(letter(kind).facts))
    assert "<script" not in made.html
    assert "{x}" in made.text or kind == "confirm_address"
    for shown in (made.subject, made.text, made.html):
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\r]", shown)
    assert not re.search("[\n\r]", made.subject)
    assert not re.search("(?m)^Bcc", made.subject)
    assert {tag for tag, _ in Read(made.html).tags} <= {
        *("html", "head", "meta", "title", "body", "div", "h1", "h2", "p", "a"),
        *("table", "tr", "th", "td", "blockquote"),
    }


@pytest.mark.parametrize(
    ("name", "greeted"),
    [
        ("Éloïse O’Brien-St. Pierre", "Éloïse O’Brien-St. Pierre"),
        ("J. R. Smith", "J. R. Smith"),
        ("עברית שם", "עברית שם"),
        ("Win at http://evil.example", ""),
        ("visit evil.example now", ""),
        ("www.evil", ""),
        ("me@evil.example", ""),
        ("  ", ""),
    ],
)
def test_no_link_is_sent_to_anybody_as_a_name(name: str, greeted: str) -> None:
    assert name_to_greet(name) == greeted
    first = composed("confirm_address", name=name).text.splitlines()[0]
    assert first == (f"Bonjour {greeted}," if greeted else "Bonjour,")


def test_a_line_is_one_line_and_what_holds_words_together_stays() -> None:
    assert line(" a\t\n b\x00c\u2028d\ud800e ") == "a b c d e"
    assert line(f"23,08{N}$") == f"23,08{N}$"
    assert lines("a\r\n\r\n  b\u2028c\n") == ["a", "b", "c"]
    assert line("\u202e\u200b") == ""


# Days, instants, money


@pytest.mark.parametrize(
    ("language", "at", "shown"),
    [
        ("fr", "2026-03-08T19:00:00Z", "8 mars 2026 à 15_h_00 (heure_de_l’Est)"),
        ("en", "2026-03-08T19:00:00Z", "March 8, 2026 at 3:00_p.m. (Eastern_Time)"),
        ("fr", "2026-02-01T13:05:09Z", "1er février 2026 à 8_h_05_min_09_s (heure_de_l’Est)"),
        ("en", "2026-02-01T13:05:09Z", "February 1, 2026 at 8:05:09_a.m. (Eastern_Time)"),
        # The hour that comes twice.
        ("fr", "2026-11-01T05:30:00Z", "1er novembre 2026 à 1_h_30 (heure_avancée_de_l’Est)"),
        ("fr", "2026-11-01T06:30:00Z", "1er novembre 2026 à 1_h_30 (heure_normale_de_l’Est)"),
        ("fr", "2026-11-01T07:30:00Z", "1er novembre 2026 à 2_h_30 (heure_de_l’Est)"),
    ],
)
def test_an_instant_is_told_as_it_is_in_quebec(language: str, at: str, shown: str) -> None:
    """DOMAIN 2.2: in the site's zone, whose name tells the two hours of autumn apart."""
    assert Words(language, "America/Toronto").moment(at) == shown.replace("_", N)


def test_an_instant_is_told_in_the_zone_of_the_site() -> None:
    assert Words("fr", "America/Halifax").moment("2026-07-01T03:00:00Z") == (
        "1er juillet 2026 à 0_h_00 (heure_de_l’Atlantique)".replace("_", N)
    )
    assert Words("fr", "America/Montreal").moment("2026-07-01T04:00:00Z") == (
        "1er juillet 2026 à 0_h_00 (heure_de_l’Est)".replace("_", N)
    )


@pytest.mark.parametrize(
    ("cents", "french", "english"),
    [
        (2308, "23,08_$", "$23.08"),
        (0, "0,00_$", "$0.00"),
        (27500, "275,00_$", "$275.00"),
        (123456, "1_234,56_$", "$1,234.56"),
    ],
)
def test_money_is_told_as_it_is_in_quebec(cents: int, french: str, english: str) -> None:
    assert Words("fr", "America/Toronto").money(cents) == french.replace("_", N)
    assert Words("en", "America/Toronto").money(cents) == english
