"""How the sync stands, what was recorded here, and what became of it."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from kivy.properties import StringProperty

from handheld_app.controls import Fact, Notice, Panel, PatrolScreen, Prose, glide_to_top
from handheld_app.theme import MUTED
from handheld_app.wording import (
    age_of_knowledge,
    damaged_file,
    gettext,
    instant,
    outcome_words,
    sent_state,
    trouble,
)
from sync import codec
from sync.outbox import Item

MOST_SHOWN = 100


class SyncScreen(PatrolScreen):
    """Reached by touching the state of the sync in the header."""

    trouble = StringProperty("")
    tone = StringProperty("wait")

    def on_pre_enter(self, *_: object) -> None:
        super().on_pre_enter()
        glide_to_top(self.ids.scroll)

    def refresh(self) -> None:
        lang, patrol, status = self.app.lang, self.patrol, self.app.status
        site, state = patrol.site(), patrol.state()
        hindrance = trouble(
            status.connection, lang, fetched=site is not None, reason=status.trouble
        )
        self.trouble = f"{hindrance.word}. {hindrance.words}" if hindrance else ""
        self.tone = hindrance.tone if hindrance else "wait"
        facts = self.ids.facts
        facts.clear_widgets()
        never = gettext("never", lang)
        last = fed = never
        if site is not None and state is not None:
            clock, now = ZoneInfo(site.time_zone), patrol.now()
            last = instant(state.server_time, clock, lang, now=now)
            if state.fed_at is not None:
                fed = instant(state.fed_at, clock, lang, now=now)
        age = age_of_knowledge(patrol.known_at(), lang, now=patrol.now())
        for name, value in (
            (gettext("Last sync", lang), last),
            (gettext("Subscriptions heard of", lang), fed),
            (gettext("Permits", lang), age),
            (gettext("Not sent yet", lang), str(status.unsent - status.set_aside)),
            (gettext("Refused items", lang), str(status.set_aside)),
        ):
            facts.add_widget(Fact(name=name, value=value))
        self._show_refused(lang)
        self._show_log(lang)

    def _show_refused(self, lang: str) -> None:
        box = self.ids.refused
        box.clear_widgets()
        for path in self.patrol.damaged_files():
            box.add_widget(Notice(text=damaged_file(path, lang), tone="bad"))
        for item in self.patrol.set_aside(most=MOST_SHOWN):
            what = gettext("Photo", lang) if item.kind == "photo" else self._what(item)
            box.add_widget(Notice(text=f"{what}\n{item.problem or ''}", tone="bad"))

    def _show_log(self, lang: str) -> None:
        box, site = self.ids.log, self.patrol.site()
        box.clear_widgets()
        for item in self.patrol.log(most=MOST_SHOWN):
            body = item.body or {}
            panel = Panel()
            panel.add_widget(Prose(text=self._what(item), bold=True))
            words = [outcome_words(body["outcome"], site.instrument if site else "avis", lang)]
            if site is not None:
                at = codec.parse_instant(body["observed_at"])
                zone = ZoneInfo(site.time_zone)
                words.append(instant(at, zone, lang, now=self.patrol.now()))
            panel.add_widget(Prose(text=" · ".join(words), color=MUTED))
            panel.add_widget(Prose(text=sent_state(item.state, lang), color=MUTED))
            box.add_widget(panel)
        if not box.children:
            nothing = gettext("Nothing recorded on this device yet.", lang)
            box.add_widget(Prose(text=nothing, color=MUTED))

    def _what(self, item: Item) -> str:
        body = item.body or {}
        plate = body.get("plate") or gettext("No plate", self.app.lang)
        return f"{plate} · {', '.join(body.get('codes', ()))}"
