"""The infractions' SQL: received once, judged again, listed page by page, never changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from enforcement_api.audit import store as audit
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import (
    codes,
    infraction_codes,
    infraction_photos,
    infractions,
    lots,
    patrollers,
    photos,
    reviews,
    zones,
)
from enforcement_api.devices import numbers
from enforcement_api.devices.numbers import Block
from enforcement_api.feed import store as feed
from enforcement_api.feed.store import Counter
from enforcement_api.figures import counting
from enforcement_api.figures.core import local
from enforcement_api.infractions import core, cursors, weighing
from enforcement_api.infractions.core import (
    Event,
    Infraction,
    InfractionConflict,
    InfractionIn,
    KnownPermit,
    Photo,
    Position,
    Surroundings,
    UnknownInfraction,
    Upload,
)
from enforcement_api.infractions.lifecycle import (
    DECIDED,
    VOIDED_LATE,
    OwnInfraction,
    Review,
    Wanted,
    decide,
    standing,
    undone,
)
from enforcement_api.permits.store import permits_for
from enforcement_api.security import Principal
from enforcement_api.sites import store as sites
from sync import codec
from sync.entities import Site
from sync.messages import Change, Receipt
from sync.plates import Plate
from sync.validity import Judgement, best_outcome, judge

_c = infractions.c
MOST_QUESTIONS = 200
"""Questions of supervisors that a device is told at once."""

# Put together once, as every upload asks them: that takes longer than executing them.
_ID: BindParameter[str] = bindparam("of_id")
_SITE: BindParameter[str] = bindparam("of_site")
_SOME: BindParameter[Sequence[str]] = bindparam("of_some", expanding=True)
_BY_ID = select(infractions).where(_c.id == _ID)
_AT_SITE = _BY_ID.where(_c.site == _SITE)
_AT_SITE_SOME = select(infractions).where(_c.site == _SITE, _c.id.in_(_SOME))
_CONTENT = select(_c.content_hash).where(_c.id == _ID)
_THERE = select(
    exists().where(zones.c.site == _SITE, zones.c.code == bindparam("of_zone")).label("zone"),
    exists().where(lots.c.site == _SITE, lots.c.code == bindparam("of_lot")).label("lot"),
    exists()
    .where(
        patrollers.c.site == _SITE,
        or_(
            patrollers.c.badge == bindparam("of_patroller"),
            patrollers.c.id == bindparam("of_patroller"),
        ),
    )
    .label("patroller"),
    exists().where(_c.site == _SITE, _c.number == bindparam("of_number")).label("number"),
)
_KNOWN_CODES = select(codes.c.code, codes.c.active).where(
    codes.c.site == _SITE, codes.c.code.in_(_SOME)
)
_NAMED = select(patrollers.c.id, patrollers.c.badge, patrollers.c.name).where(
    patrollers.c.site == _SITE,
    or_(
        patrollers.c.badge == bindparam("of_patroller"),
        patrollers.c.id == bindparam("of_patroller"),
    ),
)
# Without an order: SQLite would rather read all of a site in order than sort a few.
_ASKED = select(_c.id, _c.number, _c.plate, _c.observed_at).where(
    _c.site == _SITE,
    _c.device == bindparam("of_device"),
    _c.state == literal_column("'information_requested'"),
)
_CODES = (
    select(infraction_codes.c.infraction, infraction_codes.c.code)
    .where(infraction_codes.c.site == _SITE, infraction_codes.c.infraction.in_(_SOME))
    .order_by(infraction_codes.c.infraction, infraction_codes.c.position)
)
_PHOTOS = (
    select(infraction_photos, photos.c.sha256.is_not(None).label("is_present"))
    .join_from(
        infraction_photos, photos, photos.c.sha256 == infraction_photos.c.sha256, isouter=True
    )
    .where(infraction_photos.c.site == _SITE, infraction_photos.c.infraction.in_(_SOME))
    .order_by(infraction_photos.c.infraction, infraction_photos.c.position)
)
_PRESENT = select(photos.c.sha256).where(photos.c.sha256.in_(_SOME))
_NAME = (
    update(photos)
    .where(photos.c.sha256.in_(_SOME), photos.c.is_named.is_(False))
    .values(is_named=True)
)
_JUDGE_AGAIN = (
    update(infractions)
    .where(_c.site == _SITE, _c.id == _ID)
    .values(
        recheck_verdict=bindparam("new_verdict"),
        differs=bindparam("new_differs"),
        rechecked_at=bindparam("new_at"),
    )
)

_IN_ONE_QUERY = 500
"""Values in one IN list."""
_FEW = 2000
"""Undecided infractions of a site that are compared with changed plates in Python."""


# Receiving


@dataclass(frozen=True, slots=True)
class Received:
    """What an upload came to."""

    receipt: Receipt
    is_new: bool


def receive(
    record: Record,
    tx: Connection,
    id: str,
    upload: Upload,
    *,
    by: Principal,
    received_at: datetime,
    told_from: datetime,
) -> Received:
    """Keep an infraction, judge it, and tell the feed; or answer as the first time.

    Handhelds are told of what was observed after `told_from`.
    Raises UnknownSite, ForbiddenSite, InfractionConflict.
    """
    sent = upload.sent
    site = sites.site(tx, sent.site)
    by.check_site(site.id)
    counter = feed.lock(tx, site.id)
    first = tx.execute(_CONTENT, {"of_id": id}).scalar()
    if first is not None:
        if first != sent.hash():
            raise InfractionConflict
        return Received(_receipt_again(record, tx, site.id, id), is_new=False)
    plate = sent.plate_at(site.jurisdiction)
    judgement = _judge(tx, site, plate, zone=sent.zone, at=sent.observed_at)
    verdict = None if judgement is None else judgement.verdict
    block = None
    if sent.number is not None:
        block = numbers.claim(tx, site.id, sent.number, device=by.id, at=received_at)
    known = _surroundings(tx, sent, site, plate, block, device=by.id)
    infraction = Infraction(
        id=id,
        sent=sent,
        plate=plate,
        device=by.id,
        after_revocation=by.revoked,
        received_at=received_at,
        state="received",
        decision_reason=None,
        warnings=core.warnings_of(upload, known, received_at),
        cursor_verdict=known.cursor_verdict,
        recheck_verdict=verdict,
        differs=core.differs(sent.verdict, verdict),
        rechecked_at=None if judgement is None else received_at,
        photos_present=_present(tx, [photo.sha256 for photo in sent.photos]),
        day=local(sent.observed_at, site.time_zone).date(),
    )
    is_told = sent.observed_at >= told_from
    _insert(record, tx, infraction, told_at=received_at if is_told else None)
    counting.infraction_came(
        tx, infraction.counted(), standing(infraction), observed_at=sent.observed_at
    )
    if is_told:
        feed.append(tx, counter, [codec.change_of(infraction.notice())])
        feed.save(tx, counter)
    return Received(_receipt(infraction, epoch=record.epoch(tx)), is_new=True)


def _judge(
    tx: Connection, site: Site, plate: Plate | None, *, zone: str, at: datetime
) -> Judgement | None:
    """The verdict as of an instant, with all that is known now; None without a plate."""
    if plate is None:
        return None
    return judge(permits_for(tx, site.id, plate), zone=zone, at=at, retention=site.retention)


def _surroundings(
    tx: Connection,
    sent: InfractionIn,
    site: Site,
    plate: Plate | None,
    block: Block | None,
    *,
    device: str,
) -> Surroundings:
    here = feed.level(tx, site.id)
    placed, sequence = cursors.place(tx, here, epoch=sent.epoch, cursor=sent.cursor)
    is_all_known = placed == "known" and sequence >= here.horizon
    asked = {
        "of_site": sent.site,
        "of_zone": sent.zone,
        "of_lot": sent.lot,
        "of_patroller": sent.patroller,
        "of_number": sent.number,
    }
    there = tx.execute(_THERE, asked).one()
    known_codes = tx.execute(
        _KNOWN_CODES, {"of_site": sent.site, "of_some": sorted(set(sent.codes))}
    )
    return Surroundings(
        zone=there.zone,
        lot=sent.lot is None or there.lot,
        codes={row.code: row.active for row in known_codes},
        patroller=there.patroller,
        cursor=placed,
        number=block is not None,
        number_is_anothers=block is not None and block.device != device,
        number_is_used=there.number,
        cursor_verdict=None
        if plate is None or not is_all_known
        else best_outcome(
            permits_for(tx, site.id, plate, as_known_at=sequence),
            zone=sent.zone,
            at=sent.observed_at,
            retention=site.retention,
        ),
    )


def _insert(
    record: Record, tx: Connection, infraction: Infraction, *, told_at: datetime | None
) -> None:
    sent = infraction.sent
    position = sent.position
    plate = infraction.plate
    row = {
        "site": sent.site,
        "id": infraction.id,
        "received_at": infraction.received_at,
        "state": infraction.state,
        "device": infraction.device,
        "after_revocation": infraction.after_revocation,
        "patroller": sent.patroller,
        "shift": sent.shift,
        "zone": sent.zone,
        "lot": sent.lot,
        "place": sent.place,
        "lat": position and position.lat,
        "lon": position and position.lon,
        "accuracy_m": position and position.accuracy_m,
        "plate": plate and plate.text,
        "jurisdiction": plate.jurisdiction if plate else sent.jurisdiction,
        "fold": plate and plate.fold,
        "plate_raw": sent.plate_raw,
        "plate_source": sent.plate_source,
        "plate_missing_reason": sent.plate_missing_reason,
        "vehicle": sent.vehicle,
        "outcome": sent.outcome,
        "no_issue_reason": sent.no_issue_reason,
        "number": sent.number,
        "observed_at": sent.observed_at,
        "device_time": sent.device_time,
        "clock_offset_ms": sent.clock_offset_ms,
        "clock_uncertainty_ms": sent.clock_uncertainty_ms,
        "clock_jumped": sent.clock_jumped,
        "verdict": sent.verdict,
        "epoch": sent.epoch,
        "cursor": sent.cursor,
        "known": [permit.model_dump(mode="json") for permit in sent.known],
        "note": sent.note,
        "content_hash": sent.hash(),
        "warnings": list(infraction.warnings),
        "cursor_verdict": infraction.cursor_verdict,
        "recheck_verdict": infraction.recheck_verdict,
        "differs": infraction.differs,
        "rechecked_at": infraction.rechecked_at,
        "decision_reason": infraction.decision_reason,
        "told_at": told_at,
        "day": infraction.day,
    }
    added = tx.execute(record.insert(infractions).on_conflict_do_nothing(), row)
    if not added.rowcount:
        # The same id at another site, at the same moment: each site has a lock of its own.
        raise InfractionConflict
    key = {"site": sent.site, "infraction": infraction.id}
    if sent.codes:
        named = key | {"received_at": infraction.received_at}
        rows = [{**named, "position": i, "code": code} for i, code in enumerate(sent.codes)]
        tx.execute(insert(infraction_codes), rows)
    if sent.photos:
        tx.execute(
            insert(infraction_photos),
            [
                {
                    **key,
                    "position": i,
                    "sha256": photo.sha256,
                    "bytes": photo.bytes,
                    "taken_at": photo.taken_at,
                    "shows": photo.shows,
                }
                for i, photo in enumerate(sent.photos)
            ],
        )
    if infraction.photos_present:
        tx.execute(_NAME, {"of_some": list(infraction.photos_present)})
    # Before the log is locked: who has a row waits for that, never the other way round.
    weighing.weigh(tx, sent.site, [infraction.id, *weighing.made_repeated(tx, infraction)])
    recheck = {"verdict": infraction.recheck_verdict, "differs": infraction.differs}
    received = Event(
        at=infraction.received_at,
        event="received",
        state=infraction.state,
        by=f"device:{infraction.device}",
        facts={"recheck": recheck, "after_revocation": infraction.after_revocation},
    )
    remember(tx, sent.site, infraction.id, received)


def remember(tx: Connection, site: str, id: str, event: Event) -> None:
    """Append to an infraction's history."""
    audit.append(tx, event.entry(f"infraction:{id}"), site=site)


