"""The contract as a PDF: what was agreed, with whom, and what was accepted when (DOMAIN 4).

Pure: the same bytes for the same facts, in any process at any time, as long as the libraries are
the same. Its own dates, within the file too, are those of the contract.

Facts, all JSON (instants `2026-11-23T15:15:00Z`, days ISO dates, money cents): `number`,
`position` (of the contracts of a subscription, from 1), `language`, `time_zone`,
`site` {name, address}, `product` {code, name}, `price_cents`,
`billing_period` (once, week, month, term, year), `zones` [{code, name}], `notice` or null,
`holder` {name, email, line1, apartment, line2, city, province, postal_code, mobile, home,
home_extension, work, work_extension}, `vehicles` [{plate, jurisdiction, make, model, year, colour,
usable_from}], `starts_on`, `ends_on` or null, `payment_method` (card, cheque or null),
`card_last4` or null, `requested_at`, `approved_at`, `answers` [{question, answer}],
`consents` [{code, text, accepted_at}], `activation_hours`. What the holder or a vehicle lacks is
null or left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, Paragraph, Spacer

from enforcement_api.paper import (
    HEAD,
    INNER,
    MEDIA_TYPE,
    PLATE,
    SMALL,
    TEXT,
    Heading,
    document,
    joined,
    markup,
    notice,
    rows,
    section,
    table,
)
from enforcement_api.problems import N_
from enforcement_api.wording import Words, lines
from sync import codec

__all__ = ["MEDIA_TYPE", "pdf"]

_PERIODS = {
    "once": N_("{price}, once, taxes included"),
    "week": N_("{price} a week, taxes included"),
    "month": N_("{price} a month, taxes included"),
    "term": N_("{price} a term, taxes included"),
    "year": N_("{price} a year, taxes included"),
}
_METHODS = {"card": N_("Credit card"), "cheque": N_("Void cheque")}


def pdf(facts: Mapping[str, Any]) -> bytes:
    """The contract in the holder's language, on Letter paper."""
    contract = _Contract(facts)
    return document(contract, contract.heading(), contract.story)


