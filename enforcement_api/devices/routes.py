"""Devices and enrolments over HTTP (CONTRACT, "Devices")."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field, Strict
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.devices import core, store
from enforcement_api.devices.core import EnrolmentRefused, FailureLimit, NoAuthority
from enforcement_api.devices.fleet import Fleet, Invitation, Standing
from enforcement_api.rates import one_address
from enforcement_api.security import Guard, Principal, new_secret
from enforcement_api.settings import Settings
from enforcement_api.shapes import Id, Line, Shape, page_cursor, page_position, shown_as
from sync import codec

MOST_SITES = 1000
PEM = "application/x-pem-file"

Name = Annotated[str, Path(description="The device's id.")]
Count = Annotated[int, Strict(), Field(ge=0, le=1_000_000_000, examples=[0])]


# Shapes


class NewDevice(Shape):
    """A handheld to be enrolled, and the sites whose index it may hold."""

    name: Line = Field(examples=["Handheld 7"])
    sites: Annotated[
        list[Annotated[str, Strict()]],
        Field(min_length=1, max_length=MOST_SITES, examples=[["1085"]]),
    ]


class NewDeviceOut(Shape):
    """What a person reads out to the handheld: the code is shown once."""

    id: str = Field(examples=["0b6f6c0e-5a4e-4f0e-9d0a-1f2f3a4b5c6d"])
    enrolment_code: str = Field(examples=["K7PX4RTA"])
    expires_at: str = Field(examples=["2026-11-23T15:25:00Z"])
    enrolment_link: str = Field(
        description="For a QR code. `ca`: the SHA-256 of the service's own authority (DER, in"
        " base64url), which GET /v1/authority gives.",
        examples=["patrouille://enrol?server=https://patrouille.example.org&code=K7PX4RTA"],
    )


class EnrolmentShape(Shape):
    """A code as typed: lower case, dashes and spaces do not matter."""

    code: Annotated[str, Strict(), Field(max_length=64, examples=["k7px-4rta"])]
    install_id: Annotated[
        Id | None,
        Field(
            description="The handheld's own name for its installation: with it, an answer that"
            " was lost can be asked for again while the code lives.",
            examples=["019ab1c2-7d3e-7f00-8000-3c5a1e9b2f64"],
        ),
    ] = None


class EnrolmentOut(Shape):
    """Who the handheld is, its secret, and where it works."""

    device: str = Field(examples=["0b6f6c0e-5a4e-4f0e-9d0a-1f2f3a4b5c6d"])
    token: str = Field(examples=["patrouille_device_…"])
    sites: list[str] = Field(examples=[["1085"]])


class TokenOut(Shape):
    """A device's next secret, shown once."""

    token: str = Field(examples=["patrouille_device_…"])


class DeviceCursorOut(Shape):
    """How far a device has come at a site, and how many plates a copy at that cursor holds."""

    site: str
    cursor: str
    sequence: int
    at: str
    plates_held: int


_CURSOR_EXAMPLE: dict[str, Any] = {
    "site": "1085",
    "cursor": "MSA1YjBjM2YwZTlhMWQgMTIzNCAxMDg1",
    "sequence": 1234,
    "at": "2026-11-23T18:02:44Z",
    "plates_held": 4210,
}
_EXAMPLE: dict[str, Any] = {
    "id": "0b6f6c0e-5a4e-4f0e-9d0a-1f2f3a4b5c6d",
    "name": "Handheld 7",
    "sites": ["1085"],
    "created_at": "2026-11-23T15:15:00Z",
    "enrolled_at": "2026-11-23T15:17:12Z",
    "revoked_at": None,
    "last_seen_at": "2026-11-23T18:02:44Z",
    "app_version": "0.1.0",
    "unsent": 0,
    "clock_offset_ms": -120,
    "battery_percent": 83,
    "mismatches": 0,
    "mismatched_at": None,
    "numbers_left": 41,
    "plates_held": 4210,
    "held_at_contact": 4210,
    "stale": False,
    "cursors": [_CURSOR_EXAMPLE],
}


class DeviceOut(Shape):
    """A device as last heard of.

    `unsent`: what it still had to upload. `mismatches`: how often its copy differed from the
    record and was fetched anew. `plates_held`: what it said itself, if it did;
    `held_at_contact`: how many plates its copies held at its last contact, counted from the
    record. `stale`: a copy is older than its site allows.
    """

    model_config = shown_as(_EXAMPLE)

    id: str
    name: str
    sites: list[str]
    created_at: str
    enrolled_at: str | None
    revoked_at: str | None
    last_seen_at: str | None
    app_version: str | None
    unsent: int | None
    clock_offset_ms: int | None
    battery_percent: int | None
    mismatches: int
    mismatched_at: str | None
    numbers_left: int | None
    plates_held: int | None
    held_at_contact: int
    stale: bool
    cursors: list[DeviceCursorOut]


