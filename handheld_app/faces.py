"""Whether a photo shows a face, which a site may want no photo to show without need (DOMAIN 6).

It is looked for on the device itself, by whatever the device has for that: Android's own detector,
or OpenCV where a version with its Haar cascades is installed (the fourth; the fifth has none). A
device with neither does not look, and says so. Only the number is kept.
"""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageOps

SIDE = 800
"""Pixels of the longer side in which faces are looked for: one of a driver behind a windshield,
three metres away, is still some 40 of them wide.
"""
SMALLEST = 36
"""Pixels of a side of the smallest face that is looked for."""
NEIGHBOURS = 5
"""How many times a face must be found, a little displaced, to count."""
MOST = 8
"""Faces that Android's detector looks for."""


def count_faces(picture: bytes) -> int | None:
    """How many faces a picture shows; None: this device cannot tell. Takes its time."""
    for count in (_by_android, _by_opencv):
        try:
            return count(_small(picture))
        except ImportError:
            continue
        except Exception:  # a detector of another version, a picture that none can read
            return None
    return None


def _small(picture: bytes) -> Image.Image:
    with Image.open(io.BytesIO(picture)) as original:
        original.draft("L", (SIDE, SIDE))
        original.thumbnail((SIDE, SIDE))
        return ImageOps.exif_transpose(original).convert("L")


def _by_opencv(grey: Image.Image) -> int:
    """By OpenCV's own cascade. ImportError without one."""
    import cv2
    from cv2.data import haarcascades
    from numpy import asarray

    opencv: Any = cv2  # its fifth version knows of no cascades
    if not hasattr(opencv, "CascadeClassifier"):
        raise ImportError("this OpenCV has no cascades")
    cascade = opencv.CascadeClassifier(f"{haarcascades}haarcascade_frontalface_default.xml")
    if cascade.empty():
        raise ImportError("this OpenCV came without its cascades")
    found = cascade.detectMultiScale(
        opencv.equalizeHist(asarray(grey)),
        scaleFactor=1.1,
        minNeighbors=NEIGHBOURS,
        minSize=(SMALLEST, SMALLEST),
    )
    return len(found)


def _by_android(grey: Image.Image) -> int:
    """By android.media.FaceDetector; cannot be run here. It wants 565 bitmaps of an even width."""
    from jnius import autoclass

    width, height = grey.width - grey.width % 2, grey.height
    png = io.BytesIO()
    grey.crop((0, 0, width, height)).convert("RGB").save(png, "PNG")
    options: Any = autoclass("android.graphics.BitmapFactory$Options")()
    options.inPreferredConfig = autoclass("android.graphics.Bitmap$Config").RGB_565
    told = png.getvalue()
    bitmap = autoclass("android.graphics.BitmapFactory").decodeByteArray(
        told, 0, len(told), options
    )
    detector = autoclass("android.media.FaceDetector")(width, height, MOST)
    array = autoclass("java.lang.reflect.Array")
    faces = array.newInstance(autoclass("android.media.FaceDetector$Face"), MOST)
    return int(detector.findFaces(bitmap, faces))
