"""Make this device one of the service's handhelds."""

from __future__ import annotations

from kivy.properties import BooleanProperty, StringProperty

from handheld_app.controls import PatrolScreen
from handheld_app.enrolment import is_link
from handheld_app.wording import enrolment_trouble


class EnrolScreen(PatrolScreen):
    """The service's address and a code that a supervisor gives, or a link with both."""

    trouble = StringProperty("")
    busy = BooleanProperty(False)
    again = BooleanProperty(False)
    linked = BooleanProperty(False)
    """Whether what is in the field of the address is a link, which tells the code too."""
    _error: Exception | None = None

    def prefill(self, server: str, code: str) -> None:
        """Put in what the command line gave."""
        if is_link(code):
            server, code = code, ""
        self.ids.server.text, self.ids.code.text = server, code

    def refresh(self) -> None:
        self.again = self.patrol.device.enrolled
        self.trouble = enrolment_trouble(self._error, self.app.lang) if self._error else ""

    def typed(self) -> None:
        """Something was typed or pasted where the address goes."""
        self.linked = is_link(self.ids.server.text)

    def enrol(self) -> None:
        if self.busy:
            return
        self.busy, self._error = True, None
        self.refresh()
        server, code = self.ids.server.text, self.ids.code.text
        self.app.workers.ask(lambda: self.patrol.enrol(server, code), self._enrolled, self._failed)

    def _enrolled(self, _: object) -> None:
        self.busy = False
        self.app.enrolled()

    def _failed(self, error: Exception) -> None:
        self.busy, self._error = False, error
        self.refresh()
