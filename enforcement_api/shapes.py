"""What requests are made of: text that can be stored, instants, dates, pages, bodies."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from typing import Annotated, Any, BinaryIO

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enforcement_api.cards import has_card_number, without_card_numbers
from enforcement_api.problems import N_, Problem, TooLarge, TooSlow, problem_response
from sync import codec

FIRST_YEAR, LAST_YEAR = 1970, 9990
BODY_SECONDS = 15
"""How long the next part of a body is waited for; less than a service that ends waits for."""
FIRST_SECONDS = 60
SLOWEST = 1024
"""Bytes a second that a body may not come more slowly than, after its first minute."""
LONGEST_LINE = 200
LONGEST_ADDRESS = 2000

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAY_LENGTH = 10
# Line feeds and tabs are text; the other controls are not, and PostgreSQL cannot store NUL.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_ANY_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
ADDRESS_PATTERN = rf"^https?://[A-Za-z0-9.-]+(:({_PORT}))?([/?#][!-~]*)?$"
_ADDRESS = re.compile(ADDRESS_PATTERN)
_SEPARATING = re.compile(r"[\s*\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class NotAPageCursor(Problem):
    """The text is no `next_cursor` of this list."""

    status = 422
    slug = "not-a-page-cursor"
    title = N_("This is no cursor of this list")
    detail = N_(
        "Send the `next_cursor` of the page before, unchanged, or leave out `cursor` to begin."
    )


class Shape(BaseModel):
    """A part of a request or an answer; what it does not name is refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


def shown_as(example: Any) -> ConfigDict:
    """A model's configuration with an example of it for the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": [example]})


def storable(text: str) -> str:
    """The text itself if every engine can keep it, and it holds no card number: what people write
    goes through here, before it is kept anywhere. Raises ValueError.
    """
    if not text.isprintable() and _CONTROL.search(text):
        raise ValueError(N_("has characters that cannot be kept: leave out control characters"))
    return of_no_card(text)


def of_no_card(text: str) -> str:
    """The text itself if it holds no card number. Raises ValueError."""
    if has_card_number(text):
        raise ValueError(N_("looks like a card number: never send one here"))
    return text


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def mended(text: str) -> str:
    """The text with U+FFFD for what no database stores, NUL and half surrogates, and without card
    numbers. For what people recorded, which is never refused: the same text each time it comes.
    """
    return without_card_numbers(mended_id(text))


def mended_id(text: str) -> str:
    """The same for an id of a feeder's, which may have any digits: see FeederId."""
    return text if text.isprintable() else _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def telling(text: str) -> str:
    """The text itself if it can be kept and is not blank. Raises ValueError."""
    if not text.strip():
        raise ValueError(N_("must not be blank"))
    return storable(text)


def line(text: str) -> str:
    """The text itself if it can be a name. Raises ValueError."""
    if len(text) > LONGEST_LINE or "\n" in text:
        raise ValueError(N_("must be one line of at most 200 characters"))
    return telling(text)


def word(text: str) -> str:
    """The text itself if it can be a code among others separated by spaces. Raises ValueError."""
    if not 1 <= len(text) <= 32 or _SEPARATING.search(text):
        raise ValueError(N_("must be 1 to 32 characters without spaces, control characters or *"))
    return of_no_card(text)


def identifier(text: str) -> str:
    """The text itself if it can be an id that a client chose. Raises ValueError."""
    return of_no_card(feeder_identifier(text))


def feeder_identifier(text: str) -> str:
    """The same for one that a feeder chose. Raises ValueError."""
    # What is printable, which is told in half the time, has no control characters.
    has_controls = not text.isprintable() and _ANY_CONTROL.search(text)
    if not 1 <= len(text) <= 100 or has_controls or text != text.strip():
        raise ValueError(N_("must be 1 to 100 characters without control characters"))
    return text


def web_address(text: str) -> str:
    """The text itself if a browser can be sent there: http or https, with a named host. Raises
    ValueError.
    """
    if len(text) > LONGEST_ADDRESS or not _ADDRESS.fullmatch(text):
        raise ValueError(N_("must be an address such as https://example.org/page"))
    return storable(text)


