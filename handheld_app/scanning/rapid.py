"""The reader of a desktop and of tests: the PP-OCR networks that come inside `rapidocr`'s wheel.

Only the two files are used, through onnxruntime; nothing of `rapidocr` is imported, and nothing is
downloaded. Needs the extra `reader`: whoever imports this module expects an ImportError.

A detector finds boxes of text, `lines` chooses the plate's number among them, a recogniser reads it
from several views, and `decoding` ranks what the views say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from handheld_app.scanning.decoding import ALPHABET, Step, vote
from handheld_app.scanning.lines import Line, join
from handheld_app.scanning.reading import Candidate, ReaderMissing, Region, within
from sync.plates import normalise

if TYPE_CHECKING:
    from PIL.Image import Image

_DETECTOR, _RECOGNISER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"

_Pixels = NDArray[np.uint8]
"""Height, width, 3: red, green, blue."""
_Floats = NDArray[np.float32]

_FINE, _COARSE, _LARGE = 90_000, 25_000, 160_000
"""Pixels that the detector looks at: as a rule; for letters that fill the picture, which it does
not see at a fine scale; for a small plate in a large picture."""
_LONGEST_SIDE = 960
_MOST_PIXELS = 2_100_000
"""A larger picture is made smaller before anything else: memory is short on a handheld."""
_SIDES = 32
"""The detector wants sides that are a multiple of this."""
_TEXT, _SURE_TEXT = 0.3, 0.4
"""From where a pixel counts as text, and a box by the mean of its pixels."""
_GROWTH = 1.6
"""The detector marks the inside of text: boxes grow by this times area over perimeter."""

_HEIGHT = 48
_NARROWEST, _WIDEST = 48, 480
"""Pixels of what the recogniser is shown."""
_MOST_LINES = 4
_FAR, _TOO_LOW = 0.7, 20.0
"""A line is looked for again nearby when the picture was made smaller than the first of these, and
the line was lower than the second, in pixels of what the detector saw."""
_NEARLY_AS_PROMINENT = 0.45
"""A line this much as prominent as the first may be the plate's number too."""

_WELL_READ = 0.9
_AGREEING = 3
"""Where so many views agree and are this sure, the others are not asked."""
_BADLY_READ = 0.5
"""With less confidence than this, the picture is looked at again, otherwise."""
_MOST_CANDIDATES = 10


