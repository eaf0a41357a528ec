"""The pieces that every screen is built from; their drawing is in `theme.kv`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kivy.clock import Clock
from kivy.core.text import Label as CoreLabel
from kivy.core.text.markup import MarkupLabel
from kivy.core.window import Window
from kivy.metrics import dp
from kivy.properties import (
    BooleanProperty,
    ColorProperty,
    NumericProperty,
    ObjectProperty,
    StringProperty,
)
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.label import Label
from kivy.uix.modalview import ModalView
from kivy.uix.screenmanager import Screen
from kivy.uix.scrollview import ScrollView
from kivy.uix.textinput import TextInput

from handheld_app.theme import GAP


@dataclass(frozen=True, slots=True)
class Fit:
    """How a text goes into its box: the size of its letters, and whether all of it does."""

    font_size: float
    complete: bool


@lru_cache(maxsize=2048)
def _fit(
    text: str,
    font: str,
    bold: bool,
    markup: bool,
    largest: float,
    smallest: float,
    box: tuple[float, float],
    lines: int,
) -> Fit:
    """The largest letters with which the text fits. Only measures: nothing is drawn."""
    size = largest
    while True:
        if _fits(text, font, bold, markup, size, box, lines):
            return Fit(size, True)
        if size <= smallest:
            return Fit(smallest, False)
        size = max(smallest, size - max(1, size // 16))


def _fits(
    text: str,
    font: str,
    bold: bool,
    markup: bool,
    size: float,
    box: tuple[float, float],
    lines: int,
) -> bool:
    width, height = box
    kind = MarkupLabel if markup else CoreLabel
    label = kind(text=text, font_name=font, font_size=size, bold=bold)
    label.text_size = (None, None) if lines == 1 else (width, None)
    wide, high = label.render()
    if high > height or (lines == 1 and wide > width):
        return False
    if lines == 1:
        return True
    # A word wider than the box would be broken in two, and Kivy leaves out lines that it finds
    # too low even where their picture would have fitted.
    plain = re.sub(r"\[/?[a-z][^\]]*\]", "", text) if markup else text
    words = plain.replace("\n", " ").split(" ")
    if any(label.get_extents(word)[0] > width for word in words):
        return False
    wrapped = len(label._cached_lines)
    if lines and wrapped > lines:
        return False
    label.text_size = box
    label.render()
    return len(label._cached_lines) == wrapped


@lru_cache(maxsize=512)
def _shortened(
    text: str, font: str, bold: bool, size: float, box: tuple[float, float], lines: int
) -> str:
    """The longest beginning of the text that fits in several lines, with what says it goes on."""
    fewest, most = 0, len(text)
    while fewest < most:
        middle = (fewest + most + 1) // 2
        if _fits(text[:middle].rstrip() + "…", font, bold, False, size, box, lines):
            fewest = middle
        else:
            most = middle - 1
    return text[:fewest].rstrip(" ·,:\u00a0\n") + "…"


@lru_cache(maxsize=512)
def _height(text: str, font: str, bold: bool, size: float, width: float) -> float:
    """Of the wrapped text; what is little too long for one line counts as one, to be shrunk."""
    height = 0.0
    for line in text.split("\n"):
        label = CoreLabel(text=line, font_name=font, font_size=size, bold=bold)
        wide, high = label.get_extents(line)
        if wide > width * 1.2:
            label.text_size = (width, None)
            high = label.render()[1]
        height += max(high, size * 1.2)
    return height


@lru_cache(maxsize=512)
def _natural(text: str, font: str, bold: bool, size: float) -> float:
    """Width of the text on one line."""
    width: float = CoreLabel(font_name=font, font_size=size, bold=bold).get_extents(text)[0]
    return width


class FitLabel(Label):
    """Text that is never cut by its box: it wraps, then shrinks, and only then is shortened.

    `largest` and `smallest` bound the size of its letters; `lines` the number of its lines
    (0: as many as the box holds). What is left out is always the end, and an ellipsis says so.
    """

    largest = NumericProperty("16sp")
    smallest = NumericProperty("11sp")
    lines = NumericProperty(0)
    complete = BooleanProperty(True)
    """Whether all of the text is to be seen."""
    natural_width = NumericProperty(0)
    """How wide the text would be on one line of the largest letters."""
    wanted_height = NumericProperty(0)
    """How high the text would be in the largest letters, wrapped at the width it has."""

    def __init__(self, **kwargs: Any) -> None:
        self._fit_soon = Clock.create_trigger(self._fit, -1)
        super().__init__(**kwargs)
        for name in ("text", "size", "largest", "smallest", "lines", "bold", "markup"):
            self.fbind(name, self._fit_soon)
        for name in ("text", "largest", "bold", "width"):
            self.fbind(name, self._measure)
        self._measure()
        self._fit_soon()

    def _measure(self, *_: Any) -> None:
        if not self.text:
            self.natural_width = self.wanted_height = 0
            return
        wide = _natural(self.text, self.font_name, self.bold, self.largest)
        self.natural_width = wide + dp(3)
        if self.width >= 2:
            high = _height(self.text, self.font_name, self.bold, self.largest, self.width)
            self.wanted_height = high + dp(2)

    def _fit(self, *_: Any) -> None:
        if self.width < 2 or self.height < 2:
            return
        box = (self.width, self.height)
        fit = _fit(
            self.text,
            self.font_name,
            self.bold,
            self.markup,
            self.largest,
            self.smallest,
            box,
            self.lines,
        )
        self.complete = fit.complete
        self.font_size = fit.font_size
        self.shorten, self.shorten_from = self.lines == 1 and not fit.complete, "right"
        # Kivy lays out many lines in the middle from the middle: so centre their picture.
        centred = self.lines != 1 and self.valign == "middle"
        self.text_size = (self.width, None) if centred else self.size
        if self.lines != 1 and not self.markup:
            # Kivy shortens one line only, and of many it may leave out the first.
            self._label.text = (
                self.text
                if fit.complete
                else _shortened(
                    self.text, self.font_name, self.bold, fit.font_size, box, self.lines
                )
            )
            self._trigger_texture()


class Icon(Label):
    """One sign of the icon font."""

    sign = StringProperty("")


class Key(ButtonBehavior, Label):
    """One key of the keypad; `glyph` is what it types."""

    glyph = StringProperty("")
    digit = BooleanProperty(False)
    selected = BooleanProperty(False)
    by_keyboard = True
    """Whether Tab stops here on a real keyboard."""


class SignedWords(AnchorLayout):
    """An icon, words, or both."""

    text = StringProperty("")
    sign = StringProperty("")
    ink = ColorProperty()
    sign_color = ColorProperty()
    largest = NumericProperty("16sp")
    smallest = NumericProperty("11sp")
    lines = NumericProperty(1)


class Action(ButtonBehavior, BoxLayout):
    """A button with words, an icon, or both."""

    text = StringProperty("")
    sign = StringProperty("")
    primary = BooleanProperty(False)
    ink = ColorProperty()
    largest = NumericProperty("16sp")


class HeaderAction(ButtonBehavior, BoxLayout):
    """A button on the bar at the top."""

    text = StringProperty("")
    sign = StringProperty("")
    filled = BooleanProperty(False)
    ground = ColorProperty()
    """Of a filled one."""
    sign_color = ColorProperty()
    lines = NumericProperty(1)
    smallest = NumericProperty("11sp")


class SyncPill(ButtonBehavior, BoxLayout):
    """How the sync stands, what waits to be sent, and the age of what is known."""

    shown = BooleanProperty(True)


class Header(BoxLayout):
    """The bar at the top of every screen but the check screen: back, title, language, sync."""

    title = StringProperty("")
    back = StringProperty("")
    go_back = ObjectProperty(None, allownone=True)
    """What is called with `back` instead of showing that screen, where something is asked first."""
    sync = BooleanProperty(True)
    """Whether the state of the sync is shown too: there is one once the device is enrolled."""


class Choice(ButtonBehavior, BoxLayout):
    """A row that can be chosen: a sign, a title, and a second line under it."""

    sign = StringProperty("")
    title = StringProperty("")
    detail = StringProperty("")
    selected = BooleanProperty(False)
    value = ObjectProperty(None, allownone=True)


class Group(BoxLayout):
    """Things one under another, in a list of other things."""


class Panel(BoxLayout):
    """A sheet of paper with rounded corners."""

    ground = ColorProperty()


class Notice(BoxLayout):
    """A line that asks for attention: a warning, or why something did not work."""

    text = StringProperty("")
    tone = StringProperty("wait")
    ink = ColorProperty()


class Fact(BoxLayout):
    """What something is called, and what it is."""

    name = StringProperty("")
    value = StringProperty("")


class Entry(TextInput):
    """A field to type in, with its border."""


class Caption(Label):
    """The title of a group of things."""


class Prose(Label):
    """Words that take as many lines as they need; `muted` ones matter less; with a `tone` they are
    written on its ground.
    """

    muted = BooleanProperty(False)
    tone = StringProperty("")


class PatrolScreen(Screen):
    """What all screens share: `patrol`, and being told to show what it says now."""

    patrol = ObjectProperty(None, allownone=True)
    app = ObjectProperty(None, allownone=True)

    def on_pre_enter(self, *_: Any) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Show what `patrol` says; called on entering and when the language changes."""

    def synced(self) -> None:
        """The sync stands otherwise than before, and may have learnt something."""

    def may_leave(self) -> bool:
        """Whether another screen may be shown now."""
        return True

    def leave(self) -> None:
        """Save what was typed here: another screen is shown, or the window closes."""

    def printed(self, infraction: str) -> None:
        """A notice was printed, or was not: show it, if it is to be seen here."""

    def on_leave(self, *_: Any) -> None:
        self.leave()


