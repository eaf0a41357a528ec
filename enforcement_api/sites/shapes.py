"""What requests about sites, patrollers and the hotlist are made of, and what answers show."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    ValidationError,
)

from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.shapes import (
    JURISDICTION_PATTERN,
    TEXT_SCHEMA,
    WORD_SCHEMA,
    Day,
    Instant,
    Line,
    Localized,
    Note,
    Shape,
    Word,
    storable,
    word,
)
from enforcement_api.sites import core
from enforcement_api.sites.core import SitePlan
from sync import codec
from sync.entities import (
    ALL_ZONES,
    HotlistEntry,
    InfractionCode,
    Instrument,
    Lot,
    NoNotice,
    Site,
    Zone,
)
from sync.plates import Plate, UnusablePlate

MOST_PHOTOS = 10
LARGEST_AMOUNT = 100_000_000
"""Cents: a million dollars is a slip of the keyboard."""

Jurisdiction = Annotated[
    str,
    Strict(),
    AfterValidator(core.check_jurisdiction),
    Field(examples=["CA-QC"], json_schema_extra={"pattern": JURISDICTION_PATTERN}),
]


# Shapes


class ZoneShape(Shape):
    """Where a permit is good. `name`: the code, if left out; `note` is shown with every verdict."""

    code: Word
    name: Localized | None = None
    note: Localized | None = None

    def entity(self) -> Zone:
        """The zone."""
        name = {"fr": self.code, "en": self.code} if self.name is None else _texts(self.name)
        return Zone(self.code, name, None if self.note is None else _texts(self.note))


def _area(value: Any) -> Any:
    if value is not None:
        core.area_text(value)
    return value


class LotShape(Shape):
    """One car park. `area` is a GeoJSON Polygon or MultiPolygon."""

    code: Word
    name: Line | None = None
    zone: Word | None = None
    area: Annotated[dict[str, Any] | None, BeforeValidator(_area)] = None

    def entity(self) -> Lot:
        """The lot."""
        area = None if self.area is None else core.area_text(self.area)
        return Lot(self.code, self.name or self.code, self.zone, area)


class AmountShape(Shape):
    """What a code costs from a date on."""

    from_: Day = Field(alias="from")
    amount_cents: Annotated[int, Strict(), Field(ge=0, le=LARGEST_AMOUNT)]


def _photos_required(value: Any) -> Any:
    if not isinstance(value, bool) and not (isinstance(value, int) and 0 <= value <= MOST_PHOTOS):
        raise ValueError(N_("must be true, false, or a number of photos from 0 to 10"))
    return value


class CodeShape(Shape):
    """What a vehicle can be noticed for."""

    code: Word
    title: Localized
    instruments: list[Instrument] = Field(default=["avis", "constat"], min_length=1, max_length=2)
    article: Line | None = None
    amounts: list[AmountShape] = Field(default=[], max_length=core.MOST_AMOUNTS)
    photos_required: Annotated[
        bool | Annotated[int, Field(ge=0, le=MOST_PHOTOS)], BeforeValidator(_photos_required)
    ] = Field(default=False, description="Whether, or how many, photos a patroller must take.")
    active: Annotated[bool, Strict()] = True

    def entity(self) -> InfractionCode:
        """The code."""
        return InfractionCode(
            id=self.code,
            title=_texts(self.title),
            instruments=tuple(dict.fromkeys(self.instruments)),
            article=self.article,
            amounts=tuple(
                {"from": amount.from_.isoformat(), "amount_cents": amount.amount_cents}
                for amount in self.amounts
            ),
            photos_required=self.photos_required,
            active=self.active,
        )


ZoneOrAll = Annotated[
    str,
    Strict(),
    AfterValidator(lambda z: z if z == ALL_ZONES else word(z)),
    Field(json_schema_extra={"anyOf": [{"const": ALL_ZONES}, WORD_SCHEMA]}),
]


def _reason(value: Any) -> str | Localized:
    try:
        if isinstance(value, str):
            return _NOTE.validate_python(value)
        return Localized.model_validate(value)
    except ValidationError as error:
        raise ValueError(N_("must be text, or one text in `fr` and one in `en`")) from error


_NOTE: TypeAdapter[str] = TypeAdapter(Note)


class WindowShape(Shape):
    """When no notice is to be issued, such as in a snow storm: `from` included, `until` not."""

    from_: Instant = Field(alias="from")
    until: Instant
    zones: list[ZoneOrAll] = Field(default=[ALL_ZONES], min_length=1, max_length=core.MOST_ZONES)
    reason: Annotated[Note | Localized, BeforeValidator(_reason)]

    def entity(self) -> NoNotice:
        """The window."""
        reason = self.reason if isinstance(self.reason, str) else _texts(self.reason)
        return NoNotice(self.from_, self.until, tuple(dict.fromkeys(self.zones)), reason)


def _standard_codes() -> list[CodeShape]:
    return [CodeShape.model_validate(_code_json(code)) for code in core.STANDARD_CODES]


_SITE_EXAMPLE: dict[str, Any] = {
    "name": "CIUSSS de l'Estrie - CHUS",
    "address": "375 rue Argyll, J1J 3H5, Sherbrooke, QC",
    "time_zone": "America/Toronto",
    "jurisdiction": "CA-QC",
    "instrument": "avis",
    "activation_hours": 24,
    "retention_days": 90,
    "stale_after_hours": None,
    "zones": [
        {
            "code": "G1",
            "name": {"fr": "Général, zone 1", "en": "General, zone 1"},
            "note": {
                "fr": "La nuit, le personnel peut utiliser les places de visiteurs.",
                "en": "At night, staff may use the visitors' spaces.",
            },
        }
    ],
    "lots": [
        {
            "code": "ARGYLL",
            "name": "375, rue Argyll",
            "zone": "G1",
            "area": {
                "type": "Polygon",
                "coordinates": [
                    [[-71.901, 45.405], [-71.9, 45.405], [-71.9, 45.406], [-71.901, 45.405]]
                ],
            },
        }
    ],
    "codes": [
        {
            "code": "P01",
            "title": {"fr": "Sans permis valide", "en": "No valid permit"},
            "instruments": ["avis"],
            "article": None,
            "amounts": [{"from": "2026-01-01", "amount_cents": 6000}],
            "photos_required": 2,
            "active": True,
        }
    ],
    "no_notice": [
        {
            "from": "2026-12-24T05:00:00Z",
            "until": "2026-12-26T05:00:00Z",
            "zones": ["*"],
            "reason": {"fr": "Tempête de neige", "en": "Snow storm"},
        }
    ],
}


class SettingsShape(Shape):
    """What is set for a site, its zones, lots, codes and windows aside."""

    name: Line
    address: Annotated[
        str,
        Strict(),
        Field(max_length=500, json_schema_extra=TEXT_SCHEMA),
        AfterValidator(storable),
    ] = ""
    time_zone: Annotated[str, Strict(), AfterValidator(core.check_time_zone)] = "America/Toronto"
    jurisdiction: Jurisdiction = "CA-QC"
    instrument: Instrument = "avis"
    activation_hours: Annotated[int, Strict(), Field(ge=0, le=8760)] = 24
    retention_days: Annotated[int, Strict(), Field(ge=0, le=3000)] = 90
    stale_after_hours: Annotated[
        Annotated[int, Strict(), Field(ge=1, le=8760)] | None,
        Field(description="null: the activation delay, at least one hour."),
    ] = None

    def settings(self, id: str, no_notice: tuple[NoNotice, ...] = ()) -> Site:
        """The site's settings."""
        return Site(
            id=id,
            name=self.name,
            address=self.address,
            time_zone=self.time_zone,
            jurisdiction=self.jurisdiction,
            instrument=self.instrument,
            activation_hours=self.activation_hours,
            retention_days=self.retention_days,
            stale_after_hours=self.stale_after_hours,
            no_notice=no_notice,
            pruned_at=None,
        )


