"""What a patroller can do: check a plate, record an infraction, see what was sent.

Knows no screen and no network: what it needs from them are functions that it is given.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar, cast
from zoneinfo import ZoneInfo

from PIL.Image import Image

from handheld_app.alerts import Alert
from handheld_app.briefing import Briefing, Briefings, Message
from handheld_app.chalk import Chalk, Chalks, Found
from handheld_app.device import Device, DeviceFile
from handheld_app.drafts import (
    Draft,
    MalformedDraft,
    PlateSource,
    Sighting,
    Unjudged,
    as_json,
    from_json,
)
from handheld_app.enrolment import asked
from handheld_app.evidence import Photo, PhotoRefused, Shows, encode, read_picture
from handheld_app.locating import Position, lots_at
from handheld_app.notebook import Notebook
from handheld_app.scanning.matching import Match, match
from handheld_app.scanning.reading import Candidate
from handheld_app.shifts import Shift, Shifts, Summary
from handheld_app.signing_in import SignedIn
from handheld_app.staff import NotKnownHere, StaffFile, WrongPin
from handheld_app.watch import Knowledge, PastCheck, Watch, number_of
from handheld_app.work import Entry, entry_of, matches, may_void, messages_for
from sync import codec
from sync.client import check_address
from sync.clock import ClockReading
from sync.entities import InfractionCode, Lot, Notice, Permit, Site, Zone
from sync.exchange import Refused, ServiceError, Unreachable
from sync.messages import Enrolment, SignIn
from sync.outbox import LOW_NUMBERS, Item, NoRoom, Outbox
from sync.plates import Plate, certificate_hint
from sync.replica import (
    BeforeRetention,
    DamagedIndex,
    NotFilled,
    Replica,
    ReplicaError,
    State,
    UnknownZone,
    View,
)
from sync.validity import Verdict, has_ended

T = TypeVar("T")

JURISDICTIONS = (
    "CA-QC", "CA-ON", "CA-NB", "CA-NS", "CA-PE", "CA-NL", "CA-MB", "CA-SK", "CA-AB", "CA-BC",
    "US-VT", "US-NY", "US-ME", "US-NH", "US-MA", "US-CT", "US-RI", "US-NJ", "US-PA", "US-FL",
)  # fmt: skip
"""Offered on the plate's chip, the nearest to Québec first."""

SUGGESTED_CODE: Mapping[Verdict, str] = {
    "unknown": "P01",
    "suspended": "P01",
    "not_started": "P01",
    "wrong_zone": "P02",
    "expired": "P03",
    "cancelled": "P03",
    "pending_activation": "P04",
}
"""The code that a verdict speaks for; a valid plate suggests none."""

OVERSTAY = "T02"
"""The code of a vehicle that stays longer than it may."""

PERMIT_CODES = ("P01", "P02", "P03", "P04")
"""Codes that a valid permit contradicts."""

NO_ISSUE_REASONS = (
    "driver_returned",
    "medical_emergency",
    "active_delivery",
    "unreadable_plate",
    "tolerance_24h",
    "missing_signs",
    "supervisor_instruction",
)
"""Why nothing was issued (DOMAIN 5)."""

PLATE_MISSING_REASONS = ("no_plate", "unreadable", "covered")
"""Why an infraction has no plate (DOMAIN 3.6)."""

MOST_KNOWN = 500
"""Permits that the service takes with an infraction; the deciding ones come first."""

LONGEST_NOTE = 10_000
"""Characters of a note that the service takes."""

LONGEST_BADGE = 40

MOST_PHOTOS = 100
"""Photos of an infraction that the service takes."""

SPOIL_REASONS = ("print_failed", "paper_torn", "wrong_notice")
"""Why a number is of no use."""

UNSURE_CLOCK = timedelta(minutes=1)
"""An uncertainty of the clock from which a patroller is told."""

SEEN_EVERY = timedelta(minutes=10)
"""How much later it must be until the time is written down again, as one that has been."""

SIGN_IN_REFUSED = 403

LONGEST_PLACE = 500

MOST_SUMMED = 10_000
"""Rows of a shift that its summary counts."""

MOST_LISTED = 300
"""Infractions that are listed as one's own work."""

ISSUED_KEPT = timedelta(days=31)
"""For how long this handheld remembers what it issued; the feed tells of 30 days."""

MOST_SEARCHED = 100
"""Infractions among which the last notice is looked for."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

Lack = Literal[
    "plate_reason",
    "code",
    "reason",
    "photos",
    "photo_pending",
    "faces",
    "too_many_photos",
    "note",
    "stale",
    "sign_in",
]
Caution = Literal["stale", "verdict_changed", "no_notice", "valid", "clock", "no_number"]
Warn = Literal["expired", "clock_jumped", "clock_unsure", "no_number", "low_numbers"]
"""What a patroller should know early, the gravest first."""


class NotReady(Exception):
    """Nothing can be judged yet: no site, no zone, or nothing fetched."""


class IndexExpired(NotReady):
    """What is known is too old for any verdict: its last sync is `age` ago, more than its lifetime.

    So a lost handheld stops being a copy of the plates, and no driver is judged by one. What is
    known of the place stays, so that an infraction can be recorded without a verdict.
    """

    def __init__(self, age: timedelta) -> None:
        self.age = age
        super().__init__(f"the last sync was {age} ago")


class NotSignedIn(Exception):
    """The service says that the badge and the PIN do not go together, or no longer do."""


class NeedsService(Exception):
    """The service must be asked, and cannot be: `reason` in its own words, empty when it does not
    answer.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class TooLate(Exception):
    """The grace time is over, or somebody has decided: a supervisor may still void it."""