class RapidReader:
    """A PlateReader on the CPU, with one thread: what a phone has left beside its screen."""

    def __init__(self) -> None:
        """Load both networks. Raises ReaderMissing."""
        found = find_spec("rapidocr")
        if found is None or not found.submodule_search_locations:
            raise ReaderMissing("rapidocr is missing: pip install 'patrouille[reader]'")
        models = Path(found.submodule_search_locations[0]) / "models"
        self._detector = _session(models / _DETECTOR)
        self._recogniser = _session(models / _RECOGNISER)
        characters = self._recogniser.get_modelmeta().custom_metadata_map["character"]
        # Class 0 is the blank; after the listed characters comes the space.
        plates = [
            (number, ALPHABET.index(text))
            for number, character in enumerate(characters.splitlines(), 1)
            if len(text := normalise(character)) == 1
        ]
        self._classes = np.array([number for number, _ in plates])
        # Lower case and accented letters count for their capital: their probabilities add up.
        self._folding = np.zeros((len(plates), len(ALPHABET)), np.float32)
        self._folding[np.arange(len(plates)), [place for _, place in plates]] = 1

    def read(self, image: Image, region: Region | None = None) -> list[Candidate]:
        inside = within(region, image.size)
        if inside is None:
            return []
        left, top, width, height = inside
        part = image.crop((left, top, left + width, top + height)).convert("RGB")
        times = math.ceil(math.sqrt(width * height / _MOST_PIXELS))
        pixels = np.asarray(part.reduce(times) if times > 1 else part)
        best: list[Candidate] = []
        for looked_at, area in _looks(pixels):
            found = self._look(pixels, looked_at, area)
            if found and (not best or found[0].confidence > best[0].confidence):
                best = found
            if best and best[0].confidence >= _BADLY_READ:
                break
        moved = [_moved(candidate, times, (left, top)) for candidate in best]
        # Made larger again, a box may reach over the edge by less than a pixel of the smaller one.
        return [replace(c, box=within(c.box, image.size) or c.box) for c in moved]

    def _look(
        self, pixels: _Pixels, looked_at: _Pixels, area: int, *, near: bool = False
    ) -> list[Candidate]:
        """Read the line that reads best as a plate, weighed by its prominence.

        Boxes are in `pixels`. `near`: it is the neighbourhood of a line that was found from afar.
        """
        lines = join(self._detect(looked_at, area))[:_MOST_LINES]
        chosen, first_view, highest = None, None, -1.0
        for line in lines:
            share = line.prominence / lines[0].prominence
            if share < _NEARLY_AS_PROMINENT:
                break
            view = self._recognise(_cut(pixels, line.grown(-0.08, -0.06)))
            worth = share * _plausibility(vote([view]))
            if worth > highest:
                chosen, first_view, highest = line, view, worth
        if chosen is None or first_view is None:
            return []
        # So low where it was found that its box is a guess: nearer, it is found again.
        scale = _scale(looked_at, area)
        if not near and scale < _FAR and chosen.height * scale < _TOO_LOW:
            x, y, w, h = _upright(chosen.grown(1.5, 1.0), pixels)
            around = np.ascontiguousarray(pixels[y : y + h, x : x + w])
            found = self._look(around, around, _FINE, near=True)
            return [_moved(candidate, 1, (x, y)) for candidate in found]
        views = [first_view]
        for picture in _other_views(pixels, chosen):
            views.append(self._recognise(picture))
            if len(views) == _AGREEING:
                firsts = [vote([view], 1) for view in views]
                if all(
                    first and first[0][0] == firsts[0][0][0] and first[0][1] >= _WELL_READ
                    for first in firsts
                ):
                    break
        box = _upright(chosen, pixels)
        return [
            Candidate(text, min(share, 1.0), box) for text, share in vote(views, _MOST_CANDIDATES)
        ]

    def _detect(self, pixels: _Pixels, area: int) -> Iterator[Line]:
        """Boxes around text, in pixels of the picture."""
        height, width = pixels.shape[:2]
        scale = _scale(pixels, area)
        rows, columns = (
            max(_SIDES, round(side * scale / _SIDES) * _SIDES) for side in (height, width)
        )
        resized = cv2.resize(
            pixels,
            (columns, rows),
            interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
        )
        (output,) = self._detector.run(None, {"x": _as_input(resized)})
        text: _Floats = output[0, 0]
        outlines, _ = cv2.findContours(
            (text > _TEXT).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE
        )
        for outline in outlines:
            points = outline.reshape(-1, 2)
            (x0, y0), (x1, y1) = points.min(0), points.max(0) + 1
            if x1 - x0 < 3 or y1 - y0 < 3:
                continue
            inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
            cv2.fillPoly(inside, [(points - (x0, y0)).astype(np.int32)], (1,))
            score = float(text[y0:y1, x0:x1][inside > 0].mean())
            if score < _SURE_TEXT:
                continue
            scaled = (points + 0.5) * (width / columns, height / rows)
            (x, y), (w, h), degrees = cv2.minAreaRect(scaled.astype(np.float32))
            # OpenCV's angle is any of four: the one nearest to level is meant.
            while degrees > 45:
                degrees, w, h = degrees - 90, h, w
            while degrees < -45:
                degrees, w, h = degrees + 90, h, w
            growth = w * h * _GROWTH / max(w + h, 1.0)
            yield Line(x, y, w + growth, h + growth, math.radians(degrees), score)

    def _recognise(self, pixels: _Pixels) -> list[Step]:
        (output,) = self._recogniser.run(None, {"x": _as_input(pixels)})
        characters = output[0][:, self._classes] @ self._folding
        # Whatever is no character of a plate counts as none.
        blank = np.maximum(1 - characters.sum(1, keepdims=True), 0)
        steps: list[Step] = np.concatenate([blank, characters], 1).tolist()
        return steps


