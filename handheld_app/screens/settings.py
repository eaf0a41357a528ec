"""How the handheld looks, lies in the hand and sounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kivy.properties import ObjectProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout

from handheld_app.controls import Action, PatrolScreen
from handheld_app.cues import MODES
from handheld_app.theme import PALETTES, SCALES
from handheld_app.wording import N_, gettext
from sync.wording import LANGUAGES


class Section(BoxLayout):
    """One subject of the settings, under its title."""

    title = StringProperty("")
    screen = ObjectProperty(None, allownone=True)

    def show(self, lang: str) -> None:
        """What is set now, in this language; called on entering and after every change."""


class Choosing(Section):
    """One of a few values, side by side."""

    def __init__(
        self,
        title: str,
        options: dict[Any, str],
        *,
        chosen: Callable[[], Any],
        choose: Callable[[Any], None],
        **kwargs: Any,
    ) -> None:
        """`options`: what each value is called. `chosen` tells the value of now."""
        super().__init__(**kwargs)
        self._title, self._options, self._chosen = title, options, chosen
        self.keys: dict[Any, Action] = {}
        for value in options:
            key = Action(padding=(4, 0))
            key.bind(on_release=lambda _, value=value: choose(value))
            self.keys[value] = key
            self.ids.options.add_widget(key)

    def show(self, lang: str) -> None:
        self.title = gettext(self._title, lang)
        now = self._chosen()
        for value, key in self.keys.items():
            key.text = gettext(self._options[value], lang)
            key.primary = value == now
            key.sign = "check" if value == now and len(self.keys) < 3 else ""


class Leading(Section):
    """What has a screen of its own."""

    def __init__(self, title: str, words: str, *, go: Callable[[], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._title, self._words = title, words
        self.key = Action(sign="print")
        self.key.bind(on_release=lambda _: go())
        self.add_widget(self.key)

    def show(self, lang: str) -> None:
        self.title, self.key.text = gettext(self._title, lang), gettext(self._words, lang)


def _printer(screen: SettingsScreen) -> Section:
    def go() -> None:
        screen.app.screens.get_screen("printer").begin(back="settings")
        screen.app.go("printer")

    return Leading(N_("Printer"), N_("Choose the printer"), go=go)


def _language(screen: SettingsScreen) -> Section:
    return Choosing(
        N_("Language"),
        dict(zip(LANGUAGES, ("Français", "English"), strict=True)),
        chosen=lambda: screen.app.lang,
        choose=lambda lang: lang == screen.app.lang or screen.app.switch_language(),
    )


def _of_device(
    title: str, setting: str, options: dict[Any, str]
) -> Callable[[SettingsScreen], Section]:
    """A choice that is a field of `Device`."""
    return lambda screen: Choosing(
        title,
        options,
        chosen=lambda: getattr(screen.patrol.device, setting),
        choose=lambda value: screen.app.prefer(**{setting: value}),
    )


SECTIONS: list[Callable[[SettingsScreen], Section]] = [
    _language,
    _of_device(
        N_("Colours"),
        "palette",
        dict(zip(PALETTES, (N_("Day"), N_("Night"), N_("Contrast")), strict=True)),
    ),
    _of_device(N_("Size of letters"), "text_scale", {scale: f"{scale} %" for scale in SCALES}),
    _of_device(
        N_("Hand that types"), "left_handed", {True: N_("Left hand"), False: N_("Right hand")}
    ),
    _of_device(
        N_("Signals"),
        "cues",
        dict(zip(MODES, (N_("Sound"), N_("Vibration"), N_("Silent")), strict=True)),
    ),
    _printer,
]
"""What can be set, from top to bottom: each makes its section for the screen."""


class SettingsScreen(PatrolScreen):
    """Reached from the menu."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sections = [make(self) for make in SECTIONS]
        for section in self.sections:
            section.screen = self
            self.ids.sections.add_widget(section)

    def refresh(self) -> None:
        for section in self.sections:
            section.show(self.app.lang)
