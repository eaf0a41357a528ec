"""What stands on a notice, line by line, for each instrument (DOMAIN 5). Pure: draws nothing.

Three forms that never share a word of law: *avis de réclamation* is a civil claim, and says that
no public authority made it; *constat d'infraction* is penal; *avertissement* names no amount and
nothing to pay. French comes first and at full size, the other language after it, smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

from sync import codec
from sync.entities import InfractionCode, Lot, Site, Zone
from sync.wording import (
    LANGUAGES,
    dated_instant,
    gettext,
    localized,
    money,
    outcome_words,
    plate_missing_reason,
    short_jurisdiction,
    zone_title,
)

_ = gettext

Form = Literal["avis", "constat", "warning"]
Size = Literal["title", "large", "text", "small"]
Frame = Literal["none", "bar", "box"]

LONGEST_WORDS = 2_000
"""Characters of one text on a sheet: a whole roll is not spent on a slip of the keyboard."""


class NotPrintable(Exception):
    """There is nothing to put on paper: `no_number` (a notice that got none), `nothing_issued`."""

    def __init__(self, reason: Literal["no_number", "nothing_issued"]) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Line:
    """Words across the paper. `bar`: white on black; `box`: within a frame."""

    words: str
    size: Size = "text"
    bold: bool = False
    centred: bool = False
    frame: Frame = "none"


@dataclass(frozen=True, slots=True)
class Pair:
    """What a thing is called, and beside it what it is."""

    label: str
    words: str
    size: Size = "text"
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Priced:
    """Words on the left, an amount on the right."""

    words: str
    amount: str
    size: Size = "text"
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across the paper; `double` before another language; room alone without `inked`."""

    inked: bool = True
    double: bool = False


@dataclass(frozen=True, slots=True)
class QrCode:
    """A code to scan: an address with the number in it, else the number alone.

    `number`: what it holds instead when that address is too long for the paper. `caption` and
    `address` are for people, beside it or below.
    """

    payload: str
    number: str
    caption: str
    address: str


Block = Line | Pair | Priced | Rule | QrCode


@dataclass(frozen=True, slots=True)
class Sheet:
    """A notice as it will be printed, from top to bottom."""

    form: Form
    number: str | None
    blocks: tuple[Block, ...]

    @property
    def words(self) -> str:
        """Everything that can be read on it, a block a line."""
        return "\n".join(_read(block) for block in self.blocks if not isinstance(block, Rule))

    @property
    def code(self) -> str | None:
        """What its QR code holds."""
        return next((block.payload for block in self.blocks if isinstance(block, QrCode)), None)


def _read(block: Line | Pair | Priced | QrCode) -> str:
    match block:
        case Line():
            return block.words
        case Pair():
            return f"{block.label} {block.words}"
        case Priced():
            return f"{block.words} {block.amount}"
        case QrCode():
            return f"{block.caption} {block.address}".rstrip()


@dataclass(frozen=True, slots=True)
class _Law:
    """The words of one form in one language."""

    nature: str
    reasons: str
    total: str = ""
    no_amount: str = ""
    pay: str = ""
    how_to_pay: str = ""
    contest: str = ""
    how_to_contest: str = ""


