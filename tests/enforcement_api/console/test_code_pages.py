"""Codes and what they cost, as pages."""

from __future__ import annotations

from typing import Any

import pytest

from sync.entities import InfractionCode
from tests.enforcement_api.console.test_site_pages import HOSTILE, SETTINGS, expected, plan
from tests.enforcement_api.console.visiting import Visiting, fields, visiting, words
from tests.service import Service


@pytest.fixture(autouse=True)
def codes(service: Service) -> None:
    """The clock says 23 November 2026."""
    service.site(
        "1085",
        codes=[
            {
                "code": "P01",
                "title": {"fr": "Sans permis", "en": "No permit"},
                "instruments": ["avis"],
                "amounts": [
                    {"from": "2026-01-01", "amount_cents": 5000},
                    {"from": "2026-06-01", "amount_cents": 6000},
                ],
                "photos_required": 2,
            },
            {"code": "P02", "title": {"fr": "Zone", "en": "Zone"}},
        ],
    )


def code(service: Service, id: str) -> InfractionCode:
    return next(code for code in plan(service).codes if code.id == id)


def code_fields(visitor: Visiting, id: str = "P01", **typed: Any) -> dict[str, Any]:
    return {
        "expected": expected(visitor, f"{SETTINGS}/code", code=id),
        "piece": id,
        "title_fr": "Sans permis valide",
        "title_en": "No valid permit",
        "article": "Clause 4",
        "instruments": ["avis"],
        "photos_required": "3",
        "active": "on",
    } | typed


def amount_fields(visitor: Visiting, id: str, day: str, amount: str) -> dict[str, str]:
    seen = expected(visitor, f"{SETTINGS}/code", code=id)
    return {"expected": seen, "piece": id, "from": day, "amount": amount}


def test_list_tells_what_each_costs_today(supervisor: Visiting) -> None:
    told = words(supervisor.page(f"{SETTINGS}/codes"))
    assert "$60.00" in told
    assert "$50.00" not in told


def test_code_is_changed_and_keeps_its_amounts(service: Service, administrator: Visiting) -> None:
    leads = administrator.sent(f"{SETTINGS}/code", **code_fields(administrator))
    assert "The code is saved" in words(administrator.page(leads))
    kept = code(service, "P01")
    assert (kept.title["fr"], kept.article, kept.photos_required) == (
        "Sans permis valide",
        "Clause 4",
        3,
    )
    assert len(kept.amounts) == 2
    off = code_fields(administrator)
    del off["active"]
    administrator.sent(f"{SETTINGS}/code", **off)
    assert not code(service, "P01").active
    assert "not in use" in words(administrator.page(f"{SETTINGS}/codes"))


def test_code_is_added(service: Service, administrator: Visiting) -> None:
    new = code_fields(administrator) | {"piece": "", "code": "Z01"}
    administrator.sent(f"{SETTINGS}/code", **new)
    assert plan(service).codes[-1].id == "Z01"
    again = administrator.send(f"{SETTINGS}/code", **new)
    assert again.status_code == 409
    assert "has this zone, lot or code already" in words(again.text)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"title_fr": "Amende pour absence"}, "Title in French: has “Amende”"),
        ({"title_en": "Fined, or a fine"}, "Title in English: has “fine”"),
        ({"article": "Constat d’infraction, art. 4"}, "Article or clause"),
    ],
)
def test_claim_never_says_that_it_is_penal(
    service: Service, administrator: Visiting, typed: dict[str, str], told: str
) -> None:
    before = plan(service)
    answer = administrator.send(f"{SETTINGS}/code", **code_fields(administrator, **typed))
    assert answer.status_code == 422
    assert told in words(answer.text)
    assert plan(service) == before
    penal = code_fields(administrator, **typed, instruments=["constat"])
    administrator.sent(f"{SETTINGS}/code", **penal)


