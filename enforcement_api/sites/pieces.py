"""A site changed by pieces: what each is called, which version of it somebody saw, and what changes
it. Pure.

Whoever edits a piece hands back the `Seen` of what their page showed: what others changed in other
pieces meanwhile stays, and what they changed in this one is told instead of overwritten.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal, Self

from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.sites.core import SitePlan
from sync import codec
from sync.entities import InfractionCode, Lot, NoNotice, Site, Zone

Kind = Literal["zone", "lot", "code"]
Part = Zone | Lot | InfractionCode

SETTINGS, NO_NOTICE = "settings", "no_notice"
_PARTS: dict[Kind, Literal["zones", "lots", "codes"]] = {
    "zone": "zones",
    "lot": "lots",
    "code": "codes",
}
_HASH_BYTES = 6


class SiteChanged(Problem):
    """Somebody changed the same piece meanwhile. `changed` names pieces and fields."""

    status = 409
    slug = "site-changed"
    title = N_("Somebody else has changed this meanwhile")
    detail = N_("Look at {changed} as it is now, and make your change again if it is still needed.")


class UnknownPart(Problem):
    """No such zone, lot or code."""

    status = 404
    slug = "unknown-part"
    title = N_("The site has no such zone, lot or code")
    detail = N_("Look for {id} among those that it has; it may have been removed already.")


class PartThere(Problem):
    """A zone, lot or code of this id is there."""

    status = 409
    slug = "part-there"
    title = N_("The site has this zone, lot or code already")
    detail = N_("Choose another code than {id}, or change the one that is there.")


class ZoneHasParts(Problem):
    """A zone would go that lots or windows name."""

    status = 409
    slug = "zone-has-parts"
    title = N_("Something of the site names the zone that would be removed")
    detail = N_("Move to another zone, or remove, first: {parts}.")


class AmountInForce(Problem):
    """An amount would change that notices may have been issued with."""

    status = 409
    slug = "amount-in-force"
    title = N_("An amount that has begun stays as it is")
    detail = N_("Choose a day after {day}: notices may name what was due until then.")


# Names and what was seen


def kind_of(part: Part) -> Kind:
    """What a part is."""
    if isinstance(part, Zone):
        return "zone"
    return "lot" if isinstance(part, Lot) else "code"


def piece_of(part: Part) -> str:
    """The name of a part's piece, such as `zone:G1`."""
    return f"{kind_of(part)}:{part.id}"


def piece(plan: SitePlan, name: str) -> Mapping[str, Any]:
    """What a piece of the site is made of, field by field; nothing, if it is not there.

    `settings`; `no_notice`; `zones`, `lots`, `codes`: their order; `zone:<id>`, `lot:<id>`,
    `code:<id>`. Raises ValueError for a name that is none.
    """
    if name == SETTINGS:
        return _settings(plan.site)
    if name == NO_NOTICE:
        return _no_notice(plan.site)
    if name in _PARTS.values():
        return {"order": [part.id for part in getattr(plan, name)]}
    called, _, id = name.partition(":")
    kind = next((kind for kind in _PARTS if kind == called), None)
    if kind is None:
        raise ValueError(name)
    part = find(plan, kind, id)
    return {} if part is None else _record(part)


def _pieces(plan: SitePlan) -> dict[str, Mapping[str, Any]]:
    """All of them, by name."""
    names = (SETTINGS, NO_NOTICE, *_PARTS.values())
    parts = (part for kind in _PARTS for part in _all(plan, kind))
    return {name: piece(plan, name) for name in names} | {
        piece_of(part): _record(part) for part in parts
    }


def _settings(site: Site) -> dict[str, Any]:
    record = codec.change_of(site).record or {}
    return {field: record[field] for field in record if field not in _NOT_SETTINGS}


def _no_notice(site: Site) -> dict[str, Any]:
    return {NO_NOTICE: [codec.no_notice_record(window) for window in site.no_notice]}


def _record(part: Part) -> dict[str, Any]:
    record = codec.change_of(part).record or {}
    return {field: record[field] for field in record if field != "id"}


_NOT_SETTINGS = ("id", "no_notice", "pruned_at")


