"""What the handheld says, in French and English: verdicts, instants, ages. Knows no screen.

English messages are the keys; French comes from `locale`, compiled by `make translations`.
Texts use U+00A0 where French wants a narrow space: the handheld's letters have no U+202F.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from gettext import NullTranslations, translation
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from handheld_app.alerts import Alert
from handheld_app.authority import WrongAuthority
from handheld_app.chalk import Chalk
from handheld_app.enrolment import NotALink
from handheld_app.locating import Position
from handheld_app.patrol import LONGEST_NOTE, MOST_PHOTOS, IndexExpired, NeedsService
from handheld_app.staff import WrongPin
from sync.entities import ALL_ZONES, COURTESY, Lot, Permit, Site, Zone
from sync.exchange import InsecureAddress, Refused, ServiceError, Untrusted, in_a_row
from sync.plates import Plate, UnusablePlate
from sync.replica import BeforeRetention
from sync.validity import Check, Verdict, outcome
from sync.wording import clock_time, day, localized, short_jurisdiction, told_once, zone_title

Tone = Literal["good", "wait", "bad", "idle"]

_LOCALE = Path(__file__).parent / "locale"


@lru_cache
def _catalogue(lang: str) -> NullTranslations:
    return translation("handheld", _LOCALE, languages=[lang], fallback=True)


def gettext(message: str, lang: str) -> str:
    """The message in the language; itself where the language has no other word for it."""
    return _catalogue(lang).gettext(message) if message else ""


_ = gettext


def N_(message: str) -> str:
    """A message that is translated later, where the language is known."""
    return message


def ngettext(one: str, many: str, n: int, lang: str) -> str:
    """The form of the message for so many."""
    return _catalogue(lang).ngettext(one, many, n)


# Days and instants


def hh_mm(at: datetime, zone: ZoneInfo) -> str:
    """A time of day for narrow places, the same in both languages."""
    return f"{at.astimezone(zone):%H:%M}"


def instant(at: datetime, zone: ZoneInfo, lang: str, *, now: datetime) -> str:
    """An instant on the site's clock, as near to today as it is: `demain à 15 h 05`.

    In the hour that comes twice when winter time begins, the offset from UTC is told too.
    """
    local = at.astimezone(zone)
    today = now.astimezone(zone).date()
    words = told_once(local, lang)
    if local.date() == today:
        return _("today at {time}", lang).format(time=words)
    if local.date() == today + timedelta(days=1):
        return _("tomorrow at {time}", lang).format(time=words)
    if local.date() == today - timedelta(days=1):
        return _("yesterday at {time}", lang).format(time=words)
    of = day(local.date(), lang, year=local.year != today.year)
    return _("{day} at {time}", lang).format(day=of, time=words)


def short_instant(at: datetime, zone: ZoneInfo, lang: str, *, now: datetime) -> str:
    """An instant in a list: the time alone when it is today's."""
    of, time = at.astimezone(zone), hh_mm(at, zone)
    if of.date() == now.astimezone(zone).date():
        return time
    return f"{day(of.date(), lang, year=False)}, {time}"


def _about(near: str, dated: str, at: datetime, zone: ZoneInfo, lang: str, *, now: datetime) -> str:
    """A phrase around an instant: French says `depuis hier`, but `depuis le 20 novembre`."""
    words = instant(at, zone, lang, now=now)
    days = at.astimezone(zone).date() - now.astimezone(zone).date()
    return (near if abs(days.days) <= 1 else dated).format(instant=words, day=words)


def _is_midnight(at: datetime, zone: ZoneInfo) -> bool:
    return at.astimezone(zone).time() == time()


def until(at: datetime, zone: ZoneInfo, lang: str, *, now: datetime) -> str:
    """The last day of something that ends at the instant, or the instant itself."""
    if _is_midnight(at, zone):
        last = at.astimezone(zone).date() - timedelta(days=1)
        return _("Until {day}, included", lang).format(day=day(last, lang))
    near, dated = _("Until {instant}", lang), _("Until {day}", lang)
    return _about(near, dated, at, zone, lang, now=now)


def since(at: datetime, zone: ZoneInfo, lang: str, *, now: datetime) -> str:
    """From when something has been over: a day, or the instant itself."""
    if _is_midnight(at, zone):
        return _("Since {day}", lang).format(day=day(at.astimezone(zone).date(), lang))
    near, dated = _("Since {instant}", lang), _("Since {day}", lang)
    return _about(near, dated, at, zone, lang, now=now)


def starting(at: datetime, zone: ZoneInfo, lang: str, *, now: datetime) -> str:
    """The first day of something that starts at the instant, or the instant itself."""
    if _is_midnight(at, zone):
        return _("From {day}", lang).format(day=day(at.astimezone(zone).date(), lang))
    near, dated = _("From {instant}", lang), _("From {day}", lang)
    return _about(near, dated, at, zone, lang, now=now)


def active(at: datetime, zone: ZoneInfo, lang: str, *, now: datetime) -> str:
    """When a permit becomes active: always the exact instant (DOMAIN 2.6)."""
    near, dated = _("Active {instant}", lang), _("Active {day}", lang)
    return _about(near, dated, at, zone, lang, now=now)


