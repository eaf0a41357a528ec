"""Charging what is due: each amount once, through crashes, lost answers and several processes.

    claim (commit) -> ask the provider -> write down what it said (commit)

The order id is in the record, and the payment claimed, before anybody is asked. Whoever dies in
between leaves both: when the claim is over, the next one asks for the same order, which the
provider has charged once at most. A request is given up long before a claim is over, so that
nobody still asks then; should somebody, it would be for the same order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.permits.core import day_begins
from enforcement_api.problems import N_, StorageFailed, translation
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import payments, store
from enforcement_api.subscriptions.core import PaymentMethod, Subscription
from enforcement_api.subscriptions.office import Office
from enforcement_api.subscriptions.payments import Page, Payment
from enforcement_api.subscriptions.providers import (
    Card,
    Charged,
    Declined,
    Outcome,
    Provider,
    ProviderUnreachable,
    RefundRefused,
)
from enforcement_api.subscriptions.store import Action
from sync import codec

CLAIM = timedelta(minutes=5)
"""How long whoever asks has the payment for themselves: far longer than asking takes."""
MOST_AT_ONCE = 100
SERVICE = "service"
"""Who does what the clock brings."""

Tell = Callable[[Connection, Subscription, str, str, dict[str, Any], datetime], None]
"""Writes a letter to the holder of a subscription, in the transaction: its kind, its key, what it
says besides, and when."""

_log = logging.getLogger(__name__)

_REASONS = {
    "card_declined": N_("The card was declined."),
    "unknown_card": N_("The payment provider does not know the card any more."),
    payments.NO_CARD: N_("There is no card that could be charged."),
}
"""Why a charge failed, as holders are told."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """What is to be asked of the provider."""

    ask: Literal["purchase", "look_up", "refund"]
    subscription: str
    payment: Payment
    token: str = field(default="", repr=False)
    was_asked: bool = False


class Cashier:
    """Charges, gives back, and suspends what is not paid within its days of grace."""

    def __init__(
        self,
        record: Record,
        provider: Provider | None,
        office: Office,
        *,
        now: Callable[[], datetime],
        tell: Tell,
        retry: timedelta,
        follow: Callable[[str], None] = lambda site: None,
    ) -> None:
        """`provider`: None charges nothing. `retry`: how long after a declined charge the next is
        tried. `follow`: told of sites whose permits changed.
        """
        self._record, self._provider, self._office = record, provider, office
        self._now, self._tell, self._retry, self._follow = now, tell, retry, follow

    def charge_due(self) -> int:
        """Do what is due now; how many payments went on. Raises StorageFailed, RecordUnavailable,
        RecordBusy: what was not done is done the next time.
        """
        return self._try_due() + self._suspend_unpaid()

    def take_card(self, page: Page, card: Card) -> None:
        """A card was given on a page: it takes the place of the one before, once, and what could
        not be paid by that one is tried at once.
        """
        at = self._at()

        def write(tx: Connection) -> None:
            subscription = store.subscription(tx, page.subscription, lock=True)
            if not payments.complete_page(tx, page, at=at):
                return
            if subscription.status(at) not in ("requested", "waiting", "active", "suspended"):
                return  # nothing will be charged: no token is kept
            method = PaymentMethod(
                "card", token=card.token, brand=card.brand, last4=card.last4, expiry=card.expiry
            )
            self._office.set_payment(tx, subscription.id, method, action=Action(SERVICE, at))
            payments.hurry(tx, subscription.site, subscription.id, at=at)

        self._record.write(write)

    def try_now(self, subscription: str, payment: str) -> None:
        """Ask the provider about one payment at once, if it is due. Raises ProviderUnreachable,
        RefundRefused: it is asked again by `charge_due`.
        """
        claim = self._record.write(lambda tx: self._claim(tx, subscription, payment))
        if claim is not None:
            self._carry_out(claim)

    # charging

    def _at(self) -> datetime:
        return self._now().replace(microsecond=0)

    def _try_due(self) -> int:
        if self._provider is None:
            return 0
        at, done = self._at(), 0
        due = self._record.read(lambda tx: payments.to_try(tx, at, limit=MOST_AT_ONCE))
        for subscription, payment in due:
            try:
                self.try_now(subscription, payment)
                done += 1
            except ProviderUnreachable as problem:
                _log.warning("payments wait: %s", problem)
                break  # the others would not be answered either
            except RefundRefused as problem:
                _log.warning("payment %s: %s", payment, problem)
                done += 1
            except StorageFailed:
                raise
            except Exception:
                _log.exception("payment %s failed; it is tried again", payment)
        return done

    def _claim(self, tx: Connection, subscription_id: str, id: str) -> _Claim | None:
        """Claim a payment, or settle one for which nobody is to be asked."""
        at = self._at()
        subscription = store.subscription(tx, subscription_id, lock=True)
        payment = payments.payment(tx, subscription, id)
        if self._provider is None or not payments.is_to_try(payment, at):
            return None
        token = _token(subscription)
        if payment.state == "refunding":
            ask: Literal["purchase", "look_up", "refund"] = "refund"
        elif not payments.is_chargeable(subscription, at) or token is None:
            if not payment.is_under_way:
                self._without_asking(tx, subscription, payment, at)
                return None
            # The order may have been charged; it is not asked for again.
            ask = "look_up"
        else:
            ask = "purchase"
        claimed = payments.asked(payment, at=at, until=at + CLAIM)
        payments.save(tx, claimed)
        return _Claim(ask, subscription.id, claimed, token or "", payment.is_under_way)

    def _without_asking(
        self, tx: Connection, subscription: Subscription, payment: Payment, at: datetime
    ) -> None:
        if payments.is_chargeable(subscription, at):
            self._declined(tx, subscription, payment, payments.NO_CARD, at, next_try_at=None)
        else:
            self._stop(tx, subscription, payment, at)

    def _carry_out(self, claim: _Claim) -> None:
        """Ask, and write down the answer."""
        try:
            outcome = self._ask(claim)
        except ProviderUnreachable:
            self._write_down(claim, self._unanswered)
            raise
        except RefundRefused:
            self._write_down(claim, self._not_refunded)
            raise
        self._write_down(
            claim, lambda tx, s, payment, at: self._decided(tx, s, payment, claim, outcome, at)
        )
        self._follow(claim.payment.site)

    def _ask(self, claim: _Claim) -> Outcome | None:
        assert self._provider is not None
        payment = claim.payment
        if claim.ask == "refund":
            assert payment.refund is not None
            assert payment.charge is not None
            self._provider.refund(
                payment.refund,
                order=payment.order,
                charge=payment.charge,
                amount_cents=payment.amount_cents,
            )
            return None
        if claim.ask == "look_up":
            return self._provider.look_up(payment.order)
        return self._provider.purchase(
            payment.order, token=claim.token, amount_cents=payment.amount_cents
        )

    def _write_down(
        self,
        claim: _Claim,
        what: Callable[[Connection, Subscription, Payment, datetime], None],
    ) -> None:
        """What came of asking, unless somebody wrote it down already."""

        def write(tx: Connection) -> None:
            subscription = store.subscription(tx, claim.subscription, lock=True)
            payment = payments.payment(tx, subscription, claim.payment.id)
            asked = (claim.payment.order, claim.payment.refund)
            if payment.is_under_way and (payment.order, payment.refund) == asked:
                what(tx, subscription, payment, self._at())

        self._record.write(write)

    # What came of asking

    def _unanswered(
        self, tx: Connection, subscription: Subscription, payment: Payment, at: datetime
    ) -> None:
        payments.save(tx, payments.unanswered(payment, at=at))

    def _not_refunded(
        self, tx: Connection, subscription: Subscription, payment: Payment, at: datetime
    ) -> None:
        payments.save(tx, payments.not_refunded(payment))
        self._remember(tx, payment, "refund-refused", at)

    def _decided(
        self,
        tx: Connection,
        subscription: Subscription,
        payment: Payment,
        claim: _Claim,
        outcome: Outcome | None,
        at: datetime,
    ) -> None:
        if claim.ask == "refund":
            payments.save(tx, payments.refunded(payment, at=at))
            self._remember(tx, payment, "refunded", at)
        elif isinstance(outcome, Charged):
            self._charged(tx, subscription, payment, outcome.charge, at)
        elif not payments.is_chargeable(subscription, at):
            self._stop(tx, subscription, payment, at)
        elif isinstance(outcome, Declined):
            next_try_at = at if self._has_new_card(tx, subscription, payment, claim) else None
            self._declined(tx, subscription, payment, outcome.reason, at, next_try_at=next_try_at)
        elif _token(subscription) is None:  # the order never came, and there is no card any more
            self._declined(tx, subscription, payment, payments.NO_CARD, at, next_try_at=None)
        else:  # it never came, and a card was given while we asked: next time it is charged
            payments.save(tx, payments.unanswered(payment, at=at))

    def _charged(
        self, tx: Connection, subscription: Subscription, payment: Payment, charge: str,
        at: datetime,
    ) -> None:  # fmt: skip
        payments.save(tx, payments.charged(payment, charge, at=at))
        self._remember(tx, payment, "payment-received", at, order=payment.order)
        self.tell_received(tx, subscription, payment, at)
        is_suspended = subscription.status(at) == "suspended"
        others = payments.of_subscription(tx, payment.site, subscription.id)
        if (
            is_suspended
            and subscription.suspended_for == "payment"
            and not any(other.state == "failed" for other in others)
        ):
            self._office.resume(tx, subscription.id, action=Action(SERVICE, at))

    def tell_received(
        self, tx: Connection, subscription: Subscription, payment: Payment, at: datetime
    ) -> None:
        """Write to the holder that an amount came."""
        by_card = payment.method == "card" and subscription.payment is not None
        facts = {
            "amount_cents": payment.amount_cents,
            "period_from": payment.period_from.isoformat(),
            "period_until": payment.period_until and payment.period_until.isoformat(),
            "card_last4": subscription.payment.last4
            if by_card and subscription.payment is not None
            else None,
        }
        key = f"payment_received:{payment.id}"
        self._tell(tx, subscription, "payment_received", key, facts, at)

    def _declined(
        self,
        tx: Connection,
        subscription: Subscription,
        payment: Payment,
        reason: str,
        at: datetime,
        *,
        next_try_at: datetime | None,
    ) -> None:
        """`next_try_at`: None for as long after this as the settings say."""
        failed = payments.declined(
            payment,
            reason,
            at=at,
            next_try_at=next_try_at or at + self._retry,
            grace_until=_grace_until(tx, subscription, at),
        )
        payments.save(tx, failed)
        self._remember(tx, payment, "payment-failed", at, order=payment.order, cause=reason)
        if payment.failed_since is None:
            language = store.holder(tx, subscription.holder).language
            told = _REASONS.get(reason, _REASONS["card_declined"])
            facts = {
                "amount_cents": payment.amount_cents,
                "reason": translation(language).gettext(told),
                "grace_until": codec.optional_instant(failed.grace_until),
                "next_try_at": codec.optional_instant(failed.next_try_at),
            }
            key = f"payment_failed:{payment.id}"
            self._tell(tx, subscription, "payment_failed", key, facts, at)

    def _stop(
        self, tx: Connection, subscription: Subscription, payment: Payment, at: datetime
    ) -> None:
        """Nothing more is charged for a subscription that is over. What one that has ended owes
        stays owed, for staff to see to.
        """
        if subscription.status(at) == "ended":
            payments.save(tx, payments.given_up(payment))
            return
        payments.save(tx, payments.voided(payment, at=at))
        self._remember(tx, payment, "payment-void", at)

    def _has_new_card(
        self, tx: Connection, subscription: Subscription, payment: Payment, claim: _Claim
    ) -> bool:
        """Whether the card that was declined is not the one there is now."""
        if _token(subscription) != claim.token:
            return True
        # An order that was asked for before may have been declined for the card of then.
        return (
            claim.was_asked
            and payment.asked_at is not None
            and payments.has_card_since(tx, payment.site, subscription.id, payment.asked_at)
        )

    def _remember(
        self, tx: Connection, payment: Payment, what: str, at: datetime, **facts: Any
    ) -> None:
        store.remember(
            tx,
            payment.site,
            f"subscription:{payment.subscription}",
            what,
            Action(SERVICE, at),
            payment=payment.id,
            amount_cents=payment.amount_cents,
            **facts,
        )

    # Grace

    def _suspend_unpaid(self) -> int:
        at, done = self._at(), 0
        late = self._record.read(lambda tx: payments.beyond_grace(tx, at, limit=MOST_AT_ONCE))
        for subscription, payment in late:
            suspend = partial(self._suspend, subscription_id=subscription, id=payment)
            site = self._record.write(suspend)
            if site is not None:
                self._follow(site)
                done += 1
        return done

    def _suspend(self, tx: Connection, subscription_id: str, id: str) -> str | None:
        """Suspend for a payment that is not there yet; the site, if that was done."""
        at = self._at()
        subscription = store.subscription(tx, subscription_id, lock=True)
        payment = payments.payment(tx, subscription, id)
        if not payments.is_beyond_grace(payment, at):
            return None
        # Banks do not want to be asked for ever: now it takes another card.
        payments.save(tx, payments.given_up(payment))
        if subscription.status(at) not in ("waiting", "active"):
            return None
        self._office.suspend(tx, subscription.id, why="payment", action=Action(SERVICE, at))
        facts = {"amount_cents": payment.amount_cents}
        key = f"payment_suspended:{payment.id}"
        self._tell(tx, subscription, "payment_suspended", key, facts, at)
        return subscription.site


def _token(subscription: Subscription) -> str | None:
    method = subscription.payment
    return None if method is None or method.kind != "card" else method.token


def _grace_until(tx: Connection, subscription: Subscription, at: datetime) -> datetime:
    """The end of the last local day of grace: days are counted as the site has them."""
    site = sites.site(tx, subscription.site)
    days = store.product(tx, subscription.site, subscription.product).grace_days
    today = at.astimezone(ZoneInfo(site.time_zone)).date()
    return day_begins(today + timedelta(days=days + 1), site.time_zone)
