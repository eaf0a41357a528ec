"""People of the staff at the console, by HTTP.

    supervisor = visiting(service, "marie@example.org", sites=["1085"])
    page = supervisor.page("/console/sites/1085/review")
    answer = supervisor.send("/console/sites/1085/review", decision="confirm")

A session is opened as the entrance opens it, but without a password: hashing one takes a tenth of a
second.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import httpx

from enforcement_api.console.web import COOKIE, TOKEN, token_of
from enforcement_api.staff import store
from enforcement_api.staff.core import Account
from tests.service import ADDRESS, ENDS_WITHIN_S, Service


class Visiting:
    """Somebody who is signed in, in a browser of their own."""

    def __init__(self, service: Service, account: Account, secret: str) -> None:
        self.service = service
        self.account = account
        self.secret = secret
        self.client = httpx.Client(
            base_url=ADDRESS,
            transport=service.bridge,
            headers={"Accept": "text/html", "Accept-Language": account.language},
            cookies={COOKIE: secret},
            timeout=ENDS_WITHIN_S,
        )
        service._clients.append(self.client)

    @property
    def token(self) -> str:
        """What forms of this session carry."""
        return token_of(self.secret, self.account)

    def get(self, path: str, **query: Any) -> httpx.Response:
        """Whatever there is at an address."""
        return self.client.get(path, params=query or None)

    def page(self, path: str, **query: Any) -> str:
        """A page that is there, as it was sent."""
        answer = self.get(path, **query)
        assert answer.status_code == 200, f"{answer.status_code}: {words(answer.text)}"
        assert answer.headers["content-type"].startswith("text/html")
        return answer.text

    def twin(self, path: str, **query: Any) -> Any:
        """The JSON twin of a page."""
        answer = self.get(f"{path}.json", **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, path: str, *, files: Any = None, **fields: Any) -> httpx.Response:
        """A form, as a page of ours sends it; a list is several values of a field."""
        given = {TOKEN: self.token} | {n: v for n, v in fields.items() if v is not None}
        return self.client.post(path, data=given, files=files)

    def sent(self, path: str, *, files: Any = None, **fields: Any) -> str:
        """A form that is carried out; where it leads."""
        answer = self.send(path, files=files, **fields)
        assert answer.status_code == 303, f"{answer.status_code}: {words(answer.text)}"
        return answer.headers["location"]


def visiting(
    service: Service,
    email: str = "marie@example.org",
    *,
    role: str = "supervisor",
    language: str = "en",
    sites: Iterable[str] | None = None,
    **facts: Any,
) -> Visiting:
    """Somebody new, signed in."""

    def work(tx: Any) -> tuple[Account, str]:
        account, _ = store.create(
            tx, email=email, role=role, sites=sites, language=language, at=service.clock(), **facts
        )
        _, secret = store.open_session(
            tx,
            account,
            at=service.clock(),
            lasts=timedelta(hours=service.settings.session_hours),
            address="192.0.2.7",
            browser="a browser of the tests",
        )
        return account, secret

    return Visiting(service, *service.parts.record.write(work))


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._hidden += tag in ("head", "script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("head", "script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.append(data)


def words(page: str) -> str:
    """What a person reads of a page, in one line."""
    reading = _Words()
    reading.feed(page)
    return " ".join(" ".join(reading.found).split())


def fields(page: str) -> dict[str, str]:
    """The hidden fields of a page's forms, the first of each name."""
    found: dict[str, str] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page):
        found.setdefault(html.unescape(name), html.unescape(value))
    return found
