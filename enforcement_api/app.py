"""The composition root: the service put together."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi_offline import FastAPIOffline
from sqlalchemy import Connection

from enforcement_api import logs, openapi, problems
from enforcement_api.console import review_pages
from enforcement_api.console import routes as console_routes
from enforcement_api.console.exporting import Exports
from enforcement_api.console.static import console_files, url_for_static
from enforcement_api.console.web import Web
from enforcement_api.database.engine import Record, check_writable
from enforcement_api.devices import reporting
from enforcement_api.devices import routes as devices_routes
from enforcement_api.devices import store as devices
from enforcement_api.devices.core import Authority
from enforcement_api.devices.fleet import Fleet
from enforcement_api.feed import routes as feed_routes
from enforcement_api.feed import store as feed
from enforcement_api.feed.follower import Follower
from enforcement_api.feed.plates import PlateCounts
from enforcement_api.feed.snapshots import Snapshots
from enforcement_api.headers import Headers
from enforcement_api.infractions import heeding
from enforcement_api.infractions import routes as infractions_routes
from enforcement_api.infractions import store as infractions
from enforcement_api.operations import routes as operations_routes
from enforcement_api.operations.metrics import Counted, Requests
from enforcement_api.operations.using import serving
from enforcement_api.patrols import routes as patrols_routes
from enforcement_api.permits import intake
from enforcement_api.permits import routes as permits_routes
from enforcement_api.permits import store as permits
from enforcement_api.problems import N_, Problem, StorageFailed
from enforcement_api.rates import AddressLimit, Limit
from enforcement_api.security import Guard, KeyRing, Principal, ask_the_doors
from enforcement_api.settings import Settings
from enforcement_api.shapes import BodyLimit
from enforcement_api.sites import routes as sites_routes
from enforcement_api.sites import sign_ins
from enforcement_api.sites import store as sites
from enforcement_api.sites.administration import Administration
from enforcement_api.staff import keys
from enforcement_api.staff import store as staff
from enforcement_api.staff.entrance import Entrance
from enforcement_api.subscriptions import (
    attachment_routes,
    confirmation_routes,
    courtesy_routes,
    holder_routes,
    payment_routes,
    privacy,
    product_routes,
    request_routes,
)
from enforcement_api.subscriptions import routes as subscriptions_routes
from enforcement_api.subscriptions.cashier import Cashier
from enforcement_api.subscriptions.clerk import Clerk
from enforcement_api.subscriptions.contact import Contact
from enforcement_api.subscriptions.desk import Desk
from enforcement_api.subscriptions.office import Office
from enforcement_api.subscriptions.post import Courier
from enforcement_api.subscriptions.providers import provider_of

_log = logging.getLogger(__name__)
DOCS = "/docs"
_HOUR = 3600.0
_SEEN_EVERY = timedelta(minutes=1)
_SESSION_KEPT = timedelta(days=30)
RATE_SECONDS = 10
"""The window in which requests are counted."""


def utc_now() -> datetime:
    """The time. Called by composition roots only; everything else is told."""
    return datetime.now(UTC)


class Service:
    """The running parts behind the routes."""

    def __init__(self, settings: Settings, *, now: Callable[[], datetime] = utc_now) -> None:
        self.settings = settings
        self.now = now
        self.record = Record(settings.database_url)
        self.follower = Follower(
            self.record,
            settings.index_dir,
            now=now,
            seconds=settings.follow_seconds,
            storage_failed=lambda problem: self.storage_failed(problem),
        )
        self.administration = Administration(
            self.record,
            open_feed=feed.open_feed,
            publish=feed.publish,
            follow=self.follower.follow,
            zones_named=permits.zones_named,
            has_permits=permits.has_permits,
            reinstate=intake.reinstate,
        )
        self.office = Office(self.record, on_change=infractions.recheck_open)
        self.desk = Desk(self.record, settings, self.office, self.follower.follow)
        self.exports = Exports(now=now)
        self.provider = provider_of(settings)
        self.cashier = Cashier(
            self.record,
            self.provider,
            self.office,
            now=now,
            tell=self.office.tell,
            retry=timedelta(hours=settings.payment_retry_hours),
            follow=self.follower.follow,
        )
        contact = Contact(self.record, now=now, fed=self.follower.fed)
        self.clerk = Clerk(
            {
                "contact": contact.keep,
                "payments": self.cashier.charge_due,
                "letters": Courier(self.record, settings, now=now).deliver_due,
            },
            seconds=settings.clerk_seconds,
        )
        self.entrance = Entrance(
            self.record,
            now=now,
            lasts=timedelta(hours=settings.session_hours),
            idle=timedelta(minutes=settings.session_idle_minutes),
        )
        self.plates = PlateCounts()
        self.snapshots = Snapshots(self.follower, settings.snapshot_dir)
        self.guard = Guard(
            KeyRing(self._holder, seconds=settings.key_cache_seconds),
            requests=Limit((settings.requests_by_key, RATE_SECONDS)),
            epoch=lambda: self.record.read(self.record.epoch),
        )
        self.storage_failed: Callable[[StorageFailed], None] = lambda p: _log.error("%s", p)
        self._seen: dict[tuple[str, str], tuple[tuple[str, int | None], datetime]] = {}
        self._stopping = threading.Event()
        self._held = contextlib.ExitStack()
        self._housekeeping: threading.Thread | None = None

    def start(self) -> None:
        """Make sure of the disk and the record, catch up, and keep house.

        Raises StorageFailed, RecordNotReady, RecordUnavailable, BeingRestored.
        """
        for folder in (self.settings.data_dir, self.settings.index_dir, self.settings.photo_dir):
            check_writable(folder)
        self._held.enter_context(serving(self.record, self.settings))
        self.record.check_ready()
        self.follower.start()
        self._housekeeping = threading.Thread(
            target=self._keep_house, name="housekeeping", daemon=True
        )
        self._housekeeping.start()
        if self.settings.clerk_seconds:
            self.clerk.start()

    def stop(self) -> None:
        """Answer who waits, end the threads, close the record."""
        self._stopping.set()
        self.clerk.stop()
        self.follower.stop()
        if self._housekeeping is not None:
            self._housekeeping.join()
        if self.provider is not None:
            self.provider.close()
        self._held.close()
        self.record.close()

    def _holder(self, hash: str) -> Principal | None:
        def find(tx: Connection) -> Principal | None:
            return keys.find(tx, hash)

        return self.record.read(find) or devices.holder(
            self.record, hash, at=self.now(), on_change=self.guard.ring.forget
        )

    def _keep_house(self) -> None:
        while not self._stopping.wait(_HOUR):
            for chore in (self.run_due_retention, self.run_due_purge):
                try:
                    chore()
                except Exception:
                    _log.exception("housekeeping failed; it is tried again in an hour")

    def run_due_retention(self) -> None:
        """Run the retention of the sites whose last run is long enough ago; each by itself."""
        now = self.now()
        before = now - timedelta(hours=self.settings.retention_hours)
        for site in self.record.read(lambda tx: sites.due_for_retention(tx, before)):
            try:
                self.run_retention(site, at=now)
            except Exception:
                _log.exception("the retention of site %s failed; it is tried again later", site)

    def run_due_purge(self) -> None:
        """Let go of what is known of people and has served, if the last time is long enough ago."""
        at = self.now().replace(microsecond=0)
        before = at - timedelta(hours=self.settings.retention_hours)
        if self.record.read(lambda tx: privacy.is_due(tx, before)):
            privacy.purge(self.record, self.settings, at=at)
            self.record.write(lambda tx: staff.sweep(tx, before=at - _SESSION_KEPT))

    def run_retention(self, site: str, *, at: datetime) -> int:
        """Remove from a site's feed what no longer counts at `at`; how many permits. Delete, too,
        what was known so long ago that nobody asks.
        """
        removed = intake.prune(self.record, site, at=at, now=self.now())
        before = self.now() - timedelta(days=self.settings.version_days)
        intake.forget(self.record, site, before=before, rests_on=infractions.plates_noticed)
        oldest = at - timedelta(days=self.settings.notice_days)
        self.record.write(lambda tx: infractions.forget_old_notices(tx, site, oldest))
        self.follower.follow(site)
        return removed

    def seen(self, device: str, site: str, cursor: str, sequence: int, at: datetime) -> None:
        """A device has caught up with a site. It has been answered: no failure is its affair.

        That it is where it was is written once in a minute: most polls find nothing new.
        """
        kept, since = self._seen.get((device, site), (None, at))
        try:
            held = self.plates.known(site, sequence)
            if kept == (cursor, held) and held is not None and abs(at - since) < _SEEN_EVERY:
                return
            if held is None:
                held = self.record.read(lambda tx: self.plates.unless_busy(tx, site, sequence))
            self.record.write(
                lambda tx: devices.seen(tx, device, site, cursor, sequence, at, plates_held=held)
            )
            self._seen[device, site] = (cursor, held), at
        except Problem as problem:
            _log.warning("how far device %s has come was not kept: %s", device, problem)


def create_app(
    settings: Settings | None = None, *, now: Callable[[], datetime] = utc_now
) -> FastAPI:
    """The service as an ASGI application. `app.state.service` has its running parts."""
    settings = settings or Settings.load()
    logs.keep_card_numbers_out()
    service = Service(settings, now=now)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.start)
        try:
            yield
        finally:
            await run_in_threadpool(service.stop)

    app: FastAPI = FastAPIOffline(
        title="Patrouille",
        version=version("patrouille"),
        summary="Which vehicles may be where they are, and what patrollers recorded.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        openapi_url="/openapi.json",
        docs_url=DOCS,
        redoc_url=None,
        static_url=f"{DOCS}/static",
        redirect_slashes=False,
    )
    app.state.service = service
    web = Web(
        record=service.record,
        entrance=service.entrance,
        settings=settings,
        now=now,
        static=url_for_static,
        waiting=review_pages.waiting,
    )
    problems.install(
        app,
        storage_failed=lambda problem: service.storage_failed(problem),
        may_ask=ask_the_doors,
        page=web.problem,
    )
    app.add_middleware(
        BodyLimit,
        limit=settings.largest_json,
        apart="/v1/(plate-updates|payment-events|sites/[^/]*/reconciliation"
        "|(photos|infractions|events|attachments)/[^/]*)",
        answer=web.turned_away,
    )
    app.add_middleware(AddressLimit, limit=Limit((settings.requests_by_address, RATE_SECONDS)))
    app.add_middleware(Headers, docs=DOCS)
    requests = Requests()
    app.add_middleware(Counted, requests=requests)
    record, guard, follower = service.record, service.guard, service.follower
    fleet = _fleet(service)
    # What is asked most comes first: a route is looked for in this order.
    app.include_router(
        permits_routes.router(
            record=record,
            follower=follower,
            guard=guard,
            settings=settings,
            now=now,
            on_change=infractions.recheck_open,
        )
    )
    app.include_router(
        feed_routes.router(
            record=record,
            follower=follower,
            snapshots=service.snapshots,
            guard=guard,
            now=now,
            seen=service.seen,
        )
    )
    app.include_router(
        patrols_routes.router(
            record=record,
            guard=guard,
            now=now,
            questions=lambda tx, site, device: [
                asked.as_json() for asked in infractions.questions(tx, site, device)
            ],
        )
    )
    app.include_router(
        infractions_routes.router(
            record=record, guard=guard, settings=settings, now=now, follow=follower.follow
        )
    )
    app.include_router(
        reporting.router(
            record=record,
            guard=guard,
            settings=settings,
            now=now,
            check_site=sites.site,
            all_sites=lambda tx: [site.id for site in sites.all_sites(tx)],
            plates_of=permits.plates_of,
            heed=heeding.heed,
            follow=follower.follow,
        )
    )
    app.include_router(
        devices_routes.router(
            record=record,
            guard=guard,
            settings=settings,
            now=now,
            fleet=fleet,
        )
    )
    app.include_router(
        sites_routes.router(
            record=record,
            guard=guard,
            now=now,
            administration=service.administration,
        )
    )
    _include_subscriptions(app, service)
    app.include_router(sign_ins.router(record=record, guard=guard, settings=settings, now=now))
    app.include_router(console_files().router())
    app.include_router(
        console_routes.router(
            web,
            follower=follower,
            snapshots=service.snapshots,
            fleet=fleet,
            administration=service.administration,
            desk=service.desk,
            underway=service.exports,
        )
    )
    app.include_router(
        operations_routes.router(
            record=record, follower=follower, guard=guard, requests=requests, now=now
        )
    )
    app.include_router(_health(service))
    app.openapi = partial(openapi.describe, app)  # type: ignore[method-assign]
    return app


def _fleet(service: Service) -> Fleet:
    """Raises UnusableAuthority."""
    settings = service.settings
    return Fleet(
        service.record,
        code_lasts=timedelta(minutes=settings.enrolment_minutes),
        server=settings.public_url,
        authority=None if settings.authority is None else Authority.read(settings.authority),
        forget=service.guard.ring.forget,
        plates_held=service.plates.at,
        stale_after=sites.stale_after,
    )


def _include_subscriptions(app: FastAPI, service: Service) -> None:
    record, guard, now, office = service.record, service.guard, service.now, service.office
    follow = service.follower.follow
    app.include_router(
        holder_routes.router(record=record, guard=guard, settings=service.settings, now=now)
    )
    app.include_router(confirmation_routes.router(record=record, now=now))
    app.include_router(
        attachment_routes.router(
            record=record, guard=guard, settings=service.settings, desk=service.desk, now=now
        )
    )
    app.include_router(
        courtesy_routes.router(record=record, guard=guard, desk=service.desk, now=now)
    )
    app.include_router(
        payment_routes.router(
            record=record,
            guard=guard,
            provider=service.provider,
            cashier=service.cashier,
            settings=service.settings,
            now=now,
        )
    )
    app.include_router(
        product_routes.router(record=record, guard=guard, office=office, now=now, follow=follow)
    )
    for routes in (request_routes, subscriptions_routes):
        app.include_router(routes.router(record=record, guard=guard, desk=service.desk, now=now))


class NotReady(Problem):
    """The index cannot follow the record."""

    status = 503
    slug = "not-ready"
    title = N_("The service is not ready")
    detail = N_("Its index cannot follow the record; see the service's log: {reason}")


def _health(service: Service) -> APIRouter:
    routes = APIRouter(prefix="/health", tags=["operations"])

    @routes.get("/live", operation_id="isLive", summary="Does it run?")
    async def live() -> dict[str, str]:
        """Answer as long as the process runs."""
        return {"status": "live"}

    routes.head("/live", include_in_schema=False)(live)

    @routes.get("/ready", operation_id="isReady", summary="Can it answer?")
    def ready() -> dict[str, str]:
        """Tell whether the record can be reached, with the index level with it."""
        try:
            service.follower.look()
        except Problem:
            raise
        except Exception as error:
            raise NotReady(reason=error) from error
        return {"status": "ready"}

    return routes
