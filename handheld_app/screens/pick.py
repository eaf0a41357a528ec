"""Choose one of many, or type another: a make, a colour, a lot, a phrase."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kivy.properties import BooleanProperty, StringProperty

from handheld_app.controls import Choice, PatrolScreen, glide_to_top


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be chosen, by what it is recorded as; `own` asks for one that is typed, if any may
    be.
    """

    title: str
    rows: dict[str, str]
    own: str = ""


class PickScreen(PatrolScreen):
    """What is offered, each a row; one touch takes it and goes back."""

    title = StringProperty("")
    back = StringProperty("infraction")
    own = StringProperty("")
    may_clear = BooleanProperty(False)
    """Whether something was chosen, which may be taken back."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._offer: Callable[[str], Offer] | None = None

    def begin(
        self,
        offer: Callable[[str], Offer],
        *,
        take: Callable[[str], None],
        back: str,
        chosen: str = "",
    ) -> None:
        """Offer this, in either language; `take` hears what was taken, empty for none."""
        self._offer, self._take, self._chosen = offer, take, chosen
        self.back, self.may_clear = back, bool(chosen)
        known = offer(self.app.lang).rows
        self.ids.own.text = "" if chosen in known else chosen
        glide_to_top(self.ids.scroll)

    def refresh(self) -> None:
        if self._offer is None:
            return
        offer, box = self._offer(self.app.lang), self.ids.rows
        self.title, self.own = offer.title, offer.own
        box.clear_widgets()
        self.rows: dict[str, Choice] = {}
        for value, words in offer.rows.items():
            chosen = bool(self._chosen) and value == self._chosen
            row = Choice(title=words, selected=chosen, sign="chosen" if chosen else "open")
            row.bind(on_release=lambda _, value=value: self.choose(value))
            self.rows[value] = row
            box.add_widget(row)

    def choose(self, value: str) -> None:
        """Take it, and back to where it was asked for."""
        self._take(value.strip())
        self.app.go(self.back)
