"""The local payment provider as a real process, and people who type cards on its pages."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from enforcement_api.local_provider.app import FILE
from enforcement_api.local_provider.ledger import Ledger, Order

WITHIN_S = 60
PLAIN: dict[str, Any] = {"timeout": WITHIN_S, "trust_env": False, "verify": False}
"""Of httpx, for addresses without TLS: to read every authority takes longer than a request."""

PAYS = "4242 4242 4242 4242"
PAYS_TOO = "5454-5454-5454-5454"
DECLINES = "4000000000000341"
DECLINES_ONCE = "4000 0000 0000 9995"
REFUSED = "4000 0000 0000 0002"
EXPIRY = "05/31"


class LocalProvider:
    """`patrouille local-provider`, once it listens; on the same port after each start."""

    def __init__(
        self,
        data_dir: Path,
        *,
        service: str = "http://127.0.0.1:9",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`service`: who is told of events; by itself, nobody listens there."""
        self.data_dir, self._service = data_dir, service
        self._environment = environment or {}
        self._port = 0
        self.start()

    def start(self) -> None:
        kept = {name: value for name, value in os.environ.items() if "PATROUILLE" not in name}
        self._log = self.data_dir.parent / f"{self.data_dir.name}.log"
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "enforcement_api", "local-provider"),
                    *("--port", str(self._port), "--service", self._service),
                    *("--data-dir", str(self.data_dir)),
                ],
                env=kept | {"PATROUILLE_LANG": "en"} | self._environment,
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: self._is_listening())
        self.settings = {
            f"payment_{name.lower()}": value
            for name, value in re.findall(r"^PATROUILLE_PAYMENT_(\w+)=(\S+)$", self.log(), re.M)
        }
        self.address = self.settings["payment_url"]
        self._port = int(self.address.rpartition(":")[2])

    def _is_listening(self) -> bool:
        assert self.process.poll() is None, self.log()
        return "listening on " in self.log()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def ledger(self) -> Ledger:
        """What it keeps, read beside it."""
        return Ledger(self.data_dir / "local-provider" / FILE)

    def charged(self) -> list[Order]:
        """The orders that took money."""
        return [order for order in self.ledger.orders() if order.outcome == "charged"]

    def client(self, key: str | None = None) -> httpx.Client:
        """Somebody with the provider's key."""
        given = self.settings["payment_key"] if key is None else key
        return httpx.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {given}", "Accept-Language": "en"},
            **PLAIN,
        )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit code that follows."""
        self.process.send_signal(number)
        return self.process.wait(WITHIN_S)

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()


@contextlib.contextmanager
def local_provider(data_dir: Path, **how: Any) -> Iterator[LocalProvider]:
    """Started in an empty folder, and ended with the block."""
    data_dir.mkdir(parents=True, exist_ok=True)
    provider = LocalProvider(data_dir, **how)
    try:
        yield provider
    finally:
        provider.close()


@pytest.fixture(scope="session")
def shared_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProvider]:
    """One process for all tests that neither end it nor count what is in its ledger."""
    with local_provider(tmp_path_factory.mktemp("payments") / "provider") as provider:
        yield provider


class Person:
    """Somebody at a browser, without JavaScript: follows links, fills in forms."""

    def __init__(self, url: str, *, language: str = "fr") -> None:
        self.url = httpx.URL(url)
        self.page = httpx.get(self.url, headers={"Accept-Language": language}, **PLAIN)

    @property
    def form_action(self) -> httpx.URL:
        found = re.search(r'<form method="post" action="([^"]*)"', self.page.text)
        assert found is not None, self.page.text
        return self.url.join(found[1])

    def give_card(self, number: str = PAYS, *, expiry: str = EXPIRY) -> httpx.Response:
        """Type a card and send the form; the answer, unfollowed."""
        self.page = httpx.post(
            self.form_action,
            data={"number": number, "expiry": expiry},
            **PLAIN,
        )
        return self.page


def give_card(url: str, number: str = PAYS, *, expiry: str = EXPIRY) -> str:
    """Open a hosted page and give a card that is kept; where the person is sent then."""
    answer = Person(url).give_card(number, expiry=expiry)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def wait_for(condition: Any, within: float = WITHIN_S) -> None:
    """Until something holds. Raises AssertionError after a while."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Line:
    """The line between the service and the provider: cut, or losing what the provider answers.

    `is_cut`: nobody is reached. `loses`: told of each request that the provider has answered; where
    it says yes, the answer never arrives. `holds` and `holds_answer`: where one says yes, a request
    waits before the provider hears of it, or its answer before the service does, until `release`.
    """

    def __init__(self, provider: LocalProvider) -> None:
        self.provider = provider
        self.is_cut = False
        self.loses: Callable[[str, str], bool] = lambda method, path: False
        self.holds: Callable[[str, str], bool] = lambda method, path: False
        self.holds_answer: Callable[[str, str], bool] = lambda method, path: False
        self.held = threading.Event()
        self.passed: list[tuple[str, str]] = []
        self._released = threading.Event()
        line = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                line._carry(self)

            do_POST = do_PUT = do_GET

            def log_message(self, *told: object) -> None:
                pass

        self._client = httpx.Client(**PLAIN)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def settings(self) -> dict[str, str]:
        """Of a service that reaches the provider over this line."""
        return self.provider.settings | {"payment_url": self.address}

    def release(self) -> None:
        self.holds = self.holds_answer = lambda method, path: False
        self._released.set()

    def _hold(self) -> None:
        self.held.set()
        self._released.wait(WITHIN_S)

    def _carry(self, asked: http.server.BaseHTTPRequestHandler) -> None:
        method, path = asked.command, asked.path
        body = asked.rfile.read(int(asked.headers.get("Content-Length", 0)))
        asked.close_connection = True
        if self.is_cut:
            return
        if self.holds(method, path):
            self._hold()
            if self.is_cut:
                return
        try:
            answer = self._client.request(
                method, self.provider.address + path, content=body, headers=dict(asked.headers)
            )
        except httpx.HTTPError:
            return
        self.passed.append((method, path))
        if self.holds_answer(method, path):
            self._hold()
        if self.loses(method, path):
            return
        with contextlib.suppress(OSError):  # who asked may be dead
            asked.send_response(answer.status_code)
            for name in ("content-type", "location"):
                if name in answer.headers:
                    asked.send_header(name, answer.headers[name])
            asked.send_header("Content-Length", str(len(answer.content)))
            asked.send_header("Connection", "close")
            asked.end_headers()
            asked.wfile.write(answer.content)

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._client.close()
