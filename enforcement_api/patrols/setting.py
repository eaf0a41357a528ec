"""What is set for the patrols of a site is changed in one way, whoever asks: in one transaction
with the entry in the log, and never over what somebody else set meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.engine import Record
from enforcement_api.patrols import store
from enforcement_api.patrols.core import PatrolSettings
from enforcement_api.security import Principal
from enforcement_api.sites import store as sites
from enforcement_api.sites.pieces import Seen


def pieces(of: PatrolSettings) -> dict[str, Mapping[str, Any]]:
    """The parts in which it is changed, field by field: `settings`, and `texts`, in which a field
    is `avis/fr/footer`, say.
    """
    shown = of.model_dump(mode="json")
    texts = dict(_flat(shown["texts"], ""))
    return {"settings": shown["settings"], "texts": texts}


def _flat(part: Mapping[str, Any], before: str) -> list[tuple[str, Any]]:
    return [
        found
        for name, value in part.items()
        for found in (
            _flat(value, f"{before}{name}/")
            if isinstance(value, Mapping)
            else [(f"{before}{name}", value)]
        )
    ]


def change(
    record: Record,
    site: str,
    edit: Callable[[PatrolSettings], PatrolSettings],
    *,
    seen: Seen | None,
    by: Principal,
    at: datetime,
) -> PatrolSettings:
    """Set something else for the patrols of a site; all of it as it is then. Handhelds hear of it
    with their next briefing.

    `seen`: of the pieces, what the edit was made from (None: it does not matter what they were).
    Raises ForbiddenSite, UnknownSite, SiteChanged, and what the edit does.
    """
    by.check_site(site)

    def write(tx: Connection) -> PatrolSettings:
        sites.lock(tx, site)
        before = store.settings(tx, site)
        if seen is not None:
            seen.check_records(pieces(before))
        after = edit(before)
        store.put_settings(record, tx, site, after)
        facts = after.model_dump(mode="json")
        entry = Entry(at, by.actor, "replaced", f"patrol-settings:{site}", facts)
        audit.append(tx, entry, site=site)
        return after

    return record.write(write)
