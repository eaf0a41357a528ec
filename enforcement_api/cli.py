"""The command line (CONTRACT, "Command line").

Human messages go to stderr in the language of the environment (French unless it is English);
what a script would want goes to stdout. Heavy imports wait until a command needs them, so that
`patrouille handheld` works where the service is not installed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from enforcement_api.permits.intake import Rejection, Taken
    from enforcement_api.permits.reconciling import Lines, Reconciled
    from enforcement_api.permits.updates import Line
    from enforcement_api.problems import Problem
    from enforcement_api.security import Principal
    from enforcement_api.settings import Settings


def N_(text: str) -> str:
    """Mark a text for translation."""
    return text


def utc_now() -> datetime:
    """The time; a command is a composition root."""
    return datetime.now(UTC)


def language() -> str:
    """The language of the environment."""
    from sync import languages

    return languages.language(os.environ)


def say(text: str, **facts: object) -> None:
    """A human message, on stderr."""
    from enforcement_api.problems import translation

    click.echo(translation(language()).gettext(text).format(**facts), err=True)


def sentence(problem: Problem) -> str:
    """A problem as a command tells it: options and columns instead of pointers into a request."""
    from enforcement_api.folders import FolderUnusable
    from enforcement_api.problems import StorageFailed

    if isinstance(problem, StorageFailed):
        problem = FolderUnusable(folder=problem.facts["where"], reason=problem.facts["reason"])
    errors = problem.as_json(language()).get("errors")
    if not errors:
        return problem.text(language())
    return "; ".join(f"{_named(error['pointer'])}: {error['detail']}" for error in errors)


def _named(pointer: str) -> str:
    """`/query/at` is the option `--at`, `/query/plate` the argument, `/zones` the column."""
    name = pointer.removeprefix("/query/")
    if name == pointer:
        return pointer.removeprefix("/")
    return "PLATE" if name == "plate" else _option(name)


def _option(name: str) -> str:
    """The option that gives a command this argument."""
    return "--" + name.replace("_", "-")


def fail(problem: Problem) -> NoReturn:
    """End with the problem's sentence."""
    click.echo(sentence(problem), err=True)
    sys.exit(1)


class _Group(click.Group):
    """Turns a missing installation of the service, and every problem, into a sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] in ("enforcement_api", "sync"):
                raise
            click.echo(
                f"Le service n'est pas installé ici ({error.name} manque). /"
                f" The service is not installed here ({error.name} is missing):"
                ' pip install ".[service]"',
                err=True,
            )
            sys.exit(1)
        except Exception as error:
            from enforcement_api.problems import Problem

            if isinstance(error, Problem):
                fail(error)
            raise


def _settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--data-dir`, and hand it the settings."""

    @click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="Dossier des données / data directory ($PATROUILLE_DATA_DIR, ./var).",
    )
    @wraps(command)
    def wrapped(data_dir: Path | None, **arguments: Any) -> Any:
        from enforcement_api.settings import Settings, UnusableSetting

        try:
            settings = Settings.load(data_dir)
        except UnusableSetting as error:
            say(error.sentence, variable=error.variable, value=error.value)
            sys.exit(1)
        return command(settings=settings, **arguments)

    return wrapped


def _record(settings: Settings) -> Any:
    """The record, to be written to; a new one where there is none."""
    from enforcement_api.database.engine import Record
    from enforcement_api.operations.using import using

    _prepare_folder(settings)
    record = Record(settings.database_url)
    click.get_current_context().with_resource(using(record, settings))
    if record.revision() is None:
        record.migrate()
        say(N_("A new record was made: {where}"), where=record.where)
    record.check_ready()
    return record


def _existing_record(settings: Settings) -> Any:
    """The record, to be read. Raises NoRecord."""
    from enforcement_api.database.engine import Record
    from enforcement_api.folders import NoRecord
    from enforcement_api.operations.using import using

    record = Record(settings.database_url)
    click.get_current_context().with_resource(using(record, settings))
    if record.is_missing:
        raise NoRecord(where=record.where)
    record.check_ready()
    return record


def _prepare_folder(settings: Settings) -> None:
    from enforcement_api.database.engine import check_writable

    check_writable(settings.data_dir)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="patrouille")
def main() -> None:
    """Patrouille: ce véhicule peut-il être ici? / may this vehicle be here?"""
    os.umask(0o077)  # the record, the photos and the index are for their owner alone


