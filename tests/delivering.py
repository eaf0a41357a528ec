"""A courier as a process of its own, to be killed: python -m tests.delivering URL PORT INSTANT."""

from __future__ import annotations

import sys
from pathlib import Path

from enforcement_api.database.engine import Record
from enforcement_api.settings import Settings
from enforcement_api.subscriptions.post import Courier
from sync.codec import parse_instant


def main(url: str, port: str, at: str) -> None:
    """One round, at an instant that is given."""
    settings = Settings(
        Path("unused"),
        url,
        smtp_host="127.0.0.1",
        smtp_port=int(port),
        smtp_security="none",
        mail_from="parking@example.org",
    )
    record = Record(url)
    Courier(record, settings, now=lambda: parse_instant(at)).deliver_due()
    record.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
