"""What a supervisor sets for the patrols of a site, and what they tell them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field, Strict

from enforcement_api.problems import N_, Problem
from enforcement_api.shapes import Id, Instant, Note, Shape, WebAddress, shown_as
from sync import codec

MOST_CHALK_TIMES = 12
MESSAGE_LASTS = timedelta(days=7)
"""How long a message is shown that does not say."""
DAY_MINUTES = 24 * 60


class MessageConflict(Problem):
    """The id was used for something else."""

    status = 409
    slug = "message-conflict"
    title = N_("Another message was sent under this id")
    detail = N_("What was sent first stays as it is. Send this one with an id of its own.")


class UnknownMessage(Problem):
    """No such message."""

    status = 404
    slug = "unknown-message"
    title = N_("There is no such message to the patrols of this site")
    detail = N_("Check the id {id}; the message may have been withdrawn already.")


def _each_once(times: list[int]) -> list[int]:
    if len(set(times)) < len(times):
        raise ValueError(N_("has the same time twice"))
    return times


Minutes = Annotated[int, Strict(), Field(ge=0, le=DAY_MINUTES)]


class SettingsShape(Shape):
    """How handhelds at a site behave.

    `repeat_days`: how far back an earlier notice of a plate is told. `two_vehicles_minutes`: within
    which two vehicles of one permit are told (P05). `void_minutes`: how long patrollers may void
    their own. `idle_lock_minutes`: after which a handheld asks for the PIN. `ask_about_faces`:
    whether a photo in which a face is found needs a word that it is needed. `chalk_minutes`: the
    time limits to choose from.
    """

    repeat_days: Annotated[int, Strict(), Field(ge=0, le=365)] = 7
    two_vehicles_minutes: Minutes = 120
    void_minutes: Minutes = 10
    idle_lock_minutes: Annotated[int, Strict(), Field(ge=1, le=DAY_MINUTES)] = 10
    ask_about_faces: Annotated[bool, Strict()] = True
    chalk_minutes: Annotated[
        list[Annotated[int, Strict(), Field(ge=1, le=7 * DAY_MINUTES)]],
        Field(min_length=1, max_length=MOST_CHALK_TIMES, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_each_once),
    ] = Field(default_factory=lambda: [15, 30, 60, 120])


class PrintedShape(Shape):
    """What is printed on a notice in one language; null: nothing."""

    operator: Note | None = None
    how_to_pay: Note | None = None
    how_to_contest: Note | None = None
    footer: Note | None = None


class InstrumentShape(Shape):
    """What is printed on one kind of notice."""

    fr: PrintedShape = Field(default_factory=PrintedShape)
    en: PrintedShape = Field(default_factory=PrintedShape)


class TextsShape(Shape):
    """What is printed on notices (DOMAIN 5): each instrument has its own words."""

    avis: InstrumentShape = Field(default_factory=InstrumentShape)
    constat: InstrumentShape = Field(default_factory=InstrumentShape)
    warning: InstrumentShape = Field(default_factory=InstrumentShape)
    payment_url: WebAddress | None = None


NOTHING_PRINTED: dict[str, None] = dict.fromkeys(PrintedShape.model_fields)
SETTINGS_EXAMPLE: dict[str, Any] = {
    "settings": {
        "repeat_days": 7,
        "two_vehicles_minutes": 120,
        "void_minutes": 10,
        "idle_lock_minutes": 10,
        "ask_about_faces": True,
        "chalk_minutes": [15, 30, 60, 120],
    },
    "texts": {
        "avis": {
            "fr": {
                "operator": "Société Parc-Auto du Québec",
                "how_to_pay": "En ligne, ou au guichet du P3, dans les 30 jours.",
                "how_to_contest": "Par écrit, dans les 30 jours.",
                "footer": "Merci de votre collaboration.",
            },
            "en": {
                "operator": "Société Parc-Auto du Québec",
                "how_to_pay": "On line, or at the counter of P3, within 30 days.",
                "how_to_contest": "In writing, within 30 days.",
                "footer": "Thank you for your cooperation.",
            },
        },
        "constat": {"fr": NOTHING_PRINTED, "en": NOTHING_PRINTED},
        "warning": {"fr": NOTHING_PRINTED, "en": NOTHING_PRINTED},
        "payment_url": "https://example.org/payer",
    },
}


class PatrolSettings(Shape):
    """All that is set for the patrols of a site. What is left out takes its default."""

    model_config = shown_as(SETTINGS_EXAMPLE)

    settings: SettingsShape = Field(default_factory=SettingsShape)
    texts: TextsShape = Field(default_factory=TextsShape)

    @property
    def void_within(self) -> timedelta:
        """How long after the observation patrollers may void their own infraction."""
        return timedelta(minutes=self.settings.void_minutes)

    @property
    def two_vehicles_within(self) -> timedelta:
        """How long ago a vehicle was seen that may be here at once with another (P05)."""
        return timedelta(minutes=self.settings.two_vehicles_minutes)


class MessageShape(Shape):
    """What a supervisor tells patrols; to all of them, unless it says whom.

    `to_patroller`: a patroller's id or badge. `expires_at`: in seven days, if left out.
    """

    model_config = shown_as(
        {
            "text": "Le P3 est fermé pour le déneigement jusqu’à 14 h.",
            "expires_at": "2026-11-24T05:00:00Z",
        }
    )

    text: Note
    to_device: Annotated[str, Strict(), Field(max_length=100)] | None = None
    to_patroller: Id | None = None
    expires_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What a supervisor tells patrols. `device`, `patroller`: whom; None: all."""

    site: str
    id: str
    content_hash: str
    at: datetime
    by: str
    by_name: str
    text: str
    device: str | None
    patroller: str | None
    expires_at: datetime

    def same_as(self, content_hash: str) -> Message:
        """The message itself, if its content has this hash. Raises MessageConflict."""
        if self.content_hash != content_hash:
            raise MessageConflict
        return self

    def as_json(self) -> dict[str, Any]:
        """A message as it is answered to who sends them."""
        return {
            "id": self.id,
            "at": codec.instant(self.at),
            "from": self.by_name,
            "text": self.text,
            "to_device": self.device,
            "to_patroller": self.patroller,
            "expires_at": codec.instant(self.expires_at),
        }
