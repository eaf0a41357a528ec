"""The office is the feeder of the sites that it has products of, and alive while the service is.

Otherwise handhelds would warn of old data (DOMAIN 2.7) after a quiet day. A site that another
system feeds, since a feeder's key is good there, is as fresh as that system's last contact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import counters, products
from enforcement_api.feed import store as feed
from enforcement_api.staff import keys

EVERY = timedelta(minutes=5)
"""Much less than the hour after which a site's data may be called old."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Keeps the sites fresh that the office feeds. `fed`: told of each."""

    record: Record
    now: Callable[[], datetime]
    fed: Callable[[str], None]

    def keep(self) -> int:
        """Be in contact with the sites that were not heard of for a while; how many."""
        at = self.now()
        due = self.record.read(lambda tx: sites_due(tx, at - EVERY))
        if not due:
            return 0

        def work(tx: Connection) -> None:
            for site in due:
                feed.fed(tx, site, at)

        self.record.write(work)
        for site in due:
            self.fed(site)
        return len(due)


def sites_due(tx: Connection, before: datetime) -> list[str]:
    """The sites that the office alone feeds, and was last in contact with before an instant."""
    c = counters.c
    offered = select(products.c.site).where(products.c.active)
    is_old = or_(c.fed_at.is_(None), c.fed_at <= before)
    found = tx.execute(select(c.site).where(c.site.in_(offered), is_old).order_by(c.site))
    fed = keys.sites_of_feeders(tx)
    return [site for site in found.scalars() if fed is not None and site not in fed]
