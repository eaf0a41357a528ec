"""Where positions come from: the device's receiver on Android, or one given for demos and tests.

A receiver takes much of a battery, so a source runs only between `start` and `stop`. How old a
position is, is told by a clock that nobody sets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from handheld_app.locating import Position

EVERY = 5_000
"""Milliseconds between two positions, at the least."""
FARTHER = 5.0
"""Metres by which one must have moved for another."""
LIKELY_ACCURACY = 10.0
"""Metres, of a position that is given by hand."""


@dataclass(frozen=True, slots=True)
class Fix:
    """Degrees of WGS 84, metres within which that is right two times of three, and how old."""

    lat: float
    lon: float
    accuracy_m: float
    age: timedelta = timedelta(0)


class Source(Protocol):
    """Tells where the device is while it runs; both calls may come twice."""

    def start(self) -> None:
        """Begin; returns at once."""

    def stop(self) -> None:
        """Spare the battery."""

    def last(self) -> Fix | None:
        """The last position; None: not known."""


class Fixed:
    """Always the same place."""

    def __init__(self, fix: Fix) -> None:
        self._fix = fix
        self.running = False

    @classmethod
    def parse(cls, text: str) -> Fixed:
        """Of `LAT,LON` or `LAT,LON,ACCURACY`, in degrees and metres. Raises ValueError."""
        lat, lon, *accuracy = (float(part) for part in text.split(","))
        if not (-90 <= lat <= 90 and -180 <= lon <= 180) or len(accuracy) > 1:
            raise ValueError(text)
        metres = accuracy[0] if accuracy else LIKELY_ACCURACY
        if not 0 <= metres < float("inf"):
            raise ValueError(text)
        return cls(Fix(lat, lon, metres))

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def last(self) -> Fix | None:
        return self._fix if self.running else None


class AndroidReceiver:
    """Android's own receivers, through the classes that an APK has. Asks for the permission at the
    first start; refused, it tells nothing.
    """

    def __init__(self, java: Any, permissions: Any, boot: Callable[[], float]) -> None:
        self._java, self._permissions, self._boot = java, permissions, boot
        self._running = False
        self._heard: tuple[Fix, float] | None = None
        self._listener: Any = None

    def start(self) -> None:
        if self._running:
            return
        self._running = True
        wanted = [
            self._permissions.Permission.ACCESS_FINE_LOCATION,
            self._permissions.Permission.ACCESS_COARSE_LOCATION,
        ]
        self._permissions.request_permissions(wanted, self._permitted)

    def _permitted(self, permissions: Any, granted: list[bool]) -> None:
        if self._running and any(granted):
            self._listen()

    def _listen(self) -> None:
        java, hear = self._java, self._hear
        base: Any = java.PythonJavaClass

        class Listener(base):
            __javainterfaces__ = ("android/location/LocationListener",)
            __javacontext__ = "app"

            @java.java_method("(Landroid/location/Location;)V")
            def onLocationChanged(self, location: Any) -> None:
                hear(location)

            # Newer Androids give several at once, and ask a proxy for what has a default too.
            @java.java_method("(Ljava/util/List;)V", name="onLocationChanged")
            def on_locations(self, locations: Any) -> None:
                hear(locations.get(locations.size() - 1))

            @java.java_method("(I)V")
            def onFlushComplete(self, request: int) -> None:
                pass

            @java.java_method("(Ljava/lang/String;)V")
            def onProviderEnabled(self, provider: str) -> None:
                pass

            @java.java_method("(Ljava/lang/String;)V")
            def onProviderDisabled(self, provider: str) -> None:
                pass

            @java.java_method("(Ljava/lang/String;ILandroid/os/Bundle;)V")
            def onStatusChanged(self, provider: str, status: int, extras: Any) -> None:
                pass

        looper = java.autoclass("android.os.Looper").getMainLooper()
        service = self._service()
        self._listener = Listener()
        for provider in service.getProviders(True).toArray():
            if provider in ("gps", "network"):
                service.requestLocationUpdates(provider, EVERY, FARTHER, self._listener, looper)

    def _service(self) -> Any:
        activity = self._java.autoclass("org.kivy.android.PythonActivity").mActivity
        context = self._java.autoclass("android.content.Context")
        found = activity.getSystemService(context.LOCATION_SERVICE)
        return self._java.cast("android.location.LocationManager", found)

    def _hear(self, location: Any) -> None:
        fix = Fix(
            location.getLatitude(),
            location.getLongitude(),
            location.getAccuracy() if location.hasAccuracy() else float("inf"),
        )
        # Both providers are heard: the better one stays while it is new.
        if self._heard is not None:
            before, at = self._heard
            if before.accuracy_m < fix.accuracy_m and self._boot() - at < 2 * EVERY / 1000:
                return
        self._heard = (fix, self._boot())

    def stop(self) -> None:
        self._running = False
        if self._listener is not None:
            self._service().removeUpdates(self._listener)
            self._listener = None

    def last(self) -> Fix | None:
        if self._heard is None:
            return None
        fix, at = self._heard
        return Fix(fix.lat, fix.lon, fix.accuracy_m, timedelta(seconds=self._boot() - at))


def receiver(boot: Callable[[], float]) -> Source | None:
    """The device's own; None where there is none, as on a desktop: zones are chosen by hand."""
    try:
        import android.permissions
        import jnius
    except ImportError:
        return None
    return AndroidReceiver(jnius, android.permissions, boot)


class Positions:
    """What a source tells, at the instants of whoever asks; `source` None: nothing, ever."""

    def __init__(self, source: Source | None) -> None:
        self._source = source
        self.running = False

    @property
    def known_here(self) -> bool:
        """Whether this device may ever know where it is."""
        return self._source is not None

    def run(self, wanted: bool) -> None:
        """Start or stop."""
        if self._source is None or wanted == self.running:
            return
        self.running = wanted
        if wanted:
            self._source.start()
        else:
            self._source.stop()

    def at(self, now: datetime) -> Position | None:
        """The last position that is known."""
        fix = self._source.last() if self._source is not None else None
        if fix is None:
            return None
        return Position(fix.lat, fix.lon, fix.accuracy_m, now - fix.age)