class SiteShape(SettingsShape):
    """A site whole. What is left out takes its default, also when there was something before."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SITE_EXAMPLE]})

    zones: list[ZoneShape] = Field(
        default=[],
        max_length=core.MOST_ZONES,
        description="A site without zones takes permits of `*` only, and nothing can be checked.",
    )
    lots: list[LotShape] = Field(default=[], max_length=core.MOST_LOTS)
    codes: list[CodeShape] = Field(
        default_factory=_standard_codes,
        max_length=core.MOST_CODES,
        description="Left out: the usual list, P01 to M02.",
    )
    no_notice: list[WindowShape] = Field(default=[], max_length=core.MOST_WINDOWS)

    def plan(self, id: str) -> SitePlan:
        """The site whole. Raises Invalid where its parts contradict each other."""
        plan = SitePlan(
            site=self.settings(id, tuple(window.entity() for window in self.no_notice)),
            zones=tuple(zone.entity() for zone in self.zones),
            lots=tuple(lot.entity() for lot in self.lots),
            codes=tuple(code.entity() for code in self.codes),
        )
        errors = list(plan.errors())
        if errors:
            raise Invalid(errors=errors)
        return plan


class NamesShape(Shape):
    """What a patroller is called."""

    badge: Word = Field(examples=["417"])
    name: Line = Field(examples=["Marie Tremblay"])


class PatrollerShape(NamesShape):
    """Who walks. The PIN is 6 digits; it is never answered."""

    pin: Annotated[str, Strict(), AfterValidator(core.check_pin)] = Field(
        examples=["204816"], json_schema_extra={"pattern": "^[0-9]{6}$", "writeOnly": True}
    )


class PatrollerOut(Shape):
    """A patroller as answered."""

    id: str = Field(examples=["marie"])
    badge: str = Field(examples=["417"])
    name: str = Field(examples=["Marie Tremblay"])


class HotlistEntryShape(Shape):
    """A plate that a supervisor wants seen. `jurisdiction`: the site's, if left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "plate": "ABC 123",
                    "jurisdiction": "CA-QC",
                    "reason": "Volé",
                    "priority": "high",
                    "instructions": "Appeler le superviseur.",
                    "expires_at": "2027-01-31T05:00:00Z",
                }
            ]
        }
    )

    plate: Annotated[str, Strict()]
    jurisdiction: Jurisdiction | None = None
    reason: Line
    priority: Literal["low", "high"]
    instructions: Note | None = None
    expires_at: Instant | None = None

    def entity(self, id: str, site: Site) -> HotlistEntry:
        """The entry. Raises Invalid for a plate that is none."""
        try:
            plate = Plate.parse(self.plate, self.jurisdiction or site.jurisdiction)
        except UnusablePlate as error:
            raise Invalid(errors=[Problem.Error("/plate", _UNUSABLE_PLATE)]) from error
        return HotlistEntry(
            id=id,
            plate=plate,
            reason=self.reason,
            priority=self.priority,
            instructions=self.instructions,
            expires_at=self.expires_at,
        )