def _session(model: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Pictures come in all sizes: what one needed is given back, and not planned for the next.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions share no base
        raise ReaderMissing(
            f"{model} cannot be loaded: pip install 'patrouille[reader]'"
        ) from error


def _scale(pixels: _Pixels, area: int) -> float:
    """How much larger the detector sees the picture."""
    height, width = map(int, pixels.shape[:2])
    return min(math.sqrt(area / (height * width)), _LONGEST_SIDE / max(height, width))


def _as_input(pixels: NDArray[Any]) -> _Floats:
    """As the networks were trained: blue, green, red, each from -1 to 1, channels first."""
    scaled = pixels[..., ::-1].astype(np.float32) / 127.5 - 1
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def _looks(pixels: _Pixels) -> Iterator[tuple[_Pixels, int]]:
    """The pictures in which to detect, and at how many pixels, one after the other."""
    yield pixels, _FINE
    yield _with_local_contrast(pixels, 2.0), _COARSE
    if pixels.shape[0] * pixels.shape[1] > _LARGE:
        yield pixels, _LARGE


def _other_views(pixels: _Pixels, line: Line) -> Iterator[_Pixels]:
    yield _cut(pixels, line.shifted(-0.04).grown(0.02, -0.04))
    yield _cut(pixels, line.grown(-0.08, -0.06), stretched=1.25)
    yield _cut(pixels, line.shifted(0.04).grown(0.02, -0.04))
    yield _with_local_contrast(_cut(pixels, line.grown(-0.06, -0.04)), 2.0)


def _cut(pixels: _Pixels, line: Line, stretched: float = 1.0) -> _Pixels:
    """The line, level and as high as the recogniser wants it."""
    width = round(_HEIGHT * line.width / line.height * stretched)
    width = min(max(width, _NARROWEST), _WIDEST)
    # What is much larger is drawn larger first, and then made small without losing strokes.
    times = max(1, int(line.height / _HEIGHT / 1.5))
    wide, high = width * times, _HEIGHT * times
    top_left, top_right, _, bottom_left = line.corners()
    turning = cv2.getAffineTransform(
        np.array([top_left, top_right, bottom_left], np.float32),
        np.array([(0, 0), (wide, 0), (0, high)], np.float32),
    )
    drawn = cv2.warpAffine(
        pixels,
        turning,
        (wide, high),
        flags=cv2.INTER_CUBIC if times == 1 else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if times > 1:
        drawn = cv2.resize(drawn, (width, _HEIGHT), interpolation=cv2.INTER_AREA)
    return drawn.astype(np.uint8, copy=False)


def _with_local_contrast(pixels: _Pixels, limit: float) -> _Pixels:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    even = cv2.createCLAHE(limit, (4, 2)).apply(grey)
    return cv2.cvtColor(even, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)


def _plausibility(read: Sequence[tuple[str, float]]) -> float:
    """How much a reading looks like a plate's: most have 4 to 8 characters, and a digit."""
    if not read:
        return 0.1
    total = sum(share for _, share in read)
    with_digit = sum(share for text, share in read if any(c.isdigit() for c in text))
    return 0.2 + 0.4 * min(total, 1.0) + 0.4 * min(with_digit, 1.0)


def _upright(line: Line, pixels: _Pixels) -> Region:
    """The upright box around a line, as far as it lies within the picture."""
    corners = line.corners()
    left = max(math.floor(min(x for x, _ in corners)), 0)
    top = max(math.floor(min(y for _, y in corners)), 0)
    right = min(math.ceil(max(x for x, _ in corners)), pixels.shape[1])
    bottom = min(math.ceil(max(y for _, y in corners)), pixels.shape[0])
    return left, top, max(right - left, 1), max(bottom - top, 1)


def _moved(candidate: Candidate, times: int, by: tuple[int, int]) -> Candidate:
    x, y, width, height = candidate.box
    return replace(
        candidate, box=(x * times + by[0], y * times + by[1], width * times, height * times)
    )
