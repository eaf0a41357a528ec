"""schemathesis with all its checks over the document, as everybody, the same requests each time.

The short form: `make fuzz` makes many more, and of each endpoint as everybody.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.openapi import ROLES, Prey, prey


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prey]:
    with prey(tmp_path_factory.mktemp("openapi")) as made:
        yield made


OF_DEVICES = "^(put(Infraction|Photo|NumberBlock|Event|DeviceState)|getBriefing|renewToken|signIn)$"
"""What nobody but a device may do: anybody else is told so, whatever they send."""


@pytest.mark.parametrize(
    ("role", "phases", "options"),
    [
        ("device", "examples,coverage,fuzzing", ["--include-operation-id-regex", OF_DEVICES]),
        ("reader", "examples,fuzzing", []),
        ("feeder", "examples,fuzzing", []),
        ("nobody", "examples,fuzzing", []),
        # Last: it may revoke the device.
        (
            "admin",
            "examples,coverage,fuzzing,stateful",
            ["--exclude-operation-id-regex", OF_DEVICES],
        ),
    ],
    ids=ROLES,
)
def test_service_is_what_its_document_says(
    ground: Prey, role: str, phases: str, options: list[str]
) -> None:
    found = ground.hunt(role, examples=3, phases=phases, options=options)
    assert found.passed, found.told
    assert found.requests > 0, found.told
