"""`python -m handheld_app`: the handheld in a window."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from handheld_app.wording import LANGUAGES


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, then open the window."""
    parser = argparse.ArgumentParser(
        prog="patrouille handheld", description="The patroller's handheld."
    )
    parser.add_argument("--server", default="", metavar="URL", help="address of the service")
    parser.add_argument("--enrol", default="", metavar="CODE", help="enrolment code")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get("PATROUILLE_DATA_DIR", "var")),
        metavar="DIR",
        help="where everything is kept (default: $PATROUILLE_DATA_DIR or ./var)",
    )
    parser.add_argument("--lang", choices=LANGUAGES, help="language of the screens")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="where pictures are chosen")
    given = parser.parse_args(arguments)

    data_dir = given.data_dir.absolute()
    configure(data_dir)
    from handheld_app.app import HandheldApp

    HandheldApp(
        data_dir,
        server=given.server,
        code=given.enrol,
        lang=given.lang,
        pictures=given.pictures,
    ).run()
    return 0


def configure(data_dir: Path) -> None:
    """Tell Kivy, before it is imported, how its window is to be and where its files go."""
    home = data_dir / "handheld" / "kivy"
    home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("KIVY_HOME", str(home))
    os.environ.setdefault("KIVY_NO_ARGS", "1")
    os.environ.setdefault("KIVY_NO_FILELOG", "1")
    from kivy.config import Config
    from kivy.logger import Logger

    # Without xclip Kivy prints a traceback about the middle mouse button, which is not used here.
    Logger.addFilter(lambda record: not record.getMessage().startswith("Cutbuffer"))

    # Kivy's logger hears everything; each request is too much.
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)

    Config.set("graphics", "width", 412)
    Config.set("graphics", "height", 915)
    Config.set("graphics", "minimum_width", 360)
    Config.set("graphics", "minimum_height", 600)
    Config.set("kivy", "exit_on_escape", 0)
    Config.set("input", "mouse", "mouse,disable_multitouch")


if __name__ == "__main__":
    raise SystemExit(main())