def is_identifier(text: str) -> bool:
    """Whether there can be something with this id."""
    try:
        return bool(identifier(text))
    except ValueError:
        return False


def is_uuid(text: str) -> bool:
    """Whether it is a UUID, of whatever version, in either case."""
    return _UUID.fullmatch(text) is not None


def calendar(at: datetime) -> datetime:
    """The instant itself if it lies in the years that are taken. Raises ValueError."""
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError(N_("must lie between the years 1970 and 9990"))
    return at


def instant(value: Any) -> datetime:
    """Read an RFC 3339 instant with any offset. Raises ValueError."""
    if isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str):
            return calendar(codec.parse_instant(value))
    except ValueError as error:
        if "1970" in str(error):
            raise
    raise ValueError(N_("must be an instant with its offset, such as 2026-11-23T15:15:00Z"))


def day(value: Any) -> date:
    """Read a date. Raises ValueError."""
    if isinstance(value, date):
        return value
    found = _day(value) if isinstance(value, str) and len(value) == _DAY_LENGTH else None
    if found is None:
        raise ValueError(N_("must be a date such as 2026-11-23"))
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise ValueError(N_("must lie between the years 1970 and 9990"))
    return found


@lru_cache(maxsize=4096)
def _day(text: str) -> date | None:
    # Very many permits begin or end on one of few days.
    if not _DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


# What the validators above demand, as a JSON schema says it.
_CONTROLS = r"\u0000-\u001f\u007f-\u009f"
_TEXT_CONTROLS = r"\u0000-\u0008\u000b-\u001f\u007f-\u009f"


def _told(pattern: str, longest: int | None = None) -> dict[str, Any]:
    return {"pattern": pattern} | (
        {} if longest is None else {"minLength": 1, "maxLength": longest}
    )


UUID_PATTERN = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
JURISDICTION_PATTERN = r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$"
_UUID = re.compile(UUID_PATTERN)
_LINE = _told(rf"^[^\n{_TEXT_CONTROLS}]*[^\s{_TEXT_CONTROLS}][^\n{_TEXT_CONTROLS}]*$")
_NOTE = _told(rf"^[^{_TEXT_CONTROLS}]*[^\s{_TEXT_CONTROLS}][^{_TEXT_CONTROLS}]*$")
TEXT_SCHEMA = _told(rf"^[^{_TEXT_CONTROLS}]*$")
WORD_SCHEMA = _told(rf"^[^\s*{_CONTROLS}]+$", 32)
_ID = _told(rf"^[^\s{_CONTROLS}]([^{_CONTROLS}]*[^\s{_CONTROLS}])?$", 100)

Line = Annotated[
    str,
    Strict(),
    Field(min_length=1, max_length=LONGEST_LINE, json_schema_extra=_LINE),
    AfterValidator(line),
]
"""A name or a title."""

Note = Annotated[
    str,
    Strict(),
    Field(min_length=1, max_length=2000, json_schema_extra=_NOTE),
    AfterValidator(telling),
]
"""A text of a few lines."""

Word = Annotated[
    str, Strict(), AfterValidator(word), Field(examples=["G1"], json_schema_extra=WORD_SCHEMA)
]
"""A code among others."""

WebAddress = Annotated[
    str,
    Strict(),
    Field(
        max_length=LONGEST_ADDRESS,
        examples=["https://example.org/page"],
        json_schema_extra={"pattern": ADDRESS_PATTERN},
    ),
    AfterValidator(web_address),
]
"""Where a browser can be sent."""

Id = Annotated[str, Strict(), AfterValidator(identifier), Field(json_schema_extra=_ID)]
"""An id that a client chose."""

FeederId = Annotated[str, Strict(), AfterValidator(feeder_identifier), Field(json_schema_extra=_ID)]
"""An id, or the number of a permit, that a feeder chose. One of 16 digits may look like a card
number and be none: a feeder's numbers are not ours to doubt, and stay as they are."""

