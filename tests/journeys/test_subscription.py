"""The guide's story, end to end: John John subscribes, is approved, parks, and changes his vehicle.

Real SMTP, the real local payment provider in a process of its own, a real handheld that loses its
network an hour after the approval; nothing stands in for anything but the clock.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from pypdf import PdfReader

from sync.codec import instant
from tests.local_provider import LocalProvider, give_card, local_provider
from tests.mail import Mailbox
from tests.service import Service, picture, running
from tests.subscribing import CONSENTS, Office, new_id

SITE = "1085"
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
REQUESTED = datetime(2021, 5, 28, 13, 0, tzinfo=UTC)
APPROVED = datetime(2021, 6, 1, 14, 30, 20, tzinfo=UTC)
"""On the first day, so that the 24 hours, and not the start, decide."""


class Story:
    """Who is in it: the office, the post, the payment provider, a patroller, and a subscriber."""

    def __init__(self, service: Service, mailbox: Mailbox, provider: LocalProvider) -> None:
        self.service, self.mailbox, self.provider = service, mailbox, provider
        service.site(
            SITE,
            name="CIUSSS de l'Estrie - CHUS",
            address="375 rue Argyll, J1J 3H5, Sherbrooke, QC",
            zones=[{"code": "G1", "name": {"fr": "Général, zone 1", "en": "General, zone 1"}}],
        )
        self.office = Office(service, site=SITE)
        self.office.product(
            "5569",
            price_cents=2308,
            zones=["G1"],
            notice={"fr": "Valide dans la zone 1.", "en": "Valid in zone 1."},
            questions=[
                {"code": "school", "text": {"fr": "Établissement d'enseignement", "en": "School"}},
                {"code": "field", "text": {"fr": "Discipline du stage", "en": "Field"}},
            ],
            proof_required=True,
        )

    def new_letters(self) -> list[EmailMessage]:
        """What the post brings since the last time."""
        known = len(self.mailbox.letters)
        self.service.parts.clerk.do_all()
        return self.mailbox.letters[known:]

    def follow_link(self, letter: EmailMessage) -> tuple[httpx.Response, httpx.Response]:
        """Open the link of a letter, as a browser does, and press the page's button."""
        (link,) = set(re.findall(r"https?://\S+", text_of(letter)))
        assert link in html_of(letter).replace("&amp;", "&")
        browser = self.service.client(None, language="fr")
        return browser.get(link), browser.post(link)

    def give_card(self, subscription: str) -> None:
        path = f"subscriptions/{subscription}/payment-pages/{new_id()}"
        page = self.office.does("PUT", path, json={"language": "fr"})
        give_card(page["url"])
        assert self.office.does("GET", path)["state"] == "completed"


def text_of(letter: EmailMessage) -> str:
    part = letter.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def html_of(letter: EmailMessage) -> str:
    part = letter.get_body(("html",))
    assert part is not None
    return str(part.get_content())


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with (
        Mailbox() as mailbox,
        local_provider(tmp_path / "provider") as provider,
        running(tmp_path, at=REQUESTED, **mailbox.settings, **provider.settings) as service,
    ):
        yield Story(service, mailbox, provider)


