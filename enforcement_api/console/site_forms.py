"""What the forms about a site have in common: what was typed becomes a shape of the API's, and what
is wrong with it sentences with the fields' own names; a piece that somebody else changed meanwhile
is told with what it is now.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from starlette.responses import Response

from enforcement_api.console.showing import Showing
from enforcement_api.console.web import Visitor, Web
from enforcement_api.console.wording import SITE_FIELDS
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.sites import core, store
from enforcement_api.sites.administration import Administration
from enforcement_api.sites.core import SitePlan
from enforcement_api.sites.pieces import Edit, Seen, SiteChanged
from sync.entities import ALL_ZONES

INSTRUMENTS: Mapping[str, str] = {"avis": SITE_FIELDS["avis"], "constat": SITE_FIELDS["constat"]}
FORMS: Mapping[str, str] = {**INSTRUMENTS, "warning": SITE_FIELDS["warning"]}
"""The papers that a handheld prints."""

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
            labels=SITE_FIELDS,
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
                f"{label(e['pointer'], show)}{show.colon}{e['detail']}"
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
        taken = 2 if len(words) > 1 and pair in SITE_FIELDS else 1
        found = SITE_FIELDS.get("/".join(words[-taken:]))
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
        return f"{part['from']}{show.colon}{show.money(part['amount_cents'])}"
    if isinstance(part, Mapping) and "until" in part:
        return f"{part['from']} – {part['until']}"
    return str(part)


# From what was typed to shapes


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
