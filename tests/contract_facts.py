"""The facts of a contract, as the office writes them down."""

from __future__ import annotations

from typing import Any

_ACCEPTED_AT = "2021-05-28T13:02:11Z"


def contract_facts(**changed: Any) -> dict[str, Any]:
    """Those of the guide's John John, but for what is changed."""
    return {
        "number": "100014764",
        "position": 1,
        "language": "fr",
        "time_zone": "America/Toronto",
        "activation_hours": 24,
        "site": {
            "name": "1085 - CIUSSS de l’Estrie - CHUS",
            "address": "375 rue Argyll, J1J 3H5, Sherbrooke, QC",
        },
        "product": {
            "code": "5569",
            "name": "Permis G (général zone 1) - Superviseur de stage-épisodique",
        },
        "price_cents": 2308,
        "billing_period": "month",
        "zones": [{"code": "G1", "name": "Zone générale 1"}],
        "notice": "Valide seulement dans les stationnements de la zone 1.",
        "holder": {
            "name": "John John",
            "email": "john@example.org",
            "line1": "375, rue Argyll",
            "apartment": "4",
            "line2": None,
            "city": "Sherbrooke",
            "province": "QC",
            "postal_code": "J1J 3H5",
            "mobile": "819 555-0100",
            "home": None,
            "home_extension": None,
            "work": "819 555-0101",
            "work_extension": "22",
        },
        "vehicles": [
            {
                "plate": "ABC123",
                "jurisdiction": "CA-QC",
                "make": "Acura",
                "model": "NSX",
                "year": 2021,
                "colour": "Rouge",
                "usable_from": "2021-06-01T04:00:00Z",
            },
            {
                "plate": "XYZ987",
                "jurisdiction": "CA-ON",
                "make": None,
                "model": None,
                "year": None,
                "colour": None,
                "usable_from": "2021-05-31T18:20:27Z",
            },
        ],
        "starts_on": "2021-06-01",
        "ends_on": None,
        "payment_method": "card",
        "card_last4": "4242",
        "requested_at": _ACCEPTED_AT,
        "approved_at": "2021-05-30T18:20:27Z",
        "answers": [
            {"question": "Établissement d’enseignement", "answer": "Université de Sherbrooke"},
            {"question": "Discipline du stage", "answer": "Soins infirmiers"},
        ],
        "consents": [
            {
                "code": "terms",
                "text": "J’accepte les conditions de service.",
                "accepted_at": _ACCEPTED_AT,
            },
            {
                "code": "approval",
                "text": "Je comprends que l’accès au service nécessite l’approbation de la SPAQ.",
                "accepted_at": _ACCEPTED_AT,
            },
            {
                "code": "payment_terms",
                "text": "J’accepte les conditions de paiement.",
                "accepted_at": "2021-05-28T13:05:40Z",
            },
            {
                "code": "charge_after_approval",
                "text": "Je comprends que je ne serai débité qu’une fois l’abonnement approuvé.",
                "accepted_at": "2021-05-28T13:05:40Z",
            },
        ],
    } | changed
