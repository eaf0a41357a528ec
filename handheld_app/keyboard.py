"""A real keyboard on every screen: Tab and arrows go about, Enter presses, Escape goes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kivy.clock import Clock
from kivy.core.window import Window
from kivy.graphics import Color, InstructionGroup, Line
from kivy.metrics import dp
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.modalview import ModalView
from kivy.uix.scrollview import ScrollView
from kivy.uix.textinput import TextInput

from handheld_app.theme import RADIUS, look

BACKSPACE, TAB, ENTER, ESCAPE, SPACE, KEYPAD_ENTER = 8, 9, 13, 27, 32, 271
UP, DOWN, RIGHT, LEFT = 273, 274, 275, 276
_TOWARDS = {UP: (0, 1), DOWN: (0, -1), RIGHT: (1, 0), LEFT: (-1, 0)}
_STEP = dp(8)
"""Things whose tops differ by less than this stand in one row."""


class Keyboard:
    """Keeps a ring around what Enter would press. It is there from the first Tab or arrow until a
    finger touches the screen.
    """

    def __init__(self) -> None:
        self.target: Any = None
        self._colour = Color()
        self._line = Line(width=dp(2.5))
        self._ring = InstructionGroup()
        self._ring.add(self._colour)
        self._ring.add(self._line)
        self._following: Any = None

    def key_down(self, key: int, modifiers: list[str]) -> bool:
        """Whether the key was for going about."""
        top = Window.children[0] if Window.children else None
        writing = next((f for f in _targets(top) if isinstance(f, TextInput) and f.focus), None)
        if key == TAB:
            self._step(top, writing, -1 if "shift" in modifiers else 1)
        elif key == ESCAPE:
            return self._escape(top, writing)
        elif writing is not None:
            return False
        elif key in _TOWARDS:
            self._towards(top, *_TOWARDS[key])
        elif key in (ENTER, KEYPAD_ENTER, SPACE) and self._is_there(top):
            self._press()
        else:
            return isinstance(top, ModalView)  # nothing is typed under a sheet
        return True

    def hide(self, *_: Any) -> None:
        """No ring any more."""
        self.target = None
        if self._following is not None:
            self._following.cancel()
            self._following = None
            Window.canvas.after.remove(self._ring)

    def _is_there(self, top: Any) -> bool:
        return self.target is not None and any(t is self.target for t in _targets(top))

    def _step(self, top: Any, writing: Any, by: int) -> None:
        targets = sorted(_targets(top), key=_reading_order)
        here = writing if writing is not None else self.target
        places = [n for n, target in enumerate(targets) if target is here]
        if not targets:
            return
        at = places[0] + by if places else (0 if by > 0 else -1)
        if writing is not None:
            writing.focus = False
        self._go(targets[at % len(targets)])

    def _towards(self, top: Any, right: int, up: int) -> None:
        """To the nearest in this direction, rather straight than near."""
        if not self._is_there(top):
            self._step(top, None, 1)
            return
        x, y = self.target.to_window(*self.target.center)
        best, nearest = None, float("inf")
        for other in _targets(top):
            a, b = other.to_window(*other.center)
            ahead = (a - x) * right + (b - y) * up
            aside = abs((a - x) * up) + abs((b - y) * right)
            if other is not self.target and ahead > dp(4) and ahead + 2 * aside < nearest:
                best, nearest = other, ahead + 2 * aside
        if best is not None:
            self._go(best)

    def _go(self, target: Any) -> None:
        self.target = target
        parent = target.parent
        while parent is not None and parent is not Window:
            if isinstance(parent, ScrollView) and parent.children[0].height > parent.height:
                parent.scroll_to(target, animate=False)
            parent = parent.parent
        if isinstance(target, TextInput):
            target.focus = True
        if self._following is None:
            Window.canvas.after.add(self._ring)
            self._following = Clock.schedule_interval(self._follow, 0)
        self._follow()

    def _follow(self, *_: Any) -> None:
        target = self.target
        if target.get_parent_window() is None or target.disabled:
            self.hide()
            return
        x, y = target.to_window(*target.pos)
        out = dp(2)
        self._colour.rgba = look.FOCUS
        self._line.rounded_rectangle = (
            x - out, y - out, target.width + 2 * out, target.height + 2 * out, RADIUS,
        )  # fmt: skip

    def _press(self) -> None:
        if not isinstance(self.target, TextInput):
            self.target.trigger_action(0.1)

    def _escape(self, top: Any, writing: Any) -> bool:
        if isinstance(top, ModalView):
            top.dismiss()
        elif writing is not None:
            writing.focus = False
        elif self.target is not None:
            self.hide()
        else:
            return False
        return True


def _targets(root: Any) -> Iterator[Any]:
    """Everything that can be pressed or written in."""
    pending = [root] if root is not None else []
    while pending:
        widget = pending.pop()
        if not widget.opacity or widget.disabled:
            continue
        pending.extend(widget.children)
        if not isinstance(widget, ButtonBehavior | TextInput):
            continue
        if min(widget.size) > 1 and getattr(widget, "by_keyboard", True):
            yield widget


def _reading_order(widget: Any) -> tuple[float, float]:
    x, y = widget.to_window(widget.x, widget.top)
    return (-round(y / _STEP), x)