class DevicesOut(Shape):
    """A page of devices, the oldest first."""

    model_config = shown_as({"items": [_EXAMPLE], "next_cursor": None})

    items: list[DeviceOut]
    next_cursor: str | None


class DeviceState(Shape):
    """How a device says it is doing."""

    app_version: Annotated[Line, Field(examples=["0.1.0"])]
    unsent: Annotated[int, Strict(), Field(ge=0, le=1_000_000_000, examples=[0])]
    clock_offset_ms: Annotated[
        int, Strict(), Field(ge=-(10**15), le=10**15, examples=[-120], description="Its error.")
    ]
    battery_percent: Annotated[int, Strict(), Field(ge=0, le=100)] | None = None
    mismatches: Annotated[
        Count | None, Field(description="Its copies that differed from the record, ever.")
    ] = None
    numbers_left: Annotated[
        Count | None, Field(description="Notice numbers that it can still print.")
    ] = None
    plates_held: Annotated[
        Count | None, Field(description="Different plates in its copies, as it counts them.")
    ] = None


# Routes


def router(
    *,
    record: Record,
    guard: Guard,
    settings: Settings,
    now: Callable[[], datetime],
    fleet: Fleet,
) -> APIRouter:
    """The routes of devices."""
    routes = APIRouter(prefix="/v1", tags=["devices"])
    failures = FailureLimit(settings.enrolment_failures_per_minute, now=now)
    admin, itself = guard.allow("admin"), guard.allow("device")

    @routes.post(
        "/devices",
        operation_id="createDevice",
        summary="Make a device and its enrolment code",
        status_code=201,
        response_model=NewDeviceOut,
    )
    def create_device(
        wanted: NewDevice, request: Request, principal: Principal = Depends(admin)
    ) -> NewDeviceOut:
        """The code is good once and for a few minutes; type it into the handheld, or show it the
        link as a QR code.
        """
        address = str(request.base_url)
        made = fleet.create(wanted.name, wanted.sites, asked_at=address, by=principal, at=now())
        return _invitation_out(made)

    @routes.post(
        "/devices/{id}/enrolment-code",
        operation_id="renewEnrolmentCode",
        summary="Make a fresh enrolment code for a device",
        status_code=201,
        response_model=NewDeviceOut,
        responses={409: {"description": "The device was revoked: that is for good"}},
    )
    def renew_enrolment_code(
        id: Name, request: Request, principal: Principal = Depends(admin)
    ) -> NewDeviceOut:
        """A handheld that forgot who it is enrols again as the same device: what it has not sent
        yet stays its own. Its old token is good until the code is used.
        """
        address = str(request.base_url)
        made = fleet.renew_code(id, asked_at=address, by=principal, at=now())
        return _invitation_out(made)

    @routes.get(
        "/devices",
        operation_id="listDevices",
        summary="All devices, and how they are doing",
        response_model=DevicesOut,
    )
    def list_devices(
        principal: Principal = Depends(admin),
        stale: bool | None = Query(
            default=None, description="Whether its copy is older than its site allows"
        ),
        limit: int = Query(default=50, ge=1, le=500),
        cursor: str | None = Query(default=None, max_length=500),
    ) -> DevicesOut:
        """When each was last seen, how far it has come, how many plates it holds, what it keeps."""
        after = None if cursor is None else _position(cursor)

        def read(tx: Connection) -> DevicesOut:
            found = fleet.page(
                tx, by=principal, at=now(), stale=stale, after=after, limit=limit + 1
            )
            last = found[limit - 1].device if len(found) > limit else None
            return DevicesOut(
                items=[_device_out(standing) for standing in found[:limit]],
                next_cursor=None
                if last is None
                else page_cursor(int(last.created_at.timestamp()), last.id),
            )

        return record.read(read)

    @routes.get(
        "/devices/{id}",
        operation_id="getDevice",
        summary="One device, and what it holds",
        response_model=DeviceOut,
    )
    def get_device(id: Name, principal: Principal = Depends(admin)) -> DeviceOut:
        """As in the list. Of a lost device, `held_at_contact` is what may be in other hands."""
        at = now()
        found = record.read(lambda tx: fleet.one(tx, id, by=principal, at=at))
        return _device_out(found)

    @routes.delete(
        "/devices/{id}",
        operation_id="revokeDevice",
        summary="Revoke a device",
        status_code=204,
    )
    def revoke_device(id: Name, principal: Principal = Depends(admin)) -> None:
        """From now on its token opens nothing, and the handheld wipes its index when it hears so.

        What it had recorded before is still taken.
        """
        fleet.revoke(id, by=principal, at=now())

    @routes.put(
        "/devices/self",
        operation_id="putDeviceState",
        summary="Tell how this device is doing",
        status_code=204,
    )
    def put_device_state(state: DeviceState, device: Principal = Depends(itself)) -> None:
        """A handheld tells this at each sync."""
        record.write(lambda tx: store.tell(tx, device.id, at=now(), **state.model_dump()))

    @routes.post(
        "/devices/self/token",
        operation_id="renewToken",
        summary="Ask for a new token",
        status_code=201,
        response_model=TokenOut,
    )
    def renew_token(device: Principal = Depends(itself)) -> TokenOut:
        """The old token is good until the new one has been used once, so that an answer that is
        lost locks nobody out; then it is dead. Keep the new one durably before using it.
        """
        token = new_secret("device")
        record.write(lambda tx: store.offer_token(tx, device.id, token, at=now()))
        return TokenOut(token=token)

    @routes.post(
        "/enrolments",
        operation_id="enrolDevice",
        summary="Trade an enrolment code for a token",
        status_code=201,
        response_model=EnrolmentOut,
        responses={
            403: {"description": "The code is wrong, old or used"},
            429: {"description": "Too many wrong codes; wait as long as Retry-After says"},
        },
    )
    def enrol_device(wanted: EnrolmentShape, request: Request) -> EnrolmentOut:
        """No key is needed. The token is shown once.

        The same `install_id` with the same code gets the same device, with a new token, for as
        long as the code lives.
        """
        at = now()
        token = new_secret("device")
        code = core.typed_code(wanted.code)
        with failures.attempt(one_address(request.client and request.client.host)):
            enrolled = record.write(
                lambda tx: store.enrol(
                    tx, code=code, install_id=wanted.install_id, token=token, at=at
                )
            )
            if enrolled is None:
                raise EnrolmentRefused(minutes=settings.enrolment_minutes)
        id, sites = enrolled
        guard.ring.forget(id)  # by the token that this one replaces
        return EnrolmentOut(device=id, token=token, sites=list(sites))

    @routes.get(
        "/authority",
        operation_id="getAuthority",
        summary="The certificate of the service's own authority",
        response_class=Response,
        responses={
            200: {
                "content": {PEM: {"schema": {"type": "string"}}},
                "description": "The certificate in PEM form; believe it only if its SHA-256 is"
                " the one that the enrolment link pins",
            },
            404: {"description": "The service has no authority of its own"},
        },
    )
    def get_authority() -> Response:
        """No key is needed. `ca` in the enrolment link is the SHA-256 of this certificate."""
        if fleet.authority is None:
            raise NoAuthority
        return Response(fleet.authority.pem, media_type=PEM)

    return routes


