"""A case: an infraction with all that the record holds about it, as of one instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Head, Witnessed
from enforcement_api.devices import store as devices
from enforcement_api.infractions import core, corrections, photos, store
from enforcement_api.infractions.core import Event, Infraction, Photo
from enforcement_api.infractions.corrections import Correction
from enforcement_api.infractions.lifecycle import Review
from enforcement_api.infractions.photos import StoredPhoto
from enforcement_api.permits import store as permits
from enforcement_api.permits.core import StoredPermit
from enforcement_api.permits.store import UnknownPermit
from enforcement_api.sites import store as sites
from enforcement_api.sites.core import SitePlan
from sync import codec
from sync.validity import Judgement

MOST_PERMITS = 40
"""Permits whose versions are told: some feeders may give a plate thousands."""
MOST_VERSIONS = 60
"""Versions of one permit that are told, the latest."""

Versions = tuple[tuple[int, StoredPermit], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of an infraction at an instant.

    `known_now`: the verdict as of the observation with all that is known at that instant; None
    without a plate. `versions`: of each permit that the handheld knew or that the plate has now,
    every version by sequence number (none: no version is kept any more), the latest
    MOST_VERSIONS; `permits_left_out`: of how many more there are none here. `corrections`: what
    corrects it, and what it corrects. `history`: the entries of the site's chain in the audit log,
    each proved by itself; `head`: the chain's last. `names`: what those who did something are
    called, as far as it is known.
    """

    at: datetime
    infraction: Infraction
    plan: SitePlan
    patroller: str | None
    known_now: Judgement | None
    versions: Mapping[str, Versions]
    permits_left_out: int
    photos: tuple[tuple[Photo, StoredPhoto | None], ...]
    reviews: tuple[Review, ...]
    corrections: tuple[Correction, ...]
    history: tuple[Witnessed, ...]
    head: Head
    names: Mapping[str, str]

    @property
    def differs(self) -> bool:
        """Whether the handheld's verdict is not the one known now."""
        return core.differs(self.infraction.sent.verdict, self.verdict)

    @property
    def verdict(self) -> str | None:
        """The verdict known now; None without a plate."""
        return None if self.known_now is None else self.known_now.verdict


def case(tx: Connection, id: str, *, at: datetime) -> Case:
    """The case of an infraction. Raises UnknownInfraction."""
    infraction = store.find(tx, id)
    sent = infraction.sent
    site = sent.site
    judgement = store.known_now(tx, infraction)
    ids = [permit.id for permit in sent.known]
    if judgement is not None:
        ids += [permit.id for permit in judgement.permits]
    if infraction.plate is not None:
        ids += sorted(permit.id for permit in permits.permits_for(tx, site, infraction.plate))
    named = list(dict.fromkeys(ids))
    reviews = store.reviews_of(tx, site, infraction.id)
    head, history = audit.witnessed(tx, f"infraction:{infraction.id}", site=site)
    patroller = sites.patroller_named(tx, site, sent.patroller)
    return Case(
        at=at,
        infraction=infraction,
        plan=sites.plan(tx, site),
        patroller=None if patroller is None else patroller.name,
        known_now=judgement,
        versions={id: _versions(tx, site, id) for id in islice(named, MOST_PERMITS)},
        permits_left_out=max(0, len(named) - MOST_PERMITS),
        photos=tuple((photo, photos.stored(tx, photo.sha256)) for photo in sent.photos),
        reviews=tuple(reviews),
        corrections=tuple(corrections.of(tx, infraction)),
        history=tuple(history),
        head=head,
        names=_names(tx, infraction.device, reviews, history),
    )


def as_json(case: Case) -> dict[str, Any]:
    """An infraction by itself, as it is shown: what was sent, what the handheld knew and what is
    known now, reviews and history.
    """
    shown = case.infraction.as_json()
    if case.known_now is not None:
        shown["recheck"] |= {"verdict": case.verdict, "differs": case.differs}
        shown["verdicts"]["now"] = case.verdict
    found = () if case.known_now is None else case.known_now.permits
    shown["recheck"]["permits"] = [codec.permit_record(permit) for permit in found]
    shown["reviews"] = [one.as_json() for one in case.reviews]
    shown["history"] = [
        Event.of(one.entry).as_json() for one in case.history if one.entry is not None
    ]
    return shown


def _versions(tx: Connection, site: str, id: str) -> Versions:
    try:
        return tuple(permits.history(tx, site, id)[-MOST_VERSIONS:])
    except UnknownPermit:
        return ()


def _names(
    tx: Connection, device: str, reviews: list[Review], history: list[Witnessed]
) -> dict[str, str]:
    """Who is meant by `device:<id>` and the like."""
    actors = {entry.by for one in history if (entry := one.entry) is not None}
    ids = {device, *(by.removeprefix("device:") for by in actors if by.startswith("device:"))}
    named = {f"device:{id}": name for id, name in devices.names(tx, ids).items()}
    # A patroller's own deeds have the handheld for their author, which has a name of its own.
    return {one.by: one.by_name for one in reviews if not one.by.startswith("device:")} | named
