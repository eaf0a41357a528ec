"""What the forms about a site have in common: what was typed becomes a shape of the API's, and what
is wrong with it sentences with the fields' own names; a piece that somebody else changed meanwhile
is told with what it is now.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from starlette.responses import Response

from enforcement_api.console.showing import Showing
from enforcement_api.console.web import Visitor, Web
from enforcement_api.problems import N_, Invalid, Problem, error_of
from enforcement_api.shapes import Shape
from enforcement_api.sites import core, store
from enforcement_api.sites.administration import Administration
from enforcement_api.sites.core import SitePlan
from enforcement_api.sites.pieces import Edit, Seen, SiteChanged
from sync.entities import ALL_ZONES

S = TypeVar("S", bound=Shape)

LABELS: Mapping[str, str] = {
    "code": N_("Code"),
    "name": N_("Name"),
    "name/fr": N_("Name in French"),
    "name/en": N_("Name in English"),
    "note": N_("Note"),
    "note/fr": N_("Note in French"),
    "note/en": N_("Note in English"),
    "title/fr": N_("Title in French"),
    "title/en": N_("Title in English"),
    "address": N_("Address"),
    "time_zone": N_("Time zone"),
    "jurisdiction": N_("Jurisdiction of plates"),
    "instrument": N_("Kind of notice"),
    "instruments": N_("Kinds of notice"),
    "activation_hours": N_("Activation delay, in hours"),
    "retention_days": N_("How long an ended permit counts, in days"),
    "stale_after_hours": N_("Age of data that warns, in hours"),
    "zone": N_("Zone"),
    "zones": N_("Zones"),
    "lots": N_("Lots"),
    "codes": N_("Codes"),
    "area": N_("Corners"),
    "article": N_("Article or clause"),
    "amounts": N_("Amounts"),
    "amount_cents": N_("Amount"),
    "photos_required": N_("Photos to take"),
    "active": N_("In use"),
    "from": N_("From"),
    "until": N_("Until"),
    "reason": N_("Reason"),
    "reason/fr": N_("Reason in French"),
    "reason/en": N_("Reason in English"),
    "no_notice": N_("Times without notices"),
    "order": N_("Order"),
    "file": N_("File"),
    "repeat_days": N_("An earlier notice is told for, in days"),
    "two_vehicles_minutes": N_("Two vehicles of one permit are told within, in minutes"),
    "void_minutes": N_("Patrollers may void their own for, in minutes"),
    "idle_lock_minutes": N_("A handheld asks for the PIN after, in minutes"),
    "ask_about_faces": N_("Ask about faces in photos"),
    "chalk_minutes": N_("Time limits to choose from, in minutes"),
    "operator": N_("Who issues it"),
    "how_to_pay": N_("How to pay"),
    "how_to_contest": N_("How to contest"),
    "footer": N_("At the bottom"),
    "payment_url": N_("Address to pay at"),
    "fr": N_("in French"),
    "en": N_("in English"),
    "avis": N_("Notice of claim"),
    "constat": N_("Statement of offence"),
    "warning": N_("Warning"),
}
"""What people call the fields, by the end of the pointer that a shape has for each."""

INSTRUMENTS: Mapping[str, str] = {"avis": LABELS["avis"], "constat": LABELS["constat"]}
FORMS: Mapping[str, str] = {**INSTRUMENTS, "warning": LABELS["warning"]}
"""The papers that a handheld prints."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}):(\d{2})")
_MONEY = re.compile(r"([0-9]{1,9})(?:[.,]([0-9]{1,2}))?")
_LONGEST_TOLD = 300


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a form was not carried out: sentences, and what somebody else made of it meanwhile, as
    pairs of a field's name and what it is now.
    """

    sentences: Sequence[str] = ()
    now: Sequence[tuple[str, str]] = ()
    status: int = 200

    def __bool__(self) -> bool:
        return bool(self.sentences)


FINE = Refused()


class Desk:
    """Where forms about a site are handed in."""

    def __init__(self, web: Web, administration: Administration) -> None:
        self.web = web
        self.administration = administration

    def plan(self, site: str) -> SitePlan:
        """The site whole. Raises UnknownSite."""
        return self.web.record.read(lambda tx: store.plan(tx, site))

    def change(self, visitor: Visitor, edit: Edit) -> SitePlan:
        """Change a site as its form says that somebody saw it. Raises what change_site does."""
        return self.administration.change_site(
            visitor.at_site.id,
            edit,
            seen=Seen.read(visitor.text("expected")),
            by=visitor.principal,
            at=self.web.at(),
        )

    def page(
        self,
        template: str,
        visitor: Visitor,
        plan: SitePlan,
        *names: str,
        refused: Refused = FINE,
        **shown: Any,
    ) -> Response:
        """A page about pieces of a site. Its forms say that it showed these as they are now."""
        return self.web.page(
            template,
            visitor,
            status=refused.status,
            plan=plan,
            zones={zone.id: zone for zone in plan.zones},
            refused=refused,
            expected=str(Seen.of(plan, *names)),
            labels=LABELS,
            forms=FORMS,
            ALL=ALL_ZONES,
            **shown,
        )

    def today(self, plan: SitePlan) -> date:
        """The day that it is at the site."""
        return self.web.at().astimezone(ZoneInfo(plan.site.time_zone)).date()

    def refused(self, problem: Problem, visitor: Visitor) -> Refused:
        """What is wrong, as somebody who looks at the form reads it."""
        show = self._show(visitor)
        if isinstance(problem, SiteChanged):
            changed: list[str] = problem.extra["changed"]
            now: Mapping[str, Mapping[str, Any]] = problem.extra["now"]
            told = [
                N_("Somebody else has changed this meanwhile; how it is now stands here."),
                N_("What you typed is still in the form: saving it again takes the place of it."),
            ]
            return Refused(
                [show.text(sentence) for sentence in told],
                [fact for name in changed for fact in _as_it_is(name, now, show)],
                problem.status,
            )
        facts = problem.as_json(visitor.language)
        if isinstance(problem, Invalid):
            sentences = [
                f"{label(e['pointer'], show)}{show.colon} {e['detail']}"
                for e in facts.get("errors", ())
            ]
            return Refused(sentences, (), problem.status)
        return Refused([f"{facts['title']}. {facts['detail']}"], (), problem.status)

    def _show(self, visitor: Visitor) -> Showing:
        zone = visitor.site.time_zone if visitor.site else "UTC"
        return Showing(visitor.language, zone, at=self.web.at())


def label(pointer: str, show: Showing) -> str:
    """What people call the field that a pointer leads to, with what it is part of."""
    parts = [part for part in pointer.split("/") if part]
    numbers = [str(int(part) + 1) for part in parts if part.isdecimal()]
    words = [part for part in parts if not part.isdecimal()]
    named: list[str] = []
    while words:
        pair = "/".join(words[-2:])
        taken = 2 if len(words) > 1 and pair in LABELS else 1
        found = LABELS.get("/".join(words[-taken:]))
        named[:0] = [show.text(found)] if found else []
        del words[-taken:]
    told = " – ".join(named) or pointer
    return f"{told} ({numbers[-1]})" if numbers else told


def _as_it_is(
    name: str, now: Mapping[str, Mapping[str, Any]], show: Showing
) -> Iterable[tuple[str, str]]:
    piece = next(each for each in now if name == each or name.startswith(f"{each}/"))
    field = name[len(piece) + 1 :]
    if not field:
        told = N_("as it is now") if now[name] else N_("removed")
        yield piece, show.text(told)
        return
    value = now[piece][field]
    if field == "area":
        yield label(field, show), show.text(N_("drawn anew") if value else N_("removed"))
    elif isinstance(value, Mapping) and set(value) <= {"fr", "en"}:
        for language in value:
            yield label(f"{field}/{language}", show), str(value[language])[:_LONGEST_TOLD]
    elif isinstance(value, list):
        told = ", ".join(each if isinstance(each, str) else _told(each, show) for each in value)
        yield label(field, show), (told or "—")[:_LONGEST_TOLD]
    else:
        yield label(field, show), "—" if value is None else str(value)[:_LONGEST_TOLD]


def _told(part: Any, show: Showing) -> str:
    if isinstance(part, Mapping) and "amount_cents" in part:
        return f"{part['from']}{show.colon} {show.money(part['amount_cents'])}"
    if isinstance(part, Mapping) and "until" in part:
        return f"{part['from']} – {part['until']}"
    return str(part)


# From what was typed to shapes


def shaped(shape: type[S], given: Mapping[str, Any]) -> S:
    """What was typed as a shape of the API's. Raises Invalid."""
    try:
        return shape.model_validate(given)
    except ValidationError as error:
        raise Invalid(errors=[error_of(found) for found in error.errors()]) from error


