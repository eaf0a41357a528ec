"""The pictures in docs/, made of the screenshots that tests of the window and the console keep.

``python .ci/contact_sheet.py`` after ``make test``: every screen of the handheld that was looked
at, in French on the smallest screen; the check screen's verdicts for the README; and the console's
main pages in French, at a desk and on a telephone. ``… console`` after its tests alone: those.
"""

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SHOTS = ROOT / "screenshots"
LANG, SIZE = "fr", "360x640"
COLUMNS, WIDTH, GAP = 10, 180, 8
LEFT_OUT = ("-day-130", "-night-115", "-contrast-100")
"""Of a screen in other colours and letters, a few tell enough."""
KEPT = ("check-night-115", "work-contrast-100", "infraction-day-130", "settings-night-130")
README = (
    *("check-valid-H4K7M2", "check-pending_activation-ABC123"),
    *("check-unknown-QQQ111", "check-wrong_zone-XYZ789"),
)

PAGES = (
    *("queue", "infraction", "log"),
    *("live", "plate", "figures"),
    *("subscription", "settings-drawn", "settings-texts"),
)
"""At a desk, three in a row."""
ON_A_PHONE = ("queue", "infraction")
DESK, PHONE = (1366, 768), (390, 844)


def sheet(names: list[str], columns: int, width: int) -> Image.Image:
    """The screenshots of these names, side by side."""
    pictures = [Image.open(SHOTS / f"{name}-{LANG}-{SIZE}.png").convert("RGB") for name in names]
    height = width * 640 // 360
    rows = -(-len(pictures) // columns)
    whole = (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP)
    made = Image.new("RGB", whole, "#FFFFFF")
    for n, picture in enumerate(pictures):
        small = picture.resize((width, height), Image.Resampling.LANCZOS)
        at = (GAP + n % columns * (width + GAP), GAP + n // columns * (height + GAP))
        made.paste(small, at)
    return made.quantize(128)


def top_of(page: str, size: tuple[int, int], height: int) -> Image.Image:
    """What somebody sees first of a page of the console."""
    wide, high = size
    shot = Image.open(SHOTS / "console" / f"{LANG}-{wide}x{high}-{page}.png").convert("RGB")
    seen = shot.crop((0, 0, wide, high))
    return seen.resize((wide * height // high, height), Image.Resampling.LANCZOS)


def console(height: int = 400) -> Image.Image:
    """The console's pages, those on a telephone at the right, one above the other."""
    desk = [top_of(page, DESK, height) for page in PAGES]
    width, rows = desk[0].width, len(PAGES) // 3
    whole_height = rows * (height + GAP) + GAP
    phone_height = (whole_height - GAP) // len(ON_A_PHONE) - GAP
    phones = [top_of(page, PHONE, phone_height) for page in ON_A_PHONE]
    edge = 3 * (width + GAP) + GAP
    made = Image.new("RGB", (edge + phones[0].width + GAP, whole_height), "#8A94A3")
    for n, picture in enumerate(desk):
        made.paste(picture, (GAP + n % 3 * (width + GAP), GAP + n // 3 * (height + GAP)))
    for n, picture in enumerate(phones):
        made.paste(picture, (edge, GAP + n * (phone_height + GAP)))
    return made.quantize(256, Image.Quantize.FASTOCTREE)


def main() -> None:
    """Write them."""
    console().save(ROOT / "docs" / "console-screens.png", optimize=True)
    if sys.argv[1:] == ["console"]:
        return
    end = f"-{LANG}-{SIZE}.png"
    names = sorted(path.name.removesuffix(end) for path in SHOTS.glob(f"*{end}"))
    shown = [name for name in names if name in KEPT or not name.endswith(LEFT_OUT)]
    sheet(shown, COLUMNS, WIDTH).save(ROOT / "docs" / "handheld-screens.png", optimize=True)
    verdicts = [name for name in README if name in names]
    sheet(verdicts, len(verdicts), 300).save(ROOT / "docs" / "check-screens.png", optimize=True)


if __name__ == "__main__":
    main()