def _present(tx: Connection, sha256s: Sequence[str]) -> frozenset[str]:
    """Those of the photos that have come."""
    found = tx.execute(_PRESENT, {"of_some": sha256s}).scalars() if sha256s else ()
    return frozenset(found)


def _receipt(infraction: Infraction, *, epoch: str) -> Receipt:
    return Receipt(
        id=infraction.id,
        received_at=infraction.received_at,
        state=infraction.state,
        recheck_verdict=infraction.recheck_verdict,
        recheck_differs=infraction.differs,
        photos_missing=infraction.photos_missing,
        warnings=tuple(infraction.warnings),
        epoch=epoch,
    )


def _receipt_again(record: Record, tx: Connection, site: str, id: str) -> Receipt:
    """The receipt as the first time; the missing photos as of now."""
    first = history(tx, site, id)[0]
    recheck = first.facts["recheck"]
    infraction = replace(
        _at_site(tx, site, id),
        state=first.state,
        recheck_verdict=recheck["verdict"],
        differs=recheck["differs"],
    )
    # As it was flagged then.
    infraction = replace(
        infraction, warnings=[flag for flag in infraction.warnings if flag != VOIDED_LATE]
    )
    return _receipt(infraction, epoch=record.epoch(tx))


# Judging again


def recheck_open(tx: Connection, site_id: str, plates: set[Plate], now: datetime) -> None:
    """Judge the undecided infractions of these plates again: their permits have changed (DOMAIN 5).

    The caller has locked the site's feed, so that no infraction arrives in between.
    """
    rows = _undecided(tx, site_id, plates)
    if not rows:
        return
    site = sites.site(tx, site_id)
    permits = {plate: permits_for(tx, site_id, plate) for plate in {_plate(row) for row in rows}}
    differing: list[str] = []
    lines: list[tuple[str, Event]] = []
    for row in rows:
        verdict = best_outcome(
            permits[_plate(row)], zone=row.zone, at=row.observed_at, retention=site.retention
        )
        differs = core.differs(row.verdict, verdict)
        here = {"of_site": site_id, "of_id": row.id}
        judged = {"new_verdict": verdict, "new_differs": differs, "new_at": now}
        tx.execute(_JUDGE_AGAIN, here | judged)
        if (verdict, differs) != (row.recheck_verdict, row.differs):
            facts = {"verdict": verdict, "differs": differs, "before": row.recheck_verdict}
            lines.append((row.id, Event(now, "rechecked", row.state, "service", facts)))
        if differs != row.differs:
            differing.append(row.id)
    weighing.weigh(tx, site_id, differing)
    for id, line in lines:
        remember(tx, site_id, id, line)