Instant = Annotated[
    datetime,
    BeforeValidator(instant),
    PlainSerializer(codec.instant, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T15:15:00Z"]}),
]
"""An instant; any offset is accepted, UTC is answered."""

Day = Annotated[
    date,
    BeforeValidator(day),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-11-23"]}),
]
"""A local date."""


class Localized(Shape):
    """A text in both languages."""

    fr: Note
    en: Note


# Lists


def page_cursor(*position: str | int) -> str:
    """Where a page of a list ended, opaque to who reads it."""
    plain = json.dumps(position, separators=(",", ":"))
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def page_position(cursor: str, *types: type[str] | type[int]) -> tuple[Any, ...]:
    """What `page_cursor` was made of. Raises NotAPageCursor."""
    try:
        plain = base64.b64decode(
            cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True
        )
        position = json.loads(plain)
    except (ValueError, RecursionError, binascii.Error) as error:
        raise NotAPageCursor from error
    if (
        not isinstance(position, list)
        or len(position) != len(types)
        or any(type(part) is not kind for part, kind in zip(position, types, strict=True))
        or any(isinstance(part, int) and abs(part) >= 1 << 62 for part in position)
        or any(isinstance(part, str) and _CONTROL.search(part) for part in position)
    ):
        raise NotAPageCursor
    return tuple(position)


def page_instant(seconds: int) -> datetime:
    """The instant that a page's position has, in seconds. Raises NotAPageCursor."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise NotAPageCursor from error


# Bodies


def mebibytes(size: int) -> str:
    """A size in bytes, as a person says it."""
    return f"{size // (1024 * 1024)} MiB"


class EncodedBody(Problem):
    """A compressed body: a few bytes that could become very many."""

    status = 415
    slug = "encoded-body"
    title = N_("Compressed bodies are not taken")
    detail = N_("Send the body as it is, without Content-Encoding.")


async def _as_problem(problem: Problem, request: Request) -> Response:
    return problem_response(problem, request)


class BodyLimit:
    """Reads the body of every request no further than a limit, before anything else does.

    Routes that read bodies by themselves have limits of their own: `apart` matches their paths.
    `answer`: what a request that is refused is told.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: int,
        apart: str,
        answer: Callable[[Problem, Request], Awaitable[Response]] = _as_problem,
    ) -> None:
        self._app = app
        self._limit = limit
        self._apart = re.compile(apart)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body read, or answer 413 or 415."""
        has_body = scope["type"] == "http" and scope["method"] in ("POST", "PUT", "PATCH")
        if not has_body:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            await (await self._answer(EncodedBody(), request))(scope, receive, send)
            return
        if self._apart.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            body = await capped_body(request, self._limit, mebibytes(self._limit))
        except Problem as problem:
            await (await self._answer(problem, request))(scope, receive, send)
            return
        told = False

        async def replay() -> Message:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)


async def capped_body(request: Request, limit: int, what: str) -> bytes:
    """The body, read no further than a limit, and waited for no longer than a while.

    A pause in it may last BODY_SECONDS; after a minute, it must have come at SLOWEST on average.

    Raises TooLarge, TooSlow.
    """
    body = bytearray()
    await _read(request, limit, what, body.extend)
    return bytes(body)


async def spooled_body(request: Request, limit: int, what: str, into: BinaryIO) -> None:
    """As capped_body, into a file: for what may be larger than memory should hold."""
    await _read(request, limit, what, into.write)


async def _read(request: Request, limit: int, what: str, keep: Callable[[bytes], object]) -> None:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise TooLarge(limit=what)
    size = 0
    now = asyncio.get_running_loop().time
    began = now()
    try:
        async with asyncio.timeout(BODY_SECONDS) as patience:
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise TooLarge(limit=what)
                keep(chunk)
                slowest = began + FIRST_SECONDS + size / SLOWEST
                patience.reschedule(min(now() + BODY_SECONDS, slowest))
    except TimeoutError:
        raise TooSlow(seconds=BODY_SECONDS, headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise Problem from None  # nobody is there to read it; nothing was begun


@cache
def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON schema without references, to stand alone in the OpenAPI document."""
    schema = model.model_json_schema()
    inlined: dict[str, Any] = _inlined(schema, schema.get("$defs", {}))
    return inlined


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(part, definitions) for name, part in schema.items() if name != "$defs"}
