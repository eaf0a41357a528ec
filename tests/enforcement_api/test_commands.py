"""Commands that cannot do what they are asked: a sentence, exit code 1, and nothing made."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from enforcement_api import listening
from tests.enforcement_api.program import key, open_site, patrouille, serving


def sentence(data_dir: Path, *arguments: object) -> str:
    done = patrouille(data_dir, *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    return done.stderr


# TLS


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    issued = trustme.CA().issue_cert("localhost")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    return certificate, key


def refused(tmp_path: Path, certificate: Path, key: Path) -> str:
    data_dir = tmp_path / "data"
    arguments = ("serve", "--port", "0", "--tls-cert", certificate, "--tls-key", key)
    told = sentence(data_dir, *arguments)
    assert str(certificate) in told
    assert str(key) in told
    return told


def test_the_key_of_another_certificate_is_told(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    other = trustme.CA().issue_cert("localhost")
    other.private_key_pem.write_to_path(tmp_path / "other.pem")
    assert "not that of the certificate" in refused(tmp_path, pair[0], tmp_path / "other.pem")


def test_a_certificate_that_is_none_is_told(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    (tmp_path / "cert.der").write_bytes(b"\x30\x82 not PEM")
    assert "PEM" in refused(tmp_path, tmp_path / "cert.der", pair[1])


def test_a_key_with_a_passphrase_is_told(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    key = serialization.load_pem_private_key(pair[1].read_bytes(), None)
    (tmp_path / "locked.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert "passphrase" in refused(tmp_path, pair[0], tmp_path / "locked.pem")


# Folders and records


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "data"
    for command in (("init",), ("demo", "--headless", "--data-dir", folder), ("serve",)):
        told = sentence(folder, *command)
        assert str(folder) in told
        assert "--data-dir" in told
        assert "request" not in told


@pytest.mark.parametrize(
    "command",
    [
        ("check", "ABC123", "--site", "1085", "--zone", "G1"),
        ("keys", "list"),
        ("digest", "--site", "1085"),
    ],
)
def test_where_there_is_no_record_it_is_told_and_none_is_made(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    told = sentence(tmp_path / "data", *command)
    assert str(tmp_path / "data") in told
    assert "patrouille init" in told
    assert not (tmp_path / "data").exists()


def test_reading_needs_no_disk_that_can_be_written(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir) as server, server.client(key(data_dir)) as client:
        open_site(client)
        assert server.end() == 0
    if subprocess.run(["mount", "--bind", data_dir, data_dir], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", data_dir], check=True)
        checked = patrouille(data_dir, "check", "ABC123", "--site", "1085", "--zone", "G1")
        listed = patrouille(data_dir, "keys", "list")
    finally:
        subprocess.run(["umount", "-l", data_dir], check=True)
    assert checked.stdout == "unknown\n", checked.stderr
    assert "admin" in listed.stdout, listed.stderr


def test_what_is_made_is_for_its_owner_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir) as server, server.client(key(data_dir)) as client:
        assert client.get("/health/ready").status_code == 200
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert not [path for path in data_dir.rglob("*") if path.stat().st_mode & 0o077]


def test_what_is_wrong_is_told_by_the_names_of_the_command(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir) as server, server.client(key(data_dir)) as client:
        open_site(client)
    check = ("check", "ABC123", "--site", "1085", "--zone", "G1")
    assert sentence(data_dir, *check, "--at", "noon").startswith("--at: must be")
    assert sentence(data_dir, "check", "!", *check[2:]).startswith("PLATE: is no plate")


def test_a_port_that_needs_a_right_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(listening.socket.socket, "bind", forbid)
    with pytest.raises(listening.PortNotAllowed) as raised:
        listening.listen("127.0.0.1", 443)
    assert "End what listens" not in raised.value.text("en")


# Sites


@pytest.mark.parametrize(
    "command",
    [
        ("staff", "create", "marie@example.org", "--role", "supervisor"),
        ("keys", "create", "--role", "reader", "--name", "SPAQ"),
        ("devices", "enrol", "Handheld 7"),
    ],
)
def test_a_site_that_is_not_there_is_named_and_what_to_do(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    key(tmp_path)
    assert sentence(tmp_path, *command, "--site", "9999") == (
        "There is no site 9999. Name one that there is (there is none yet), or create this one"
        " first, at the console or with PUT /v1/sites/9999.\n"
    )


def test_an_administrator_of_one_site_is_refused(tmp_path: Path) -> None:
    key(tmp_path)
    create = ("staff", "create", "marie@example.org", "--site", "1085", "--role")
    told = sentence(tmp_path, *create, "administrator")
    assert told.startswith("An administrator has all sites. ")
    assert "without --site" in told


# Starting


def test_a_command_that_serves_nothing_starts_without_fastapi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    done = patrouille(tmp_path, "keys", "create", "--role", "admin", "--name", "admin")
    assert done.returncode == 0, done.stderr
    assert "enforcement_api.staff.keys" in done.stderr
    assert "| fastapi" not in done.stderr.replace("  ", "")