def _plate(row: Any) -> Plate:
    return Plate(row.plate, row.jurisdiction)


def _undecided(tx: Connection, site: str, plates: set[Plate]) -> list[Any]:
    """The undecided infractions of these plates; one look into an index when there are few."""
    undecided = (_c.site == site, _c.decided_at.is_(None), _c.plate.is_not(None))
    few = tx.execute(select(_c.plate, _c.jurisdiction).where(*undecided).limit(_FEW + 1)).all()
    if len(few) <= _FEW:
        plates = plates & {_plate(row) for row in few}
    columns = (
        _c.id,
        _c.state,
        _c.plate,
        _c.jurisdiction,
        _c.zone,
        _c.observed_at,
        _c.verdict,
        _c.recheck_verdict,
        _c.differs,
    )
    found: list[Any] = []
    for texts in _chunks(sorted({plate.text for plate in plates})):
        found += tx.execute(select(*columns).where(*undecided, _c.plate.in_(texts)))
    return [row for row in found if _plate(row) in plates]


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _IN_ONE_QUERY):
        yield values[start : start + _IN_ONE_QUERY]


# Deciding


def review(
    tx: Connection, id: str, wanted: Wanted, *, by: Principal, at: datetime
) -> tuple[Infraction, Review]:
    """Judge an infraction once more and decide it; handhelds are told (DOMAIN 5).

    Raises UnknownInfraction, ForbiddenSite, and what lifecycle.decide raises.
    """
    site_id = find(tx, id).sent.site
    by.check_site(site_id)
    counter = feed.lock(tx, site_id)
    here = find(tx, id)  # as it stands now that nobody else can change it
    site = sites.site(tx, site_id)
    judged = judged_again(tx, site, here, at=at)
    decided = decide(
        judged,
        wanted,
        by=by.actor,
        by_name=by.name,
        is_own=is_own(tx, judged, by),
        reviews=len(reviews_of(tx, site_id, id)),
        at=at,
    )
    return settle(tx, counter, judged, decided, line=_reviewed(decided, judged)), decided