def number(text: str) -> int | str:
    """A whole number that was typed; anything else stays as it is, for the shape to refuse."""
    plain = re.sub(r"\s", "", text)
    return int(plain) if re.fullmatch(r"-?[0-9]{1,9}", plain) else text


def both(visitor: Visitor, name: str) -> dict[str, str] | None:
    """A text in both languages; None: neither was typed."""
    typed = {language: visitor.text(f"{name}_{language}") for language in ("fr", "en")}
    return typed if any(typed.values()) else None


def cents(text: str) -> int:
    """An amount as people type it, `60`, `60,00` or `60.00 $`. Raises Invalid."""
    found = _MONEY.fullmatch(re.sub(r"[\s$]", "", text))
    if found is None:
        told = N_("must be an amount, such as 60.00")
        raise Invalid(errors=[Problem.Error("/amount_cents", told)])
    dollars, part = found.groups()
    return int(dollars) * 100 + int((part or "").ljust(2, "0"))


def instant(text: str, time_zone: str, pointer: str) -> datetime:
    """A date and a time of the site's clock, as a browser's field gives it. Raises Invalid.

    What the clock shows twice is the first of the two.
    """
    found = _MOMENT.match(text)
    try:
        if found is None:
            raise ValueError(text)
        day, hour, minute = found.groups()
        local = datetime.fromisoformat(f"{day}T{hour}:{minute}").replace(tzinfo=ZoneInfo(time_zone))
    except ValueError as error:
        told = N_("must be a date and a time, such as 2026-12-24 00:00")
        raise Invalid(errors=[Problem.Error(pointer, told)]) from error
    return local


def typed_moment(at: datetime, time_zone: str) -> str:
    """An instant as a browser's field for date and time takes it."""
    return f"{at.astimezone(ZoneInfo(time_zone)):%Y-%m-%dT%H:%M}"


def refuse_penal_words(texts: Iterable[tuple[str, str, str]]) -> None:
    """Of the texts of a claim, each (pointer, language, words): Invalid where one speaks as if it
    were penal (DOMAIN 5).
    """
    errors = [
        Problem.Error(pointer, core.NO_WORD_OF_A_CLAIM, word=word)
        for pointer, language, words in texts
        if (word := core.penal_word(words, language))
    ]
    if errors:
        raise Invalid(errors=errors)
