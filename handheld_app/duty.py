"""What goes on around the screens while somebody is at work: where they go on after signing in, the
lock, messages, and when the receiver of positions runs. Every decision is `patrol`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kivy.clock import Clock
from kivy.core.window import Window
from kivy.uix.modalview import ModalView

from handheld_app.controls import Alert
from handheld_app.drafts import Draft
from handheld_app.idle import Idle
from handheld_app.positions import Positions
from handheld_app.signing_in import SignedIn
from handheld_app.wording import gettext

RECORDING = ("infraction", "pick", "capture", "pictures", "photo", "lastlook", "notice")
"""Screens on which an infraction is being recorded."""

LOOK_EVERY = 1
"""Seconds after which it is looked whether the device has been idle for too long."""


class Duty:
    """Of one window, while it is open."""

    def __init__(self, app: Any, *, boot: Callable[[], float], positions: Positions) -> None:
        self.app, self.patrol, self.positions = app, app.patrol, positions
        self.idle = Idle(boot)
        self.lock: Any = None
        """The sheet that hides everything; None: not locked."""
        self.message: Any = None
        """The sheet that shows a message."""
        self._has_typed = False
        self._typed_soon: tuple[str, str] | None = None
        self._writing = False
        self._was_revoked = False

    # the life of the window

    def start(self) -> None:
        """The window is there."""
        Window.bind(on_touch_down=self._touched, children=self._stay_on_top)
        self._looking = Clock.schedule_interval(lambda _: self.look(), LOOK_EVERY)
        self._check = self.app.screens.get_screen("check")
        self._check.bind(on_pre_enter=self._take_up_typed)
        self.app.screens.bind(current=self._moved)
        self.idle.touched()

    def stop(self) -> None:
        """The window closes."""
        self._looking.cancel()
        Window.unbind(on_touch_down=self._touched, children=self._stay_on_top)
        self.positions.run(False)
        for sheet in (self.lock, self.message):
            if sheet is not None:
                sheet.dismiss(animation=False)

    def look(self) -> None:
        """Lock when it is time; let the receiver of positions run when it is of use."""
        limit = self.patrol.briefing().settings.lock_after
        if not self.locked and self.patrol.at_work() is not None and self.idle.is_over(limit):
            self.lock_up()
        self.positions.run(
            not self.locked
            and (self.patrol.shift is not None or self.app.screens.current == "place")
        )

    def paused(self) -> None:
        """The device sleeps, or something else is shown."""
        self.positions.run(False)

    def _moved(self, *_: Any) -> None:
        self.look()
        self.tell_messages_soon()

    # going to work

    def to_work(self) -> None:
        """Somebody signed in, or began a shift: on with what was under way, or to the start of a
        shift.
        """
        self.app.workers.write(self._find_work, self._go_on, lambda error: self._go_on(None))

    def _find_work(self) -> Draft | None:
        self.patrol.go_on_with_shift()
        draft: Draft | None = self.patrol.kept_draft()
        return draft

    def _go_on(self, draft: Draft | None) -> None:
        shift = self.patrol.shift
        if draft is not None:
            self.app.screens.get_screen("infraction").resume(draft, restored=True)
            self.app.go("infraction")
        elif shift is not None and shift.site == self.patrol.device.site:
            self.app.go("check")
        else:
            self.app.go("place")

    def start_shift(self) -> None:
        """Begin a shift where the place screen says, then check plates."""

        def failed(error: Exception) -> None:
            words = gettext("The shift could not be kept: is the storage full?", self.app.lang)
            Alert(words=words, close=gettext("Close", self.app.lang)).open()

        self.app.workers.write(self.patrol.start_shift, lambda _: self._started(), failed)

    def _started(self) -> None:
        self.app.handheld.sync()
        self.to_work()

    def ended(self) -> None:
        """A shift is over, and nobody is signed in: on to the next patroller."""
        self.app.handheld.sync()
        self._check.begin()
        self.app.ask_who("check")

    # a plate that is being typed outlives a restart

    def _take_up_typed(self, *_: Any) -> None:
        """The first time that plates are checked: what was being typed; from then on, keep it."""
        if self._has_typed:
            return
        self._has_typed = True
        field, typed = self._check.ids.plate, self.patrol.typed()
        if typed is not None and not field.text:
            field.text, field.jurisdiction = typed
            self._check.typed()
        field.bind(text=self._keep_typed, jurisdiction=self._keep_typed)

    def _keep_typed(self, field: Any, _: str) -> None:
        """Of several changes that wait to be written, only the last one matters."""
        self._typed_soon = (field.text, field.jurisdiction)
        if not field.text:
            self.tell_messages_soon()
        if not self._writing:
            self._write_typed()

    def _write_typed(self, *_: Any) -> None:
        self._writing = self._typed_soon is not None
        if self._typed_soon is not None:
            text, jurisdiction = self._typed_soon
            self._typed_soon = None
            self.app.workers.write(
                lambda: self.patrol.keep_typed(text, jurisdiction),
                self._write_typed,
                self._write_typed,
            )

    # the lock

    @property
    def locked(self) -> bool:
        """Whether everything is hidden."""
        return self.lock is not None

    def _touched(self, _: Any, touch: Any) -> bool:
        """A touch after the time is over locks, and does nothing else."""
        self.look()
        self.idle.touched()
        if self.locked and not self.lock.shown:
            self.lock.shown = True
            return True
        return False

    def heard(self, key: int, character: str) -> bool:
        """A key of a real keyboard; whether it goes no further."""
        self.look()
        self.idle.touched()
        if self.lock is not None:
            return bool(self.lock.heard(key, character))
        if self.message is not None:
            self.message.heard(key)
            return True
        return False

    def lock_up(self) -> None:
        """Hide everything as it is, until the PIN is typed."""
        from handheld_app.screens.lock import LockSheet

        who = self.patrol.at_work()
        screen = self.app.screens.current_screen
        if screen.name in RECORDING:
            self._keep_draft()
        Window.release_all_keyboards()
        self.lock = LockSheet(self, badge=who.badge, called=who.called)
        self.lock.open(animation=False)

    def _keep_draft(self) -> None:
        screen = self.app.screens.get_screen("infraction")
        if screen.draft is not None:
            screen.leave()
            draft = screen.draft.frozen()
            self.app.workers.write(
                lambda: self.patrol.keep_draft(draft), lambda _: None, lambda error: None
            )

    def _stay_on_top(self, *_: Any) -> None:
        """Nothing that opens meanwhile lies over the lock."""
        if self.lock is not None and self.lock.parent is not None:
            Clock.schedule_once(lambda _: self._put_on_top(), -1)

    def _put_on_top(self) -> None:
        lock = self.lock
        if lock is not None and lock.parent is not None and Window.children[0] is not lock:
            Window.remove_widget(lock)
            Window.add_widget(lock)

    def unlocked(self, before: SignedIn, who: SignedIn) -> None:
        """Show again what was shown; another patroller begins anew."""
        self.idle.touched()
        self._open_up()
        if who.patroller != before.patroller:
            self._begin_anew(self.to_work)
        else:
            self.app.screens.current_screen.refresh()
            self.tell_messages_soon()

    def go_on_unsigned(self) -> None:
        """Nobody knows the PIN: plates are checked, nothing of the other's is shown."""
        self.patrol.sign_out()
        self._open_up()
        self._begin_anew(lambda: self.app.go("check"))

    def _open_up(self) -> None:
        lock, self.lock = self.lock, None
        lock.dismiss(animation=False)

    def _begin_anew(self, then: Callable[[], None]) -> None:
        for sheet in _sheets():
            sheet.dismiss(animation=False)
        self.app.screens.get_screen("infraction").draft = None
        self._check.begin()
        then()

    # messages

    def synced(self) -> None:
        """The service may have told something."""
        revoked = self.app.status.connection == "revoked"
        if revoked and not self._was_revoked:
            self._revoked()
        self._was_revoked = revoked
        self.tell_messages()

    def _revoked(self) -> None:
        """No plate is shown any more but the one that is being recorded."""
        for sheet in _sheets():
            if sheet is not self.lock:
                sheet.dismiss(animation=False)
        self._check.begin()
        if self.app.screens.current == "plate":
            self.app.go("check")
        else:
            self.app.screens.current_screen.refresh()

    def tell_messages_soon(self) -> None:
        """Once what is shown is there."""
        Clock.schedule_once(lambda _: self.tell_messages(), 0)

    def tell_messages(self) -> None:
        """Count them in the header; show the oldest where it covers nothing that is under way."""
        if self.app.root is None:
            return
        found = self.patrol.messages()
        self.app.messages = len(found)
        idle = self.app.screens.current == "check" and not self._check.ids.plate.text
        if found and idle and not self.locked and not any(_sheets()):
            self.show_message()

    def show_message(self) -> None:
        """The oldest that was not read."""
        from handheld_app.screens.message import MessageSheet

        found = self.patrol.messages()
        if found and self.message is None:
            self.message = MessageSheet(self, found[0], more=len(found) - 1)
            self.message.open()

    def read(self, message: Any) -> None:
        """It was read: the service hears of it, and the next one is shown."""

        def told(_: None) -> None:
            self.app.handheld.sync()
            self.tell_messages()

        self.app.workers.write(
            lambda: self.patrol.read_message(message), told, lambda error: self.tell_messages()
        )


def _sheets() -> list[Any]:
    """What lies over the screen."""
    return [seen for seen in Window.children if isinstance(seen, ModalView)]
