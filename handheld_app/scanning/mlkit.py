"""The reader on Android: ML Kit's text recogniser, in the variant whose model lies in the APK.

Written after its documentation, and not run by our tests, which have no Android: only `candidates`
is. It needs `com.google.mlkit:text-recognition` among buildozer's `android.gradle_dependencies`;
docs/scanning.md tells how.

ML Kit gives one text a line, with a confidence for each symbol, and no alternatives. What it is
unsure of is shared among the symbol's look-alikes, and ranked as any other reading.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handheld_app.scanning.decoding import ALPHABET, Step, vote
from handheld_app.scanning.lines import Line, join
from handheld_app.scanning.reading import Candidate, ReaderMissing, Region, within
from sync.plates import fold, normalise

if TYPE_CHECKING:
    from PIL.Image import Image

_SECONDS = 5
_UNSAID = 0.8
"""The confidence of a symbol for which ML Kit says none."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What ML Kit found in one place: its symbols from left to right, with their confidence."""

    line: Line
    symbols: Sequence[tuple[str, float]]


class MLKitReader:
    """A PlateReader over ML Kit. `read` waits, and ML Kit forbids that to the UI's thread."""

    def __init__(self) -> None:
        """Raises ReaderMissing."""
        try:
            from jnius import JavaException, autoclass

            options = autoclass("com.google.mlkit.vision.text.latin.TextRecognizerOptions")
            self._client = autoclass("com.google.mlkit.vision.text.TextRecognition").getClient(
                options.DEFAULT_OPTIONS
            )
            self._input_image = autoclass("com.google.mlkit.vision.common.InputImage")
            self._bitmaps = autoclass("android.graphics.BitmapFactory")
            self._tasks = autoclass("com.google.android.gms.tasks.Tasks")
            self._seconds = autoclass("java.util.concurrent.TimeUnit").SECONDS
            self._java_exception = JavaException
        except Exception as error:  # pyjnius raises what Java throws, of any class
            raise ReaderMissing(
                "ML Kit is not in this app: it was built without text-recognition"
            ) from error

    def read(self, image: Image, region: Region | None = None) -> list[Candidate]:
        inside = within(region, image.size)
        if inside is None:
            return []
        left, top, width, height = inside
        part = image.crop((left, top, left + width, top + height)).convert("RGB")
        packed = io.BytesIO()
        part.save(packed, "PNG", compress_level=1)
        content = packed.getvalue()
        bitmap = self._bitmaps.decodeByteArray(content, 0, len(content))
        task = self._client.process(self._input_image.fromBitmap(bitmap, 0))
        try:
            # `await` is a word of Python's own.
            text = getattr(self._tasks, "await")(task, _SECONDS, self._seconds)
        except self._java_exception:
            return []  # too late, or it failed: this frame is not read, the next may be
        return candidates(_pieces(text), (left, top), part.size)


def _pieces(text: Any) -> Iterable[Piece]:
    for block in text.getTextBlocks().toArray():
        for line in block.getLines().toArray():
            box = line.getBoundingBox()
            if box is None:
                continue
            symbols = [
                (symbol.getText(), symbol.getConfidence() or _UNSAID)
                for element in line.getElements().toArray()
                for symbol in element.getSymbols().toArray()
            ]
            yield Piece(
                Line(
                    (box.left + box.right) / 2,
                    (box.top + box.bottom) / 2,
                    box.right - box.left,
                    box.bottom - box.top,
                    0.0,
                    1.0,
                ),
                symbols,
            )


def candidates(
    pieces: Iterable[Piece], offset: tuple[int, int], size: tuple[int, int]
) -> list[Candidate]:
    """What the most prominent line may say; boxes are moved by `offset`."""
    found = list(pieces)
    lines = join(piece.line for piece in found)
    if not lines:
        return []
    number = lines[0]
    inside = [
        piece
        for piece in found
        if abs(piece.line.x - number.x) <= number.width / 2
        and abs(piece.line.y - number.y) <= number.height / 4
    ]
    inside.sort(key=lambda piece: piece.line.x)
    steps = [step for piece in inside for symbol in piece.symbols for step in _steps(*symbol)]
    left = max(math.floor(number.x - number.width / 2), 0)
    top = max(math.floor(number.y - number.height / 2), 0)
    right = min(math.ceil(number.x + number.width / 2), size[0])
    bottom = min(math.ceil(number.y + number.height / 2), size[1])
    box = (left + offset[0], top + offset[1], max(right - left, 1), max(bottom - top, 1))
    return [Candidate(text, min(share, 1.0), box) for text, share in vote([steps])]


def _steps(symbol: str, confidence: float) -> list[Step]:
    """The symbol and a blank behind it, as a recogniser would have said them."""
    text = normalise(symbol)
    if len(text) != 1:
        return []  # a dash, or an emblem
    alike = [c for c in ALPHABET if fold(c) == fold(text) and c != text]
    share = min(max(confidence, 0.0), 1.0)
    left = (1 - share) / len(alike) if alike else 0.0
    said = [share if c == text else left if c in alike else 0.0 for c in ALPHABET]
    nothing = [0.0] * len(ALPHABET)
    return [[1 - sum(said), *said], [1.0, *nothing]]
