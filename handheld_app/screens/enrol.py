"""Make this device one of the service's handhelds."""

from __future__ import annotations

from kivy.properties import BooleanProperty, StringProperty

from handheld_app.controls import PatrolScreen
from handheld_app.wording import certificate_trouble, enrolment_refused, gettext
from sync.exchange import InsecureAddress, Refused, ServiceError, Untrusted


class EnrolScreen(PatrolScreen):
    """The service's address and a code that a supervisor gives."""

    trouble = StringProperty("")
    busy = BooleanProperty(False)
    again = BooleanProperty(False)
    _error: Exception | None = None

    def prefill(self, server: str, code: str) -> None:
        """Put in what the command line gave."""
        self.ids.server.text, self.ids.code.text = server, code

    def refresh(self) -> None:
        self.again = self.patrol.device.enrolled
        self.trouble = self._words(self._error) if self._error else ""

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

    def _words(self, error: Exception) -> str:
        lang = self.app.lang
        if isinstance(error, InsecureAddress):
            return gettext(
                "This address is not safe: it must begin with https://, except for this very "
                "device.",
                lang,
            )
        if isinstance(error, Refused):
            return enrolment_refused(error.problem, lang)
        if isinstance(error, Untrusted):
            return certificate_trouble(str(error), lang)
        if isinstance(error, ServiceError):
            return gettext("The service does not answer. Check the address and the network.", lang)
        if isinstance(error, OSError):
            return gettext("The change could not be saved: is the storage full?", lang)
        return gettext("This address cannot be used.", lang)