def undo(
    tx: Connection, id: str, *, expected_reviews: int, by: Principal, at: datetime
) -> tuple[Infraction, Review]:
    """Take back one's own last decision by an entry that reverses it; handhelds are told.

    Raises UnknownInfraction, ForbiddenSite, and what lifecycle.undone raises.
    """
    site_id = find(tx, id).sent.site
    by.check_site(site_id)
    counter = feed.lock(tx, site_id)
    judged = judged_again(tx, sites.site(tx, site_id), find(tx, id), at=at)
    reviews = reviews_of(tx, site_id, id)
    taken_back = undone(
        judged, reviews, expected_reviews=expected_reviews, by=by.actor, by_name=by.name, at=at
    )
    line = _reviewed(taken_back, judged)
    return settle(tx, counter, judged, taken_back, line=line), taken_back


def check_not_own(tx: Connection, infraction: Infraction, by: Principal) -> None:
    """Raises OwnInfraction: nobody says what becomes of what they recorded."""
    if is_own(tx, infraction, by):
        raise OwnInfraction(patroller=infraction.sent.patroller)


def is_own(tx: Connection, infraction: Infraction, by: Principal) -> bool:
    """Whether somebody recorded it themselves: they are known by the patroller's badge or id."""
    return by.source.casefold() in names_of(tx, infraction.sent.site, infraction.sent.patroller)


