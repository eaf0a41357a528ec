"""The service whose console is visited: one file of SQLite, a site with two zones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.enforcement_api.console.visiting import Visiting, visiting
from tests.service import Service, running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path) as service:
        service.site("1085")
        yield service


@pytest.fixture
def administrator(service: Service) -> Visiting:
    return visiting(service, "anne@example.org", role="administrator", name="Anne Roy")


@pytest.fixture
def supervisor(service: Service) -> Visiting:
    return visiting(service, "marie@example.org", sites=["1085"], name="Marie Côté")
