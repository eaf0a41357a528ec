"""Builders of sheets: a recorded infraction of a site, with what does not matter left out."""

from __future__ import annotations

from typing import Any

from sync.entities import InfractionCode, Instrument, Lot, Site, Zone
from sync.paper.notice import Sheet, compose

G1 = Zone("G1", {"fr": "Hôtel-Dieu", "en": "Hôtel-Dieu"}, None)
LOT = Lot("L3", "Stationnement 3", "G1", None)
PAY = "https://payer.exemple.quebec/avis"


def site(instrument: Instrument = "avis") -> Site:
    return Site(
        "1085",
        "CIUSSS de l’Estrie – CHUS",
        "375, rue Argyll, Sherbrooke (Québec) J1J 3H5",
        "America/Toronto",
        "CA-QC",
        instrument,
        24,
        90,
        None,
        (),
        None,
    )


def code(
    id: str, fr: str, en: str, *amounts: tuple[str, int], article: str | None = None
) -> InfractionCode:
    dated = tuple({"from": day, "amount_cents": cents} for day, cents in amounts)
    return InfractionCode(id, {"fr": fr, "en": en}, ("avis", "constat"), article, dated, 0, True)


CODES = (
    code(
        "P01",
        "Sans permis valide",
        "No valid permit",
        ("2026-11-24", 5700),
        ("2026-01-01", 5200),
        article="Règlement de stationnement, art. 12",
    ),
    code("S02", "Entrave à la circulation", "Obstruction", ("2026-01-01", 7800)),
    code("M02", "À cheval sur deux places", "Straddling spaces", ("2027-01-01", 3000)),
)


def infraction(**changed: Any) -> dict[str, Any]:
    """As the outbox keeps it: observed at 15:05 in Sherbrooke."""
    return {
        "site": "1085",
        "zone": "G1",
        "lot": "L3",
        "place": "2e rangée, près de l’entrée",
        "plate": "ABC123",
        "jurisdiction": "CA-QC",
        "plate_raw": "abc 123",
        "plate_source": "typed",
        "vehicle": {"make": "Toyota", "model": "Corolla", "year": 2021, "colour": "bleu"},
        "codes": ["P01"],
        "outcome": "notice",
        "number": "1085-1042",
        "patroller": "marie",
        "observed_at": "2026-11-23T20:05:00Z",
        "verdict": "unknown",
        "note": "Conducteur absent.",
        "photos": [],
    } | changed


def warning(**changed: Any) -> dict[str, Any]:
    """A warning takes no number."""
    body = infraction(outcome="warning", **changed)
    del body["number"]
    return body


def sheet(
    body: dict[str, Any] | None = None, instrument: Instrument = "avis", **given: Any
) -> Sheet:
    whole: dict[str, Any] = {
        "site": site(instrument),
        "codes": CODES,
        "zone": G1,
        "lot": LOT,
        "texts": {"payment_url": PAY},
        "badge": "4217",
    }
    return compose(infraction() if body is None else body, **(whole | given))


def three() -> dict[str, Sheet]:
    """One of each form."""
    return {
        "avis": sheet(),
        "constat": sheet(instrument="constat"),
        "warning": sheet(warning()),
    }
