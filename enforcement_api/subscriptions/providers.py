"""Who charges cards: what the service asks of a payment provider, and the one for trials.

What is asked here is what Moneris Checkout and the Vault behind it offer, so that an implementation
for them bends nothing:

preload
    Checkout's preload request, with `txn_total` 0.00 and a configuration that tokenizes cards: a
    ticket. Its script draws the page from the ticket, so `url` is a page of ours that carries it,
    and goes to `return_url` on `payment_complete`. A ticket that nobody uses expires.
receipt
    Checkout's receipt request: an error as long as the page is not complete; then the data key of
    `tokenize`, the card's type, the end of `first6last4`, and the expiry.
purchase
    The Vault's purchase, with a data key, an order id (50 characters at most, unique among
    purchases for good), an amount, and the credential on file. A response code below 50 charged,
    one from 50 declined, and none (null) was not sent to the bank. "Duplicate order id" is answered
    by what `look_up` finds.
look_up
    The same transaction with its status check, which looks for it and charges nothing.
refund
    A refund of the order by its transaction number (`charge`). It gives back no more than what was
    not given back yet, so that the whole is given back once.
event
    Checkout's documentation names none: the page that completes tells us, and whoever looks asks
    for the receipt. `event` then believes nothing.

Two outcomes are kept apart. *Declined*: the bank says no, which is final for this order.
*Unreachable*: nobody knows; ask again for the same order, which is charged once at most.
Card numbers never come here: they are typed on the provider's page, and a token comes back.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

import httpx

from enforcement_api.problems import N_, Problem, Sentence
from enforcement_api.security import signature
from enforcement_api.settings import Settings
from enforcement_api.shapes import is_identifier
from sync.client import check_address, trusted_certificates
from sync.exchange import InsecureAddress

T = TypeVar("T")

LOCAL = "local"
ASKING_SECONDS = 30
"""How long an answer is waited for, all in all: less than a charge is claimed for."""
EVENT_SECONDS = 300
"""How far an event's timestamp may lie from now."""

_STEP_SECONDS = 10
_LARGEST_ANSWER = 64 * 1024


class NoProvider(Problem):
    """Cards cannot be charged here."""

    status = 409
    slug = "no-payment-provider"
    title = N_("This service charges no cards")
    detail = N_(
        "Take a void cheque instead, or name a payment provider in the service's settings"
        " (PATROUILLE_PAYMENT_PROVIDER) and start it again."
    )


class UnusableProvider(Problem):
    """Settings with which no provider can be asked."""

    status = 503
    slug = "unusable-payment-provider"
    title = N_("The payment provider's settings cannot be used")
    detail = N_("{reason}")


class ProviderUnreachable(Problem):
    """The provider did not answer, or not so that it can be understood: nobody knows."""

    status = 503
    slug = "payment-provider-unreachable"
    title = N_("The payment provider does not answer")
    detail = N_("Nothing is lost or charged twice: try again in {retry_after} seconds. {reason}")

    def __init__(self, reason: str) -> None:
        super().__init__(retry_after=30, reason=reason)


class PageGone(Problem):
    """A page that nobody completed in time."""

    status = 410
    slug = "payment-page-gone"
    title = N_("The payment page is no longer open")
    detail = N_("Nobody gave a card on it in time. Open another one, under a new id.")


class RefundRefused(Problem):
    """The provider gives nothing back for this order."""

    status = 409
    slug = "refund-refused"
    title = N_("The payment provider refuses the refund")
    detail = N_("It says that there is nothing to give back: look at the payment in its own pages.")


class EventNotBelieved(Problem):
    """An event that the provider did not sign, or not lately."""

    status = 403
    slug = "event-not-believed"
    title = N_("This event is not the payment provider's")
    detail = N_("Sign it with the secret that both know, and send it within five minutes.")


