"""Handhelds at the command line, and the authority that their link pins."""

from __future__ import annotations

import base64
import hashlib
import ssl
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.enforcement_api.program import key, open_site, patrouille, serving
from tests.service import running

SERVER = "https://patrouille.example.org"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Where a service with a site was."""
    data_dir = tmp_path / "data"
    admin = key(data_dir)
    with serving(data_dir) as server, server.client(admin) as client:
        open_site(client)
        assert server.end() == 0
    return data_dir


def enrol(data_dir: Path, *options: str | Path) -> list[str]:
    done = patrouille(data_dir, "devices", "enrol", "Handheld 7", "--site", "1085", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_handheld_is_enrolled_listed_enrolled_again_and_revoked(data_dir: Path) -> None:
    (code,) = enrol(data_dir)
    with serving(data_dir) as server, server.client("none") as client:
        answer = client.post("/v1/enrolments", json={"code": code})
        assert answer.status_code == 201
        id, token = answer.json()["device"], answer.json()["token"]
        fields = patrouille(data_dir, "devices", "list").stdout.strip().split("\t")
        assert [fields[i] for i in (0, 1, 2, 4, 5, 6)] == [id, "Handheld 7", "1085", "0", "-", "-"]
        fresh = patrouille(data_dir, "devices", "code", id)
        answer = client.post("/v1/enrolments", json={"code": fresh.stdout.strip()})
        assert answer.json()["device"] == id
        token = answer.json()["token"]
        assert patrouille(data_dir, "devices", "revoke", id).returncode == 0
        with server.client(token) as device:
            answer = device.get("/v1/sites/1085/changes")
            assert answer.json()["type"] == "/problems/device-revoked"
        assert patrouille(data_dir, "devices", "list").stdout.strip().split("\t")[6] != "-"


def test_list_tells_how_many_plates_are_in_other_hands(data_dir: Path, tmp_path: Path) -> None:
    plates = tmp_path / "plates.csv"
    plates.write_text(
        "id,version,plate,zones,permit_number,valid_from,status\n"
        "p1,1,KTM 418,*,100014764,2026-06-01,active\n"
    )
    assert patrouille(data_dir, "import", plates, "--site", "1085").returncode == 0
    (code,) = enrol(data_dir)
    with serving(data_dir) as server, server.client("none") as client:
        token = client.post("/v1/enrolments", json={"code": code}).json()["token"]
        with server.client(token) as device:
            page = device.get("/v1/sites/1085/changes").json()
            device.get("/v1/sites/1085/changes", params={"after": page["cursor"]})
        (handheld,) = patrouille(data_dir, "devices", "list").stdout.splitlines()
        assert handheld.split("\t")[4] == "1"


def test_link_names_the_server_and_can_be_scanned(data_dir: Path) -> None:
    code, link = enrol(data_dir, "--server", f"{SERVER}/")
    assert link == f"patrouille://enrol?server={SERVER}&code={code}"
    done = patrouille(
        data_dir, "devices", "enrol", "a", "--site", "1085", "--server", SERVER, "--qr"
    )
    assert len(done.stdout.splitlines()) == 2
    assert "▄" in done.stderr or "█" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("enrol", "a", "--site", "9999"), "9999"),
        (("enrol", "", "--site", "1085"), "name"),
        (("code", "nothing"), "nothing"),
        (("revoke", "nothing"), "nothing"),
        (("enrol", "a", "--site", "1085", "--server", SERVER, "--tls-ca", "FILE"), "PEM"),
    ],
)
def test_what_cannot_be_done_is_told(
    data_dir: Path, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    (tmp_path / "FILE").write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
    named = [str(tmp_path / "FILE") if part == "FILE" else part for part in arguments]
    done = patrouille(data_dir, "devices", *named)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


# The authority


def pin_of(certificate: bytes) -> str:
    der = x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def test_pinned_authority_is_the_one_that_the_certificate_comes_from(tmp_path: Path) -> None:
    """As a handheld does it: fetch it unverified, believe it for its hash, then trust it alone."""
    authority, stranger = trustme.CA(), trustme.CA()
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    with running(tmp_path, authority=path, public_url=SERVER) as service:
        service.site()
        link = service.device()["enrolment_link"]
        pin = parse_qs(urlsplit(link).query)["ca"][0]
        answer = service.client(None).get("/v1/authority")
    assert link.startswith(f"patrouille://enrol?server={SERVER}&code=")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-pem-file")
    assert pin == pin_of(answer.content) == pin_of(authority.cert_pem.bytes())
    assert pin != pin_of(stranger.cert_pem.bytes())
    trust = ssl.create_default_context(cadata=answer.text)
    assert len(trust.get_ca_certs()) >= 1


def test_service_without_an_authority_says_so_and_pins_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.site()
        assert "ca=" not in service.device()["enrolment_link"]
        answer = service.client(None).get("/v1/authority")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/no-authority")


def test_command_pins_the_authority_that_the_service_gives(data_dir: Path, tmp_path: Path) -> None:
    """`serve --tls-ca` and `devices enrol --tls-ca` speak of the same certificate."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    pair, path = tmp_path / "pair.pem", tmp_path / "ca.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(pair)
    authority.cert_pem.write_to_path(path)
    tls = ("--tls-cert", pair, "--tls-key", pair, "--tls-ca", path)
    with serving(data_dir, options=tls) as server:
        pem = httpx.get(f"{server.address}/v1/authority", verify=False, trust_env=False).text
        code, link = enrol(data_dir, "--server", server.address, "--tls-ca", path)
        assert parse_qs(urlsplit(link).query)["ca"] == [pin_of(pem.encode())]
        trust = ssl.create_default_context(cadata=pem)
        answer = httpx.post(
            f"{server.address}/v1/enrolments", json={"code": code}, verify=trust, trust_env=False
        )
        assert answer.status_code == 201


def test_authority_that_cannot_be_read_keeps_the_service_from_starting(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    done = patrouille(tmp_path / "data", "serve", "--port", "0", "--tls-ca", tmp_path / "ca.pem")
    assert done.returncode == 1
    assert "ca.pem" in done.stderr
    assert "Traceback" not in done.stderr
