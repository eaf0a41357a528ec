"""What every page of the console needs: who is signed in, forms that nobody forges, and answers.

A form carries a token that only the browser's session has, and its request must come from a page
of ours. When the session has ended meanwhile, what was typed comes back with the sign-in.
"""

from __future__ import annotations

import contextlib
import hmac
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from fastapi.concurrency import run_in_threadpool
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from enforcement_api.console.showing import Showing
from enforcement_api.database.engine import Record
from enforcement_api.problems import (
    N_,
    NotFound,
    Problem,
    TooLarge,
    preferred_language,
    problem_response,
    translation,
)
from enforcement_api.security import ForbiddenSite, Principal
from enforcement_api.settings import Settings
from enforcement_api.sites import store as sites
from enforcement_api.staff.core import Account, Session
from enforcement_api.staff.entrance import Entrance
from sync.entities import Site

ROOT = "/console"
SIGN_IN = f"{ROOT}/sign-in"
COOKIE = "patrouille_session"
LANGUAGE_COOKIE = "patrouille_language"
TOKEN = "token"
"""The field of a form that carries the session's token."""

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_FIELDS = 2_000
_LONGEST_KEPT = 20_000
_KEPT = "kept-"
_HIDDEN = {
    *("expected_state", "expected_reviews", "expected_version", "once", "next", "onward"),
    *("expected", "seen", "piece", "window", "packed", "agreement", "do", "id"),
    *("kind", "state"),
}
"""Fields that people did not type."""
_SAME_ORIGIN = {"same-origin", "none"}


class NotSignedIn(Problem):
    """Nobody is signed in, or not any more. `kept`: the fields that were typed, and for whom."""

    status = 401
    slug = "not-signed-in"
    title = N_("Sign in")
    detail = N_("You are not signed in, or were for too long.")

    def __init__(self, *, kept: Kept | None = None) -> None:
        super().__init__()
        self.kept = kept


class ForgedForm(Problem):
    """A form that did not come from a page of the console, or from an older session's. `kept`: the
    fields that were typed, if a page of ours was shown for them to whoever is signed in now.
    """

    status = 403
    slug = "forged-form"
    title = N_("This form is not from this session")
    detail = N_("Nothing was done. Go back, load the page again, and do it once more.")

    def __init__(self, *, kept: Kept | None = None) -> None:
        super().__init__()
        self.kept = kept


class AskedAhead(Problem):
    """A page whose opening is kept in somebody's name, before they open it."""

    status = 403
    slug = "asked-ahead"
    title = N_("This page is not fetched ahead")
    detail = N_("Open it yourself.")


class NotAllowed(Problem):
    """Something that this account may not do."""

    status = 403
    slug = "not-allowed"
    title = N_("Your account may not do that")
    detail = N_("Ask an administrator.")


class NotYourSite(ForbiddenSite):
    """Something of a site that the account does not have, or of such a site too."""

    title = N_("Your account does not have the site {site}")
    detail = N_("Ask somebody who has it, or an administrator, who has all sites.")


class FormTooLarge(TooLarge):
    """A form whose files, or words, are more than one may have."""

    title = N_("That is too large to be sent")
    detail = N_(
        "A form may have {limit} at most, with its files. Nothing was kept: go back, and choose a"
        " smaller file, or send less at once."
    )


class NoSuchPage(NotFound):
    """An address of the console that leads nowhere."""

    detail = N_("Go back, or to the first page of the console.")