Records = Mapping[str, Mapping[str, Any]]
"""Pieces by name, field by field; of one that is not there, none."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What somebody saw of some pieces of a site: of each field, a hash."""

    pieces: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, plan: SitePlan, *names: str) -> Self:
        """What these pieces are now. One that is not there is remembered as such."""
        return cls.of_records({name: piece(plan, name) for name in names})

    @classmethod
    def of_records(cls, records: Records) -> Self:
        """The same of pieces that are kept elsewhere."""
        return cls({name: _hashes(record) for name, record in records.items()})

    @classmethod
    def read(cls, text: str) -> Self:
        """What `str` made: a page carries it. Raises Invalid."""
        try:
            plain = json.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=="))
            pieces = {
                name: {str(field): str(hash) for field, hash in fields.items()}
                for name, fields in plain.items()
            }
        except (ValueError, AttributeError, RecursionError, binascii.Error) as error:
            raise _unreadable() from error
        return cls(pieces)

    def __str__(self) -> str:
        plain = json.dumps(self.pieces, sort_keys=True, separators=(",", ":"))
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")

    def check(self, plan: SitePlan) -> None:
        """Raises SiteChanged, which says what changed and how it is now; Invalid, if what was seen
        is no piece.
        """
        try:
            records = {name: piece(plan, name) for name in self.pieces}
        except ValueError as error:
            raise _unreadable() from error
        self.check_records(records)

    def check_records(self, records: Records) -> None:
        """The same for pieces that are kept elsewhere. `changed` names `zone:G1/name`, say; a piece
        alone, if it came or went.
        """
        if not records.keys() >= self.pieces.keys():
            raise _unreadable()
        now = {name: records[name] for name in self.pieces}
        changed = [
            told for name, seen in self.pieces.items() for told in _differing(name, seen, now[name])
        ]
        if changed:
            raise SiteChanged(changed=", ".join(changed), extra={"changed": changed, "now": now})


def differences(before: SitePlan, after: SitePlan) -> dict[str, dict[str, list[Any]]]:
    """What an edit changed, for the log: of each piece and field, what it was and what it is. An
    area is told by the beginning of its SHA-256.
    """
    were, are = _pieces(before), _pieces(after)
    found: dict[str, dict[str, list[Any]]] = {}
    for name in dict.fromkeys([*were, *are]):
        was, now = were.get(name, {}), are.get(name, {})
        changed = [f for f in dict.fromkeys([*was, *now]) if was.get(f) != now.get(f)]
        if changed:
            found[name] = {f: [_told(f, was.get(f)), _told(f, now.get(f))] for f in changed}
    return found


def _told(field: str, value: Any) -> Any:
    is_area = field == "area" and isinstance(value, str)
    return hashlib.sha256(value.encode()).hexdigest()[:16] if is_area else value


def _unreadable() -> Invalid:
    told = N_("does not say what was seen: load the page again")
    return Invalid(errors=[Problem.Error("/expected", told)])


def _differing(name: str, seen: Mapping[str, str], record: Mapping[str, Any]) -> Iterator[str]:
    now = _hashes(record)
    if bool(seen) != bool(now):
        yield name
        return
    for field in now:
        if seen.get(field) != now[field]:
            yield f"{name}/{field}"


def _hashes(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        field: hashlib.blake2b(
            codec.canonical({field: value}).encode(), digest_size=_HASH_BYTES
        ).hexdigest()
        for field, value in record.items()
    }


# Edits: each takes the site as it stands, and gives what it becomes

Edit = Callable[[SitePlan], SitePlan]


def find(plan: SitePlan, kind: Kind, id: str) -> Part | None:
    """A zone, a lot or a code."""
    parts: Sequence[Part] = getattr(plan, _PARTS[kind])
    return next((part for part in parts if part.id == id), None)


def add(part: Part) -> Edit:
    """A zone, a lot or a code that is new, at the end. Raises PartThere."""

    def change(plan: SitePlan) -> SitePlan:
        if find(plan, kind_of(part), part.id) is not None:
            raise PartThere(id=part.id)
        return _with(plan, kind_of(part), [*_all(plan, kind_of(part)), part])

    return change


def put(part: Part) -> Edit:
    """A zone, a lot or a code as it is from now on, in its place. A code keeps its amounts:
    they have ways of their own. Raises UnknownPart.
    """

    def change(plan: SitePlan) -> SitePlan:
        kind = kind_of(part)
        known = find(plan, kind, part.id)
        if known is None:
            raise UnknownPart(id=part.id)
        new = part
        if isinstance(part, InfractionCode) and isinstance(known, InfractionCode):
            new = replace(part, amounts=known.amounts)
        return _with(plan, kind, [new if each.id == part.id else each for each in _all(plan, kind)])

    return change


def remove(kind: Kind, id: str) -> Edit:
    """A zone, a lot or a code less. Raises UnknownPart, ZoneHasParts."""

    def change(plan: SitePlan) -> SitePlan:
        if find(plan, kind, id) is None:
            raise UnknownPart(id=id)
        if kind == "zone":
            parts = [lot.name for lot in plan.lots if lot.zone == id]
            parts += [
                codec.instant(window.begins) for window in plan.site.no_notice if id in window.zones
            ]
            if parts:
                raise ZoneHasParts(parts=", ".join(parts), extra={"parts": parts})
        return _with(plan, kind, [part for part in _all(plan, kind) if part.id != id])

    return change


