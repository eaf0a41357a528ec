"""The log of infractions that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.enforcement_api.infraction_log import InfractionLog, infraction_log


@pytest.fixture
def log(tmp_path: Path) -> Iterator[InfractionLog]:
    with infraction_log(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfractionLog]:
    """For tests that leave nothing behind."""
    with infraction_log(tmp_path_factory.mktemp("quiet")) as made:
        yield made