_UNUSABLE_PLATE = N_("is no plate: 2 to 8 of the letters A-Z and the digits 0-9 must remain")


class HotlistEntryOut(Shape):
    """An entry as the feed carries it."""

    id: str = Field(examples=["stolen-17"])
    plate: str = Field(examples=["ABC123"])
    jurisdiction: str = Field(examples=["CA-QC"])
    reason: str = Field(examples=["Volé"])
    priority: Literal["low", "high"]
    instructions: str | None
    expires_at: Instant | None


def _texts(text: Localized) -> dict[str, str]:
    return {"fr": text.fr, "en": text.en}


def _code_json(code: InfractionCode) -> dict[str, Any]:
    record = dict(codec.change_of(code).record or {})
    return {"code": record.pop("id")} | record


def site_json(plan: SitePlan) -> dict[str, Any]:
    """A site as it is answered: what a PUT takes."""
    record = dict(codec.change_of(plan.site).record or {})
    del record["id"], record["pruned_at"]
    no_notice = record.pop("no_notice")
    return {
        **record,
        "zones": [
            {"code": z.id, "name": z.name} | ({"note": z.note} if z.note else {})
            for z in plan.zones
        ],
        "lots": [
            {
                "code": lot.id,
                "name": lot.name,
                "zone": lot.zone,
                "area": None if lot.area is None else json.loads(lot.area),
            }
            for lot in plan.lots
        ],
        "codes": [_code_json(code) for code in plan.codes],
        "no_notice": no_notice,
    }


def outline(plan: SitePlan) -> dict[str, Any]:
    """A site for the log: its settings, and what its zones, lots and codes are called."""
    shown = site_json(plan)
    return shown | {
        part: [each["code"] for each in shown[part]] for part in ("zones", "lots", "codes")
    }