def _law(form: Form, lang: str, *, address: bool) -> _Law:
    if form == "warning":
        return _Law(
            nature=_(
                "This is a warning: there is nothing to pay. Please follow the signs of this site.",
                lang,
            ),
            reasons=_("What was observed", lang),
        )
    if form == "constat":
        return _Law(
            nature=_(
                "Issued under penal law. You must answer within the time that the law allows.", lang
            ),
            reasons=_("Offence", lang),
            total=_("Amount of the fine", lang),
            no_amount=_("The prosecutor will tell you the amount of the fine.", lang),
            pay=_("To plead guilty and pay", lang),
            how_to_pay=_(
                "Scan the code, or open the address that goes with it, and type the number.", lang
            )
            if address
            else _("Ask the prosecutor how to pay, and give the number of this statement.", lang),
            contest=_("To plead not guilty", lang),
            how_to_contest=_(
                "Write to the prosecutor, give the number of this statement, and enter your plea.",
                lang,
            ),
        )
    return _Law(
        nature=_(
            "Private claim, under civil law, by the operator of this parking lot. No public "
            "authority issued it.",
            lang,
        ),
        reasons=_("Reason for the claim", lang),
        total=_("Amount claimed", lang),
        no_amount=_("The operator will tell you the amount claimed.", lang),
        pay=_("To pay", lang),
        how_to_pay=_(
            "Scan the code, or open the address that goes with it, and type the number.", lang
        )
        if address
        else _("Ask the operator how to pay, and give the number of this notice.", lang),
        contest=_("If you do not agree", lang),
        how_to_contest=_(
            "Write to the operator, give the number of this notice, and say why.", lang
        ),
    )


def compose(
    infraction: Mapping[str, Any],
    *,
    site: Site,
    codes: Iterable[InfractionCode],
    zone: Zone | None = None,
    lot: Lot | None = None,
    texts: Mapping[str, Any] | None = None,
    badge: str = "",
    languages: Sequence[str] = LANGUAGES,
) -> Sheet:
    """The sheet of a recorded infraction.

    `infraction`: the body of `PUT /v1/infractions/{id}` (CONTRACT), as the outbox keeps it.
    `codes`, `zone`, `lot`: those of the site; what is not among them is told by its id. `texts`:
    the site's own words, {"avis" | "constat" | "warning": {"fr" | "en": {"operator", "how_to_pay",
    "how_to_contest", "footer"}}, "payment_url"}, every part optional. `languages`: the first one at
    full size. Raises NotPrintable. Notes are not printed.
    """
    outcome = infraction.get("outcome")
    if outcome not in ("notice", "warning"):
        raise NotPrintable("nothing_issued")
    form: Form = "warning" if outcome == "warning" else site.instrument
    number = infraction.get("number") or None
    if form != "warning" and number is None:
        raise NotPrintable("no_number")
    facts = _Facts(
        infraction, site, {code.id: code for code in codes}, zone, lot, texts or {}, badge
    )
    blocks: list[Block] = []
    for lang in languages:
        blocks += _first(facts, form, number, lang) if not blocks else _again(facts, form, lang)
    return Sheet(form, number, tuple(blocks))


