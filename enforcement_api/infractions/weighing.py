"""Keeps true what the record says of what needs eyes first: in the transaction of each event that
changes it.

An infraction's row is locked before what it is weighed by is read. So a photo, which comes without
the lock of its site's feed, neither overlooks another that comes at the same moment, nor undoes
what was decided meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    String,
    Text,
    bindparam,
    cast,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.sql import ColumnElement

from enforcement_api.database.tables import (
    codes,
    infraction_codes,
    infraction_photos,
    infractions,
    photos,
)
from enforcement_api.feed import store as feed
from enforcement_api.feed.store import Level
from enforcement_api.infractions import attention, cursors
from enforcement_api.infractions.attention import REPEATED_WITHIN, Facts, Reason
from enforcement_api.infractions.core import Infraction
from enforcement_api.infractions.lifecycle import REVIEWABLE
from enforcement_api.sites import store as sites
from sync.entities import Site

_c = infractions.c
_SITE: BindParameter[str] = bindparam("of_site")
_ID: BindParameter[str] = bindparam("of_id")

_ROW = (
    select(
        _c.id,
        _c.state,
        _c.plate,
        _c.jurisdiction,
        _c.observed_at,
        _c.outcome,
        _c.epoch,
        _c.cursor,
        _c.differs,
        _c.warnings,
        _c.attention,
        _c.review_rank,
    )
    .where(_c.site == _SITE, _c.id == _ID)
    .with_for_update()
)
_NAMED = (infraction_photos.c.site == _SITE, infraction_photos.c.infraction == _ID)
_AROUND = select(
    select(func.count(infraction_photos.c.sha256.distinct()))
    .where(*_NAMED)
    .scalar_subquery()
    .label("photos"),
    select(func.count())
    .select_from(infraction_photos)
    .where(*_NAMED, ~exists().where(photos.c.sha256 == infraction_photos.c.sha256))
    .scalar_subquery()
    .label("photos_missing"),
    exists()
    .where(
        _c.site == _SITE,
        _c.plate == bindparam("of_plate", type_=String),
        _c.observed_at >= bindparam("of_begin"),
        _c.observed_at <= bindparam("of_end"),
        _c.jurisdiction == bindparam("of_jurisdiction", type_=String),
        _c.id != _ID,
        _c.state != "voided",
    )
    .label("is_repeated"),
)
_REQUIRED = (
    select(codes.c.photos_required)
    .join(
        infraction_codes,
        (infraction_codes.c.site == codes.c.site) & (infraction_codes.c.code == codes.c.code),
    )
    .where(infraction_codes.c.site == _SITE, infraction_codes.c.infraction == _ID)
    # In this order SQLite reads the infraction's codes; without one, all that the site ever had.
    .order_by(infraction_codes.c.position)
)
_KEEP = (
    update(infractions)
    .where(_c.site == _SITE, _c.id == _ID)
    .values(attention=bindparam("new_attention"), review_rank=bindparam("new_rank"))
)
_LATER = (
    select(_c.id)
    .where(
        _c.site == _SITE,
        _c.decided_at.is_(None),
        _c.plate == bindparam("of_plate", type_=String),
        _c.jurisdiction == bindparam("of_jurisdiction", type_=String),
        _c.observed_at >= bindparam("of_begin"),
        _c.observed_at <= bindparam("of_end"),
        _c.id != _ID,
    )
    .order_by(_c.id)
)


def has_reason(attention: ColumnElement[Any], reason: Reason) -> ColumnElement[bool]:
    """Whether the reason is one of those in the column."""
    return cast(attention, Text).contains(f'"{reason}"', autoescape=True)


_LATER_UNREPEATED = _LATER.where(~has_reason(_c.attention, "repeated"))


def weigh(
    tx: Connection, site_id: str, ids: Sequence[str]
) -> dict[str, tuple[Sequence[str], int | None]]:
    """Why each of a site's infractions should be seen now, and its rank: nothing and None once it
    is decided. What has changed is written down.
    """
    if not ids:
        return {}
    site, here = sites.site(tx, site_id), feed.level(tx, site_id)
    found: dict[str, tuple[Sequence[str], int | None]] = {}
    for id in ids:
        key = {"of_site": site_id, "of_id": id}
        row = tx.execute(_ROW, key).one()
        why: Sequence[str] = ()
        rank = None
        if row.state in REVIEWABLE:
            why = attention.reasons(_facts(tx, site, here, row))
            rank = attention.rank(why)
        if (list(why), rank) != (row.attention, row.review_rank):
            tx.execute(_KEEP, key | {"new_attention": list(why), "new_rank": rank})
        found[id] = why, rank
    return found


def _facts(tx: Connection, site: Site, here: Level, row: Any) -> Facts:
    key = {"of_site": site.id, "of_id": row.id}
    asked = key | {
        "of_plate": row.plate,
        "of_jurisdiction": row.jurisdiction,
        "of_begin": row.observed_at - REPEATED_WITHIN,
        "of_end": row.observed_at,
    }
    around = tx.execute(_AROUND, asked).one()
    # Nothing is issued, so nothing is to be proved.
    required = () if row.outcome == "no_issue" else tx.execute(_REQUIRED, key).scalars()
    return Facts(
        id=row.id,
        differs=row.differs,
        warnings=row.warnings,
        observed_at=row.observed_at,
        fresh_until=cursors.fresh_until(tx, here, epoch=row.epoch, cursor=row.cursor),
        stale_after=site.stale_after,
        is_repeated=around.is_repeated,
        photos=around.photos,
        photos_missing=around.photos_missing,
        photos_required=max(map(int, required), default=0),
    )


def made_repeated(tx: Connection, infraction: Infraction) -> list[str]:
    """The undecided infractions of the same plate that one which has come makes repeated ones."""
    return _later(tx, infraction, only_unrepeated=True)


def repeated_after(tx: Connection, infraction: Infraction) -> list[str]:
    """The undecided infractions of the same plate that may be repeated ones because of this."""
    return _later(tx, infraction, only_unrepeated=False)


def _later(tx: Connection, infraction: Infraction, *, only_unrepeated: bool) -> list[str]:
    plate = infraction.plate
    if plate is None:
        return []
    at = infraction.sent.observed_at
    asked = {
        "of_site": infraction.sent.site,
        "of_id": infraction.id,
        "of_plate": plate.text,
        "of_jurisdiction": plate.jurisdiction,
        "of_begin": at,
        "of_end": at + REPEATED_WITHIN,
    }
    return list(tx.execute(_LATER_UNREPEATED if only_unrepeated else _LATER, asked).scalars())
