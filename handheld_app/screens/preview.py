"""What a camera sees, drawn: shared by the screens that take photos and that scan plates."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from kivy.graphics.texture import Texture
from PIL.Image import Image

from handheld_app.workers import Workers

FRAMES = 12
"""Pictures a second of the preview."""
PREVIEW = 640
"""Pixels of its longer side."""
PATIENCE = 3
"""Seconds for which a camera that was opened may give no picture."""

Small = tuple[tuple[int, int], bytes]
"""A picture's size, and its pixels in RGB."""


def with_camera(
    workers: Workers, do: Callable[[], Any], then: Callable[[Any], None], failed: Any
) -> None:
    """Open or close a camera: a desktop's may take seconds; Android's is of this thread."""
    if "ANDROID_ARGUMENT" not in os.environ:
        workers.ask(do, then, failed)
        return
    try:
        done = do()
    except Exception as error:
        failed(error)
    else:
        then(done)


def small(frame: Image) -> Small:
    """The picture at the size in which it is seen."""
    shown = frame.convert("RGB")
    shown.thumbnail((PREVIEW, PREVIEW))
    return shown.size, shown.tobytes()


def drawn(made: Small, texture: Any = None) -> Any:
    """Its texture; the one that there is, if that has its size."""
    size, pixels = made
    if texture is None or tuple(texture.size) != size:
        texture = Texture.create(size=size, colorfmt="rgb")
        texture.flip_vertical()
    texture.blit_buffer(pixels, colorfmt="rgb", bufferfmt="ubyte")
    return texture