@main.command(short_help="créer ou migrer le registre / create or migrate the record")
@_settings
def init(settings: Settings) -> None:
    """Create or migrate the record; safe to repeat."""
    from enforcement_api.database.engine import Record
    from enforcement_api.operations.using import using

    _prepare_folder(settings)
    record = Record(settings.database_url)
    click.get_current_context().with_resource(using(record, settings))
    before, after = record.migrate()
    if before is None:
        say(N_("A new record was made: {where}"), where=record.where)
    elif before != after:
        say(N_("The record was migrated from {before} to {after}."), before=before, after=after)
    else:
        say(N_("The record is up to date ({after}): nothing to do."), after=after)


@main.command(short_help="servir / serve")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--tls-cert", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--tls-key", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--tls-ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Autorité privée que les terminaux épinglent / private authority that handhelds pin"
    " ($PATROUILLE_AUTHORITY).",
)
@_settings
def serve(
    settings: Settings,
    host: str,
    port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_ca: Path | None,
) -> None:
    """Serve until SIGTERM."""
    if (tls_cert is None) != (tls_key is None):
        say(N_("--tls-cert and --tls-key go together."))
        sys.exit(2)
    from enforcement_api import serving

    if tls_ca is not None:
        settings = replace(settings, authority=tls_ca)
    _record(settings).close()
    failure = serving.serve(settings, host=host, port=port, tls_cert=tls_cert, tls_key=tls_key)
    if failure is not None:
        click.echo(failure.text(language()), err=True)
        sys.exit(1)


@main.group(short_help="clés d'accès / access keys")
def keys() -> None:
    """Create, list and revoke keys."""


@keys.command("create", short_help="créer / create")
@click.option("--role", required=True, type=click.Choice(["admin", "feeder", "reader"]))
@click.option("--name", required=True)
@click.option("--source", help="Source des permis / source of permits (--name).")
@click.option("--site", "sites", multiple=True, help="Tous si omis / all if left out.")
@_settings
def keys_create(
    settings: Settings, role: str, name: str, source: str | None, sites: Sequence[str]
) -> None:
    """Create a key; print it, this once, on stdout."""
    from enforcement_api.staff import keys as staff_keys

    record = _record(settings)
    secret = record.write(
        lambda tx: staff_keys.create(
            tx, role=role, name=name, source=source, sites=list(sites) or None, at=utc_now()
        )
    )
    say(N_("Keep this key: it is shown only once."))
    click.echo(secret)


@keys.command("list", short_help="lister / list")
@_settings
def keys_list(settings: Settings) -> None:
    """List keys: id, role, name, source, sites, created, revoked; tab-separated on stdout."""
    from enforcement_api.staff import keys as staff_keys
    from sync import codec

    record = _existing_record(settings)
    for key in record.read(staff_keys.all_keys):
        click.echo(
            "\t".join(
                [
                    key.id,
                    key.role,
                    key.name,
                    key.source,
                    "*" if key.sites is None else " ".join(key.sites),
                    codec.instant(key.created_at),
                    codec.optional_instant(key.revoked_at) or "-",
                ]
            )
        )


@keys.command("revoke", short_help="révoquer / revoke")
@click.argument("id")
@_settings
def keys_revoke(settings: Settings, id: str) -> None:
    """Revoke a key; in force when this returns."""
    import time

    from enforcement_api.staff import keys as staff_keys

    record = _existing_record(settings)
    record.write(lambda tx: staff_keys.revoke(tx, id, at=utc_now()))
    # A serving process believes a key for a moment: wait it out, so that "revoked" is true.
    time.sleep(settings.key_cache_seconds)
    say(N_("The key {id} is revoked."), id=id)


# Staff


@main.group(short_help="comptes du personnel / staff accounts")
def staff() -> None:
    """Let people in at the console, and out."""


_SERVER = click.option("--server", help="https://patrouille.example.org ($PATROUILLE_PUBLIC_URL)")


def _password_link(settings: Settings, secret: str, server: str | None) -> None:
    """The link that sets a password, on stdout."""
    from enforcement_api.staff.core import PASSWORD_PATH

    server = server or settings.public_url
    if not server:
        server = "http://127.0.0.1:8000"
        say(N_("The address of the service is not known: give it with --server."))
    say(N_("Hand this link over: it sets the password, once."))
    click.echo(f"{server.rstrip('/')}{PASSWORD_PATH}/{secret}")


