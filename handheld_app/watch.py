"""The checks that a patrol made, and the alerts that they give: this handheld's and others'."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from handheld_app import alerts
from handheld_app.alerts import Alert, Seen
from handheld_app.briefing import Briefing
from handheld_app.drafts import Sighting
from handheld_app.notebook import Notebook, Page
from sync.entities import HotlistEntry, Notice
from sync.plates import Plate
from sync.validity import Verdict, has_ended

KEPT = timedelta(days=2)
"""For how long checks are remembered here; the service keeps its own log (DOMAIN 6)."""

MOST_RECENT = 20
"""Checks that are one swipe away."""


@dataclass(frozen=True, slots=True)
class PastCheck:
    """A check that was made here."""

    id: str
    at: datetime
    plate: Plate
    verdict: Verdict
    zone: str
    permit_number: str


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of a plate besides its permits."""

    hotlist: Sequence[HotlistEntry]
    notices: Sequence[Notice]


class Watch:
    """Checks and alerts, in the notebook. `briefing` is what the service told last."""

    def __init__(self, notebook: Notebook, briefing: Callable[[], Briefing]) -> None:
        self._notebook = notebook
        self._briefing = briefing

    def note(self, sighting: Sighting, id: str, *, place: str, lot: str | None) -> None:
        """Remember a check. Writes to disk."""
        check = sighting.check
        body = {
            "site": sighting.site.id,
            "plate": check.plate.text,
            "jurisdiction": check.plate.jurisdiction,
            "verdict": sighting.verdict,
            "zone": check.zone.id,
            "lot": lot,
            "place": place,
        }
        at = sighting.at
        self._notebook.keep("check", id, body, at=at, key=number_of(sighting) or "")
        self._notebook.forget_before("check", at - KEPT)
        self._notebook.forget_before("alert", at - KEPT)

    def recent(self, site: str, *, most: int = MOST_RECENT) -> list[PastCheck]:
        """The last checks at the site, the latest first, each plate once."""
        found: dict[Plate, PastCheck] = {}
        for page in self._notebook.latest("check", most=most * 3):
            if page.body.get("site") == site:
                check = _past(page)
                found.setdefault(check.plate, check)
        return list(found.values())[:most]

    def alerts(
        self,
        sighting: Sighting,
        known: Knowledge,
        *,
        holds: Callable[[Plate, str], bool],
        is_stale: bool,
        since: datetime | None,
    ) -> list[Alert]:
        """What must not be missed about what was checked, the gravest first. `holds`: whether a
        plate has a permit of that number that has not ended; `since`: the start of the shift,
        before which nothing counts as acknowledged.
        """
        settings = self._briefing().settings
        check, site, at = sighting.check, sighting.site, sighting.at
        midnight = at.astimezone(ZoneInfo(site.time_zone)).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        # A plate that another took the place of has its permit no more, and is no second vehicle.
        numbers = [
            permit.permit_number for permit in check.judgement.permits if not has_ended(permit, at)
        ]
        seen = self._seen(numbers, site.id, at - settings.two_vehicles)
        found = [
            *alerts.hotlisted(known.hotlist, at),
            *alerts.two_vehicles(
                check.plate,
                numbers,
                (one for one in seen if holds(one.plate, one.permit_number)),
                at=at,
                within=settings.two_vehicles,
            ),
            *alerts.repeated(known.notices, at=at, within=settings.repeat, since_midnight=midnight),
            *alerts.no_notice(site.no_notice, check.zone.id, at),
        ]
        if is_stale:
            found.append(Alert("stale", "stale", False))
        return found

    def _seen(self, numbers: Iterable[str], site: str, begins: datetime) -> Iterable[Seen]:
        wanted = set(numbers)
        for number in wanted:
            for page in self._notebook.keyed("check", number, begins):
                if page.body.get("site") == site:
                    past = _past(page)
                    place = str(page.body.get("place") or page.body.get("lot") or "")
                    yield Seen(past.plate, number, past.zone, place, past.at, "")
        for other in self._briefing().checks:
            if other.permit_number in wanted:
                yield Seen(
                    Plate(other.plate, other.jurisdiction),
                    other.permit_number,
                    other.zone,
                    other.place or other.lot or "",
                    other.at,
                    other.device,
                )

    def is_acknowledged(self, alert: Alert, since: datetime | None) -> bool:
        """Whether somebody has said in this shift that they saw it."""
        page = self._notebook.page("alert", alert.id)
        return page is not None and (since is None or page.at >= since)

    def acknowledge(self, alert: Alert, at: datetime) -> None:
        """Somebody saw it. Writes to disk."""
        self._notebook.keep("alert", alert.id, {"kind": alert.kind}, at=at)


def number_of(sighting: Sighting) -> str | None:
    """The number of the permit that decides; None without one."""
    permits = sighting.check.judgement.permits
    return permits[0].permit_number if permits else None


def _past(page: Page) -> PastCheck:
    body = page.body
    return PastCheck(
        page.id,
        page.at,
        Plate(str(body["plate"]), str(body["jurisdiction"])),
        body["verdict"],
        str(body["zone"]),
        page.key,
    )
