"""Serving: uvicorn, told how this service begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
from collections import Counter
from http import HTTPStatus
from pathlib import Path
from typing import Any

import h11
import uvicorn
from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from enforcement_api.app import Service, create_app
from enforcement_api.listening import Announcing, end_cleanly_on_signals, listen
from enforcement_api.problems import (
    LANGUAGES,
    MEDIA_TYPE,
    N_,
    Problem,
    Sentence,
    StorageFailed,
    json_bytes,
    problem_response,
)
from enforcement_api.rates import one_address
from enforcement_api.settings import Settings

HEADER_SECONDS = 15
"""How long the headers of a request are waited for, from its first byte or the connection on."""

READING_SECONDS = 60
"""How long a client may take to read the next 48 KiB of an answer."""

_FILES_KEPT = 256
"""Files that the service opens besides connections: the record, indexes, photos."""
_BEYOND_THE_LIMIT = 64
"""Connections beyond the limit that are told so; those beyond them are closed unheard."""


class Server(Announcing):
    """Answers waiting polls when told to end."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self.storage_failure: StorageFailed | None = None
        service.storage_failed = self._stop_on

    def _stop_on(self, problem: StorageFailed) -> None:
        self.storage_failure = problem
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody wait out their poll."""
        self._service.follower.release()
        await super().shutdown(sockets)


class MalformedRequest(Problem):
    """Bytes that are no HTTP request, so that no application can be asked."""

    slug = "malformed-request"
    title = N_("The request is not HTTP")
    detail = N_(
        "Letters such as É are percent-encoded in an address (%C3%89); `curl -G --data-urlencode`"
        " does it."
    )


class SlowRequest(Problem):
    """A request whose headers do not come."""

    status = 408
    slug = "slow-request"
    title = N_("The request did not arrive")
    detail = N_("Its headers were not there after {seconds} seconds. Send it again.")


class TooManyConnections(Problem):
    """One address holds more connections than it has use for."""

    status = 429
    slug = "too-many-connections"
    title = N_("This address holds too many connections")
    detail = N_("Close some of the {most}, or use one for several requests; then try again.")


class Crowded(Problem):
    """More connections than the service can serve."""

    status = 503
    slug = "crowded"
    title = N_("The service has too many connections")
    detail = N_("Nothing of this request was done. Send it again in {retry_after} seconds.")


class Config(uvicorn.Config):
    """uvicorn's, with how many may be connected. 0: no limit."""

    def __init__(self, app: Any, *, by_address: int, in_all: int, **options: Any) -> None:
        super().__init__(app, **options)
        self.by_address, self.in_all = by_address, in_all
        self.held: Counter[str] = Counter()


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1, but whoever is slow or greedy is sent away, and what cannot be parsed
    is answered with a problem too.
    """

    config: Config

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._headers_due: asyncio.TimerHandle | None = None
        self._reading_due: asyncio.TimerHandle | None = None
        self._has_begun = False
        self._address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let somebody in, unless they are too many."""
        super().connection_made(transport)
        config = self.config
        address = one_address(self.client[0] if self.client else None)
        if config.by_address and config.held[address] >= config.by_address:
            self._send_away(TooManyConnections(most=config.by_address))
            return
        self._address = address
        config.held[address] += 1
        beyond = len(self.connections) - config.in_all if config.in_all else 0
        if beyond > _BEYOND_THE_LIMIT:
            transport.abort()
        elif beyond > 0:
            self.app = self._only_health(self.app)
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget them."""
        super().connection_lost(exc)
        self._stop_waiting()
        self._keep_writing()
        if self._address is not None:
            self.config.held[self._address] -= 1
            if not self.config.held[self._address]:
                del self.config.held[self._address]

    def shutdown(self) -> None:
        """The service ends. An idle connection is cut once nothing is left to write: over TLS its
        other side would answer a farewell only when it next has something to ask.
        """
        is_idle = self.cycle is None or self.cycle.response_complete
        was_closing = self.transport.is_closing()  # over TLS it cannot be asked twice
        super().shutdown()
        if is_idle and not was_closing and not self.transport.get_write_buffer_size():
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """A part of a request. Its headers have to be whole after a while, however they trickle."""
        self._has_begun = True
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif not self.transport.is_closing():
            self._wait_for_headers()

    def on_response_complete(self) -> None:
        """The next request has a while of its own."""
        self._has_begun = False
        super().on_response_complete()

    def pause_writing(self) -> None:
        """They do not read what they asked for: hang up, unless they do so soon."""
        super().pause_writing()
        if self._reading_due is None:
            self._reading_due = self.loop.call_later(READING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """They have read some of it."""
        super().resume_writing()
        self._keep_writing()

    def _keep_writing(self) -> None:
        if self._reading_due is not None:
            self._reading_due.cancel()
            self._reading_due = None

    def _wait_for_headers(self) -> None:
        if self._headers_due is None:
            self._headers_due = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _give_up(self) -> None:
        self._headers_due = None
        if self.cycle is not None and not self.cycle.response_complete:
            return
        if self._has_begun:
            self._send_away(SlowRequest(seconds=HEADER_SECONDS))
        else:
            self.transport.close()

    def _only_health(self, app: Any) -> Any:
        """Whoever asks how the service is still hears it."""

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"].startswith("/health/"):
                await app(scope, receive, send)
                return
            crowded = Crowded(retry_after=10, headers={"Connection": "close"})
            await problem_response(crowded, Request(scope))(scope, receive, send)

        return answer

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._send_away(MalformedRequest())

    def _send_away(self, problem: Problem) -> None:
        """Answer in French, the default, since there are no headers to go by; and hang up."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # an answer is under way already
            return
        language = LANGUAGES[0]
        body = json_bytes(problem.as_json(language))
        headers = {
            "content-type": MEDIA_TYPE,
            "content-language": language,
            "content-length": str(len(body)),
            "connection": "close",
        }
        response = h11.Response(
            status_code=problem.status,
            headers=list(headers.items()),
            reason=HTTPStatus(problem.status).phrase,
        )
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class UnusableCertificate(Problem):
    """The certificate and its key cannot be served with."""

    status = 503
    slug = "unusable-certificate"
    title = N_("The certificate and the key cannot be used")
    detail = N_("{certificate} and {key}: {reason}")


