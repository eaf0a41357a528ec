"""The look in one place: colours, sizes, the icon font. Its `look` is `theme` in kv.

Colours are named by what they are for, and each palette gives all of them, so that a screen says
`theme.INK` once and is right by day, at night and in high contrast. They are properties: what is
bound to them changes while it is shown. Python code asks `look` at the moment it needs a colour,
and keeps none.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kivy.core.text import LabelBase
from kivy.event import EventDispatcher
from kivy.lang import Builder
from kivy.lang.parser import global_idmap
from kivy.metrics import dp, sp
from kivy.properties import (
    ColorProperty,
    NumericProperty,
    ObjectProperty,
    OptionProperty,
)
from kivy.utils import get_color_from_hex

from handheld_app.wording import gettext

Colour = list[float]
Tone = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Palette:
    """Every colour there is, as #RRGGBB or #RRGGBBAA; a tone is a ground and what is on it."""

    ground: str
    """Behind everything."""
    surface: str
    """What lies on the ground: panels, rows, fields."""
    ink: str
    muted: str
    """Words that matter less."""
    line: str
    shadow: str
    selected: str
    """The ground of what is chosen."""
    accent: str
    """What is to be touched first; icons and words of what can be touched."""
    accent_pressed: str
    on_accent: str
    bar: str
    """The bar at the top."""
    bar_ink: str
    bar_soft: str
    """Buttons on the bar."""
    bar_pressed: str
    bar_good: str
    bar_wait: str
    key: str
    key_digit: str
    key_pressed: str
    mark: str
    """Characters that differ from what was typed; what is of elsewhere."""
    focus: str
    """The ring around what a real keyboard would press."""
    shade: str
    """Over the foot of a verdict."""
    good: Tone
    wait: Tone
    bad: Tone
    idle: Tone


TONES = ("good", "wait", "bad", "idle")

PALETTES = {
    "day": Palette(
        ground="#E8ECF2",
        surface="#FFFFFF",
        ink="#111820",
        muted="#38424D",
        line="#8D9AAB",
        shadow="#B7C1CE",
        selected="#DCE8F8",
        accent="#0C2D57",
        accent_pressed="#07203F",
        on_accent="#FFFFFF",
        bar="#0C2D57",
        bar_ink="#FFFFFF",
        bar_soft="#1F3B64",
        bar_pressed="#07203F",
        bar_good="#9FEBBD",
        bar_wait="#FFC94D",
        key="#FFFFFF",
        key_digit="#D6DDEB",
        key_pressed="#B4C2D6",
        mark="#9E001A",
        focus="#DB5400",
        shade="#00000038",
        good=("#0A622E", "#FFFFFF"),
        wait=("#FFB300", "#111820"),
        bad=("#B00020", "#FFFFFF"),
        idle=("#3C4858", "#FFFFFF"),
    ),
    # Dark all over, and no large bright ground, so that eyes stay used to the dark: what is
    # bright are the words.
    "night": Palette(
        ground="#0A0E13",
        surface="#161D26",
        ink="#E3E8EE",
        muted="#C4CDD7",
        line="#56657A",
        shadow="#05080B",
        selected="#182C48",
        accent="#A9CBFA",
        accent_pressed="#7FA8E0",
        on_accent="#0A1220",
        bar="#111B2B",
        bar_ink="#E3E8EE",
        bar_soft="#1F2C41",
        bar_pressed="#050A12",
        bar_good="#8FE3B0",
        bar_wait="#FFC94D",
        key="#1B2531",
        key_digit="#28364A",
        key_pressed="#3A4A5E",
        mark="#FFA3B0",
        focus="#FFD166",
        shade="#00000038",
        good=("#064A22", "#A9F5C4"),
        wait=("#4F3400", "#FFD27A"),
        bad=("#7A0016", "#FFDDE0"),
        idle=("#26303C", "#DDE5EE"),
    ),
    # Black and white, yellow for what can be touched; verdicts as bright as a screen can be.
    "contrast": Palette(
        ground="#000000",
        surface="#000000",
        ink="#FFFFFF",
        muted="#FFFFFF",
        line="#FFFFFF",
        shadow="#FFFFFF",
        selected="#333300",
        accent="#FFE600",
        accent_pressed="#FFF6A0",
        on_accent="#000000",
        bar="#000000",
        bar_ink="#FFFFFF",
        bar_soft="#1A1A1A",
        bar_pressed="#444400",
        bar_good="#5CFF9D",
        bar_wait="#FFE600",
        key="#000000",
        key_digit="#262626",
        key_pressed="#555500",
        mark="#FFE600",
        focus="#00FFFF",
        shade="#00000000",
        good=("#00E05A", "#000000"),
        wait=("#FFD000", "#000000"),
        bad=("#B00014", "#FFFFFF"),
        idle=("#1A1A1A", "#FFFFFF"),
    ),
}