class _Contract(Words):
    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__(facts["language"], facts["time_zone"])
        self._facts = facts
        self._approved = codec.parse_instant(facts["approved_at"])

    def heading(self) -> Heading:
        """What stands around the text."""
        facts = self._facts
        site, number = facts["site"], facts["number"]
        return Heading(
            title=self.say(N_("Subscription contract")),
            number=number,
            beneath=(site["name"], site.get("address") or ""),
            foot=self.say(
                N_("Contract {number}, version {position}, approved on {at}"),
                number=number,
                position=facts["position"],
                at=self.moment(self._approved),
            ),
            file_title=self.say(N_("Subscription contract {number}"), number=number),
            author=site["name"],
            subject=facts["product"]["name"],
            at=self._approved,
            # Its id would be of $SOURCE_DATE_EPOCH as well.
            facts=json.dumps(facts, sort_keys=True).encode(),
        )

    # The text

    def story(self) -> Iterator[Flowable]:
        facts = self._facts
        zones = [joined(" - ", zone["code"], zone["name"]) for zone in facts["zones"]]
        product = facts["product"]
        yield from section(self, N_("Subscription"))
        ends = self.day(facts["ends_on"]) if facts["ends_on"] else self.say(N_("No end date"))
        yield rows(
            [
                (self.say(N_("Permit")), [joined(" - ", product["code"], product["name"])]),
                (self.say(N_("Zones")), zones),
                (self.say(N_("Starts on")), [self.day(facts["starts_on"])]),
                (self.say(N_("Ends on")), [ends]),
                (self.say(N_("Requested on")), [self.moment(facts["requested_at"])]),
                (self.say(N_("Approved on")), [self.moment(self._approved)]),
            ]
        )
        if facts["notice"]:
            yield Spacer(1, 3 * mm)
            yield notice(facts["notice"])
        yield from section(self, N_("Holder"))
        yield rows(self._holder(facts["holder"]))
        yield from section(self, N_("Vehicles"))
        yield from self._vehicles(facts["vehicles"])
        yield from section(self, N_("Payment"))
        yield rows(self._payment())
        if facts["answers"]:
            yield from section(self, N_("Information given"))
            yield rows([(a["question"], lines(a["answer"])) for a in facts["answers"]])
        yield from section(self, N_("Accepted by the holder"))
        yield from self._consents(facts["consents"])

    def _holder(self, holder: Mapping[str, Any]) -> list[tuple[str, Sequence[str]]]:
        def telephone(which: str) -> str:
            number, extension = holder.get(which), holder.get(f"{which}_extension")
            if number and extension:
                return self.say(
                    N_("{number}, extension {extension}"), number=number, extension=extension
                )
            return number or ""

        apartment = holder.get("apartment")
        address = [
            holder.get("line1"),
            apartment and self.say(N_("Apartment {apartment}"), apartment=apartment),
            holder.get("line2"),
            joined(" ", holder.get("city"), _in_brackets(holder.get("province"))),
            holder.get("postal_code"),
        ]
        rows = [
            (self.say(N_("Name")), [holder["name"]]),
            (self.say(N_("Address")), [part for part in address if part]),
            (self.say(N_("E-mail")), [holder["email"]]),
            (self.say(N_("Mobile telephone")), [telephone("mobile")]),
            (self.say(N_("Home telephone")), [telephone("home")]),
            (self.say(N_("Work telephone")), [telephone("work")]),
        ]
        return [(name, values) for name, values in rows if any(values)]

    def _vehicles(self, vehicles: Sequence[Mapping[str, Any]]) -> Iterator[Flowable]:
        heads = (N_("Plate"), N_("Issued in"), N_("Vehicle"), N_("Valid from"))
        rows = [[Paragraph(markup(self.say(head)), HEAD) for head in heads]]
        for vehicle in vehicles:
            described = joined(" ", *(vehicle.get(part) for part in ("year", "make", "model")))
            described = joined(", ", described, vehicle.get("colour"))
            rows.append(
                [
                    Paragraph(markup(vehicle["plate"]), PLATE),
                    Paragraph(markup(vehicle["jurisdiction"]), TEXT),
                    Paragraph(markup(described), TEXT),
                    Paragraph(markup(self.moment(vehicle["usable_from"])), TEXT),
                ]
            )
        yield table(rows, [28 * mm, 22 * mm, 62 * mm, INNER - 112 * mm], has_head=True)
        hours = self._facts["activation_hours"]
        if hours:
            yield Spacer(1, 2 * mm)
            told = self.ngettext(
                "A plate that is added or changed is known to patrollers {n} hour later. A vehicle"
                " that is parked earlier is treated as one without a permit.",
                "A plate that is added or changed is known to patrollers {n} hours later. A vehicle"
                " that is parked earlier is treated as one without a permit.",
                hours,
            )
            yield Paragraph(markup(told), SMALL)

    def _payment(self) -> list[tuple[str, Sequence[str]]]:
        facts = self._facts
        price = self.say(N_("Free of charge"))
        if facts["price_cents"]:
            price = self.say(
                _PERIODS[facts["billing_period"]], price=self.money(facts["price_cents"])
            )
        rows: list[tuple[str, Sequence[str]]] = [(self.say(N_("Price")), [price])]
        if facts["payment_method"]:
            method = self.say(_METHODS[facts["payment_method"]])
            if facts["card_last4"]:
                ending = self.say(N_("ending in {last4}"), last4=facts["card_last4"])
                method = f"{method}, {ending}"
            rows.append((self.say(N_("Payment method")), [method]))
        return rows

    def _consents(self, consents: Sequence[Mapping[str, Any]]) -> Iterator[Flowable]:
        rows = [
            [
                Paragraph(markup(self.say(head)), HEAD)
                for head in (N_("What was accepted"), N_("Accepted on"))
            ]
        ]
        for consent in consents:
            accepted = self.moment(consent["accepted_at"])
            rows.append(
                [
                    Paragraph(markup(consent["text"]), TEXT),
                    Paragraph(markup(accepted), TEXT),
                ]
            )
        yield KeepTogether([table(rows, [INNER - 68 * mm, 68 * mm], has_head=True)])


def _in_brackets(part: object) -> str:
    return f"({part})" if part else ""