@dataclass(frozen=True, slots=True)
class _Facts:
    infraction: Mapping[str, Any]
    site: Site
    codes: Mapping[str, InfractionCode]
    zone: Zone | None
    lot: Lot | None
    texts: Mapping[str, Any]
    badge: str

    # what the site says

    def said(self, form: Form, part: str, lang: str) -> str:
        """A text of the site's in the language; empty when it gives none."""
        of_form = self.texts.get(form)
        of_lang = of_form.get(lang) if isinstance(of_form, Mapping) else None
        words = of_lang.get(part) if isinstance(of_lang, Mapping) else None
        return _short(words)

    def operator(self, form: Form, lang: str) -> str:
        """Who issues it; a name is the same in every language, so that one is enough."""
        forms: tuple[Form, ...] = (form, self.site.instrument)
        told = (self.said(of, "operator", each) for of in forms for each in (lang, *LANGUAGES))
        return next(filter(None, told), self.site.name)

    @property
    def payment_url(self) -> str:
        return _short(self.texts.get("payment_url"))

    # when, where, what

    def observed(self, lang: str) -> str:
        at = codec.parse_instant(str(self.infraction["observed_at"]))
        return dated_instant(at, self._clock, lang)

    @property
    def _clock(self) -> ZoneInfo:
        return ZoneInfo(self.site.time_zone)

    @property
    def observed_on(self) -> date:
        at = codec.parse_instant(str(self.infraction["observed_at"]))
        return at.astimezone(self._clock).date()

    def place(self, lang: str) -> list[str]:
        """Where in the site: zone, lot, and what the patroller says; the site itself without."""
        zone = zone_title(self.zone, lang) if self.zone else _short(self.infraction.get("zone"))
        lot = self.lot.name if self.lot else _short(self.infraction.get("lot"))
        parts = (zone, lot, _short(self.infraction.get("place")))
        return list(dict.fromkeys(filter(None, parts))) or [self.site.name]

    def plate(self, lang: str) -> str:
        """The plate and where it is from: the country too when it is not the site's."""
        plate = self.infraction.get("plate")
        if not plate:
            reason = str(self.infraction.get("plate_missing_reason") or "no_plate")
            return plate_missing_reason(reason, lang)
        jurisdiction = str(self.infraction.get("jurisdiction") or self.site.jurisdiction)
        is_near = jurisdiction.partition("-")[0] == self.site.jurisdiction.partition("-")[0]
        return f"{plate}\u00a0({short_jurisdiction(jurisdiction) if is_near else jurisdiction})"

    @property
    def vehicle(self) -> str:
        """The vehicle as the patroller described it: make, model, colour."""
        vehicle = self.infraction.get("vehicle")
        if not isinstance(vehicle, Mapping):
            return ""
        car = " ".join(filter(None, (_short(vehicle.get(part)) for part in ("make", "model"))))
        return ", ".join(filter(None, (car, _short(vehicle.get("colour")))))

    @property
    def chosen(self) -> list[str]:
        return [str(id) for id in self.infraction.get("codes") or ()]

    def reason(self, id: str, lang: str) -> str:
        code = self.codes.get(id)
        title = localized(code.title, lang) if code else ""
        return f"{id}\u00a0·\u00a0{title}" if title else id

    def article(self, id: str) -> str:
        code = self.codes.get(id)
        return _short(code.article) if code else ""

    def amount(self, id: str) -> int | None:
        """Cents that the code cost on the day it was observed; None when nothing says so."""
        code = self.codes.get(id)
        return None if code is None else code.amount_on(self.observed_on)

    def total(self) -> int | None:
        """Cents in all; None when the amount of any code is not known."""
        amounts = [self.amount(id) for id in self.chosen]
        known = [cents for cents in amounts if cents is not None]
        return sum(known) if known and len(known) == len(amounts) else None


_TITLES: Mapping[Form, Frame] = {"avis": "none", "constat": "bar", "warning": "box"}
"""A claim is printed as the letter of a business that it is; only what is penal looks official."""


def _first(facts: _Facts, form: Form, number: str | None, lang: str) -> list[Block]:
    """The sheet in its first language, at full size, with the code to scan."""
    law = _law(form, lang, address=bool(facts.payment_url))
    operator = facts.operator(form, lang)
    blocks: list[Block] = [Line(operator, "text", bold=True, centred=True)]
    if facts.site.name != operator:
        blocks.append(Line(facts.site.name, "small", centred=True))
    if facts.site.address:
        blocks.append(Line(facts.site.address, "small", centred=True))
    blocks += [
        Rule(inked=False),
        Line(_title(form, lang), "title", bold=True, centred=True, frame=_TITLES[form]),
    ]
    if number:
        words = _("No. {number}", lang).format(number=number)
        blocks.append(Line(words, "large", bold=True, centred=True))
    blocks += [
        Line(law.nature, "small", centred=True),
        Rule(),
        Pair(_("Observed on", lang), facts.observed(lang)),
        Pair(_("Place", lang), "\n".join(facts.place(lang))),
        Pair(_("Plate", lang), facts.plate(lang), _plate_size(facts), bold=True),
    ]
    if facts.vehicle:
        blocks.append(Pair(_("Vehicle", lang), facts.vehicle))
    blocks += [Rule(), Line(law.reasons, "text", bold=True)]
    blocks += _reasons(facts, form, law, lang, "text")
    if form != "warning":
        blocks += [Rule(), Line(law.pay, "text", bold=True)]
        blocks.append(Line(facts.said(form, "how_to_pay", lang) or law.how_to_pay))
        blocks.append(_code_to_scan(facts.payment_url, form, number or "", lang))
    contest = facts.said(form, "how_to_contest", lang) or law.how_to_contest
    if contest:
        title = law.contest or _("If you do not agree", lang)
        blocks += [Rule(), Line(title, "text", bold=True), Line(contest)]
    blocks.append(Rule())
    if facts.badge:
        blocks.append(Pair(_("Patroller", lang), facts.badge))
    if footer := facts.said(form, "footer", lang):
        blocks.append(Line(footer, "small"))
    return blocks


