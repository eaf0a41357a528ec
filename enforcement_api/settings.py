"""What an installation may set: (name, default, help), each from `$PATROUILLE_<NAME>`."""

from __future__ import annotations

import ipaddress
import math
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from email.headerregistry import Address

DEFAULT_DATA_DIR = Path("var")
SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}
"""The usual port of each way to a mail server."""


def N_(text: str) -> str:
    """Mark a text for translation; the command line shows it."""
    return text


class UnusableSetting(ValueError):
    """A variable of the environment that cannot be used. `sentence` says what can: a text to
    translate, with {variable} and {value} in it.
    """

    def __init__(self, sentence: str, variable: str, value: str) -> None:
        self.sentence, self.variable, self.value = sentence, variable, value
        super().__init__(sentence.format(variable=variable, value=value))


def _number(variable: str, text: str, kind: type) -> Any:
    try:
        number = kind(text)
    except ValueError:
        number = -1
    if not 0 <= number < math.inf:
        sentence = N_("{variable} is {value}: give it a number of 0 or more, or unset it.")
        raise UnusableSetting(sentence, variable, text)
    return number


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def mail_address(text: str) -> Address:
    """One address, with a name before it or not. Raises ValueError."""
    # Here, since most commands send no letters.
    from email.errors import HeaderParseError
    from email.headerregistry import Address
    from email.utils import getaddresses

    ((name, address),) = getaddresses([text])
    try:
        found = Address(name, addr_spec=address)
    except (IndexError, HeaderParseError) as error:
        raise ValueError(text) from error
    if not (found.username and found.domain and address.isascii() and text.isprintable()):
        raise ValueError(text)
    return found