def test_plate_of_john_john_is_active_24_hours_after_the_approval_to_the_second(
    story: Story,
) -> None:
    service, office, clock = story.service, story.office, story.service.clock

    # He opens an account, and confirms his address from the letter.
    holder = office.holder(email="john.john@example.org", language="fr")
    (letter,) = story.new_letters()
    assert letter["To"] == "john.john@example.org"
    asked, confirmed = story.follow_link(letter)
    assert "john.john@example.org" in asked.text
    assert office.does("GET", f"holders/{holder}")["email_confirmed_at"] == instant(REQUESTED)
    assert "confirmée" in confirmed.text

    # He asks for permit 5569 from June 1 on, with his Acura and the proof of his internship.
    proof, subscription, vehicle = new_id(), new_id(), new_id()
    answer = office.client.put(
        f"/v1/attachments/{proof}",
        params={"site": SITE, "purpose": "proof", "name": "preuve.jpg"},
        content=picture(),
    )
    assert answer.status_code == 201, answer.text
    acura = {"make": "Acura", "model": "NSX", "year": 2021, "colour": "rouge"}
    request: dict[str, Any] = {
        "kind": "subscription",
        "site": SITE,
        "holder": holder,
        "product": "5569",
        "starts_on": "2021-06-01",
        "ends_on": None,
        "vehicles": [{"id": vehicle, "plate": "ABC123", **acura}],
        "answers": {"school": "Université de Sherbrooke", "field": "Soins infirmiers"},
        "consents": dict.fromkeys(CONSENTS, instant(REQUESTED)),
        "attachments": [proof],
        "payment": {"method": "card"},
    }
    office.does("PUT", f"requests/{subscription}", json=request)
    story.give_card(subscription)
    (letter,) = story.new_letters()
    number = office.get(subscription)["number"]
    assert number in text_of(letter)
    assert "ABC123" in text_of(letter)
    assert office.status(subscription) == "requested"
    assert story.provider.charged() == []  # the charge comes with the approval only

    # It is approved; a handheld syncs within the hour, and then loses its network.
    clock.at = APPROVED
    office.approve(subscription)
    letters = story.new_letters()
    approved = next(letter for letter in letters if list(letter.iter_attachments()))
    assert "2 juin 2021 à 10 h 30 min 20 s" in text_of(approved).replace("\N{NO-BREAK SPACE}", " ")
    (contract,) = approved.iter_attachments()
    pages = PdfReader(io.BytesIO(contract.get_payload(decode=True))).pages
    contract_says = " ".join(page.extract_text() for page in pages)
    for word in (number, "John John", "ABC123", "Acura", "Université de Sherbrooke"):
        assert word in contract_says
    kept = office.ask("GET", f"subscriptions/{subscription}/contract")
    assert kept.content == contract.get_payload(decode=True)
    assert [order.amount_cents for order in story.provider.charged()] == [2308]
    assert office.get(subscription)["balance_cents"] == 0
    handheld = service.handheld(SITE)
    clock.at = APPROVED + HOUR
    handheld.pull()
    handheld.lose_network()

    # Not before 24 hours, to the second; then on the handheld too, which heard of nothing since.
    active = APPROVED + DAY
    for at, verdict in (
        (APPROVED + HOUR, "pending_activation"),
        (active - SECOND, "pending_activation"),
        (active, "valid"),
        (active + 300 * DAY, "valid"),
    ):
        assert handheld.verdict("ABC123", at=at) == verdict
        assert service.verdict("ABC123", at=instant(at)) == verdict
    clock.at = active - SECOND
    assert office.status(subscription) == "waiting"
    clock.at = active
    assert office.status(subscription) == "active"

    # He replaces the vehicle: the old plate works until the new one does, at every instant.
    replaced = clock.at = APPROVED + 30 * DAY
    office.put_vehicle(subscription, "XYZ 789", vehicle=vehicle, make="Honda", colour="bleu")
    (letter,) = story.new_letters()
    assert "XYZ789" in text_of(letter)
    assert "2 juillet 2021 à 10 h 30 min 20 s" in text_of(letter).replace("\N{NO-BREAK SPACE}", " ")
    handheld.find_network()
    handheld.pull()
    handheld.lose_network()
    for at, old, new in (
        (active, "valid", "pending_activation"),
        (replaced, "valid", "pending_activation"),
        (replaced + DAY - SECOND, "valid", "pending_activation"),
        (replaced + DAY, "expired", "valid"),
        (replaced + 300 * DAY, "unknown", "valid"),
    ):
        for plate, verdict in (("ABC123", old), ("XYZ789", new)):
            assert handheld.verdict(plate, at=at) == verdict
            assert service.verdict(plate, at=instant(at)) == verdict
    service.assert_consistent(SITE)
    assert story.new_letters() == []  # nobody is told twice