def _invitation_out(made: Invitation) -> NewDeviceOut:
    return NewDeviceOut(
        id=made.id,
        enrolment_code=made.code,
        expires_at=codec.instant(made.expires_at),
        enrolment_link=made.link,
    )


def _device_out(standing: Standing) -> DeviceOut:
    device = standing.device
    return DeviceOut(
        id=device.id,
        name=device.name,
        sites=list(device.sites),
        created_at=codec.instant(device.created_at),
        enrolled_at=codec.optional_instant(device.enrolled_at),
        revoked_at=codec.optional_instant(device.revoked_at),
        last_seen_at=codec.optional_instant(device.last_seen_at),
        app_version=device.app_version,
        unsent=device.unsent,
        clock_offset_ms=device.clock_offset_ms,
        battery_percent=device.battery_percent,
        mismatches=device.mismatches,
        mismatched_at=codec.optional_instant(device.mismatched_at),
        numbers_left=device.numbers_left,
        plates_held=device.plates_held,
        held_at_contact=standing.held_at_contact,
        stale=standing.is_stale,
        cursors=[
            DeviceCursorOut(
                site=cursor.site,
                cursor=cursor.cursor,
                sequence=cursor.sequence,
                at=codec.instant(cursor.at),
                plates_held=cursor.plates_held or 0,
            )
            for cursor in standing.cursors
        ],
    )


def _position(cursor: str) -> tuple[int, str]:
    at, id = page_position(cursor, int, str)
    return at, id
