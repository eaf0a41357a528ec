"""Signing in and out, one's own account, and, for administrators, everybody's and the log."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import INSTALLATION
from enforcement_api.audit.core import read as read_entry
from enforcement_api.console.forms import wrong
from enforcement_api.console.web import (
    COOKIE,
    LANGUAGE_COOKIE,
    ROOT,
    TOKEN,
    Kept,
    Visitor,
    Web,
    address,
    is_inside,
    split,
)
from enforcement_api.problems import LANGUAGES, N_, Problem
from enforcement_api.rates import TooManyRequests
from enforcement_api.staff import store
from enforcement_api.staff.core import (
    PASSWORD_PATH,
    SHORTEST_PASSWORD,
    Account,
    AccountMovedOn,
    SignInFailed,
    SignInLocked,
    UnusablePassword,
)
from sync import codec

_A_PAGE = 100
_NOT_THE_SAME = N_("The two passwords are not the same: type both again.")
_DONE = {
    "password": N_("The password is changed; your other sessions have ended."),
    "ended": N_("The session has ended."),
    "saved": N_("Saved."),
    "revoked": N_("The account lets nobody in any more."),
}


@dataclass(frozen=True, slots=True)
class _Typed:
    """The fields of an account, as they were typed."""

    name: str = ""
    email: str = ""
    role: str = "supervisor"
    badge: str | None = None
    sites: Sequence[str] | None = ()
    sees_subscribers: bool = False

    @classmethod
    def by(cls, visitor: Visitor) -> _Typed:
        return cls(
            name=visitor.text("name"),
            email=visitor.text("email"),
            role=visitor.text("role"),
            badge=visitor.text("badge") or None,
            sites=None if visitor.ticked("all_sites") else visitor.texts("site"),
            sees_subscribers=visitor.ticked("sees_subscribers"),
        )

    @classmethod
    def of(cls, account: Account) -> _Typed:
        return cls(
            account.name,
            account.email,
            account.role,
            account.badge,
            account.sites,
            account.sees_subscribers,
        )

    def __str__(self) -> str:
        """The same for the same fields: what a form was filled from."""
        return hashlib.sha256(codec.canonical(asdict(self)).encode()).hexdigest()[:16]


def router(web: Web) -> APIRouter:
    """The pages of accounts."""
    routes = APIRouter(prefix=ROOT, include_in_schema=False)
    entrance, record = web.entrance, web.record
    visiting, acting = Depends(web.visitor), Depends(web.actor)

    # Signing in and out

    @routes.get("/sign-in")
    def sign_in_form(request: Request, why: str = "", next: str = "") -> Response:
        return web.sign_in_page(web.language(request), why=why, onward=next)

    @routes.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        web.check_origin(request)
        form = await web.form(request)
        email, password = str(form.get("email", ""))[:254], str(form.get("password", ""))[:1000]
        onward, kept = str(form.get("next", "")), Kept.of(form)
        language = web.language(request)

        def enter() -> Response:
            try:
                entered = entrance.sign_in(
                    email,
                    password,
                    address=request.client.host if request.client else "",
                    browser=request.headers.get("user-agent", ""),
                )
            except (SignInFailed, SignInLocked, TooManyRequests) as problem:
                retry = problem.facts.get("retry_after")
                return web.sign_in_page(
                    language,
                    status=problem.status,
                    onward=onward,
                    email=email,
                    errors=[problem.text(language)],
                    kept=kept,
                    headers={} if retry is None else {"Retry-After": str(retry)},
                )
            if kept is not None and kept.account == entered.account.id:
                visitor = web.visitor_of(entered.account, entered.secret)
                answer = web.resume_page(visitor, kept)
            else:
                answer = web.go(onward if is_inside(onward) else ROOT)
            _set_cookie(answer, entered.secret, is_secure=is_over_tls(request))
            return answer

        return await run_in_threadpool(enter)

    @routes.post("/sign-out")
    def sign_out(request: Request, visitor: Visitor = acting) -> Response:
        entrance.sign_out(visitor.account, visitor.session)
        answer = web.go(address("sign-in", why="out"))
        answer.delete_cookie(COOKIE, path=ROOT)
        return answer

    @routes.post("/language")
    async def choose_language(request: Request) -> Response:
        web.check_origin(request)
        form = await web.form(request)
        chosen = str(form.get("language", ""))
        onward = str(form.get("next", "")) or _referred(request)
        answer = web.go(onward if is_inside(onward) else ROOT)
        if chosen in LANGUAGES:
            answer.set_cookie(
                LANGUAGE_COOKIE, chosen, max_age=31_536_000, path=ROOT, samesite="lax"
            )
            if TOKEN in form:
                visitor = await web.actor(request)
                work = store.set_language
                await run_in_threadpool(
                    record.write, lambda tx: work(tx, visitor.account.id, chosen)
                )
        return answer

    # Passwords

    def is_over_tls(request: Request) -> bool:
        """Whether the browser came by https: to here, or to what passes requests on to here."""
        public = split(web.settings.public_url)
        is_public = request.headers.get("host") == public.netloc and public.scheme == "https"
        return is_public or request.url.scheme == "https"

    def password_form(
        request: Request, account: Account, errors: Sequence[str] = (), status: int = 200
    ) -> Response:
        return web.page(
            "password.html",
            None,
            language=account.language,
            status=status,
            account=account,
            shortest=SHORTEST_PASSWORD,
            errors=errors,
        )

    @routes.get(PASSWORD_PATH.removeprefix(ROOT) + "/{secret}")
    def choose_password(request: Request, secret: str) -> Response:
        return password_form(request, record.read(lambda tx: store.link(tx, secret, at=web.at())))

    @routes.post(PASSWORD_PATH.removeprefix(ROOT) + "/{secret}")
    async def set_password(request: Request, secret: str) -> Response:
        web.check_origin(request)
        form = await web.form(request)
        typed, again = str(form.get("password", "")), str(form.get("password_again", ""))

        def keep() -> Response:
            account = record.read(lambda tx: store.link(tx, secret, at=web.at()))
            try:
                if typed != again:
                    told = web.words(_NOT_THE_SAME, account.language)
                    return password_form(request, account, [told], 422)
                entrance.set_password(secret, typed)
            except UnusablePassword as problem:
                told = problem.text(account.language)
                return password_form(request, account, [told], problem.status)
            return web.go(address("sign-in", why="password"))

        return await run_in_threadpool(keep)

    # One's own account

    def own_account(visitor: Visitor, errors: Sequence[str] = (), done: str = "") -> Response:
        sessions = record.read(
            lambda tx: store.open_sessions(tx, visitor.account.id, at=web.at(), idle=entrance.idle)
        )
        return web.page(
            "account.html",
            visitor,
            status=422 if errors else 200,
            sessions=sessions,
            errors=errors,
            done=web.words(_DONE.get(done, ""), visitor.language),
            shortest=SHORTEST_PASSWORD,
        )

    @routes.get("/account")
    def show_account(visitor: Visitor = visiting, done: str = "") -> Response:
        return own_account(visitor, done=done)

    @routes.post("/account/password")
    def change_password(visitor: Visitor = acting) -> Response:
        old, new, again = (
            str(visitor.form.get(name, ""))
            for name in ("old_password", "password", "password_again")
        )
        if new != again:
            return own_account(visitor, [web.words(_NOT_THE_SAME, visitor.language)])
        try:
            entrance.change_password(visitor.account, visitor.session, old=old, password=new)
        except (UnusablePassword, SignInFailed, SignInLocked) as problem:
            return own_account(visitor, [problem.text(visitor.language)])
        return web.go(address("account", done="password"))

    @routes.post("/account/sessions/{id}/end")
    def end_own_session(id: str, visitor: Visitor = acting) -> Response:
        record.write(
            lambda tx: store.end(tx, visitor.account.id, id, by=visitor.actor, at=web.at())
        )
        return web.go(address("account", done="ended"))

    # Everybody's accounts

    def everybody(
        visitor: Visitor,
        *,
        typed: _Typed | None = None,
        errors: Sequence[str] = (),
        done: str = "",
        link: str = "",
        link_of: str = "",
    ) -> Response:
        return web.page(
            "staff.html",
            visitor,
            status=422 if errors else 200,
            accounts=record.read(store.all_accounts),
            typed=typed or _Typed(),
            errors=errors,
            done=web.words(_DONE.get(done, ""), visitor.language),
            link=link,
            link_of=link_of,
        )

    def link_to(request: Request, secret: str) -> str:
        base = web.settings.public_url or str(request.base_url)
        return f"{base.rstrip('/')}{PASSWORD_PATH}/{secret}"

    @routes.get("/staff")
    def list_staff(visitor: Visitor = visiting, done: str = "") -> Response:
        visitor.check_administrator()
        return everybody(visitor, done=done)

    @routes.post("/staff")
    def invite(request: Request, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        typed = _Typed.by(visitor)
        try:
            account, secret = record.write(
                lambda tx: store.create(
                    tx,
                    email=typed.email,
                    role=typed.role,
                    name=typed.name,
                    sites=typed.sites,
                    badge=typed.badge,
                    sees_subscribers=typed.sees_subscribers,
                    language=visitor.language,
                    by=visitor.actor,
                    at=web.at(),
                )
            )
        except Problem as problem:
            return everybody(visitor, typed=typed, errors=wrong(problem, visitor.language))
        return everybody(visitor, link=link_to(request, secret), link_of=account.email)

    def one(
        visitor: Visitor,
        id: str,
        *,
        typed: _Typed | None = None,
        errors: Sequence[str] = (),
        done: str = "",
        link: str = "",
    ) -> Response:
        def look(tx: Any) -> Any:
            account = store.account(tx, id)
            return account, store.open_sessions(tx, id, at=web.at(), idle=entrance.idle)

        account, sessions = record.read(look)
        return web.page(
            "staff-one.html",
            visitor,
            status=422 if errors else 200,
            account=account,
            sessions=sessions,
            typed=typed or _Typed.of(account),
            expected=str(_Typed.of(account)),
            errors=errors,
            done=web.words(_DONE.get(done, ""), visitor.language),
            link=link,
        )

    @routes.get("/staff/{id}")
    def show_account_of(id: str, visitor: Visitor = visiting, done: str = "") -> Response:
        visitor.check_administrator()
        return one(visitor, id, done=done)

    @routes.post("/staff/{id}")
    def change_account(id: str, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        typed = _Typed.by(visitor)

        def work(tx: Any) -> None:
            before = store.account(tx, id, to_change=True)
            is_now = _Typed.of(before)
            if visitor.text("expected") not in ("", str(is_now)):
                show = web.showing(visitor)
                raise AccountMovedOn(
                    name=before.name,
                    email=before.email,
                    role=show.role(before.role),
                    sites=show.text(N_("all")) if before.sites is None else ", ".join(before.sites),
                )
            after = replace(
                before,
                name=typed.name,
                email=typed.email,
                role=typed.role,  # type: ignore[arg-type]  # what is none is refused
                badge=typed.badge,
                sites=None if typed.sites is None else tuple(typed.sites),
                sees_subscribers=typed.sees_subscribers,
            )
            store.change(tx, before, after, by=visitor.actor, at=web.at())

        try:
            record.write(work)
        except Problem as problem:
            return one(visitor, id, typed=typed, errors=wrong(problem, visitor.language))
        return web.go(address("staff", id, done="saved"))

    @routes.post("/staff/{id}/{action}")
    def let_in(
        request: Request,
        id: str,
        action: Literal["link", "revoke", "reinstate"],
        visitor: Visitor = acting,
    ) -> Response:
        visitor.check_administrator()
        at, by = web.at(), visitor.actor

        def work(tx: Any) -> str:
            account = store.account(tx, id)
            if action == "revoke":
                store.revoke(tx, account, by=by, at=at)
                return ""
            if action == "reinstate":
                return store.reinstate(tx, account, by=by, at=at)
            return store.give_link(tx, account, "reset", by=by, at=at)

        secret = record.write(work)
        if not secret:
            return web.go(address("staff", id, done="revoked"))
        return one(visitor, id, link=link_to(request, secret))

    @routes.post("/staff/{id}/sessions/{session}/end")
    def end_session_of(id: str, session: str, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        record.write(lambda tx: store.end(tx, id, session, by=visitor.actor, at=web.at()))
        return web.go(address("staff", id, done="ended"))

    # The log

    @routes.get("/audit")
    def show_log(
        visitor: Visitor = visiting,
        chain: str = INSTALLATION,
        subject: str = "",
        before: Annotated[int, Query(ge=0, lt=1 << 62)] = 0,
    ) -> Response:
        visitor.check_administrator()
        chain, subject = (text.replace("\0", "") for text in (chain, subject))

        def look(tx: Any) -> Any:
            return audit.latest(
                tx, chain=chain, subject=subject or None, before=before or None, limit=_A_PAGE
            )

        entries = [
            {
                "number": kept.number,
                "hash": kept.hash,
                "at": entry.at,
                "by": entry.by,
                "action": entry.action,
                "subject": entry.subject,
                "facts": codec.canonical(entry.facts),
            }
            for kept in record.read(look)
            for entry in [read_entry(kept.text)]
        ]
        older = ""
        if len(entries) == _A_PAGE:
            last = entries[-1]["number"]
            older = address("audit", chain=chain, subject=subject, before=last)
        return web.page(
            "audit.html", visitor, entries=entries, chain=chain, subject=subject, older=older
        )

    return routes


def _referred(request: Request) -> str:
    """The page that a form stood on, if it is one of ours."""
    parts = split(request.headers.get("referer", ""))
    if parts.netloc != request.headers.get("host"):
        return ""
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _set_cookie(answer: Response, secret: str, *, is_secure: bool) -> None:
    """For this browser, until it is closed; nobody's script reads it, no other site sends it."""
    answer.set_cookie(
        COOKIE,
        secret,
        path=ROOT,
        httponly=True,
        samesite="lax",
        secure=is_secure,
    )
