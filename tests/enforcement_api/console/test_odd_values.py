"""Nothing that anybody sends breaks a page of the console: it is taken, or told to be wrong.

What is asked of every address is asked of each that the application has. Which forms there are, and
what they hold, is read off the pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urljoin

import httpx
import pytest

from enforcement_api.console.web import ROOT, TOKEN
from enforcement_api.shapes import page_cursor
from tests.enforcement_api.console.doors import House, doors
from tests.postgres import fresh_database, postgres_url
from tests.service import running

__all__ = ["postgres_url"]

_DIGITS = "9" * 5_000
"""More than Python makes a number of."""
ODD = (
    *("\0", _DIGITS, "9" * 20, "9999-12-31T23:59", "//[", page_cursor(1 << 61, "x")),
    *(
        "\ud800",
        "\u202e\u2066",
        "é" * 3_000,
        "<script>'\"`--",
        "%s{0}{x}%",
        "-1",
        "1e999",
        "٣",
        "²",
    ),
    *("nan", "0001-01-01T00:00", "9999-12-31", "0001-01-01T00:00:00Z", "2026-02-30", "..", " "),
    *("\r\nSet-Cookie: a=b", page_cursor(-(1 << 61), "x"), page_cursor(6, 1 << 61, "x")),
)
"""Texts that no field expects; those that broke something before come first."""
ALWAYS = 6
ENGINES = ("sqlite", "postgresql")
"""PostgreSQL minds characters that SQLite keeps; it is slower, and asked less."""
LAST = re.compile(r"/(remove|revoke|end|sign-out|withdraw|reinstate|link|password|drop|agree)$")
"""What takes something away is sent after all else."""


@pytest.fixture(scope="module", params=ENGINES)
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """As much as the requests leave of it."""
    url = None
    if request.param == "postgresql":
        url = fresh_database(request.getfixturevalue("postgres_url"))
    with running(tmp_path_factory.mktemp("house"), database_url=url) as service:
        yield House(service)


def test_odd_headers_break_nothing(house: House) -> None:
    names = ("Host", "Origin", "Referer", "Accept-Language", "User-Agent", "Cookie", "Accept")
    broken = []
    for name in (*names, "HX-Current-URL", "If-None-Match", "Sec-Fetch-Site", "Content-Type"):
        for odd in (b"", b"[", b"http://[", b"\xff\xfe", b"//[/console", b"a" * 4_000, b"q=x;q=9"):
            headers = [(name.encode(), odd), (b"HX-Request", b"true")]
            form = {TOKEN: house.administrator.token, "language": "fr", "next": "//["}
            broken += _broken(house, "GET", f"{ROOT}/sites/1085/plates/CA-QC/ZBL123", headers)
            broken += _broken(house, "POST", f"{ROOT}/language", headers, data=form)
            broken += _broken(house, "POST", f"{ROOT}/sites/1085/live/devices", headers, data=form)
            broken += _broken(house, "GET", f"{ROOT}/account", [*headers, (b"Cookie", b"")])
    for charset in ("utf-7", "unicode_escape", "punycode", "undefined", "hex", "utf-16"):
        headers = [
            (b"Content-Type", b"multipart/form-data; boundary=b; charset=" + charset.encode())
        ]
        body = rb"--b" b"\r\n" rb'Content-Disposition: form-data; name="token"' b"\r\n\r\n"
        body += rb"\ud800" b"\r\n--b--\r\n"
        broken += _broken(house, "POST", f"{ROOT}/staff", headers, content=body)
    assert broken == []


def test_odd_parts_of_addresses_break_nothing(house: House) -> None:
    broken = []
    parts = [(door, name) for door in doors() for name, _ in door.parts]
    for number, (door, name) in enumerate(parts):
        for odd in _odd(house, number):
            broken += _broken(house, door.method, house.path(door, **{name: _quoted(odd)}))
    for odd in ODD:
        for rest in ("", "/review", "/infractions/x", "/settings"):
            broken += _broken(house, "GET", f"{ROOT}/sites/{_quoted(odd)}{rest}")
    assert broken == []


def test_odd_queries_break_nothing(house: House) -> None:
    broken = []
    names = [(door, name) for door in doors() for name in door.query]
    for number, (door, name) in enumerate(names):
        for odd in _odd(house, number):
            path = f"{house.path(door)}?{name}={_quoted(odd)}"
            broken += _broken(house, door.method, path)
    for door in doors():
        many = "&".join(f"{name}={n}" for n in range(300) for name in door.query)
        broken += _broken(house, door.method, f"{house.path(door)}?{many}") if many else []
    assert broken == []


@pytest.mark.parametrize("house", ENGINES[:1], indirect=True)
def test_odd_fields_break_nothing(house: House) -> None:
    forms = _forms(house)
    assert len(forms) > 40
    broken = []
    headers = [(b"Content-Type", b"application/x-www-form-urlencoded")]
    fields = [(form, name) for form in forms for name in form.fields if name != TOKEN]
    for number, (form, name) in enumerate(fields):
        for odd in ODD[number % 4 :: 4]:
            content = form.encoded(name, odd)
            broken += _broken(house, "POST", form.action, headers, content=content)
    assert broken == []


def _odd(house: House, number: int) -> Sequence[str]:
    """What is tried of one of many: the worst, and some of the others, in turn."""
    if not house.service.parts.record.is_sqlite:
        return (ODD[0], ODD[2], ODD[number % len(ODD)])
    return ODD[:ALWAYS] + ODD[ALWAYS + number % 4 :: 4]


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def _broken(
    house: House, method: str, path: str, headers: Sequence[Any] = (), **how: Any
) -> list[str]:
    """What a request broke."""
    try:
        answer = house.administrator.client.request(method, path, headers=list(headers), **how)
    except httpx.InvalidURL:
        return []  # longer than any browser sends
    odd = str(headers or "") + str(how.get("content", ""))[-60:]
    return [f"{method} {path[:160]} {odd[:200]}"] if answer.status_code >= 500 else []


@dataclass
class _Form:
    action: str
    fields: dict[str, list[str]] = field(default_factory=dict)

    def encoded(self, name: str, odd: str) -> bytes:
        """The form as it is sent, with something odd in one of its fields."""
        given = self.fields | {name: [odd]}
        pairs = (
            f"{_quoted(n)}={_quoted(value)}" for n, values in given.items() for value in values
        )
        return "&".join(pairs).encode()


class _Forms(HTMLParser):
    """The forms of a page that are posted, with what stands in their fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page, self.found = page, list[_Form]()
        self._open: _Form | None = None
        self._chosen = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = None
            if told.get("method", "").lower() == "post":
                self._open = _Form(urljoin(self.page, told.get("action", self.page)))
                self.found.append(self._open)
        form, name = self._open, told.get("name", "")
        if form is None:
            return
        if tag == "option":
            if self._chosen and ("selected" in told or not form.fields[self._chosen]):
                form.fields[self._chosen] = [told.get("value", "")]
        elif tag == "select":
            self._chosen = name
            form.fields.setdefault(name, [])
        elif name and tag in ("input", "textarea", "button"):
            form.fields.setdefault(name, []).append(told.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None


def _forms(house: House) -> list[_Form]:
    """A form of each kind that the pages have, those that take something away at the end."""
    pages = [house.path(door) for door in doors() if door.method == "GET"]
    settings = f"{ROOT}/sites/1085/settings"
    pages += [f"{settings}/{one}" for one in ("zone?code=A", "lot?code=P3", "code?code=P01")]
    pages += [f"{settings}/times?change=0", f"{ROOT}/sites/1085/review?part=rest"]
    kinds: dict[tuple[str, ...], _Form] = {}
    for page in pages:
        answer = house.administrator.get(page)
        if answer.headers.get("content-type", "").startswith("text/html"):
            parsed = _Forms(page)
            parsed.feed(answer.text)
            for form in parsed.found:
                where = re.sub(r"[0-9a-f]{12,}(-[0-9a-f-]+)?", "", form.action)
                kinds.setdefault((where, *sorted(form.fields)), form)
    return sorted(kinds.values(), key=lambda form: bool(LAST.search(form.action)))
