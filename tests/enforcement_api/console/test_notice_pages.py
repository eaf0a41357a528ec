"""What notices print of a site's own, and the paper as a handheld makes it."""

from __future__ import annotations

import re

import pytest

from enforcement_api.console.notice_pages import sample
from enforcement_api.demo import city
from enforcement_api.patrols import store as patrols
from enforcement_api.patrols.core import TextsShape
from handheld_app import briefing
from sync.paper.layout import as_svg_path, draw
from tests.enforcement_api.console.test_site_pages import HOSTILE, SETTINGS, expected, plan
from tests.enforcement_api.console.visiting import Visiting, fields, visiting, words
from tests.service import NOW, Service

TEXTS = f"{SETTINGS}/texts"
PARTS = ("operator", "how_to_pay", "how_to_contest", "footer")


def typed(visitor: Visiting, form: str = "avis", **given: str) -> dict[str, str]:
    empty = {
        f"{each}_{language}_{part}": ""
        for each in (form, "warning")
        for language in ("fr", "en")
        for part in PARTS
    }
    whole = {"payment_url": "", "outcome": "notice", "paper": "58"}
    return {"expected": expected(visitor, TEXTS)} | empty | whole | given


def texts(service: Service) -> TextsShape:
    return service.parts.record.read(lambda tx: patrols.settings(tx, "1085")).texts


def test_texts_are_saved_and_told_to_handhelds(service: Service, administrator: Visiting) -> None:
    given = typed(
        administrator,
        avis_fr_operator="Société de stationnement",
        avis_fr_how_to_pay="À la guérite.\nOu en ligne.",
        warning_en_footer="Thank you.",
        payment_url="https://payer.example.org/avis",
    )
    leads = administrator.sent(TEXTS, **given)
    page = administrator.page(leads)
    assert "Saved" in words(page)
    assert texts(service).avis.fr.how_to_pay == "À la guérite.\nOu en ligne."
    assert texts(service).avis.en.operator is None
    told = service.device_client().get("/v1/sites/1085/briefing").json()["texts"]
    assert told["warning"]["en"]["footer"] == "Thank you."
    assert told["payment_url"] == "https://payer.example.org/avis"


def test_other_instruments_texts_stay(service: Service, administrator: Visiting) -> None:
    kept = {"texts": {"constat": {"fr": {"footer": "Greffe"}}}}
    service.admin.put("/v1/sites/1085/patrol-settings", json=kept)
    administrator.sent(TEXTS, **typed(administrator, avis_fr_footer="Merci."))
    assert texts(service).constat.fr.footer == "Greffe"
    assert texts(service).avis.fr.footer == "Merci."


def test_supervisor_reads_the_texts_and_sees_the_paper(
    service: Service, supervisor: Visiting, administrator: Visiting
) -> None:
    administrator.sent(TEXTS, **typed(administrator, avis_fr_footer="Merci de votre patience."))
    page = supervisor.page(TEXTS, outcome="notice", paper="80")
    assert "Merci de votre patience." in words(page)
    assert "<textarea" not in page
    assert 'viewBox="0 0 576 ' in page
    assert supervisor.send(TEXTS, avis_fr_footer="x").status_code == 403


@pytest.mark.parametrize(("paper", "dots"), [("58", 384), ("80", 576), ("x", 384)])
@pytest.mark.parametrize("outcome", ["notice", "warning"])
def test_preview_shows_what_was_typed_and_saves_nothing(
    service: Service, administrator: Visiting, outcome: str, paper: str, dots: int
) -> None:
    part = "avis" if outcome == "notice" else "warning"
    given = typed(administrator) | {
        f"{part}_fr_footer": "Bonne route.",
        f"{part}_en_footer": "Drive safely.",
        "outcome": outcome,
        "paper": paper,
        "do": "preview",
    }
    answer = administrator.send(TEXTS, **given)
    assert answer.status_code == 200
    (preview,) = re.findall(r'<p class="words">([^<]*)</p>', answer.text)
    assert "Bonne route." in preview
    assert "Drive safely." in preview
    assert ("avis de réclamation" in preview.lower()) == (outcome == "notice")
    assert f'viewBox="0 0 {dots} ' in answer.text
    assert "Bonne route.</textarea>" in answer.text
    assert texts(service) == TextsShape()