@dataclass(frozen=True, slots=True)
class Kept:
    """A form that was not carried out, since its session had ended."""

    action: str
    account: str
    fields: tuple[tuple[str, str], ...]
    lost_files: bool = False

    def as_fields(self) -> Iterator[tuple[str, str]]:
        """The fields in which it waits while somebody signs in."""
        yield "kept_action", self.action
        yield "kept_account", self.account
        for name, value in self.fields:
            yield f"{_KEPT}{name}", value

    def told(self) -> Iterator[tuple[str, str]]:
        """What of it is shown: what was typed and chosen; of infractions, how many."""
        chosen = sum(name == "infraction" for name, _ in self.fields)
        if chosen:
            yield "infractions", str(chosen)
        for name, value in self.fields:
            if value and name != "infraction" and name not in _HIDDEN:
                yield name, value

    @classmethod
    def of(cls, form: FormData) -> Kept | None:
        """What waits in a form; None: nothing, or something that was not put there by us."""
        action = str(form.get("kept_action", ""))
        if not is_inside(action):
            return None
        fields = tuple(
            (name.removeprefix(_KEPT), value)
            for name, value in form.multi_items()
            if name.startswith(_KEPT) and isinstance(value, str)
        )
        return cls(action, str(form.get("kept_account", "")), fields)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks for a page: the account as it is now, the session, and what a form carries.

    `site`: the one that the address names, which they may see; `sites`: all that they may.
    """

    account: Account
    session: Session
    token: str
    language: str
    sites: tuple[Site, ...]
    site: Site | None = None
    form: FormData = field(default_factory=FormData)

    @property
    def principal(self) -> Principal:
        """The visitor as whoever asks the domains."""
        return self.account.principal

    @property
    def actor(self) -> str:
        """How the log names them."""
        return self.principal.actor

    @property
    def at_site(self) -> Site:
        """The site that the address names."""
        assert self.site is not None, "a page of a site, whose address names none"
        return self.site

    def text(self, name: str) -> str:
        """What was typed into a field of the form; empty if there is none."""
        value = self.form.get(name, "")
        return value.strip() if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """What was chosen in a field that may have several values."""
        return [value for value in self.form.getlist(name) if isinstance(value, str)]

    def ticked(self, name: str) -> bool:
        """Whether a box is ticked."""
        return name in self.form

    def file(self, name: str) -> UploadFile | None:
        """A file that was handed in; None: none was chosen."""
        value = self.form.get(name)
        return value if isinstance(value, UploadFile) and value.filename else None

    def check_administrator(self) -> None:
        """Raises NotAllowed."""
        if not self.account.is_administrator:
            raise NotAllowed

    def check_sees_subscribers(self) -> None:
        """Raises NotAllowed (DOMAIN 6)."""
        if not self.account.may_see_subscribers:
            raise NotAllowed


def address(*parts: str, **query: object) -> str:
    """An address of the console: its parts, and a query of what is not None or empty."""
    path = "/".join([ROOT, *(quote(part, safe="") for part in parts)])
    given = [
        (name.rstrip("_"), value)
        for name, values in query.items()
        for value in (values if isinstance(values, list | tuple) else [values])
        if value not in (None, "")
    ]
    return f"{path}?{urlencode(given)}" if given else path


def split(target: str) -> SplitResult:
    """An address that a browser told, in its parts; those of nothing where it is none."""
    try:
        return urlsplit(target)
    except ValueError:
        return urlsplit("")


def is_inside(target: str) -> bool:
    """Whether an address that somebody was to be sent back to is one of the console's."""
    parts = split(target)
    return (
        not parts.scheme
        and not parts.netloc
        and (parts.path == ROOT or parts.path.startswith(f"{ROOT}/"))
        and "\\" not in target
        and target.isprintable()
    )


