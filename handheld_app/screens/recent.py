"""The last checks: one swipe from the verdict, to be looked at again."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from kivy.properties import BooleanProperty

from handheld_app.controls import Choice, PatrolScreen, glide_to_top
from handheld_app.watch import PastCheck
from handheld_app.wording import instant, plate_title, verdict_look, verdict_word


class RecentScreen(PatrolScreen):
    """Each plate once, the latest first; a touch checks it again."""

    empty = BooleanProperty(True)
    _shown: object = None

    def on_pre_enter(self, *_: Any) -> None:
        self._shown = None
        super().on_pre_enter()
        glide_to_top(self.ids.scroll)

    def refresh(self) -> None:
        lang, site, now = self.app.lang, self.patrol.site(), self.patrol.now()
        checks = self.patrol.recent_checks() if site is not None else []
        self.empty = not checks
        if (lang, checks) == self._shown:
            return
        self._shown = (lang, checks)
        box = self.ids.checks
        box.clear_widgets()
        self.rows: dict[str, Choice] = {}
        for check in checks:
            _, sign = verdict_look(check.verdict)
            at = instant(check.at, ZoneInfo(site.time_zone), lang, now=now)
            row = Choice(
                sign=sign,
                title=f"{plate_title(check.plate, site)} · {verdict_word(check.verdict, lang)}",
                detail=f"{at} · {check.zone}",
            )
            row.bind(on_release=lambda _, check=check: self.check_again(check))
            self.rows[check.plate.text] = row
            box.add_widget(row)

    def check_again(self, check: PastCheck) -> None:
        """The verdict as it is now, in the zone where the patroller is now."""
        self.app.screens.get_screen("check").compare(check.plate)
        self.app.go("check")
