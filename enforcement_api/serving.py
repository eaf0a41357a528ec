"""Serving: uvicorn, told how this service begins and ends."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from enforcement_api.app import Service, create_app
from enforcement_api.problems import (
    LANGUAGES,
    MEDIA_TYPE,
    N_,
    Problem,
    Sentence,
    StorageFailed,
    json_bytes,
)
from enforcement_api.settings import Settings

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """Says when it is ready, answers waiting polls when told to end, and then exits with 0."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self.storage_failure: StorageFailed | None = None
        service.storage_failed = self._stop_on

    def _stop_on(self, problem: StorageFailed) -> None:
        self.storage_failure = problem
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Bind, and say where."""
        await super().startup(sockets)
        if not self.started:
            return
        port = self.servers[0].sockets[0].getsockname()[1]
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        scheme = "https" if self.config.is_ssl else "http"
        print(f"listening on {scheme}://{host}:{port}", file=sys.stderr, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody wait out their poll."""
        self._service.follower.release()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a signal that was obeyed is not raised again: the exit code is 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class MalformedRequest(Problem):
    """Bytes that are no HTTP request, so that no application can be asked."""

    slug = "malformed-request"
    title = N_("The request is not HTTP")
    detail = N_(
        "Letters such as É are percent-encoded in an address (%C3%89); `curl -G --data-urlencode`"
        " does it."
    )


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1, but what cannot be parsed is answered with a problem too."""

    def send_400_response(self, msg: str) -> None:
        """In French, the default: the headers could not be read."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # an answer is under way already
            return
        language = LANGUAGES[0]
        body = json_bytes(MalformedRequest().as_json(language))
        headers = {
            "content-type": MEDIA_TYPE,
            "content-language": language,
            "content-length": str(len(body)),
            "connection": "close",
        }
        response = h11.Response(
            status_code=400, headers=list(headers.items()), reason="Bad Request"
        )
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class AddressTaken(Problem):
    """Something else listens there, or the address is not this machine's."""

    status = 503
    slug = "address-taken"
    title = N_("The service cannot listen at {host}, port {port}")
    detail = N_("End what listens there, or choose another with --host and --port: {reason}")


class PortNotAllowed(Problem):
    """A port below 1024, to somebody who has no right to it."""

    status = 503
    slug = "port-not-allowed"
    title = N_("This user may not listen at {host}, port {port}")
    detail = N_(
        "Choose a port above 1023 with --port, behind a proxy, or give the service the right:"
        " AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit."
    )


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


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address. Raises AddressTaken, PortNotAllowed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, since asyncio turns Nagle's delay off only where it is; an answer
    # would wait 40 ms for an acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
        return listening
    except OSError as error:
        listening.close()
        if isinstance(error, PermissionError):
            raise PortNotAllowed(host=host, port=port) from error
        raise AddressTaken(host=host, port=port, reason=error) from error


def serve(
    settings: Settings, *, host: str, port: int, tls_cert: Path | None, tls_key: Path | None
) -> StorageFailed | None:
    """Serve until told to end; the failure that ended it, if it was the disk's.

    Raises UnusableCertificate, AddressTaken, PortNotAllowed, StorageFailed, RecordNotReady,
    RecordUnavailable before it listens.
    """
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:  # until uvicorn takes them over
            signal.signal(number, lambda *_: sys.exit(0))
    if tls_cert is not None and tls_key is not None:
        check_certificate(tls_cert, tls_key)
    listening = listen(host, port)
    app = create_app(settings)
    service: Service = app.state.service
    service.start()
    config = uvicorn.Config(
        app,
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
