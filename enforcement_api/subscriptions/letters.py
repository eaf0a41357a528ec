"""What letters say: one definition of each kind, for plain text and HTML, French and English
(DOMAIN 4). Pure: everything comes from the facts that were written down when it happened.

Instants in facts are `2026-11-23T15:15:00Z`, days ISO dates, money cents; names of products and
sites are in the letter's language already. What is in every letter but `confirm_address`:
`name` (of the holder), `number` (of the contract), `product`, `site`, `time_zone` (IANA).

| kind | further facts |
|---|---|
| confirm_address | name, time_zone, link, expires_at |
| request_received | starts_on, ends_on (null: none), plates: [plate] |
| approved | starts_on, ends_on, activation_hours, plates: [{plate, usable_from}], contract |
| refused, change_refused, cancellation_refused | reason |
| vehicle_added | plate, usable_from, activation_hours |
| vehicle_changed | the same, and previous: the plate that works until then, if one does |
| vehicle_deleted | plate |
| change_received, resumed | |
| change_approved | product_before; contract, if there is a new one |
| cancellation_received | on: the last day that is asked for (null: at once) |
| cancellation_approved | last_day (null: it has ended) |
| cancelled | last_day (null: it has ended), reason (or null) |
| suspended | reason (or null) |
| payment_failed | amount_cents, reason, grace_until, next_try_at (each of the three may be null) |
| payment_suspended | amount_cents |
| payment_received | amount_cents, period_from, period_until, card_last4 (both may be null) |

`contract` is the position of the contract that goes with it as a PDF.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from enforcement_api.problems import N_
from enforcement_api.wording import Words, line, lines, name_to_greet


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter to a holder. `key` says what it is about: of a site it is written once."""

    site: str
    key: str
    holder: str
    subscription: str | None
    kind: str
    language: str
    recipient: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Composed:
    """What is sent: one line of subject, and the same words as plain text and as HTML."""

    language: str
    subject: str
    text: str
    html: str


