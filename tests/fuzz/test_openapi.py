"""schemathesis with all its checks over the document, as everybody, the same requests each time.

The short form: `make fuzz` makes many more.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.openapi import Prey, prey


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prey]:
    with prey(tmp_path_factory.mktemp("openapi")) as made:
        yield made


@pytest.mark.parametrize(
    ("role", "phases"),
    [
        ("admin", "examples,coverage,fuzzing,stateful"),
        ("device", "examples,coverage,fuzzing"),
        ("reader", "examples,fuzzing"),
        ("feeder", "examples,fuzzing"),
        ("nobody", "examples,fuzzing"),
    ],
)
def test_service_is_what_its_document_says(ground: Prey, role: str, phases: str) -> None:
    found = ground.hunt(role, examples=3, phases=phases)
    assert found.passed, found.told
    assert found.requests > 0, found.told