@staff.command("create", short_help="créer / create")
@click.argument("email")
@click.option("--role", required=True, type=click.Choice(["supervisor", "administrator"]))
@click.option("--name", help="Nom / name (EMAIL).")
@click.option("--site", "sites", multiple=True, help="Tous si omis / all if left out.")
@click.option("--badge", help="Matricule, si la personne patrouille aussi / if they patrol too.")
@click.option("--sees-subscribers", is_flag=True, help="Lit les abonnés / reads subscribers.")
@_SERVER
@_settings
def staff_create(
    settings: Settings,
    email: str,
    role: str,
    name: str | None,
    sites: Sequence[str],
    badge: str | None,
    sees_subscribers: bool,
    server: str | None,
) -> None:
    """Create an account; print the one-time link that sets its password on stdout."""
    from enforcement_api.staff import store

    record = _record(settings)
    _, secret = record.write(
        lambda tx: store.create(
            tx,
            email=email,
            role=role,
            name=name,
            sites=list(sites) or None,
            badge=badge,
            sees_subscribers=sees_subscribers,
            language=language(),
            at=utc_now(),
        )
    )
    _password_link(settings, secret, server)


@staff.command("list", short_help="lister / list")
@_settings
def staff_list(settings: Settings) -> None:
    """List accounts: address, role, name, sites, created, revoked; tab-separated on stdout."""
    from enforcement_api.staff import store
    from sync import codec

    record = _existing_record(settings)
    for one in record.read(store.all_accounts):
        row = [
            one.email,
            one.role,
            one.name,
            "*" if one.sites is None else " ".join(one.sites),
            codec.instant(one.created_at),
            codec.optional_instant(one.revoked_at) or "-",
        ]
        click.echo("\t".join(row))


@staff.command("link", short_help="nouveau mot de passe / new password")
@click.argument("email")
@_SERVER
@_settings
def staff_link(settings: Settings, email: str, server: str | None) -> None:
    """Print a link that sets a new password on stdout; good for an hour."""
    from enforcement_api.staff import store
    from enforcement_api.staff.core import UnknownAccount

    record = _record(settings)

    def work(tx: Any) -> str:
        found = store.account_of(tx, email)
        if found is None:
            raise UnknownAccount
        return store.give_link(tx, found[0], "reset", by="command", at=utc_now())

    _password_link(settings, record.write(work), server)


@staff.command("revoke", short_help="révoquer / revoke")
@click.argument("email")
@_settings
def staff_revoke(settings: Settings, email: str) -> None:
    """Let somebody in no more; every session of theirs ends."""
    from enforcement_api.staff import store
    from enforcement_api.staff.core import UnknownAccount

    record = _existing_record(settings)

    def work(tx: Any) -> None:
        found = store.account_of(tx, email)
        if found is None:
            raise UnknownAccount
        store.revoke(tx, found[0], by="command", at=utc_now())

    record.write(work)
    say(N_("{email} is not let in any more."), email=email)


# Devices


@main.group(short_help="terminaux / handhelds")
def devices() -> None:
    """Enrol, list and revoke handhelds."""


