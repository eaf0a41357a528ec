"""What a supervisor tells patrollers, in large letters, until it was read."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from kivy.app import App
from kivy.clock import Clock
from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty

from handheld_app.briefing import Message
from handheld_app.controls import Sheet
from handheld_app.wording import instant, more_messages

ENTER, KEYPAD_ENTER = 13, 271
SEEN_AFTER = 0.4
"""Seconds before it can be said to be read: a touch meant for what lay below is none."""


class MessageSheet(Sheet):
    """One message and the button that says that it was read."""

    message = ObjectProperty(None)
    more = NumericProperty(0)
    may_read = BooleanProperty(False)

    def __init__(self, duty: Any, message: Message, *, more: int, **kwargs: Any) -> None:
        super().__init__(message=message, more=more, **kwargs)
        self._duty = duty

    def on_open(self) -> None:
        Clock.schedule_once(lambda _: setattr(self, "may_read", True), SEEN_AFTER)

    def told(self, lang: str) -> str:
        """Who wrote it, and when."""
        patrol = self._duty.patrol if hasattr(self, "_duty") else App.get_running_app().patrol
        site = patrol.site()
        if site is None:
            return str(self.message.sender)
        at = instant(self.message.at, ZoneInfo(site.time_zone), lang, now=patrol.now())
        return f"{self.message.sender} · {at}"

    def rest(self, lang: str, more: int) -> str:
        """How many wait behind it."""
        return more_messages(more, lang) if more else ""

    def heard(self, key: int) -> None:
        """A key of a real keyboard."""
        if key in (ENTER, KEYPAD_ENTER):
            self.read()

    def read(self) -> None:
        if self.may_read:
            self.may_read = False
            self.dismiss(animation=False)
            self._duty.read(self.message)

    def on_dismiss(self) -> None:
        self._duty.message = None
