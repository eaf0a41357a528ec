"""The local provider put together: an application, and the process that serves it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.requests import Request

from enforcement_api import problems
from enforcement_api.headers import Headers
from enforcement_api.listening import Announcing, end_cleanly_on_signals, listen
from enforcement_api.local_provider import pages, routes
from enforcement_api.local_provider.ledger import Ledger
from enforcement_api.local_provider.webhooks import Webhooks
from enforcement_api.problems import N_, Problem
from enforcement_api.shapes import BodyLimit
from sync.client import is_loopback

FILE = "local-provider.db"
_LARGEST_BODY = 64 * 1024


class NotOfThisMachine(Problem):
    """An address that others could reach."""

    status = 503
    slug = "not-of-this-machine"
    title = N_("The local provider serves this machine alone")
    detail = N_("{host} can be reached by others. Leave --host out, or name a loopback address.")


@dataclass(frozen=True)
class Secrets:
    """What the service and the provider both know."""

    key: str = field(repr=False)
    webhook: str = field(repr=False)


def create_app(ledger: Ledger, *, key: str, now: Callable[[], datetime]) -> FastAPI:
    """The provider as an ASGI application."""
    app = FastAPI(title="Local provider", openapi_url=None, redirect_slashes=False)

    async def anybody(request: Request) -> None:
        """Who may not is told by the routes; an address that is none tells nothing."""

    problems.install(app, storage_failed=lambda problem: None, may_ask=anybody)
    app.add_middleware(BodyLimit, limit=_LARGEST_BODY, apart="")
    app.add_middleware(Headers, docs="/docs")
    app.include_router(routes.router(ledger, key=key, now=now))
    app.include_router(pages.router(ledger, now=now))
    return app


def serve(
    data_dir: Path,
    *,
    host: str,
    port: int,
    service: str,
    key: str,
    webhook_secret: str,
    now: Callable[[], datetime],
    listening_at: Callable[[str, Secrets], None],
) -> None:
    """Serve until told to end. `key`, `webhook_secret`: empty for ones that the ledger makes and
    keeps; `listening_at` is told the address and both before anybody is answered. `service`: the
    address of the service that is told of events.

    Raises NotOfThisMachine, AddressTaken, PortNotAllowed, StorageFailed before it listens.
    """
    if not is_loopback(host):
        raise NotOfThisMachine(host=host)
    end_cleanly_on_signals()
    ledger = Ledger(data_dir / FILE)
    known = Secrets(key or ledger.secret("key"), webhook_secret or ledger.secret("webhook"))
    listening = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    listening_at(f"http://{shown}:{listening.getsockname()[1]}", known)
    config = uvicorn.Config(
        create_app(ledger, key=known.key, now=now),
        host=host,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        lifespan="off",
    )
    webhooks = Webhooks(ledger, service=service, secret=known.webhook, now=now)
    webhooks.start()
    server = Announcing(config)
    try:
        server.run(sockets=[listening])
    finally:
        webhooks.stop()
        listening.close()
    if not server.started:
        sys.exit(1)