class Web:
    """Lets visitors in, and makes pages of what the domains answer."""

    policy: ClassVar[str] = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'{tiles};"
        " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )

    def __init__(
        self,
        *,
        record: Record,
        entrance: Entrance,
        settings: Settings,
        now: Callable[[], datetime],
        static: Callable[[str], str | None],
        waiting: Callable[[Any, str], int] = lambda tx, site: 0,
    ) -> None:
        """`static`: the address of one of our files. `waiting`: how many infractions of a site wait
        for a review, told beside the way there.
        """
        self.record = record
        self.entrance = entrance
        self.settings = settings
        self.now = now
        self._waiting = waiting
        tiles = urlsplit(settings.map_tiles)
        origin = f" {tiles.scheme}://{tiles.netloc}" if tiles.netloc else ""
        self._policy = self.policy.format(tiles=origin.replace("{s}", "*"))
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(static=static, address=address, TOKEN=TOKEN)

    def at(self) -> datetime:
        """The time, in whole seconds."""
        return self.now().replace(microsecond=0)

    # Visitors

    async def visitor(self, request: Request) -> Visitor:
        """A dependency: who asks for a page. Raises NotSignedIn, ForbiddenSite, UnknownSite."""
        found = await run_in_threadpool(self._visitor, request)
        if found is None:
            raise NotSignedIn
        request.state.visitor = found
        return found

    async def watcher(self, request: Request) -> Visitor:
        """A dependency: whose page renews a part of itself, which keeps no session open.

        Raises as `visitor` does.
        """
        found = await run_in_threadpool(self._visitor, request, None, is_used=False)
        if found is None:
            raise NotSignedIn
        request.state.visitor = found
        return found

    async def actor(self, request: Request) -> Visitor:
        """A dependency: who sends a form, with its fields.

        Raises NotSignedIn, ForgedForm, ForbiddenSite, UnknownSite.
        """
        self.check_origin(request)
        form = await self.form(request)
        found = await run_in_threadpool(self._visitor, request, form)
        if found is None:
            raise NotSignedIn(kept=await run_in_threadpool(self._kept, request, form))
        request.state.visitor = found
        token = form.get(TOKEN, "")
        if not isinstance(token, str) or not hmac.compare_digest(
            token.encode(), found.token.encode()
        ):
            raise ForgedForm(kept=_kept_of_an_older_session(request, form, found.account))
        return found

    async def form(self, request: Request) -> FormData:
        """The fields of a form, without characters that no engine keeps; files are in memory, no
        larger than a body may be. Raises Problem for an encoding that is none.
        """
        try:
            async with request.form(max_files=4, max_fields=_MOST_FIELDS) as form:
                return FormData([(_kept_text(n), await _kept(v)) for n, v in form.multi_items()])
        except UnicodeError as error:  # in an encoding that no browser chooses
            raise Problem from error

    def check_origin(self, request: Request) -> None:
        """Raises ForgedForm: another site's page sent the request."""
        if not self.is_from_here(request):
            raise ForgedForm

    def is_from_here(self, request: Request) -> bool:
        """Whether no page of another site's made the request, as far as browsers say so."""
        told = request.headers.get("sec-fetch-site")
        if told is not None:
            return told in _SAME_ORIGIN
        origin = request.headers.get("origin")
        known = {request.headers.get("host", ""), urlsplit(self.settings.public_url).netloc}
        return origin is None or split(origin).netloc in known - {""}

    def check_asked(self, request: Request) -> None:
        """Raises AskedAhead: a browser asks before anybody does, or a part of a page asks by
        itself. What is fetched ahead may be shown without being asked for again, or never.
        """
        told = (request.headers.get(name, "") for name in ("sec-purpose", "purpose", "x-moz"))
        if "prefetch" in " ".join(told) or "hx-request" in request.headers:
            raise AskedAhead

    def _visitor(
        self, request: Request, form: FormData | None = None, *, is_used: bool = True
    ) -> Visitor | None:
        secret = request.cookies.get(COOKIE, "")
        found = self.entrance.follow(secret, is_used=is_used) if secret else None
        if found is None:
            return None
        if "\0" in request.scope["path"]:
            raise NoSuchPage  # nothing is called so, and PostgreSQL would not even look
        account, session = found
        principal = account.principal

        def look(tx: Any) -> tuple[tuple[Site, ...], Site | None]:
            visible = tuple(one for one in sites.all_sites(tx) if principal.may_touch(one.id))
            code = request.path_params.get("site")
            if code is None:
                return visible, None
            if not principal.may_touch(code):
                raise ForbiddenSite(site=code)
            return visible, sites.site(tx, code)

        visible, here = self.record.read(look)
        return Visitor(
            account=account,
            session=session,
            token=token_of(secret, account),
            language=account.language,
            sites=visible,
            site=here,
            form=form or FormData(),
        )

    def _kept(self, request: Request, form: FormData) -> Kept | None:
        """What was typed, if it is known whose session it was."""
        secret = request.cookies.get(COOKIE, "")
        owner = self.entrance.owner(secret) if secret else None
        return None if owner is None else _typed(request, form, owner)

    def visitor_of(self, account: Account, secret: str) -> Visitor:
        """Somebody who was let in just now."""
        found = self.entrance.follow(secret)
        assert found is not None, "a session that was opened just now"
        token = token_of(secret, account)
        return Visitor(account, found[1], token, account.language, sites=())

    def showing(self, visitor: Visitor) -> Showing:
        """How a visitor reads things."""
        zone = visitor.site.time_zone if visitor.site else "UTC"
        return Showing(visitor.language, zone, at=self.at())

    def words(self, text: str, language: str, **facts: object) -> str:
        """A marked text in a language; nothing of nothing."""
        if not text:
            return ""
        told = translation(language).gettext(text)
        return told.format(**facts) if facts else told

    def language(self, request: Request) -> str:
        """The language of somebody who is not signed in."""
        chosen = request.cookies.get(LANGUAGE_COOKIE, "")
        return preferred_language(chosen or request.headers.get("accept-language"))

    # Answers

    def page(
        self,
        template: str,
        visitor: Visitor | None,
        *,
        language: str = "fr",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **shown: Any,
    ) -> HTMLResponse:
        """A page, for a visitor or for nobody in particular, that no cache keeps."""
        spoken = visitor.language if visitor else language
        site = visitor.site if visitor else None
        show = Showing(spoken, site.time_zone if site else "UTC", at=self.at())
        told = translation(spoken)
        waiting = 0
        if site is not None:
            waiting = self.record.read(lambda tx: self._waiting(tx, site.id))
        body = self._templates.get_template(template).render(
            _=told.gettext,
            language=spoken,
            visitor=visitor,
            site=site,
            s=show,
            waiting=waiting,
            **shown,
        )
        return HTMLResponse(body, status, headers=self._headers(spoken) | dict(headers or {}))

    def _headers(self, language: str) -> dict[str, str]:
        return {
            "Content-Security-Policy": self._policy,
            "Content-Language": language,
            "Cache-Control": "no-store",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Vary": "Cookie, Accept-Language",
        }

    def go(self, target: str) -> Response:
        """On to another page, after a form."""
        return RedirectResponse(target, 303, headers={"Cache-Control": "no-store"})

    def twin(self, visitor: Visitor, shown: Mapping[str, Any]) -> Response:
        """The JSON twin of a page: the same facts."""
        return JSONResponse(dict(shown), headers={"Cache-Control": "no-store", "Vary": "Cookie"})

    def problem(self, problem: Problem, request: Request) -> Response | None:
        """A problem as a page; None: it did not happen in the console, or a program asked."""
        path = request.url.path
        if path != ROOT and not path.startswith(f"{ROOT}/"):
            return None
        # The script that renews a part of a page takes anything.
        takes_pages = "text/html" in request.headers.get("accept", "text/html")
        if path.endswith(".json") or not (takes_pages or "hx-request" in request.headers):
            return problem_response(problem, request)
        visitor: Visitor | None = getattr(request.state, "visitor", None)
        language = visitor.language if visitor else self.language(request)
        if isinstance(problem, NotSignedIn):
            return self._ask_to_sign_in(problem, request, language)
        if isinstance(problem, ForgedForm) and visitor is not None and problem.kept is not None:
            return self.resume_page(visitor, problem.kept, status=problem.status)
        if type(problem) is NotFound:
            problem = NoSuchPage()
        if type(problem) is ForbiddenSite:
            problem = NotYourSite(site=problem.facts["site"])
        if type(problem) is TooLarge:
            problem = FormTooLarge(limit=problem.facts["limit"])
        told = problem.as_json(language)
        retry = problem.facts.get("retry_after")
        return self.page(
            "problem.html",
            visitor,
            language=language,
            status=problem.status,
            headers={} if retry is None else {"Retry-After": str(retry)},
            title=told["title"],
            detail=told["detail"],
            errors=[error["detail"] for error in told.get("errors", ())],
        )

    async def turned_away(self, problem: Problem, request: Request) -> Response:
        """A problem of a request before any route was asked: a page for whoever is signed in, where
        it is one of the console's.
        """
        if request.url.path.startswith(f"{ROOT}/"):
            with contextlib.suppress(Problem):  # then nobody is known to be there
                request.state.visitor = await run_in_threadpool(
                    self._visitor, request, None, is_used=False
                )
        return self.problem(problem, request) or problem_response(problem, request)

    def _ask_to_sign_in(self, problem: NotSignedIn, request: Request, language: str) -> Response:
        if request.method == "GET":
            here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            if request.headers.get("hx-request"):
                shown = split(request.headers.get("hx-current-url", ""))
                here = (shown.path or ROOT) + (f"?{shown.query}" if shown.query else "")
                onward = address("sign-in", next=here, why="expired")
                return Response(status_code=204, headers={"HX-Redirect": onward})
            expired = "expired" if request.cookies.get(COOKIE) else None
            return self.go(address("sign-in", next=None if here == ROOT else here, why=expired))
        return self.sign_in_page(language, status=401, why="expired", kept=problem.kept)

    def resume_page(self, visitor: Visitor, kept: Kept, *, status: int = 200) -> Response:
        """What somebody was about to send, to be looked at once more and sent by this session."""
        return self.page("resume.html", visitor, status=status, kept=kept, back=ROOT)

    def sign_in_page(
        self,
        language: str,
        *,
        status: int = 200,
        why: str = "",
        onward: str = "",
        email: str = "",
        errors: Sequence[str] = (),
        kept: Kept | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Where somebody signs in; what they were doing waits in it."""
        return self.page(
            "sign-in.html",
            None,
            language=language,
            status=status,
            headers=headers,
            why=why,
            onward=onward if is_inside(onward) else "",
            email=email,
            errors=errors,
            kept=kept,
        )


def _kept_text(text: str) -> str:
    return text.encode("utf-8", "ignore").decode().replace("\0", "").replace("\r\n", "\n")


async def _kept(value: UploadFile | str) -> UploadFile | str:
    if isinstance(value, str):
        return _kept_text(value)
    content = io.BytesIO(await value.read())
    return UploadFile(content, size=value.size, filename=value.filename, headers=value.headers)


def _typed(request: Request, form: FormData, owner: Account) -> Kept:
    """What somebody typed into a form, but for passwords; files are not kept."""
    fields = tuple(
        (name, value[:_LONGEST_KEPT])
        for name, value in form.multi_items()
        if isinstance(value, str) and name != TOKEN and "password" not in name
    )
    lost = any(isinstance(value, UploadFile) and value.filename for value in form.values())
    query = f"?{request.url.query}" if request.url.query else ""
    return Kept(request.url.path + query, owner.id, fields, lost_files=lost)


def _kept_of_an_older_session(request: Request, form: FormData, visitor: Account) -> Kept | None:
    """What was typed on a page that stood open while the session ended, and while its owner signed
    in again elsewhere in the browser. Only the browser says that the page was ours, and the token
    whose it was: that is enough to show somebody what they have just sent, and for no more.
    """
    ours = request.headers.get("sec-fetch-site") == "same-origin"
    theirs = str(form.get(TOKEN, "")).startswith(f"{visitor.id}.")
    return _typed(request, form, visitor) if ours and theirs else None


def token_of(secret: str, account: Account) -> str:
    """The token of a session's forms: nobody has it who has not the session. It says besides whose
    they are.
    """
    made = hmac.new(secret.encode("utf-8", "surrogateescape"), b"form", "sha256")
    return f"{account.id}.{made.hexdigest()}"
