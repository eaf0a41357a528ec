"""What a handheld asks the service, and what the answers mean. Bytes in, facts out: no network.

A `Call` is a request and the way to read its answer:

    call = changes("1085", after=cursor, wait=25)
    answer = …                     # `call.request` was sent: sync.client, or a simulation
    page = call.read(answer)       # or one of the errors below (CONTRACT, "Errors")
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NoReturn, TypeVar

from sync import codec
from sync.clock import Stamp
from sync.messages import (
    ChangePage,
    Enrolment,
    NumberBlock,
    Receipt,
    SignIn,
    SnapshotManifest,
)

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds without a sign of the service after which a request has failed."""
_LONG_POLL_SLACK = 15.0

_OK, _CREATED, _NO_CONTENT, _PARTIAL = 200, 201, 204, 206
_NOT_MODIFIED, _PAST_THE_END = 304, 416


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


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `patience`: seconds without a sign of the service until it has failed."""

    method: str
    path: str
    parameters: Mapping[str, str | int] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    patience: float = PATIENCE


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whoever said it, and when by the device's clocks. Header names are lower
    case; the body is empty when it was streamed into a file.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent: Stamp
    received: Stamp


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, and the way to read its answer."""

    request: Request
    read: Callable[[Answer], T]


# Reading


def _text(answer: Answer) -> str:
    return answer.body[:200].decode("utf-8", "replace")


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        told = f"HTTP {answer.status}, but no JSON: {_text(answer)}"
        raise Unreachable(told) from error


def _problem(answer: Answer) -> Mapping[str, Any] | None:
    """The service's problem; None if somebody else says no."""
    try:
        problem = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(problem, dict) or not str(problem.get("type")).startswith("/problems/"):
        return None
    return problem


def _raise(answer: Answer) -> NoReturn:
    """What an answer that is none of those hoped for means."""
    problem = _problem(answer)
    status = answer.status
    if problem is None:
        told = f"HTTP {status}: {_text(answer)}"
    else:
        told = in_a_row(str(problem.get("title")), str(problem.get("detail")))
    everything = status < 400 or status == 429 or (problem is None and status == 401)
    if everything or (status == 503 and "retry-after" in answer.headers):
        raise Unreachable(told)
    if problem is None or status == 408 or status >= 500:
        raise NotNow(told)
    refusal = _BY_TYPE.get(str(problem["type"]))
    if refusal is None:
        refusal = Unauthorized if status == 401 else Refused
    raise refusal(status, problem)


def is_unknown_token(answer: Answer) -> bool:
    """Whether the service itself says that it does not know the token (or never did)."""
    problem = _problem(answer) if answer.status == 401 else None
    return problem is not None and problem["type"] not in _BY_TYPE


def _told(answer: Answer) -> Any:
    """The JSON of a 200 or 201. Anything else is no answer of the service, or a problem."""
    if answer.status not in (_OK, _CREATED):
        _raise(answer)
    return _json(answer)


def _call(
    read: Callable[[Any], T],
    method: str,
    path: str,
    *,
    parameters: Mapping[str, str | int] | None = None,
    json_body: Any = None,
    patience: float = PATIENCE,
) -> Call[T]:
    """A call with a JSON body, or none, whose answer is JSON."""
    body, headers = None, {}
    if json_body is not None:
        body = json.dumps(json_body, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"content-type": "application/json"}
    request = Request(method, path, parameters or {}, body, headers, patience)
    return Call(request, lambda answer: read(_told(answer)))


def message_of(answer: Answer) -> Mapping[str, Any]:
    """The JSON object of an answer that was read already."""
    found: Mapping[str, Any] = _json(answer)
    return found


# Calls


def snapshot(site: str) -> Call[SnapshotManifest]:
    """Where the newest snapshot of a site is."""
    return _call(codec.snapshot_manifest, "GET", f"/v1/sites/{site}/snapshot")


def snapshot_file(manifest: SnapshotManifest, *, have: int) -> Call[None]:
    """The snapshot's bytes from `have` on. If-Range: of this very file, or the whole of it."""
    headers = {"range": f"bytes={have}-", "if-range": f'"{manifest.sha256}"'} if have else {}

    def read(answer: Answer) -> None:
        if answer.status not in (_OK, _PARTIAL, _PAST_THE_END):
            _raise(answer)

    return Call(Request("GET", manifest.url, headers=headers), read)


