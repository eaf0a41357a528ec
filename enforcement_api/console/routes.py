"""The console put together."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.responses import Response

from enforcement_api.console import (
    account_pages,
    figures_pages,
    live_pages,
    log_pages,
    patrol_pages,
    plate_pages,
    request_pages,
    review_pages,
    site_pages,
)
from enforcement_api.console.exporting import Exports
from enforcement_api.console.web import ROOT, Visitor, Web, address
from enforcement_api.devices.fleet import Fleet
from enforcement_api.feed.follower import Follower
from enforcement_api.feed.snapshots import Snapshots
from enforcement_api.sites.administration import Administration
from enforcement_api.subscriptions.desk import Desk


def router(
    web: Web,
    *,
    follower: Follower,
    snapshots: Snapshots,
    fleet: Fleet,
    administration: Administration,
    desk: Desk,
    underway: Exports,
) -> APIRouter:
    """Every page of the console, over what does what they ask for."""
    routes = APIRouter(include_in_schema=False)

    @routes.get(ROOT)
    def first_page(visitor: Visitor = Depends(web.visitor)) -> Response:
        """The one site that somebody sees, or the list of them."""
        if len(visitor.sites) == 1:
            return web.go(address("sites", visitor.sites[0].id, "review"))
        return web.page("home.html", visitor)

    routes.include_router(account_pages.router(web))
    routes.include_router(log_pages.router(web, underway=underway))
    routes.include_router(review_pages.router(web, follow=follower.follow))
    routes.include_router(live_pages.router(web, fleet=fleet))
    routes.include_router(patrol_pages.router(web, administration=administration))
    routes.include_router(
        plate_pages.router(web, desk=desk, follower=follower, snapshots=snapshots)
    )
    routes.include_router(figures_pages.router(web))
    routes.include_router(request_pages.router(web, desk=desk))
    routes.include_router(site_pages.router(web, administration))
    return routes
