"""The infraction log under test: the real service, a device of the site, and what it hands over."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from sqlalchemy import insert

from enforcement_api.database.tables import patrollers
from sync import codec
from sync.plates import Plate
from tests.service import Service, new_id, running

__all__ = ["NOON", "InfractionLog", "infraction_log", "new_id", "picture", "sha256"]

NOON = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
"""Noon in Sherbrooke."""


def picture(kind: str = "JPEG", *, shade: int = 90) -> bytes:
    """A small picture; another shade is another photo."""
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (shade, 120, 60)).save(out, kind)
    return out.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class InfractionLog:
    """The service as a device, a feeder and a supervisor see it. The clock stands until moved."""

    def __init__(self, under_test: Service) -> None:
        self._service = under_test
        self.service = under_test.parts
        self.settings = under_test.settings
        self._versions: dict[str, int] = {}
        self._http = under_test.client(None, language="fr")
        self._http.headers["accept"] = ""
        self.admin = under_test.key("admin")
        self.put_site("1085")
        # Not over HTTP: hashing a PIN is slow on purpose.
        marie = {"id": "marie", "badge": "42", "name": "Marie", "pin_hash": "unused"}
        self.service.record.write(
            lambda tx: tx.execute(insert(patrollers).values(site="1085", **marie))
        )
        self.device_id, self.device = self.enrol("1085")

    @property
    def now(self) -> datetime:
        return self._service.clock.at

    @now.setter
    def now(self, at: datetime) -> None:
        self._service.clock.at = at

    def request(self, method: str, path: str, key: str | None, **options: Any) -> httpx.Response:
        headers = options.pop("headers", {}) | ({"authorization": f"Bearer {key}"} if key else {})
        return self._http.request(method, path, headers=headers, **options)

    # who and what there is

    def key(self, role: str, *sites: str) -> str:
        return self._service.key(role, sites=sites or None)

    def put_site(self, id: str, **settings: Any) -> None:
        lots = [{"code": "P3", "zone": "G1"}]
        self._service.site(id, zones=["G1", "V1"], lots=lots, **settings)

    def enrol(self, *sites: str) -> tuple[str, str]:
        """A device of these sites: its id and its token."""
        body = {"name": "Pixel 4", "sites": list(sites)}
        made = self.request("POST", "/v1/devices", self.admin, json=body).json()
        code = {"code": made["enrolment_code"]}
        enrolled = self.request("POST", "/v1/enrolments", None, json=code).json()
        return enrolled["device"], enrolled["token"]

    def revoke(self) -> None:
        answer = self.request("DELETE", f"/v1/devices/{self.device_id}", self.admin)
        assert answer.status_code == 204

    def permit(self, plate: str, **facts: Any) -> None:
        """Push a permit that was active before this system knew it; a newer one each time."""
        self._versions[plate] = version = self._versions.get(plate, 0) + 1
        self._service.permit(plate, **{"id": f"permit of {plate}", "version": version} | facts)

    def page_of_changes(self) -> dict[str, Any]:
        answer = self.request("GET", "/v1/sites/1085/changes", self.device).json()
        assert isinstance(answer, dict)
        return answer

    # infractions

    def infraction(self, plate: str | None = "ABC123", **fields: Any) -> dict[str, Any]:
        """The body of an infraction that nothing is to be said about."""
        level = self.page_of_changes()
        return {
            "site": "1085",
            "zone": "G1",
            "plate": plate,
            "jurisdiction": "CA-QC",
            "plate_raw": plate or "",
            "plate_source": "typed" if plate else "none",
            "codes": ["P01"],
            "outcome": "notice",
            "patroller": "42",
            "observed_at": codec.instant(self.now),
            "device_time": codec.instant(self.now - timedelta(seconds=2)),
            "clock_offset_ms": 2000,
            "verdict": "unknown" if plate else None,
            "epoch": level["epoch"],
            "cursor": level["cursor"],
            "known": [],
            "photos": [],
        } | fields

    def put(
        self, body: Any, id: str | None = None, *, key: str | None = None, **options: Any
    ) -> httpx.Response:
        options |= {"content": body} if isinstance(body, bytes) else {"content": json.dumps(body)}
        path = f"/v1/infractions/{new_id() if id is None else id}"
        return self.request("PUT", path, key or self.device, **options)

    def record(self, plate: str | None = "ABC123", **fields: Any) -> str:
        """Hand over an infraction; its id."""
        id = new_id()
        answer = self.put(self.infraction(plate, **fields), id)
        assert answer.status_code == 201, answer.text
        return id

    def get(self, id: str, key: str | None = None) -> dict[str, Any]:
        answer = self.request("GET", f"/v1/infractions/{id}", key or self.admin)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert isinstance(found, dict)
        return found

    def list(self, key: str | None = None, **filters: Any) -> httpx.Response:
        headers = filters.pop("headers", {})
        path = "/v1/infractions"
        return self.request("GET", path, key or self.admin, params=filters, headers=headers)

    def ids(self, **filters: Any) -> list[str]:
        answer = self.list(**filters)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["items"]]

    def put_photo(self, content: bytes, name: str | None = None) -> httpx.Response:
        path = f"/v1/photos/{name or sha256(content)}"
        return self.request("PUT", path, self.device, content=content)

    def plate(self, text: str) -> Plate:
        return Plate(text, "CA-QC")


@contextlib.contextmanager
def infraction_log(folder: Path, database_url: str | None = None) -> Iterator[InfractionLog]:
    with running(folder, database_url=database_url, at=NOON) as service:
        yield InfractionLog(service)
