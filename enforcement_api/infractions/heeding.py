"""What patrollers tell of their own infractions, after the fact: an answer, or that one is void.

It comes as an event, which is kept whatever it says. Where it comes before its infraction, it takes
effect when that comes.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from enforcement_api.devices import events
from enforcement_api.devices.events import Event as Told
from enforcement_api.feed import store as feed
from enforcement_api.infractions import lifecycle, store
from enforcement_api.infractions.core import Event, Infraction, UnknownInfraction
from enforcement_api.patrols import store as patrols
from enforcement_api.sites import store as sites
from sync import codec

_HEEDED = (events.ANSWER, events.VOIDED)


def heed(tx: Connection, told: Told) -> bool:
    """Let an event that was received just now take effect; whether the site's feed may have
    changed.
    """
    if told.kind not in _HEEDED or told.subject is None:
        return False
    feed.lock(tx, told.site)  # first: its infraction may be coming at this moment
    return _apply(tx, told, at=told.received_at)


def heed_earlier(tx: Connection, site: str, id: str, *, at: datetime) -> None:
    """Let take effect what was told of an infraction before it came. The caller has locked the
    site's feed.
    """
    for told in events.of_subject(tx, site, f"infraction:{id}"):
        _apply(tx, told, at=at)


def _apply(tx: Connection, told: Told, *, at: datetime) -> bool:
    try:
        here = store.find(tx, (told.subject or "").removeprefix("infraction:"))
    except UnknownInfraction:
        return False
    if here.sent.site != told.site:
        return False
    site = sites.site(tx, told.site)
    judged = store.judged_again(tx, site, here, at=at)
    if told.kind == events.ANSWER:
        _answer(tx, told, judged, at=at)
    else:
        _void(tx, told, judged, at=at)
    return True


def _answer(tx: Connection, told: Told, here: Infraction, *, at: datetime) -> None:
    by, text = f"device:{told.device}", told.text("text", events.LARGEST)
    decided = lifecycle.answered(here, text, by=by, by_name=_name(tx, told), at=at)
    state = here.state if decided is None else decided.state
    facts = {
        "text": text,
        "patroller": told.text("patroller"),
        "event": told.id,
        "state_before": here.state,
    }
    line = Event(at, "answered", state, by, facts)
    if decided is None:
        store.remember(tx, told.site, here.id, line)
    else:
        store.settle(tx, feed.lock(tx, told.site), here, decided, line=line)


def _void(tx: Connection, told: Told, here: Infraction, *, at: datetime) -> None:
    by, reason = f"device:{told.device}", told.text("reason")
    patroller = told.text("patroller")
    within = patrols.settings(tx, told.site).void_within
    is_late = told.at - here.sent.observed_at > within
    facts = {
        "reason": reason,
        "patroller": patroller,
        "event": told.id,
        "state_before": here.state,
        "said_at": codec.instant(told.at),
        "late": is_late,
    }
    kept = lifecycle.kept_from_voiding(
        here,
        is_own=patroller is not None
        and patroller.casefold() in store.names_of(tx, told.site, here.sent.patroller),
        revoked=told.after_revocation,
    )
    if kept is not None:
        line = Event(at, "void-kept", here.state, by, facts | {"because": kept})
        store.remember(tx, told.site, here.id, line)
        return
    decided = lifecycle.voided_by_patroller(here, reason, by=by, by_name=_name(tx, told), at=at)
    flags = (lifecycle.VOIDED_LATE,) if is_late else ()
    line = Event(at, "voided", decided.state, by, facts)
    store.settle(tx, feed.lock(tx, told.site), here, decided, line=line, warnings=flags)


def _name(tx: Connection, told: Told) -> str:
    """Who says so: the patroller by name, as far as they are known."""
    said = told.text("patroller")
    return told.device if said is None else store.name_of(tx, told.site, said)
