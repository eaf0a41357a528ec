"""Metrics and the append-only log over HTTP (CONTRACT, "Operations")."""

import ipaddress
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy import Connection

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import INSTALLATION, Kept, read
from enforcement_api.database.engine import Record
from enforcement_api.feed.follower import Follower
from enforcement_api.operations import metrics
from enforcement_api.security import Guard, Principal
from enforcement_api.shapes import page_cursor, page_position, shown_as
from enforcement_api.sites import store as sites
from sync import codec

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


class EntryOut(BaseModel):
    """One thing that was done. `hash` is of the entry's text, which holds the one before."""

    model_config = shown_as(
        {
            "chain": "1085",
            "number": 42,
            "at": "2026-11-23T16:00:00Z",
            "by": "key:3f0c1d2e4a5b",
            "action": "reviewed",
            "subject": "infraction:01939a7e-5c1b-7c7e-8f5e-3a1d2b4c5d6e",
            "facts": {"state": "voided", "decision": "void", "reason": "misread_plate"},
            "hash": "9f86d08188" + "0" * 54,
        }
    )

    chain: str
    number: int
    at: str
    by: str
    action: str
    subject: str
    facts: dict[str, Any]
    hash: str


class EntriesOut(BaseModel):
    """A page of the log, by chain and number."""

    items: list[EntryOut]
    next_cursor: str | None


def router(
    *,
    record: Record,
    follower: Follower,
    guard: Guard,
    requests: metrics.Requests,
    now: Callable[[], datetime],
) -> APIRouter:
    """The routes of those who run an installation."""
    routes = APIRouter(tags=["operations"])
    reads, admin = guard.allow("reader", "admin"), guard.allow("admin")

    async def scraper(request: Request) -> Principal | None:
        """Whoever asks from this very machine, and not through a proxy on it, needs no key."""
        if _is_local(request) and "authorization" not in request.headers:
            return None
        return await reads(request)

    @routes.get(
        "/metrics",
        operation_id="getMetrics",
        summary="Metrics, for Prometheus",
        response_class=Response,
        responses={
            200: {
                "content": {"text/plain": {"schema": {"type": "string"}}},
                "description": "Prometheus' text format",
            },
            401: {"description": "A key is needed, except on the service's own machine"},
            403: {"description": "The key is no reader's and no administrator's"},
        },
    )
    def get_metrics(principal: Annotated[Principal | None, Depends(scraper)]) -> Response:
        """Tell how the service, its sites and its devices are doing. No plate, no person.

        From the service's own machine no key is needed; from elsewhere a reader's or an
        administrator's, which sees its own sites.
        """

        def may_see(site: str) -> bool:
            return principal is None or principal.sites is None or principal.may_touch(site)

        text = metrics.scrape(record, follower, requests, now=now(), may_see=may_see)
        return Response(text, media_type=metrics.CONTENT_TYPE)

    @routes.get(
        "/v1/audit",
        operation_id="listAuditEntries",
        summary="The append-only log",
        response_model=EntriesOut,
    )
    def list_entries(
        principal: Annotated[Principal, Depends(admin)],
        site: Annotated[
            str | None, Query(description="The chain of a site; left out: all that the key may see")
        ] = None,
        subject: Annotated[
            str | None,
            Query(max_length=300, description="Such as infraction:01939a7e-…, key:…, device:…"),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        cursor: Annotated[str | None, Query(max_length=500)] = None,
    ) -> EntriesOut:
        """Who did what to whom, in the order in which it is chained. What belongs to no site (keys,
        devices, restores) is seen by keys of all sites only.
        """
        after = None if cursor is None else page_position(cursor, str, int)

        def work(tx: Connection) -> list[tuple[str, Kept]]:
            if site is not None:
                sites.site(tx, site)
                principal.check_site(site)
                chains = [site]
            else:
                chains = [here.id for here in sites.all_sites(tx) if principal.may_touch(here.id)]
                chains += [INSTALLATION] * (principal.sites is None)
            return audit.page(
                tx,
                chains=chains,
                subject=None if subject is None else subject.replace("\0", ""),
                after=after and (str(after[0]), int(after[1])),
                limit=limit + 1,
            )

        found = record.read(work)
        more = len(found) > limit
        last = found[limit - 1] if more else None
        return EntriesOut(
            items=[_shown(chain, kept) for chain, kept in found[:limit]],
            next_cursor=None if last is None else page_cursor(last[0], last[1].number),
        )

    return routes


def _is_local(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _shown(chain: str, kept: Kept) -> EntryOut:
    entry = read(kept.text)
    return EntryOut(
        chain=chain,
        number=kept.number,
        at=codec.instant(entry.at),
        by=entry.by,
        action=entry.action,
        subject=entry.subject,
        facts=dict(entry.facts),
        hash=kept.hash,
    )
