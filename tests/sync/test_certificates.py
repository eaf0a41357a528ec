"""Whose certificates a handheld trusts, by a real TLS server on this machine."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from sync import exchange
from sync.client import ServiceClient, trusted_certificates
from sync.exchange import Unreachable, Untrusted


class Answering(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(503)
        self.send_header("Retry-After", "1")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that trusts nothing breaks the handshake off


@pytest.fixture
def authority() -> trustme.CA:
    """A hospital's own, which nobody else knows."""
    return trustme.CA()


@pytest.fixture
def address(authority: trustme.CA) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with Server(("127.0.0.1", 0), Answering) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"https://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join(10)


def meaning(address: str) -> type[Exception]:
    with ServiceClient(address) as client, pytest.raises(Unreachable) as raised:
        client.call(exchange.enrol("CODE", install_id="1"))
    return type(raised.value)


def test_a_certificate_that_nobody_vouches_for_is_untrusted(address: str) -> None:
    assert meaning(address) is Untrusted


def test_it_is_told_why(address: str) -> None:
    with ServiceClient(address) as client, pytest.raises(Untrusted, match="certificate"):
        client.call(exchange.enrol("CODE", install_id="1"))


def test_a_certificate_of_another_name_is_untrusted(
    address: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert meaning(address.replace("localhost", "127.0.0.1")) is Untrusted


def test_an_authority_in_ssl_cert_file_is_trusted(
    address: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert meaning(address) is Unreachable  # its own answer: later


def test_other_authorities_are_still_trusted_then(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert trusted_certificates().cert_store_stats()["x509_ca"] > 50


def test_no_proxy_of_the_environment_is_used(
    address: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with ServiceClient(address) as client, pytest.raises(Unreachable, match="503"):
        client.call(exchange.enrol("CODE", install_id="1"))
