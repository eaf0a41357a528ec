"""Where pictures come from: files, a desktop's camera, an Android device's camera."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from PIL import Image, ImageOps

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

FRAME = (1280, 720)
"""Width and height that a camera is asked for."""
_FIRST_FRAME_SECONDS = 5.0
_CLOSING_SECONDS = 5.0


class NoCamera(Exception):
    """There is no picture to be had: plates are typed.

    reason  absent   there is none, it is in use, it went away, or what drives it is not installed
            refused  the system, or whoever holds the device, does not allow it
    """

    def __init__(self, reason: Literal["absent", "refused"], detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


class FrameSource(Protocol):
    """Gives pictures until it is closed."""

    light: Callable[[bool], None] | None
    """Switches its light on or off; None: it has none."""

    def newest(self) -> Picture | None:
        """The newest picture, in mode RGB, upright; None while the first is still to come.

        Raises NoCamera.
        """

    def close(self) -> None:
        """Let the camera go. Again: nothing."""


def open_camera() -> FrameSource:
    """The camera of this device. Raises NoCamera."""
    return AndroidCamera() if "ANDROID_ARGUMENT" in os.environ else DesktopCamera()


class StillPictures:
    """Picture files, each once and the last for ever: for tests and the demo."""

    light: Callable[[bool], None] | None = None

    def __init__(self, files: Sequence[Path]) -> None:
        """Raises NoCamera when there are none."""
        if not files:
            raise NoCamera("absent", "no picture was given")
        self._files = list(files)

    def newest(self) -> Picture:
        if not self._files:
            raise NoCamera("absent", "the pictures were closed")
        file = self._files.pop(0) if len(self._files) > 1 else self._files[0]
        try:
            with Image.open(file) as picture:
                return ImageOps.exif_transpose(picture).convert("RGB")
        except PermissionError as error:
            raise NoCamera("refused", f"{file} may not be read") from error
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise NoCamera("absent", f"{file} is no picture: {error}") from error

    def close(self) -> None:
        self._files = []


class DesktopCamera:
    """A desktop's camera through OpenCV (the extra `reader`). A thread keeps its newest frame."""

    light: Callable[[bool], None] | None = None

    def __init__(self, number: int = 0) -> None:
        """Open the camera and wait for its first frame, at most 5 s. Raises NoCamera."""
        try:
            import cv2
        except ImportError as error:
            raise NoCamera(
                "absent", "OpenCV is missing: pip install 'patrouille[reader]'"
            ) from error
        device = Path(f"/dev/video{number}")
        if device.exists() and not os.access(device, os.R_OK | os.W_OK):
            raise NoCamera("refused", f"{device} may not be opened: join its group, often `video`")
        if sys.platform == "linux" and not device.exists():
            # Asked for one that is not there, OpenCV complains on stderr.
            raise NoCamera("absent", f"there is no {device}")
        capture: Any = cv2.VideoCapture(number)
        if not capture.isOpened():
            capture.release()
            raise NoCamera("absent", f"camera {number} is not there, or is in use")
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, FRAME[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, FRAME[1])
        self._keep(capture)

    @classmethod
    def over(cls, capture: Any) -> DesktopCamera:
        """Over what is open already: `cv2.VideoCapture`, of a film or of a network camera."""
        camera = cls.__new__(cls)
        camera._keep(capture)
        return camera

    def _keep(self, capture: Any) -> None:
        self._capture = capture
        self._frame: Any = None
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._grab, name="camera", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(
                lambda: self._frame is not None or not self._open, _FIRST_FRAME_SECONDS
            )
            arrived = self._frame is not None
        if not arrived:
            self.close()
            raise NoCamera("absent", "the camera gives no picture")

    def _grab(self) -> None:
        try:
            while self._open:
                good, frame = self._capture.read()
                with self._changed:
                    if not good:
                        self._open = False
                    else:
                        self._frame = frame
                    self._changed.notify_all()
        finally:
            self._capture.release()

    def newest(self) -> Picture:
        with self._changed:
            if not self._open:
                raise NoCamera("absent", "the camera went away, or was closed")
            frame = self._frame
        return Image.fromarray(frame[..., ::-1].copy(), "RGB")

    def close(self) -> None:
        with self._changed:
            self._open = False
        self._thread.join(_CLOSING_SECONDS)


def from_nv21(frame: bytes, size: tuple[int, int]) -> Picture:
    """A picture of Android's default preview format, in mode RGB; `size` is its width and height.

    A byte of brightness for each pixel, then for each square of four two of colour: red's, blue's.
    """
    width, height = size
    quarter = (width // 2, height // 2)
    colours = frame[width * height :]
    brightness = Image.frombytes("L", size, frame[: width * height])
    red, blue = (Image.frombytes("L", quarter, colours[first::2]).resize(size) for first in (0, 1))
    return Image.merge("YCbCr", (brightness, blue, red)).convert("RGB")


class AndroidCamera:
    """The camera at an Android device's back, through Kivy's own provider.

    Written after Kivy 2.3 and python-for-android, and not run by our tests, which have no Android:
    only `from_nv21` is. Made and closed by the thread that draws; `newest` by any.
    """

    def __init__(self) -> None:
        """Start it. Raises NoCamera, `refused` until the person, who is asked now, allows it."""
        from android.permissions import Permission, check_permission, request_permissions

        if not check_permission(Permission.CAMERA):
            request_permissions([Permission.CAMERA])
            raise NoCamera("refused", "the camera is not allowed: allow it, then scan again")
        from jnius import JavaException, autoclass
        from kivy.core.camera import Camera

        if Camera is None:
            raise NoCamera("absent", "Kivy has no camera provider here")
        try:
            self._camera: Any = Camera(index=0, resolution=FRAME, stopped=False)
            info = autoclass("android.hardware.Camera$CameraInfo")()
            autoclass("android.hardware.Camera").getCameraInfo(0, info)
            activity = autoclass("org.kivy.android.PythonActivity").mActivity
            screen = activity.getWindowManager().getDefaultDisplay().getRotation()
        except (JavaException, RuntimeError) as error:
            raise NoCamera("absent", f"the camera does not open: {error}") from error
        # The sensor lies in the device as it was built; the screen turns in quarters.
        self._turn = (info.orientation - 90 * screen) % 360
        self.light: Callable[[bool], None] | None = self._switch if self._has_light() else None

    def _has_light(self) -> bool:
        modes = self._camera._android_camera.getParameters().getSupportedFlashModes()
        return modes is not None and modes.contains("torch")

    def _switch(self, on: bool) -> None:
        parameters = self._camera._android_camera.getParameters()
        parameters.setFlashMode("torch" if on else "off")
        self._camera._android_camera.setParameters(parameters)

    def newest(self) -> Picture | None:
        camera = self._camera
        if camera is None:
            raise NoCamera("absent", "the camera was closed")
        frame = camera.grab_frame()
        if frame is None:
            return None
        picture = from_nv21(frame, FRAME)
        return picture.rotate(-self._turn, expand=True) if self._turn else picture

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.stop()
