"""Errors as answers: RFC 9457 problems, in French and English (CONTRACT, "Errors").

A domain declares its own by subclassing Problem; each has a status, a stable slug, a title, and a
detail that tells the reader what to do next. Texts are English here and translated when shown.
"""

from __future__ import annotations

import contextlib
import gettext
import json
import logging
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from enforcement_api.cards import without_card_numbers
from sync.files import sqlite_code

if TYPE_CHECKING:
    from fastapi import FastAPI

LANGUAGES = ("fr", "en")
MEDIA_TYPE = "application/problem+json"

_LOCALE = Path(__file__).parent / "locale"
_log = logging.getLogger(__name__)


def N_(text: str) -> str:
    """Mark a text for translation; it is translated when it is shown."""
    return text


@cache
def translation(language: str) -> gettext.NullTranslations:
    """The texts of a language; English is what the source says.

    An installation whose catalogues were not compiled speaks English rather than not at all.
    """
    if language == "en":
        return gettext.NullTranslations()
    return gettext.translation("patrouille", _LOCALE, languages=[language], fallback=True)


def preferred_language(accept_language: str | None) -> str:
    """The better of French and English for an Accept-Language header; French by default."""
    best, best_quality = LANGUAGES[0], 0.0
    for part in (accept_language or "").split(","):
        tag, _, parameters = part.strip().partition(";")
        language = tag.split("-")[0].lower()
        try:
            quality = float(parameters.partition("=")[2]) if parameters else 1.0
        except ValueError:
            continue
        if language in LANGUAGES and quality > best_quality:
            best, best_quality = language, quality
    return best


class Problem(Exception):
    """An error to be answered. `facts` fill the braces of title and detail."""

    status: ClassVar[int] = 400
    slug: ClassVar[str] = "bad-request"
    title: ClassVar[str] = N_("The request cannot be understood")
    detail: ClassVar[str] = N_("Compare it with the documentation at /docs and send it again.")

    def __init__(
        self,
        *,
        errors: Sequence[Problem.Error] = (),
        extra: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **facts: object,
    ) -> None:
        self.facts = facts
        self.headers = headers or {}
        self.errors = tuple(errors)
        self.extra = extra or {}
        super().__init__(self.text("en"))

    class Error:
        """One thing wrong, at a JSON pointer."""

        def __init__(self, pointer: str, detail: str, **facts: object) -> None:
            self.pointer, self.detail, self.facts = pointer, detail, facts

        def text(self, language: str) -> str:
            """The detail, in a language."""
            return _show(self.detail, self.facts, language)

    def text(self, language: str) -> str:
        """Title and detail in one line, in a language."""
        shown = self.as_json(language)
        errors = "; ".join(f"{e['pointer']}: {e['detail']}" for e in shown.get("errors", ()))
        return f"{shown['title']}. {shown['detail']}" + (f" ({errors})" if errors else "")

    def as_json(self, language: str) -> dict[str, Any]:
        """The problem object of RFC 9457."""
        shown: dict[str, Any] = {
            "type": f"/problems/{self.slug}",
            "title": _show(self.title, self.facts, language),
            "status": self.status,
            "detail": _show(self.detail, self.facts, language),
        }
        if self.errors:
            shown["errors"] = [
                {"pointer": without_card_numbers(error.pointer), "detail": error.text(language)}
                for error in self.errors
            ]
        return shown | self.extra


class Sentence(str):
    """A fact that is itself a text to translate, with facts of its own."""

    facts: dict[str, object]

    def __new__(cls, text: str, **facts: object) -> Sentence:
        """`facts` fill the braces of the text."""
        sentence = super().__new__(cls, text)
        sentence.facts = facts
        return sentence

    def text(self, language: str) -> str:
        """The sentence by itself, in a language."""
        return _show(self, self.facts, language)


def _show(text: str, facts: dict[str, object], language: str) -> str:
    """A text with its facts, in a language. Facts may quote a request: no card number is echoed."""
    shown = {
        name: _show(fact, fact.facts, language) if isinstance(fact, Sentence) else fact
        for name, fact in facts.items()
    }
    told = translation(language).gettext(text)
    if isinstance(text, Sentence) and not facts:
        return told
    return without_card_numbers(told.format(**shown)) if facts else told.format()