@dataclass(frozen=True)
class Settings:
    """Where an installation keeps its things, and its limits. Sizes are bytes, times seconds."""

    data_dir: Path
    """Everything that the service writes lies below this folder."""

    database_url: str
    """The record's address, as SQLAlchemy has it; SQLite or PostgreSQL."""

    most_updates: int = 10_000
    """Plate updates in one request."""

    largest_body: int = 32 * 1024 * 1024
    """The largest body of plate updates."""

    largest_reconciliation: int = 1024 * 1024 * 1024
    """The largest list of all permits of a source; it waits on disk, not in memory."""

    largest_json: int = 4 * 1024 * 1024
    """The largest body of any other JSON request."""

    largest_photo: int = 8 * 1024 * 1024
    """The largest photo."""

    largest_proof: int = 2 * 1024 * 1024
    """The largest file attached as a proof or as a void cheque."""

    largest_message_file: int = 10 * 1024 * 1024
    """The largest file attached to a message."""

    attachment_key: Path | None = None
    """The file with the key that void cheques are encrypted with; None: `attachment.key` in the
    data folder. It is made when it is first needed, and is in no backup."""

    notice_days: int = 30
    """How long handhelds are told of an infraction."""

    enrolment_minutes: int = 10
    """How long an enrolment code lives."""

    enrolment_failures_per_minute: int = 10
    """Wrong enrolment codes taken from one address before it is told to wait."""

    numbers_in_a_block: int = 50
    """Notice numbers that a device is given at once."""

    sign_in_days: int = 30
    """How long a patroller who has signed in on a device may do so there without network."""

    session_hours: float = 12.0
    """How long somebody who signed in at the console stays so at most."""

    session_idle_minutes: float = 60.0
    """After how long without a page of the console they have to sign in again."""

    map_tiles: str = ""
    """Where maps take their ground from, such as https://tiles.example.org/{z}/{x}/{y}.png.
    Empty: lots and positions are drawn on plain ground, and no other server is asked."""

    map_attribution: str = "© OpenStreetMap contributors"
    """Whom the ground of maps is from, as its licence asks; shown where `map_tiles` is set."""

    requests_by_key: int = 5_000
    """Requests in ten seconds with one key or device token; 0: no limit."""

    requests_by_address: int = 20_000
    """Requests in ten seconds from one address, which many handhelds may share; 0: no limit."""

    connections_by_address: int = 2_000
    """Connections that one address may hold open; 0: no limit. A handheld holds two."""

    public_url: str = ""
    """Where handhelds reach the service, such as https://patrouille.example.org, for the link
    that they enrol by. Empty: the address that the request for the link was sent to."""

    authority: Path | None = None
    """The certificate (PEM) of the private authority that the service's certificate comes from.
    The link that handhelds enrol by pins it; None: one that systems trust by themselves."""

    key_cache_seconds: float = 1.0
    """How long a key is believed without a look at the record: revoking takes this long at most."""

    follow_seconds: float = 0.5
    """How often the index looks for changes that another process made."""

    version_days: int = 730
    """How long earlier versions of permits are kept; those that infractions rest on stay."""

    retention_hours: int = 24
    """How often the retention job runs for a site."""

    clerk_seconds: float = 5.0
    """How often it is looked whether a letter or a charge is due; 0: this process does not look."""

    confirmation_hours: int = 48
    """How long the link in a letter confirms an address."""

    holder_days: int = 730
    """How long after their last subscription a person is erased."""

    proof_days: int = 365
    """How long after the decision a proof is kept."""

    message_file_days: int = 365
    """How long a file of a message is kept."""

    letter_kept_days: int = 365
    """How long a letter that was sent, or could not be, is kept."""

    lookup_days: int = 30
    """How long it is kept that somebody looked a plate up that was valid."""

    patrol_message_days: int = 90
    """How long a message to patrols is kept after it has expired."""

    courtesy_days: int = 7
    """How long a courtesy permit may last at most."""

    payment_provider: str = ""
    """Who charges cards: `local`, the provider for trials. Empty: nobody; cheques alone."""

    payment_url: str = ""
    """Where the provider is reached, such as http://127.0.0.1:8010."""

    payment_key: str = field(default="", repr=False)
    """The key that the provider gave the service."""

    payment_webhook_secret: str = field(default="", repr=False)
    """What the provider signs its events with. Empty: no event is believed."""

    payment_retry_hours: int = 24
    """How long after a declined charge the next one is tried."""

    smtp_host: str = ""
    """The mail server that letters are handed to. Empty: they wait."""

    smtp_port: int = 0
    """Its port; 0: 587, 465 or 25, by `smtp_security`."""

    smtp_user: str = ""
    """Who signs in to it; empty: nobody does."""

    smtp_password: str = field(default="", repr=False)
    """The password of who signs in."""

    smtp_security: str = "starttls"
    """`starttls`, `tls` (from the first byte on), or `none`, for a server on this machine alone."""

    mail_from: str = ""
    """Whom letters come from: an address, or a name and an address: Parc <parc@example.org>."""

    mail_reply_to: str = ""
    """Whom answers go to; empty: whom letters come from."""

    letter_days: int = 5
    """How long a letter is tried again that a mail server puts off."""

    @classmethod
    def load(
        cls, data_dir: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> Settings:
        """From the environment: $PATROUILLE_DATA_DIR, unless it is given, and a variable for each
        of the others, such as $PATROUILLE_RETENTION_HOURS. Raises UnusableSetting.
        """
        environment = os.environ if environment is None else environment
        folder = data_dir or Path(environment.get("PATROUILLE_DATA_DIR", DEFAULT_DATA_DIR))
        folder = folder.absolute()
        url = environment.get("PATROUILLE_DATABASE_URL") or f"sqlite:///{folder / 'record.db'}"
        given: dict[str, Any] = {}
        for setting in fields(cls):
            variable = f"PATROUILLE_{setting.name.upper()}"
            text = environment.get(variable)
            if not text or setting.default is MISSING:
                continue
            if isinstance(setting.default, int | float):
                given[setting.name] = _number(variable, text, type(setting.default))
            else:
                given[setting.name] = text if isinstance(setting.default, str) else Path(text)
        settings = cls(data_dir=folder, database_url=url, **given)
        settings._check_post()
        return settings

    def _check_post(self) -> None:
        """Raises UnusableSetting."""
        security = self.smtp_security
        if security not in SMTP_PORTS:
            sentence = N_("{variable} is {value}: give it starttls, tls or none.")
            raise UnusableSetting(sentence, "PATROUILLE_SMTP_SECURITY", security)
        if security == "none" and self.smtp_host and not _is_this_machine(self.smtp_host):
            sentence = N_(
                "{variable} is {value}, and the mail server is on another machine: letters are"
                " personal, so give it starttls or tls."
            )
            raise UnusableSetting(sentence, "PATROUILLE_SMTP_SECURITY", security)
        if self.smtp_port > 65535:
            sentence = N_("{variable} is {value}: give it a port, 65535 at most.")
            raise UnusableSetting(sentence, "PATROUILLE_SMTP_PORT", str(self.smtp_port))
        if self.smtp_host and not self.mail_from:
            sentence = N_("{variable} is {value}: give PATROUILLE_MAIL_FROM an address as well.")
            raise UnusableSetting(sentence, "PATROUILLE_SMTP_HOST", self.smtp_host)
        for name in ("mail_from", "mail_reply_to"):
            address = getattr(self, name)
            try:
                if address:
                    mail_address(address)
            except ValueError as error:
                sentence = N_(
                    "{variable} is {value}: give it an address such as parking@example.org."
                )
                variable = f"PATROUILLE_{name.upper()}"
                raise UnusableSetting(sentence, variable, address) from error
        if not self.smtp_password.isascii():
            # Neither the way of signing in nor Python's library carries others alike everywhere.
            sentence = N_("{variable} has characters that are not ASCII: choose another password.")
            raise UnusableSetting(sentence, "PATROUILLE_SMTP_PASSWORD", "")

    @property
    def index_dir(self) -> Path:
        """The index files, one folder a site."""
        return self.data_dir / "index"

    @property
    def snapshot_dir(self) -> Path:
        """Snapshots for handhelds, one folder a site."""
        return self.data_dir / "snapshots"

    @property
    def photo_dir(self) -> Path:
        """Photos of infractions, by their SHA-256."""
        return self.data_dir / "photos"

    @property
    def attachment_dir(self) -> Path:
        """What people attached, by the SHA-256 of what is kept of it."""
        return self.data_dir / "attachments"

    @property
    def attachment_key_file(self) -> Path:
        """The file with the key of encrypted attachments."""
        return self.attachment_key or self.data_dir / "attachment.key"
