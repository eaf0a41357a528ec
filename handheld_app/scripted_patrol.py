"""A patrol without a window: the same handheld, told by a script what to do and what must come.

`python -m handheld_app.scripted_patrol --data-dir DIR < script.json` reads a JSON list of steps
`{"do": …}`, tells on stdout what it does and sees, and ends with 1 at the first thing that is not
as the script expects. What lies in DIR stays for the next script, as in a pocket.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from handheld_app.drafts import Sighting
from handheld_app.handheld import Handheld
from handheld_app.patrol import NotReady
from handheld_app.syncing import SAID_NO, SyncStatus
from handheld_app.wording import Face, age_of_knowledge, face, gettext, verdict_word
from sync import codec
from sync.entities import Site
from sync.exchange import ServiceError
from sync.outbox import LOW_NUMBERS, Item
from sync.wording import LANGUAGES, clock_time, localized, outcome_words

_ = gettext

SECONDS = 30.0
"""How long anything may take."""

_COLOURS = {"good": "green", "wait": "yellow", "bad": "red", "idle": None}


class NotAsExpected(Exception):
    """The handheld did something else than the script expects."""

    def __init__(self, what: str, *, expected: object, found: object) -> None:
        self.what, self.expected, self.found = what, expected, found
        super().__init__(f"{what}: {expected!r} / {found!r}")


def expect(what: str, found: object, expected: object) -> None:
    """Raises NotAsExpected."""
    if found != expected:
        raise NotAsExpected(what, expected=expected, found=found)


class ScriptedPatrol:
    """The steps that a script may name: each a method `do_…` that takes what the step says."""

    def __init__(self, data_dir: Path, lang: str) -> None:
        self._lang = lang
        self._changed = threading.Condition()
        self._handheld = Handheld(data_dir, changed=self._hear)
        self._patrol = self._handheld.patrol
        if self._patrol.device.lang != lang:
            self._patrol.speak(lang)

    def close(self) -> None:
        """End the sync and close every file."""
        self._handheld.close()

    def do(self, step: Mapping[str, Any]) -> None:
        """One step of a script. Raises NotAsExpected, and what the handheld raises."""
        facts = dict(step)
        getattr(self, f"do_{facts.pop('do')}")(**facts)

    def _say(self, text: str, **facts: object) -> None:
        click.echo("  " + _(text, self._lang).format(**facts))

    def _claim(self, text: str, **facts: object) -> None:
        """Say what was found to be as it should be."""
        click.echo("  ✓ " + _(text, self._lang).format(**facts))

    def _hear(self, status: SyncStatus) -> None:
        with self._changed:
            self._changed.notify_all()

    def _wait_until(self, what: str, happened: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS
        with self._changed:
            while not happened():
                left = end - time.monotonic()
                if left <= 0:
                    raise NotAsExpected(what, expected=True, found=str(self._handheld.status))
                # The outbox tells nobody when an attempt failed: look again soon.
                self._changed.wait(min(left, 0.05))

    def _site(self) -> Site:
        site = self._patrol.site()
        if site is None:
            raise NotReady("nothing was fetched yet")
        return site

    def _time(self, at: datetime) -> str:
        return clock_time(at.astimezone(ZoneInfo(self._site().time_zone)), self._lang)

    # where and who

    def do_enrol(self, server: str, code: str) -> None:
        device = self._patrol.enrol(server, code)
        enrolled = N_("Enrolled at {server} as device {device}.")
        self._say(enrolled, server=server, device=device.device)

    def do_sign_in(self, badge: str, pin: str) -> None:
        who = self._patrol.sign_in(badge, pin)
        words = (
            N_("{name} signs in with badge and PIN; this device's own verifier lets them in.")
            if who.unconfirmed
            else N_("{name} signs in with badge and PIN; the service lets them in.")
        )
        self._claim(words, name=who.called)

    def do_place(self, zone: str, badge: str, pin: str) -> None:
        self.do_sign_in(badge, pin)
        self._choose(zone)
        site = self._site()
        self._say(
            N_("Badge {badge}, site {site} - {name}, zone {zone}."),
            badge=badge,
            site=site.id,
            name=site.name,
            zone=localized(self._patrol.zones()[zone].name, self._lang),
        )

    def _choose(self, zone: str) -> None:
        if self._patrol.device.zone != zone:
            self._patrol.choose_zone(zone)

    # the network

    def do_sync(self) -> None:
        self._handheld.sync()
        self._wait_until(_("the sync with the service", self._lang), self._is_level)
        state = self._patrol.state()
        assert state is not None
        self._claim(
            N_("Synced at {time}: {count} records of the site are here, nothing is to be sent."),
            time=self._time(state.server_time),
            count=state.digest.count,
        )
        # They are asked for after everything was sent, also on another thread.
        self._wait_until(_("numbers for notices", self._lang), self._has_numbers)
        self._claim(
            N_("{n} numbers of notices are here, for this handheld alone."),
            n=self._patrol.numbers_left(),
        )

    def _is_level(self) -> bool:
        status = self._handheld.status
        if status.connection in SAID_NO or status.set_aside:
            raise NotAsExpected("sync", expected="online", found=str(status))
        return status.connection == "online" and not self._handheld.outbox.unsent()

    def _has_numbers(self) -> bool:
        return self._patrol.numbers_left() >= LOW_NUMBERS

    def do_find_no_service(self, infractions: int = 0, photos: int = 0) -> None:
        """Syncing must fail, visibly, with exactly this much still waiting."""
        self._handheld.sync()

        def has_failed() -> bool:
            waiting = self._handheld.outbox.waiting()
            tried = not waiting or bool(waiting[0].attempts)
            return self._handheld.status.connection == "offline" and tried

        self._wait_until(_("an attempt that fails", self._lang), has_failed)
        waiting = self._handheld.outbox.waiting()
        reason = self._handheld.status.trouble
        self._say(N_("Offline: the service does not answer ({reason})."), reason=reason)
        kinds = [item.kind for item in waiting]
        expect("outbox", (kinds.count("infraction"), kinds.count("photo")), (infractions, photos))
        if waiting:
            self._claim(
                N_("Not sent: {infractions} infractions and {photos} photos wait in the outbox."),
                infractions=infractions,
                photos=photos,
            )
            return
        at = self._patrol.known_at()
        assert at is not None
        self._say(N_("It goes on with what it knew at {time}."), time=self._time(at))

    def do_send_again(self) -> None:
        """As if every acknowledgement had been lost: send all of it a second time."""
        outbox = self._handheld.outbox
        before = {item.id: item.answer for item in outbox.infractions()}
        for item in outbox.infractions():
            outbox.send_again("infraction", item.id)
            for photo in _photos(item):
                outbox.send_again("photo", photo)
        sent = outbox.unsent()
        self._handheld.sync()
        self._wait_until(_("the second sending", self._lang), self._is_level)
        for item in outbox.infractions():
            first, again = before[item.id] or {}, item.answer or {}
            expect("received_at", again.get("received_at"), first.get("received_at"))
            expect("photos_missing", again.get("photos_missing"), [])
        self._claim(
            N_("Sent again, {n} items, as if the answers had been lost: the same receipts."),
            n=sent,
        )

    # checking

    def do_check(
        self,
        plate: str,
        jurisdiction: str,
        verdict: str,
        story: str = "",
        compare: list[str] | None = None,
        zone: str | None = None,
    ) -> None:
        """The verdict must be this one, and what to compare exactly that."""
        if zone is not None:
            self._choose(zone)
        sighting = self._patrol.check(plate, jurisdiction)
        expect(plate, sighting.verdict, verdict)
        if compare is not None:
            expect(plate, [str(other) for other in sighting.check.suggestions], compare)
        self._show(sighting, story)

    def _show(self, sighting: Sighting, story: str) -> None:
        seen = face(sighting.check, site=self._site(), zones=self._patrol.zones(), lang=self._lang)
        told = f"{sighting.raw} ({sighting.plate.jurisdiction})"
        click.echo(f"  {told:<20} {story}".rstrip())
        word = click.style(f"{seen.word:<16}", fg=_COLOURS[seen.tone], bold=True)
        click.echo(f"    ✓ {word}{self._besides(seen, sighting)}")

    def _besides(self, seen: Face, sighting: Sighting) -> str:
        reasons = " · ".join(seen.reasons)
        if sighting.check.suggestions:
            reasons += " " + ", ".join(map(str, sighting.check.suggestions))
        age = age_of_knowledge(sighting.known_at, self._lang, now=sighting.at)
        return " · ".join(part for part in (reasons, seen.vehicle, age) if part)

    # recording

    def do_record(
        self,
        plate: str,
        jurisdiction: str,
        verdict: str,
        code: str,
        pictures: list[str],
        note: str = "",
        outcome: str = "notice",
    ) -> None:
        """Check, photograph and record; the code must be the one that the verdict suggests."""
        sighting = self._patrol.check(plate, jurisdiction)
        expect(plate, sighting.verdict, verdict)
        self._show(sighting, "")
        draft = self._patrol.draft(sighting)
        expect(_("the suggested code", self._lang), draft.codes, [code])
        draft.outcome = outcome  # type: ignore[assignment]
        draft.note = note
        for picture in pictures:
            photo = self._patrol.take_photo(Path(picture))
            draft.photos.append(photo)
            self._say(
                N_("    Photo {name}, {size} kB, SHA-256 {sha256}…"),
                name=Path(picture).name,
                size=photo.bytes // 1000,
                sha256=photo.sha256[:12],
            )
        recorded = self._patrol.record(draft)
        titles = {known.id: localized(known.title, self._lang) for known in self._patrol.codes()}
        self._say(
            N_("    Recorded on the handheld: {outcome}, {code} {title}, id {id}"),
            outcome=outcome_words(outcome, self._site().instrument, self._lang),
            code=code,
            title=titles[code],
            id=recorded.id,
        )
        if outcome == "notice":
            expect("number", recorded.number is None, False)
            self._say(
                N_("    The notice bears No. {number}, taken without network."),
                number=recorded.number,
            )

    def do_show_receipts(self, verdicts: Mapping[str, str]) -> None:
        """Every infraction must be received; `verdicts` are the service's re-checks by plate."""
        found = {}
        for item in reversed(self._patrol.log()):
            expect(item.id, item.state, "sent")
            assert item.body is not None
            assert item.answer is not None
            receipt = codec.receipt(dict(item.answer))
            given, now = item.body["verdict"], receipt.recheck_verdict
            found[item.body["plate"]] = now
            expect(item.id, receipt.recheck_differs, given != now)
            self._claim(
                N_("{plate}: received by the service; given {given}, re-checked {now}"),
                plate=item.body["plate"],
                given=verdict_word(given, self._lang),
                now=verdict_word(now, self._lang),  # type: ignore[arg-type]
            )
        expect("recheck", found, dict(verdicts))

    def report(self) -> list[dict[str, Any]]:
        """What was recorded here: ids, plates, numbers, photos."""
        return [
            {
                "id": item.id,
                "plate": (item.body or {}).get("plate"),
                "number": (item.body or {}).get("number"),
                "photos": _photos(item),
            }
            for item in reversed(self._patrol.log())
        ]