def test_preview_is_the_handhelds_own_paper_dot_for_dot(
    service: Service, administrator: Visiting
) -> None:
    given = typed(administrator, avis_fr_how_to_contest="Écrivez-nous.", avis_en_footer="Bye.")
    page = administrator.page(administrator.sent(TEXTS, **given))
    told = service.device_client().get("/v1/sites/1085/briefing").json()
    on_a_handheld = briefing.read(told).texts
    sheet = sample(plan(service), dict(on_a_handheld), "notice", at=NOW)
    assert "Écrivez-nous." in sheet.words
    assert f'd="{as_svg_path(draw(sheet, 384))}"' in page


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("avis_fr_how_to_pay", "Payez l’amende au P3.", "Notice of claim – in French – How to pay"),
        ("avis_en_footer", "The fine is due.", "Notice of claim – in English – At the bottom"),
        ("warning_fr_footer", "Sinon, une Amende.", "Warning – in French – At the bottom"),
    ],
)
def test_claim_never_speaks_of_a_fine(
    service: Service, administrator: Visiting, field: str, text: str, told: str
) -> None:
    for do in ("preview", "save"):
        answer = administrator.send(TEXTS, **typed(administrator, **{field: text}), do=do)
        assert answer.status_code == 422
        assert f"{told}: has “" in words(answer.text)
        assert f"{text}</textarea>" in answer.text
    assert texts(service) == TextsShape()


def test_statement_of_offence_speaks_of_fines(service: Service, administrator: Visiting) -> None:
    service.site("1085", instrument="constat")
    given = typed(administrator, "constat", constat_fr_how_to_pay="L’amende se paie au greffe.")
    administrator.sent(TEXTS, **given)
    assert texts(service).constat.fr.how_to_pay == "L’amende se paie au greffe."


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("payment_url", "javascript:alert(1)", "Address to pay at: must be an address"),
        ("avis_fr_footer", "x" * 2001, "At the bottom: must be 2000 characters at most"),
        ("avis_fr_footer", "4111 1111 1111 1111", "looks like a card number"),
    ],
)
def test_text_that_cannot_be_printed_is_told(
    administrator: Visiting, field: str, text: str, told: str
) -> None:
    answer = administrator.send(TEXTS, **typed(administrator, **{field: text}))
    assert answer.status_code == 422
    assert told in words(answer.text)


def test_hostile_text_is_shown_as_text(administrator: Visiting, supervisor: Visiting) -> None:
    administrator.sent(TEXTS, **typed(administrator, avis_fr_footer=HOSTILE))
    for visitor in (administrator, supervisor):
        assert "<script>alert" not in visitor.page(TEXTS)


def test_stale_texts_are_told_what_somebody_else_changed(
    service: Service, administrator: Visiting
) -> None:
    mine = typed(administrator, avis_fr_footer="Le mien")
    other = visiting(service, "luc@example.org", role="administrator")
    other.sent(TEXTS, **typed(other, avis_fr_footer="Le leur"))
    answer = administrator.send(TEXTS, **mine)
    assert answer.status_code == 409
    told = words(answer.text)
    assert "Notice of claim – in French – At the bottom" in told
    assert "Le leur" in told
    assert "Le mien</textarea>" in answer.text
    administrator.sent(TEXTS, **mine | {"expected": fields(answer.text)["expected"]})
    assert texts(service).avis.fr.footer == "Le mien"


def test_site_without_codes_zones_or_lots_has_a_preview(
    service: Service, supervisor: Visiting
) -> None:
    service.site("1085", zones=[], codes=[])
    assert "<path" in supervisor.page(TEXTS)


def test_demos_own_texts_are_those_of_a_claim(service: Service, administrator: Visiting) -> None:
    answer = service.admin.put("/v1/sites/1085/patrol-settings", json=city.PATROL_SETTINGS)
    assert answer.status_code == 200
    given = typed(administrator) | {
        f"{form}_{language}_{part}": text or ""
        for form in ("avis", "warning")
        for language, parts in answer.json()["texts"][form].items()
        for part, text in parts.items()
    }
    administrator.sent(TEXTS, **given, do="save")
