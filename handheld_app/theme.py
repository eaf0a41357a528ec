"""The look in one place: colours, sizes, the icon font. Used in kv as `theme`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from kivy.core.text import LabelBase
from kivy.lang import Builder
from kivy.lang.parser import global_idmap
from kivy.metrics import dp
from kivy.utils import get_color_from_hex

from handheld_app.wording import gettext

Colour = list[float]

NAVY: Colour = get_color_from_hex("#0C2D57")
NAVY_PRESSED: Colour = get_color_from_hex("#07203F")
NAVY_SOFT: Colour = get_color_from_hex("#2C4A73")
PAPER: Colour = get_color_from_hex("#E8ECF2")
WHITE: Colour = get_color_from_hex("#FFFFFF")
INK: Colour = get_color_from_hex("#111820")
MUTED: Colour = get_color_from_hex("#3D4854")
HINT: Colour = get_color_from_hex("#6F7C8B")
LINE: Colour = get_color_from_hex("#AEB9C7")
KEY_DIGIT: Colour = get_color_from_hex("#D6DDEB")
KEY_PRESSED: Colour = get_color_from_hex("#B4C2D6")
SHADOW: Colour = get_color_from_hex("#B7C1CE")
SELECTED: Colour = get_color_from_hex("#DCE8F8")
MINT: Colour = get_color_from_hex("#8FE3B0")
NOTHING: Colour = [0, 0, 0, 0]
SHADE: Colour = [0, 0, 0, 0.22]

TONES: dict[str, tuple[Colour, Colour]] = {
    "good": (get_color_from_hex("#0A622E"), WHITE),
    "wait": (get_color_from_hex("#FFB300"), INK),
    "bad": (get_color_from_hex("#B00020"), WHITE),
    "idle": (get_color_from_hex("#3C4858"), WHITE),
}
"""Ground and text of a verdict; every pair at 7:1 or better."""

TARGET = dp(48)
"""The smallest side of anything that a gloved finger touches."""
GAP = dp(8)
RADIUS = dp(10)
EDGE = dp(8)

ICONS = {
    "back": 0xF004D,
    "backspace": 0xF0B5C,
    "camera": 0xF0100,
    "check": 0xF0E1E,
    "chosen": 0xF043E,
    "clear": 0xF0156,
    "clock": 0xF0150,
    "cloud": 0xF1BEB,
    "calendar": 0xF00F0,
    "expired": 0xF015C,
    "folder": 0xF024B,
    "unknown": 0xF02D7,
    "infraction": 0xF0149,
    "information": 0xF02FC,
    "language": 0xF05CA,
    "list": 0xF10D4,
    "looking": 0xF0349,
    "more": 0xF0142,
    "offline": 0xF0164,
    "open": 0xF043D,
    "paused": 0xF03E7,
    "picture": 0xF087C,
    "pin": 0xF034E,
    "pin-off": 0xF0351,
    "plus": 0xF0415,
    "sync": 0xF04E6,
    "ticked": 0xF0132,
    "trash": 0xF0A7A,
    "unsent": 0xF0167,
    "unticked": 0xF0131,
    "up": 0xF005D,
    "void": 0xF073A,
    "warning": 0xF0026,
}
"""Our names for the code points of Material Design Icons 7."""


def icon(name: str) -> str:
    """The character that draws an icon in the font `icons`; empty for no name."""
    return chr(ICONS[name]) if name else ""


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
    import handheld_app.theme as this

    LabelBase.register("icons", str(_icon_font()))
    global_idmap["_"] = gettext
    global_idmap["theme"] = this
    here = Path(__file__).parent
    for kv in [here / "theme.kv", *sorted((here / "screens").glob("*.kv"))]:
        if str(kv) not in Builder.files:
            Builder.load_file(str(kv))
