"""The case file: all that is known of one infraction, on paper (PDF), in French or English.

The same bytes for the same case, language and photos. Photos are read one at a time, whatever they
weigh: first to see that each is the one that was hashed when it was taken, then, as the file is
sent, into it. A JPEG lies in it byte for byte as it was taken.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, KeepTogether, Paragraph, Spacer

from enforcement_api import hashed_files
from enforcement_api.audit.core import Entry, Witnessed
from enforcement_api.feed.core import Cursor, NotACursor
from enforcement_api.infractions import photos, wording
from enforcement_api.infractions.cases import MOST_PERMITS, MOST_VERSIONS, Case, Versions
from enforcement_api.infractions.core import Photo
from enforcement_api.infractions.photos import NotAPicture, StoredPhoto, TooManyPixels, UnknownPhoto
from enforcement_api.paper import (
    HEAD,
    INK,
    INNER,
    MEDIA_TYPE,
    MUTED,
    NAME,
    PLATE,
    SMALL,
    TALLEST,
    TEXT,
    Heading,
    Picture,
    document,
    joined,
    markup,
    notice,
    rows,
    section,
    streamed,
    style,
    table,
)
from enforcement_api.permits.checking import WORDS as VERDICTS
from enforcement_api.permits.core import StoredPermit
from enforcement_api.pictures import Jpeg
from enforcement_api.problems import N_
from enforcement_api.wording import COLONS, Words, lines
from sync import codec
from sync.entities import ALL_ZONES, Localized

__all__ = ["MEDIA_TYPE", "CaseFile", "pdf"]

_PHOTO_HEIGHT = 165 * mm
"""So that what is told of a photo stands on the same page."""
_ROOM = 45 * mm
"""A heading has at least so much of its section under it."""
MOST_ENTRIES = 500
"""Entries of the log that are shown, the latest: all of them are verified."""
_ROWS = 60
"""Of one table: each page of a table takes time for all of its rows."""
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")

_LINE = style("line", 7.5, MUTED)
"""Small enough for a hash and the word before it."""

Rows = list[tuple[str, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A PDF to send: its name, how many bytes, and the bytes, in pieces no larger than a photo.

    The pieces can be read once. They raise UnknownPhoto if a photo's file is lost meanwhile.
    """

    name: str
    size: int
    pieces: Iterator[bytes]


def pdf(case: Case, *, language: str, folder: Path) -> CaseFile:
    """The case file, in the language (fr, en). `folder`: where the photos lie."""
    file = _File(case, language, folder)
    sizes = {shot.photo.sha256: shot.jpeg.bytes for shot in file.shots if shot.jpeg is not None}
    skeleton = document(file, file.heading(), file.story)
    size, pieces = streamed(skeleton, sizes, lambda sha256: _content(folder, sha256))
    number = case.infraction.sent.number
    safe = number if number and _SAFE.fullmatch(number) else case.infraction.id
    name = file.say(N_("case-file-{number}.pdf"), number=safe)
    return CaseFile(name, size, pieces)


def _content(folder: Path, sha256: str) -> bytes:
    """A photo as it goes into the file, once more the one that it should be."""
    content = hashed_files.whole(folder, sha256)
    if content is None:
        raise UnknownPhoto(sha256=sha256)
    return photos.as_jpeg(content)[1]


@dataclass(frozen=True, slots=True)
class _Shot:
    """A photo, and what was found where its file should lie. `jpeg`: how it is shown; None: it is
    not.
    """

    photo: Photo
    stored: StoredPhoto | None
    found: hashed_files.Found | None
    jpeg: Jpeg | None

    @classmethod
    def look(cls, folder: Path, photo: Photo, stored: StoredPhoto | None) -> _Shot:
        """Look at the file of a photo."""
        found = None if stored is None else hashed_files.found(folder, photo.sha256)
        jpeg = None
        if found is not None and found.sha256 == photo.sha256:
            content = hashed_files.whole(folder, photo.sha256)
            with contextlib.suppress(NotAPicture, TooManyPixels):  # told on the page
                jpeg = None if content is None else photos.as_jpeg(content)[0]
        return cls(photo, stored, found, jpeg)


