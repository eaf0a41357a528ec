"""Every endpoint asked by everyone: who is let in, and who is told 401 or 403.

The OpenAPI document says which endpoints there are: one without a row in `tests/endpoints.py`
fails, and so does a row without an endpoint. Each row is a request that is valid, so that the
status tells of the role alone; then the same with a body and a query that nobody can read, so that
it is seen that a door is shut before what was sent is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
import trustme

from tests.endpoints import HERE, PLATE, ROLES, ROWS, World, operations
from tests.local_provider import LocalProvider, shared_provider
from tests.service import running

__all__ = ["shared_provider"]


def expected(operation: str) -> dict[str, int]:
    """The status for each role."""
    nobody, *others = (int(status) for status in ROWS[operation][0].split())
    return dict(zip(ROLES, (nobody, nobody, nobody, *others), strict=True))


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, shared_provider: LocalProvider
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("roles")
    trustme.CA().cert_pem.write_to_path(folder / "ca.pem")
    with running(
        folder,
        enrolment_failures_per_minute=1000,
        authority=folder / "ca.pem",
        **shared_provider.settings,
    ) as service:
        yield World(service)


def test_every_endpoint_has_a_row_and_every_row_an_endpoint() -> None:
    assert sorted(operations()) == sorted(ROWS)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("operation", ROWS)
def test_role_is_let_in_or_turned_away(world: World, operation: str, role: str) -> None:
    status = expected(operation)[role]
    method, template = operations()[operation]
    asked = ROWS[operation][1](world)
    answer = world.clients[role].request(method, template.format(**asked.path), **asked.how)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert_turned_away(answer, role)
    elif "elsewhere" in role:
        assert_tells_nothing_of(world, answer)


@pytest.mark.parametrize("operation", ROWS)
def test_who_is_not_let_in_is_told_so_whatever_they_sent(world: World, operation: str) -> None:
    """An unreadable body, parameters that are none: the answer is of the role all the same."""
    method, template = operations()[operation]
    path = template.format(**ROWS[operation][1](world).path)
    for role, status in expected(operation).items():
        for body, kind in ((b"{", "application/json"), (b'"\xff"', "application/json"), (b"", "")):
            answer = world.clients[role].request(
                method,
                path,
                content=body if method in ("PUT", "POST") else None,
                headers={"Content-Type": kind} if kind else {},
                params={"limit": "x", "wait": "x", "atomic": "x", "excel": "x", "at": "x"},
            )
            if status in (401, 403) and not by_what_is_in_it(world, operation, role):
                assert answer.status_code == status, (role, answer.text)
                assert_turned_away(answer, role)
            else:
                assert answer.status_code not in (401, 500), (role, answer.text)


def by_what_is_in_it(world: World, operation: str, role: str) -> bool:
    """Whether only what was sent tells that it is of another site: the role itself may ask."""
    plain = role.removesuffix(" elsewhere")
    return (
        role != plain
        and "{site}" not in operations()[operation][1]
        and expected(operation)[plain] < 400
    )


def assert_turned_away(answer: httpx.Response, role: str) -> None:
    """In words, and without a word of what is behind the door."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (
        problem["type"]
        in {
            401: {"/problems/unauthenticated", "/problems/device-revoked"},
            # A patroller of another site is none here: that is told like a wrong PIN.
            403: {
                "/problems/forbidden",
                "/problems/forbidden-site",
                "/problems/sign-in-refused",
            },
        }[answer.status_code]
    )
    assert (problem["type"] == "/problems/device-revoked") == (role == "revoked device")
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
    assert PLATE not in answer.text


def assert_tells_nothing_of(world: World, answer: httpx.Response) -> None:
    """A key of another site that may ask is answered of its own site alone."""
    assert PLATE not in answer.text
    assert world.infraction not in answer.text
    assert not re.search(rf'"{HERE}"', answer.text) or answer.request.url.path == "/v1/enrolments"


def test_site_that_does_not_exist_is_no_news_to_a_key_of_another(world: World) -> None:
    """Who may not look does not learn whether there is something to see."""
    for operation, (method, template) in operations().items():
        if "{site}" not in template:
            continue
        asked = ROWS[operation][1](world)
        path = template.format(**(asked.path | {"site": "9999"}))
        answer = world.clients["admin elsewhere"].request(method, path, **asked.how)
        assert answer.status_code == 403, (operation, answer.text)


def test_token_in_the_address_or_in_another_scheme_opens_nothing(world: World) -> None:
    secret = world.clients["admin"].headers["authorization"].removeprefix("Bearer ")
    stranger = world.service.client(None)
    for headers in ({"Authorization": f"Basic {secret}"}, {"Authorization": secret}, {}):
        answer = stranger.get(
            f"/v1/sites/{HERE}", params={"key": secret, "access_token": secret}, headers=headers
        )
        assert answer.status_code == 401
