"""The way to everything that is not the next plate: one touch from the check screen."""

from __future__ import annotations

from typing import Any

from handheld_app.controls import Choice, Sheet
from handheld_app.wording import gettext, questions_asked


class MenuSheet(Sheet):
    """The other screens, each a row."""

    def __init__(self, *, app: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        lang = app.lang
        self.rows: dict[str, Choice] = {}
        for screen, sign, title, detail in (
            ("work", "list", gettext("My work", lang), self._asked(app)),
            ("recent", "history", gettext("Last checks", lang), ""),
            ("chalk", "chalk", gettext("Chalk", lang), ""),
            ("shift", "shift", gettext("Shift", lang), ""),
            ("settings", "settings", gettext("Settings", lang), ""),
            ("sync", "sync", gettext("Sync", lang), app.age_words),
        ):
            if not app.screens.has_screen(screen):
                continue
            row = Choice(sign=sign, title=title, detail=detail)
            row.bind(on_release=lambda _, screen=screen: self._go(app, screen))
            self.rows[screen] = row
            self.ids.screens.add_widget(row)

    def _asked(self, app: Any) -> str:
        asked = sum(1 for entry in app.patrol.work() if entry.state == "question")
        return questions_asked(asked, app.lang) if asked else ""

    def _go(self, app: Any, screen: str) -> None:
        self.dismiss()
        app.go(screen)
