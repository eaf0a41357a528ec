"""Real cashiers and a real provider, killed with SIGKILL at the moments that matter: no amount is
lost, none is charged twice. What the record says is compared with the provider's own ledger.
"""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from enforcement_api.subscriptions.cashier import CLAIM
from tests import charging
from tests.local_provider import (
    WITHIN_S,
    Line,
    local_provider,
    shared_provider,
    wait_for,
)
from tests.paying import PRICE, Till, line, service, till
from tests.service import running

__all__ = ["line", "service", "shared_provider", "till"]


class Cashier:
    """The process."""

    def __init__(self, till: Till, folder: Path) -> None:
        self._log = folder / "cashier.log"
        self.process = charging.start(till.service, self._log)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_until(self, reached: threading.Event) -> None:
        wait_for(lambda: reached.is_set() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(WITHIN_S)


@pytest.fixture
def cashiers(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Those that a test started, ended after it."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait(WITHIN_S)


def is_purchase(method: str, path: str) -> bool:
    return method == "PUT" and path.startswith("/v1/orders/")


def assert_paid_once(till: Till, subscription: str) -> None:
    assert till.state(subscription) == "paid"
    (order,) = till.orders(subscription)
    assert (order.outcome, order.amount_cents) == ("charged", PRICE)
    assert till.payment(subscription)["reference"] == order.transaction
    assert till.history(subscription).count("payment-received") == 1
    assert [kind for kind, _ in till.letters(subscription)] == ["payment_received"]
    assert till.office.get(subscription)["balance_cents"] == 0


@pytest.mark.parametrize("arrives", [False, True], ids=["lost with it", "arrives later"])
def test_cashier_killed_after_its_claim_before_the_charge(
    till: Till,
    line: Line,
    tmp_path: Path,
    cashiers: list[subprocess.Popen[bytes]],
    arrives: bool,
) -> None:
    """What it asked may still arrive when it is dead."""
    subscription = till.subscribed()
    line.holds = is_purchase
    cashier = Cashier(till, tmp_path)
    cashiers.append(cashier.process)
    cashier.wait_until(line.held)
    assert till.payment(subscription)["is_under_way"]
    cashier.kill()
    line.is_cut = not arrives
    line.release()
    if arrives:
        wait_for(lambda: till.orders(subscription))
    line.is_cut = False
    assert till.charge_due() == 0, "the claim is not over"
    till.service.clock.advance(seconds=CLAIM.total_seconds())
    assert till.charge_due() == 1
    assert_paid_once(till, subscription)


def test_cashier_killed_between_the_charge_and_its_record(
    till: Till, line: Line, tmp_path: Path, cashiers: list[subprocess.Popen[bytes]]
) -> None:
    subscription = till.subscribed()
    line.holds_answer = is_purchase
    cashier = Cashier(till, tmp_path)
    cashiers.append(cashier.process)
    cashier.wait_until(line.held)
    assert till.taken(subscription) == PRICE
    assert till.state(subscription) == "due"
    cashier.kill()
    line.release()
    till.service.clock.advance(seconds=CLAIM.total_seconds())
    assert till.charge_due() == 1
    assert_paid_once(till, subscription)


def test_cashier_killed_after_its_record(
    till: Till, line: Line, tmp_path: Path, cashiers: list[subprocess.Popen[bytes]]
) -> None:
    subscription = till.subscribed()
    cashier = Cashier(till, tmp_path)
    cashiers.append(cashier.process)
    wait_for(lambda: charging.DONE in cashier.log() or cashier.process.poll() is not None)
    assert cashier.process.poll() is None, cashier.log()
    cashier.kill()
    assert_paid_once(till, subscription)
    till.service.clock.advance(days=2)
    assert till.charge_due() == 0
    assert_paid_once(till, subscription)


def test_provider_killed_between_its_commit_and_its_answer(
    tmp_path: Path, database_url: str | None
) -> None:
    with local_provider(tmp_path / "provider") as provider:
        line = Line(provider)
        with running(tmp_path, database_url=database_url, **line.settings) as service:
            till = Till(service, provider)
            subscription = till.subscribed()
            line.holds_answer = line.loses = is_purchase
            asking = threading.Thread(target=till.charge_due)
            asking.start()
            assert line.held.wait(WITHIN_S)
            provider.kill()
            line.release()
            asking.join(WITHIN_S)
            line.loses = lambda method, path: False
            till.service.clock.advance(minutes=1)
            assert till.charge_due() == 0, "it is not there"
            provider.start()
            till.service.clock.advance(hours=1)
            assert till.charge_due() == 1
            assert_paid_once(till, subscription)
        line.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_provider_killed_at_random_again_and_again(
    tmp_path: Path, database_url: str | None
) -> None:
    dice = random.Random(1)
    with (
        local_provider(tmp_path / "provider") as provider,
        running(tmp_path, database_url=database_url, **provider.settings) as service,
    ):
        till = Till(service, provider)
        subscriptions = [till.subscribed(plate=f"AB{n} 123") for n in range(6)]
        for _ in range(4):
            asking = threading.Thread(target=till.charge_due)
            asking.start()
            asking.join(dice.uniform(0, 0.05))
            provider.kill()
            asking.join(WITHIN_S)
            provider.start()
            service.clock.at += timedelta(minutes=10)
        for _ in range(20):  # one that was not answered for an hour is tried again after another
            till.charge_due()
            service.clock.at += timedelta(minutes=10)
            if all(till.state(subscription) == "paid" for subscription in subscriptions):
                break
        for subscription in subscriptions:
            assert_paid_once(till, subscription)