_NOT_A_PAIR = N_("the key is not that of the certificate. Name the two that belong together.")
_PASSPHRASE = N_(
    "the key has a passphrase, which nobody could give when the service starts by itself. Write"
    " it without: openssl pkey -in KEY -out NEW_KEY"
)
_NO_PEM = N_("one of them is not what it should be, in PEM form (-----BEGIN …).")


def check_certificate(certificate: Path, key: Path) -> None:
    """Prove that the two can be served with. Raises UnusableCertificate."""
    asked = False

    def passphrase() -> str:
        nonlocal asked
        asked = True
        return ""

    def unusable(reason: object) -> UnusableCertificate:
        return UnusableCertificate(certificate=certificate, key=key, reason=reason)

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, passphrase)
    except ssl.SSLError as error:
        if asked:
            raise unusable(Sentence(_PASSPHRASE)) from error
        not_a_pair = error.reason is not None and "MISMATCH" in error.reason
        raise unusable(Sentence(_NOT_A_PAIR if not_a_pair else _NO_PEM)) from error
    except (OSError, ValueError) as error:
        raise unusable(error) from error


def _most_connections() -> int:
    """As many as the system lets this process have files open, less those for its own use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if most == resource.RLIM_INFINITY else max(1, most - _FILES_KEPT)


def serve(
    settings: Settings, *, host: str, port: int, tls_cert: Path | None, tls_key: Path | None
) -> StorageFailed | None:
    """Serve until told to end; the failure that ended it, if it was the disk's.

    Raises UnusableCertificate, AddressTaken, PortNotAllowed, StorageFailed, RecordNotReady,
    RecordUnavailable before it listens.
    """
    end_cleanly_on_signals()
    if tls_cert is not None and tls_key is not None:
        check_certificate(tls_cert, tls_key)
    listening = listen(host, port)
    app = create_app(settings)
    service: Service = app.state.service
    service.start()
    config = Config(
        app,
        by_address=settings.connections_by_address,
        in_all=_most_connections(),
        host=host,
        port=port,
        http=Protocol,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=20,
        lifespan="off",
    )
    server = Server(config, service)
    try:
        server.run(sockets=[listening])
    finally:
        service.stop()
        listening.close()
    if not server.started:
        raise SystemExit(1)
    return server.storage_failure