def _again(facts: _Facts, form: Form, lang: str) -> list[Block]:
    """The same in another language, smaller: what a driver needs to understand and to act."""
    law = _law(form, lang, address=bool(facts.payment_url))
    blocks: list[Block] = [
        Rule(double=True),
        Line(_title(form, lang), "text", bold=True, centred=True),
        Line(law.nature, "small", centred=True),
        Rule(inked=False),
        Pair(_("Observed on", lang), facts.observed(lang), "small"),
        Pair(_("Place", lang), ", ".join(facts.place(lang)), "small"),
        Pair(_("Plate", lang), facts.plate(lang), "small"),
        Rule(inked=False),
        Line(law.reasons, "small", bold=True),
        *_reasons(facts, form, law, lang, "small"),
    ]
    if form != "warning":
        how = facts.said(form, "how_to_pay", lang) or law.how_to_pay
        blocks += [Rule(inked=False), Line(law.pay, "small", bold=True), Line(how, "small")]
    contest = facts.said(form, "how_to_contest", lang) or law.how_to_contest
    if contest:
        title = law.contest or _("If you do not agree", lang)
        blocks += [Rule(inked=False), Line(title, "small", bold=True), Line(contest, "small")]
    if footer := facts.said(form, "footer", lang):
        blocks += [Rule(inked=False), Line(footer, "small")]
    return blocks


def _title(form: Form, lang: str) -> str:
    outcome = "warning" if form == "warning" else "notice"
    words = outcome_words(outcome, form, lang)
    # The penal form alone speaks in capitals.
    return words.upper() if form == "constat" else words


def _plate_size(facts: _Facts) -> Size:
    return "large" if facts.infraction.get("plate") else "text"


def _reasons(facts: _Facts, form: Form, law: _Law, lang: str, size: Size) -> list[Block]:
    """Each code with its article and, unless it is a warning, what it costs; then what all cost."""
    blocks: list[Block] = []
    for id in facts.chosen:
        cents = None if form == "warning" else facts.amount(id)
        words = facts.reason(id, lang)
        # One amount alone stands below, where it is looked for.
        priced = cents is not None and len(facts.chosen) > 1
        blocks.append(Priced(words, money(cents or 0, lang), size) if priced else Line(words, size))
        if article := facts.article(id):
            blocks.append(Line(article, "small"))
    if form == "warning":
        return blocks
    total = facts.total()
    if total is None:
        return [*blocks, Line(law.no_amount, size, bold=True)]
    if size == "small":
        return [*blocks, Priced(law.total, money(total, lang), "small", bold=True)]
    return [*blocks, Rule(inked=False), Priced(law.total, money(total, lang), "large", bold=True)]


def _code_to_scan(url: str, form: Form, number: str, lang: str) -> QrCode:
    words = _("No. {number}", lang).format(number=number)
    return QrCode(
        payment_address(url, form, number) or number, number, words, url.removeprefix("https://")
    )


def payment_address(url: str, form: Form, number: str) -> str:
    """The address to pay at, with the number as `avis=` or `constat=`; empty without an address."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    others = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True)]
    return urlunsplit(parts._replace(query=urlencode([*others, (form, number)])))


def _short(words: object) -> str:
    """A text as it goes on paper; empty for none, and for what is no text."""
    return words.strip()[:LONGEST_WORDS] if isinstance(words, str) else ""