def judged_again(tx: Connection, site: Site, here: Infraction, *, at: datetime) -> Infraction:
    """The infraction with the verdict that is known now."""
    judgement = _judge(tx, site, here.plate, zone=here.sent.zone, at=here.sent.observed_at)
    verdict = None if judgement is None else judgement.verdict
    return replace(
        here,
        recheck_verdict=verdict,
        differs=core.differs(here.sent.verdict, verdict),
        rechecked_at=None if verdict is None else at,
    )


def settle(
    tx: Connection,
    counter: Counter,
    judged: Infraction,
    decided: Review,
    *,
    line: Event,
    warnings: Sequence[str] = (),
) -> Infraction:
    """Write what was decided of an infraction that was judged again just now, and what is flagged
    besides; handhelds are told. The caller has locked the site's feed.
    """
    site = judged.sent.site
    after = replace(
        judged,
        state=decided.state,
        decision_reason=decided.reason if decided.state == "voided" else None,
        warnings=[*judged.warnings, *(w for w in warnings if w not in judged.warnings)],
    )
    here = (_c.site == site, _c.id == judged.id)
    tx.execute(
        update(infractions)
        .where(*here)
        .values(
            state=after.state,
            decision_reason=after.decision_reason,
            decided_at=decided.at if after.state in DECIDED else None,
            recheck_verdict=after.recheck_verdict,
            differs=after.differs,
            rechecked_at=after.rechecked_at,
            warnings=list(after.warnings),
        )
    )
    counting.infraction_moved(tx, judged.counted(), standing(judged), standing(after))
    _keep_review(tx, site, judged.id, decided)
    changed = [judged.id]
    if (judged.state == "voided") != (after.state == "voided"):
        changed += weighing.repeated_after(tx, judged)
    reasons, rank = weighing.weigh(tx, site, changed)[judged.id]
    after = replace(after, attention=reasons, review_rank=rank)
    remember(tx, site, judged.id, line)
    if tx.execute(select(_c.told_at).where(*here)).scalar() is not None:
        feed.append(tx, counter, [codec.change_of(after.notice())])
        feed.save(tx, counter)
    return after


def names_of(tx: Connection, site: str, patroller: str) -> set[str]:
    """What a patroller who is named by badge or id is called, both in lower case."""
    names = {patroller.casefold()}
    for row in tx.execute(_NAMED, {"of_site": site, "of_patroller": patroller}):
        names |= {row.id.casefold(), row.badge.casefold()}
    return names


def name_of(tx: Connection, site: str, patroller: str) -> str:
    """The name of a patroller who is named by badge or id; that itself, if nobody has it."""
    row = tx.execute(_NAMED, {"of_site": site, "of_patroller": patroller}).first()
    return patroller if row is None else str(row.name)


