"""The pictures of the handheld in docs/, made of the screenshots that the window's tests keep.

``python .ci/contact_sheet.py`` after ``make test``: every screen that was looked at, in French on
the smallest screen, and the check screen's verdicts for the README.
"""

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


def main() -> None:
    """Write both."""
    end = f"-{LANG}-{SIZE}.png"
    names = sorted(path.name.removesuffix(end) for path in SHOTS.glob(f"*{end}"))
    shown = [name for name in names if name in KEPT or not name.endswith(LEFT_OUT)]
    sheet(shown, COLUMNS, WIDTH).save(ROOT / "docs" / "handheld-screens.png", optimize=True)
    verdicts = [name for name in README if name in names]
    sheet(verdicts, len(verdicts), 300).save(ROOT / "docs" / "check-screens.png", optimize=True)


if __name__ == "__main__":
    main()