def order(kind: Kind, ids: Sequence[str]) -> Edit:
    """All zones, lots or codes in another order; those that are not named come after, as they
    were. Raises UnknownPart.
    """

    def change(plan: SitePlan) -> SitePlan:
        parts = {part.id: part for part in _all(plan, kind)}
        for id in ids:
            if id not in parts:
                raise UnknownPart(id=id)
        return _with(plan, kind, [parts[id] for id in dict.fromkeys([*ids, *parts])])

    return change


def move(kind: Kind, id: str, by: int) -> Edit:
    """A zone, a lot or a code so many places further down its list. Raises UnknownPart."""

    def change(plan: SitePlan) -> SitePlan:
        ids = [part.id for part in _all(plan, kind)]
        if id not in ids:
            raise UnknownPart(id=id)
        place = ids.index(id)
        ids.insert(max(0, place + by), ids.pop(place))
        return order(kind, ids)(plan)

    return change


def settings(wanted: Site) -> Edit:
    """The site's settings, its windows without notices aside."""

    def change(plan: SitePlan) -> SitePlan:
        here = plan.site
        kept = replace(wanted, id=here.id, no_notice=here.no_notice, pruned_at=here.pruned_at)
        return replace(plan, site=kept)

    return change


def no_notice(windows: Iterable[NoNotice]) -> Edit:
    """The windows in which no notice is to be issued, the earliest first."""
    inorder = tuple(sorted(windows, key=lambda window: (window.begins, window.ends)))
    return lambda plan: replace(plan, site=replace(plan.site, no_notice=inorder))


def no_notice_with(window: NoNotice | None, *, at: int | None) -> Edit:
    """One window more; or in place of the one at a place of the list, from 0; None: that one less.

    Raises UnknownPart.
    """

    def change(plan: SitePlan) -> SitePlan:
        windows = list(plan.site.no_notice)
        if at is not None:
            if not 0 <= at < len(windows):
                raise UnknownPart(id=str(at + 1))
            del windows[at]
        return no_notice([*windows, window] if window else windows)(plan)

    return change


def amount(code: str, *, day: date, cents: int, today: date) -> Edit:
    """What a code costs from a day to come on, in place of what was planned for that day. What was
    due before stays; the first amount of a code may begin today.

    Raises UnknownPart, AmountInForce.
    """

    def change(plan: SitePlan) -> SitePlan:
        known = _code(plan, code)
        if day < today or (day == today and known.amounts):
            raise AmountInForce(day=today.isoformat())
        others = [each for each in known.amounts if each["from"] != day.isoformat()]
        new = {"from": day.isoformat(), "amount_cents": cents}
        return _amounts(plan, known, [*others, new])

    return change


def no_amount(code: str, *, day: date, today: date) -> Edit:
    """An amount less that has not begun. Raises UnknownPart, AmountInForce."""

    def change(plan: SitePlan) -> SitePlan:
        known = _code(plan, code)
        others = [each for each in known.amounts if each["from"] != day.isoformat()]
        if len(others) == len(known.amounts):
            raise UnknownPart(id=day.isoformat())
        if day <= today:
            raise AmountInForce(day=today.isoformat())
        return _amounts(plan, known, others)

    return change


def each(changes: Iterable[Edit]) -> Edit:
    """One after the other."""
    several = tuple(changes)

    def change(plan: SitePlan) -> SitePlan:
        for one in several:
            plan = one(plan)
        return plan

    return change


def _all(plan: SitePlan, kind: Kind) -> Sequence[Part]:
    parts: Sequence[Part] = getattr(plan, _PARTS[kind])
    return parts


def _with(plan: SitePlan, kind: Kind, parts: Iterable[Part]) -> SitePlan:
    changed: dict[str, Any] = {_PARTS[kind]: tuple(parts)}
    return replace(plan, **changed)


def _code(plan: SitePlan, id: str) -> InfractionCode:
    found = find(plan, "code", id)
    if not isinstance(found, InfractionCode):
        raise UnknownPart(id=id)
    return found


def _amounts(
    plan: SitePlan, code: InfractionCode, amounts: Iterable[Mapping[str, Any]]
) -> SitePlan:
    in_order = tuple(sorted(amounts, key=lambda each: str(each["from"])))
    new = replace(code, amounts=in_order)
    return _with(plan, "code", [new if one.id == code.id else one for one in plan.codes])