class Sheet(ModalView):
    """Lies over the screen until something is chosen; what is higher than the screen scrolls."""

    height: Any
    _scroll: ScrollView | None = None

    def add_widget(self, widget: Any, *args: Any, **kwargs: Any) -> None:
        if self._scroll is None:
            self._scroll = ScrollView(bar_width=dp(4))
            super().add_widget(self._scroll, *args, **kwargs)
        self._scroll.add_widget(widget)

    def on_height(self, *_: Any) -> None:
        self.height = min(self.height, Window.height - 2 * GAP)


class Alert(ModalView):
    """One sentence that must be seen, over whatever is shown."""

    def __init__(self, *, words: str, close: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.close = Action(text=close, primary=True)
        self.close.bind(on_release=lambda _: self.dismiss())
        content = BoxLayout(orientation="vertical", spacing=GAP, size_hint_y=None)
        content.bind(minimum_height=content.setter("height"), height=self.setter("height"))
        self.notice = Notice(text=words, tone="bad")
        content.add_widget(self.notice)
        content.add_widget(self.close)
        self.add_widget(content)


class Question(Sheet):
    """A sentence, and two ways to go on: to do it, or to leave things as they are."""

    def __init__(self, *, words: str, yes: str, no: str, do: Callable[[], None], **kw: Any) -> None:
        super().__init__(**kw)
        self.yes, self.no = Action(text=yes), Action(text=no, primary=True)
        self._do = do
        self.yes.bind(on_release=lambda _: self.agree())
        self.no.bind(on_release=lambda _: self.dismiss())
        content = BoxLayout(orientation="vertical", spacing=GAP, size_hint_y=None)
        content.bind(minimum_height=content.setter("height"), height=self.setter("height"))
        for part in (Notice(text=words, tone="wait"), self.yes, self.no):
            content.add_widget(part)
        self.add_widget(content)

    def agree(self) -> None:
        self.dismiss()
        self._do()


def glide_to_top(scroll: Any) -> None:
    """Show the beginning of a list again."""
    Clock.schedule_once(lambda _: setattr(scroll, "scroll_y", 1), dp(0))
