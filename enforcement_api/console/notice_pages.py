"""What notices print of a site's own, as pages, with the paper as it comes out of the printer."""

from __future__ import annotations

from fastapi import APIRouter

from enforcement_api.console.site_forms import Desk


def router(desk: Desk) -> APIRouter:
    """The pages of printed texts."""
    return APIRouter(prefix="/sites/{site}/settings", include_in_schema=False)
