"""What an installation may set about letters, and what is said of what cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from enforcement_api.settings import Settings, UnusableSetting, mail_address
from tests.enforcement_api.program import environment

USABLE = {
    "PATROUILLE_SMTP_HOST": "mail.example.org",
    "PATROUILLE_MAIL_FROM": "Stationnement CHUS <parking@example.org>",
}


def load(**variables: str) -> Settings:
    named = {f"PATROUILLE_{name.upper()}": value for name, value in variables.items()}
    return Settings.load(Path("unused"), USABLE | named)


def test_a_mail_server_is_set_by_variables() -> None:
    settings = load(
        smtp_port="2525",
        smtp_user="parking",
        smtp_password="s3cret",
        smtp_security="tls",
        mail_reply_to="office@example.org",
        letter_days="2",
    )
    assert (settings.smtp_host, settings.smtp_port) == ("mail.example.org", 2525)
    assert (settings.smtp_user, settings.smtp_password) == ("parking", "s3cret")
    assert (settings.smtp_security, settings.letter_days) == ("tls", 2)
    assert settings.mail_reply_to == "office@example.org"


def test_the_password_is_not_shown() -> None:
    settings = load(smtp_password="s3cret")
    assert "s3cret" not in f"{settings} {settings!r}"


def test_nothing_is_needed_without_a_mail_server() -> None:
    settings = Settings.load(Path("unused"), {})
    assert (settings.smtp_host, settings.smtp_security) == ("", "starttls")


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"smtp_security": "ssl"}, "PATROUILLE_SMTP_SECURITY is ssl: give it starttls, tls"),
        ({"smtp_security": "none"}, "on another machine"),
        ({"smtp_port": "70000"}, "PATROUILLE_SMTP_PORT is 70000"),
        ({"smtp_port": "smtp"}, "PATROUILLE_SMTP_PORT is smtp: give it a number"),
        ({"mail_from": ""}, "give PATROUILLE_MAIL_FROM an address as well"),
        ({"mail_from": "parking"}, "PATROUILLE_MAIL_FROM is parking: give it an address"),
        ({"mail_from": "a@example.org, b@example.org"}, "PATROUILLE_MAIL_FROM"),
        ({"mail_from": "Parc, Auto <a@example.org>"}, "PATROUILLE_MAIL_FROM"),
        ({"mail_from": "é@example.org"}, "PATROUILLE_MAIL_FROM"),
        ({"mail_from": "a@example.org\nBcc: b@example.org"}, "PATROUILLE_MAIL_FROM"),
        ({"mail_reply_to": "office@"}, "PATROUILLE_MAIL_REPLY_TO is office@"),
        ({"smtp_password": "sécret"}, "PATROUILLE_SMTP_PASSWORD has characters"),
    ],
)
def test_what_cannot_be_used_is_told(variables: dict[str, str], told: str) -> None:
    with pytest.raises(UnusableSetting) as raised:
        load(**variables)
    assert told in str(raised.value)
    assert "sécret" not in str(raised.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_only_a_mail_server_on_this_machine_is_talked_to_without_tls(host: str) -> None:
    assert load(smtp_host=host, smtp_security="none").smtp_security == "none"


def test_an_address_may_have_a_name() -> None:
    address = mail_address('"Parc, Auto é" <parking@example.org>')
    assert address.display_name == "Parc, Auto é"
    assert address.addr_spec == "parking@example.org"


def test_a_command_tells_it_as_a_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "enforcement_api", "keys", "list"],
        env=environment(tmp_path, "fr") | {"PATROUILLE_SMTP_SECURITY": "ssl"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "PATROUILLE_SMTP_SECURITY vaut ssl\u00a0: donnez-lui starttls, tls ou none." + os.linesep
    )