WRITTEN_ON = (
    ("ink", "ground surface selected key key_digit key_pressed"),
    ("muted", "ground surface selected key_digit"),
    ("accent", "ground surface selected key key_digit"),
    ("on_accent", "accent accent_pressed"),
    ("bar_ink", "bar bar_soft bar_pressed"),
    ("bar_good", "bar_soft"),
    ("bar_wait", "bar_soft"),
    ("mark", "surface"),
)
"""What is written on what, besides the two colours of a tone: each pair at 7:1 or better."""

SCALES = (100, 115, 130)
"""Per cent of the letters' sizes."""

NOTHING: Colour = [0, 0, 0, 0]

LOW = 592
"""Height in dp below which keys must be lower than 48 dp, lest no verdict fit."""
ROOMY = 868
"""Height in dp from which there is room for larger keys and a large verdict."""
TALL = 1100
"""Of a tablet."""
TABLET = 1.2
WIDEST = 680
"""Width in dp of a list on a screen that is wider."""

TARGET = dp(48)
"""The smallest side of anything that a gloved finger touches."""
GAP = dp(8)
RADIUS = dp(10)
EDGE = dp(8)

ICONS = {
    "alert": 0xF0D59,
    "answered": 0xF017F,
    "back": 0xF004D,
    "backspace": 0xF0B5C,
    "camera": 0xF0100,
    "check": 0xF0E1E,
    "chosen": 0xF043E,
    "chalk": 0xF051B,
    "clear": 0xF0156,
    "clock": 0xF0150,
    "cloud": 0xF1BEB,
    "contested": 0xF05D1,
    "calendar": 0xF00F0,
    "edit": 0xF03EB,
    "expired": 0xF015C,
    "eye": 0xF0208,
    "face": 0xF0643,
    "folder": 0xF024B,
    "unknown": 0xF02D7,
    "gone": 0xF0E1C,
    "history": 0xF02DA,
    "infraction": 0xF0149,
    "information": 0xF02FC,
    "language": 0xF05CA,
    "light": 0xF0244,
    "light-off": 0xF0245,
    "list": 0xF10D4,
    "lock": 0xF033E,
    "looking": 0xF0349,
    "message": 0xF0369,
    "menu": 0xF035C,
    "more": 0xF0142,
    "moved": 0xF13B3,
    "not-moved": 0xF0D5F,
    "near": 0xF01A4,
    "next": 0xF0054,
    "offline": 0xF0164,
    "open": 0xF043D,
    "paid": 0xF14EE,
    "paused": 0xF03E7,
    "picture": 0xF087C,
    "pin": 0xF034E,
    "pin-off": 0xF0351,
    "plus": 0xF0415,
    "repeated": 0xF0456,
    "print": 0xF042A,
    "question": 0xF0817,
    "scan": 0xF0072,
    "settings": 0xF0493,
    "shift": 0xF0B56,
    "sync": 0xF04E6,
    "ticked": 0xF0132,
    "shutter": 0xF0104,
    "text": 0xF0B78,
    "time-up": 0xF1ACD,
    "trash": 0xF0A7A,
    "two-vehicles": 0xF0B6E,
    "unsent": 0xF0167,
    "unticked": 0xF0131,
    "up": 0xF005D,
    "upheld": 0xF029B,
    "void": 0xF073A,
    "warning": 0xF0026,
}
"""Our names for the code points of Material Design Icons 7."""


def icon(name: str) -> str:
    """The character that draws an icon in the font `icons`; empty for no name."""
    return chr(ICONS[name]) if name else ""


COLOURS = [field.name for field in fields(Palette) if field.name not in TONES]

_Colours: Any = type(
    "_Colours",
    (EventDispatcher,),
    {name.upper(): ColorProperty() for name in COLOURS},
)


@dataclass(frozen=True, slots=True)
class Measures:
    """What has another size on another screen, in dp; `typed`, of letters, in sp."""

    wide: bool
    """Whether the keypad is beside the verdict."""
    header: float
    plate: float
    action: float
    key: float
    """Height of a key."""
    keypad: float
    """Width of the keypad, beside the verdict."""
    typed: float
    letters: float
    """How many times larger all letters are, on a tablet."""
    margin: float
    """On both sides of a list, which is no wider than can be read with ease."""
    sheet: float
    """Width of what is laid over a screen."""


