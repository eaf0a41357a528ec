"""Plate updates as feeders send them: JSON and NDJSON, read item by item (CONTRACT)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
)
from pydantic.config import JsonDict

from enforcement_api.permits.core import NO_VEHICLE, Facts, GivenVehicle, PlateUpdate
from enforcement_api.problems import N_, Invalid, Problem, Sentence, error_of
from enforcement_api.shapes import TEXT_SCHEMA, Day, FeederId, Instant, Shape, mended, storable
from sync.entities import ALL_ZONES
from sync.plates import Plate, UnusableJurisdiction, UnusablePlate

LONGEST_NUMBER = 20
_MOST_ERRORS = 10
_MOST_BITS = (1 << 63) - 1


class UnreadableItem(Problem):
    """A line or an item that is no JSON object."""

    status = 422
    slug = "unreadable"
    title = N_("The item cannot be read")
    detail = N_("It must be a JSON object, but {reason}. Correct it and send it again.")


class UnreadableBody(Problem):
    """A body that is no list of updates."""

    status = 422
    slug = "unreadable"
    title = N_("The body cannot be read")
    detail = N_(
        'Send {{"updates": […]}} as JSON, or one update a line as application/x-ndjson.'
        " Nothing of this request was kept: {reason}."
    )


def _permit_id(text: str) -> str:
    if "~" in text:
        raise ValueError(N_("may not contain ~"))
    return text


Text = Annotated[
    StrictStr, Field(max_length=100, json_schema_extra=TEXT_SCHEMA), AfterValidator(storable)
]


class VehicleIn(Shape):
    """A vehicle; whatever of it is known."""

    make: Text | None = None
    model: Text | None = None
    year: Annotated[StrictInt, Field(ge=1850, le=2200)] | None = None
    colour: Text | None = None


EXAMPLE: JsonDict = {
    "id": "100014764-1",
    "version": 3,
    "plate": "ABC 123",
    "jurisdiction": "CA-QC",
    "site": "1085",
    "zones": ["G1"],
    "permit_number": "100014764",
    "valid_from": "2026-06-01",
    "valid_until": None,
    "confirmed_at": "2026-05-28T18:00:00Z",
    "status": "active",
    "vehicle": {"make": "Acura", "model": "NSX", "year": 2021, "colour": "rouge"},
}


class PlateUpdateIn(BaseModel):
    """One plate update. Its `id` and `version` make it safe to send again."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [EXAMPLE]},
    )

    id: Annotated[FeederId, AfterValidator(_permit_id)]
    version: Annotated[StrictInt, Field(ge=0, le=_MOST_BITS)]
    plate: StrictStr
    jurisdiction: StrictStr | None = None
    site: StrictStr
    zones: Annotated[list[StrictStr], Field(min_length=1, max_length=1000)]
    permit_number: FeederId
    valid_from: Day
    valid_until: Day | None = None
    confirmed_at: Instant | None = None
    ends_at: Instant | None = None
    status: Literal["active", "suspended", "cancelled"]
    vehicle: VehicleIn | None = None

    def facts(self, jurisdiction: str) -> Facts:
        """The facts, with the plate of this or the site's jurisdiction. Raises Invalid."""
        if self.valid_until is not None and self.valid_until < self.valid_from:
            raise Invalid(errors=[Problem.Error("/valid_until", N_("is before valid_from"))])
        try:
            plate = Plate.parse(self.plate, self.jurisdiction or jurisdiction)
        except UnusablePlate:
            raise Invalid(
                errors=[
                    Problem.Error("/plate", N_("is no plate: 2 to 8 of A-Z and 0-9 are needed"))
                ]
            ) from None
        except UnusableJurisdiction:
            raise Invalid(
                errors=[Problem.Error("/jurisdiction", N_("must be a code such as CA-QC"))]
            ) from None
        zones = (ALL_ZONES,) if ALL_ZONES in self.zones else tuple(dict.fromkeys(self.zones))
        v = self.vehicle
        return Facts(
            plate,
            zones,
            self.permit_number,
            self.valid_from,
            self.valid_until,
            self.confirmed_at,
            self.ends_at,
            self.status,
            NO_VEHICLE if v is None else GivenVehicle(v.make, v.model, v.year, v.colour),
        )

    def update(self, jurisdiction: str) -> PlateUpdate:
        """The update, read for a site whose jurisdiction is the default. Raises Invalid."""
        return PlateUpdate(
            self.id, self.version, self.site, mended(self.plate), self.facts(jurisdiction)
        )


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


Item = tuple[str | None, "PlateUpdateIn | Problem"]
"""The id, as far as it can be read, and the update or what is wrong with it."""

_validate = PlateUpdateIn.model_validate


Line = tuple[int, object]
"""The number of an item in what it came in, and the item: JSON that nobody has looked at, or the
Problem that kept it from being read."""


def read_item(item: object) -> Item:
    """Check one item's shape. A Problem, of a line that could not be read, stays what it is."""
    try:
        update = _validate(item)
    except ValidationError as error:
        if isinstance(item, Problem):
            return None, item
        if not isinstance(item, dict):
            return None, UnreadableItem(reason=_KINDS[type(item)])
        return id_of(item), Invalid(
            errors=[error_of(found) for found in error.errors(include_url=False)[:_MOST_ERRORS]]
        )
    return update.id, update


def id_of(item: object) -> str | None:
    """The id that `read_item` would find in it, at a tenth of the cost."""
    id = item.get("id") if isinstance(item, dict) else None
    return _without_surrogates(id)[:100] if isinstance(id, str) else None


def _whole_number(text: str) -> int | str:
    """A number; as text, which its field then refuses, when no database could keep it."""
    return int(text) if len(text) <= LONGEST_NUMBER else text


def read_json(body: bytes) -> list[Any]:
    """The items of `{"updates": […]}`. Raises UnreadableBody."""
    try:
        message = json.loads(body, parse_int=_whole_number)
    except (ValueError, RecursionError) as error:
        raise UnreadableBody(reason=_reason(error)) from error
    updates = message.get("updates") if isinstance(message, dict) else None
    if not isinstance(updates, list):
        raise UnreadableBody(reason=Sentence(N_("`updates` is missing, or is no list")))
    return updates


def read_ndjson(body: bytes) -> Iterator[object | Problem]:
    """The items of a body of lines; blank ones aside."""
    return read_lines(io.BytesIO(body))


def read_lines(lines: Iterable[bytes]) -> Iterator[object | Problem]:
    """The items in lines; blank ones aside."""
    for line in lines:
        if not line.strip():
            continue
        try:
            yield json.loads(line, parse_int=_whole_number)
        except (ValueError, RecursionError) as error:
            yield UnreadableItem(reason=_reason(error))


_KINDS = {
    list: Sentence(N_("it is a list")),
    str: Sentence(N_("it is text")),
    int: Sentence(N_("it is a number")),
    float: Sentence(N_("it is a number")),
    bool: Sentence(N_("it is true or false")),
    type(None): Sentence(N_("it is null")),
}


def _reason(error: Exception) -> Sentence:
    if isinstance(error, RecursionError):
        return Sentence(N_("it is nested too deeply"))
    if isinstance(error, UnicodeDecodeError):
        return Sentence(N_("it is not UTF-8"))
    if isinstance(error, json.JSONDecodeError):
        where = N_("it is no JSON from line {line}, column {column} on")
        return Sentence(where, line=error.lineno, column=error.colno)
    return Sentence(N_("it is no JSON"))