class Invalid(Problem):
    """The shape or a value of the request is wrong; `errors` says where."""

    status = 422
    slug = "invalid"
    title = N_("The request has values that cannot be taken")
    detail = N_("Correct what `errors` names and send it again.")


class TooLarge(Problem):
    """More bytes than one request may carry."""

    status = 413
    slug = "too-large"
    title = N_("The request is too large")
    detail = N_("At most {limit} are taken at once. Send it in parts.")


class TooMany(TooLarge):
    """More items than one request may carry."""

    detail = N_("At most {limit} items are taken at once. Send them in parts.")


class TooSlow(Problem):
    """A body that stopped arriving."""

    status = 408
    slug = "too-slow"
    title = N_("The rest of the request did not arrive")
    detail = N_(
        "Nothing came for {seconds} seconds, or it came too slowly; nothing was kept. Send it"
        " again."
    )


class NotFound(Problem):
    """No such address."""

    status = 404
    slug = "not-found"
    title = N_("There is nothing at this address")
    detail = N_("Check the address against the documentation at /docs.")


class MethodNotAllowed(Problem):
    """The address exists, the method doesn't."""

    status = 405
    slug = "method-not-allowed"
    title = N_("This address does not take this method")
    detail = N_("Check the method against the documentation at /docs.")


class StorageFailed(Problem):
    """The disk is full, read-only or failing; nothing of the request was kept."""

    status = 507
    slug = "storage-failed"
    title = N_("The service cannot write to its disk")
    detail = N_(
        "Nothing of this request was kept. Free space or make {where} writable, start the"
        " service again, then send the request again. The system said: {reason}"
    )


_SQLITE_STORAGE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
}


def is_storage_error(error: BaseException | None) -> bool:
    """Whether the disk is full, read-only or failing, as SQLite or the system says it."""
    if isinstance(error, ConnectionError | TimeoutError):
        return False  # of the network, though Python counts them among the system's errors
    return isinstance(error, OSError) or sqlite_code(error) in _SQLITE_STORAGE


