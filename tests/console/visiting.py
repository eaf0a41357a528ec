"""Somebody of the staff in the browser, and infractions for them to look at."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page

from enforcement_api.console.web import COOKIE, ROOT
from tests.console.browsing import Browser, Look
from tests.enforcement_api.console.visiting import Visiting, visiting
from tests.enforcement_api.infraction_log import InfractionLog, sha256
from tests.service import Service


def signed_in(
    browser: Browser, service: Service, address: str, look: Look, **facts: Any
) -> tuple[Page, Visiting]:
    """A page of somebody new who is signed in, in the look's language; and they by HTTP."""
    given = {"name": "Marie Côté", "sites": ["1085"], "language": look.language} | facts
    email = given.pop("email", f"marie{id(browser)}@example.org")
    scheme = given.pop("scheme", "light")
    who = visiting(service, email, **given)
    page = browser.open(address, look, scheme=scheme)
    page.context.add_cookies(
        [{"name": COOKIE, "value": who.secret, "url": f"{address}{ROOT}", "httpOnly": True}]
    )
    return page, who


def car(plate: str, *, shade: int = 0, size: tuple[int, int] = (1280, 960)) -> bytes:
    """A picture that looks about like the back of a car in a car park."""
    import io

    wide, high = size
    picture = Image.new("RGB", size, (168 - shade, 178 - shade, 190 - shade))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, high * 0.62, wide, high), fill=(92, 94, 98))
    draw.rounded_rectangle(
        (wide * 0.2, high * 0.25, wide * 0.8, high * 0.8), 80, fill=(120 - shade, 30, 40)
    )
    draw.rounded_rectangle(
        (wide * 0.27, high * 0.3, wide * 0.73, high * 0.47), 30, fill=(40, 52, 70)
    )
    box = (wide * 0.36, high * 0.55, wide * 0.64, high * 0.66)
    draw.rounded_rectangle(box, 10, fill="white", outline=(20, 40, 110), width=6)
    font = ImageFont.load_default(high * 0.08)
    draw.text((wide / 2, high * 0.605), plate, fill=(20, 40, 110), font=font, anchor="mm")
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()


def with_photos(log: InfractionLog, plate: str, *, missing: int = 0, **facts: Any) -> str:
    """An infraction with a photo of the plate and one of the place; some may not come."""
    shots = [car(plate, shade=n * 20) for n in range(2)]
    photos = [
        {"sha256": sha256(shot), "bytes": len(shot), "taken_at": "2026-11-23T16:58:40Z"}
        | {"shows": shows}
        for shot, shows in zip(shots, ("plate", "context"), strict=True)
    ]
    id = log.record(plate, photos=photos, **facts)
    for shot in shots[: 2 - missing]:
        log.request("PUT", f"/v1/photos/{sha256(shot)}", log.device, content=shot)
    return id


PLACES = [
    ("P1", "G1", (45.3788, -71.9289)),
    ("P2", "G1", (45.3795, -71.9278)),
    ("P3", "V1", (45.3782, -71.9271)),
]


def area(lat: float, lon: float) -> dict[str, Any]:
    """A car park of about 60 by 40 metres."""
    ring = [(0, 0), (0.0008, 0.0001), (0.00075, 0.00045), (-0.00005, 0.00035), (0, 0)]
    return {"type": "Polygon", "coordinates": [[[lon + x, lat + y] for x, y in ring]]}


def furnish(log: InfractionLog) -> None:
    """The site with a name, lots on the map, and people with names."""
    lots = [
        {"code": code, "name": f"Stationnement {code}", "zone": zone, "area": area(*at)}
        for code, zone, at in PLACES
    ]
    zones = [
        {"code": "G1", "name": {"fr": "Général 1", "en": "General 1"}},
        {"code": "V1", "name": {"fr": "Visiteurs", "en": "Visitors"}},
    ]
    log._service.site("1085", zones=zones, lots=lots, name="CIUSSS de l’Estrie – CHUS")
