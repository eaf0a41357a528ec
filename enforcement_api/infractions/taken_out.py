"""Who took what out of the log, in the audit log of its site: an export has an entry when it begins
and one when it ends, so that what left is known even if the service dies meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry


def begun(
    tx: Connection,
    id: str,
    *,
    site: str,
    form: str,
    filters: Mapping[str, Sequence[str]],
    columns: Sequence[str],
    by: str,
    at: datetime,
) -> None:
    """An export of a part of the log begins. `filters`: what it is asked for, by name."""
    facts = {
        "form": form,
        "filters": {name: list(values) for name, values in filters.items()},
        "columns": list(columns),
    }
    audit.append(tx, Entry(at, by, "export-begun", f"export:{id}", facts), site=site)


def ended(
    tx: Connection, id: str, *, site: str, rows: int, state: str, by: str, at: datetime
) -> None:
    """An export has ended, in this state, after so many infractions were made ready to be sent."""
    facts = {"rows": rows, "state": state}
    audit.append(tx, Entry(at, by, "export-ended", f"export:{id}", facts), site=site)


def case_file(tx: Connection, id: str, *, site: str, language: str, by: str, at: datetime) -> None:
    """The case file of an infraction was made for somebody."""
    entry = Entry(at, by, "case-file-made", f"case-file:{id}", {"language": language})
    audit.append(tx, entry, site=site)
