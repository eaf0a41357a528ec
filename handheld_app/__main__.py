"""`python -m handheld_app`: the handheld in a window."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from handheld_app import display
from handheld_app.positions import Fixed
from handheld_app.wording import damaged_file, folder_unusable, no_window
from sync.files import make_folder
from sync.languages import language
from sync.wording import LANGUAGES

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, then open the window; 1 and a sentence where that cannot be."""
    parser = argparse.ArgumentParser(
        prog="patrouille handheld", description="The patroller's handheld."
    )
    parser.add_argument("--server", default="", metavar="URL", help="address of the service")
    parser.add_argument("--enrol", default="", metavar="CODE", help="enrolment code")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=_data_dir(os.environ),
        metavar="DIR",
        help="where everything is kept (default: $PATROUILLE_DATA_DIR or ./var)",
    )
    parser.add_argument("--lang", choices=LANGUAGES, help="language of the screens")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="where pictures are chosen")
    parser.add_argument(
        "--position",
        type=_position,
        metavar="LAT,LON[,ACCURACY]",
        help="where this device is, in degrees and metres (demos, tests)",
    )
    parser.add_argument(
        "--camera",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="pictures to scan instead of what a camera sees: for a demonstration",
    )
    parser.add_argument(
        "--check-display", action="store_true", help="only say whether a window can be opened"
    )
    given = parser.parse_args(arguments)

    os.umask(0o077)  # what lies here is for its owner alone
    spoken = given.lang or language(os.environ)
    lack = display.lack(os.environ)
    if lack is not None:
        print(no_window(lack.of, spoken, packages=lack.packages), file=sys.stderr)
        return 1
    if given.check_display:
        return 0
    try:
        return _open(given, given.data_dir.absolute(), spoken)
    except KeyboardInterrupt:  # before the window was there to be closed
        return INTERRUPTED


def _position(text: str) -> Fixed:
    try:
        return Fixed.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("LAT,LON[,ACCURACY], as in 45.4,-71.9,8") from error


def _data_dir(environment: Mapping[str, str]) -> Path:
    """On Android the app's own folder, which no other app can read, nor a computer over USB."""
    names = ("PATROUILLE_DATA_DIR", "ANDROID_PRIVATE")
    return Path(next((environment[name] for name in names if environment.get(name)), "var"))


def _open(given: argparse.Namespace, data_dir: Path, spoken: str) -> int:
    folder = data_dir / "handheld"
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"0")
    except OSError as error:
        print(folder_unusable(folder, error.strerror, spoken), file=sys.stderr)
        return 1
    gc.disable()
    configure(data_dir)
    from handheld_app.app import HandheldApp
    from handheld_app.scanning.frames import FrameSource, StillPictures, open_camera

    def open_frames() -> FrameSource:
        return StillPictures(given.camera) if given.camera else open_camera()

    app = HandheldApp(
        data_dir,
        server=given.server,
        code=given.enrol,
        lang=given.lang,
        pictures=given.pictures,
        open_camera=open_frames,
        position=given.position,
    )
    for path in app.patrol.damaged_files():
        print(damaged_file(path, spoken), file=sys.stderr)
    _close_on_signals(app.stop)
    app.bind(on_start=lambda _: _keep_what_there_is())
    app.run()
    return 0


def _keep_what_there_is() -> None:
    """Spare the collector what a start makes, all of which stays: to look through it takes as long
    as several touches, and would fall into the middle of one. So it would to look, several times in
    each catch-up, through the rows at hand: that is done a hundred times more seldom than usual.
    """
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], 1_000)
    gc.enable()


def _close_on_signals(stop: Callable[[], object]) -> None:
    """Let SIGTERM and Ctrl-C close the window as a finger does."""
    from kivy.clock import Clock

    def close(number: int, frame: object) -> None:
        # On a thread of its own: the one that was interrupted may hold the clock's lock.
        threading.Thread(target=lambda: Clock.schedule_once(lambda _: stop())).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, close)


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
    Config.set("graphics", "minimum_height", 360)
    Config.set("kivy", "exit_on_escape", 0)
    Config.set("input", "mouse", "mouse,disable_multitouch")


if __name__ == "__main__":
    raise SystemExit(main())
