"""Enrolment links, and a private authority that is believed by its pin alone: over real TLS."""

from __future__ import annotations

import base64
import hashlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from handheld_app.authority import WrongAuthority, fetch_authority
from handheld_app.enrolment import EnrolmentLink, NotALink, asked, is_link, parse_link, pinned
from sync.client import ServiceClient
from sync.exchange import Request, Unreachable, Untrusted

PIN = hashlib.sha256(b"an authority").digest()
PIN_TEXT = base64.urlsafe_b64encode(PIN).decode().rstrip("=")


# links


@pytest.mark.parametrize(
    ("text", "server", "pin"),
    [
        ("patrouille://enrol?server=https://p.example&code=abcd-1234", "https://p.example", None),
        ("PATROUILLE://ENROL?server=https%3A%2F%2Fp.example&code=abcd-1234", "https://p.example",
         None),
        (f"  patrouille://enrol?code=abcd-1234&ca={PIN_TEXT}&server=https://10.0.0.7:8443\n",
         "https://10.0.0.7:8443", PIN),
        (f"patrouille://enrol?server=https://p.example&code=abcd-1234&ca={PIN_TEXT}%3D",
         "https://p.example", PIN),
        ("patrouille://enrol/?server=https://p.example&code=abcd-1234&later=1",
         "https://p.example", None),
    ],
)  # fmt: skip
def test_a_link_tells_where_and_with_which_code(text: str, server: str, pin: bytes | None) -> None:
    assert parse_link(text) == EnrolmentLink(server, "abcd-1234", pin)


@pytest.mark.parametrize(
    "text",
    [
        "patrouille:",
        "patrouille://enrol",
        "patrouille://enrol?server=https://p.example",
        "patrouille://enrol?code=abcd",
        "patrouille://enrol?server=&code=abcd",
        "patrouille://revoke?server=https://p.example&code=abcd",
        "patrouille://enrol/x?server=https://p.example&code=abcd",
        "patrouille://enrol?server=https://a.example&server=https://b.example&code=abcd",
        "patrouille://enrol?server=https://p.example&code=abcd&ca=",
        "patrouille://enrol?server=https://p.example&code=abcd&ca=AAAA",
        "patrouille://enrol?server=https://p.example&code=abcd&ca=" + "*" * 43,
        "patrouille://enrol?server=https://p.example&code=abcd&" + "x=1&" * 40,
        "patrouille://[enrol?server=https://p.example&code=abcd",
    ],
)
def test_what_is_no_whole_link_is_refused(text: str) -> None:
    assert is_link(text)
    with pytest.raises(NotALink):
        parse_link(text)


@given(st.text(max_size=80))
def test_no_text_is_more_than_a_link_or_none(rest: str) -> None:
    for text in (rest, f"patrouille://enrol?{rest}", f"patrouille://enrol?server={rest}&code=a"):
        try:
            link = parse_link(text)
        except NotALink:
            continue
        assert link.server
        assert link.code


def test_a_link_may_stand_in_either_field() -> None:
    link = "patrouille://enrol?server=https://p.example&code=abcd"
    wanted = EnrolmentLink("https://p.example", "abcd")
    assert asked(link, "") == asked("", link) == wanted
    assert asked(" https://p.example ", " abcd\n") == wanted


def test_a_code_is_in_no_message() -> None:
    assert "abcd-1234" not in repr(EnrolmentLink("https://p.example", "abcd-1234"))


# a private authority


class Service(ThreadingHTTPServer):
    """Somebody who speaks TLS with a certificate of `issuer`, and shows `shown` as authority."""

    daemon_threads = True

    def __init__(self, issuer: trustme.CA, shown: bytes) -> None:
        self.shown, self.asked = shown, []  # type: ignore[var-annotated]
        super().__init__(("127.0.0.1", 0), _Answers)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer.issue_cert("127.0.0.1").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.address = f"https://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Who does not trust the certificate hangs up."""


class _Answers(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.shown)))
        self.end_headers()
        self.wfile.write(self.server.shown)

    def log_message(self, format: str, *args: object) -> None:
        pass


def pin_of(authority: trustme.CA) -> bytes:
    der = ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())
    return hashlib.sha256(der).digest()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def service(authority: trustme.CA) -> Iterator[Service]:
    yield from serving(Service(authority, authority.cert_pem.bytes()))


def serving(service: Service) -> Iterator[Service]:
    thread = threading.Thread(target=service.serve_forever)
    thread.start()
    yield service
    service.shutdown()
    service.server_close()
    thread.join()


def test_the_pinned_authority_is_fetched_and_then_believed(
    service: Service, authority: trustme.CA
) -> None:
    pem = fetch_authority(service.address, pin_of(authority))
    with ServiceClient(service.address, token="secret", authority=pem) as client:
        assert client.send(Request("GET", "/")).status == 200
    (path, headers), _ = service.asked
    assert path == "/v1/authority"
    assert "authorization" not in {name.lower() for name in headers}


def test_the_service_is_not_believed_without_it(service: Service) -> None:
    with (
        ServiceClient(service.address, token="secret") as client,
        pytest.raises(Untrusted),
    ):
        client.send(Request("GET", "/"))
    assert service.asked == []


def test_another_authority_is_not_taken(service: Service) -> None:
    with pytest.raises(WrongAuthority):
        fetch_authority(service.address, pin_of(trustme.CA()))


def test_who_shows_the_authority_without_being_vouched_for_is_not_believed(
    authority: trustme.CA,
) -> None:
    for service in serving(Service(trustme.CA(), authority.cert_pem.bytes())):
        pem = fetch_authority(service.address, pin_of(authority))
        with (
            ServiceClient(service.address, token="secret", authority=pem) as client,
            pytest.raises(Untrusted),
        ):
            client.send(Request("GET", "/"))


def test_only_the_pinned_one_of_several_is_taken(authority: trustme.CA) -> None:
    both = trustme.CA().cert_pem.bytes() + authority.cert_pem.bytes()
    for service in serving(Service(authority, both)):
        pem = fetch_authority(service.address, pin_of(authority))
        assert pem.count("BEGIN CERTIFICATE") == 1


def test_an_endless_answer_is_no_authority(authority: trustme.CA) -> None:
    for service in serving(Service(authority, b"x" * 1_000_000)):
        with pytest.raises(WrongAuthority):
            fetch_authority(service.address, pin_of(authority))


def test_no_answer_is_no_authority(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        fetch_authority("https://127.0.0.1:9", PIN)


@given(st.text(max_size=200))
def test_no_text_is_an_authority(text: str) -> None:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    assert pinned(text, PIN) is None
    assert pinned(f"{begin}{text}{end}", PIN) is None
