"""The demo's subscription office: what people ask for and what is decided, over HTTP, and a person
at a browser who gives a card on the provider's page.
"""

from __future__ import annotations

import html
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from enforcement_api.demo import city
from enforcement_api.demo.city import SITE, TIME_ZONE, ZONE
from enforcement_api.demo.processes import LOOPBACK
from enforcement_api.local_provider.cards import TEST_CARDS
from sync import codec

Ask = Callable[..., Any]
"""Asks the service: method, path, and what httpx takes; what it answers."""

CARD = TEST_CARDS[0].number
EPISODIC, FULL_TIME, VOLUNTEER = "5569", "5571", "5580"
CHARGED_WITHIN = 60.0
"""Seconds within which the service has charged what is due."""

_FORM = re.compile(r'<form method="post" action="([^"]*)"')

CATEGORIES = {
    "supervisor": {"fr": "Superviseur de stage", "en": "Internship supervisor"},
    "staff": {"fr": "Personnel", "en": "Staff"},
    "volunteer": {"fr": "Bénévole", "en": "Volunteer"},
}

PRODUCTS: Mapping[str, Mapping[str, Any]] = {
    EPISODIC: {
        "name": {
            "fr": "Permis G (général zone 1) - Superviseur de stage-épisodique",
            "en": "Permit G (general zone 1) - Internship supervisor-episodic",
        },
        "category": "supervisor",
        "price_cents": 2308,
        "zones": [ZONE],
        "notice": {
            "fr": "Valide dans les stationnements de la zone 1 seulement.",
            "en": "Valid in the car parks of zone 1 only.",
        },
        "questions": [
            {"code": "school", "text": {"fr": "Établissement d’enseignement", "en": "School"}},
            {"code": "field", "text": {"fr": "Discipline du stage", "en": "Field of internship"}},
        ],
        "proof_required": True,
    },
    FULL_TIME: {
        "name": {
            "fr": "Permis G (général zones 1 et 2) - Personnel à temps plein",
            "en": "Permit G (general zones 1 and 2) - Full-time staff",
        },
        "category": "staff",
        "price_cents": 2292,
        "zones": ["G1", "G2"],
    },
    VOLUNTEER: {
        "name": {"fr": "Permis V - Bénévole", "en": "Permit V - Volunteer"},
        "category": "volunteer",
        "price_cents": 0,
        "billing_period": "once",
        "zones": ["VIS"],
    },
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who subscribes, and what they drive."""

    name: tuple[str, str]
    email: str
    line1: str
    postal_code: str
    mobile: str
    vehicle: Mapping[str, Any]
    language: str = "fr"


def _vehicle(plate: str, make: str, model: str, year: int, colour: str) -> dict[str, Any]:
    return {"plate": plate, "make": make, "model": model, "year": year, "colour": colour}


JOHN = Person(
    ("John", "John"),
    "john.john@example.org",
    "375, rue Argyll",
    "J1J 3H5",
    "819 555-0123",
    _vehicle(city.SUPERVISOR_PLATE, "Acura", "NSX", 2021, "rouge"),
)
SYLVIE = Person(
    ("Sylvie", "Bouchard"),
    "s.bouchard@example.org",
    "12, rue King Ouest",
    "J1H 1P1",
    "819 555-0142",
    _vehicle(city.OFFICE_PLATES[0], "Mazda", "CX-5", 2019, "gris"),
)
EMILE = Person(
    ("Émile", "Lachance"),
    "emile@example.org",
    "2040, rue Galt Est",
    "J1G 3J4",
    "819 555-0177",
    _vehicle(city.OFFICE_PLATES[1], "Kia", "Niro", 2023, "bleu"),
)
FATOU = Person(
    ("Fatou", "Ndiaye"),
    "f.ndiaye@example.org",
    "88, rue Wellington Sud",
    "J1H 5C8",
    "819 555-0105",
    _vehicle(city.OFFICE_PLATES[2], "Toyota", "Yaris", 2014, "vert"),
)
MARK = Person(("Mark", "Walsh"), "mark.walsh@example.org", "6, College Street", "J1M 1T8",
              "819 555-0190", _vehicle(city.OFFICE_PLATES[3], "Subaru", "Impreza", 2017, "noir"),
              "en")  # fmt: skip
PEOPLE = (JOHN, SYLVIE, EMILE, FATOU, MARK)


class Office:
    """What an office, and a portal for it, ask the service for."""

    def __init__(self, ask: Ask, *, now: datetime) -> None:
        self._ask = ask
        self._now = now
        self._holders: dict[str, str] = {}

    # what there is

    def open(self) -> None:
        """Write the categories, the products, and the people."""
        for code, name in CATEGORIES.items():
            self._ask("PUT", f"/v1/categories/{SITE}/{code}", json={"name": name})
        for code, product in PRODUCTS.items():
            self._ask("PUT", f"/v1/products/{SITE}/{code}", json=product)
        for person in PEOPLE:
            id = self._holders[person.email] = _new_id()
            shape = {
                "site": SITE,
                "email": person.email,
                "language": person.language,
                "first_name": person.name[0],
                "last_name": person.name[1],
                "line1": person.line1,
                "city": "Sherbrooke",
                "province": "QC",
                "postal_code": person.postal_code,
                "mobile": person.mobile,
            }
            self._ask("PUT", f"/v1/holders/{id}", json=shape)

    # what is asked for

    def ask_for(
        self,
        person: Person,
        product: str,
        *,
        starts_in: int = 0,
        proof: bytes | None = None,
        answers: Mapping[str, str] | None = None,
    ) -> str:
        """Hand in a request for a subscription from so many days on; the id of both."""
        proofs = [] if proof is None else [self._hand_over(proof)]
        day = self._now.astimezone(TIME_ZONE).date() + timedelta(days=starts_in)
        at = codec.instant(self._now)
        consents = ["terms", "approval"]
        costs = bool(PRODUCTS[product]["price_cents"])
        if costs:
            consents += ["payment_terms", "charge_after_approval"]
        id = _new_id()
        shape = {
            "kind": "subscription",
            "site": SITE,
            "holder": self._holders[person.email],
            "product": product,
            "starts_on": day.isoformat(),
            "vehicles": [{"id": _new_id(), **person.vehicle}],
            "answers": answers or {},
            "consents": dict.fromkeys(consents, at),
            "attachments": proofs,
            "payment": {"method": "card"} if costs else None,
        }
        self._ask("PUT", f"/v1/requests/{id}", json=shape)
        return id

    def _hand_over(self, proof: bytes) -> str:
        id = _new_id()
        asked = {"site": SITE, "purpose": "proof", "name": "preuve de stage.jpg"}
        self._ask("PUT", f"/v1/attachments/{id}", params=asked, content=proof)
        return id

    def card_page(self, subscription: str, *, language: str) -> str:
        """The address of a page of the provider's on which a card is given for it."""
        path = f"/v1/subscriptions/{subscription}/payment-pages/{_new_id()}"
        return str(self._ask("PUT", path, json={"language": language})["url"])

    # what is decided

    def decide(self, request: str, decision: str, *, reason: str | None = None) -> None:
        """Approve or refuse a request, having looked at it."""
        path = f"/v1/requests/{request}"
        version = self._ask("GET", path)["version"]
        shape = {"id": _new_id(), "decision": decision, "reason": reason}
        headers = {"If-Match": f'"{version}"'}
        self._ask("POST", f"{path}/decision", json=shape, headers=headers)

    def grant_courtesy(self, *, days: int) -> dict[str, Any]:
        """Let a loan car in at once, until the evening of so many days later."""
        last = self._now.astimezone(TIME_ZONE) + timedelta(days=days)
        shape = {
            "site": SITE,
            "plate": city.COURTESY_PLATE,
            "zones": [ZONE],
            "reason": "Voiture de courtoisie : la sienne est au garage.",
            "expires_at": codec.instant(last.replace(hour=18, minute=0, second=0)),
        }
        path = f"/v1/courtesy-permits/{_new_id()}"
        granted: dict[str, Any] = self._ask("PUT", path, json=shape)
        return granted

    # what there is to see

    def subscription(self, id: str) -> dict[str, Any]:
        """A subscription with all that belongs to it."""
        found: dict[str, Any] = self._ask("GET", f"/v1/subscriptions/{id}")
        return found

    def payments(self, id: str) -> list[dict[str, Any]]:
        """What it owes and paid."""
        found: list[dict[str, Any]] = self._ask("GET", f"/v1/subscriptions/{id}/payments")["items"]
        return found

    def charged(self, id: str) -> list[dict[str, Any]]:
        """The same, once the service has charged what is due, or after a while."""
        give_up = time.monotonic() + CHARGED_WITHIN
        while True:
            found = self.payments(id)
            is_due = any(payment["state"] == "due" for payment in found)
            if not is_due or time.monotonic() > give_up:
                return found
            time.sleep(0.1)

    def letters(self) -> list[str]:
        """The state of each letter to anybody."""
        people = [self._ask("GET", f"/v1/holders/{id}") for id in self._holders.values()]
        return [letter["state"] for person in people for letter in person["letters"]]


def give_card(url: str) -> str:
    """Type a card on the provider's page and follow where it leads; the words of the last page."""
    with httpx.Client(follow_redirects=True, **LOOPBACK) as browser:
        page = browser.get(url)
        (action,) = _FORM.findall(page.text)
        typed = {"number": CARD, "expiry": "05/31"}
        back = browser.post(page.url.join(html.unescape(action)), data=typed)
    return html.unescape(back.text)


def _new_id() -> str:
    return str(uuid.uuid4())
