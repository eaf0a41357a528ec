"""The service, a browser, and how somebody looks at it.

A test of one page takes `page`: in French, at a desk, unless the test is given other looks with
`@EVERY_LOOK`. Whoever needs more of them takes `browser` and `address`.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright import sync_api
from playwright.sync_api import Page

from tests.console.browsing import Browser, Look, browsable, chromium
from tests.service import Service, running

FAILED = Path(__file__).resolve().parents[2] / "screenshots" / "console" / "failed"


@pytest.fixture(scope="module")
def started_chromium() -> Iterator[sync_api.Browser]:
    """One for the tests of a file: as long as it lives, no asynchronous test could run."""
    with chromium() as started:
        yield started


@pytest.fixture
def browser(
    started_chromium: sync_api.Browser, request: pytest.FixtureRequest
) -> Iterator[Browser]:
    """Chromium; at the test's end nothing may be wrong with any page that it was shown."""
    browser = Browser(started_chromium)
    request.node.stash[_BROWSER] = browser
    yield browser
    browser.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path) as service:
        yield service


@pytest.fixture
def address(service: Service, browser: Browser) -> Iterator[str]:
    """Where a browser finds the service, until everybody has left."""
    with browsable(service) as address:
        yield address
        browser.leave()


@pytest.fixture
def look(request: pytest.FixtureRequest) -> Look:
    return getattr(request, "param", Look())


@pytest.fixture
def page(browser: Browser, address: str, look: Look) -> Page:
    """Of somebody who looks at the service."""
    return browser.open(address, look)


_BROWSER = pytest.StashKey[Browser]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a failed test saw is kept."""
    report = yield
    if report.failed and call.when == "call" and _BROWSER in item.stash:
        for number, page in enumerate(item.stash[_BROWSER].pages):
            name = re.sub(r"[^\w-]+", "-", item.name)
            page.screenshot(path=FAILED / f"{name}-{number}.png")
    return report