def _reviewed(review: Review, infraction: Infraction) -> Event:
    told = asdict(review)
    names = ("decision", "reason", "note", "state_before", "acknowledged_differs")
    facts = {name: told[name] for name in names}
    facts["recheck"] = {"verdict": infraction.recheck_verdict, "differs": infraction.differs}
    return Event(review.at, "reviewed", review.state, review.by, facts)


def _keep_review(tx: Connection, site: str, id: str, review: Review) -> None:
    here = (reviews.c.site == site, reviews.c.infraction == id)
    last = tx.execute(select(func.max(reviews.c.position)).where(*here)).scalar()
    row = {"site": site, "infraction": id, "position": 0 if last is None else last + 1}
    tx.execute(insert(reviews).values(**row, **asdict(review)))


def reviews_of(tx: Connection, site: str, id: str) -> list[Review]:
    """What was decided of an infraction, the oldest first."""
    found = tx.execute(
        select(reviews)
        .where(reviews.c.site == site, reviews.c.infraction == id)
        .order_by(reviews.c.position)
    )
    return [
        Review(
            at=row.at,
            by=row.by,
            by_name=row.by_name,
            decision=row.decision,
            reason=row.reason,
            note=row.note,
            state_before=row.state_before,
            state=row.state,
            acknowledged_differs=row.acknowledged_differs,
        )
        for row in found
    ]


@dataclass(frozen=True, slots=True)
class Question:
    """What a supervisor asks of an infraction, and hopes to hear from the device that sent it."""

    infraction: str
    number: str | None
    plate: str | None
    at: datetime
    by_name: str
    text: str | None

    def as_json(self) -> dict[str, Any]:
        """The question as a device is told it."""
        return {
            "infraction": self.infraction,
            "number": self.number,
            "plate": self.plate,
            "at": codec.instant(self.at),
            "from": self.by_name,
            "text": self.text,
        }


def questions(tx: Connection, site: str, device: str) -> list[Question]:
    """What is asked of infractions that this device recorded, the latest observed first."""
    found = tx.execute(_ASKED, {"of_site": site, "of_device": device}).all()
    if not found:
        return []
    newest = sorted(found, key=lambda row: (row.observed_at, row.id), reverse=True)
    rows = newest[:MOST_QUESTIONS]
    asked: dict[str, Any] = {}
    query = select(reviews).where(
        reviews.c.site == site,
        reviews.c.infraction.in_([row.id for row in rows]),
        reviews.c.decision == "request_information",
    )
    for row in tx.execute(query.order_by(reviews.c.position)):
        asked[row.infraction] = row
    return [
        Question(
            infraction=row.id,
            number=row.number,
            plate=row.plate,
            at=asked[row.id].at,
            by_name=asked[row.id].by_name,
            text=asked[row.id].note,
        )
        for row in rows
        if row.id in asked
    ]


def plates_noticed(tx: Connection, site: str, plates: set[Plate]) -> set[Plate]:
    """Those of the plates that an infraction rests on: what was known of them is kept."""
    found: set[Plate] = set()
    for texts in _chunks(sorted({plate.text for plate in plates})):
        query = select(_c.plate, _c.jurisdiction).where(_c.site == site, _c.plate.in_(texts))
        found |= {_plate(row) for row in tx.execute(query.distinct())}
    return found & plates


# Notices


def forget_old_notices(tx: Connection, site: str, before: datetime) -> int:
    """Stop telling handhelds of what was observed before; how many. The infractions stay."""
    counter = feed.lock(tx, site)
    old = (_c.site == site, _c.told_at.is_not(None), _c.observed_at < before)
    ids = tx.execute(select(_c.id).where(*old)).scalars().all()
    if ids:
        feed.append(tx, counter, [Change("notice", id, None) for id in ids])
        feed.save(tx, counter)
        tx.execute(update(infractions).where(*old).values(told_at=None))
    return len(ids)


# Reading


def find(tx: Connection, id: str) -> Infraction:
    """One infraction. Raises UnknownInfraction."""
    row = tx.execute(_BY_ID, {"of_id": id}).first()
    if row is None:
        raise UnknownInfraction(id=id)
    (infraction,) = built(tx, row.site, [row])
    return infraction