def changes(
    site: str, *, after: str | None, limit: int = 10_000, wait: int = 0
) -> Call[ChangePage]:
    """One page of the feed; `wait` seconds for something new. May be CursorExpired."""
    parameters: dict[str, str | int] = {"limit": limit, "wait": wait}
    if after is not None:
        parameters["after"] = after
    path = f"/v1/sites/{site}/changes"
    patience = wait + _LONG_POLL_SLACK
    return _call(codec.change_page, "GET", path, parameters=parameters, patience=patience)


def put_infraction(id: str, body: Mapping[str, Any]) -> Call[Receipt]:
    """Hand over an infraction. Safe to repeat."""

    def read(message: Any) -> Receipt:
        try:
            receipt = codec.receipt(message)
        except codec.MalformedMessage as error:
            raise NotNow(str(error)) from error
        if receipt.id != id:
            raise NotNow(f"the receipt is of {receipt.id}, not of {id}")
        return receipt

    return _call(read, "PUT", f"/v1/infractions/{id}", json_body=body)


def put_photo(sha256: str, picture: bytes) -> Call[None]:
    """Hand over a photo. Safe to repeat."""

    def read(answer: Answer) -> None:
        message = _told(answer)
        if not isinstance(message, dict) or message.get("sha256") != sha256:
            raise NotNow(f"the answer is not about the photo {sha256}")

    return Call(Request("PUT", f"/v1/photos/{sha256}", body=picture), read)


def put_event(id: str, body: Mapping[str, Any]) -> Call[None]:
    """Hand over whatever else a patrol leaves behind. Safe to repeat."""

    def read(message: Any) -> None:
        if not isinstance(message, dict) or message.get("id") != id:
            raise NotNow(f"the answer is not about the event {id}")

    return _call(read, "PUT", f"/v1/events/{id}", json_body=body)


def enrol(code: str, *, install_id: str) -> Call[Enrolment]:
    """Trade a single-use code for a token. The same install_id may ask again."""
    body = {"code": code, "install_id": install_id}
    return _call(codec.enrolment, "POST", "/v1/enrolments", json_body=body)


def sign_in(badge: str, pin: str) -> Call[SignIn]:
    """Is this patroller's PIN right? Refused with 403 if it is not."""
    return _call(codec.sign_in, "POST", "/v1/sign-ins", json_body={"badge": badge, "pin": pin})


def number_block(site: str, id: str) -> Call[NumberBlock]:
    """Numbers of notices for this device alone; the same ones for the same id."""
    return _call(codec.number_block, "PUT", f"/v1/sites/{site}/number-blocks/{id}")


def tell(facts: Mapping[str, Any]) -> Call[None]:
    """Tell how this device is doing (CONTRACT, "Devices")."""

    def read(answer: Answer) -> None:
        if answer.status not in (_OK, _NO_CONTENT):
            _raise(answer)

    told = _call(lambda message: None, "PUT", "/v1/devices/self", json_body=dict(facts))
    return Call(told.request, read)


@dataclass(frozen=True, slots=True)
class Briefed:
    """A briefing and the ETag by which the next one is asked for."""

    body: Mapping[str, Any]
    etag: str


def briefing(site: str, *, etag: str = "") -> Call[Briefed | None]:
    """What a site's patrols are told besides the feed; None: nothing new since `etag`."""
    headers = {"if-none-match": etag} if etag else {}

    def read(answer: Answer) -> Briefed | None:
        if answer.status == _NOT_MODIFIED and etag:
            return None
        message = _told(answer)
        if not isinstance(message, dict):
            raise NotNow("the briefing is no object")
        return Briefed(message, answer.headers.get("etag", ""))

    return Call(Request("GET", f"/v1/sites/{site}/briefing", headers=headers), read)


def rotate_token() -> Call[str]:
    """A new token for this device; the old one is good until the new one was used."""
    return _call(codec.new_token, "POST", "/v1/devices/self/token")