def duration(span: timedelta, lang: str) -> str:
    """A length of time, short: `3 min`, `2 h 05`, `4 j`."""
    minutes = int(span.total_seconds()) // 60
    if minutes < 60:
        return _("{n} min", lang).format(n=minutes)
    if minutes < 48 * 60:
        return _("{h} h {m:02}", lang).format(h=minutes // 60, m=minutes % 60)
    return _("{n} days", lang).format(n=minutes // (24 * 60))


# Verdicts


_LOOKS: dict[Verdict, tuple[Tone, str]] = {
    "valid": ("good", "check"),
    "pending_activation": ("wait", "clock"),
    "wrong_zone": ("wait", "pin-off"),
    "not_started": ("wait", "calendar"),
    "suspended": ("bad", "paused"),
    "expired": ("bad", "expired"),
    "cancelled": ("bad", "void"),
    "unknown": ("bad", "unknown"),
}


def verdict_word(verdict: Verdict, lang: str) -> str:
    """The word of a verdict (DOMAIN 2.6)."""
    words: Mapping[Verdict, str] = {
        "valid": _("VALID", lang),
        "pending_activation": _("NOT YET ACTIVE", lang),
        "wrong_zone": _("WRONG ZONE", lang),
        "not_started": _("NOT STARTED", lang),
        "suspended": _("SUSPENDED", lang),
        "expired": _("EXPIRED", lang),
        "cancelled": _("CANCELLED", lang),
        "unknown": _("UNKNOWN", lang),
    }
    return words[verdict]


MOST_NAMED = 60
"""Characters up to which zones are told by name."""


def zone_names(codes: Iterable[str], zones: Mapping[str, Zone], lang: str) -> str:
    """Zones by name: where a permit is good. Of many, or with long names, the codes."""
    known = list(codes)
    names = ", ".join(
        _("all zones", lang)
        if code == ALL_ZONES
        else (zone_title(zones[code], lang) if code in zones else code)
        for code in known
    )
    if len(known) > 1 and ALL_ZONES not in known and len(names) > MOST_NAMED:
        return ", ".join(known)
    return names


def verdict_look(verdict: Verdict) -> tuple[Tone, str]:
    """The colour and the sign of a verdict."""
    return _LOOKS[verdict]


@dataclass(frozen=True, slots=True)
class Face:
    """A verdict as a patroller sees it: never by colour alone (DOMAIN 2.6)."""

    word: str
    sign: str
    tone: Tone
    reasons: tuple[str, ...]
    vehicle: str


def face(check: Check, *, site: Site, zones: Mapping[str, Zone], lang: str) -> Face:
    """The word, sign and colour of a verdict, its reasons and the vehicle to compare."""
    verdict = check.judgement.verdict
    tone, sign = _LOOKS[verdict]
    deciding = deciding_permits(check, site)
    return Face(
        word=verdict_word(verdict, lang),
        sign=sign,
        tone=tone,
        reasons=tuple(_reasons(verdict, check, deciding, site, zones, lang)),
        vehicle=vehicle_seen(check, site, lang),
    )


def deciding_permits(check: Check, site: Site) -> tuple[Permit, ...]:
    """Those of the permits whose outcome is the verdict."""
    verdict = check.judgement.verdict
    return tuple(
        permit
        for permit in check.judgement.permits
        if outcome(permit, zone=check.zone.id, at=check.at, retention=site.retention) == verdict
    )


def _reasons(
    verdict: Verdict,
    check: Check,
    deciding: tuple[Permit, ...],
    site: Site,
    zones: Mapping[str, Zone],
    lang: str,
) -> Iterable[str]:
    clock, now = ZoneInfo(site.time_zone), check.at
    changes_at = check.judgement.changes_at
    if verdict == "valid":
        if changes_at is None:
            yield _("No end date", lang)
        else:
            yield until(changes_at, clock, lang, now=now)
    elif verdict == "pending_activation":
        active_from = min(permit.active_from for permit in deciding)
        yield active(active_from, clock, lang, now=now)
        yield _("in {duration}", lang).format(duration=duration(active_from - now, lang))
    elif verdict == "wrong_zone":
        codes = dict.fromkeys(code for permit in deciding for code in permit.zones)
        yield _("Good in: {zones}", lang).format(zones=zone_names(codes, zones, lang))
        yield _("You are in: {zone}", lang).format(zone=zone_title(check.zone, lang))
    elif verdict == "not_started":
        starts_at = min(permit.usable_from for permit in deciding)
        yield starting(starts_at, clock, lang, now=now)
    elif verdict in ("expired", "cancelled"):
        ends_at = max(permit.ends_at for permit in deciding if permit.ends_at is not None)
        yield since(ends_at, clock, lang, now=now)
    elif verdict == "suspended":
        yield _("The permit is suspended", lang)
    elif check.suggestions:
        yield _("No permit. Compare:", lang)
    else:
        yield _("No permit for this plate", lang)


def permit_title(permit: Permit, lang: str) -> str:
    """What the permit is called: its kind and its number."""
    if permit.is_courtesy:
        number = permit.permit_number.removeprefix(COURTESY)
        return _("Courtesy permit {number}", lang).format(number=number)
    return _("Permit {number}", lang).format(number=permit.permit_number)


def vehicle(permit: Permit, lang: str) -> str:
    """The vehicle to compare with the one in front: `gris · Toyota`; empty if not known.

    The colour first: it is seen from afar, and what has no room is left out at the end.
    """
    if permit.vehicle is None:
        return ""
    return " · ".join(part for part in (permit.vehicle.colour, permit.vehicle.make) if part)


def vehicle_seen(check: Check, site: Site, lang: str) -> str:
    """The vehicle of the permit that decides; empty without one. A courtesy permit, which has none
    of its own, says here that it is one.
    """
    deciding = deciding_permits(check, site)
    if not deciding:
        return ""
    is_courtesy = all(permit.is_courtesy for permit in deciding)
    told = (_("Courtesy permit", lang) if is_courtesy else "", vehicle(deciding[0], lang))
    return " · ".join(filter(None, told))


def period(permit: Permit, site: Site, lang: str, *, now: datetime) -> tuple[str, ...]:
    """From when to when a permit runs, for the list of all permits of a plate."""
    clock = ZoneInfo(site.time_zone)
    first = day(permit.starts_at.astimezone(clock).date(), lang)
    lines = [_("From {day}", lang).format(day=first)]
    if permit.ends_at is None:
        lines.append(_("No end date", lang))
    else:
        lines.append(until(permit.ends_at, clock, lang, now=now))
    if permit.active_from > now:
        lines.append(active(permit.active_from, clock, lang, now=now))
    return tuple(lines)


def age_of_knowledge(known_at: datetime | None, lang: str, *, now: datetime) -> str:
    """How old what the handheld knows is, to be read beside a verdict (DOMAIN 2.7)."""
    if known_at is None:
        return _("Data of unknown age", lang)
    age = max(now - known_at, timedelta())
    if age < timedelta(minutes=1):
        return _("Data up to date", lang)
    return _("Data {age} old", lang).format(age=duration(age, lang))


def short_age(known_at: datetime | None, lang: str, *, now: datetime) -> str:
    """The same where there is little room."""
    if known_at is None:
        return _("Age unknown", lang)
    return _("Age: {age}", lang).format(age=duration(max(now - known_at, timedelta()), lang))


def no_window(what: str, lang: str, *, packages: Iterable[str] = ()) -> str:
    """Why the handheld's window cannot be opened on this machine, and what to do."""
    return {
        "kivy": _(
            "The handheld's window is not installed here: from the project's folder, "
            'pip install ".[handheld]".',
            lang,
        ),
        "screen": _(
            "There is no screen here: neither DISPLAY nor WAYLAND_DISPLAY leads to one.", lang
        ),
        "libraries": _(
            "Libraries are missing that a window needs: sudo apt-get install {packages}", lang
        ).format(packages=" ".join(packages)),
    }[what]


def folder_unusable(folder: object, reason: object, lang: str) -> str:
    """The handheld cannot keep its files."""
    return _(
        "The handheld cannot keep its files in {folder}: make it writable, free space, or name "
        "another folder with --data-dir. The system said: {reason}",
        lang,
    ).format(folder=folder, reason=reason)


def damaged_file(path: object, lang: str) -> str:
    """A file of what was recorded was damaged and put aside."""
    return _(
        "What was recorded here before cannot be read: the file was put aside, untouched. Give it "
        "to whoever looks after this device: {path}",
        lang,
    ).format(path=path)


def certificate_trouble(reason: str, lang: str) -> str:
    """The service's certificate is not trusted here: why, in TLS's own words, and what to do."""
    return _(
        "The service answered, but this device does not trust its certificate ({reason}). Check "
        "the address and the device's date; a certificate of your own organization is to be "
        "installed on this device first (SSL_CERT_FILE).",
        lang,
    ).format(reason=reason)


# When there is no verdict


@dataclass(frozen=True, slots=True)
class Trouble:
    """What hinders the sync, and what to do about it."""

    word: str
    words: str
    sign: str
    tone: Tone


def trouble(connection: str, lang: str, *, fetched: bool, reason: str = "") -> Trouble | None:
    """What to tell of a connection; None when nothing is amiss.

    `fetched`: permits are known here. `reason`: the service's, network's or program's own words.
    """
    if connection == "revoked":
        words = _(
            "The permits were wiped. Ask a supervisor for a code, then enrol this device again.",
            lang,
        )
        return Trouble(_("Device revoked", lang), words, "void", "bad")
    if connection == "unauthorized":
        words = _(
            "The service does not know this device. Ask a supervisor for a code, then enrol it "
            "again.",
            lang,
        )
        return Trouble(_("Device refused", lang), words, "void", "bad")
    if connection == "refused":
        return Trouble(_("Refused by the service", lang), reason, "warning", "bad")
    if connection == "offline":
        words = (
            _("Checks go on with what is known here; what you record waits.", lang)
            if fetched
            else _("The permits must be fetched once: find a network. It is tried again.", lang)
        )
        return Trouble(_("No answer from the service", lang), words, "offline", "wait")
    if connection == "untrusted":
        word = _("Certificate not trusted", lang)
        return Trouble(word, certificate_trouble(reason, lang), "warning", "bad")
    if connection == "failing":
        words = _(
            "The sync fails for a reason of this program's own and is tried again. Tell a "
            "supervisor: {reason}",
            lang,
        ).format(reason=reason)
        return Trouble(_("Sync out of order", lang), words, "warning", "bad")
    return None


def enrolment_refused(problem: Mapping[str, Any], lang: str) -> str:
    """Why the service does not enrol this device: in our words, else in its own."""
    ours = {
        "enrolment-refused": _(
            "This enrolment code is not good. Type it again. A code is good once and for ten "
            "minutes: ask for a new one if need be.",
            lang,
        ),
        "too-many-failures": _(
            "Too many wrong codes. Wait a minute, then type the code again.", lang
        ),
    }
    return ours.get(str(problem.get("type")).rpartition("/")[2]) or in_a_row(
        str(problem.get("title") or ""), str(problem.get("detail") or "")
    )


def enrolment_trouble(error: Exception, lang: str) -> str:
    """Why this device could not be enrolled, and what to do."""
    if isinstance(error, NotALink):
        return _(
            "This enrolment link is not whole. Copy it again, or type the address and the code.",
            lang,
        )
    if isinstance(error, InsecureAddress):
        return _(
            "This address is not safe: it must begin with https://, except for this very device.",
            lang,
        )
    if isinstance(error, WrongAuthority):
        return _(
            "Whoever answers at this address is not the service that the link names. Nothing was "
            "sent. Ask a supervisor for a new link.",
            lang,
        )
    if isinstance(error, Refused):
        return enrolment_refused(error.problem, lang)
    if isinstance(error, Untrusted):
        return certificate_trouble(str(error), lang)
    if isinstance(error, ServiceError):
        return _("The service does not answer. Check the address and the network.", lang)
    if isinstance(error, OSError):
        return _("The change could not be saved: is the storage full?", lang)
    return _("This address cannot be used.", lang)


def sign_in_trouble(error: Exception, lang: str) -> str:
    """Why nobody is signed in, and what to do."""
    if isinstance(error, WrongPin) and error.left is None:
        return _("The service says that this badge and this PIN do not go together.", lang)
    if isinstance(error, WrongPin) and error.left:
        return ngettext(
            "This PIN is wrong. {n} more try, then this device must ask the service.",
            "This PIN is wrong. {n} more tries, then this device must ask the service.",
            error.left,
            lang,
        ).format(n=error.left)
    if isinstance(error, WrongPin):
        return _(
            "This PIN was wrong ten times. Sign in once with the network; a supervisor gives a new "
            "PIN if need be.",
            lang,
        )
    if isinstance(error, NeedsService) and not error.reason:
        return _(
            "This device must ask the service about this badge, and it does not answer: find a "
            "network. Checks go on without signing in.",
            lang,
        )
    if isinstance(error, NeedsService):
        return _(
            "This device must ask the service about this badge, and could not: {reason}. Checks go "
            "on without signing in.",
            lang,
        ).format(reason=error.reason.rstrip("."))
    return _("The sign-in could not be kept: is the storage full?", lang)


def pin_forgotten(left: int | None, lang: str) -> str:
    """What to do about a forgotten PIN; `left`: how many more wrong ones this device takes."""
    words = [
        _(
            "A supervisor gives you a new PIN. With network, this device takes it at once; "
            "without, only the PIN that it knows.",
            lang,
        )
    ]
    if left is None:
        words.append(_("This device must ask the service now: find a network.", lang))
    else:
        words.append(
            ngettext(
                "{n} more wrong PIN, and only the service can let you in.",
                "{n} more wrong PINs, and only the service can let you in.",
                left,
                lang,
            ).format(n=left)
        )
    words.append(_("What you typed stays here, whatever happens.", lang))
    return "\n\n".join(words)


def leave_on(count: int, lang: str) -> str:
    """That a device must not be switched off yet; empty when all is sent."""
    if count <= 0:
        return ""
    return ngettext(
        "{n} item is not sent yet: leave this device on, with network, until it is.",
        "{n} items are not sent yet: leave this device on, with network, until they are.",
        count,
        lang,
    ).format(n=count)


def more_messages(count: int, lang: str) -> str:
    """How many messages wait behind the one that is shown."""
    return ngettext("{n} more message", "{n} more messages", count, lang).format(n=count)


def you_are_near(lot: Lot, lang: str) -> str:
    """The lot where the device is, and its zone."""
    name = lot.name if lot.zone is None else f"{lot.name} ({lot.zone})"
    return _("You are near: {lot}", lang).format(lot=name)


def draft_told(what: str, lang: str) -> str:
    """What should be known of an infraction that is being recorded."""
    return {
        "restored": _("This infraction was not finished: it is as you left it.", lang),
        "revoked": _(
            "This device was revoked: this infraction can still be recorded and sent. Then hand "
            "the device in.",
            lang,
        ),
    }[what]


def warning(what: str, lang: str, *, left: int = 0) -> str:
    """What should be known early, short enough for the check screen."""
    return {
        "expired": _("Data too old: no verdicts. Sync.", lang),
        "clock_jumped": _("This device's clock was changed. Sync.", lang),
        "clock_unsure": _("The time is not sure. Sync.", lang),
        "no_number": _("No notice number left. Sync.", lang),
        "low_numbers": ngettext(
            "{n} notice number left. Sync.", "{n} notice numbers left. Sync.", left, lang
        ).format(n=left),
    }[what]


def warning_in_full(what: str, lang: str, *, left: int = 0) -> str:
    """The same with what it means."""
    return {
        "expired": _(
            "The data is too old for verdicts: a permit may have been bought, changed or cancelled "
            "since. Sync to check again. Infractions can still be recorded, without a verdict.",
            lang,
        ),
        "clock_jumped": _(
            "This device's clock was changed. Times go on from the last sync, and what is recorded "
            "says so. Sync to make sure.",
            lang,
        ),
        "clock_unsure": _(
            "The time was not compared with the service since this device started, or long ago. "
            "Sync to make sure.",
            lang,
        ),
        "no_number": _(
            "No notice number is left on this device: a notice would be recorded without one, and "
            "cannot be printed. Sync to get more.",
            lang,
        ),
        "low_numbers": ngettext(
            "{n} notice number is left on this device. Sync to get more before it is used.",
            "{n} notice numbers are left on this device. Sync to get more before they are used.",
            left,
            lang,
        ).format(n=left),
    }[what]


def not_judged(error: Exception, lang: str) -> tuple[str, str]:
    """Why a plate was not judged, in a word and in a sentence that says what to do."""
    if isinstance(error, UnusablePlate):
        return _("Too short", lang), _("A plate has 2 to 8 letters and digits", lang)
    if isinstance(error, IndexExpired):
        age = duration(error.age, lang)
        return _("Data too old", lang), _("Last sync {age} ago: sync again", lang).format(age=age)
    if isinstance(error.__cause__, BeforeRetention):
        words = _("It is behind: set the time, then sync", lang)
        return _("This device's clock", lang), words
    return _("No verdict", lang), _("Sync, then check again", lang)


def refused_items(count: int, lang: str) -> str:
    """How many things the service refused, short."""
    return ngettext("{n} refused", "{n} refused", count, lang).format(n=count)


# Infractions


def outcome_short(outcome: str, instrument: str, lang: str) -> str:
    """The same on a narrow button."""
    if outcome == "warning":
        return _("Warning", lang)
    if outcome == "no_issue":
        return _("No issue", lang)
    return _("Statement", lang) if instrument == "constat" else _("Notice", lang)


def no_issue_reason(reason: str, lang: str) -> str:
    """Why nothing was issued."""
    return {
        "driver_returned": _("Driver came back", lang),
        "medical_emergency": _("Medical emergency", lang),
        "active_delivery": _("Delivery under way", lang),
        "unreadable_plate": _("Plate unreadable or under snow", lang),
        "tolerance_24h": _("Tolerance of 24 h", lang),
        "missing_signs": _("Signs are missing", lang),
        "supervisor_instruction": _("Supervisor's instruction", lang),
    }.get(reason, reason)


def lack(what: str, lang: str, *, photos: int = 0) -> str:
    """What is still needed before an infraction can be recorded; `photos`: how many more."""
    return {
        "sign_in": _("Sign in: an infraction says who recorded it.", lang),
        "plate_reason": _("Say why there is no plate.", lang),
        "code": _("Choose at least one code.", lang),
        "reason": _("Say why nothing is issued.", lang),
        "photos": ngettext("Add {n} photo.", "Add {n} photos.", photos, lang).format(n=photos),
        "photo_pending": _("A photo is being added.", lang),
        "too_many_photos": _("Too many photos: {n} at most.", lang).format(n=MOST_PHOTOS),
        "note": _("The note is too long: {n} characters at most.", lang).format(n=LONGEST_NOTE),
        "faces": _("A photo shows a face: take it again, or say that it is needed.", lang),
        "stale": _("Confirm that the age of the data was considered.", lang),
    }[what]


def caution(what: str, lang: str, *, age: str = "", verdict: str = "") -> str:
    """What to think of before a notice is issued."""
    return {
        "stale": _(
            "{age}. The permit may have been bought or corrected since: sync first if you can.",
            lang,
        ).format(age=age),
        "verdict_changed": _("The verdict has changed since the check: {verdict}.", lang).format(
            verdict=verdict
        ),
        "valid": _("The plate has a valid permit here, which this code contradicts.", lang),
        "no_notice": _("The site asks for no notices here at this time.", lang),
        "clock": _(
            "The time of this infraction is not sure: the clock was changed, or not compared since "
            "this device started. Sync first if you can; it is recorded with that.",
            lang,
        ),
        "no_number": _(
            "No number is left for this notice: it is recorded without one and cannot be printed. "
            "Sync first if you can.",
            lang,
        ),
    }[what]


# Alerts


@dataclass(frozen=True, slots=True)
class AlertWords:
    """An alert in a word, in one line, and in the lines that tell all of it."""

    word: str
    short: str
    lines: tuple[str, ...]
    sign: str
    tone: Tone


def alert_words(
    alert: Alert, site: Site, zones: Mapping[str, Zone], lang: str, *, now: datetime
) -> AlertWords:
    """What an alert says."""
    clock = ZoneInfo(site.time_zone)
    if alert.kind == "hotlist" and alert.entry is not None:
        entry = alert.entry
        word = _("WANTED PLATE", lang) if alert.urgent else _("PLATE TO WATCH", lang)
        lines = (entry.reason, entry.instructions or "")
        return AlertWords(word, word.capitalize(), lines, "alert", "bad")
    if alert.kind == "two_vehicles" and alert.seen is not None:
        seen = alert.seen
        zone = zones.get(seen.zone)
        where = zone_title(zone, lang) if zone is not None else seen.zone
        told = _("{plate}, of the same permit, was checked {instant}", lang).format(
            plate=plate_title(seen.plate, site), instant=instant(seen.at, clock, lang, now=now)
        )
        by = seen.device and _("by the handheld {name}", lang).format(name=seen.device)
        place = " · ".join(filter(None, (where, seen.place)))
        return AlertWords(
            _("TWO VEHICLES", lang),
            _("Two vehicles: {plate}", lang).format(plate=plate_title(seen.plate, site)),
            tuple(filter(None, (told, place, by))),
            "two-vehicles",
            "bad",
        )
    if alert.kind == "repeated" and alert.notices:
        last, count = alert.notices[0], len(alert.notices)
        zone = zones.get(last.zone)
        word = _("NOTICED TODAY", lang) if alert.today else _("NOTICED BEFORE", lang)
        many = ngettext(
            "{n} notice or warning of late", "{n} notices or warnings of late", count, lang
        )
        at = instant(last.observed_at, clock, lang, now=now)
        codes = ", ".join(last.codes)
        where = zone_title(zone, lang) if zone is not None else last.zone
        telling = (
            many.format(n=count),
            _("Last: {instant}", lang).format(instant=at),
            " · ".join(filter(None, (where, codes, last.number or ""))),
        )
        told = f"{word.capitalize()} · {count}"
        return AlertWords(word, told, telling, "repeated", "wait")
    if alert.kind == "no_notice":
        until_ = alert.until and instant(alert.until, clock, lang, now=now)
        line = _("No notice here until {instant}", lang).format(instant=until_ or "")
        return AlertWords(
            _("NO NOTICES NOW", lang), line, (line, localized(alert.reason, lang)), "paused", "wait"
        )
    word = _("OLD DATA", lang)
    line = _("The data is old: sync before a notice is issued.", lang)
    return AlertWords(word, word.capitalize(), (line,), "warning", "wait")


def plate_title(plate: Plate, site: Site) -> str:
    """A plate, with where it is from unless that is the site's own jurisdiction."""
    if plate.jurisdiction == site.jurisdiction:
        return plate.text
    return f"{plate.text} · {short_jurisdiction(plate.jurisdiction)}"


# Chalk


def time_left(due_at: datetime, lang: str, *, now: datetime) -> str:
    """How long until a marked vehicle's time is up, or since when it is."""
    if now >= due_at:
        return _("Time up for {duration}", lang).format(duration=duration(now - due_at, lang))
    # The minute that has begun counts whole: nobody is sent too early.
    left = due_at - now + timedelta(seconds=59)
    return _("{duration} left", lang).format(duration=duration(left, lang))


def chalk_words(chalk: Chalk, site: Site, lang: str, *, now: datetime) -> AlertWords:
    """A mark of a vehicle, as it is told among what is known of its plate."""
    left = time_left(chalk.due_at, lang, now=now)
    place = " · ".join(filter(None, (chalk.lot, chalk.place)))
    tone: Tone = "wait" if chalk.is_due(now) else "idle"
    at = clock_time(chalk.at.astimezone(ZoneInfo(site.time_zone)), lang)
    marked = _("Marked at {time}, for {duration}", lang).format(
        time=at, duration=duration(chalk.due_at - chalk.at, lang)
    )
    lines = (left, marked, place, valves_words(chalk.valves, lang))
    return AlertWords(_("MARKED", lang), left, lines, "chalk", tone)


def chalk_due(chalk: Chalk, site: Site | None, lang: str, *, now: datetime) -> AlertWords:
    """That a marked vehicle's time is up."""
    plate = plate_title(chalk.plate, site) if site is not None else chalk.plate.text
    left = time_left(chalk.due_at, lang, now=now)
    place = " · ".join(filter(None, (chalk.lot, chalk.place)))
    return AlertWords(_("TIME IS UP", lang), left, (plate, left, place), "time-up", "wait")


def valves_words(valves: tuple[int | None, int | None], lang: str) -> str:
    """Where the valves stood, as on a clock; empty when nobody looked."""
    front, rear = valves
    told = []
    if front is not None:
        told.append(_("front {hour}", lang).format(hour=front))
    if rear is not None:
        told.append(_("rear {hour}", lang).format(hour=rear))
    return _("Valves: {told}", lang).format(told=", ".join(told)) if told else ""


def spoil_reason(reason: str, lang: str) -> str:
    """Why a notice's number is of no use."""
    return {
        "print_failed": _("It was not printed", lang),
        "paper_torn": _("The paper is torn or lost", lang),
        "wrong_notice": _("The notice was a mistake", lang),
    }.get(reason, reason)


def print_trouble(reason: str, lang: str) -> str:
    """Why nothing, or not all, was printed, and what to do (`printing.printers.PrintFailed`)."""
    return {
        "no_printer": _("The printer is not found. Switch it on, then print again.", lang),
        "not_allowed": _(
            "This device may not use the printer: allow it in the device's settings, then print "
            "again.",
            lang,
        ),
        "busy": _(
            "The printer takes nothing: it is busy or asleep. Wake it up, then print again.", lang
        ),
        "no_paper": _("The printer has no paper. Put a roll in, then print again.", lang),
        "stopped": _(
            "The printer stopped in the middle. Check its paper, cover and battery, throw away "
            "what came out, then print again.",
            lang,
        ),
        "gone": _(
            "The printer went away in the middle. Come closer or plug it in, throw away what came "
            "out, then print again.",
            lang,
        ),
        "unsupported": _(
            "This device cannot print in this way. Choose another kind of printer.", lang
        ),
    }[reason]


def void_reason(reason: str, lang: str) -> str:
    """Why an infraction was taken back, by its patroller or by a supervisor (DOMAIN 5)."""
    return {
        "misread_plate": _("Plate misread", lang),
        "permit_valid_at_the_time": _("Permit valid at the time", lang),
        "replacement_under_way": _("Replacement under way", lang),
        "wrong_code": _("Wrong code", lang),
        "duplicate": _("Duplicate", lang),
        "emergency": _("Emergency", lang),
        "deficient_signs": _("Deficient signs", lang),
        "stale_replica": _("Stale copy on the handheld", lang),
    }.get(reason, reason)


def work_look(state: str) -> tuple[Tone, str]:
    """The colour and the sign of what became of an infraction."""
    looks: Mapping[str, tuple[Tone, str]] = {
        "waiting": ("wait", "unsent"),
        "photos_missing": ("wait", "picture"),
        "received": ("idle", "cloud"),
        "question": ("wait", "question"),
        "answered": ("idle", "answered"),
        "confirmed": ("good", "check"),
        "voided_here": ("idle", "void"),
        "voided": ("bad", "void"),
        "refused": ("bad", "warning"),
        "paid": ("good", "paid"),
        "contested": ("wait", "contested"),
        "upheld": ("good", "upheld"),
        "cancelled": ("bad", "void"),
    }
    return looks[state]


def work_state(state: str, lang: str, *, photos: int = 0) -> str:
    """What became of an infraction; `photos`: how many the service lacks."""
    if state == "photos_missing":
        return ngettext("{n} photo to send", "{n} photos to send", photos, lang).format(n=photos)
    return {
        "waiting": _("To be sent", lang),
        "received": _("Received", lang),
        "question": _("Question from the supervisor", lang),
        "answered": _("Question answered", lang),
        "confirmed": _("Confirmed", lang),
        "voided_here": _("Voided here", lang),
        "voided": _("Voided by the supervisor", lang),
        "refused": _("Refused by the service", lang),
        "paid": _("Paid", lang),
        "contested": _("Contested", lang),
        "upheld": _("Upheld", lang),
        "cancelled": _("Cancelled", lang),
    }[state]


def work_reason(state: str, reason: str, lang: str) -> str:
    """Why it was voided, or refused; empty where there is no reason."""
    return void_reason(reason, lang) if state in ("voided", "voided_here") else reason


def cannot_scan(reason: str, lang: str) -> str:
    """Why no plate can be scanned, and the way on."""
    return {
        "absent": _("There is no camera, or something else uses it. Type the plate.", lang),
        "refused": _(
            "The camera is not allowed. Allow it in the device's settings, or type the plate.", lang
        ),
        "no_reader": _("What reads plates is not installed here. Type the plate.", lang),
    }.get(reason, _("The camera or the reader failed. Try again, or type the plate.", lang))


def scan_confidence(confidence: float, lang: str) -> str:
    """How sure the reader is of a text."""
    return _("Read, {n} %", lang).format(n=round(100 * confidence))


def scan_why(why: str, lang: str) -> str:
    """Why a plate with a permit is offered for what a camera read."""
    return {
        "exact": _("has a permit", lang),
        "same_text": _("has a permit", lang),
        "look_alike": _("has a permit; look-alike characters", lang),
        "other_reading": _("has a permit; read less surely", lang),
        "one_edit": _("has a permit; one character differs", lang),
    }[why]


def questions_asked(count: int, lang: str) -> str:
    """How many infractions a supervisor asks about."""
    return ngettext("{n} question", "{n} questions", count, lang).format(n=count)


def stock_answers(lang: str) -> tuple[str, ...]:
    """What a supervisor is often answered."""
    return (
        _("The plate is as recorded: see the photo.", lang),
        _("The plate was misread.", lang),
        _("No permit was on display.", lang),
        _("The signs were there and could be read.", lang),
        _("I spoke with the driver.", lang),
        _("I have nothing to add.", lang),
    )


def unsent_elsewhere(service: str, count: int, lang: str) -> str:
    """What waits here for another service than the one this device is enrolled with."""
    return ngettext(
        "{n} item recorded for {service} waits: it goes there alone, once this device is enrolled "
        "there again.",
        "{n} items recorded for {service} wait: they go there alone, once this device is enrolled "
        "there again.",
        count,
        lang,
    ).format(n=count, service=service)


def photo_refused(reason: str, lang: str) -> str:
    """Why a file cannot be evidence."""
    return {
        "unreadable": _("The file cannot be read.", lang),
        "not_a_picture": _("The file is not a JPEG, PNG or WebP picture.", lang),
        "too_large": _("The picture is larger than 8 MiB.", lang),
        "too_many_pixels": _("The picture has too many pixels.", lang),
        "no_room": _(
            "Too little storage is left for a photo. An infraction can still be recorded.", lang
        ),
        "not_kept": _("The photo could not be kept: is the storage full?", lang),
    }[reason]


def photo_shows(shows: str, lang: str) -> str:
    """What a photo is of."""
    return {
        "plate": _("Plate", lang),
        "context": _("Context", lang),
        "sign": _("Sign", lang),
        "other": _("Other", lang),
    }[shows]


def photo_wanted(shows: str, lang: str) -> str:
    """What to take now, as the title of the camera."""
    return {
        "plate": _("Photo of the plate", lang),
        "context": _("Photo of the place", lang),
        "sign": _("Photo of the sign", lang),
        "other": _("Another photo", lang),
    }[shows]


def no_camera(reason: str, lang: str) -> str:
    """Why there is no picture of the camera, and what to do."""
    return {
        "absent": _("There is no camera on this device: choose a picture instead.", lang),
        "refused": _(
            "This device lets no camera be used: allow it in the device's settings, then try "
            "again. A picture can be chosen instead.",
            lang,
        ),
    }.get(reason, _("The camera does not answer. A picture can be chosen instead.", lang))


def faces_found(count: int, lang: str) -> str:
    """What was found in a photo."""
    return ngettext("{n} face", "{n} faces", count, lang).format(n=count)


def plate_source(source: str, lang: str) -> str:
    """How the plate came to be known."""
    return _("Read from a photo", lang) if source == "scanned" else _("Typed", lang)


def position_words(position: Position | None, lang: str) -> str:
    """Where the device is, and how sure that is."""
    if position is None:
        return _("Position not known", lang)
    lat, lon = decimal(position.lat, 5, lang), decimal(position.lon, 5, lang)
    return _("{lat}; {lon}, within {n} m", lang).format(
        lat=lat, lon=lon, n=max(1, round(position.accuracy_m))
    )


def decimal(number: float, places: int, lang: str) -> str:
    """A number as the language writes it."""
    written = f"{number:.{places}f}"
    return written.replace(".", ",") if lang == "fr" else written


def printer_kind(kind: str, lang: str) -> str:
    """How a printer is reached."""
    return {
        "bluetooth": "Bluetooth",
        "usb": "USB",
        "network": _("Network", lang),
        "file": _("File", lang),
    }.get(kind, kind)


def printer_address_hint(kind: str, lang: str) -> str:
    """What the address of such a printer looks like."""
    return {
        "bluetooth": _("Its address, such as AA:BB:CC:DD:EE:FF", lang),
        "usb": _("A device, such as /dev/usb/lp0", lang),
        "network": _("Its address, such as 192.168.1.50", lang),
        "file": _("Where to write, such as /tmp/notice.bin", lang),
    }.get(kind, "")


def printer_words(printer: Any, lang: str) -> str:
    """Which printer was chosen (`printing.printers.PrinterChoice`), if any."""
    if printer is None:
        return _("None chosen", lang)
    return f"{printer_kind(printer.kind, lang)} · {printer.address} · {paper(printer.width, lang)}"


def not_printed(number: str, why: str, lang: str) -> str:
    """That a notice was not printed, told when something else is looked at by then."""
    return _("Notice {number} was not printed. {why}", lang).format(number=number, why=why)


def not_shown(reason: str, lang: str) -> str:
    """Why there is no notice to be seen (`printing.notice.NotPrintable`; empty: something else)."""
    return {
        "no_number": _("A notice without a number cannot be printed or shown.", lang),
        "nothing_issued": _("Nothing is issued, so that there is no notice.", lang),
    }.get(reason, _("What stands on the notice is not on this device any more: sync first.", lang))


def paper(width: int, lang: str) -> str:
    """How wide a printer's paper is."""
    return _("{n} mm", lang).format(n=58 if width <= 384 else 80)


def photos_title(taken: int, required: int, lang: str) -> str:
    """The title of the photos, with how many are still needed."""
    title, missing = _("Photos", lang), required - taken
    if missing <= 0:
        return title
    needed = ngettext("{n} more needed", "{n} more needed", missing, lang)
    return f"{title} · {needed.format(n=missing)}"
