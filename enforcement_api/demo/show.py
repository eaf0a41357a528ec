"""The demo's story: build the site, then patrol it, in a window or by a script.

Whatever the transcript claims is compared with what was found; the first difference ends the demo
with 1.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shlex
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import httpx

from enforcement_api.demo import city, console, office, pictures
from enforcement_api.demo.city import CARS, SITE, Car
from enforcement_api.demo.folder import claimed
from enforcement_api.demo.office import Office, give_card
from enforcement_api.demo.processes import (
    COMMAND_SECONDS,
    LOOPBACK,
    DemoFailed,
    ProcessFailed,
    ServingProcess,
    end,
    environment,
    finish,
    free_port,
    python,
)
from enforcement_api.permits.checking import WORDS
from enforcement_api.problems import N_, translation
from enforcement_api.settings import Settings
from enforcement_api.wording import Words
from sync import codec

BADGE, PIN = "417", "204816"
INTERRUPTED = 130

_CODES = {city.EXPIRED_PLATE: "P03", city.LATE_PLATE: "P01"}
"""What the patrol records while the service is down, and under which code."""


class NotAsExpected(DemoFailed):
    """The transcript would have claimed what is not so."""

    slug = "demo-not-as-expected"
    detail = N_("{claim}: expected {expected}, found {found}")


class ServiceSaidNo(DemoFailed):
    """The service refused what the demo asked."""

    detail = N_("{method} {path} was answered with {status}: {said}")


def run(settings: Settings, *, headless: bool, language: str) -> int:
    """Build the demo in the settings' data directory and show it; the exit code.

    `headless`: no window. Raises NotTheDemos, DemoIsRunning, DemoFailed.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no ✓ shows something else
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(claimed(settings.data_dir))
        stack.enter_context(_ended_by_signals())
        show = _Show(folder, language)
        stack.callback(show.provider.stop)
        stack.callback(show.service.stop)
        try:
            show.build()
            if headless or not show.can_open_window():
                show.patrol()
                return 0
            return show.open_window()
        except KeyboardInterrupt:
            show.say("")
            show.say(N_("The demo was interrupted."))
            return INTERRUPTED


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a request to end, however it comes, end the demo's processes too."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Show:
    def __init__(self, folder: Path, language: str) -> None:
        self._began = time.monotonic()
        self._folder = folder
        self._language = language
        self._env = environment(language)
        self._city = city.invent(datetime.now(UTC))
        self._keys: dict[str, str] = {}
        self._sections = 0
        self._claims = 0
        port = free_port()
        self.service = ServingProcess("serve", data_dir=folder, port=port, env=self._env)
        # Each must be told where the other is before it starts.
        self.provider = ServingProcess(
            *("local-provider", "--service", f"http://127.0.0.1:{port}"),
            data_dir=folder, port=0, env=self._env,
        )  # fmt: skip
        self._staff = console.people(SITE)
        self._office = Office(self._ask, now=datetime.now(UTC).replace(microsecond=0))
        self._card_page = self._pending = ""

    # telling

    def _text(self, text: str, facts: Mapping[str, object]) -> str:
        return translation(self._language).gettext(text).format(**facts) if text else ""

    def say(self, text: str, **facts: object) -> None:
        """A line of the transcript."""
        click.echo(("  " + self._text(text, facts)).rstrip())

    def _heading(self, text: str, **facts: object) -> None:
        self._sections += 1
        click.echo()
        click.secho(f"{self._sections}. {self._text(text, facts)}", bold=True)

    def _row(self, name: str, value: str) -> None:
        click.echo(f"  {self._text(name, {}) + ' ':.<28} {value}")

    def _claim(self, text: str, found: object, expected: object, **facts: object) -> None:
        """Say it if it is so. Raises NotAsExpected."""
        told = self._text(text, facts)
        if found != expected:
            raise NotAsExpected(claim=told, expected=expected, found=found)
        self._claims += 1
        click.echo(f"  ✓ {told}")

    # asking

    def _patrouille(self, *arguments: str, succeeds: bool = True) -> str:
        """Run a command of the service's; what a script would want of it."""
        command = python("enforcement_api", *arguments, "--data-dir", str(self._folder))
        return finish(command, env=self._env, succeeds=succeeds).stdout.strip()

    def _ask(self, method: str, path: str, *, role: str = "admin", **options: Any) -> Any:
        headers = {
            "Authorization": f"Bearer {self._keys[role]}",
            "Accept-Language": self._language,
            **options.pop("headers", {}),
        }
        with httpx.Client(base_url=self.service.address, **LOOPBACK) as client:
            response = client.request(method, path, headers=headers, **options)
        if response.is_error:
            raise ServiceSaidNo(
                method=method, path=path, status=response.status_code, said=response.text[:500]
            )
        is_json = "json" in response.headers.get("content-type", "")
        return response.json() if is_json else response.content

    def _new_key(self, role: str, name: str, *more: str) -> None:
        self._keys[role] = self._patrouille(
            "keys", "create", "--role", role, "--name", name, *more
        )  # fmt: skip

    def _enrolment_code(self, name: str) -> str:
        asked = {"name": name, "sites": [SITE]}
        return str(self._ask("POST", "/v1/devices", json=asked)["enrolment_code"])

    # building

    def build(self) -> None:
        """The record, the service, the site, and the subscription system's file."""
        click.secho(self._text(N_("Patrouille, a demo"), {}), bold=True)
        self._heading(N_("The service"))
        self.provider.begin()
        self._patrouille("init")
        self._new_key("admin", "demo")
        self.say(N_("A new record was made in {folder}."), folder=self._folder)
        provider = self.provider.start()
        self.service.env |= self.provider.variables | {"PATROUILLE_CLERK_SECONDS": "1"}
        self.say(N_("The service listens at {address}"), address=self.service.start())
        self.say(N_("A payment provider for trials listens at {address}"), address=provider)
        site = self._city.site
        kept = self._ask("PUT", f"/v1/sites/{SITE}", json=site)
        self._ask("PUT", f"/v1/sites/{SITE}", json=city.with_amounts(kept))
        for id, patroller in self._city.patrollers.items():
            self._ask("PUT", f"/v1/sites/{SITE}/patrollers/{id}", json=patroller)
        for id, entry in self._city.hotlist.items():
            self._ask("PUT", f"/v1/sites/{SITE}/hotlist/{id}", json=entry)
        self._ask("PUT", f"/v1/sites/{SITE}/patrol-settings", json=city.PATROL_SETTINGS)
        message = f"/v1/sites/{SITE}/messages/{uuid.uuid4()}"
        self._ask("PUT", message, json={"text": city.MESSAGE})
        self._new_key("feeder", "demo", "--site", SITE, "--source", city.SOURCE)
        self._new_key("reader", "demo", "--site", SITE)
        self.say(
            N_("Site {site} - {name}: {zones} zones, {lots} lots, {patrollers} patrollers."),
            site=SITE,
            name=site["name"],
            zones=len(site["zones"]),
            lots=len(site["lots"]),
            patrollers=len(self._city.patrollers),
        )
        for person in self._staff.values():
            made = ("staff", "create", person.email, "--name", person.name, *person.options)
            link = self._patrouille(*made, "--server", self.service.address)
            self._claim(
                N_("{name} chooses a password for the console by a link that opens once."),
                (console.choose_password(link), console.choose_password(link)),
                (True, False),
                name=person.name,
            )
        self._heading(N_("The subscription system"))
        self._import(self._city.subscriptions, "abonnements.csv")
        pushed = self._ask(
            "POST",
            "/v1/plate-updates",
            role="feeder",
            content=city.ndjson(self._city.changes).encode(),
            headers={"Content-Type": "application/x-ndjson"},
        )
        self._claim(
            N_("POST /v1/plate-updates: {n} changes of the last hour, among them a new vehicle."),
            (pushed["applied"], pushed["rejected"]),
            (len(self._city.changes), []),
            n=len(self._city.changes),
        )

        self._heading(N_("The subscription office"))
        self._subscribe()

    def _subscribe(self) -> None:
        """What people ask the office for, what is decided, and what comes of it."""
        does, words = self._office, Words(self._language, city.TIME_ZONE.key)
        does.open()
        episodic = office.PRODUCTS[office.EPISODIC]
        self.say(
            N_("{n} products, such as {code} - {name}: {price} a month."),
            n=len(office.PRODUCTS),
            code=office.EPISODIC,
            name=episodic["name"][self._language],
            price=words.money(episodic["price_cents"]),
        )
        answers = {"school": "Université de Sherbrooke", "field": "Soins infirmiers"}
        proof = pictures.letter(["Université de Sherbrooke", "Stage en soins infirmiers"])
        asked = does.ask_for(office.JOHN, office.EPISODIC, proof=proof, answers=answers)
        its = does.subscription(asked)
        self._claim(
            N_("{name} asks for it for {plate}, with a proof: the request awaits approval."),
            (its["status"], len(its["requests"][0]["attachments"])),
            ("requested", 1),
            name=" ".join(office.JOHN.name),
            plate=city.SUPERVISOR_PLATE,
        )
        page = give_card(does.card_page(asked, language=self._language))
        its = does.subscription(asked)
        self._claim(
            N_("A card is typed on the provider's page; the service knows {brand} {last4} of it."),
            (its["payment"]["is_complete"], words.say(N_("Your card is saved")) in page),
            (True, True),
            brand=its["payment"]["card_brand"],
            last4=its["payment"]["card_last4"],
        )
        self._claim(N_("Nothing is charged before the approval."), does.payments(asked), [])
        does.decide(asked, "approve")
        its = does.subscription(asked)
        usable_from = codec.parse_instant(its["vehicles"][0]["usable_from"])
        self._claim(
            N_("Approved, contract {number}: {plate} may park from {moment}, 24 hours later."),
            (its["status"], usable_from - codec.parse_instant(its["decided_at"])),
            ("waiting", timedelta(hours=24)),
            number=its["number"],
            plate=city.SUPERVISOR_PLATE,
            moment=words.moment(usable_from),
        )
        self._others_subscribe(answers)
        granted = does.grant_courtesy(days=3)
        seen = self._ask("GET", f"/v1/sites/{SITE}/check", role="reader",
                         params={"plate": city.COURTESY_PLATE, "zone": city.ZONE})  # fmt: skip
        self._claim(
            N_("Courtesy permit {number}: {plate} may park at once, until {moment}."),
            (seen["verdict"], seen["permits"][0]["permit_number"]),
            ("valid", granted["number"]),
            number=granted["number"],
            plate=city.COURTESY_PLATE,
            moment=words.moment(granted["expires_at"]),
        )
        (first,) = does.charged(asked)
        self._claim(
            N_("The card is charged once, after the approval: {price}; nothing is owed."),
            (first["state"], does.subscription(asked)["balance_cents"]),
            ("paid", 0),
            price=words.money(first["amount_cents"]),
        )
        letters = does.letters()
        self._claim(
            N_("The demo has no mail server: {n} letters wait until there is one."),
            set(letters),
            {"queued"},
            n=len(letters),
        )

    def _others_subscribe(self, answers: Mapping[str, str]) -> None:
        does = self._office
        starts_later = does.ask_for(office.EMILE, office.FULL_TIME, starts_in=30)
        give_card(does.card_page(starts_later, language="fr"))
        does.decide(starts_later, "approve")
        does.decide(does.ask_for(office.MARK, office.VOLUNTEER), "approve")
        refused = does.ask_for(office.FATOU, office.FULL_TIME)
        does.decide(refused, "refuse", reason="Ce permis est réservé au personnel à temps plein.")
        proof = pictures.letter(["Cégep de Sherbrooke", "Stage en inhalothérapie"])
        self._pending = does.ask_for(office.SYLVIE, office.EPISODIC, proof=proof, answers=answers)
        self._card_page = does.card_page(self._pending, language=self._language)
        asked = {"site": SITE, "state": "submitted"}
        pending = self._ask("GET", "/v1/requests", params=asked)["items"]
        self._claim(
            N_("{n} more: two approved, one refused with a reason, {name}'s awaits a decision."),
            [request["id"] for request in pending],
            [self._pending],
            n=len(office.PEOPLE) - 1,
            name=" ".join(office.SYLVIE.name),
        )

    def _import(self, updates: Sequence[city.Update], name: str) -> None:
        path = self._written(updates, name)
        totals = json.loads(self._patrouille("import", str(path), "--source", city.SOURCE))
        self._claim(
            N_("patrouille import {file}: {n} applied, none refused."),
            (totals["applied"], totals["rejected"]),
            (len(updates), 0),
            file=name,
            n=len(updates),
        )

    def _written(self, updates: Sequence[city.Update], name: str) -> Path:
        folder = self._folder / "subscriptions"
        folder.mkdir(exist_ok=True)
        city.write_csv(folder / name, updates)
        return folder / name

    # in a window

    def can_open_window(self) -> bool:
        """Whether the handheld can open its window here; if not, it is told why."""
        command = python("handheld_app", "--check-display", "--lang", self._language)
        asked = finish(command, env=self._env, succeeds=False)
        if asked.returncode == 0:
            return True
        self.say("")
        self.say("{reason}", reason=asked.stderr.strip())
        self.say(N_("The handheld patrols without a window."))
        return False

    def open_window(self) -> int:
        """Open the handheld and wait until it is closed, or Ctrl-C; the exit code."""
        for car in CARS:
            pictures.draw(self._folder / "pictures", car.plate)
        address = self.service.address
        code, another = self._enrolment_code("demo"), self._enrolment_code("demo 2")
        self._heading(N_("Addresses and keys"))
        self._row(N_("Service"), address)
        self._row(N_("Console"), f"{address}{console.ROOT}")
        for person in self._staff.values():
            login = {"email": person.email, "password": console.PASSWORD, "name": person.name}
            told = self._text(N_("{email}, password “{password}” ({name})"), login)
            self._row(N_("At the console"), told)
        self._row(N_("Documentation"), f"{address}/docs")
        self._row(N_("Payment provider"), self.provider.address)
        for role, key in self._keys.items():
            self._row({"admin": N_("Key of the administrator"), "feeder": N_("Key of the feeder"),
                       "reader": N_("Key of the reader")}[role], key)  # fmt: skip
        for patroller in self._city.patrollers.values():
            facts = N_("badge {badge}, PIN {pin}, {name}")
            self._row(N_("Patroller"), self._text(facts, patroller))
        self._row(N_("Enrolment code"), self._text(N_("{code}, within 10 minutes"),
                                                   {"code": another}))  # fmt: skip
        self._row(N_("A second handheld"), shlex.join([
            *_this_program(), "handheld", "--server", address, "--enrol", another,
            "--data-dir", str(self._folder / "handheld" / "second"),
        ]))  # fmt: skip
        self._row(N_("Log of infractions"), shlex.join([
            "curl", "-H", f"Authorization: Bearer {self._keys['reader']}",
            f"{address}/v1/infractions?site={SITE}",
        ]))  # fmt: skip
        self._row(N_("Requests to decide"), shlex.join([
            "curl", "-H", f"Authorization: Bearer {self._keys['admin']}",
            f"{address}/v1/requests?site={SITE}&state=submitted",
        ]))  # fmt: skip
        self._row(N_("A page for their card"), self._text(N_("{page} (card {card}, 05/31)"), {
            "page": self._card_page, "card": office.CARD,
        }))  # fmt: skip
        decision = {"id": str(uuid.uuid4()), "decision": "approve"}
        self._row(N_("To approve it then"), shlex.join([
            "curl", "-H", f"Authorization: Bearer {self._keys['admin']}", "-H", "If-Match: *",
            "--json", json.dumps(decision), f"{address}/v1/requests/{self._pending}/decision",
        ]))  # fmt: skip
        self._heading(N_("Plates to try"))
        names = {zone["code"]: zone["name"][self._language] for zone in self._city.site["zones"]}
        for car in CARS:
            word = self._text(WORDS[car.verdict], {})
            story = self._text(car.story, {})
            told = f"{car.plate} ({car.jurisdiction})"
            click.echo(f"  {told:<20} {names[car.zone]:<18} {word:<15} {story}")
        late = self._written(self._city.late, "retard.csv")
        self.say(N_("Bring in the approval of {plate} while the handheld looks on:"),
                 plate=city.LATE_PLATE)  # fmt: skip
        click.echo("    " + shlex.join(
            [*_this_program(), "import", str(late), "--source", city.SOURCE,
             "--data-dir", str(self._folder)]
        ))  # fmt: skip
        self._heading(N_("The handheld"))
        self.say(
            N_(
                "It opens in a window and enrols by itself. Choose a zone, and sign in with badge "
                "{badge} and PIN {pin}."
            ),
            badge=BADGE,
            pin=PIN,
        )
        self.say(N_("Close the window, or press Ctrl-C here, to end the demo."))
        command = python(
            *("handheld_app", "--server", address, "--enrol", code),
            *("--data-dir", str(self._folder), "--lang", self._language),
            *("--pictures", str(self._folder / "pictures")),
        )
        log = self._folder / "handheld.log"
        with open(log, "w", encoding="utf-8") as said:
            # A session of its own: Ctrl-C is for the demo, which then ends the handheld.
            window = subprocess.Popen(
                command, env=self._env, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                text=True, start_new_session=True,
            )  # fmt: skip
            try:
                code_of_window = window.wait()
            except KeyboardInterrupt:
                self.say("")
                self.say(N_("The demo ends."))
                return 0
            finally:
                end(window, "handheld_app")
        if code_of_window != 0:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise ProcessFailed(
                command="python -m handheld_app", code=code_of_window, said=" / ".join(lines[-3:])
            )
        self.say(N_("The window was closed; the demo ends."))
        return 0

    # without a window

    def patrol(self) -> None:
        """The scripted patrol, before, during and after an outage of the service."""
        self._heading(N_("A handheld learns the site"))
        enrolment = {"server": self.service.address, "code": self._enrolment_code("demo")}
        checks: list[dict[str, Any]] = [self._check(car) for car in CARS]
        self._hand(
            [{"do": "enrol", **enrolment}, {"do": "sync"}, _place()],
        )
        self._heading(N_("Checks on the handheld, every verdict"))
        self._hand(checks)
        self._compare_with_the_service()
        self._heading(N_("The service is stopped"))
        self._claim(
            N_("SIGTERM: the service ended by itself, with exit code 0."), self.service.stop(), 0
        )
        self._claim(N_("Nothing listens at its address any more."), self._answers(), False)
        self._heading(N_("The patrol goes on without the service"))
        offline = (city.OLD_PLATE, city.NEW_PLATE, "KTM 418")
        recorded = self._hand(
            [
                {"do": "find_no_service"},
                {"do": "sign_in", **_who()},
                *(self._check(car) for car in CARS if car.plate in offline),
                *(self._recording(plate) for plate in _CODES),
                {"do": "find_no_service", "infractions": 2, "photos": 4},
            ],
        )
        self._heading(N_("Meanwhile an approval of two days ago comes in"))
        self._import(self._city.late, "retard.csv")
        self._heading(N_("The service is back"))
        self.say(N_("The service listens at {address}"), address=self.service.start())
        rechecks = {
            _normal(city.EXPIRED_PLATE): "expired",
            _normal(city.LATE_PLATE): "valid",
        }
        late = Car(city.LATE_PLATE, "valid", N_("the handheld, too, knows the late permit now"))
        self._hand(
            [
                {"do": "sync"},
                {"do": "show_receipts", "verdicts": rechecks},
                self._check(late),
                {"do": "send_again"},
            ],
        )
        self._heading(N_("The supervisor's log"))
        self._read_the_log(recorded, rechecks)
        supervisor = self._staff["supervisor"]
        waiting = console.queue(self.service.address, supervisor.email, SITE)
        asked = {"site": SITE, "differs": "true"}
        found = self._ask("GET", "/v1/infractions", role="reader", params=asked)["items"]
        differing = [infraction["id"] for infraction in found]
        self._claim(
            N_("{name} signs in at the console: what the re-check contradicts comes first."),
            sorted(waiting[: len(differing)]),
            sorted(differing),
            name=supervisor.name,
        )
        blocks = self._ask("GET", f"/v1/sites/{SITE}/number-blocks", role="reader")["items"]
        self._claim(
            N_("GET /v1/sites/{site}/number-blocks: {issued} numbers issued, {unused} unused."),
            [(block["issued"], block["spoiled"]) for block in blocks],
            [(len(recorded), 0)],
            site=SITE,
            issued=len(recorded),
            unused=sum(block["unused"] for block in blocks),
        )
        digests = json.loads(self._patrouille("digest", "--site", SITE))
        self._claim(
            N_("patrouille digest: index and record agree."),
            digests["index"]["sum"] == digests["record"]["sum"],
            True,
        )
        self.say("")
        self.say(
            N_("All is as it should be: {verdicts} verdicts, {n} claims, {seconds} seconds."),
            verdicts=len({car.verdict for car in CARS}),
            n=self._claims + len(checks),
            seconds=round(time.monotonic() - self._began),
        )

    def _hand(self, steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Give the handheld a script; what it has recorded by then. Raises HandheldFailed."""
        report = self._folder / "handheld" / "report.json"
        command = python(
            *("handheld_app.scripted_patrol", "--data-dir", str(self._folder)),
            *("--lang", self._language, "--report", str(report)),
        )
        sys.stdout.flush()
        done = subprocess.run(
            command,
            # It writes to where this writes.
            env=self._env | {"PYTHONIOENCODING": f"{sys.stdout.encoding or 'utf-8'}:replace"},
            input=json.dumps(steps),  # ASCII, whatever the encodings are
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise HandheldFailed
        recorded: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))
        return recorded

    def _check(self, car: Car) -> dict[str, Any]:
        return {
            "do": "check",
            "plate": car.plate,
            "jurisdiction": car.jurisdiction,
            "verdict": car.verdict,
            "story": self._text(car.story, {}),
            "compare": list(car.compare),
            "zone": car.zone,
        }

    def _recording(self, plate: str) -> dict[str, Any]:
        car = next(car for car in CARS if car.plate == plate)
        drawn = pictures.draw(self._folder / "pictures", plate)
        return {
            "do": "record",
            "plate": plate,
            "jurisdiction": car.jurisdiction,
            "verdict": car.verdict,
            "code": _CODES[plate],
            "pictures": [str(path) for path in drawn],
            "note": "Pare-brise déneigé, aucune vignette.",
        }

    def _compare_with_the_service(self) -> None:
        said = []
        for car in CARS:
            asked = {"plate": car.plate, "jurisdiction": car.jurisdiction, "zone": car.zone}
            answer = self._ask("GET", f"/v1/sites/{SITE}/check", role="reader", params=asked)
            said.append(answer["verdict"])
        self._claim(
            N_("The service, asked over HTTP, gives the same {n} answers."),
            said,
            [car.verdict for car in CARS],
            n=len(CARS),
        )

    def _answers(self) -> bool:
        try:
            httpx.get(f"{self.service.address}/health/live", **LOOPBACK)
        except httpx.TransportError:
            return False
        return True

    def _read_the_log(
        self, recorded: Sequence[Mapping[str, Any]], rechecks: Mapping[str, str]
    ) -> None:
        asked = {"site": SITE, "sort": "observed_at"}
        items = self._ask("GET", "/v1/infractions", role="reader", params=asked)["items"]
        self._claim(
            N_("GET /v1/infractions: {n} infractions, each of them once."),
            [item["id"] for item in items],
            [infraction["id"] for infraction in recorded],
            n=len(recorded),
        )
        for item, infraction in zip(items, recorded, strict=True):
            self._claim(
                N_("{plate}: No. {number}, code {code}, nothing to flag, complete."),
                (item["number"], item["codes"], item["warnings"], item["complete"]),
                (infraction["number"], [_code_of(item["plate"])], [], True),
                plate=item["plate"],
                number=item["number"],
                code=_code_of(item["plate"]),
            )
            photos = infraction["photos"]
            fetched = [
                hashlib.sha256(self._ask("GET", f"/v1/photos/{sha256}", role="reader")).hexdigest()
                for sha256 in photos
            ]
            self._claim(
                N_("{plate}: {n} photos; fetched again, they hash as when they were taken."),
                fetched,
                photos,
                plate=item["plate"],
                n=len(photos),
            )
            given, now = item["verdict"], rechecks[item["plate"]]
            self._claim(
                N_("{plate}: given {given}, re-checked {now}: differs, to be looked at first.")
                if given != now
                else N_("{plate}: given {given}, re-checked {now}: agrees."),
                (item["recheck"]["verdict"], item["recheck"]["differs"]),
                (now, given != now),
                plate=item["plate"],
                given=self._text(WORDS[given], {}),
                now=self._text(WORDS[now], {}),
            )  # fmt: skip
        asked["differs"] = "true"
        items = self._ask("GET", "/v1/infractions", role="reader", params=asked)["items"]
        differing = [plate for plate, now in rechecks.items() if now == "valid"]
        self._claim(
            N_("GET /v1/infractions?differs=true: {plates} alone."),
            [item["plate"] for item in items],
            differing,
            plates=", ".join(differing),
        )


class HandheldFailed(DemoFailed):
    """The handheld's script was not done; it has said why itself."""

    detail = N_("The handheld did not do what the script expects: see above.")


def _this_program() -> list[str]:
    """How to start this very program from the same folder: as it was started."""
    started = Path(sys.argv[0])
    if started.name != "__main__.py":
        return [str(started)]
    return [sys.executable, "-m", "enforcement_api"]


def _place() -> dict[str, Any]:
    return {"do": "place", "zone": city.ZONE, **_who()}


def _who() -> dict[str, Any]:
    """The patroller of the demo, as they sign in."""
    return {"badge": BADGE, "pin": PIN}


def _normal(plate: str) -> str:
    return plate.replace(" ", "")


def _code_of(plate: str) -> str:
    return next(code for typed, code in _CODES.items() if _normal(typed) == plate)
