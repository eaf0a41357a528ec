"""Who gets through which door of the console, and that nobody else leaves a trace behind it.

Asked of every route that the application has, so that a new one is asked too.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest

from enforcement_api.console.showing import Showing
from enforcement_api.console.web import COOKIE, TOKEN
from tests.enforcement_api.console.doors import (
    ELSEWHERE,
    HERE,
    METHODS,
    SECRET,
    SUBSCRIBER,
    Door,
    House,
    doors,
    ids,
)
from tests.service import running

LOCKED = [door for door in doors() if not door.is_open]
SENT = [door for door in LOCKED if door.method == "POST"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Nobody changes anything in it: each test says so."""
    with running(tmp_path_factory.mktemp("house")) as service:
        yield House(service)


@pytest.fixture
def untouched(house: House) -> Iterator[None]:
    """All that the record has is as it was."""
    before = house.everything()
    yield
    assert house.everything() == before


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("door", **ids(LOCKED))
def test_nobody_gets_in_without_signing_in(house: House, door: Door) -> None:
    nobody = house.service.client(None)
    nobody.headers["accept"] = "text/html"
    answer = nobody.request(door.method, house.path(door), data=_form(house, door))
    if door.method == "POST" or ".json" in door.path:
        assert answer.status_code == 401
    else:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/console/sign-in")
    assert not SECRET.search(answer.text)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("door", **ids([door for door in LOCKED if door.is_of_a_site]))
def test_nobody_of_another_site_gets_in(house: House, door: Door) -> None:
    answer = _try(house.elsewhere.client, door, house, token=house.elsewhere.token)
    assert answer.status_code == 403
    assert not SECRET.search(answer.text)


@pytest.mark.parametrize("door", **ids([door for door in LOCKED if door.is_of_a_site]))
def test_nothing_of_a_site_is_reached_by_way_of_another(house: House, door: Door) -> None:
    before = house.everything(about=HERE)
    # An administrator has both sites, whose pages have a way from one to the other.
    own = house.administrator if door.needs == "administrator" else house.elsewhere
    query = _query(house, door)
    path = house.path(door, site=ELSEWHERE)
    form = None if door.method == "GET" else _form(house, door) | {TOKEN: own.token}
    answer = own.client.request(door.method, path, params=query, data=form)
    if door.leads_to_a_thing:
        assert answer.status_code in (403, 404, 409, 422), answer.text
    assert answer.status_code < 500
    # What somebody typed may be told them again.
    typed = str(form or {}) + str(query)
    text = answer.text.replace(f'<a href="/console/sites/{HERE}/review">Zibeline</a>', "")
    told = [found for found in SECRET.findall(text) if found not in typed + path]
    assert told == []
    assert house.everything(about=HERE) == before


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("door", **ids([door for door in LOCKED if door.needs]))
def test_no_supervisor_gets_further_than_their_rights(house: House, door: Door) -> None:
    answer = _try(house.plain.client, door, house, token=house.plain.token)
    assert answer.status_code == 403
    assert SUBSCRIBER not in answer.text


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("door", **ids([door for door in SENT if door.needs == "administrator"]))
def test_who_sees_subscribers_is_no_administrator(house: House, door: Door) -> None:
    answer = _try(house.supervisor.client, door, house, token=house.supervisor.token)
    assert answer.status_code == 403


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("door", **ids(SENT))
def test_no_form_is_carried_out_that_is_not_ours(house: House, door: Door) -> None:
    anne = house.administrator
    for token in (None, "", "é", "0" * 64, house.supervisor.token, anne.token[:-1]):
        assert _try(anne.client, door, house, token=token).status_code == 403, token
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
    ):
        answer = _try(anne.client, door, house, token=anne.token, headers=headers)
        assert answer.status_code == 403, headers


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("path", sorted({door.path for door in doors()}))
def test_other_methods_do_nothing(house: House, path: str) -> None:
    taken = {door.method for door in doors() if door.path == path}
    door = next(door for door in doors() if door.path == path)
    for method in METHODS:
        if method not in taken:
            token = house.administrator.token
            path = house.path(door)
            # Another address may have this one's form: a POST to it is its own affair.
            if any(_fits(other, path) for other in doors() if other.method == method):
                continue
            answer = house.administrator.client.request(method, path, data={TOKEN: token})
            assert answer.status_code == 405, method


class _Asked(HTMLParser):
    """The names of the fields that a page asks to be filled in, in forms that are sent."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self._forms: dict[str, bool] = {}
        self._is_sent = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "form":
            self._is_sent = self._forms[told.get("id") or ""] = told.get("method") == "post"
        name = told.get("name")
        if name and tag in ("input", "select", "textarea", "button"):
            is_sent = self._forms.get(told.get("form") or "", self._is_sent)
            if is_sent and told.get("type") not in ("hidden", "password"):
                self.found.add(name)


def test_every_field_has_words_for_when_a_form_is_shown_again(house: House) -> None:
    pages = [
        answer.text
        for door in doors()
        if door.method == "GET"
        for answer in [house.administrator.client.get(house.path(door))]
        if answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    ]
    asked = {name for page in pages for name in _Asked(page).found} - {"do"}
    assert {"plate", "avis_fr_operator", "warning_en_footer", "paper", "site"} <= asked
    show = Showing("fr", "UTC", at=house.service.clock())
    assert [name for name in sorted(asked) if show.field(name) == name] == []


def test_cookie_that_is_none_lets_nobody_in(house: House) -> None:
    nobody = house.service.client(None)
    for cookie in ("", "x", "é".encode().decode("latin-1"), house.administrator.secret[:-1]):
        headers = [(b"cookie", f"{COOKIE}={cookie}".encode("latin-1"))]
        answer = nobody.get("/console/account", headers=headers)
        assert answer.status_code in (303, 401)


def _try(
    client: httpx.Client,
    door: Door,
    house: House,
    *,
    token: str | None,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    form = None
    if door.method != "GET":
        form = _form(house, door) | ({} if token is None else {TOKEN: token})
    return client.request(door.method, house.path(door), data=form, headers=headers)


def _form(house: House, door: Door) -> dict[str, object]:
    return {} if door.method == "GET" else house.form()


def _query(house: House, door: Door) -> dict[str, str]:
    """Addresses that name what is HERE, wherever they name anything."""
    known = {
        "done": house.infraction,
        "last": house.request,
        "device": house.device,
        "patroller": "marie",
        "subject": f"infraction:{house.infraction}",
        "q": "ZBL",
        "find": "ZBL",
        "for": "review",
        "since": "2026-11-23T15:00:00Z",
        "until": "2026-11-23T16:00:00Z",
    }
    return {name: known[name] for name in door.query if name in known}


def _fits(door: Door, path: str) -> bool:
    ours, theirs = door.path.split("/"), path.split("/")
    return len(ours) == len(theirs) and all(
        "{" in one or one == other for one, other in zip(ours, theirs, strict=True)
    )
