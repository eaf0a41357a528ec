"""A service's own certificate authority, fetched once and believed by its pin alone."""

from __future__ import annotations

import ssl

import httpx

from handheld_app.enrolment import pinned
from sync.exchange import Unreachable, Untrusted

_PATIENCE = 15.0
_LONGEST = 64 * 1024


class WrongAuthority(Untrusted):
    """Whoever answers there is not vouched for by the authority that the link names."""


def fetch_authority(
    address: str, pin: bytes, *, transport: httpx.BaseTransport | None = None
) -> str:
    """The authority's certificate (PEM), from `GET /v1/authority` of an address that nobody vouches
    for yet: nothing is sent there but the question, and nothing but the pinned one is taken.

    Raises Unreachable, WrongAuthority.
    """
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    try:
        with (
            httpx.Client(
                verify=unverified, transport=transport, trust_env=False, timeout=_PATIENCE
            ) as http,
            http.stream("GET", f"{address}/v1/authority") as response,
        ):
            body = b""
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > _LONGEST:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(str(error) or type(error).__name__) from error
    found = pinned(body[:_LONGEST].decode("ascii", "replace"), pin)
    if found is None:
        raise WrongAuthority("the authority is not the one that the enrolment names")
    return found