def _enrolment(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of what shows an enrolment code."""
    options = (
        click.option("--server", help="https://patrouille.example.org ($PATROUILLE_PUBLIC_URL)"),
        click.option(
            "--tls-ca",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Autorité privée du service / the service's private authority"
            " ($PATROUILLE_AUTHORITY).",
        ),
        click.option("--qr", is_flag=True, help="Code QR dans le terminal / QR code on screen."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _show_code(
    settings: Settings, code: str, *, server: str | None, tls_ca: Path | None, qr: bool
) -> None:
    """The code and, when the service's address is known, the link, on stdout."""
    from enforcement_api.devices.core import Authority, enrolment_link

    say(N_("The code is good once and for {minutes} minutes."), minutes=settings.enrolment_minutes)
    click.echo(code)
    server = server or settings.public_url
    if not server:
        say(N_("For a link to scan, say where handhelds reach the service: --server https://…"))
        return
    authority = tls_ca or settings.authority
    pin = None if authority is None else Authority.read(authority).pin
    link = enrolment_link(server, code, pin=pin)
    click.echo(link)
    if qr:
        import segno

        segno.make(link, micro=False).terminal(out=sys.stderr, compact=True)


@devices.command("enrol", short_help="créer et inscrire / create and enrol")
@click.argument("name")
@click.option("--site", "sites", multiple=True, required=True)
@_enrolment
@_settings
def devices_enrol(settings: Settings, name: str, sites: Sequence[str], **shown: Any) -> None:
    """Make a handheld; its enrolment code, and the link to scan, on stdout."""
    from datetime import timedelta

    from enforcement_api.devices import store
    from enforcement_api.shapes import line
    from enforcement_api.staff import keys as staff_keys

    try:
        name = line(name)
    except ValueError:
        say(N_("Give the handheld a name of 1 to 200 characters on one line."))
        sys.exit(1)
    record = _record(settings)
    at = utc_now()
    expires_at = at + timedelta(minutes=settings.enrolment_minutes)

    def make(tx: Any) -> str:
        known = staff_keys.known_sites(tx, sites)
        _, code = store.add(
            tx, name=name, sites=known, by="command", at=at, code_expires_at=expires_at
        )
        return code

    _show_code(settings, record.write(make), **shown)


@devices.command("code", short_help="nouveau code / fresh code")
@click.argument("id")
@_enrolment
@_settings
def devices_code(settings: Settings, id: str, **shown: Any) -> None:
    """Make a fresh code for a handheld that is known: it enrols again as the same one."""
    from datetime import timedelta

    from enforcement_api.devices import store

    record = _existing_record(settings)
    at = utc_now()
    expires_at = at + timedelta(minutes=settings.enrolment_minutes)
    code = record.write(
        lambda tx: store.renew_code(tx, id, by="command", at=at, code_expires_at=expires_at)
    )
    _show_code(settings, code, **shown)


@devices.command("list", short_help="lister / list")
@_settings
def devices_list(settings: Settings) -> None:
    """List handhelds: id, name, sites, last seen, plates held, unsent, revoked; tab-separated."""
    from enforcement_api.devices import store
    from sync import codec

    record = _existing_record(settings)
    for device in record.read(lambda tx: store.page(tx, among=None, after=None, limit=None)):
        told = (device.held_at_contact, device.unsent)
        click.echo(
            "\t".join(
                [
                    device.id,
                    device.name,
                    " ".join(device.sites),
                    codec.optional_instant(device.last_seen_at) or "-",
                    *("-" if number is None else str(number) for number in told),
                    codec.optional_instant(device.revoked_at) or "-",
                ]
            )
        )


@devices.command("revoke", short_help="révoquer / revoke")
@click.argument("id")
@_settings
def devices_revoke(settings: Settings, id: str) -> None:
    """Revoke a handheld, for good; in force when this returns."""
    import time

    from enforcement_api.devices import store

    record = _existing_record(settings)

    def revoke(tx: Any) -> None:
        store.device(tx, id)
        store.revoke(tx, id, by="command", at=utc_now())

    record.write(revoke)
    time.sleep(settings.key_cache_seconds)  # as with a key
    say(
        N_("The handheld {id} is revoked: it wipes its copy when it next hears of the service."),
        id=id,
    )


def _refusal(problem: Problem) -> str:
    """Why a line of a file was refused, to somebody who can correct the file."""
    from enforcement_api.permits.updates import UnreadableItem
    from enforcement_api.problems import translation

    show = translation(language()).gettext
    if isinstance(problem, UnreadableItem):
        return show(N_("it cannot be read: {reason}")).format(**problem.facts)
    told = sentence(problem)
    if any(error.pointer == "/site" for error in problem.errors):
        told += " " + show(N_("(--site names the site of lines that name none)"))
    return told


@main.command("import", short_help="importer des plaques / import plate updates")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--site", help="Site des lignes sans site / site of lines that name none.")
@click.option("--source", default="import", show_default=True)
@click.option(
    "--full",
    is_flag=True,
    help="FILE porte tous les permis de la source à --site : ceux qui y manquent sont annulés /"
    " FILE has all permits of the source at --site: those that it lacks are cancelled.",
)
@click.option(
    "--as-of",
    metavar="INSTANT",
    help="Avec --full : quand la liste a été dressée; par défaut, quand FILE a été modifié / with"
    " --full: when the list was drawn up; by default, when FILE was modified.",
)
@click.option(
    "--max-cancel",
    type=click.IntRange(0),
    help="Avec --full : permis qui peuvent être annulés, au-delà de 5 % / with --full: permits that"
    " may be cancelled, beyond 5%.",
)
@click.option(
    "--count",
    type=click.IntRange(0),
    help="Avec --full : nombre de permis du fichier, à vérifier / with --full: permits in the file,"
    " to be verified.",
)
@_settings
def import_(
    settings: Settings,
    file: Path,
    site: str | None,
    source: str,
    full: bool,
    as_of: str | None,
    **asked: int | None,
) -> None:
    """Import plate updates from CSV or NDJSON; exit 1 if a line was refused. With --full, make the
    source's permits at the site those of the file.
    """
    from enforcement_api.infractions import store as infractions
    from enforcement_api.permits import intake
    from enforcement_api.permits.files import read_file
    from enforcement_api.security import Principal
    from enforcement_api.staff.keys import OWN_SOURCE

    for name, value in ({"as_of": as_of} | asked).items():
        if value is not None and not full:
            say(N_("{option} goes with --full."), option=_option(name))
            sys.exit(2)
    if source.startswith(OWN_SOURCE):
        told = N_(
            "{source} is a source of the service itself: name the one of the file (--source)."
        )
        say(told, source=source)
        sys.exit(2)
    if full and site is None:
        say(N_("--full needs --site: the site of which the file has all permits."))
        sys.exit(2)
    drawn_up = _drawn_up(file, as_of) if full else None
    record = _record(settings)
    by = Principal(id="cli", role="admin", name="cli", source=source, sites=None)
    totals = {"applied": 0, "unchanged": 0, "stale": 0, "rejected": 0}

    def tell(rejection: Rejection) -> None:
        totals["rejected"] += 1
        say(
            N_("line {number} ({id}): {reason}"),
            number=rejection.index,
            id=rejection.id or "?",
            reason=_refusal(rejection.problem),
        )

    def count(taken: Taken) -> None:
        for name in ("applied", "unchanged", "stale"):
            totals[name] += getattr(taken, name)

    steps = file.stat().st_size * (2 if full else 1)  # a list of all permits is read twice
    with click.progressbar(length=steps, file=sys.stderr, label=file.name) as bar:

        def lines() -> Iterable[Line]:
            return read_file(file, site=site, progress=bar.update)

        if site is not None and drawn_up is not None:
            reconciled = _reconcile(
                record, site, file, lines, by=by, as_of=drawn_up, tell=tell, **asked
            )
            count(reconciled)
            totals |= {"cancelled": reconciled.cancelled, "held_back": reconciled.held_back}
        else:
            for taken in intake.take_lines(
                record,
                lines(),
                by=by,
                now=utc_now,
                at_once=intake.AT_ONCE,
                on_change=infractions.recheck_open,
            ):
                count(taken)
                for rejection in taken.rejected:
                    tell(rejection)
    told = N_("{applied} applied, {unchanged} unchanged, {stale} stale, {rejected} refused")
    say(told, **totals)
    if full:
        say(N_("{cancelled} cancelled: the file lacks them"), **totals)
    if totals.get("held_back"):
        say(
            N_(
                "{held_back} permits that the file lacks were not cancelled: each may be the one of"
                " a line whose id cannot be read. Correct those lines and import the file again."
            ),
            **totals,
        )
    click.echo(json.dumps(totals))
    if totals["rejected"]:
        sys.exit(1)


def _drawn_up(file: Path, as_of: str | None) -> datetime:
    """When a list of all permits was drawn up, as far as anybody says. Raises Invalid."""
    from enforcement_api.permits.checking import parse_instant
    from sync import codec

    if as_of is not None:
        return parse_instant(as_of, "as_of")
    modified = datetime.fromtimestamp(file.stat().st_mtime // 1, UTC)
    say(
        N_(
            "The list is taken as of {at}, when {file} was modified: what was recorded since then"
            " lives on. If it was drawn up earlier, say so with --as-of."
        ),
        at=codec.instant(modified),
        file=file,
    )
    return modified


def _reconcile(
    record: Any,
    site: str,
    file: Path,
    lines: Lines,
    *,
    by: Principal,
    as_of: datetime,
    max_cancel: int | None,
    count: int | None,
    tell: Callable[[Rejection], None],
) -> Reconciled:
    """Take a file as the list of all permits; a refusal says what to do at the command line."""
    from enforcement_api.infractions import store as infractions
    from enforcement_api.permits import intake, reconciling

    try:
        return reconciling.reconcile(
            record,
            site,
            lines,
            by=by,
            as_of=as_of,
            count=count,
            max_cancel=max_cancel or 0,
            now=utc_now(),
            at_once=intake.AT_ONCE,
            on_change=infractions.recheck_open,
            on_rejected=tell,
        )
    except reconciling.AnotherCount as problem:
        say(
            N_(
                "--count says {said} permits, but {file} has {found}. Nothing was done: export the"
                " list again, whole."
            ),
            file=file,
            **problem.facts,
        )
    except reconciling.ReconciliationTooLarge as problem:
        say(
            N_(
                "{cancelled} of the {live} live permits of {source} are not in {file}. Nothing was"
                " done. If that is right, run it again with --max-cancel {cancelled}."
            ),
            file=file,
            **problem.facts,
        )
    sys.exit(1)


@main.command(short_help="vérifier une plaque / check a plate")
@click.argument("plate")
@click.option("--site", required=True)
@click.option("--zone", required=True)
@click.option("--jurisdiction")
@click.option("--at", help="2026-11-23T15:15:00Z")
@click.option("--json", "as_json", is_flag=True)
@_settings
def check(
    settings: Settings,
    plate: str,
    site: str,
    zone: str,
    jurisdiction: str | None,
    at: str | None,
    as_json: bool,
) -> None:
    """Judge a plate; the verdict's code on stdout, what it means on stderr."""
    from enforcement_api.permits import checking

    record = _existing_record(settings)
    found = checking.from_record(
        record, site=site, zone=zone, plate=plate, jurisdiction=jurisdiction, at=at,
        now=utc_now(),
    )  # fmt: skip
    if as_json:
        click.echo(found.as_json())
        return
    click.echo(found.check.judgement.verdict)
    click.echo(found.sentence(language()), err=True)


@main.command(short_help="démonstration / demo")
@click.option("--headless", is_flag=True, help="Sans fenêtre / without a window.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Dossier de la démo / the demo's directory ($PATROUILLE_DATA_DIR/demo, ./var/demo).",
)
def demo(data_dir: Path | None, headless: bool) -> None:
    """Build a realistic demo in its own data directory, serve it, and patrol.

    Its record is always a file in that directory, whatever $PATROUILLE_DATABASE_URL says.
    """
    from enforcement_api import demo as demonstration
    from enforcement_api.settings import Settings

    settings = Settings.load(data_dir or Settings.load().data_dir / "demo", environment={})
    sys.exit(demonstration.run(settings, headless=headless, language=language()))


@main.command("local-provider", short_help="paiements d'essai / trial payments")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8010, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--service",
    default="http://127.0.0.1:8000",
    show_default=True,
    help="Adresse du service à aviser / the service that is told of events.",
)
@_settings
def local_provider(settings: Settings, host: str, port: int, service: str) -> None:
    """A payment provider for development and the demo, with its own pages; never for real money.

    It keeps its things in a folder of its own below the data directory. On stdout: the variables
    that the service needs. $PATROUILLE_PAYMENT_KEY and $PATROUILLE_PAYMENT_WEBHOOK_SECRET are
    used where they are set; otherwise it makes them once.
    """
    from enforcement_api.local_provider import app as provider

    def listening_at(address: str, known: provider.Secrets) -> None:
        say(
            N_(
                "The local payment provider is for trials only: no money is moved, and only test"
                " numbers are taken. The service uses it with the variables on stdout."
            )
        )
        for name, value in (
            ("PROVIDER", "local"),
            ("URL", address),
            ("KEY", known.key),
            ("WEBHOOK_SECRET", known.webhook),
        ):
            click.echo(f"PATROUILLE_PAYMENT_{name}={value}")
        sys.stdout.flush()

    provider.serve(
        settings.data_dir / "local-provider",
        host=host,
        port=port,
        service=service,
        key=settings.payment_key,
        webhook_secret=settings.payment_webhook_secret,
        now=utc_now,
        listening_at=listening_at,
    )


@main.command(
    short_help="le terminal du patrouilleur / the handheld",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def handheld(arguments: Sequence[str]) -> None:
    """Become the handheld: a signal to this process is one to its window."""
    os.execv(sys.executable, [sys.executable, "-m", "handheld_app", *arguments])


@main.command(short_help="comparer l'index au registre / compare index and record")
@click.option("--site", required=True)
@_settings
def digest(settings: Settings, site: str) -> None:
    """Recount the digests of the index and of the record; exit 1 if they differ."""
    from enforcement_api.feed import digests

    found = digests.compare(_existing_record(settings), settings, site=site, now=utc_now)
    click.echo(json.dumps(found.as_json()))
    if not found.agree:
        say(
            N_(
                "The index of site {site} differs from the record: stop the service, delete"
                " {folder}, start it again; it is made anew from the record."
            ),
            site=site,
            folder=settings.index_dir / site,
        )
        sys.exit(1)


@main.command(short_help="lancer la rétention / run the retention job")
@click.option("--site", required=True)
@click.option("--at", help="2026-11-23T15:15:00Z; maintenant si omis / now if left out")
@click.option("--future", is_flag=True, help="essais seulement / for trials only")
@_settings
def prune(settings: Settings, site: str, at: str | None, future: bool) -> None:
    """Remove from the feed what no longer counts; the service does it daily by itself."""
    from enforcement_api.app import Service
    from enforcement_api.permits.checking import parse_instant
    from enforcement_api.permits.intake import RetentionOutOfTime
    from enforcement_api.shapes import FIRST_YEAR

    now = utc_now()
    wanted = now if at is None else parse_instant(at)
    if wanted.year < FIRST_YEAR or (wanted > now and not future):
        raise RetentionOutOfTime(at=at)
    _existing_record(settings).close()
    service = Service(settings)
    try:
        removed = service.run_retention(site, at=wanted)
    finally:
        service.stop()
    say(
        N_("{removed} permits were removed from the feed of site {site}."),
        removed=removed,
        site=site,
    )
    click.echo(removed)


@main.command(short_help="effacer ce qui a assez servi / let go of what has served")
@click.option("--dry-run", is_flag=True, help="Compter seulement / count only.")
@_settings
def purge(settings: Settings, dry_run: bool) -> None:
    """Erase people, files, letters and look-ups whose time is over; the service does it daily by
    itself. How many of each, on stdout.
    """
    from enforcement_api.subscriptions import privacy

    record = _existing_record(settings)
    at = utc_now().replace(microsecond=0)
    done = privacy.purge(record, settings, at=at, does=not dry_run)
    what = N_("This would be erased:") if dry_run else N_("This was erased:")
    say(what)
    for count, told, days in (
        (done.holders, N_("{count} people, {days} days after their last subscription"), "holder"),
        (done.courtesies, N_("{count} courtesy permits, {days} days after their end"), "holder"),
        (done.proofs, N_("{count} proofs, {days} days after the decision"), "proof"),
        (done.message_files, N_("{count} files of messages, {days} days old"), "message_file"),
        (done.letters, N_("{count} letters, {days} days old"), "letter_kept"),
        (done.lookups, N_("{count} look-ups of valid plates, {days} days old"), "lookup"),
        (
            done.patrol_messages,
            N_("{count} messages to patrols, {days} days after they expired"),
            "patrol_message",
        ),
    ):
        say(told, count=count, days=getattr(settings, f"{days}_days"))
    say(N_("{count} links that confirmed no address in time"), count=done.links)
    say(N_("{count} files that were handed in with nothing"), count=done.untaken)
    click.echo(json.dumps(done.as_json()))


@main.command("backup", short_help="sauvegarder / back up")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_settings
def backup_(settings: Settings, file: Path) -> None:
    """Write the record, its photos and its attached files to one file, also while serving; a
    summary on stdout.
    """
    from enforcement_api.operations.backup import backup

    made = backup(_existing_record(settings), settings, file.absolute(), at=utc_now())
    if made.manifest.missing:
        say(
            N_("{count} photos are not on the disk, or are damaged: they are not in the backup."),
            count=len(made.manifest.missing),
        )
    if made.manifest.missing_attachments:
        say(
            N_(
                "{count} attached files are not on the disk, or are damaged: they are not in the"
                " backup."
            ),
            count=len(made.manifest.missing_attachments),
        )
    if made.manifest.sealed:
        say(
            N_(
                "{count} attached files are encrypted, and stay so. Their key is not in the backup:"
                " keep a copy of {file} elsewhere, apart from backups."
            ),
            count=made.manifest.sealed,
            file=settings.attachment_key_file,
        )
    say(N_("The backup is whole: {file}"), file=made.file)
    click.echo(json.dumps(made.as_json()))


@main.command("restore", short_help="restaurer / restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_settings
def restore_(settings: Settings, file: Path) -> None:
    """Put a backup in the place of the record; the service must be stopped."""
    from enforcement_api.database.engine import Record
    from enforcement_api.operations.restore import restore
    from sync import codec

    _prepare_folder(settings)
    at = utc_now()
    done = restore(Record(settings.database_url), settings, file.absolute(), at=at)
    since = done.manifest.made_at
    if done.manifest.sealed:
        say(
            N_(
                "{count} attached files are encrypted: see that {file} is the key that they were"
                " encrypted with. It is in no backup."
            ),
            count=done.manifest.sealed,
            file=settings.attachment_key_file,
        )
    if done.aside is not None:
        say(
            N_("The record that was replaced lies in {file}; delete it when nobody needs it."),
            file=done.aside,
        )
    say(
        N_(
            "Lost is what was done between {since} and {until}, but for what handhelds and feeders"
            " send again. Do again what is missing: keys, devices and patrollers that were new,"
            " settings of sites, the hotlist, decisions on infractions."
        ),
        since=since,
        until=codec.instant(at),
    )
    if done.carried_over:
        say(
            N_(
                "Keys and devices that were revoked since then stay so, patrollers who were removed"
                " stay out, and changed PINs hold: the record that was replaced told."
            )
        )
    else:
        say(
            N_(
                "Nothing could tell who was shut out since then: they are let in again. Before the"
                " service is reached from outside, revoke those keys and devices (`patrouille keys"
                " list`, `patrouille devices list`), remove those patrollers, and set the PINs that"
                " were changed."
            )
        )
    say(
        N_("The record is as of {at}. Start the service: handhelds send again what it lacks."),
        at=since,
    )
    numbers = {"series": done.series, "contracts": done.contracts}
    summary = {"epoch": done.epoch, **numbers, "as_of": since}
    if done.to_erase:
        say(
            N_(
                "{count} people were erased since the backup, and are back with it. Cancel what"
                " they have, and erase them again: {ids}"
            ),
            count=len(done.to_erase),
            ids=", ".join(done.to_erase),
        )
    summary["to_erase"] = list(done.to_erase)
    click.echo(json.dumps(summary | {"carried_over": done.carried_over}))


@main.group(short_help="journal infalsifiable / audit log")
def audit() -> None:
    """The append-only log of who did what."""


@audit.command("verify", short_help="vérifier / verify")
@click.option(
    "--head",
    "heads",
    multiple=True,
    metavar="CHAIN=NUMBER:HASH",
    help="Noté auparavant / noted earlier.",
)
@_settings
def audit_verify(settings: Settings, heads: Sequence[str]) -> None:
    """Walk every chain; its name (- for the installation's), length and head on stdout, in the form
    that --head takes. Exit 1 if one is broken.
    """
    from enforcement_api.audit import store
    from enforcement_api.audit.core import INSTALLATION, Head
    from enforcement_api.problems import translation

    noted: dict[str, list[Head]] = {}
    for text in heads:
        chain, _, head = text.rpartition("=")
        number, _, hash = head.partition(":")
        if not number.isdecimal() or len(hash) != 64:
            say(
                N_("{head} is no head: write CHAIN=NUMBER:HASH, as this command prints."), head=text
            )
            sys.exit(2)
        chain = INSTALLATION if chain == "-" else chain
        noted.setdefault(chain, []).append(Head(int(number), hash))
    broken = False
    for proof in _existing_record(settings).read(lambda tx: store.verify(tx, noted=noted)):
        name = "-" if proof.chain == INSTALLATION else proof.chain
        click.echo(f"{name}={proof.whole.number}:{proof.whole.hash}")
        if proof.reason is not None:
            broken = True
            reason = translation(language()).gettext(proof.reason).format(**proof.reason.facts)
            say(
                N_(
                    "The chain {chain} is broken at entry {number}: {reason}. Keep the record as it"
                    " is, compare it with a backup, and find out who could write to the database."
                ),
                chain=name,
                number=proof.broken_at,
                reason=reason,
            )
    if broken:
        sys.exit(1)
