"""A real browser at the real service: Debian's Chromium, driven by Playwright.

    page = browser.open(address, Look("fr", PHONE))
    page.goto("/console")

Whatever is wrong with a page fails the test at its end: an error or a warning in the console, a
script that throws, what the Content-Security-Policy refuses, a request to anybody else, an answer
that says the service failed. What a test provokes, it tolerates by name.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Literal, NamedTuple

import pytest
import uvicorn
from playwright import sync_api
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response, WebError

from enforcement_api.listening import listen
from enforcement_api.serving import Config, Protocol
from tests.service import Loop, Service

WITHIN_MS = 10_000
"""How long anything is waited for."""

DESK, PHONE = (1366, 768), (390, 844)
ARGUMENTS = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    # Nothing leaves this machine, whatever the browser or a page would like.
    *("--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
)
_TELL_VIOLATIONS = """
document.addEventListener('securitypolicyviolation', event => tellViolation(
    `${event.effectiveDirective} refuses ${event.blockedURI} ${event.sample}` +
    ` at ${event.sourceFile}:${event.lineNumber}`))
"""
_SETTLED = "() => new Promise(settled => requestAnimationFrame(() => setTimeout(settled)))"


class Look(NamedTuple):
    """In what language, and on how large a screen, somebody looks at a page."""

    language: Literal["fr", "en"] = "fr"
    size: tuple[int, int] = DESK

    def __str__(self) -> str:
        return f"{self.language}-{'phone' if self.size == PHONE else 'desk'}"


LOOKS = (Look("fr", DESK), Look("en", DESK), Look("fr", PHONE), Look("en", PHONE))
EVERY_LOOK = pytest.mark.parametrize("look", LOOKS, indirect=True, ids=str)
"""A test's page, looked at in each of the ways."""


class Browser:
    """Chromium, and all that was wrong with the pages that it was shown."""

    def __init__(self, chromium: sync_api.Browser) -> None:
        self._chromium = chromium
        self._contexts: list[BrowserContext] = []
        self._with_script: list[BrowserContext] = []
        self._addresses: set[str] = set()
        self._tolerated: list[str] = []
        self.complaints: list[str] = []

    def open(
        self,
        address: str,
        look: Look = LOOKS[0],
        *,
        scheme: Literal["light", "dark"] = "light",
        script: bool = True,
        at: datetime | None = None,
    ) -> Page:
        """A page of somebody new, who has no cookie yet. `address`: where its paths are looked for.
        `script`: whether scripts run. `at`: what the browser's clock says, by itself the real time.
        """
        self._addresses.add(address)
        is_phone = look.size == PHONE
        context = self._chromium.new_context(
            base_url=address,
            locale=f"{look.language}-CA",
            timezone_id="America/Toronto",
            viewport={"width": look.size[0], "height": look.size[1]},
            is_mobile=is_phone,
            has_touch=is_phone,
            color_scheme=scheme,
            reduced_motion="reduce",
            java_script_enabled=script,
        )
        self._contexts.append(context)
        if script:
            self._with_script.append(context)
        context.set_default_timeout(WITHIN_MS)
        context.expose_binding("tellViolation", self._on_violation)
        context.add_init_script(_TELL_VIOLATIONS)
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("request", self._on_request)
        context.on("response", self._on_response)
        if at is not None:
            context.clock.set_fixed_time(at)
        return context.new_page()

    def tolerate(self, pattern: str) -> None:
        """Complaints in which the pattern is found are wanted; at least one has to come."""
        self._tolerated.append(pattern)

    @property
    def pages(self) -> list[Page]:
        """Those that are open."""
        return [page for context in self._contexts for page in context.pages]

    def told(self) -> list[str]:
        """All complaints so far, those included that are on their way."""
        # Without scripts nothing could be waited for in the page: it would be waited for for ever.
        for page in (page for context in self._with_script for page in context.pages):
            with contextlib.suppress(sync_api.Error):  # it is going elsewhere
                page.evaluate(_SETTLED)
        return self.complaints

    def leave(self) -> None:
        """Everybody leaves, before the service does: what a page asks for then is not refused."""
        try:
            self.told()
        finally:
            for context in self._contexts:
                context.close()
            self._contexts, self._with_script = [], []

    def close(self) -> None:
        """Everybody leaves. Raises AssertionError if there is anything to complain of."""
        try:
            self.leave()
        finally:
            told, self.complaints = self.complaints, []
            tolerated, self._tolerated = self._tolerated, []
        wrong = [one for one in told if not any(re.search(pattern, one) for pattern in tolerated)]
        assert not wrong, "\n".join(["wrong with what was shown:", *wrong])
        missed = [p for p in tolerated if not any(re.search(p, one) for one in told)]
        assert not missed, f"nothing was told of {missed}, only {told}"

    def _on_violation(self, source: Any, violation: str) -> None:
        self.complaints.append(f"policy: {violation}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            where = message.location["url"]
            self.complaints.append(f"console {message.type}: {message.text} ({where})")

    def _on_error(self, error: WebError) -> None:
        self.complaints.append(f"script: {error.error.name}: {error.error.message}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith(
            ("data:", "blob:", "about:", *(f"{address}/" for address in self._addresses))
        ):
            self.complaints.append(f"elsewhere: {request.method} {request.url}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 500:
            told = f"{response.status} {response.request.method} {response.url}"
            self.complaints.append(f"service: {told}")


@contextlib.contextmanager
def chromium() -> Iterator[sync_api.Browser]:
    """The system's Chromium, started and ended with the block.

    Playwright keeps an event loop running in this thread until then: nothing asynchronous is run
    within the block.
    """
    program = shutil.which("chromium")
    assert program is not None, "install it with: sudo apt-get install chromium"
    sync_api.expect.set_options(timeout=WITHIN_MS)
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program, args=ARGUMENTS, timeout=3 * WITHIN_MS
        )
        try:
            yield started
        finally:
            started.close()


@contextlib.contextmanager
def listening(app: Callable[..., Any], loop: Loop) -> Iterator[str]:
    """An application on a free port of this machine, as `serve` would serve it; its address."""
    socket = listen("127.0.0.1", 0)
    config = Config(
        app,
        by_address=0,
        in_all=0,
        http=Protocol,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    serving = loop.start(server.serve([socket]))
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        serving.result(WITHIN_MS / 1000)
        socket.close()


@contextlib.contextmanager
def browsable(service: Service) -> Iterator[str]:
    """A service that runs in this process, for browsers too; its address, until it is restarted."""
    with listening(service.bridge.transport.app, service.loop) as address:
        yield address
