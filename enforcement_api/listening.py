"""Listening: a socket that says why it cannot, and a server that says when it is ready."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Iterator

import uvicorn

from enforcement_api.problems import N_, Problem

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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


def end_cleanly_on_signals() -> None:
    """Until uvicorn takes them over, a signal that asks to end is obeyed with exit code 0."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            signal.signal(number, lambda *_: sys.exit(0))


class Announcing(uvicorn.Server):
    """Says when it is ready, and exits with 0 when it is told to end."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Bind, and say where."""
        await super().startup(sockets)
        if not self.started:
            return
        port = self.servers[0].sockets[0].getsockname()[1]
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        scheme = "https" if self.config.is_ssl else "http"
        print(f"listening on {scheme}://{host}:{port}", file=sys.stderr, flush=True)

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