# What a letter is made of


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Some sentences."""

    text: str
    block: str = "paragraph"


@dataclass(frozen=True, slots=True)
class Notice:
    """What must not be overlooked, a line each."""

    lines: Sequence[str]
    block: str = "notice"


@dataclass(frozen=True, slots=True)
class Quote:
    """What somebody wrote, under a title of ours."""

    title: str
    lines: Sequence[str]
    block: str = "quote"


@dataclass(frozen=True, slots=True)
class Rows:
    """Names and values."""

    rows: Sequence[tuple[str, str]]
    block: str = "rows"


@dataclass(frozen=True, slots=True)
class Link:
    """A button; in plain text the address."""

    label: str
    url: str
    block: str = "link"


Block = Paragraph | Notice | Quote | Rows | Link


class _Facts(Words):
    """The facts of a letter, and the words for them."""

    def __init__(self, language: str, facts: Mapping[str, Any]) -> None:
        super().__init__(language, facts["time_zone"])
        self._facts = facts

    def __getitem__(self, name: str) -> Any:
        """A fact; texts are made harmless. Raises KeyError."""
        fact = self._facts[name]
        return line(fact) if isinstance(fact, str) else fact

    def has(self, name: str) -> bool:
        """Whether there is such a fact, and not null."""
        return self._facts.get(name) is not None

    def paragraph(self, text: str, **facts: object) -> Paragraph:
        return Paragraph(self.say(text, **facts))

    def notice(self, text: str, **facts: object) -> Notice:
        return Notice([self.say(text, **facts)])

    def labelled(self, label: str, value: str = "") -> str:
        """A name and its value on one line."""
        return self.say(N_("{label}: {value}"), label=label, value=value).strip()

    def reason(self) -> Iterator[Block]:
        """Why, in the words of whoever decided; nothing if they gave none."""
        if self.has("reason"):
            yield Quote(self.say(N_("The reason given")), lines(self._facts["reason"]))

    def term(self) -> list[tuple[str, str]]:
        """From when to when a subscription runs."""
        ends = self.day(self["ends_on"]) if self.has("ends_on") else self.say(N_("No end date"))
        return [
            (self.say(N_("Starts on")), self.day(self["starts_on"])),
            (self.say(N_("Ends on")), ends),
        ]

    def not_before(self, plates: Sequence[Mapping[str, str]]) -> Iterator[Block]:
        """From when, to the second, patrollers know each plate (DOMAIN 2.2)."""
        if not plates:
            return
        yield Notice(
            [
                self.say(
                    N_("{plate}: do not park before {at}."),
                    plate=line(plate["plate"]),
                    at=self.moment(plate["usable_from"]),
                )
                for plate in plates
            ]
        )
        if self["activation_hours"]:
            yield Paragraph(
                self.ngettext(
                    "Patrollers need {n} hour until their devices know a plate. A vehicle that is"
                    " parked earlier is treated as one without a permit.",
                    "Patrollers need {n} hours until their devices know a plate. A vehicle that is"
                    " parked earlier is treated as one without a permit.",
                    self["activation_hours"],
                )
            )
        else:
            yield self.paragraph(
                N_("A vehicle that is parked earlier is treated as one without a permit.")
            )

    def contract(self, text: str) -> Iterator[Block]:
        if self.has("contract"):
            yield self.paragraph(text)


_ASK = N_(
    "If you have a question, get in touch with the parking office and give your contract number."
)
_UNASKED = N_(
    "If you did not ask for this, tell the parking office at once and give your contract number."
)


def _confirm_address(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_("You gave this address for a parking subscription. Confirm that it is yours:")
    )
    yield Link(facts.say(N_("Confirm my address")), facts["link"])
    yield facts.paragraph(
        N_("The link works until {at}; after that, ask for a new one."),
        at=facts.moment(facts["expires_at"]),
    )
    yield facts.paragraph(N_("If you asked for nothing, ignore this message."))


def _request_received(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_(
            "We have received your request for a subscription. We will look at it, and write to you"
            " as soon as it is decided. Nothing is charged before that."
        )
    )
    yield facts.notice(
        N_(
            "Do not park yet: the subscription gives you no right to park before it is approved and"
            " active."
        )
    )
    plates = ", ".join(map(line, facts["plates"]))
    yield Rows([*facts.term(), *([(facts.say(N_("Plates")), plates)] if plates else [])])


def _approved(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(N_("Good news: your subscription is approved."))
    yield from facts.not_before(facts["plates"])
    yield Rows(facts.term())
    yield from facts.contract(N_("Your contract is attached to this message. Please keep it."))


def _refused(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_("Your request for a subscription could not be accepted. Nothing was charged.")
    )
    yield from facts.reason()
    yield facts.paragraph(
        N_(
            "You may make a new request once what stood in its way is settled. If you have a"
            " question, get in touch with the parking office and give your contract number."
        )
    )


def _vehicle_added(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_("The plate {plate} was added to your subscription."), plate=facts["plate"]
    )
    yield from facts.not_before([{"plate": facts["plate"], "usable_from": facts["usable_from"]}])
    yield facts.paragraph(_UNASKED)


def _vehicle_changed(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_("A vehicle of your subscription was changed: its plate is now {plate}."),
        plate=facts["plate"],
    )
    yield from facts.not_before([{"plate": facts["plate"], "usable_from": facts["usable_from"]}])
    if facts.has("previous"):
        yield facts.paragraph(
            N_("The plate {previous} stays valid until that moment, and ends then."),
            previous=facts["previous"],
        )
    yield facts.paragraph(_UNASKED)


def _vehicle_deleted(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_("The plate {plate} was removed from your subscription."), plate=facts["plate"]
    )
    yield facts.notice(
        N_("{plate}: do not park with this subscription any more."), plate=facts["plate"]
    )
    yield facts.paragraph(_UNASKED)


def _change_received(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_(
            "We have received your request to change your subscription. We will look at it, and"
            " write to you as soon as it is decided. Until then, your subscription stays as it is."
        )
    )
    yield facts.paragraph(_UNASKED)


def _change_approved(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_("Your change is approved. You had {before}; your subscription is now {product}."),
        before=facts["product_before"],
        product=facts["product"],
    )
    yield facts.paragraph(
        N_(
            "No new delay begins for your plates. Before you park, see in which zones your"
            " subscription is good now."
        )
    )
    yield from facts.contract(N_("Your new contract is attached to this message. Please keep it."))


def _change_refused(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_("Your request for a change could not be accepted. Your subscription stays as it is.")
    )
    yield from facts.reason()
    yield facts.paragraph(_ASK)


def _cancellation_received(facts: _Facts) -> Iterator[Block]:
    asked = (
        facts.say(
            N_("You ask that {day} be the last day of your subscription."),
            day=facts.day(facts["on"]),
        )
        if facts.has("on")
        else facts.say(N_("You ask that your subscription end as soon as possible."))
    )
    yield Paragraph(asked)
    yield facts.paragraph(
        N_(
            "We will look at your request, and write to you as soon as it is decided. Until then,"
            " your subscription stays as it is."
        )
    )
    yield facts.paragraph(_UNASKED)


def _last_day(facts: _Facts) -> Block:
    if facts.has("last_day"):
        return facts.notice(
            N_("Its last day is {day}: do not park with it after that day."),
            day=facts.day(facts["last_day"]),
        )
    return facts.notice(N_("It has ended: do not park with it any more."))


def _cancellation_approved(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(N_("As you asked, your subscription is cancelled."))
    yield _last_day(facts)
    yield facts.paragraph(_UNASKED)


def _cancellation_refused(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_(
            "Your request to cancel your subscription could not be accepted. Your subscription"
            " stays as it is."
        )
    )
    yield from facts.reason()
    yield facts.paragraph(_ASK)


def _cancelled(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(N_("Your subscription was cancelled."))
    yield _last_day(facts)
    yield from facts.reason()
    yield facts.paragraph(_ASK)


def _suspended(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_("Your subscription is suspended: from now on, its plates are not valid.")
    )
    yield facts.notice(N_("Do not park before we write to you that the suspension is lifted."))
    yield from facts.reason()
    yield facts.paragraph(_ASK)


def _resumed(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_(
            "The suspension of your subscription is lifted. Its plates are valid again as they were"
            " before; one that was announced to you for a later moment, from that moment on."
        )
    )


_PAY = N_(
    "Please see to it that your means of payment can be charged, or give the parking office another"
    " one."
)


def _payment_failed(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_("We could not collect the {amount} for your subscription."),
        amount=facts.money(facts["amount_cents"]),
    )
    yield from facts.reason()
    if facts.has("grace_until"):
        yield facts.notice(
            N_("If it is not paid by {at}, your subscription will be suspended."),
            at=facts.when(facts["grace_until"]),
        )
    if facts.has("next_try_at"):
        yield facts.paragraph(N_("We try again on {at}."), at=facts.when(facts["next_try_at"]))
    yield facts.paragraph(_PAY)


def _payment_suspended(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_(
            "Your subscription is suspended, since {amount} was not paid in time: from now on, its"
            " plates are not valid."
        ),
        amount=facts.money(facts["amount_cents"]),
    )
    yield facts.notice(N_("Do not park before we write to you that the suspension is lifted."))
    yield facts.paragraph(_PAY)


def _payment_received(facts: _Facts) -> Iterator[Block]:
    yield facts.paragraph(
        N_("Thank you: we have received {amount} for your subscription."),
        amount=facts.money(facts["amount_cents"]),
    )
    first = facts.day(facts["period_from"])
    period = first
    if facts.has("period_until"):
        last = facts.day(facts["period_until"])
        period = facts.say(N_("{first} to {last}"), first=first, last=last)
    rows = [
        (facts.say(N_("Amount")), facts.money(facts["amount_cents"])),
        (facts.say(N_("Period")), period),
    ]
    if facts.has("card_last4"):
        ending = facts.say(N_("ending in {last4}"), last4=facts["card_last4"])
        rows.append((facts.say(N_("Card")), ending))
    yield Rows(rows)


@dataclass(frozen=True, slots=True)
class _Kind:
    heading: str
    body: Callable[[_Facts], Iterator[Block]]


_KINDS: Mapping[str, _Kind] = {
    "confirm_address": _Kind(N_("Confirm your e-mail address"), _confirm_address),
    "request_received": _Kind(N_("We have received your request"), _request_received),
    "approved": _Kind(N_("Your subscription is approved"), _approved),
    "refused": _Kind(N_("Your request was not accepted"), _refused),
    "vehicle_added": _Kind(N_("The plate {plate} was added"), _vehicle_added),
    "vehicle_changed": _Kind(N_("Your plate is now {plate}"), _vehicle_changed),
    "vehicle_deleted": _Kind(N_("The plate {plate} was removed"), _vehicle_deleted),
    "change_received": _Kind(N_("We have received your request for a change"), _change_received),
    "change_approved": _Kind(N_("Your change is approved"), _change_approved),
    "change_refused": _Kind(N_("Your change was not accepted"), _change_refused),
    "cancellation_received": _Kind(
        N_("We have received your request to cancel"), _cancellation_received
    ),
    "cancellation_approved": _Kind(N_("Your cancellation is approved"), _cancellation_approved),
    "cancellation_refused": _Kind(N_("Your cancellation was not accepted"), _cancellation_refused),
    "cancelled": _Kind(N_("Your subscription was cancelled"), _cancelled),
    "suspended": _Kind(N_("Your subscription is suspended"), _suspended),
    "resumed": _Kind(N_("Your subscription is no longer suspended"), _resumed),
    "payment_failed": _Kind(N_("Your payment did not go through"), _payment_failed),
    "payment_suspended": _Kind(N_("Your subscription is suspended"), _payment_suspended),
    "payment_received": _Kind(N_("We have received your payment"), _payment_received),
}
KINDS: tuple[str, ...] = tuple(_KINDS)
"""Every kind of letter."""

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def compose(letter: Letter) -> Composed:
    """The letter in its language. Raises KeyError for a kind that there isn't or a fact that is
    missing, ValueError for one that is none.
    """
    kind, facts = _KINDS[letter.kind], _Facts(letter.language, letter.facts)
    plate = facts["plate"] if facts.has("plate") else ""
    heading = subject = facts.say(kind.heading, plate=plate)
    blocks, site = list(kind.body(facts)), ""
    if facts.has("number"):
        site = facts["site"]
        subject = facts.say(
            N_("{heading} – contract {number}"), heading=heading, number=facts["number"]
        )
        blocks.append(
            Rows(
                [
                    (facts.say(N_("Contract")), facts["number"]),
                    (facts.say(N_("Subscription")), facts["product"]),
                    (facts.say(N_("Parking")), site),
                ]
            )
        )
    name = name_to_greet(facts["name"])
    shown = {
        "language": facts.language,
        "subject": subject,
        "heading": heading,
        "site": site,
        "greeting": facts.say(N_("Hello {name},"), name=name) if name else facts.say(N_("Hello,")),
        "blocks": blocks,
        "labelled": facts.labelled,
        "footer": facts.say(
            N_("This message was sent automatically. Never send a card number by e-mail.")
        ),
    }
    return Composed(
        facts.language,
        subject,
        _templates.get_template("letter.txt").render(shown),
        _templates.get_template("letter.html").render(shown),
    )
