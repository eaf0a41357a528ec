"""The service of a site with a log, for tests that import these in the place of the usual ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.console.browsing import Browser, Look
from tests.console.visiting import furnish, signed_in
from tests.enforcement_api.console.visiting import Visiting
from tests.enforcement_api.infraction_log import InfractionLog, infraction_log
from tests.service import Service


@pytest.fixture
def log(tmp_path: Path) -> Iterator[InfractionLog]:
    with infraction_log(tmp_path) as made:
        furnish(made)
        yield made


@pytest.fixture
def service(log: InfractionLog) -> Service:
    return log._service


@pytest.fixture
def marie(browser: Browser, service: Service, address: str, look: Look) -> tuple[Page, Visiting]:
    """A supervisor's page, and the same person by HTTP."""
    return signed_in(browser, service, address, look)