@contextlib.contextmanager
def storage(where: object) -> Iterator[None]:
    """Within the block, what the disk refuses is a StorageFailed."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if not is_storage_error(error):
            raise
        raise StorageFailed(where=where, reason=error) from error


class Unexpected(Problem):
    """A defect of ours, told without a stack trace."""

    status = 500
    slug = "unexpected"
    title = N_("The service could not carry out the request")
    detail = N_("Try again. If it happens again, give the service's log to whoever maintains it.")


def language_of(request: Request) -> str:
    """The language to answer a request in."""
    return preferred_language(request.headers.get("accept-language"))


def json_bytes(answer: object) -> bytes:
    """An answer as UTF-8 JSON; half surrogates that it quotes from a request become `?`."""
    text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def problem_response(problem: Problem, request: Request) -> Response:
    """The problem as an answer, in the language of the request."""
    headers = {"Content-Language": language_of(request), **problem.headers}
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if "retry_after" in problem.facts:
        headers["Retry-After"] = str(problem.facts["retry_after"])
    return Response(
        json_bytes(problem.as_json(language_of(request))),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


_UNPARSABLE = "There was an error parsing the body"
"""What FastAPI says of a body that is not UTF-8."""

_VALIDATION = {
    "bool_parsing": N_("must be true or false"),
    "bool_type": N_("must be true or false"),
    "dict_type": N_("must be an object"),
    "extra_forbidden": N_("is not known here"),
    "finite_number": N_("must be a finite number"),
    "float_parsing": N_("must be a number"),
    "float_type": N_("must be a number"),
    "greater_than": N_("must be more than {gt}"),
    "greater_than_equal": N_("must be at least {ge}"),
    "int_from_float": N_("must be a whole number"),
    "int_parsing": N_("must be a whole number"),
    "int_parsing_size": N_("must be a smaller whole number"),
    "int_type": N_("must be a whole number"),
    "json_invalid": N_("is not JSON"),
    "less_than": N_("must be less than {lt}"),
    "less_than_equal": N_("must be at most {le}"),
    "list_type": N_("must be a list"),
    "literal_error": N_("must be one of {expected}"),
    "missing": N_("is missing"),
    "model_attributes_type": N_("must be an object"),
    "model_type": N_("must be an object"),
    "string_pattern_mismatch": N_("must have the form {pattern}"),
    "string_too_long": N_("must be {max_length} characters at most"),
    "string_too_short": N_("must be {min_length} characters at least"),
    "string_type": N_("must be text"),
    "string_unicode": N_("has characters that cannot be kept"),
    "too_long": N_("must have {max_length} entries at most"),
    "too_short": N_("must have {min_length} entries at least"),
    "uuid_parsing": N_("must be a UUID"),
}
"""What pydantic finds, by its types of error, in sentences of ours."""


def error_of(found: Any, *, prefix: Sequence[object] = ()) -> Problem.Error:
    """One of pydantic's errors as a pointer and a sentence.

    A JSON pointer into the body; `/query/<name>` and `/path/<name>` for parameters.
    """
    where = [*prefix, *found["loc"]]
    if where[:1] == ["body"]:
        where = [] if found["type"] == "json_invalid" else where[1:]
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in where)
    pointer = "".join(f"/{part}" for part in parts)
    context = dict(found.get("ctx", {}))
    if found["type"] == "value_error":
        # Raised by a validator of ours, so that its sentence has a translation.
        return Problem.Error(pointer, "{sentence}", sentence=Sentence(str(context["error"])))
    if "expected" in context:
        context["expected"] = str(context["expected"]).replace(" or ", ", ")
    known = _VALIDATION.get(found["type"])
    if known is None:
        return Problem.Error(pointer, N_("cannot be taken: {why}"), why=found["msg"])
    return Problem.Error(pointer, known, **context)


def _methods(app: FastAPI, path: str) -> list[str]:
    """What an address takes, by the document: Starlette names the first of its routes alone.

    Of addresses that fit, the one with the most words is meant: devices/self before devices/{id}.
    """
    found: dict[int, list[str]] = {}
    for template, operations in app.openapi()["paths"].items():
        words = re.split(r"\{\w+\}", template)
        if re.fullmatch(".+".join(map(re.escape, words)), path):
            found[sum(map(len, words))] = sorted(method.upper() for method in operations)
    return found[max(found)] if found else []


def install(
    app: FastAPI,
    *,
    storage_failed: Callable[[StorageFailed], None],
    may_ask: Callable[[Request], Awaitable[None]],
    page: Callable[[Problem, Request], Response | None] = lambda problem, request: None,
) -> None:
    """Make every error of the application a problem; `storage_failed` is told of a full disk.

    `may_ask` raises a Problem if who sent a request may not: that is told before what is wrong
    with the request. `page`: the problem as a page, where people look at pages.
    """
    # Here, since a command that serves nothing would start for it twice as long.
    from fastapi.exceptions import RequestValidationError

    def shown(problem: Problem, request: Request) -> Response:
        return page(problem, request) or problem_response(problem, request)

    async def answer(problem: Problem, request: Request) -> Response:
        try:
            await may_ask(request)
        except Problem as turned_away:
            problem = turned_away
        return shown(problem, request)

    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> Response:
        if isinstance(problem, StorageFailed):
            storage_failed(problem)
        return shown(problem, request)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        return await answer(Invalid(errors=[error_of(e) for e in error.errors()]), request)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        if error.detail == _UNPARSABLE:
            unreadable = Invalid(errors=[Problem.Error("", N_("is not JSON in UTF-8"))])
            return await answer(unreadable, request)
        known: dict[int, type[Problem]] = {404: NotFound, 405: MethodNotAllowed}
        response = shown(known.get(error.status_code, Problem)(), request)
        response.headers.update(error.headers or {})
        if error.status_code == 405 and (methods := _methods(app, request.url.path)):
            response.headers["Allow"] = ", ".join(methods)
        return response

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return shown(Unexpected(), request)
