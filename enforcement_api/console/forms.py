"""From what was typed into a form to a shape of the API's, and from what is wrong to sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from enforcement_api.console.wording import FIELDS
from enforcement_api.problems import N_, Invalid, Problem, error_of, translation
from enforcement_api.shapes import calendar
from enforcement_api.wording import COLONS

S = TypeVar("S", bound=BaseModel)


def shaped(shape: type[S], given: Mapping[str, Any]) -> S:
    """What was typed as a shape of the API's. Raises Invalid."""
    try:
        return shape.model_validate(given)
    except ValidationError as error:
        raise Invalid(errors=[error_of(found) for found in error.errors()]) from error


def filled(typed: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that something was typed into: an empty one is one that was left out."""
    return {name: value for name, value in typed.items() if value not in ("", None)}


def instant(text: str, time_zone: str, pointer: str) -> datetime:
    """A date and a time of the site's clock, as a browser's field gives it. Raises Invalid.

    What the clock shows twice is the first of the two; an offset says otherwise.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        told = N_("must be a date and a time, such as 2026-12-24 00:00")
        raise Invalid(errors=[Problem.Error(pointer, told)]) from error
    if read.tzinfo is None:
        read = read.replace(tzinfo=ZoneInfo(time_zone))
    try:
        return calendar(read).astimezone(UTC).replace(microsecond=0)
    except ValueError as error:
        raise Invalid(errors=[Problem.Error(pointer, str(error))]) from error


def typed_moment(at: datetime | None, time_zone: str) -> str:
    """An instant as a browser's field for date and time takes it; nothing of none."""
    return "" if at is None else f"{at.astimezone(ZoneInfo(time_zone)):%Y-%m-%dT%H:%M}"


def version(text: str) -> int:
    """The version that somebody looked at, from a hidden field, or how many decisions they saw;
    what is none is none that is.
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else -1


def wrong(problem: Problem, language: str) -> list[str]:
    """What is wrong with a form, a sentence for each, with what its fields are called."""
    told = problem.as_json(language)
    if not isinstance(problem, Invalid):
        return [f"{told['title']}. {told['detail']}"]
    return [
        f"{_field(error['pointer'], language)}{COLONS[language]}{error['detail']}"
        for error in told.get("errors", ())
    ]


def _field(pointer: str, language: str) -> str:
    name = re.sub(r"/\d+$", "", pointer).rpartition("/")[2]
    return translation(language).gettext(FIELDS[name]) if name in FIELDS else name
