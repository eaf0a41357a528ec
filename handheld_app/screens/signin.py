"""Whose work it is: badge and PIN."""

from __future__ import annotations

from kivy.properties import BooleanProperty, StringProperty

from handheld_app.controls import PatrolScreen
from handheld_app.signing_in import PIN_DIGITS, SignedIn, is_pin
from handheld_app.wording import leave_on, pin_forgotten, sign_in_trouble


class SignInScreen(PatrolScreen):
    """Before recording. Checking needs nobody to sign in."""

    trouble = StringProperty("")
    left = StringProperty("")
    """What the one before recorded and is not sent yet."""
    advice = StringProperty("")
    forgotten = BooleanProperty(False)
    """Whether it is told what to do about a forgotten PIN."""
    busy = BooleanProperty(False)
    ready = BooleanProperty(False)
    then = StringProperty("check")
    """The screen that is gone on with."""
    _error: Exception | None = None

    def begin(self, then: str) -> None:
        """Ask who it is, and go on with that screen."""
        self.then, self._error = then, None
        self.forgotten = False
        self.ids.badge.text = self.patrol.device.badge
        self.ids.pin.text = ""

    def refresh(self) -> None:
        lang, status = self.app.lang, self.app.status
        self.trouble = sign_in_trouble(self._error, lang) if self._error else ""
        self.left = leave_on(status.unsent - status.set_aside, lang)
        left = self.patrol.tries_left(self.ids.badge.text.strip())
        self.advice = pin_forgotten(left, lang) if self.forgotten else ""

    def synced(self) -> None:
        self.refresh()

    def ask_forgotten(self) -> None:
        """Tell what to do, or no more."""
        self.forgotten = not self.forgotten
        self.refresh()

    def leave(self) -> None:
        self.ids.pin.text = ""

    def typed(self) -> None:
        """The button is ready with a badge and six digits."""
        self.ids.pin.text = self.ids.pin.text[:PIN_DIGITS]
        self.ready = bool(self.ids.badge.text.strip()) and is_pin(self.ids.pin.text)

    def sign_in(self) -> None:
        if self.busy or not self.ready:
            return
        self.busy, self._error = True, None
        self.refresh()
        badge, pin = self.ids.badge.text, self.ids.pin.text
        self.app.workers.ask(
            lambda: self.patrol.sign_in(badge, pin),
            lambda who: self._signed_in(who, badge, pin),
            self._failed,
        )

    def _signed_in(self, who: SignedIn, badge: str, pin: str) -> None:
        self.busy = False
        if who.unconfirmed:
            self.app.confirm_sign_in(badge, pin)
        self.app.signed_in(self.then)

    def _failed(self, error: Exception) -> None:
        self.busy, self._error = False, error
        self.ids.pin.text = ""
        self.refresh()