def _photos(item: Item) -> list[str]:
    return [photo["sha256"] for photo in (item.body or {}).get("photos", ())]


def N_(text: str) -> str:
    """Mark a text for translation."""
    return text


def main(arguments: list[str] | None = None) -> int:
    """Read the script, do it, and say what is not as expected."""
    parser = argparse.ArgumentParser(prog="python -m handheld_app.scripted_patrol")
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR")
    parser.add_argument("--lang", choices=LANGUAGES, default=LANGUAGES[0])
    parser.add_argument("--report", type=Path, metavar="FILE", help="what was recorded, as JSON")
    given = parser.parse_args(arguments)
    steps = json.load(sys.stdin)
    patrol = ScriptedPatrol(given.data_dir, given.lang)
    try:
        for step in steps:
            patrol.do(step)
        if given.report is not None:
            given.report.write_text(json.dumps(patrol.report()), encoding="utf-8")
    except NotAsExpected as error:
        told = _("Not as expected: {what}. Expected {expected}, found {found}.", given.lang).format(
            what=error.what, expected=error.expected, found=error.found
        )
        click.echo("  " + click.style(told, fg="red", bold=True))
        return 1
    except ServiceError as error:
        click.echo("  " + click.style(str(error), fg="red", bold=True))
        return 1
    finally:
        patrol.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