@dataclass(frozen=True, slots=True)
class HostedPage:
    """A page on which one person gives a card."""

    ticket: str
    url: str


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a card. `token` stands for it at the provider; `expiry` as `2028-05`."""

    token: str = field(repr=False)
    brand: str
    last4: str
    expiry: str


@dataclass(frozen=True, slots=True)
class Charged:
    """The money was taken; `charge` is the provider's own name for it."""

    charge: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The bank said no, for good as far as this order goes. `reason`: a word such as
    `card_declined`.
    """

    reason: str


Outcome = Charged | Declined


@dataclass(frozen=True, slots=True)
class Event:
    """What the provider says is worth a look: a ticket, or an order."""

    ticket: str | None = None
    order: str | None = None


class Provider(Protocol):
    """A payment provider. Threads share it. Every method raises ProviderUnreachable."""

    def preload(self, *, language: str, return_url: str) -> HostedPage:
        """Open a page. The person is sent to `return_url` with the ticket as `ticket`."""

    def receipt(self, ticket: str) -> Card | None:
        """The card that was given on a page; None: not yet. Raises PageGone."""

    def purchase(self, order: str, *, token: str, amount_cents: int) -> Outcome:
        """Charge a card. An order that was asked for before is not charged again: its outcome is
        that of the first time, whatever card it is asked for with now.
        """

    def look_up(self, order: str) -> Outcome | None:
        """What became of an order; None: it never came."""

    def refund(self, refund: str, *, order: str, charge: str, amount_cents: int) -> None:
        """Give back what an order took, once, however often it is asked. Raises RefundRefused."""

    def event(self, headers: Mapping[str, str], body: bytes, *, at: datetime) -> Event:
        """What a message says, if the provider sent it lately. Raises EventNotBelieved."""

    def close(self) -> None:
        """Ask nothing more."""


class LocalProvider:
    """The provider for trials (`enforcement_api.local_provider`), over HTTP."""

    def __init__(self, url: str, *, key: str, webhook_secret: str) -> None:
        """Raises UnusableProvider."""
        try:
            address = check_address(url)
        except InsecureAddress as error:
            raise UnusableProvider(reason=Sentence(_ADDRESS)) from error
        if not key:
            raise UnusableProvider(reason=Sentence(_KEY))
        self._secret = webhook_secret
        self._http = httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"},
            timeout=_STEP_SECONDS,
            # Requests are few: one that met a connection just closed would be an outcome unknown.
            limits=httpx.Limits(max_keepalive_connections=0),
            # Authorities are read from the disk only where there is a certificate to judge.
            verify=trusted_certificates() if address.startswith("https:") else False,
            trust_env=False,
        )

    def preload(self, *, language: str, return_url: str) -> HostedPage:
        """Open a page."""
        wanted = {"language": language, "return_url": return_url}
        status, found = self._ask("POST", "/v1/preloads", wanted)
        return _read(status, lambda: HostedPage(_text(found["ticket"]), _text(found["url"])))

    def receipt(self, ticket: str) -> Card | None:
        """The card that was given on a page."""
        status, found = self._ask("GET", f"/v1/receipts/{ticket}")
        if status in (404, 410):
            raise PageGone
        return _read(status, lambda: _card(found["card"]))

    def purchase(self, order: str, *, token: str, amount_cents: int) -> Outcome:
        """Charge a card, once for each order."""
        wanted = {"token": token, "amount_cents": amount_cents}
        status, found = self._ask("PUT", f"/v1/orders/{order}", wanted)
        if status == 409:  # it was asked for with another card, before that one was replaced
            known = self.look_up(order)
            if known is not None:
                return known
        return _read(status, lambda: _outcome(found))

    def look_up(self, order: str) -> Outcome | None:
        """What became of an order."""
        status, found = self._ask("GET", f"/v1/orders/{order}")
        return None if status == 404 else _read(status, lambda: _outcome(found))

    def refund(self, refund: str, *, order: str, charge: str, amount_cents: int) -> None:
        """Give back what an order took."""
        wanted = {"order": order, "amount_cents": amount_cents}
        status, found = self._ask("PUT", f"/v1/refunds/{refund}", wanted)
        if status in (404, 409):
            raise RefundRefused
        _read(status, lambda: found["outcome"])

    def event(self, headers: Mapping[str, str], body: bytes, *, at: datetime) -> Event:
        """What a signed message says."""
        timestamp = headers.get("payment-timestamp", "")
        given = headers.get("payment-signature", "").encode("utf-8", "surrogateescape")
        expected = signature(self._secret, timestamp, body).encode()
        is_signed = bool(self._secret) and hmac.compare_digest(given, expected)
        if not is_signed or not _is_recent(timestamp, at):
            raise EventNotBelieved
        return _event(body)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ask(
        self, method: str, path: str, wanted: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and answer. Raises ProviderUnreachable."""
        deadline = time.monotonic() + ASKING_SECONDS
        body = bytearray()
        try:
            with self._http.stream(method, path, json=wanted) as answer:
                for part in answer.iter_bytes():
                    body += part
                    if time.monotonic() > deadline or len(body) > _LARGEST_ANSWER:
                        raise ProviderUnreachable("It went on answering.")
                status = answer.status_code
            found = json.loads(body)
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            raise ProviderUnreachable(f"{type(error).__name__}") from error
        if status >= 500 or status in (401, 403, 429) or not isinstance(found, dict):
            raise ProviderUnreachable(f"HTTP {status}")
        return status, found


_ADDRESS = N_(
    "Set PATROUILLE_PAYMENT_URL to where the provider is reached: https, or http on this machine."
)
_KEY = N_("Set PATROUILLE_PAYMENT_KEY to the key that the provider gave you.")
_UNKNOWN = N_("PATROUILLE_PAYMENT_PROVIDER is {given}: use local, or unset it.")


def provider_of(settings: Settings) -> Provider | None:
    """The provider that the settings name; None: cards are not charged. Raises UnusableProvider."""
    if not settings.payment_provider:
        return None
    if settings.payment_provider != LOCAL:
        raise UnusableProvider(reason=Sentence(_UNKNOWN, given=settings.payment_provider))
    return LocalProvider(
        settings.payment_url,
        key=settings.payment_key,
        webhook_secret=settings.payment_webhook_secret,
    )


def _read(status: int, read: Callable[[], T]) -> T:
    """What an answer says. Raises ProviderUnreachable if it does not say that."""
    try:
        if status in (200, 201):
            return read()
    except (KeyError, TypeError, ValueError) as error:
        raise ProviderUnreachable("Its answer cannot be read.") from error
    raise ProviderUnreachable(f"HTTP {status}")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(value)
    return value


def _card(found: Any) -> Card | None:
    if found is None:
        return None
    return Card(*(_text(found[name]) for name in ("token", "brand", "last4", "expiry")))


def _outcome(found: Mapping[str, Any]) -> Outcome:
    if found["outcome"] == "charged":
        return Charged(_text(found["transaction"]))
    if found["outcome"] == "declined":
        return Declined(_text(found["reason"]))
    raise ValueError(found["outcome"])


def _is_recent(timestamp: str, at: datetime) -> bool:
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return False
    return abs(int(timestamp) - at.timestamp()) <= EVENT_SECONDS


def _event(body: bytes) -> Event:
    """The event of a body that is signed; one that names nothing that we know is none to us."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return Event()
    if not isinstance(told, dict):
        return Event()
    named = {name: told.get(name) for name in ("ticket", "order")}
    usable = {n: text for n, text in named.items() if isinstance(text, str) and is_identifier(text)}
    return Event(**usable)
