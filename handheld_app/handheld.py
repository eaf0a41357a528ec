"""One handheld put together from its data folder, with or without a window.

<data-dir>/handheld/device.json      who it is, and its secret (0600)
                    staff.json       the verifiers of its patrollers' PINs (0600)
                    sites/<site>/    the index of each site of this enrolment
                    outbox.db        what is not acknowledged yet
                    notebook.db      drafts, the shift, checks, chalk, the service's briefing
                    photos/          evidence, by SHA-256

The folder is its owner's alone (0700), whatever the umask. On Android the data folder is the app's
own (`App.user_data_dir`, under /data/data), which no other app can read.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx

from handheld_app.authority import fetch_authority
from handheld_app.briefing import Briefings
from handheld_app.device import DeviceFile
from handheld_app.edges import DeviceEdges
from handheld_app.faces import count_faces
from handheld_app.ids import uuid7
from handheld_app.locating import Position
from handheld_app.notebook import Notebook
from handheld_app.notices import Notices
from handheld_app.patrol import Patrol
from handheld_app.signing_in import Cost
from handheld_app.staff import StaffFile
from handheld_app.syncing import Syncing, SyncStatus
from sync import exchange
from sync.client import ServiceClient
from sync.clock import Measurement, TrustedClock
from sync.files import make_folder
from sync.messages import Enrolment, SignIn
from sync.outbox import Outbox
from sync.replica import Replica

KEPT_PAGES = ("draft", "shift", "answered")
"""Of the notebook, when this device is no longer trusted: they tell of no plate but the one that is
being recorded."""

MAPPED = 0
"""Bytes of an index that are read as memory: on a telephone others need it, and where its storage
fails, reading says so, while memory ends the program."""
CACHED = 2 << 20
"""Bytes that each thread may hold of an index besides: what a catch-up changes goes to the disk."""

ENDS_WITHIN = 2.0
"""Seconds to wait for a sync that was told to end; only a connection not made yet takes longer."""


def utc_now() -> datetime:
    """The device's clock."""
    return datetime.now(UTC)


def seconds_since_boot() -> float:
    """A clock that nobody sets and that goes on while the device sleeps, where there is one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def which_start() -> str:
    """A name of this start of the device; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


