"""The HTTP calls of a handheld (CONTRACT, "Sync", "Devices", "Infractions")."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import urlsplit

import certifi
import httpx

from sync import codec
from sync.messages import ChangePage, Enrolment, SnapshotManifest

_TIMEOUT = httpx.Timeout(30, connect=10)
_LONG_POLL_SLACK = 15
_NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL)
_CONNECTED = ("connection.connect_tcp.complete", "connection.start_tls.complete")
"""What httpcore's trace says when there is a socket."""


def in_a_row(title: str, detail: str) -> str:
    """A problem's two sentences as they stand in any language: `Title. Detail`."""
    if title and detail and title[-1] not in ".!?":
        title += "."
    return f"{title} {detail}".strip()


class ServiceError(Exception):
    """The service could not be asked, or said no.

    InsecureAddress    plain HTTP to another machine; nothing was sent
    Unreachable        no answer, or none of the service's own: try again
      NotNow             an answer that settles nothing for this request; others may get through
      Untrusted          somebody answers, with a certificate that this device does not trust
    Refused            an answer that will stay the same: `problem` says why
      CursorExpired      the replica must be fetched anew
      Unauthorized       the key is wrong
        Revoked            this device is no longer trusted: wipe the index
    """


class InsecureAddress(ServiceError):
    """A plate index and a token are never sent in the clear to another machine."""


class Unreachable(ServiceError):
    """No answer, one from somebody in between (a hotel's sign-in page), or "everything later"."""


class NotNow(Unreachable):
    """An answer that neither takes nor refuses this request; another one may fare better."""


class Untrusted(Unreachable):
    """The certificate is not trusted here, or is another name's; its text is TLS's reason."""


class Refused(ServiceError):
    """The service's problem (RFC 9457): it will say the same again."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(
            in_a_row(str(problem.get("title", status)), str(problem.get("detail", "")))
        )


class CursorExpired(Refused):
    """The cursor is of another epoch or too old."""


class Unauthorized(Refused):
    """The token is unknown to the service."""


class Revoked(Unauthorized):
    """The device was revoked."""


_BY_TYPE = {
    "/problems/cursor-expired": CursorExpired,
    "/problems/device-revoked": Revoked,
}


def check_address(url: str) -> str:
    """The base address itself, if it may be used. Raises InsecureAddress.

    https anywhere; http to a loopback address only.
    """
    parts = urlsplit(url if "//" in url else f"https://{url}")
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return parts.geturl().rstrip("/")
    if parts.scheme == "http" and _is_loopback(host):
        return parts.geturl().rstrip("/")
    raise InsecureAddress(f"{url}: https is needed, except to this very machine")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def trusted_certificates() -> ssl.SSLContext:
    """What a handheld trusts: the system's store, certifi's, and SSL_CERT_FILE or SSL_CERT_DIR.

    Where a variable is set, OpenSSL looks there alone: what it was built with is added.
    """
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


def _problem(response: httpx.Response) -> Mapping[str, Any] | None:
    """The service's problem; None if somebody else says no."""
    try:
        problem = response.json()
    except (ValueError, RecursionError):
        return None
    if not isinstance(problem, dict) or not str(problem.get("type")).startswith("/problems/"):
        return None
    return problem


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError) as error:
        told = f"HTTP {response.status_code}, but no JSON: {response.text[:200]}"
        raise Unreachable(told) from error


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
        token: str | None = None,
        language: str = "fr",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Accept-Language": language}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(
            base_url=check_address(address),
            headers=headers,
            timeout=_TIMEOUT,
            transport=transport,
            verify=trusted_certificates(),
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

    def _options(self, **options: Any) -> dict[str, Any]:
        """What every request has. Raises Unreachable once given up."""
        if self._given_up:
            raise Unreachable("given up")
        return options | {"extensions": {"trace": self._trace}}

    def enrol(self, code: str, *, install_id: str) -> Enrolment:
        """Trade a single-use code for a token. The same install_id may ask again."""
        body = {"code": code, "install_id": install_id}
        return codec.enrolment(self._request("POST", "/v1/enrolments", json=body))

    def snapshot(self, site: str) -> SnapshotManifest:
        """Where the newest snapshot of a site is."""
        return codec.snapshot_manifest(self._request("GET", f"/v1/sites/{site}/snapshot"))

    def download(self, url: str, path: Path) -> None:
        """Fetch a snapshot file, going on from what `path` has already."""
        have = path.stat().st_size if path.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        try:
            with self._http.stream("GET", url, **self._options(headers=headers)) as response:
                if have and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return
                resumed = bool(have) and response.status_code == httpx.codes.PARTIAL_CONTENT
                if not resumed and response.status_code != httpx.codes.OK:
                    response.read()
                    self._raise(response)
                with open(path, "ab" if resumed else "wb") as file:
                    for chunk in response.iter_raw():
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
        except _NO_ANSWER as error:
            raise _no_answer(error) from error

    def changes(
        self, site: str, *, after: str | None, limit: int = 10_000, wait: int = 0
    ) -> ChangePage:
        """One page of the feed; `wait` seconds for something new. Raises CursorExpired."""
        parameters: dict[str, str | int] = {"limit": limit, "wait": wait}
        if after is not None:
            parameters["after"] = after
        page = self._request(
            "GET",
            f"/v1/sites/{site}/changes",
            params=parameters,
            timeout=httpx.Timeout(wait + _LONG_POLL_SLACK, connect=10),
        )
        return codec.change_page(page)

    def put_infraction(self, id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Hand over an infraction; the service's receipt. Safe to repeat."""
        answer: dict[str, Any] = self._request("PUT", f"/v1/infractions/{id}", json=body)
        try:
            receipt = codec.receipt(answer)
        except codec.MalformedMessage as error:
            raise NotNow(str(error)) from error
        if receipt.id != id:
            raise NotNow(f"the receipt is of {receipt.id}, not of {id}")
        return answer

    def put_photo(self, sha256: str, picture: bytes) -> dict[str, Any]:
        """Hand over a photo; what the service says of it. Safe to repeat."""
        answer = self._request("PUT", f"/v1/photos/{sha256}", content=picture)
        if not isinstance(answer, dict) or answer.get("sha256") != sha256:
            raise NotNow(f"the answer is not about the photo {sha256}")
        return answer

    def _request(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of a 200 or 201. Anything else is no answer of the service, or a problem."""
        try:
            response = self._http.request(method, path, **self._options(**options))
        except _NO_ANSWER as error:
            raise _no_answer(error) from error
        if response.status_code not in (httpx.codes.OK, httpx.codes.CREATED):
            self._raise(response)
        return _json(response)

    def _raise(self, response: httpx.Response) -> NoReturn:
        problem = _problem(response)
        status = response.status_code
        if problem is None:
            told = f"HTTP {status}: {response.text[:200]}"
        else:
            told = in_a_row(str(problem.get("title")), str(problem.get("detail")))
        everything = status < 400 or status == 429 or (problem is None and status == 401)
        if everything or (status == 503 and "retry-after" in response.headers):
            raise Unreachable(told)
        if problem is None or status == 408 or status >= 500:
            raise NotNow(told)
        refusal = _BY_TYPE.get(str(problem["type"]))
        if refusal is None:
            refusal = Unauthorized if status == 401 else Refused
        raise refusal(status, problem)
