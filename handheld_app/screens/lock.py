"""What hides everything while nobody touches the device: the PIN brings it back."""

from __future__ import annotations

from typing import Any

from kivy.app import App
from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty, StringProperty
from kivy.uix.gridlayout import GridLayout
from kivy.uix.widget import Widget

from handheld_app.controls import Action, Key, Sheet
from handheld_app.signing_in import PIN_DIGITS, SignedIn
from handheld_app.wording import gettext, pin_forgotten, sign_in_trouble

BACKSPACE, ESCAPE = 8, 27


class PinPad(GridLayout):
    """Ten digits, large enough for gloves, and backspace; calls `typed` with the digit, or with
    nothing for backspace.
    """

    typed = ObjectProperty(lambda digit: None)
    key = NumericProperty(0)
    """How high each is."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keys: dict[str, Any] = {}
        for digit in "123456789":
            self._add(digit)
        self.add_widget(Widget())
        self._add("0")
        self.back = Action(sign="backspace", size_hint_y=1)
        self.back.bind(on_release=lambda _: self.typed(""))
        self.add_widget(self.back)

    def _add(self, digit: str) -> None:
        key = Key(glyph=digit)
        key.bind(on_press=lambda _: self.typed(digit))
        self.keys[digit] = key
        self.add_widget(key)


class LockSheet(Sheet):
    """Over everything, until the sixth digit of the right PIN."""

    badge = StringProperty("")
    called = StringProperty("")
    pin = StringProperty("")
    trouble = StringProperty("")
    busy = BooleanProperty(False)
    other = BooleanProperty(False)
    """Whether somebody else types their badge."""
    forgotten = BooleanProperty(False)
    """Whether it is told what to do about a forgotten PIN."""
    advice = StringProperty("")
    shown = BooleanProperty(False)
    """Whether it was there before the touch that is under way."""

    def __init__(self, duty: Any, *, badge: str, called: str, **kwargs: Any) -> None:
        super().__init__(badge=badge, called=called, **kwargs)
        self._duty = duty
        self._error: Exception | None = None
        self._of: SignedIn = duty.patrol.at_work()
        self.ids.pad.typed = self.type

    def on_open(self) -> None:
        self.shown = True
        App.get_running_app().fbind("lang", self._tell)

    def on_dismiss(self) -> None:
        App.get_running_app().funbind("lang", self._tell)

    def _tell(self, *_: Any) -> None:
        """Why the PIN was not taken, and what to do about one that is forgotten."""
        lang = App.get_running_app().lang
        self.trouble = "" if self._error is None else sign_in_trouble(self._error, lang)
        badge = self.ids.badge.text.strip() if self.other else self.badge
        left = self._duty.patrol.tries_left(badge)
        self.advice = pin_forgotten(left, lang) if self.forgotten else ""

    def _begin(self) -> None:
        """Nothing is typed, nothing went wrong."""
        self.pin, self._error = "", None
        self._tell()

    def type(self, digit: str) -> None:
        """One more digit, or one less; the sixth is enough."""
        if self.busy or self.forgotten:
            return
        self._error = None
        self._tell()
        self.pin = self.pin[:-1] if not digit else (self.pin + digit)[:PIN_DIGITS]
        if len(self.pin) == PIN_DIGITS:
            self.unlock()

    def heard(self, key: int, character: str) -> bool:
        """A key of a real keyboard; whether it goes no further."""
        if self.ids.badge.focus:
            return False
        if key == BACKSPACE:
            self.type("")
        elif key == ESCAPE and self.forgotten:
            self.ask_forgotten()
        elif character.isascii() and character.isdigit():
            self.type(character)
        return True

    def unlock(self) -> None:
        """Ask this device, else the service."""
        badge = self.ids.badge.text.strip() if self.other else self.badge
        if not badge:
            self.pin = ""
            self.ids.badge.focus = True
            return
        self.busy = True
        pin, duty = self.pin, self._duty
        duty.app.workers.ask(
            lambda: duty.patrol.sign_in(badge, pin),
            lambda who: self._unlocked(who, badge, pin),
            self._failed,
        )

    def _unlocked(self, who: SignedIn, badge: str, pin: str) -> None:
        self.busy = False
        if who.unconfirmed:
            self._duty.app.confirm_sign_in(badge, pin)
        self._duty.unlocked(self._of, who)

    def _failed(self, error: Exception) -> None:
        self.busy, self.pin, self._error = False, "", error
        self._tell()

    def ask_other(self) -> None:
        """Another patroller, or the same one after all."""
        self.other = not self.other
        self.ids.badge.text = ""
        self._begin()
        if self.other:
            self.ids.badge.focus = True

    def ask_forgotten(self) -> None:
        """Tell what to do, or go back to the keys."""
        self.forgotten = not self.forgotten
        self._begin()

    def go_on_unsigned(self) -> None:
        """Check plates without saying who."""
        self._duty.go_on_unsigned()

    def whose(self, lang: str, called: str, other: bool) -> str:
        """The line under the title."""
        return gettext("Another patroller", lang) if other else called
