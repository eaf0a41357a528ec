"""Categories of users and products over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.permits.core import UnknownZone
from enforcement_api.security import Guard, Principal
from enforcement_api.shapes import Word
from enforcement_api.sites import store as sites
from enforcement_api.sites.routes import SiteName
from enforcement_api.subscriptions import shapes, store
from enforcement_api.subscriptions.core import Category, Product
from enforcement_api.subscriptions.office import Office
from enforcement_api.subscriptions.shapes import (
    CHANGE_RESPONSES,
    IF_MATCH_IF_KNOWN,
    CategoryShape,
    Cursor,
    Filter,
    Limit,
    Page,
    ProductShape,
    Sites,
    check_is_new,
    expected_version,
    page,
    page_json,
    versioned,
)
from enforcement_api.subscriptions.store import Action

Code = Annotated[Word, Path(description="Its code", examples=["5569"])]


def router(
    *,
    record: Record,
    guard: Guard,
    office: Office,
    now: Callable[[], datetime],
    follow: Callable[[str], None],
) -> APIRouter:
    """The routes of categories and products."""
    admin = guard.allow("admin")
    routes = APIRouter(prefix="/v1", tags=["products"], dependencies=[Depends(admin)])

    def action(by: Principal) -> Action:
        return Action(by.actor, now().replace(microsecond=0))

    @routes.put(
        "/categories/{site}/{code}",
        operation_id="putCategory",
        summary="Create or replace a category of users",
        response_model=dict[str, Any],
        responses={201: {"description": "It is new"}},
    )
    def put_category(
        site: SiteName, code: Code, wanted: CategoryShape, by: Principal = Depends(admin)
    ) -> Response:
        """Write a category whole."""
        category = Category(site, code, wanted.name.model_dump(), wanted.active)

        def write(tx: Connection) -> bool:
            sites.site(tx, site)
            is_new = store.put_category(tx, category)
            store.remember(tx, site, f"category:{code}", "replaced", action(by))
            return is_new

        status = 201 if record.write(write) else 200
        return JSONResponse(shapes.category_json(category), status)

    @routes.get(
        "/categories",
        operation_id="listCategories",
        summary="Categories of users",
        response_model=Page,
    )
    def list_categories(
        site: Sites = (),
        limit: Limit = 50,
        cursor: Cursor = None,
        by: Principal = Depends(admin),
    ) -> Response:
        """By site and code."""

        def read(tx: Connection) -> Response:
            wanted = page(tx, by, site, limit=limit, cursor=cursor, position=(str, str))
            return page_json(
                store.list_categories(tx, wanted),
                wanted,
                show=shapes.category_json,
                position=lambda c: (c.site, c.code),
            )

        return record.read(read)

    @routes.put(
        "/products/{site}/{code}",
        operation_id="putProduct",
        summary="Create or replace a product",
        response_model=dict[str, Any],
        responses={201: {"description": "It is new"}, **CHANGE_RESPONSES},
        openapi_extra=IF_MATCH_IF_KNOWN,
    )
    def put_product(
        request: Request,
        site: SiteName,
        code: Code,
        wanted: ProductShape,
        by: Principal = Depends(admin),
    ) -> Response:
        """Write a product whole. Other zones are at once those of all permits of the product; a
        price is that of requests to come. The same again changes nothing.
        """

        def write(tx: Connection) -> tuple[Product, int]:
            known = sites.zone_codes(tx, sites.site(tx, site).id)
            for zone in wanted.zones:
                if zone not in known:
                    raise UnknownZone(site=site, zone=zone, zones=", ".join(sorted(known)))
            store.category(tx, site, wanted.category)
            before = store.find_product(tx, site, code, lock=True)
            if before is None:
                check_is_new(request)
                product = wanted.product(site, code, 1)
                store.put_product(tx, product)
                store.remember(tx, site, f"product:{code}", "created", action(by))
                return product, 201
            if wanted.product(site, code, before.version) == before:
                return before, 200
            store.check_version(before.version, expected_version(request))
            product = wanted.product(site, code, before.version + 1)
            store.put_product(tx, product)
            does = action(by)
            changed = office.product_changed(tx, before, product, does.at)
            store.remember(tx, site, f"product:{code}", "replaced", does, subscriptions=changed)
            return product, 200

        product, status = record.write(write)
        follow(site)
        return versioned(shapes.product_json(product), status=status)

    @routes.get(
        "/products/{site}/{code}",
        operation_id="getProduct",
        summary="A product",
        response_model=dict[str, Any],
    )
    def get_product(site: SiteName, code: Code) -> Response:
        """The product, with its version as ETag."""
        found = record.read(lambda tx: store.product(tx, sites.site(tx, site).id, code))
        return versioned(shapes.product_json(found))

    @routes.get("/products", operation_id="listProducts", summary="Products", response_model=Page)
    def list_products(
        site: Sites = (),
        category: Annotated[Filter | None, Query(max_length=32)] = None,
        active: bool | None = None,
        limit: Limit = 50,
        cursor: Cursor = None,
        by: Principal = Depends(admin),
    ) -> Response:
        """By site and code."""

        def read(tx: Connection) -> Response:
            wanted = page(tx, by, site, limit=limit, cursor=cursor, position=(str, str))
            return page_json(
                store.list_products(tx, wanted, category=category, active=active),
                wanted,
                show=shapes.product_json,
                position=lambda p: (p.site, p.code),
            )

        return record.read(read)

    return routes
