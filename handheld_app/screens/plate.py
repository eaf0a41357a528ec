"""All that is known of a plate: the verdict's reasons and every permit behind it."""

from __future__ import annotations

from typing import Any

from kivy.properties import ObjectProperty, StringProperty

from handheld_app.controls import Caption, Panel, PatrolScreen, Prose, glide_to_top
from handheld_app.screens.alert import banner
from handheld_app.wording import (
    age_of_knowledge,
    alert_words,
    chalk_words,
    face,
    gettext,
    period,
    permit_title,
    plate_title,
    vehicle,
    verdict_word,
    zone_names,
)
from sync.entities import Site
from sync.plates import Plate
from sync.validity import outcome
from sync.wording import localized, short_jurisdiction


class PlateScreen(PatrolScreen):
    """Reached by touching the verdict."""

    sighting = ObjectProperty(None, allownone=True)
    title = StringProperty("")
    word = StringProperty("")
    sign = StringProperty("")
    tone = StringProperty("idle")
    reasons = StringProperty("")
    others = ""

    def refresh(self) -> None:
        site = self.patrol.site()
        if self.sighting is None or site is None or self.patrol.is_expired():
            return
        lang, check, zones = self.app.lang, self.sighting.check, self.patrol.zones()
        seen = face(check, site=site, zones=zones, lang=lang)
        where = short_jurisdiction(check.plate.jurisdiction)
        self.title = f"{check.plate.text} · {where}"
        self.word, self.sign, self.tone = seen.word, seen.sign, seen.tone
        self.reasons = "\n".join(seen.reasons)
        content = self.ids.content
        content.clear_widgets()
        for alert in self.patrol.alerts(self.sighting):
            told = alert_words(alert, site, zones, lang, now=self.patrol.now())
            content.add_widget(banner(told))
        self._show_chalk(site, lang)
        note = localized(check.zone.note, lang)
        content.add_widget(Caption(text=localized(check.zone.name, lang)))
        known = age_of_knowledge(self.patrol.known_at(), lang, now=self.patrol.now())
        facts = Panel()
        facts.add_widget(Prose(text="\n".join(line for line in (note, known) if line)))
        content.add_widget(facts)
        if check.judgement.permits:
            content.add_widget(Caption(text=gettext("Permits of this plate", lang)))
        for permit in check.judgement.permits:
            panel = Panel()
            result = outcome(permit, zone=check.zone.id, at=check.at, retention=site.retention)
            title = permit_title(permit, lang)
            panel.add_widget(Prose(text=f"{title} · {verdict_word(result, lang)}", bold=True))
            good_in = gettext("Good in: {zones}", lang).format(
                zones=zone_names(permit.zones, zones, lang)
            )
            lines = [good_in, *period(permit, site, lang, now=check.at), vehicle(permit, lang)]
            panel.add_widget(Prose(text="\n".join(filter(None, lines)), muted=True))
            content.add_widget(panel)
        self._ask_for_others(content)
        glide_to_top(self.ids.scroll)

    def _show_chalk(self, site: Site, lang: str) -> None:
        chalk = self.patrol.mark_of(self.sighting.plate)
        if chalk is not None:
            told = chalk_words(chalk, site, lang, now=self.patrol.now())
            self.ids.content.add_widget(banner(told))

    def _ask_for_others(self, content: Any) -> None:
        """The other plates of the permit: found elsewhere than on the thread that draws."""
        sighting, lang = self.sighting, self.app.lang
        if not sighting.check.judgement.permits:
            return

        def show(plates: list[Plate]) -> None:
            if self.sighting is not sighting or self.app.lang != lang or not plates:
                return
            panel = Panel()
            self.others = ", ".join(plate_title(plate, sighting.site) for plate in plates)
            panel.add_widget(Prose(text=self.others, bold=True))
            content.add_widget(Caption(text=gettext("Other plates of this permit", lang)))
            content.add_widget(panel)

        self.app.workers.picture(lambda: self.patrol.other_plates(sighting), show)

    def mark(self) -> None:
        """Chalk: how long it stays."""
        self.app.screens.get_screen("mark").begin(self.sighting.plate)
        self.app.go("mark")