class Handheld:
    """What lies in a data folder, opened. `changed` hears of the sync, on another thread;
    `transport` and `pin_cost` are for tests.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        now: Callable[[], datetime] = utc_now,
        boot: Callable[[], float] = seconds_since_boot,
        boot_id: Callable[[], str] = which_start,
        changed: Callable[[SyncStatus], None] = lambda status: None,
        locate: Callable[[], Position | None] = lambda: None,
        count_faces: Callable[[bytes], int | None] = count_faces,
        transport: httpx.BaseTransport | None = None,
        pin_cost: Cost | None = None,
    ) -> None:
        self.folder = data_dir.absolute() / "handheld"
        make_folder(self.folder)
        self.folder.chmod(0o700)
        self.device_file = DeviceFile(self.folder / "device.json", new_install_id=str(uuid.uuid4()))
        kept = Measurement.from_json(self.device_file.device.clock)
        self.clock = TrustedClock(
            now, boot, boot_id=boot_id(), kept=kept, keep=self._keep_measurement
        )
        self.outbox = Outbox(self.folder)
        self.notebook = Notebook(self.folder)
        self.briefings = Briefings(self.notebook)
        self.staff = StaffFile(self.folder / "staff.json", cost=pin_cost)
        self._replicas: dict[str, Replica] = {}
        self._changed = changed
        self._transport = transport
        self._switching = threading.RLock()
        self._syncing: Syncing | None = None
        self._syncing_as: tuple[str, str, str] | None = None
        self._ending: list[Syncing] = []
        self.patrol = Patrol(
            device=self.device_file,
            replica_of=self.replica_of,
            outbox=self.outbox,
            read_clock=self.clock.read,
            staff=self.staff,
            notebook=self.notebook,
            briefings=self.briefings,
            locate=locate,
            count_faces=count_faces,
            ask_sign_in=self._ask_sign_in,
            ask_enrolment=self._ask_enrolment,
            fetch_authority=lambda address, pin: fetch_authority(
                address, pin, transport=self._transport
            ),
            forget_others=self._forget_others,
            new_id=lambda: uuid7(now()),
        )
        self.notices = Notices(
            self.patrol, self.device_file, self.notebook, replica_of=self.replica_of
        )
        self._sweep_sites()

    def _keep_measurement(self, measurement: Measurement) -> None:
        # A full disk takes nothing from what was measured: it is measured again.
        with contextlib.suppress(OSError):
            self.device_file.change(clock=measurement.as_json())

    def replica_of(self, site: str) -> Replica:
        """The index of a site of this service; its folder has a name of our own."""
        name = self._folder_of(site)
        if name not in self._replicas:
            self._replicas[name] = Replica(
                self.folder / "sites" / name, mapped=MAPPED, cached=CACHED
            )
        return self._replicas[name]

    def _folder_of(self, site: str) -> str:
        """The same site of another service is another site."""
        named = f"{self.device_file.device.server}\n{site}"
        return hashlib.sha256(named.encode()).hexdigest()[:16]

    def forget_sites(self) -> None:
        """Leave no plate of any site here, opened or not, and no verifier of a PIN on disk. What
        was recorded stays, and so does who is at work.
        """
        who = self.patrol.at_work()
        self.staff.wipe(but="" if who is None else who.badge)
        self.notebook.wipe(but=KEPT_PAGES)
        self.briefings.forget()
        for replica in list(self._replicas.values()):
            replica.wipe()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder / "sites")

    def _forget_others(self) -> None:
        """After an enrolment: leave no plate of what this device is no longer enrolled for.

        Waits for the threads of the enrolment before, so not on the thread that draws.
        """
        self.stop_syncing()
        self._wait_for_ends(ENDS_WITHIN)
        self._sweep_sites()

    def _sweep_sites(self) -> None:
        """Delete the index of every site but those of this enrolment."""
        kept = {self._folder_of(site) for site in self.device_file.device.sites}
        for name in set(self._replicas) - kept:
            self._replicas.pop(name).wipe()
        for folder in (self.folder / "sites").glob("*"):
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def new_client(self) -> ServiceClient:
        """A client of the service that this handheld is enrolled with."""
        as_enrolled = self.device_file.device

        def secret() -> str:
            device = self.device_file.device
            # A token goes to the service that gave it and to no other.
            same = (device.server, device.device) == (as_enrolled.server, as_enrolled.device)
            return device.secret if same else as_enrolled.secret

        return self._client(as_enrolled.server, secret, as_enrolled.authority)

    def new_edges(self) -> DeviceEdges:
        """The edges of a sync with the chosen site, for one thread."""
        replica = self.replica_of(self.device_file.device.site)
        return DeviceEdges(
            self.new_client(),
            replica,
            self.outbox,
            self.clock,
            self.device_file,
            self.briefings,
        )

    def _ask_enrolment(self, address: str, code: str, install_id: str, authority: str) -> Enrolment:
        with self._client(address, None, authority) as client:
            return client.call(exchange.enrol(code, install_id=install_id))

    def _ask_sign_in(self, badge: str, pin: str) -> SignIn:
        if not self.device_file.device.enrolled:
            raise exchange.Unreachable("not enrolled")
        with self.new_client() as client:
            return client.call(exchange.sign_in(badge, pin))

    def _client(
        self, address: str, token: Callable[[], str] | None, authority: str
    ) -> ServiceClient:
        return ServiceClient(
            address,
            token=token,
            language=self.device_file.device.lang,
            authority=authority or None,
            transport=self._transport,
        )

    @property
    def status(self) -> SyncStatus:
        """How the sync stands."""
        return self._syncing.status if self._syncing else SyncStatus()

    def sync(self) -> None:
        """Sync with the chosen site from now on, or hurry if that is under way already."""
        with self._switching:
            device = self.device_file.device
            if not (device.enrolled and device.site):
                return
            # Threads of another enrolment must end; a token that was renewed is shown at once.
            wanted = (device.server, device.device, device.site)
            if self._syncing is not None and self._syncing_as == wanted:
                self._syncing.hurry()
                return
            self.stop_syncing()
            self._syncing_as = wanted
            self._syncing = Syncing(
                new_edges=self.new_edges,
                site=device.site,
                replica=self.replica_of(device.site),
                outbox=self.outbox,
                forget=self.forget_sites,
                changed=self._changed,
            )
            self._syncing.start()

    def stop_syncing(self) -> None:
        """End the sync; returns at once. What is recorded stays."""
        with self._switching:
            self._wait_for_ends(0)
            if self._syncing is not None:
                self._syncing.stop()
                self._ending.append(self._syncing)
                self._syncing = None

    def _wait_for_ends(self, seconds: float) -> None:
        """For the threads of earlier syncs, which nothing needs any more."""
        ends = time.monotonic() + seconds
        ending = list(self._ending)
        ended = [old for old in ending if old.join(max(0.0, ends - time.monotonic()))]
        self._ending = [old for old in self._ending if old not in ended]

    def close(self) -> None:
        """End the sync and close every file."""
        self.stop_syncing()
        self._wait_for_ends(ENDS_WITHIN)
        for replica in self._replicas.values():
            replica.close()
        self.outbox.close()
        self.notebook.close()
