"""Subscriptions in tests: an office that talks to the service as its clients do.

office = Office(service)
office.product("5569", zones=["G1"])
subscription = office.subscribe("ABC 123")
office.approve(subscription)
assert office.get(subscription)["status"] == "waiting"
"""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import httpx

from sync.codec import instant
from tests.service import Service

CONSENTS = ("terms", "approval", "payment_terms", "charge_after_approval")


def new_id() -> str:
    return str(uuid.uuid4())


class Office:
    """Asks the service for what an office does; by itself, things that are in order."""

    def __init__(self, service: Service, *, site: str = "1085") -> None:
        self.service, self.site = service, site
        self.client = service.admin
        self._numbers = itertools.count(1)
        self._products: list[str] = []

    def ask(self, method: str, path: str, *, version: Any = "*", **how: Any) -> httpx.Response:
        """Ask, having looked at a version (by itself: whatever there is, if there is anything)."""
        tag = version if isinstance(version, str) else f'"{version}"'
        if method == "PUT" and version == "*":
            answer = self.client.request(method, f"/v1/{path}", **how)
            if answer.status_code != 428:
                return answer
        return self.client.request(method, f"/v1/{path}", headers={"If-Match": tag}, **how)

    def does(self, method: str, path: str, *, version: Any = "*", **how: Any) -> dict[str, Any]:
        """Ask for what is in order; the answer."""
        answer = self.ask(method, path, version=version, **how)
        assert answer.status_code in (200, 201), answer.text
        found: dict[str, Any] = answer.json()
        return found

    # what there is

    def product(self, code: str = "5569", **facts: Any) -> str:
        self.does(
            "PUT",
            f"categories/{self.site}/supervisor",
            json={"name": {"fr": "Superviseur de stage", "en": "Internship supervisor"}},
        )
        shape = {
            "name": {
                "fr": "Permis G (général zone 1) - Superviseur de stage-épisodique",
                "en": "Permit G (general zone 1) - Internship supervisor-episodic",
            },
            "category": "supervisor",
            "price_cents": 0,
            "zones": ["G1"],
        } | facts
        self.does("PUT", f"products/{self.site}/{code}", json=shape)
        self._products.append(code)
        return code

    def holder(self, id: str | None = None, **facts: Any) -> str:
        id = id or new_id()
        self.does("PUT", f"holders/{id}", json=self.person(**facts))
        return id

    def person(self, **facts: Any) -> dict[str, Any]:
        return {
            "site": self.site,
            "email": f"john.john{next(self._numbers)}@example.org",
            "language": "fr",
            "first_name": "John",
            "last_name": "John",
            "line1": "375, rue Argyll",
            "city": "Sherbrooke",
            "province": "QC",
            "postal_code": "J1J 3H5",
            "mobile": "819 555-0123",
        } | facts

    # what is asked for

    def wanted(self, *plates: str, **facts: Any) -> dict[str, Any]:
        """A request for a subscription, as it is handed in."""
        if not self._products:
            self.product()
        at = instant(self.service.clock())
        return {
            "kind": "subscription",
            "site": self.site,
            "holder": facts.pop("holder", None) or self.holder(),
            "product": self._products[0],
            "starts_on": "2026-01-01",
            "vehicles": [self.vehicle(plate, id=new_id()) for plate in plates],
            "consents": dict.fromkeys(CONSENTS, at),
        } | facts

    def vehicle(self, plate: str, **facts: Any) -> dict[str, Any]:
        described = {"make": "Acura", "model": "NSX", "year": 2021, "colour": "rouge"}
        return {"plate": plate} | described | facts

    def subscribe(self, *plates: str, **facts: Any) -> str:
        """A request for a subscription that awaits approval; the id of both."""
        id = new_id()
        self.does("PUT", f"requests/{id}", json=self.wanted(*plates or ("ABC 123",), **facts))
        return id

    def subscribed(self, *plates: str, **facts: Any) -> str:
        """A subscription that was approved now; its id."""
        id = self.subscribe(*plates, **facts)
        self.approve(id)
        return id

    # what is done

    def decide(self, request: str, decision: str, **facts: Any) -> dict[str, Any]:
        shape = {"id": new_id(), "decision": decision} | facts
        return self.does("POST", f"requests/{request}/decision", json=shape)

    def approve(self, request: str, **facts: Any) -> dict[str, Any]:
        return self.decide(request, "approve", **facts)

    def act(self, subscription: str, action: str, **facts: Any) -> dict[str, Any]:
        shape = {"id": new_id(), "action": action} | facts
        return self.does("POST", f"subscriptions/{subscription}/actions", json=shape)

    def get(self, subscription: str) -> dict[str, Any]:
        return self.does("GET", f"subscriptions/{subscription}")

    def vehicles(self, subscription: str) -> dict[str, str]:
        """The ids of its present vehicles by plate."""
        found = self.get(subscription)["vehicles"]
        return {v["plate"]: v["id"] for v in found if v["deleted_at"] is None}

    def put_vehicle(
        self, subscription: str, plate: str, *, vehicle: str | None = None, **facts: Any
    ) -> dict[str, Any]:
        path = f"subscriptions/{subscription}/vehicles/{vehicle or new_id()}"
        return self.does("PUT", path, json=self.vehicle(plate, **facts))

    def delete_vehicle(self, subscription: str, vehicle: str) -> dict[str, Any]:
        return self.does("DELETE", f"subscriptions/{subscription}/vehicles/{vehicle}")

    def status(self, subscription: str) -> str:
        return str(self.get(subscription)["status"])