def known_now(tx: Connection, infraction: Infraction) -> Judgement | None:
    """The verdict as of the observation, with what is known now; None without a plate."""
    site = sites.site(tx, infraction.sent.site)
    sent = infraction.sent
    return _judge(tx, site, infraction.plate, zone=sent.zone, at=sent.observed_at)


def history(tx: Connection, site: str, id: str) -> list[Event]:
    """What became of an infraction, the oldest first."""
    return [Event.of(entry) for entry in audit.entries(tx, f"infraction:{id}", site=site)]


def named(tx: Connection, site: str, ids: Sequence[str]) -> list[Infraction]:
    """The infractions of a site with these ids, in their order."""
    found: dict[str, Infraction] = {}
    for some in _chunks(ids):
        rows = tx.execute(_AT_SITE_SOME, {"of_site": site, "of_some": some}).all()
        found |= {infraction.id: infraction for infraction in built(tx, site, rows)}
    return [found[id] for id in ids]


def _at_site(tx: Connection, site: str, id: str) -> Infraction:
    """An infraction that the site has."""
    rows = tx.execute(_AT_SITE, {"of_site": site, "of_id": id}).all()
    (infraction,) = built(tx, site, rows)
    return infraction


def built(tx: Connection, site: str, rows: Sequence[Any]) -> list[Infraction]:
    """The infractions of one site in these whole rows, with their codes and photos."""
    ids = [row.id for row in rows]
    named: dict[str, list[str]] = {}
    shown: dict[str, list[Photo]] = {}
    present: dict[str, set[str]] = {}
    for some in _chunks(ids):
        asked = {"of_site": site, "of_some": some}
        for row in tx.execute(_CODES, asked):
            named.setdefault(row.infraction, []).append(row.code)
        for row in tx.execute(_PHOTOS, asked):
            photo = Photo.model_construct(
                sha256=row.sha256, bytes=row.bytes, taken_at=row.taken_at, shows=row.shows
            )
            shown.setdefault(row.infraction, []).append(photo)
            if row.is_present:
                present.setdefault(row.infraction, set()).add(row.sha256)
    return [
        _infraction(
            row,
            codes=named.get(row.id, []),
            shown=shown.get(row.id, []),
            present=present.get(row.id, ()),
        )
        for row in rows
    ]


def _infraction(
    row: Any, *, codes: list[str], shown: list[Photo], present: Iterable[str]
) -> Infraction:
    # What the record holds was checked when it came in.
    position = None
    if row.lat is not None:
        position = Position.model_construct(lat=row.lat, lon=row.lon, accuracy_m=row.accuracy_m)
    sent = InfractionIn.model_construct(
        site=row.site,
        zone=row.zone,
        lot=row.lot,
        place=row.place,
        position=position,
        plate=row.plate,
        jurisdiction=row.jurisdiction,
        plate_raw=row.plate_raw,
        plate_source=row.plate_source,
        plate_missing_reason=row.plate_missing_reason,
        vehicle=row.vehicle,
        codes=codes,
        outcome=row.outcome,
        no_issue_reason=row.no_issue_reason,
        number=row.number,
        patroller=row.patroller,
        shift=row.shift,
        observed_at=row.observed_at,
        device_time=row.device_time,
        clock_offset_ms=row.clock_offset_ms,
        clock_uncertainty_ms=row.clock_uncertainty_ms,
        clock_jumped=row.clock_jumped,
        verdict=row.verdict,
        epoch=row.epoch,
        cursor=row.cursor,
        known=[KnownPermit.model_validate(permit) for permit in row.known],
        note=row.note,
        photos=shown,
    )
    return Infraction(
        id=row.id,
        sent=sent,
        plate=None if row.plate is None else _plate(row),
        device=row.device,
        after_revocation=row.after_revocation,
        received_at=row.received_at,
        state=row.state,
        decision_reason=row.decision_reason,
        warnings=row.warnings,
        cursor_verdict=row.cursor_verdict,
        recheck_verdict=row.recheck_verdict,
        differs=row.differs,
        rechecked_at=row.rechecked_at,
        photos_present=frozenset(present),
        attention=row.attention,
        review_rank=row.review_rank,
        day=row.day,
    )