class _File(Words):
    def __init__(self, case: Case, language: str, folder: Path) -> None:
        super().__init__(language, case.plan.site.time_zone)
        self._case = case
        self._site = case.plan.site
        self._sent = case.infraction.sent
        self.shots = [_Shot.look(folder, photo, stored) for photo, stored in case.photos]

    def heading(self) -> Heading:
        """What stands around the text."""
        case, site = self._case, self._site
        id = case.infraction.id
        number = (self._sent.number or id[:8])[:30]
        told = N_("Infraction {number}, as of {at}")
        facts = case.infraction.as_json() | {
            "language": self.language,
            "at": codec.instant(case.at),
            "head": [case.head.number, case.head.hash],
        }
        return Heading(
            title=self.say(N_("Infraction case file")),
            number=number,
            beneath=(site.name, site.address),
            foot=self.say(told, number=number, at=self.moment(case.at)),
            file_title=self.say(N_("Infraction case file {number}"), number=number),
            author=site.name,
            subject=id,
            at=case.at,
            facts=codec.canonical(facts).encode(),
        )

    def story(self) -> Iterator[Flowable]:
        """The text."""
        yield from self._alerts()
        yield from self._section(N_("Infraction"))
        yield rows(self._infraction())
        yield from self._section(N_("Codes"))
        yield from self._codes()
        yield from self._section(N_("Vehicle"))
        yield rows(self._vehicle())
        yield from self._section(N_("Place"))
        yield rows(self._place())
        yield from self._section(N_("Who and when"))
        yield rows(self._who_and_when())
        yield from self._section(N_("What the handheld knew, and what is known now"))
        yield from self._verdicts()
        yield from self._section(N_("Permits, version by version"), room=_ROOM + 15 * mm)
        yield from self._permits()
        yield from self._section(N_("Reviews"))
        yield from self._reviews()
        yield from self._section(N_("History, from the audit log"))
        yield from self._history()
        yield from self._section(N_("Proof"))
        yield from self._proof()
        is_shown = any(shot.jpeg is not None for shot in self.shots)
        yield from self._section(N_("Photos"), room=TALLEST if is_shown else _ROOM)
        yield from self._photos()

    def _section(self, title: str, *, room: float = _ROOM) -> Iterator[Flowable]:
        return section(self, title, room=room)

    # Words

    def _word(self, words: Mapping[str, str], slug: str | None) -> str:
        """The words for a slug; what has none stays as it is."""
        if slug is None:
            return ""
        return self.say(words[slug]) if slug in words else slug

    def _verdict(self, verdict: str | None) -> str:
        return self._word(VERDICTS, verdict) or self.say(N_("None: there is no plate to judge"))

    def _in_language(self, text: Localized | None) -> str:
        return "" if text is None else text.get(self.language) or next(iter(text.values()), "")

    def _seconds(self, milliseconds: int) -> str:
        return self.say(N_("{n} s"), n=self.number(milliseconds / 1000, digits=3))

    def _bytes(self, count: int) -> str:
        return self.ngettext("{n} byte", "{n} bytes", count)

    def _actor(self, by: str) -> list[str]:
        known = {"service": N_("The service itself"), "command": N_("The command line")}
        if by in known:
            return [self.say(known[by])]
        name = self._case.names.get(by)
        return [by] if name is None else [name, by]

    # What stands out

    def _alerts(self) -> Iterator[Flowable]:
        case = self._case
        told = []
        if case.differs:
            told.append(
                self.say(
                    N_(
                        "What is known now contradicts the handheld: it said {given}; with what is"
                        " known now, the verdict of that instant is {known}."
                    ),
                    given=self._verdict(self._sent.verdict),
                    known=self._verdict(case.verdict),
                )
            )
        not_shown = sum(shot.jpeg is None for shot in self.shots)
        if not_shown:
            told.append(
                self.ngettext(
                    "{n} photo cannot be shown: its page says why.",
                    "{n} photos cannot be shown: their pages say why.",
                    not_shown,
                )
            )
        faults = sum(one.reason is not None for one in case.history)
        if faults or not case.history:
            told.append(
                self.say(
                    N_("The audit log of this infraction is not whole: see the proof further down.")
                )
            )
        for text in told:
            yield Spacer(1, 4 * mm)
            yield notice(text)

    # The facts

    def _infraction(self) -> Rows:
        infraction, sent = self._case.infraction, self._sent
        outcome = self.say(wording.outcome_words(sent.outcome, self._site.instrument))
        state = self._word(wording.STATES, infraction.state)
        facts: Rows = [
            (self.say(N_("Outcome")), [outcome, self._word(wording.REASONS, sent.no_issue_reason)]),
            (self.say(N_("Number")), [sent.number or self.say(N_("No number"))]),
            (
                self.say(N_("State")),
                [state, self._word(wording.REASONS, infraction.decision_reason)],
            ),
            (self.say(N_("Observed on")), [self.moment(sent.observed_at)]),
            (self.say(N_("Received on")), [self.moment(infraction.received_at)]),
            (self.say(N_("Id")), [infraction.id]),
        ]
        if sent.note:
            facts.append((self.say(N_("Patroller's note")), lines(sent.note)))
        for one in self._case.corrections:
            by, of = N_("Corrected by another"), N_("Correction of another")
            is_corrected = one.infraction == infraction.id
            id = one.correction if is_corrected else one.infraction
            number = one.correction_number if is_corrected else one.infraction_number
            said = self.say(N_("said by {name} on {at}"), name=one.by_name, at=self.moment(one.at))
            facts.append((self.say(by if is_corrected else of), [joined(" · ", number, id), said]))
        if infraction.warnings:
            flags = [self._word(wording.WARNINGS, flag) for flag in infraction.warnings]
            facts.append((self.say(N_("Flagged")), flags))
        return facts

    def _codes(self) -> Iterator[Flowable]:
        is_notice = self._sent.outcome == "notice"
        is_avis = self._site.instrument == "avis"
        heads = (
            N_("Code"),
            N_("Title"),
            N_("Clause") if is_avis else N_("Article"),
            (N_("Amount claimed") if is_avis else N_("Amount")) if is_notice else N_("Rate then"),
        )
        cells = [self._head(heads)]
        known = {code.id: code for code in self._case.plan.codes}
        amounts = []
        on = self._sent.observed_at.astimezone(self.zone).date()
        for id in self._sent.codes:
            code = known.get(id)
            title = self.say(N_("The site has no such code")) if code is None else code.title
            amount = None if code is None else code.amount_on(on)
            amounts.append(amount)
            cells.append(
                [
                    Paragraph(markup(id), PLATE),
                    _cell(title if isinstance(title, str) else self._in_language(title)),
                    _cell((code and code.article) or "—"),
                    _cell("—" if amount is None else self.money(amount)),
                ]
            )
        whole = [amount for amount in amounts if amount is not None]
        if is_notice and len(whole) == len(amounts) > 1:
            total = self.say(N_("In all"))
            in_all = [Paragraph(markup(each), PLATE) for each in (total, self.money(sum(whole)))]
            cells.append([_cell(""), in_all[0], _cell(""), in_all[1]])
        if not self._sent.codes:
            yield Paragraph(markup(self.say(N_("It has no code."))), TEXT)
            return
        yield table(cells, [24 * mm, INNER - 102 * mm, 44 * mm, 34 * mm], has_head=True)
        yield Spacer(1, 2 * mm)
        told = N_(
            "Titles and clauses are as the site has them at the date of this file; amounts are"
            " those that held on the day of the observation."
        )
        yield Paragraph(markup(self.say(told)), SMALL)
        if not is_notice:
            told = N_("Nothing is claimed: no notice was issued.")
            yield Paragraph(markup(self.say(told)), SMALL)

    def _vehicle(self) -> Rows:
        sent, plate = self._sent, self._case.infraction.plate
        source = self._word(wording.PLATE_SOURCES, sent.plate_source)
        facts: Rows = []
        if plate is None:
            reason = self._word(wording.REASONS, sent.plate_missing_reason)
            facts.append((self.say(N_("Plate")), [self.say(N_("No plate")), reason]))
        else:
            facts.append((self.say(N_("Plate")), [f"{plate.text} ({plate.jurisdiction})"]))
            facts.append((self.say(N_("As it was read")), [f"{sent.plate_raw} ({source})"]))
        vehicle = dict(sent.vehicle or {})
        described = joined(" ", *(vehicle.pop(part, None) for part in ("year", "make", "model")))
        described = joined(", ", described, vehicle.pop("colour", None))
        others = [f"{name}: {fact}" for name, fact in vehicle.items() if fact is not None]
        told = [described, *others] if described or others else [self.say(N_("Not described"))]
        facts.append((self.say(N_("Vehicle")), told))
        return facts

    def _place(self) -> Rows:
        sent, plan = self._sent, self._case.plan
        zone = next((zone for zone in plan.zones if zone.id == sent.zone), None)
        lot = next((lot for lot in plan.lots if lot.id == sent.lot), None)
        named = self._in_language(zone.name) if zone else ""
        facts: Rows = [
            (self.say(N_("Site")), [_named(plan.site.id, plan.site.name)]),
            (self.say(N_("Zone")), [_named(sent.zone, named)]),
            (self.say(N_("Lot")), [_named(sent.lot, lot.name if lot else "")]),
            (self.say(N_("Place")), [sent.place or ""]),
        ]
        if sent.position is not None:
            position = sent.position
            told = f"{position.lat:.6f}, {position.lon:.6f}"
            if position.accuracy_m is not None:
                accuracy = self.number(position.accuracy_m, digits=1)
                told = self.say(N_("{position}, within {metres} m"), position=told, metres=accuracy)
        else:
            told = self.say(N_("No position"))
        facts.append((self.say(N_("Position (latitude, longitude)")), [told]))
        return [(name, values) for name, values in facts if any(values)]

    def _who_and_when(self) -> Rows:
        case, sent = self._case, self._sent
        device = case.names.get(f"device:{case.infraction.device}")
        handheld = [device or "", case.infraction.device]
        if case.infraction.after_revocation:
            handheld.append(self.say(N_("It had been revoked when it handed this over.")))
        clock = self._seconds(sent.clock_offset_ms)
        offset = f"+{clock}" if sent.clock_offset_ms > 0 else clock
        facts: Rows = [
            (
                self.say(N_("Patroller")),
                [joined(" ", case.patroller, f"({sent.patroller})")],
            ),
            (self.say(N_("Shift")), [sent.shift or ""]),
            (self.say(N_("Handheld")), handheld),
            (self.say(N_("Observed on")), [self.moment(sent.observed_at)]),
            (self.say(N_("By the handheld's clock")), [self.moment(sent.device_time)]),
            (self.say(N_("Corrected by")), [offset]),
        ]
        if sent.clock_uncertainty_ms is not None:
            within = self._seconds(sent.clock_uncertainty_ms)
            facts.append((self.say(N_("Uncertain by")), [f"± {within}"]))
        if sent.clock_jumped is not None:
            jumped = N_("Yes: look at the times with care") if sent.clock_jumped else N_("No")
            facts.append((self.say(N_("Had the clock jumped?")), [self.say(jumped)]))
        return [(name, values) for name, values in facts if any(values)]

    # Verdicts and permits

    def _verdicts(self) -> Iterator[Flowable]:
        case, sent = self._case, self._sent
        now = case.known_now
        try:
            sequence = Cursor.parse(sent.cursor, site=sent.site).sequence
            level = self.say(N_("Sequence number {n}"), n=self.number(sequence))
        except NotACursor:
            level = self.say(N_("A cursor that cannot be read"))
        known = [permit.model_dump(mode="json") for permit in sent.known]
        permits = [codec.permit_record(permit) for permit in (now.permits if now else ())]
        at = self.moment(case.at)
        cells = [
            self._head(("", N_("The handheld"), N_("Known now"))),
            [
                _name(self.say(N_("Verdict"))),
                Paragraph(markup(self._verdict(sent.verdict)), PLATE),
                Paragraph(markup(self._verdict(case.verdict)), PLATE),
            ],
            [
                _name(self.say(N_("With what was known"))),
                _cell(level, self.say(N_("Epoch {epoch}"), epoch=sent.epoch)),
                _cell(self.say(N_("On {at}"), at=at)),
            ],
            [
                _name(self.say(N_("Permits"))),
                _cell(*self._some(known)),
                _cell(*self._some(permits)),
            ],
        ]
        column = (INNER - 34 * mm) / 2
        yield table(cells, [34 * mm, column, column], has_head=True)
        infraction = case.infraction
        if infraction.plate is None:
            return
        if infraction.cursor_verdict is not None:
            told = self.say(
                N_("A whole copy at the handheld's sequence number says: {verdict}."),
                verdict=self._verdict(infraction.cursor_verdict),
            )
        else:
            told = self._word(wording.CURSOR_REASONS, infraction.cursor_reason)
        yield Spacer(1, 2 * mm)
        yield Paragraph(markup(told), SMALL)

    def _some(self, permits: Sequence[Mapping[str, Any]]) -> list[str]:
        """Permits, each in a few lines; no more than anybody reads."""
        if not permits:
            return [self.say(N_("No permit"))]
        told = [line for permit in permits[:MOST_PERMITS] for line in self._permit(permit)]
        more = len(permits) - MOST_PERMITS
        if more > 0:
            told.append(self.ngettext("and {n} more", "and {n} more", more))
        return told

    def _permit(self, record: Mapping[str, Any]) -> list[str]:
        """A permit as it travels, in three lines."""
        named = self.say(N_("Permit {number}"), number=record["permit_number"])
        status = self._word(wording.PERMIT_STATUS, record["status"])
        term = self._term(record["starts_at"], record["ends_at"])
        active = self.say(N_("Active from {at}"), at=self.moment(record["active_from"]))
        zones = self._zones(record["zones"])
        return [joined(", ", named, status, zones), term, active]

    def _zones(self, zones: Sequence[str]) -> str:
        if ALL_ZONES in zones:
            return self.say(N_("all zones"))
        named = " ".join(zones)
        return self.ngettext("zone {zones}", "zones {zones}", len(zones), zones=named)

    def _term(self, starts_at: str, ends_at: str | None) -> str:
        starts = self.moment(starts_at)
        if ends_at is None:
            return self.say(N_("From {starts}, without end"), starts=starts)
        return self.say(N_("From {starts} to {ends}"), starts=starts, ends=self.moment(ends_at))

    def _permits(self) -> Iterator[Flowable]:
        if not self._case.versions:
            told = N_("No permit is known, and the handheld knew of none.")
            yield Paragraph(markup(self.say(told)), TEXT)
        for n, (id, versions) in enumerate(self._case.versions.items()):
            if n:
                yield CondPageBreak(_ROOM)
            yield Paragraph(markup(self.say(N_("Permit id {id}"), id=id)), HEAD)
            yield Spacer(1, 1 * mm)
            yield from self._versions(versions)
            yield Spacer(1, 3 * mm)
        if self._case.permits_left_out:
            told = self.ngettext(
                "{n} more permit of this plate is not shown.",
                "{n} more permits of this plate are not shown.",
                self._case.permits_left_out,
            )
            yield Spacer(1, 2 * mm)
            yield notice(told)

    def _versions(self, versions: Versions) -> Iterator[Flowable]:
        if not versions:
            told = N_("No version of it is kept: what is known is what the handheld says, above.")
            yield Paragraph(markup(self.say(told)), SMALL)
            return
        heads = (N_("Sequence"), N_("Recorded"), N_("Permit"), N_("Term"), N_("Status"))
        cells = [self._head(heads)]
        cells += [self._version(sequence, permit) for sequence, permit in versions]
        widths = [20 * mm, 38 * mm, 36 * mm, INNER - 118 * mm, 24 * mm]
        yield table(cells, widths, has_head=True)
        if len(versions) == MOST_VERSIONS:
            told = self.say(N_("The latest {n} versions are shown."), n=MOST_VERSIONS)
            yield Paragraph(markup(told), SMALL)

    def _version(self, sequence: int, permit: StoredPermit) -> list[Paragraph]:
        facts = permit.facts
        ends_at = codec.optional_instant(permit.ends_at)
        status = [self._word(wording.PERMIT_STATUS, facts.status)]
        if permit.removed:
            status.append(self.say(N_("removed from the feed")))
        return [
            _small(self.number(sequence)),
            _small(
                self.moment(permit.recorded_at),
                self.say(N_("by {source}"), source=permit.source),
                self.say(N_("version {n}"), n=permit.version),
            ),
            _small(
                self.say(N_("No. {number}"), number=facts.permit_number),
                str(facts.plate),
                self._zones(facts.zones),
            ),
            _small(
                self._term(codec.instant(permit.starts_at), ends_at),
                self.say(N_("Active from {at}"), at=self.moment(permit.active_from)),
            ),
            _small(*status),
        ]

    # What became of it

    def _reviews(self) -> Iterator[Flowable]:
        if not self._case.reviews:
            yield Paragraph(markup(self.say(N_("Nobody has reviewed it."))), TEXT)
            return
        heads = (N_("When"), N_("Decision"), N_("By"), N_("Why"))
        cells = [self._head(heads)]
        for review in self._case.reviews:
            why = [self._word(wording.REASONS, review.reason), *lines(review.note or "")]
            if review.acknowledged_differs:
                why.append(self.say(N_("Knowing that the verdict differs")))
            cells.append(
                [
                    _cell(self.moment(review.at)),
                    _cell(self._word(wording.DECISIONS, review.decision)),
                    _cell(review.by_name),
                    _cell(*why),
                ]
            )
        yield table(cells, [42 * mm, 38 * mm, 36 * mm, INNER - 116 * mm], has_head=True)

    def _history(self) -> Iterator[Flowable]:
        left_out = len(self._case.history) - MOST_ENTRIES
        if left_out > 0:
            told = self.ngettext(
                "{n} earlier entry is not shown; the proof below is of it too.",
                "{n} earlier entries are not shown; the proof below is of them too.",
                left_out,
            )
            yield notice(told)
        lines = iter(self._case.history[-MOST_ENTRIES:])
        while some := list(islice(lines, _ROWS)):
            cells = [self._head((N_("Entry"), N_("When"), N_("What was done, and by whom")))]
            cells += [self._line(one) for one in some]
            yield table(cells, [18 * mm, 38 * mm, INNER - 56 * mm], has_head=True)

    def _line(self, one: Witnessed) -> list[Paragraph]:
        kept, entry = one.kept, one.entry
        number = _cell(self.number(kept.number))
        hash = markup(self.say(N_("SHA-256 {hash}"), hash=kept.hash))
        told, on = [hash], ""
        if one.reason is not None:
            reason = self.say(one.reason, **one.reason.facts)
            fault = markup(self.say(N_("Not proved: {reason}."), reason=reason))
            told.insert(0, _bold(fault))
        if entry is None:
            told.insert(0, markup(self.say(N_("What is there is no entry of the log"))))
        else:
            on = self.moment(entry.at)
            by = joined(" · ", *self._actor(entry.by))
            told[:0] = [self._done(entry), *map(markup, self._told(entry)), markup(by)]
        return [number, _small(on), Paragraph("<br/>".join(told), _LINE)]

    def _done(self, entry: Entry) -> str:
        done = self._word(wording.EVENTS, entry.action)
        decision = _text(entry.facts.get("decision"))
        if decision is not None:
            done = f"{done}{COLONS[self.language]}{self._word(wording.DECISIONS, decision)}"
        return f'<font color="{INK.hexval()}">{_bold(markup(done))}</font>'

    def _told(self, entry: Entry) -> Iterator[str]:
        """The facts of an entry, in words where there are some."""
        facts = {name: fact for name, fact in entry.facts.items() if name != "decision"}
        state, before = _text(facts.pop("state", None)), _text(facts.pop("state_before", None))
        if state is not None and state != before and entry.action != "photo_received":
            told = [self._word(wording.STATES, each) for each in (before, state) if each]
            yield self.say(N_("State: {states}"), states=" > ".join(told))
        missing = facts.pop("missing", None)
        if isinstance(missing, int) and missing:
            yield self.ngettext("{n} photo missing still", "{n} photos missing still", missing)
        recheck = facts.pop("recheck", None)
        if entry.action == "rechecked":
            recheck = {"verdict": facts.pop("verdict", None), "differs": facts.pop("differs", None)}
            was = _text(facts.pop("before", None))
            yield self.say(N_("Verdict before: {verdict}"), verdict=self._verdict(was))
        if isinstance(recheck, Mapping):
            verdict = self._verdict(_text(recheck.get("verdict")))
            differs = N_("Verdict then: {verdict}, not the handheld's")
            same = N_("Verdict then: {verdict}")
            yield self.say(differs if recheck.get("differs") else same, verdict=verdict)
        words: Mapping[str, Callable[[str], str]] = {
            "reason": lambda slug: self._word(wording.REASONS, slug),
            "because": lambda slug: self._word(wording.REASONS, slug),
            "correction": lambda id: self.say(N_("Infraction {id}"), id=id),
            "number": lambda number: self.say(N_("No. {number}"), number=number),
            "sha256": lambda name: self.say(N_("Photo {sha256}"), sha256=name),
            "said_at": lambda at: self.say(N_("Said on {at}"), at=self.moment(at)),
            "note": str,
            "text": str,
        }
        flags = {
            "acknowledged_differs": N_("Knowing that the verdict differs"),
            "after_revocation": N_("From a revoked handheld"),
            "late": N_("After the time for that"),
        }
        for name, fact in facts.items():
            if name in words and isinstance(fact, str):
                yield from lines(words[name](fact))
            elif name in flags and isinstance(fact, bool):
                if fact:
                    yield self.say(flags[name])
            elif fact is not None:
                yield f"{name}: {fact if isinstance(fact, str) else codec.json_text(fact)}"

    def _proof(self) -> Iterator[Flowable]:
        case = self._case
        chain, head = self._site.id, case.head
        faults = [one for one in case.history if one.reason is not None]
        if not case.history:
            yield notice(self.say(N_("The log has no entry of this infraction: each has one.")))
        elif faults:
            numbers = ", ".join(self.number(one.kept.number) for one in faults)
            told = N_(
                "Not every entry is proved: see {numbers}. Keep the record as it is, compare it"
                " with a backup, and find out who could write to the database."
            )
            yield notice(self.say(told, numbers=numbers))
        else:
            told = self.ngettext(
                "The entry above is as it was written, in its place.",
                "All {n} entries above are as they were written, each in its place.",
                len(case.history),
            )
            yield Paragraph(markup(told), TEXT)
        yield Spacer(1, 2 * mm)
        facts: Rows = [
            (self.say(N_("Chain")), [chain]),
            (self.say(N_("Last entry of the chain")), [self.number(head.number)]),
            (self.say(N_("Its hash (SHA-256)")), [head.hash]),
        ]
        yield KeepTogether([rows(facts)])
        yield Spacer(1, 2 * mm)
        walked = N_(
            "What was verified for this file: the text of each entry above gives its hash and names"
            " its place; it holds the hash of the entry before it, and the entry after it holds its"
            " own, unless it is the last. The rest of the chain was not walked: an entry further"
            " away that was changed or taken out does not show here, nor does a chain that somebody"
            " wrote anew as a whole."
        )
        verify = N_(
            "To verify all of it, at any later time, where the record or a backup of it is:"
            " {command}"
        )
        command = f"patrouille audit verify --head {chain}={head.number}:{head.hash}"
        compare = N_(
            "It walks the whole chain, and says whether the last entry named here is still in it."
            " Then compare the numbers and hashes above with those of {address}"
        )
        address = f"GET /v1/audit?site={chain}&subject=infraction:{case.infraction.id}"
        for told in (
            self.say(walked),
            self.say(verify, command=command),
            self.say(compare, address=address),
        ):
            yield Paragraph(markup(told), SMALL)
            yield Spacer(1, 1.5 * mm)

    # Photos

    def _photos(self) -> Iterator[Flowable]:
        if not self.shots:
            yield Paragraph(markup(self.say(N_("There is none."))), TEXT)
            return
        told = N_(
            "A photo that is shown as it was taken lies in this file byte for byte. Taken out, for"
            " example with {command}, it has the SHA-256 that stands under it."
        )
        command = "pdfimages -all"
        yield Paragraph(markup(self.say(told, command=command)), SMALL)
        for n, shot in enumerate(self.shots, start=1):
            yield Spacer(1, 4 * mm)
            yield KeepTogether(list(self._photo(n, shot)))

    def _photo(self, n: int, shot: _Shot) -> Iterable[Flowable]:
        photo = shot.photo
        title = self.say(N_("Photo {n} of {count}"), n=n, count=len(self.shots))
        title = joined(", ", title, self._word(wording.SHOWS, photo.shows))
        yield Paragraph(markup(title), PLATE)
        yield Spacer(1, 1.5 * mm)
        if shot.jpeg is None:
            yield notice(self._why_not(shot))
        else:
            yield Picture(photo.sha256, shot.jpeg, width=INNER, height=_PHOTO_HEIGHT)
        yield Spacer(1, 1.5 * mm)
        facts: Rows = [
            (self.say(N_("SHA-256, taken at capture")), [photo.sha256]),
            (self.say(N_("Size")), [self._bytes(photo.bytes)]),
            (self.say(N_("Taken on")), [self.moment(photo.taken_at)]),
        ]
        if shot.stored is not None:
            facts.append((self.say(N_("Received on")), [self.moment(shot.stored.received_at)]))
            if shot.stored.bytes != photo.bytes:
                facts.append((self.say(N_("Size as received")), [self._bytes(shot.stored.bytes)]))
        if shot.jpeg is not None:
            shown = N_("As it was taken: the original lies in this file")
            made = N_(
                "Made of the original, which a PDF cannot hold as it is: the SHA-256 is that of the"
                " original, which the service keeps"
            )
            told = shown if shot.jpeg.is_original else made
            facts.append((self.say(N_("Shown")), [self.say(told)]))
        yield rows(facts)

    def _why_not(self, shot: _Shot) -> str:
        """Why a photo is not shown, in plain words."""
        if shot.stored is None:
            return self.say(
                N_(
                    "This photo has not been received: the handheld says that it was taken. What it"
                    " shows is not known here."
                )
            )
        if shot.found is None:
            return self.say(
                N_("This photo was received, but its file is missing: look for it in a backup.")
            )
        if shot.found.sha256 != shot.photo.sha256:
            return self.say(
                N_(
                    "The file of this photo is not the one that was received: it has {bytes}, and"
                    " its SHA-256 is {found}. It is not shown. Look for the original in a backup."
                ),
                bytes=self._bytes(shot.found.bytes),
                found=shot.found.sha256,
            )
        return self.say(
            N_(
                "The file of this photo is the one that was taken, but no picture can be read in"
                " it."
            )
        )

    def _head(self, heads: Sequence[str]) -> list[Paragraph]:
        return [Paragraph(markup(self.say(head)) if head else "", HEAD) for head in heads]


def _cell(*values: str) -> Paragraph:
    return Paragraph("<br/>".join(markup(value) for value in values if value), TEXT)


def _bold(markup: str) -> str:
    return f'<font name="{PLATE.fontName}">{markup}</font>'


def _small(*values: str) -> Paragraph:
    return Paragraph("<br/>".join(markup(value) for value in values if value), SMALL)


def _name(text: str) -> Paragraph:
    return Paragraph(markup(text), NAME)


def _named(code: str | None, name: str) -> str:
    """A code with its name, unless the name begins with it."""
    if not code or not name or name.startswith(code):
        return name or code or ""
    return f"{code} - {name}"


def _text(fact: object) -> str | None:
    return fact if isinstance(fact, str) else None
