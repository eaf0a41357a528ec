"""The browser shows what it should, and whatever is wrong with a page is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi import FastAPI
from PIL import Image
from playwright.sync_api import Page, expect
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from enforcement_api.console.static import PREFIX, console_files, url_for_static
from enforcement_api.subscriptions import confirming, store
from tests.console.browsing import EVERY_LOOK, LOOKS, PHONE, Browser, Look, listening
from tests.console.seeing import SHOTS, accessible, fits, keep, tabbed
from tests.local_provider import LocalProvider, shared_provider
from tests.service import NOW, Loop, Service
from tests.subscribing import Office

__all__ = ["shared_provider"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


# What there is already


@EVERY_LOOK
def test_the_page_behind_a_letters_link_can_be_used_by_all(
    page: Page, service: Service, look: Look
) -> None:
    service.site("1085", name="CIUSSS de l'Estrie - CHUS")
    id = Office(service).holder(language=look.language, email="john.john@example.org")

    def link(tx: Connection) -> str:
        holder = store.find_holder(tx, id)
        assert holder is not None
        life = timedelta(hours=1)
        return confirming.new_link(tx, holder, address="", life=life, at=NOW).url

    page.goto(service.parts.record.write(link))
    button = "Oui, c’est mon adresse" if look.language == "fr" else "Yes, this is my address"
    assert tabbed(page) == [button]
    accessible(page)
    fits(page)
    keep(page, "confirmation")
    page.get_by_role("button", name=button).press("Enter")
    thanks = "Merci, votre adresse est confirmée" if look.language == "fr" else "Thank you"
    expect(page.get_by_role("heading", level=1)).to_contain_text(thanks)
    accessible(page)
    fits(page)


@pytest.mark.parametrize("look", [LOOKS[0], Look("en", PHONE)], indirect=True, ids=str)
def test_the_providers_pages_can_be_used_by_all(
    browser: Browser, look: Look, shared_provider: LocalProvider
) -> None:
    page = browser.open(shared_provider.address, look)
    page.goto("/")
    accessible(page)
    fits(page)
    tabbed(page)


def test_the_documentation_runs_its_scripts_under_its_policy(page: Page) -> None:
    page.goto("/docs")
    expect(page.locator("#operations-permits-check, .opblock").first).to_be_visible()


def test_what_the_service_says_is_gone_is_tolerated_where_it_is_wanted(
    page: Page, browser: Browser
) -> None:
    browser.tolerate("status of 410")
    page.goto("/abonnes/confirmation?jeton=guessed")
    expect(page.get_by_role("heading", level=1)).to_have_text("Ce lien n’est plus bon")


# What is wrong is noticed


PAGES = {
    "good": "<main><h1>Good</h1><p>Nothing is wrong with this one.</p></main>",
    "policy": "<script>window.ran = true</script>",
    "style": "<p style='color: red'>styled</p>",
    "elsewhere": "<img src='http://192.0.2.1/pixel.png' alt=''>",
    "missing": "<script src='/nothing.js'></script>",
    "failing": "<script src='/failing.js'></script>",
    "shouting": "<script src='/shouting.js'></script>",
    "warning": "<script src='/warning.js'></script>",
    "throwing": "<script src='/throwing.js'></script>",
    "rejecting": "<script src='/rejecting.js'></script>",
}
UNFIT = {
    "sideways": ("<main><h1>Wide</h1><p class=wide>Too wide</p></main>", "scrolls sideways"),
    "cut": ("<main><h1>Cut</h1><div>A word that is too long for it</div></main>", "is cut"),
    "covered": ("<main><h1>Cut</h1><p class=hidden>A word that is too long</p></main>", "is cut"),
    "outside": (
        "<main><h1>Cell</h1><ul><li class=slim><b class=long>Too long for it</b></ul></main>",
        "sticks out of its cell",
    ),
    "broken": (
        "<main><h1>Word</h1><p class=tight>Zibeline</p></main>",
        "“Zibeline” is broken over 2 lines",
    ),
    "small": ("<main><h1>Small</h1><button class=narrow>x</button></main>", "20 px small"),
}
UNUSABLE = {
    "unseen": ("<button class=invisible>Go</button><button>On</button>", "“Go” shows no focus"),
    "hidden": ("<button class=behind>Go</button><p class=over>Over it</p>", "“Go” is covered"),
    "trapped": (
        "<button>Go</button><button>On</button><script src=/trap.js></script>",
        "passes over",
    ),
}
LIBRARIES = f"""
<meta name=htmx-config content='{{"allowEval":false,"includeIndicatorStyles":false}}'>
<link rel=stylesheet href="{url_for_static("leaflet.css")}">
<script src="{url_for_static("htmx.min.js")}" defer></script>
<script src="{url_for_static("leaflet.js")}" defer></script>
<script src=/map.js defer></script>
<main><h1>Libraries</h1><button hx-get=/fetched hx-target=\'#here\'>Fetch</button><p id=here></p>
<div id=map class=map></div></main>
"""
OTHERS = {
    "form": "<main><h1>Form</h1><a href=/good>Good</a> <label>Plate <input></label>"
    " <label><input type=checkbox> Read</label> <button>Send</button></main>",
    "unnamed": "<main><h1>Picture</h1><img src=data:image/gif,></main>",
    "pale": "<main><h1>Pale</h1><p class=pale>Read me at night</p></main>",
    "libraries": LIBRARIES,
    "fetched": "Fetched by htmx",
}
BODIES = OTHERS | PAGES | {name: body for name, (body, _) in (UNFIT | UNUSABLE).items()}
SCRIPTS = {
    "/shouting.js": "console.error('this is wrong')",
    "/warning.js": "console.warn('this may be wrong')",
    "/throwing.js": "undefined.nothing()",
    "/rejecting.js": "Promise.reject(new Error('nobody heard'))",
    "/trap.js": "addEventListener('keydown', e => { if (document.activeElement !== document.body)"
    " e.preventDefault() })",
    "/map.js": """
        const map = L.map('map').setView([45.4, -71.9], 15);
        L.marker([45.4, -71.9], {title: 'Here'}).addTo(map);
        const corners = [[45.401, -71.901], [45.401, -71.899], [45.399, -71.9]];
        L.polygon(corners, {className: 'lot'}).addTo(map);
        """,
    "/wrong.css": """
        div:not([id]) { width: 90px; white-space: nowrap }
        .narrow { width: 20px; height: 20px; padding: 0 }
        .wide { width: 2000px }
        .slim { width: 60px }
        .tight { width: 40px; overflow-wrap: anywhere }
        .long { display: inline-block; white-space: nowrap }
        .hidden { overflow: hidden; width: 60px; white-space: nowrap }
        .invisible { outline: 0 }
        :focus-visible:not(.invisible) { outline: 3px solid }
        .over { position: fixed; inset: 0; background: white; margin: 0 }
        .map { height: 300px }
        @media (prefers-color-scheme: dark) { .pale { background: #fff; color: #eee } }
        """,
}


STATIC = FastAPI()
STATIC.include_router(console_files().router())


async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
    """Pages with something wrong in each."""
    request = Request(scope)
    path = scope["path"]
    name = path.strip("/")
    if path.startswith(PREFIX):
        await STATIC(scope, receive, send)
        return
    if path in SCRIPTS:
        kind = "text/css" if path.endswith(".css") else "text/javascript"
        answer = Response(SCRIPTS[path], media_type=kind)
    elif path == "/favicon.ico":
        answer = Response(status_code=204)
    elif path == "/failing.js":
        answer = Response(status_code=503)
    elif path == "/cookie":
        answer = RedirectResponse("/cookies")
        answer.set_cookie("__Host-session", "secret", secure=True, httponly=True, samesite="strict")
    elif path == "/cookies":
        answer = HTMLResponse(f"<p>{request.cookies.get('__Host-session')}")
    elif name in BODIES:
        start = (
            "<!doctype html><html lang=en><meta name=viewport content='width=device-width'>"
            f"<title>{name}</title><link rel=stylesheet href='/wrong.css'>"
        )
        answer = HTMLResponse(start + BODIES[name], headers={"Content-Security-Policy": POLICY})
    else:
        answer = Response(status_code=404)
    await answer(scope, receive, send)


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def wrongs(loop: Loop) -> Iterator[str]:
    with listening(wrong, loop) as address:
        yield address


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("policy", "(?m)^policy: script-src-elem refuses inline"),
        ("style", "(?m)^policy: style-src-attr refuses inline"),
        ("elsewhere", "(?m)^elsewhere: GET http://192.0.2.1/pixel.png"),
        ("missing", "(?m)^console error: .*404"),
        ("failing", "(?m)^service: 503 GET .*/failing.js"),
        ("shouting", "(?m)^console error: this is wrong"),
        ("warning", "(?m)^console warning: this may be wrong"),
        ("throwing", "(?m)^script: .*TypeError"),
        ("rejecting", "(?m)^script: .*nobody heard"),
    ],
)
def test_what_is_wrong_with_a_page_fails_the_test(
    browser: Browser, wrongs: str, name: str, complaint: str
) -> None:
    browser.open(wrongs).goto(f"/{name}")
    with pytest.raises(AssertionError, match=complaint):
        browser.close()


def test_what_is_tolerated_has_to_come(browser: Browser, wrongs: str) -> None:
    browser.tolerate("status of 409")
    browser.open(wrongs).goto("/good")
    with pytest.raises(AssertionError, match=r"nothing was told of .*409"):
        browser.close()


@pytest.mark.parametrize("name", UNFIT)
def test_what_does_not_fit_is_noticed(browser: Browser, wrongs: str, name: str) -> None:
    for look in (LOOKS[0], Look("en", PHONE)):
        page = browser.open(wrongs, look)
        page.goto(f"/{name}")
        with pytest.raises(AssertionError, match=UNFIT[name][1]):
            fits(page)
        page.goto("/good")
        fits(page)


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_the_keyboard_cannot_use_is_noticed(browser: Browser, wrongs: str, name: str) -> None:
    page = browser.open(wrongs)
    page.goto(f"/{name}")
    with pytest.raises(AssertionError, match=UNUSABLE[name][1]):
        tabbed(page)


def test_each_stop_of_the_keyboard_is_told(browser: Browser, wrongs: str) -> None:
    page = browser.open(wrongs)
    page.goto("/form")
    assert tabbed(page) == ["Good", "Plate", "Read", "Send"]


def test_what_some_cannot_read_is_noticed_in_light_and_in_dark(
    browser: Browser, wrongs: str
) -> None:
    page = browser.open(wrongs)
    page.goto("/unnamed")
    with pytest.raises(AssertionError, match=r"(?s)image-alt.*<img src=.data:"):
        accessible(page)
    page.goto("/pale")
    with pytest.raises(AssertionError, match=r"(?s)color-contrast.*#eeeeee"):
        accessible(page)
    page.goto("/good")
    accessible(page)


def test_what_was_seen_is_kept(browser: Browser, wrongs: str) -> None:
    page = browser.open(wrongs, Look("en", PHONE))
    page.goto("/good")
    keep(page, "good")
    path = SHOTS / "en-390x844-good.png"
    with Image.open(path) as picture:
        assert picture.size == PHONE
    path.unlink()


# What a console may rely on


def test_libraries_run_under_a_strict_policy(browser: Browser, wrongs: str) -> None:
    page = browser.open(wrongs)
    page.goto("/libraries")
    page.get_by_role("button", name="Fetch").press("Enter")
    expect(page.get_by_text("Fetched by htmx")).to_be_visible()
    expect(page.locator("#map .leaflet-marker-icon")).to_be_visible()
    expect(page.locator("#map path.lot")).to_be_visible()
    page.locator("#map").get_by_role("button", name="Zoom in").press("Enter")
    keep(page, "libraries")


def test_a_cookie_for_the_host_alone_is_kept_without_tls_on_this_machine(
    browser: Browser, wrongs: str
) -> None:
    page = browser.open(wrongs)
    page.goto("/cookie")
    expect(page.get_by_text("secret")).to_be_visible()
    stranger = browser.open(wrongs)
    stranger.goto("/cookies")
    expect(stranger.get_by_text("None")).to_be_visible()


def test_a_browser_may_be_told_the_time_and_do_without_scripts(
    browser: Browser, wrongs: str
) -> None:
    page = browser.open(wrongs, at=NOW)
    page.goto("/good")
    assert page.evaluate("() => Date.now()") == NOW.timestamp() * 1000
    page.wait_for_function("() => document.title === 'good'")
    without = browser.open(wrongs, script=False)
    without.goto("/throwing")
