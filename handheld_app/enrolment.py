"""What an enrolment asks for: an address, a code, and perhaps whose certificates to believe."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

SCHEME = "patrouille"
_PIN_BYTES = hashlib.sha256().digest_size


class NotALink(ValueError):
    """It begins like an enrolment link, and is not a whole one."""


@dataclass(frozen=True, slots=True)
class EnrolmentLink:
    """`patrouille://enrol?server=…&code=…&ca=…`, as a QR code holds it.

    `pin`: the SHA-256 of the certificate (DER) of the private authority that vouches for the
    service; None: the authorities that the device trusts by itself.
    """

    server: str
    code: str = field(repr=False)
    pin: bytes | None = None


def is_link(text: str) -> bool:
    """Whether it wants to be an enrolment link."""
    return text.strip().lower().startswith(f"{SCHEME}:")


def parse_link(text: str) -> EnrolmentLink:
    """Read an enrolment link. Raises NotALink."""
    try:
        parts = urlsplit(text.strip())
        # Blank ones too: an empty pin is not the same as none.
        facts = parse_qsl(
            parts.query, keep_blank_values=True, strict_parsing=True, max_num_fields=16
        )
    except ValueError as error:
        raise NotALink(str(error)) from error
    if parts.scheme != SCHEME or parts.netloc.lower() != "enrol" or parts.path.strip("/"):
        raise NotALink("this is no enrolment link")
    told = dict(facts)
    if len(told) != len(facts) or not (told.get("server") and told.get("code")):
        raise NotALink("the link must tell one server and one code")
    return EnrolmentLink(told["server"], told["code"], _pin(told["ca"]) if "ca" in told else None)


def asked(server: str, code: str) -> EnrolmentLink:
    """What was typed, pasted or given: an address and a code, or a link in place of either.

    Raises NotALink.
    """
    for text in (server, code):
        if is_link(text):
            return parse_link(text)
    return EnrolmentLink(server.strip(), code.strip())


def pinned(pem: str, pin: bytes) -> str | None:
    """Of the certificates in a PEM text, the one with that SHA-256, if a program can use it."""
    for begins in pem.split(ssl.PEM_HEADER)[1:]:
        body, footer, _ = begins.partition(ssl.PEM_FOOTER)
        certificate = f"{ssl.PEM_HEADER}{body}{footer}\n"
        try:
            der = ssl.PEM_cert_to_DER_cert(certificate)
            if hashlib.sha256(der).digest() == pin:
                ssl.create_default_context(cadata=der)
                return ssl.DER_cert_to_PEM_cert(der)
        except (ValueError, ssl.SSLError):
            continue
    return None


def _pin(text: str) -> bytes:
    try:
        pin = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotALink("the authority's pin is not base64url") from error
    if len(pin) != _PIN_BYTES:
        raise NotALink("the authority's pin is not a SHA-256")
    return pin