class Lacking(Exception):
    """The infraction cannot be recorded before what it lacks is there."""

    def __init__(self, lacks: Sequence[Lack]) -> None:
        self.lacks = tuple(lacks)
        super().__init__(", ".join(lacks))


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded; `number` None: no notice, or none was left to be printed."""

    id: str
    number: str | None


class Patrol:
    """A patroller at work with this handheld.

    Checks are one indexed read and may be made on the thread that draws; `enrol`, `take_photo`
    and `record` wait for the network or the disk and may not.
    """

    def __init__(
        self,
        *,
        device: DeviceFile,
        replica_of: Callable[[str], Replica],
        outbox: Outbox,
        read_clock: Callable[[], ClockReading],
        staff: StaffFile,
        notebook: Notebook,
        briefings: Briefings,
        ask_sign_in: Callable[[str, str], SignIn],
        ask_enrolment: Callable[[str, str, str, str], Enrolment],
        fetch_authority: Callable[[str, bytes], str],
        new_id: Callable[[], str],
        forget_others: Callable[[], None] = lambda: None,
        locate: Callable[[], Position | None] = lambda: None,
        count_faces: Callable[[bytes], int | None] = lambda picture: None,
    ) -> None:
        """`ask_sign_in` takes a badge and a PIN; `ask_enrolment` the address, the code, the install
        id and the authority (PEM) to believe, empty for the device's own; `fetch_authority` an
        address and the pin; `forget_others` removes what an earlier enrolment left and this one has
        no right to; `locate` tells where the device is, if it knows; `count_faces` how many faces a
        picture shows, None when this device cannot tell.
        """
        self._device = device
        self._replica_of = replica_of
        self._outbox = outbox
        self._read_clock = read_clock
        self._began = read_clock().corrected
        self._seen_before = codec.parse_optional_instant(device.device.seen_at or None)
        self._staff = staff
        self._notebook = notebook
        self._briefings = briefings
        self._locate = locate
        self._count_faces = count_faces
        self.shifts = Shifts(notebook)
        self.chalks = Chalks(notebook)
        self.watch = Watch(notebook, self.briefing)
        self._who: SignedIn | None = None
        self._ask_sign_in = ask_sign_in
        self._ask_enrolment = ask_enrolment
        self._fetch_authority = fetch_authority
        self._new_id = new_id
        self._forget_others = forget_others

    # where

    @property
    def device(self) -> Device:
        """Who this handheld is and where it works."""
        return self._device.device

    def now(self) -> datetime:
        """The service's time, as well as this device knows it."""
        return self._read_clock().corrected

    def _latest(self) -> datetime:
        """The time now, no earlier than one that is known to have been: a clock that was set back
        while the device was off makes nothing good for longer, however often it is done. One that
        was measured since needs no such help, and corrects it.
        """
        clock, seen = self._read_clock(), self._seen_at()
        if clock.uncertainty is not None or seen is None:
            return clock.corrected
        # What is not compared goes on by the boot clock, which nobody sets.
        passed = clock.corrected - self._began
        return max(clock.corrected, seen, (self._seen_before or seen) + passed)

    def _seen_at(self) -> datetime | None:
        return codec.parse_optional_instant(self.device.seen_at or None)

    def keep_time(self) -> None:
        """Write down that this instant has been; now and then, not on the thread that draws."""
        at, seen = self._latest(), self._seen_at()
        if seen is None or at - seen > SEEN_EVERY or at < seen:
            self._device.change(seen_at=codec.instant(at))

    def _reading(self, draft: Draft | None = None) -> AbstractContextManager[View]:
        """What is known of the chosen site, or of the draft's, held still. Raises NotFilled,
        DamagedIndex, also when the block ends.
        """
        site = draft.site.id if draft is not None and draft.site else self.device.site
        if not site:
            raise NotFilled("no site chosen")
        return self._replica_of(site).reading()

    def _ask(self, read: Callable[[View], T], otherwise: T, *, of: Draft | None = None) -> T:
        """What `read` finds; `otherwise` before anything was fetched, or if what is here cannot be
        read: the next sync fetches it.
        """
        try:
            with self._reading(of) as view:
                return read(view)
        except (NotFilled, DamagedIndex):
            return otherwise

    def enrol(self, server: str, code: str) -> Device:
        """Become one of the service's handhelds. Either may be an enrolment link instead.

        Raises NotALink, ServiceError (InsecureAddress first), OSError. What was recorded for
        another service stays, and stays apart.
        """
        link, before = asked(server, code), self.device
        address = check_address(link.server)
        authority = before.authority if address == before.server else ""
        if link.pin is not None and address.startswith("https:"):
            authority = self._fetch_authority(address, link.pin)
        enrolment = self._ask_enrolment(address, link.code, before.install_id, authority)
        device = self._device.change(
            server=address,
            device=enrolment.device,
            token=enrolment.token,
            next_token="",
            old_token="",
            token_at=codec.instant(self.now()),
            authority=authority,
            sites=enrolment.sites,
            site=enrolment.sites[0] if len(enrolment.sites) == 1 else "",
            zone="",
        )
        self._who = None
        self._staff.wipe()
        self._forget_others()
        if (address, device.device) != (before.server, before.device):
            self._outbox.forget_blocks()  # numbers are of the device that they were given to
        return device

    # who

    def signed_in(self) -> SignedIn | None:
        """Whose work it is now; None: nobody's. A restart signs out."""
        who = self._who
        return who if who is not None and self._latest() < who.until else None

    def at_work(self) -> SignedIn | None:
        """Who signed in and did not sign out, also when their time is over by now."""
        return self._who

    def tries_left(self, badge: str) -> int | None:
        """How many more wrong PINs of a badge this device takes before it must ask the service;
        None: it must be asked now.
        """
        return self._staff.tries_left(badge, at=self._latest())

    def sign_in(self, badge: str, pin: str) -> SignedIn:
        """Begin a patroller's work, by this device's own verifier, else by the service.

        Waits for the network when the verifier does not say yes: a PIN may be new. Raises WrongPin,
        NeedsService, OSError.
        """
        badge = _storable(badge).strip()[:LONGEST_BADGE]
        try:
            who = self._staff.sign_in(badge, pin, at=self._latest())
        except (NotKnownHere, WrongPin) as here:
            who = self._sign_in_on_line(badge, pin, here)
        self._who = who
        if self.device.badge != badge:
            self._device.change(badge=badge)
        return who

    def _sign_in_on_line(self, badge: str, pin: str, here: NotKnownHere | WrongPin) -> SignedIn:
        try:
            said = self._ask_sign_in(badge, pin)
        except Refused as error:
            if error.status == SIGN_IN_REFUSED and isinstance(here, NotKnownHere):
                raise WrongPin(None) from error
            if isinstance(here, WrongPin):
                raise here from error
            raise NeedsService(str(error)) from error
        except (ServiceError, codec.MalformedMessage) as error:
            if isinstance(here, WrongPin):
                raise here from error
            is_away = type(error) is Unreachable  # neither NotNow nor Untrusted, which tell more
            raise NeedsService("" if is_away else str(error)) from error
        return self._staff.remember(badge, pin, said, at=self._latest())

    def confirm_sign_in(self, badge: str, pin: str) -> None:
        """Ask the service too about one whom this device let in: another month if it agrees.

        Raises NotSignedIn if it does not, and they are signed out and must ask it from now on;
        OSError. Without an answer nothing changes.
        """
        badge = _storable(badge).strip()[:LONGEST_BADGE]
        try:
            said = self._ask_sign_in(badge, pin)
        except Refused as error:
            if error.status != SIGN_IN_REFUSED:
                return
            if self._who is not None and self._who.badge == badge:
                self._who = None
            self._staff.forget(badge)
            raise NotSignedIn(badge) from error
        except (ServiceError, codec.MalformedMessage):
            return
        self._staff.remember(badge, pin, said, at=self.now())

    def sign_out(self) -> None:
        """End the patroller's work. Checking goes on, recording does not."""
        self._who = None

    # the shift

    @property
    def shift(self) -> Shift | None:
        """The shift under way, also after a restart and while nobody is signed in."""
        return self.shifts.current

    def start_shift(self) -> Shift:
        """Begin the signed-in patroller's shift in the chosen zone; what is under way of another's
        ends. Writes to disk. Raises Lacking, NotReady.
        """
        who, site, zone = self.signed_in(), self.site(), self.zone()
        if who is None:
            raise Lacking(("sign_in",))
        if site is None or zone is None:
            raise NotReady("no zone chosen")
        if self.shift is not None:
            self.end_shift()
        shift = Shift(self._new_id(), site.id, zone.id, who.patroller, who.called, self.now())
        self.shifts.start(shift)
        self.tell_service(
            "shift_started", site.id, shift=shift.id, zone=zone.id, patroller=who.patroller
        )
        return shift

    def go_on_with_shift(self) -> Shift | None:
        """The shift of who is signed in now; another patroller's ends here. Writes to disk."""
        who, shift = self.signed_in(), self.shift
        if who is not None and shift is not None and shift.patroller != who.patroller:
            self.end_shift()
        return self.shift

    def end_shift(self) -> Summary | None:
        """End the shift under way; what it came to. Writes to disk."""
        shift = self.shift
        if shift is None:
            return None
        summary = self.summary()
        over = replace(shift, ended_at=self.now())
        self.shifts.end(over)
        self.tell_service(
            "shift_ended",
            shift.site,
            shift=shift.id,
            patroller=shift.patroller,
            checks=dict(summary.verdicts),
            infractions=dict(summary.outcomes),
        )
        return replace(summary, shift=over)

    def summary(self) -> Summary:
        """What the shift under way came to so far. LookupError without one."""
        shift = self.shift
        if shift is None:
            raise LookupError("no shift is under way")
        checks = self._notebook.since("check", shift.started_at, most=MOST_SUMMED)
        items = [
            item
            for item in self.log(most=MOST_SUMMED)
            if (item.body or {}).get("shift") == shift.id
        ]
        bodies = [item.body or {} for item in items]
        voided = self._outbox.voided()
        return Summary(
            shift,
            verdicts=Counter(str(page.body["verdict"]) for page in checks),
            outcomes=Counter(str(body["outcome"]) for body in bodies),
            voided=sum(1 for item in items if item.id in voided),
            chalked=self._notebook.count("chalk", shift.started_at),
            photos=sum(len(body.get("photos", ())) for body in bodies),
            unsent=self.unsent(),
        )

    def tell_service(self, kind: str, site: str, **facts: Any) -> None:
        """Put an event in the outbox, about whatever a patrol leaves besides infractions."""
        at = self.now()
        body = {"kind": kind, "site": site, "at": codec.instant(at), **facts}
        self._outbox.put_event(self._new_id(), body, at=at, service=self.device.server)

    # where, as far as the device knows

    def position(self) -> Position | None:
        """Where the device is, if that is known and fresh."""
        position = self._locate()
        return position if position is not None and position.is_fresh(self.now()) else None

    def lots(self) -> list[Lot]:
        """The lots of the chosen site."""
        return self._ask(lambda view: view.lots(), [])

    def suggested_lot(self) -> Lot | None:
        """The lot in which the device is, if that is known (never required)."""
        position = self.position()
        found = lots_at(self.lots(), position) if position is not None else []
        return found[0] if found else None

    # what the service told besides the feed

    def briefing(self) -> Briefing:
        """Settings, messages, questions, others' checks."""
        return self._briefings.of(self.device.server, self.device.site)

    def messages(self) -> list[Message]:
        """What supervisors tell who is signed in, and nobody read yet."""
        who = self.signed_in()
        patroller = None if who is None else who.patroller
        is_read = lambda id: self._notebook.page("read", id) is not None  # noqa: E731
        return messages_for(self.briefing(), patroller, is_read)

    def read_message(self, message: Message) -> None:
        """It was read; the service hears of it. Writes to disk."""
        who = self.signed_in()
        self.tell_service(
            "message_read",
            self.device.site,
            message=message.id,
            patroller=None if who is None else who.patroller,
        )
        self._notebook.keep("read", message.id, {}, at=self.now())

    def site(self) -> Site | None:
        """The chosen site, once known."""
        return self._ask(lambda view: view.site, None)

    def zones(self) -> Mapping[str, Zone]:
        """The zones of the chosen site by code; none before they are fetched."""
        return self._ask(lambda view: dict(view.zones), {})

    def zone(self) -> Zone | None:
        """The chosen zone; None when there is none or the site has it no more."""
        return self.zones().get(self.device.zone)

    def choose_site(self, site: str) -> None:
        """Work at another site; its zone is to be chosen anew."""
        if site != self.device.site:
            self._device.change(site=site, zone="")

    def choose_zone(self, zone: str) -> None:
        """Check against this zone from now on. Raises UnknownZone."""
        if zone not in self.zones():
            raise UnknownZone(zone)
        self._device.change(zone=zone)

    def speak(self, lang: str) -> None:
        """Remember the language of the screens."""
        self._device.change(lang=lang)

    def prefer(self, **settings: Any) -> None:
        """Remember how the screens are to look, lie or sound: fields of `Device`."""
        self._device.change(**settings)

    # what is known

    def known_at(self, of: Draft | None = None) -> datetime | None:
        """How fresh what is known is: the older of the last sync and the feed's last contact.

        None when the subscription system was never heard of (DOMAIN 2.7).
        """
        return self._ask(lambda view: _known_at(view.state), None, of=of)

    def state(self) -> State | None:
        """How far this handheld has come with the chosen site."""
        return self._ask(lambda view: view.state, None)

    def is_stale(self, of: Draft | None = None) -> bool:
        """Whether what is known is older than the site allows before a warning (DOMAIN 2.7)."""

        def is_old(view: View) -> bool:
            known_at = _known_at(view.state)
            return known_at is None or self.now() - known_at > view.site.stale_after

        return self._ask(is_old, True, of=of)

    def _age(self, state: State) -> timedelta:
        """How long ago the last sync was, at the most."""
        doubt = self._read_clock().uncertainty or timedelta(0)
        return self._latest() + doubt - state.server_time

    def is_expired(self, of: Draft | None = None) -> bool:
        """Whether what is known is too old for verdicts; False when nothing is known."""
        return self._ask(lambda view: self._has_expired(view.state), False, of=of)

    def _has_expired(self, state: State) -> bool:
        return self._age(state) > self.device.index_lifetime

    def warnings(self) -> list[Warn]:
        """What should be known before it hinders, the gravest first."""
        if self.site() is None:
            return []
        warnings: list[Warn] = []
        clock, left = self._read_clock(), self.numbers_left()
        if self.is_expired():
            warnings.append("expired")
        if clock.jumped:
            warnings.append("clock_jumped")
        elif _is_unsure(clock):
            warnings.append("clock_unsure")
        if not left:
            warnings.append("no_number")
        elif left < LOW_NUMBERS:
            warnings.append("low_numbers")
        return warnings

    def numbers_left(self) -> int:
        """How many notices can still be printed for the chosen site before the next sync."""
        return self._outbox.numbers_left(self.device.server, self.device.site)

    # checking

    def check(self, raw: str, jurisdiction: str, *, typed: str | None = None) -> Sighting:
        """May this plate be here now? Raises UnusablePlate, NotReady (IndexExpired).

        `typed` is what was typed when a person took an offered plate instead (DOMAIN 3.2).
        """
        plate = Plate.parse(raw, jurisdiction)
        clock = self._read_clock()
        try:
            with self._reading() as view:
                if self._has_expired(view.state):
                    raise IndexExpired(self._age(view.state))
                check = view.check(plate, zone=self.device.zone, at=clock.corrected)
                site, state = view.site, view.state
        except ReplicaError as error:
            raise NotReady(str(error)) from error
        typed = raw if typed is None else typed
        return Sighting(typed, site, check, state, _known_at(state), clock)

    def is_over(self, sighting: Sighting) -> bool:
        """Whether the instant has come at which the verdict changes by itself (DOMAIN 2.5)."""
        changes_at = sighting.check.judgement.changes_at
        return changes_at is not None and self.now() >= changes_at

    def note_check(self, sighting: Sighting) -> None:
        """A check that somebody looked at: it is remembered here, and the service hears of it
        (DOMAIN 6: look-ups are logged with user and purpose). Writes to disk.
        """
        who, shift, lot = self.signed_in(), self.shift, self.suggested_lot()
        id, number = self._new_id(), number_of(sighting)
        where = None if lot is None else lot.id
        self.watch.note(sighting, id, place="", lot=where)
        body = {
            "kind": "check",
            "site": sighting.site.id,
            "at": codec.instant(sighting.at),
            "plate": sighting.plate.text,
            "jurisdiction": sighting.plate.jurisdiction,
            "zone": sighting.check.zone.id,
            "lot": where,
            "place": None,
            "verdict": sighting.verdict,
            "permit_number": number,
            "patroller": None if who is None else who.patroller,
            "shift": None if shift is None else shift.id,
            "purpose": "patrol",
        }
        self._outbox.put_event(id, body, at=self.now(), service=self.device.server)

    def recent_checks(self) -> list[PastCheck]:
        """The last checks at the chosen site, each plate once."""
        return self.watch.recent(self.device.site)

    def alerts(self, sighting: Sighting) -> list[Alert]:
        """What must not be missed about what was checked, the gravest first."""
        plate = sighting.plate
        known = self._ask(
            lambda view: Knowledge(view.hotlist(plate), view.notices(plate)), Knowledge((), ())
        )
        notices = {notice.id: notice for notice in self._issued_here(plate, sighting.site.id)}
        notices |= {notice.id: notice for notice in known.notices}
        for id in set(notices) & set(self._outbox.voided()):
            del notices[id]
        known = Knowledge(known.hotlist, tuple(notices.values()))

        def holds(other: Plate, number: str) -> bool:
            permits: Sequence[Permit] = self._ask(lambda view: view.permits_for(other), ())
            ended = [has_ended(p, sighting.at) for p in permits if p.permit_number == number]
            # One that is not known here yet is told of by another handheld, which knew it.
            return not ended or not all(ended)

        shift = self.shift
        return self.watch.alerts(
            sighting,
            known,
            holds=holds,
            is_stale=self.is_stale(),
            since=shift.started_at if shift is not None else None,
        )

    def _issued_here(self, plate: Plate, site: str) -> list[Notice]:
        """What was recorded on this handheld of a plate: the feed may not tell of it yet."""
        pages = self._notebook.keyed("issued", f"{plate.jurisdiction} {plate.text}")
        return [
            cast(Notice, codec.entity("notice", page.body["notice"]))
            for page in pages
            if page.body.get("site") == site
        ]

    def is_acknowledged(self, alert: Alert) -> bool:
        """Whether somebody has said in this shift that they saw it."""
        shift = self.shift
        return self.watch.is_acknowledged(alert, shift.started_at if shift else None)

    def acknowledge(self, alert: Alert, sighting: Sighting) -> None:
        """Somebody saw the alert; the service hears of it. Writes to disk."""
        who = self.signed_in()
        self.watch.acknowledge(alert, self.now())
        self.tell_service(
            "alert_acknowledged",
            sighting.site.id,
            alert=alert.kind,
            hotlist=alert.entry and alert.entry.id,
            plate=sighting.plate.text,
            jurisdiction=sighting.plate.jurisdiction,
            zone=sighting.check.zone.id,
            patroller=None if who is None else who.patroller,
        )

    def other_plates(self, sighting: Sighting) -> list[Plate]:
        """The other plates of the same permit. Reads the whole index: not on the thread that
        draws.
        """
        number = number_of(sighting)
        if number is None:
            return []
        plates: list[Plate] = self._ask(lambda view: view.plates_of(number), [])
        return [plate for plate in plates if plate != sighting.plate]

    # chalk

    def mark(
        self,
        plate: Plate,
        *,
        minutes: int,
        place: str = "",
        lot: str | None = None,
        valves: tuple[int | None, int | None] = (None, None),
        photos: Sequence[Photo] = (),
    ) -> Chalk:
        """Mark a vehicle where it stands. Writes to disk. Raises NotReady."""
        site, zone = self.site(), self.zone()
        if site is None or zone is None:
            raise NotReady("no zone chosen")
        taken = tuple(photo.sha256 for photo in photos)
        chalk = Chalk(
            self._new_id(),
            site.id,
            zone.id,
            plate,
            _storable(place).strip(),
            lot,
            self.now(),
            minutes,
            valves,
            taken,
        )
        self.chalks.keep(chalk)
        self._tell_of(chalk)
        return chalk

    def settle_mark(self, chalk: Chalk, found: Found) -> Chalk:
        """Somebody looked at a marked vehicle again. Writes to disk."""
        settled = chalk.settle(found, self.now())
        self.chalks.keep(settled)
        self._tell_of(settled)
        return settled

    def _tell_of(self, chalk: Chalk) -> None:
        who, shift = self.signed_in(), self.shift
        self.tell_service(
            "chalk",
            chalk.site,
            patroller=None if who is None else who.patroller,
            shift=None if shift is None else shift.id,
            **chalk.facts(),
        )

    def photos_of_mark(self, chalk: Chalk) -> list[Photo]:
        """The photos of a mark that are still here: evidence when the vehicle overstays."""
        found = []
        for sha256 in chalk.photos:
            path = self._outbox.photo(sha256)
            with contextlib.suppress(OSError):
                found.append(Photo(sha256, path.stat().st_size, chalk.at, path, "context"))
        self._outbox.hold(photo.sha256 for photo in found)
        return found

    def overstay(self, chalk: Chalk, sighting: Sighting) -> Draft:
        """Begin an infraction about a marked vehicle whose time is up, with the mark's photos."""
        draft = self.draft(sighting)
        if OVERSTAY in {code.id for code in draft.known_codes}:
            draft.codes = [OVERSTAY]
        draft.place, draft.photos = chalk.place, self.photos_of_mark(chalk)
        draft.lot = draft.lot if draft.lot is not None else chalk.lot
        return draft

    def marks(self) -> list[Chalk]:
        """The marks of the chosen site that nobody looked at again, the next one due in front."""
        return self.chalks.marks(self.device.site)

    def marks_due(self) -> list[Chalk]:
        """Those whose time is up."""
        return self.chalks.due(self.device.site, self.now())

    def mark_of(self, plate: Plate) -> Chalk | None:
        """The mark of a plate that nobody looked at again."""
        return self.chalks.of(plate, self.device.site)

    def is_settled(self, raw: str, jurisdiction: str) -> bool:
        """Whether what is typed so far can be judged without waiting for more: it is a plate with
        a permit, or no longer the beginning of one. What may be a certificate number waits for
        somebody to say what it is.
        """
        if certificate_hint(raw) is not None:
            return False
        try:
            plate = Plate.parse(raw, jurisdiction)
        except ValueError:
            return False

        def is_settled(view: View) -> bool:
            if self._has_expired(view.state):
                return False
            return bool(view.permits_for(plate)) or not view.begins_a_plate(plate)

        return self._ask(is_settled, False)

    def unjudged(self, raw: str, jurisdiction: str, *, typed: str | None = None) -> Unjudged:
        """A plate to record although it cannot be judged now. Raises UnusablePlate."""
        return Unjudged(raw if typed is None else typed, Plate.parse(raw, jurisdiction))

    def match_scan(self, candidates: Sequence[Candidate], jurisdiction: str) -> Match:
        """Compare what was read from a picture with the plates that have permits here; with none,
        when nothing is known or it is too old. Reads a lot: not on the thread that draws.
        """

        def look(view: View) -> Match:
            if self._has_expired(view.state):
                return match(candidates, lambda plate: (), jurisdiction=jurisdiction)
            return match(
                candidates,
                lambda plate: {permit.plate for permit in view.look_alikes(plate)},
                jurisdiction=jurisdiction,
            )

        unknown = match(candidates, lambda plate: (), jurisdiction=jurisdiction)
        return self._ask(look, unknown)

    def certificate_hint(self, raw: str) -> str | None:
        """A plate to offer when what was typed looks like a certificate number (DOMAIN 3.3)."""
        return certificate_hint(raw)

    # recording

    def codes(self) -> list[InfractionCode]:
        """The codes that may be recorded at this site, in its instrument (DOMAIN 5)."""
        return self._ask(_codes, [])

    def codes_for(self, draft: Draft) -> Sequence[InfractionCode]:
        """Those that may be recorded where the draft is of; as they were when it was begun, once
        nothing is known of that place any more.
        """
        return self._ask(_codes, draft.known_codes, of=draft)

    def draft(
        self,
        sighting: Sighting | None,
        unjudged: Unjudged | None = None,
        *,
        source: PlateSource = "typed",
    ) -> Draft:
        """Begin an infraction, with what the verdict and the alerts suggest filled in."""
        draft = Draft(
            self._new_id(),
            self._read_clock(),
            sighting,
            unjudged,
            server=self.device.server,
            state=self.state(),
            site=self.site() if sighting is None else sighting.site,
            zone=self.zone() if sighting is None else sighting.check.zone,
            known_codes=tuple(self.codes()),
            source=source,
            position=self.position(),
        )
        lot = self.suggested_lot()
        if lot is not None and draft.zone is not None and lot.zone in (None, draft.zone.id):
            draft.lot = lot.id
        if sighting is not None:
            permits = sighting.check.judgement.permits
            draft.vehicle = permits[0].vehicle if permits else None
            code = SUGGESTED_CODE.get(sighting.verdict)
            if any(alert.kind == "two_vehicles" for alert in self.alerts(sighting)):
                code = "P05" if sighting.verdict == "valid" else code
            if code in {known.id for known in draft.known_codes}:
                draft.codes = [code] if code else []
            if sighting.verdict == "pending_activation":
                draft.outcome = "warning"
        return draft

    def lacks(self, draft: Draft) -> list[Lack]:
        """What must still be given before the infraction can be recorded."""
        lacks: list[Lack] = []
        if self.signed_in() is None:
            lacks.append("sign_in")
        if draft.plate is None and draft.plate_missing_reason is None:
            lacks.append("plate_reason")
        if not draft.codes:
            lacks.append("code")
        if draft.outcome == "no_issue" and draft.no_issue_reason is None:
            lacks.append("reason")
        if len(draft.photos) < self.photos_required(draft):
            lacks.append("photos")
        if draft.photos_pending:
            lacks.append("photo_pending")
        if self.asks_about_faces(draft) and not draft.faces_accepted:
            lacks.append("faces")
        if len(draft.photos) > MOST_PHOTOS:
            lacks.append("too_many_photos")
        if len(_note(draft)) > LONGEST_NOTE:
            lacks.append("note")
        if "stale" in self.cautions(draft) and not draft.stale_accepted:
            lacks.append("stale")
        return lacks

    def asks_about_faces(self, draft: Draft) -> bool:
        """Whether a photo shows a face, which the site wants no photo to show without need."""
        wanted = self.briefing().settings.ask_about_faces
        return wanted and any(photo.faces for photo in draft.photos)

    # drafts outlive a restart

    def keep_draft(self, draft: Draft) -> None:
        """Remember what was given so far: nothing that was typed is lost. It stays that of who
        began it. Writes to disk.
        """
        page = self._notebook.page("draft", draft.id)
        of = (page.key if page is not None else "") or self._patroller()
        self._notebook.keep("draft", draft.id, as_json(draft), at=draft.begun.corrected, key=of)

    def _patroller(self) -> str:
        """Who is at work, also when their time is over; empty: nobody."""
        return "" if self._who is None else self._who.patroller

    def drop_draft(self, draft: Draft) -> None:
        """It was recorded, or given up. Writes to disk."""
        self._notebook.forget("draft", draft.id)

    def kept_draft(self) -> Draft | None:
        """The infraction that was being recorded when the program ended, if any. Another
        patroller's is not theirs to record, and waits.
        """
        for page in self._notebook.latest("draft", most=10):
            if page.key and self._who is not None and page.key != self._patroller():
                continue
            try:
                draft = from_json(page.body)
            except MalformedDraft:
                continue
            if self._outbox.infraction(draft.id) is None:
                draft.photos = [photo for photo in draft.photos if photo.path.exists()]
                self._outbox.hold(photo.sha256 for photo in draft.photos)
                return draft
        return None

    def keep_typed(self, text: str, jurisdiction: str) -> None:
        """Remember a plate that is being typed; empty: none is. Writes to disk."""
        if not text:
            self._notebook.forget("typed", "plate")
            return
        body = {"text": _storable(text), "jurisdiction": jurisdiction}
        self._notebook.keep("typed", "plate", body, at=self.now(), key=self._patroller())

    def typed(self) -> tuple[str, str] | None:
        """The plate that was being typed when the program ended, and where it is from. None:
        nothing was, or somebody else did.
        """
        page = self._notebook.page("typed", "plate")
        if page is None or page.key != self._patroller():
            return None
        return str(page.body["text"]), str(page.body["jurisdiction"])

    def photos_required(self, draft: Draft) -> int:
        """How many photos the chosen codes ask for; none when nothing is issued."""
        if draft.outcome == "no_issue":
            return 0
        chosen = [code for code in self.codes_for(draft) if code.id in draft.codes]
        return max((int(code.photos_required) for code in chosen), default=0)

    def cautions(self, draft: Draft) -> list[Caution]:
        """What a patroller should think of before issuing; all but `stale` only inform."""
        cautions: list[Caution] = []
        if draft.outcome == "notice" and self.is_stale(draft):
            cautions.append("stale")
        clock = self._read_clock()
        if clock.jumped or _is_unsure(clock):
            cautions.append("clock")
        if draft.outcome == "no_issue":
            return cautions
        sighting, verdict = draft.sighting, self.verdict_now(draft)
        if sighting is not None and verdict is not None:
            if verdict != sighting.verdict:
                cautions.append("verdict_changed")
            if verdict == "valid" and any(code in PERMIT_CODES for code in draft.codes):
                cautions.append("valid")
        if draft.outcome == "notice" and self._wants_no_notice(draft):
            cautions.append("no_notice")
        if draft.outcome == "notice" and self.number_of(draft) is None:
            cautions.append("no_number")
        return cautions

    def _wants_no_notice(self, draft: Draft) -> bool:
        zone, now = draft.zone, self.now()
        return zone is not None and self._ask(
            lambda view: any(window.covers(zone.id, now) for window in view.site.no_notice),
            False,
            of=draft,
        )

    def number_of(self, draft: Draft) -> str | None:
        """The number that the draft's notice will have; None when none is left, or it is none."""
        if draft.outcome != "notice" or draft.site is None:
            return None
        return self._outbox.next_number(draft.server, draft.site.id)

    def verdict_now(self, draft: Draft) -> Verdict | None:
        """The verdict on the draft's plate with what is known by now; None without a plate, when
        nothing is known, or when it is too old.
        """
        sighting, now = draft.sighting, self.now()
        if sighting is None:
            return None

        def judge(view: View) -> Verdict | None:
            return None if self._has_expired(view.state) else _verdict_now(view, sighting, now)

        return self._ask(judge, None, of=draft)

    def take_photo(self, source: Path, shows: Shows = "other") -> Photo:
        """Keep a picture file as evidence: its bytes unaltered, its hash and the time now.

        Reads and writes files, so not on the thread that draws. Raises PhotoRefused.
        """
        return self._keep(read_picture(source), self.now(), shows)

    def keep_frame(self, frame: Image, taken_at: datetime, shows: Shows = "other") -> Photo:
        """Keep what the camera saw at an instant: it is made a JPEG once, which is the original.

        Computes and writes, so not on the thread that draws. Raises PhotoRefused.
        """
        return self._keep(encode(frame), taken_at, shows)

    def _keep(self, picture: bytes, taken_at: datetime, shows: Shows) -> Photo:
        try:
            sha256 = self._outbox.keep_photo(picture)
        except NoRoom as error:
            raise PhotoRefused("no_room") from error
        except OSError as error:
            raise PhotoRefused("not_kept") from error
        asked = self.briefing().settings.ask_about_faces
        faces = self._count_faces(picture) if asked else None
        return Photo(sha256, len(picture), taken_at, self._outbox.photo(sha256), shows, faces)

    def would_record(self, draft: Draft) -> dict[str, Any]:
        """What would be recorded of the draft as it is, with the number that it would get. Raises
        Lacking when nobody is signed in, NotReady.
        """
        who = self.signed_in()
        if who is None:
            raise Lacking(("sign_in",))
        number = self.number_of(draft)
        return self._infraction(draft, who) | ({} if number is None else {"number": number})

    def recorded(self, id: str) -> Item | None:
        """An infraction that was recorded here."""
        return self._outbox.infraction(id)

    def record(self, draft: Draft) -> Recorded:
        """Record the infraction; it is in the outbox, on disk, when this returns. A notice takes
        the site's next number in the same step; with none left it is recorded all the same.

        Works without network. Writes to disk, so not on the thread that draws. Raises Lacking.
        """
        who, lacks = self.signed_in(), self.lacks(draft)
        if lacks or who is None or draft.site is None:
            raise Lacking(lacks or ("sign_in",))
        number = self._outbox.put_infraction(
            draft.id,
            self._infraction(draft, who),
            [photo.sha256 for photo in draft.photos],
            at=self.now(),
            service=draft.server,
            number_of_site=draft.site.id if draft.outcome == "notice" else None,
        )
        # What follows is for comfort: the infraction is recorded, whatever becomes of it.
        with contextlib.suppress(OSError, sqlite3.Error):
            self._note_issued(draft, who, number)
            self.drop_draft(draft)
        return Recorded(draft.id, number)

    def _note_issued(self, draft: Draft, who: SignedIn, number: str | None) -> None:
        """So that a second one on the same day is warned of before the feed tells of the first."""
        plate, site, zone = draft.plate, draft.site, draft.zone
        if plate is None or site is None or zone is None:
            return
        at = (draft.sighting.clock if draft.sighting else draft.begun).corrected
        notice = Notice(
            draft.id,
            plate,
            tuple(draft.codes),
            zone.id,
            at,
            draft.outcome,
            number,
            who.patroller,
            "received",
            None,
        )
        body = {"site": site.id, "notice": codec.change_of(notice).record}
        self._notebook.keep(
            "issued", draft.id, body, at=at, key=f"{plate.jurisdiction} {plate.text}"
        )
        self._notebook.forget_before("issued", at - ISSUED_KEPT)

    # one's own work

    def work(self, *, since: datetime | None = None, text: str = "") -> list[Entry]:
        """What was recorded here and what became of it, the newest first; `since` and `text` narrow
        it down.
        """
        voided, waiting = self._outbox.voided(), self._outbox.photos_waiting()
        items = [
            item for item in self.log(most=MOST_LISTED) if since is None or item.put_at >= since
        ]
        notices: dict[str, Notice | None] = self._ask(
            lambda view: {item.id: view.notice(item.id) for item in items}, {}
        )
        answers = {page.id: page for page in self._notebook.latest("answered", most=MOST_LISTED)}
        briefing = self.briefing()
        entries = []
        for item in items:
            answered = answers.get(item.id)
            entry = entry_of(
                item,
                notice=notices.get(item.id),
                voided=voided,
                photos_waiting=waiting.get(item.id, 0),
                question=briefing.question_of(item.id),
                answered_at=answered.at if answered is not None else None,
                answer="" if answered is None else str(answered.body.get("text", "")),
            )
            if matches(entry, text):
                entries.append(entry)
        return entries

    def entry(self, id: str) -> Entry | None:
        """One of them; None if it is not among the last that were recorded here."""
        return next((entry for entry in self.work() if entry.item.id == id), None)

    def photos_taken(self, entry: Entry) -> list[Photo]:
        """The photos of an infraction; those that are here still."""
        photos = [
            Photo(
                told["sha256"],
                told["bytes"],
                codec.parse_instant(told["taken_at"]),
                self._outbox.photo(told["sha256"]),
                told.get("shows", "other"),
            )
            for told in entry.body.get("photos", ())
        ]
        return [photo for photo in photos if photo.path.exists()]

    def voidable_until(self, entry: Entry) -> datetime:
        """When the grace time of an infraction is over."""
        return entry.item.put_at + self.briefing().settings.void_within

    def start_of_today(self) -> datetime:
        """Midnight at the site; of the device's own day before a site is known."""
        site, now = self.site(), self.now()
        local = now.astimezone(ZoneInfo(site.time_zone)) if site is not None else now
        return local.replace(hour=0, minute=0, second=0, microsecond=0)

    def may_void(self, entry: Entry) -> bool:
        """Whether who is signed in may still take it back."""
        who = self.signed_in()
        within = self.briefing().settings.void_within
        patroller = None if who is None else who.patroller
        return may_void(entry, patroller=patroller, at=self.now(), within=within)

    def void(self, entry: Entry, reason: str) -> None:
        """Take one's own infraction back; its number stays accounted for, and the service hears of
        it. Writes to disk. Raises TooLate.
        """
        if not self.may_void(entry):
            raise TooLate(entry.item.id)
        facts = {"site": entry.body["site"], "patroller": entry.body["patroller"]}
        if entry.number is not None:
            facts["number"] = entry.number
        self._outbox.void(entry.item.id, reason, facts, at=self.now(), event_id=self._new_id())

    def answer(self, entry: Entry, text: str) -> None:
        """Answer what a supervisor asks about an infraction. Writes to disk."""
        who, told = self.signed_in(), _storable(text).strip()[:LONGEST_NOTE]
        self.tell_service(
            "answer",
            str(entry.body["site"]),
            infraction=entry.item.id,
            text=told,
            patroller=entry.body["patroller"] if who is None else who.patroller,
        )
        self._notebook.keep("answered", entry.item.id, {"text": told}, at=self.now())

    def spoil(self, item: Item, reason: str) -> None:
        """The number of a recorded notice is of no use, as when its paper tore; the service is
        told at the next sync. Writes to disk. LookupError if it took none here.
        """
        self._outbox.spoil(item.id, reason, at=self.now(), event_id=self._new_id())

    def spoilable(self) -> Item | None:
        """The notice issued last, if its number is still good."""
        numbered = (
            item for item in self.log(most=MOST_SEARCHED) if (item.body or {}).get("number")
        )
        last = next(numbered, None)
        return None if last is None or last.id in self.spoiled() else last

    def spoiled(self) -> set[str]:
        """The infractions whose numbers are spoiled."""
        return self._outbox.spoiled()

    def log(self, *, most: int | None = None) -> list[Item]:
        """The infractions recorded on this handheld, the newest first, and what became of them."""
        return self._outbox.infractions(most=most)

    def set_aside(self, *, most: int | None = None) -> list[Item]:
        """What the service refused, with its reasons."""
        return self._outbox.set_aside(most=most)

    def damaged_files(self) -> list[Path]:
        """Files of what was recorded that could not be read and were put aside."""
        return self._outbox.damaged_files()

    def export_set_aside(self, folder: Path) -> Path:
        """Write what was refused or damaged to a file in the folder, for somebody to hand in; where
        it is. Everything stays here too. Raises OSError.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._outbox.export_set_aside(folder, at=self.now())

    def unsent_elsewhere(self) -> dict[str, int]:
        """How much waits here for other services than that of this enrolment, by their addresses:
        it goes to none but them.
        """
        found = Counter(item.service for item in self._outbox.waiting())
        return {
            service: count
            for service, count in found.items()
            if service and service != self.device.server
        }

    def unsent(self) -> int:
        """How many things the service does not have yet, refused ones included."""
        return self._outbox.unsent()

    def _infraction(self, draft: Draft, who: SignedIn) -> dict[str, Any]:
        """The body of `PUT /v1/infractions/{id}` (CONTRACT), with what this device knew."""
        if draft.site is None or draft.zone is None:
            raise NotReady("it is not known where this is")
        sighting = draft.sighting
        clock = sighting.clock if sighting else draft.begun
        record: dict[str, Any] = {
            "site": draft.site.id,
            "zone": draft.zone.id,
            "codes": list(draft.codes),
            "outcome": draft.outcome,
            "patroller": who.patroller,
            "observed_at": codec.instant(clock.corrected),
            "device_time": codec.instant(clock.device_time),
            "clock_offset_ms": clock.offset // timedelta(milliseconds=1),
            "clock_uncertainty_ms": None
            if clock.uncertainty is None
            else clock.uncertainty // timedelta(milliseconds=1),
            "clock_jumped": clock.jumped,
            "photos": [
                {
                    "sha256": photo.sha256,
                    "bytes": photo.bytes,
                    "taken_at": codec.instant(photo.taken_at),
                }
                | ({} if photo.shows == "other" else {"shows": photo.shows})
                for photo in draft.photos
            ],
        }
        if draft.outcome == "no_issue":
            record["no_issue_reason"] = draft.no_issue_reason
        if note := _note(draft):
            record["note"] = note
        if self.shift is not None and self.shift.site == draft.site.id:
            record["shift"] = self.shift.id
        if draft.lot is not None:
            record["lot"] = draft.lot
        if place := _storable(draft.place).strip()[:LONGEST_PLACE]:
            record["place"] = place
        if draft.position is not None:
            record["position"] = draft.position.as_json()
        if draft.vehicle is not None:
            record["vehicle"] = {"make": draft.vehicle.make, "colour": draft.vehicle.colour}
        if sighting is None:
            state = draft.state
            if state is None:
                raise NotReady("nothing was fetched yet")
            record |= {"verdict": None, "epoch": state.epoch, "cursor": state.cursor, "known": []}
            if draft.unjudged is not None:
                return record | {
                    "plate": draft.unjudged.plate.text,
                    "jurisdiction": draft.unjudged.plate.jurisdiction,
                    "plate_raw": draft.unjudged.raw,
                    "plate_source": draft.source,
                }
            return record | {
                "plate": None,
                "jurisdiction": draft.site.jurisdiction,
                "plate_raw": "",
                "plate_source": "none",
                "plate_missing_reason": draft.plate_missing_reason,
            }
        permits = sighting.check.judgement.permits
        return record | {
            "plate": sighting.plate.text,
            "jurisdiction": sighting.plate.jurisdiction,
            "plate_raw": sighting.raw,
            "plate_source": draft.source,
            "verdict": sighting.verdict,
            "epoch": sighting.state.epoch,
            "cursor": sighting.state.cursor,
            "known": [codec.permit_record(permit) for permit in permits[:MOST_KNOWN]],
        }

    def home_jurisdiction(self) -> str:
        """Where a plate is from unless said otherwise: the site's (DOMAIN 3.1)."""
        site = self.site()
        return site.jurisdiction if site else JURISDICTIONS[0]


def _storable(text: str) -> str:
    """What no file and no service can keep, NUL and half of a pair of surrogates, replaced."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", whole)


def _note(draft: Draft) -> str:
    return _storable(draft.note).strip()


def _is_unsure(clock: ClockReading) -> bool:
    return clock.uncertainty is None or clock.uncertainty > UNSURE_CLOCK


def _known_at(state: State) -> datetime | None:
    return None if state.fed_at is None else min(state.fed_at, state.server_time)


def _verdict_now(view: View, sighting: Sighting, now: datetime) -> Verdict:
    try:
        return view.judge(sighting.plate, zone=sighting.check.zone.id, at=now).verdict
    except (UnknownZone, BeforeRetention):
        return sighting.verdict


def _codes(view: View) -> list[InfractionCode]:
    instrument = view.site.instrument
    return [
        code
        for code in view.codes()
        if code.active and (not code.instruments or instrument in code.instruments)
    ]
