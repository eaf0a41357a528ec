"""The chain: an entry is a text that holds the hash of the entry before it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sync import codec

INSTALLATION = ""
"""The chain of what belongs to no single site: keys, devices, accounts."""
BEGINNING = "0" * 64
"""What the first entry of a chain holds for the hash of the one before."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done. `by` is `key:<id>`, `device:<id>`, `staff:<id>`, `command` or
    `service`; `subject` what it was done to, such as `infraction:<id>`.
    """

    at: datetime
    by: str
    action: str
    subject: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def text_of(entry: Entry, *, chain: str, number: int, before: str) -> str:
    """The text that is kept and hashed: canonical JSON with its place in the chain."""
    return codec.canonical(
        {
            "chain": chain,
            "number": number,
            "before": before,
            "at": codec.instant(entry.at),
            "by": entry.by,
            "action": entry.action,
            "subject": entry.subject,
            "facts": entry.facts,
        }
    )


def hash_of(text: str) -> str:
    """The SHA-256 of an entry's text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def read(text: str) -> Entry:
    """The entry in a text."""
    found = json.loads(text)
    return Entry(
        at=codec.parse_instant(found["at"]),
        by=found["by"],
        action=found["action"],
        subject=found["subject"],
        facts=found["facts"],
    )