def test_what_is_wrong_with_a_code_is_told(administrator: Visiting) -> None:
    typed = code_fields(administrator, title_fr="", instruments=[], article=HOSTILE)
    answer = administrator.send(f"{SETTINGS}/code", **typed)
    assert answer.status_code == 422
    told = words(answer.text)
    assert "Title in French" in told
    assert "Kinds of notice: must have 1 entries at least" in told
    assert "<script>alert" not in answer.text


def test_amount_from_a_day_to_come_leaves_those_before(
    service: Service, administrator: Visiting
) -> None:
    typed = amount_fields(administrator, "P01", "2027-01-01", "65,50")
    leads = administrator.sent(f"{SETTINGS}/code/amount", **typed)
    assert "The amount is planned" in words(administrator.page(leads))
    assert [each["amount_cents"] for each in code(service, "P01").amounts] == [5000, 6000, 6550]
    assert "$65.50 from 1 Jan 2027" in words(administrator.page(f"{SETTINGS}/codes"))
    drop = {"expected": expected(administrator, f"{SETTINGS}/code", code="P01"), "piece": "P01"}
    administrator.sent(f"{SETTINGS}/code/amount/drop", **drop, **{"from": "2027-01-01"})
    assert len(code(service, "P01").amounts) == 2


def test_first_amount_may_begin_today(service: Service, administrator: Visiting) -> None:
    administrator.sent(
        f"{SETTINGS}/code/amount", **amount_fields(administrator, "P02", "2026-11-23", "60 $")
    )
    assert code(service, "P02").amounts[0]["amount_cents"] == 6000


@pytest.mark.parametrize(
    ("day", "amount", "told"),
    [
        ("2026-11-23", "70", "An amount that has begun stays as it is"),
        ("2026-06-01", "70", "An amount that has begun stays as it is"),
        ("2027-01-01", "sixty", "Amount: must be an amount"),
        ("2027-01-01", "99999999", "Amount: must be at most"),
        ("next year", "70", "From: must be a date"),
    ],
)
def test_amount_that_cannot_be_is_told_and_kept_as_typed(
    service: Service, administrator: Visiting, day: str, amount: str, told: str
) -> None:
    typed = amount_fields(administrator, "P01", day, amount)
    answer = administrator.send(f"{SETTINGS}/code/amount", **typed)
    assert answer.status_code in (409, 422)
    assert told in words(answer.text)
    assert f'value="{amount}"' in answer.text
    assert len(code(service, "P01").amounts) == 2


@pytest.mark.parametrize("day", ["2026-06-01", "2026-01-01"])
def test_amount_that_has_begun_is_not_dropped(
    service: Service, administrator: Visiting, day: str
) -> None:
    typed = amount_fields(administrator, "P01", day, "")
    assert administrator.send(f"{SETTINGS}/code/amount/drop", **typed).status_code == 409
    assert len(code(service, "P01").amounts) == 2


def test_amount_that_is_none_is_dropped_by_nobody(administrator: Visiting) -> None:
    for day in ("x", "2030-01-01"):
        typed = amount_fields(administrator, "P01", day, "")
        answer = administrator.send(f"{SETTINGS}/code/amount/drop", **typed)
        assert answer.status_code == 404


def test_stale_code_is_told_what_somebody_else_changed(
    service: Service, administrator: Visiting
) -> None:
    typed = code_fields(administrator, title_fr="Le mien")
    other = visiting(service, "luc@example.org", role="administrator")
    other.sent(f"{SETTINGS}/code", **code_fields(other, title_fr="Le leur"))
    answer = administrator.send(f"{SETTINGS}/code", **typed)
    assert answer.status_code == 409
    assert "Le leur" in words(answer.text)
    assert 'value="Le mien"' in answer.text
    administrator.sent(f"{SETTINGS}/code", **typed | {"expected": fields(answer.text)["expected"]})
    assert code(service, "P01").title["fr"] == "Le mien"


def test_codes_change_places(service: Service, administrator: Visiting) -> None:
    administrator.sent(f"{SETTINGS}/code/move", piece="P02", way="up")
    assert [code.id for code in plan(service).codes] == ["P02", "P01"]