def measures(width: float, height: float) -> Measures:
    """For a window of so many dp. From 360 by 592 upright and 640 by 360 lying, keys are at least
    48 dp in both directions.
    """
    margin, sheet = max(12.0, (width - WIDEST) / 2), min(width * 0.92, 520.0)
    if width > height:
        large = height >= 600
        key = (height - 2 * 8 - 5 * 8) / 6
        keypad = max(344.0, width / 2 if large else 0)
        if large:
            return Measures(True, 64, 96, 64, min(key, 124), keypad, 60, TABLET, margin, sheet)
        return Measures(True, 48, 54, 48, key, keypad, 40, 1, margin, sheet)
    if height < LOW:
        return Measures(False, 48, 54, 48, 44, 0, 40, 1, margin, sheet)
    if height < ROOMY:
        return Measures(False, 48, 54, 48, 48, 0, 40, 1, margin, sheet)
    if height < TALL or width < 600:
        return Measures(False, 58, 80, 56, 56, 0, 50, 1, margin, sheet)
    return Measures(False, 64, 104, 68, 80, 0, 68, TABLET, margin, sheet)


class Look(_Colours):
    """What is worn now. A colour of the palette is a property of the same name in capitals:
    `look.INK`; `look.TONES["bad"]` is a ground and what is on it.
    """

    palette = OptionProperty("day", options=list(PALETTES))
    scale = NumericProperty(100)
    """Per cent by which letters are larger than they are meant to be."""
    sp = ObjectProperty(sp)
    """Size of letters of so many sp at this scale; another function for each, so that what kv
    computes with it is computed anew."""

    measures = ObjectProperty(measures(412, 915), rebind=True)
    TONES: Any = ObjectProperty({})
    RIM = NumericProperty(0)
    """Of its shadow, around what lies on the ground: where the ground does not tell it apart."""
    TARGET, GAP, RADIUS, EDGE, NOTHING = TARGET, GAP, RADIUS, EDGE, NOTHING

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.on_palette()

    def on_palette(self, *_: Any) -> None:
        worn = PALETTES[self.palette]
        for name in COLOURS:
            setattr(self, name.upper(), getattr(worn, name))
        self.RIM = dp(1.5) if worn.surface == worn.ground else 0
        self.TONES = {
            name: tuple(get_color_from_hex(colour) for colour in getattr(worn, name))
            for name in TONES
        }

    def on_scale(self, *_: Any) -> None:
        scale = self.scale / 100 * self.measures.letters
        self.sp = lambda size: sp(size * scale)

    def on_measures(self, *_: Any) -> None:
        self.on_scale()

    @staticmethod
    def icon(name: str) -> str:
        """The character that draws an icon in the font `icons`; empty for no name."""
        return icon(name)


look = Look()


def _icon_font() -> Path:
    spec = find_spec("fonticon_mdi7")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "The handheld's icons are missing: from the project's folder, pip install "
            "'.[handheld]', which brings fonticon-materialdesignicons7."
        )
    return Path(spec.origin).parent / "fonts" / "materialdesignicons-webfont.ttf"


def put_on() -> None:
    """Make the look known to kv, once; the window exists by then."""
    LabelBase.register("icons", str(_icon_font()))
    global_idmap["_"] = gettext
    global_idmap["theme"] = look
    here, known = Path(__file__).parent, len(Builder.rules)
    for kv in [here / "theme.kv", *sorted((here / "screens").glob("*.kv"))]:
        if str(kv) not in Builder.files:
            Builder.load_file(str(kv))
    for _, rule in Builder.rules[known:]:
        _said_last_holds(rule)


def take_off(root: Any) -> None:
    """Of a window that is closed: its pieces follow no change of the look any more."""
    for widget in root.walk(restrict=True):
        Builder.unbind_widget(widget.uid)


_DRAWN_WITH = ("pos", "size", "texture")


def _said_last_holds(rule: Any) -> None:
    """What a screen says of a piece stands instead of what the piece says of itself, also when a
    colour changes later. (Kivy keeps both, and whichever is told last would hold.)
    """
    for child in rule.children:
        for name, said in child.properties.items():
            # Kivy would also forget what is drawn with a property of this name: a picture's pixels.
            said.ignore_prev = name not in _DRAWN_WITH
        _said_last_holds(child)
