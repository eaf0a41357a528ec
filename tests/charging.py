"""A cashier as a process of its own, to be killed: python -m tests.charging INSTANT.

Its settings are those of its environment. It charges what is due, says so, and goes on living.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from enforcement_api.app import Service as Parts
from enforcement_api.settings import Settings
from sync.codec import instant, parse_instant
from tests.service import Service

DONE = "done"


def start(service: Service, log: Path) -> subprocess.Popen[bytes]:
    """A cashier of this service's record, at this service's time."""
    known = service.settings
    settings = {
        "DATA_DIR": str(known.data_dir),
        "DATABASE_URL": known.database_url,
        "PAYMENT_PROVIDER": known.payment_provider,
        "PAYMENT_URL": known.payment_url,
        "PAYMENT_KEY": known.payment_key,
        "PAYMENT_WEBHOOK_SECRET": known.payment_webhook_secret,
    }
    given = {f"PATROUILLE_{name}": value for name, value in settings.items()}
    with open(log, "wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.charging", instant(service.clock())],
            env=dict(os.environ) | given,
            stdout=out,
            stderr=out,
        )


def main(at: str) -> None:
    parts = Parts(Settings.load(), now=lambda: parse_instant(at))
    parts.cashier.charge_due()
    print(DONE, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
