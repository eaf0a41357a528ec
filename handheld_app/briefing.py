"""What the service tells a handheld besides the feed: its site's settings, texts, messages,
questions, and what other handhelds checked lately (docs/devices.md, "The briefing").

What is missing or of another shape has its default: a patrol never waits for a briefing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from handheld_app.notebook import Notebook
from sync import codec
from sync.exchange import Briefed

_LONGEST = 10_000


@dataclass(frozen=True, slots=True)
class Settings:
    """How patrols work at a site."""

    repeat: timedelta = timedelta(days=7)
    """How far back an earlier notice is told of."""
    two_vehicles: timedelta = timedelta(hours=2)
    """Within which two plates of one permit are at the site at once (P05)."""
    void_within: timedelta = timedelta(minutes=10)
    """How long a patroller may void what they issued."""
    lock_after: timedelta = timedelta(minutes=10)
    """Without a touch, after which the PIN is asked for again."""
    ask_about_faces: bool = True
    """Whether a photo that shows a face needs a word that it is needed."""
    chalk_minutes: tuple[int, ...] = (15, 30, 60, 120)


@dataclass(frozen=True, slots=True)
class Message:
    """What a supervisor wants patrollers to know."""

    id: str
    at: datetime
    sender: str
    text: str
    to: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """What a supervisor wants to know of an infraction."""

    infraction: str
    at: datetime
    sender: str
    text: str


@dataclass(frozen=True, slots=True)
class OtherCheck:
    """A plate that another handheld checked."""

    plate: str
    jurisdiction: str
    permit_number: str
    zone: str
    lot: str | None
    place: str | None
    at: datetime
    device: str


@dataclass(frozen=True, slots=True)
class Briefing:
    """All of it. `texts`: a site's words on notices, by instrument and language."""

    settings: Settings = Settings()
    texts: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    questions: tuple[Question, ...] = ()
    checks: tuple[OtherCheck, ...] = ()

    def question_of(self, infraction: str) -> Question | None:
        """What is asked about an infraction."""
        return next((q for q in self.questions if q.infraction == infraction), None)


class Briefings:
    """The last briefing of each site, in the notebook: it is good without network too."""

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook
        self._read: dict[str, Briefing] = {}

    def keep(self, service: str, site: str, briefed: Briefed, *, at: datetime) -> None:
        """Remember what the service told. Writes to disk."""
        body = {"etag": briefed.etag, "body": dict(briefed.body)}
        self._notebook.keep("briefing", f"{service} {site}", body, at=at)
        self._read[f"{service} {site}"] = read(briefed.body)

    def etag(self, service: str, site: str) -> str:
        """By which the next one is asked for; empty when there is none."""
        page = self._notebook.page("briefing", f"{service} {site}")
        return "" if page is None else str(page.body.get("etag", ""))

    def of(self, service: str, site: str) -> Briefing:
        """What is known; the defaults when nothing was told yet."""
        name = f"{service} {site}"
        if name not in self._read:
            page = self._notebook.page("briefing", name)
            self._read[name] = read(None if page is None else page.body.get("body"))
        return self._read[name]

    def forget(self) -> None:
        """The notebook was wiped."""
        self._read.clear()


def read(body: Any) -> Briefing:
    """A briefing as the service sent it; the defaults of what is none."""
    if not isinstance(body, dict):
        return Briefing()
    texts = body.get("texts")
    return Briefing(
        settings=_settings(body.get("settings")),
        texts=texts if isinstance(texts, dict) else {},
        messages=tuple(_each(body.get("messages"), _message)),
        questions=tuple(_each(body.get("questions"), _question)),
        checks=tuple(_each(body.get("checks"), _check)),
    )


def _each(found: Any, parse: Any) -> Sequence[Any]:
    """What can be read of a list; the rest is of a later version of the service."""
    parsed = []
    for one in found if isinstance(found, list) else ():
        try:
            parsed.append(parse(one))
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return parsed


def _settings(found: Any) -> Settings:
    default = Settings()
    if not isinstance(found, dict):
        return default

    def number(name: str, otherwise: float) -> float:
        value = found.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100_000:
            return value
        return otherwise

    minutes = found.get("chalk_minutes")
    chalk = default.chalk_minutes
    if isinstance(minutes, list) and minutes and all(isinstance(m, int) and m > 0 for m in minutes):
        chalk = tuple(minutes)
    day, minute = timedelta(days=1), timedelta(minutes=1)
    return Settings(
        repeat=number("repeat_days", default.repeat / day) * day,
        two_vehicles=number("two_vehicles_minutes", default.two_vehicles / minute) * minute,
        void_within=number("void_minutes", default.void_within / minute) * minute,
        lock_after=number("idle_lock_minutes", default.lock_after / minute) * minute,
        ask_about_faces=found.get("ask_about_faces") is not False,
        chalk_minutes=chalk,
    )


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise TypeError(found)
    return found[:_LONGEST]


def _optional(found: Any) -> str | None:
    return None if found is None else _text(found)


def _message(r: Mapping[str, Any]) -> Message:
    return Message(
        _text(r["id"]),
        codec.parse_instant(r["at"]),
        _text(r["from"]),
        _text(r["text"]),
        _optional(r.get("to")),
    )


def _question(r: Mapping[str, Any]) -> Question:
    return Question(
        _text(r["infraction"]), codec.parse_instant(r["at"]), _text(r["from"]), _text(r["text"])
    )


def _check(r: Mapping[str, Any]) -> OtherCheck:
    return OtherCheck(
        _text(r["plate"]),
        _text(r["jurisdiction"]),
        _text(r["permit_number"]),
        _text(r["zone"]),
        _optional(r.get("lot")),
        _optional(r.get("place")),
        codec.parse_instant(r["at"]),
        _text(r["device"]),
    )
