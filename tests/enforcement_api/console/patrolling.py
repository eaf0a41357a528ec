"""A device of the service, and whoever has it."""

from __future__ import annotations

from typing import Any

import httpx

from tests.service import Service, infraction, instant, new_id


class Patrol:
    """An enrolled device, and whoever has it."""

    def __init__(self, service: Service, name: str = "Handheld 7", *sites: str) -> None:
        made = service.device(*(sites or ("1085",)), name=name)
        answer = service.client(None).post("/v1/enrolments", json={"code": made["enrolment_code"]})
        self.service, self.id = service, made["id"]
        self.client: httpx.Client = service.client(answer.json()["token"])

    def is_like(self, **state: Any) -> None:
        told = {"app_version": "0.6.0", "unsent": 0, "clock_offset_ms": 0} | state
        self.client.put("/v1/devices/self", json=told).raise_for_status()

    def catch_up(self) -> None:
        answer = self.client.get("/v1/sites/1085/changes")
        cursor = answer.json()["cursor"]
        self.client.get("/v1/sites/1085/changes", params={"cursor": cursor}).raise_for_status()

    def tell(self, kind: str, *, at: Any = None, **facts: Any) -> None:
        when = instant(at or self.service.clock())
        body = {"kind": kind, "site": "1085", "at": when} | facts
        self.client.put(f"/v1/events/{new_id()}", json=body).raise_for_status()

    def record(self, **facts: Any) -> str:
        id = new_id()
        sent = infraction(**({"at": self.service.clock()} | facts))
        self.client.put(f"/v1/infractions/{id}", json=sent).raise_for_status()
        return id

    def ask(self, id: str, note: str = "Quelle place ?") -> None:
        """A supervisor asks of an infraction that was recorded."""
        body = {"decision": "request_information", "note": note, "expected_state": "received"}
        admin = self.service.admin
        admin.post(f"/v1/infractions/{id}/reviews", json=body).raise_for_status()
