"""The routers of sites and devices on a record, over the real feed, with a clock that is set."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Connection

from enforcement_api import problems
from enforcement_api.database.engine import Record
from enforcement_api.devices import routes as device_routes
from enforcement_api.devices import store as devices
from enforcement_api.devices.fleet import Fleet
from enforcement_api.feed import store as feed
from enforcement_api.security import Guard, KeyRing, Principal, ask_the_doors
from enforcement_api.settings import Settings
from enforcement_api.sites import routes as site_routes
from enforcement_api.sites import store as sites
from enforcement_api.sites.administration import Administration
from enforcement_api.staff import keys
from sync.messages import ChangePage

on_one_engine = pytest.mark.parametrize("record", ["sqlite"], indirect=True)
"""For what is refused before the record is asked."""

START = datetime(2026, 11, 23, 15, 15, tzinfo=UTC)


class Composed:
    """What a client of the service sees, and what its permits would hold on to."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.at = START
        self.named_by_permits: set[str] = set()
        self.has_permits = False
        self.followed: list[str] = []
        self.administration = Administration(
            record,
            open_feed=feed.open_feed,
            publish=feed.publish,
            follow=self.followed.append,
            zones_named=lambda tx, site: self.named_by_permits,
            has_permits=lambda tx, site: self.has_permits,
            reinstate=lambda tx, site, now: None,
        )
        guard = self.guard = Guard(KeyRing(self._holder, seconds=60))
        self.fleet = Fleet(
            record,
            code_lasts=timedelta(minutes=10),
            server="",
            authority=None,
            forget=guard.ring.forget,
            plates_held=lambda tx, site, sequence: sequence * 100,
            stale_after=sites.stale_after,
        )
        self.app = FastAPI()
        problems.install(self.app, storage_failed=lambda problem: None, may_ask=ask_the_doors)
        self.app.include_router(
            site_routes.router(
                record=record,
                guard=guard,
                now=lambda: self.at,
                administration=self.administration,
            )
        )
        self.app.include_router(
            device_routes.router(
                record=record,
                guard=guard,
                settings=Settings(data_dir=Path("unused"), database_url="unused"),
                now=lambda: self.at,
                fleet=self.fleet,
            )
        )
        self.admin = self.key("admin")

    def _holder(self, hash: str) -> Principal | None:
        def find(tx: Connection) -> Principal | None:
            return keys.find(tx, hash)

        return self.record.read(find) or devices.holder(
            self.record, hash, at=self.at, on_change=self.guard.ring.forget
        )

    def key(self, role: str, *, sites: Iterable[str] | None = None) -> str:
        return self.record.write(
            lambda tx: keys.create(tx, role=role, name=role, sites=sites, at=self.at)
        )

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        language: str = "en",
        address: str = "192.0.2.1",
        **how: Any,
    ) -> httpx.Response:
        """One request, by the administrator unless a key is named ("" for none)."""
        headers = {"Accept-Language": language} | how.pop("headers", {})
        if key != "":
            headers["Authorization"] = f"Bearer {key or self.admin}"
        transport = httpx.ASGITransport(self.app, client=(address, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            if body is not None:
                # Escaped, so that half a surrogate can be sent as well.
                how["content"] = json.dumps(body).encode()
                headers["Content-Type"] = "application/json"
            return await client.request(method, path, headers=headers, **how)

    async def put_site(self, site: str = "1085", **wanted: Any) -> httpx.Response:
        return await self.ask("PUT", f"/v1/sites/{site}", {"name": "CHUS"} | wanted)

    def page(self, site: str = "1085") -> ChangePage:
        """Everything that the feed of a site says."""
        return self.record.read(
            lambda tx: feed.page(
                tx,
                site=site,
                after=None,
                limit=10_000,
                now=self.at,
            )
        )

    def fed(self, kind: str, site: str = "1085") -> dict[str, Any]:
        """The live records of a kind in the feed of a site, by id."""
        return {
            change.id: change.record
            for change in self.page(site).changes
            if change.kind == kind and change.record is not None
        }

    def pass_time(self, **duration: float) -> None:
        self.at += timedelta(**duration)


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem that the service answered."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == problems.MEDIA_TYPE
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    assert found["type"].startswith("/problems/")
    assert found["title"]
    assert found["detail"]
    return found


def pointers(response: httpx.Response) -> list[str]:
    """Where a request was wrong."""
    return [error["pointer"] for error in problem(response, 422)["errors"]]
