"""Sends what `sync.exchange` asks, over HTTP and as one device."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import certifi
import httpx

from sync.clock import Stamp
from sync.exchange import Answer, Call, InsecureAddress, Request, Unreachable, Untrusted

T = TypeVar("T")

_CONNECT_WITHIN = 10.0
_NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL)
_CONNECTED = ("connection.connect_tcp.complete", "connection.start_tls.complete")
"""What httpcore's trace says when there is a socket."""
_OK, _PARTIAL = httpx.codes.OK, httpx.codes.PARTIAL_CONTENT


def check_address(url: str) -> str:
    """The base address itself, if it may be used. Raises InsecureAddress.

    https anywhere; http to a loopback address only.
    """
    parts = urlsplit(url if "//" in url else f"https://{url}")
    # One spelling of each address: what was recorded for it is sent to it alone.
    parts = parts._replace(netloc=parts.netloc.lower())
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return parts.geturl().rstrip("/")
    if parts.scheme == "http" and is_loopback(host):
        return parts.geturl().rstrip("/")
    raise InsecureAddress(f"{url}: https is needed, except to this very machine")


def is_loopback(host: str) -> bool:
    """Whether only this very machine is reached by it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def trusted_certificates(authority: str | None = None) -> ssl.SSLContext:
    """What a handheld trusts: the system's store, certifi's, and SSL_CERT_FILE or SSL_CERT_DIR.

    Where a variable is set, OpenSSL looks there alone: what it was built with is added.
    An `authority` (PEM) that an enrolment pinned is trusted instead of all those.
    """
    if authority is not None:
        return ssl.create_default_context(cadata=authority)
    context = ssl.create_default_context()
    built_in = ssl.get_default_verify_paths()
    for file in (built_in.openssl_cafile, certifi.where()):
        if os.path.exists(file):
            context.load_verify_locations(cafile=file)
    if os.path.isdir(built_in.openssl_capath):
        context.load_verify_locations(capath=built_in.openssl_capath)
    return context


def _no_answer(error: Exception) -> Unreachable:
    """What a request that got no answer means."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Untrusted(cause.verify_message)
        cause = cause.__cause__ or cause.__context__
    return Unreachable(str(error) or type(error).__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """A file that is being fetched: what comes is added at `have`, or takes its place whole; what
    comes beyond `size` bytes is left.
    """

    path: Path
    have: int
    size: int


def _untimed() -> Stamp:
    return Stamp(datetime.fromtimestamp(0, UTC), 0.0)


def _wake(connected: socket.socket) -> None:
    """End whatever waits on it. (Closing it would not, and would free its number for others.)"""
    with contextlib.suppress(OSError):
        # Not SSLSocket's own, which takes the session from under who is reading.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


class ServiceClient:
    """One service, as one device sees it. Belongs to one thread, which alone closes it; others
    may `give_up`. `transport` is for tests.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | Callable[[], str] | None = None,
        language: str = "fr",
        authority: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`token`: what is shown, or a function that gives it at each request. `authority`: the
        only one whose certificates are believed (PEM); None: those that the device trusts.
        """
        self.address = check_address(address)
        headers = {"Accept-Language": language}
        self._token = token if callable(token) or token is None else lambda: token
        self._http = httpx.Client(
            base_url=self.address,
            headers=headers,
            transport=transport,
            verify=trusted_certificates(authority),
            trust_env=False,  # no proxy: the plates and the token go straight to the service
        )
        self._lock = threading.Lock()
        self._given_up = False
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> ServiceClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def give_up(self) -> None:
        """From any thread, at once: what is under way and what is still asked is Unreachable."""
        with self._lock:
            self._given_up = True
            for connected in self._sockets:
                _wake(connected)

    def _trace(self, event: str, facts: Mapping[str, Any]) -> None:
        if event not in _CONNECTED:
            return
        connected = facts["return_value"].get_extra_info("socket")
        if connected is None:
            return
        with self._lock:
            self._sockets = [old for old in self._sockets if old.fileno() >= 0]
            self._sockets.append(connected)
            if self._given_up:
                _wake(connected)

    def call(self, call: Call[T]) -> T:
        """Send a call and read its answer. Raises ServiceError, MalformedMessage."""
        return call.read(self.send(call.request))

    def send(
        self,
        request: Request,
        *,
        into: Part | None = None,
        stamp: Callable[[], Stamp] = _untimed,
    ) -> Answer:
        """Send a request; what came back, whatever it says. Raises Unreachable.

        `into`: the bytes of a 200 or 206 go to that file, durably, as far as they come. `stamp`
        is asked for the time when the request leaves and when the answer begins.
        """
        if self._given_up:
            raise Unreachable("given up")
        headers = dict(request.headers)
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token()}"
        content = None
        if request.body is not None:
            # Given away as it is sent, and not held either: a photo has megabytes.
            headers["Content-Length"] = str(len(request.body))
            content = iter((request.body,))
        sent = stamp()
        try:
            with self._http.stream(
                request.method,
                request.path,
                params=dict(request.parameters),
                content=content,
                headers=headers,
                timeout=httpx.Timeout(request.patience, connect=_CONNECT_WITHIN),
                extensions={"trace": self._trace},
            ) as response:
                received = stamp()
                body = b""
                if into is not None and response.status_code in (_OK, _PARTIAL):
                    _write(response, into)
                else:
                    # Not `read`: httpx's objects hold one another, and with them what was read,
                    # until the collector comes by.
                    body = b"".join(response.iter_bytes())
        except _NO_ANSWER as error:
            raise _no_answer(error) from error
        return Answer(response.status_code, _headers(response), body, sent, received)


def _headers(response: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _write(response: httpx.Response, part: Part) -> None:
    """What has come stays there when the rest does not."""
    goes_on = response.status_code == _PARTIAL
    if goes_on and not response.headers.get("content-range", "").startswith(f"bytes {part.have}-"):
        raise Unreachable("the answer is another part of the file than was asked for")
    begins = part.have if goes_on else 0
    room = part.size - begins
    with open(part.path, "r+b" if goes_on else "wb") as file:
        file.seek(begins)
        file.truncate()
        for chunk in response.iter_raw():
            file.write(chunk[:room])
            room -= len(chunk)
            if room < 0:  # no more of it, or the disk would be full: its hash tells what this is
                break
        file.flush()
        os.fsync(file.fileno())
