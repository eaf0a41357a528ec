"""Attached files over HTTP."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from enforcement_api.database.engine import Record
from enforcement_api.problems import N_, Invalid, Problem, TooLarge
from enforcement_api.security import Guard, Principal
from enforcement_api.settings import Settings
from enforcement_api.shapes import UUID_PATTERN, capped_body, mebibytes, shown_as
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import attachments
from enforcement_api.subscriptions.attachments import Attachment, FileTooLarge, Purpose
from enforcement_api.subscriptions.desk import Desk
from sync import codec

LONGEST_GIVEN_NAME = 1000
_KINDS = ("image/jpeg", "image/png", "application/pdf")
_AT_ONCE = 4

_EXAMPLE: dict[str, Any] = {
    "id": "01979dd0-7c1c-7c43-9d14-6f2f2ddbb8a1",
    "site": "1085",
    "purpose": "proof",
    "name": "lettre de stage.pdf",
    "media_type": "application/pdf",
    "bytes": 81234,
    "received_at": "2026-11-23T15:15:00Z",
}


class AttachmentOut(BaseModel):
    """A file that was received. `name` and `bytes` are those of what can be downloaded."""

    model_config = shown_as(_EXAMPLE)

    id: str
    site: str
    purpose: Purpose
    name: str
    media_type: str
    bytes: int
    received_at: str


AttachmentId = Annotated[
    str,
    Path(
        description="The client's UUID",
        examples=[_EXAMPLE["id"]],
        json_schema_extra={"pattern": UUID_PATTERN},
    ),
]
_BINARY = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _KINDS}


def attachment_json(attachment: Attachment) -> dict[str, Any]:
    """A file as it is answered."""
    return {
        "id": attachment.id,
        "site": attachment.site,
        "purpose": attachment.purpose,
        "name": attachment.name,
        "media_type": attachment.media_type,
        "bytes": attachment.bytes,
        "received_at": codec.instant(attachment.received_at),
    }


def disposition(name: str) -> str:
    """The header that has a browser save a file, under this name or a plainer one (RFC 8187)."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    safe = "".join(c if c.isalnum() or c in " ._-()" else "_" for c in plain)
    return f"attachment; filename=\"{safe}\"; filename*=UTF-8''{quote(name, safe='')}"


def download(attachment: Attachment, content: bytes) -> Response:
    """A file as an answer that no browser shows, runs or keeps."""
    return Response(
        content,
        media_type=attachment.media_type,
        headers={
            "Content-Disposition": disposition(attachment.name),
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "no-store",
        },
    )


def router(
    *, record: Record, guard: Guard, settings: Settings, desk: Desk, now: Callable[[], datetime]
) -> APIRouter:
    """The routes of attached files."""
    routes = APIRouter(prefix="/v1/attachments", tags=["attachments"])
    admin = Depends(guard.allow("admin"))
    # Threads of their own: who waits for a file to be looked into holds nobody else up.
    threads = CapacityLimiter(_AT_ONCE)

    @routes.put(
        "/{id}",
        operation_id="putAttachment",
        summary="Hand over a file",
        response_model=AttachmentOut,
        status_code=201,
        responses={
            200: {"model": AttachmentOut, "description": "Received before"},
            409: {"description": "Another file was received under this id, or it was removed"},
            422: {"description": "The file cannot be taken; `detail` says what to do"},
        },
        openapi_extra={"requestBody": {"required": True, "content": _BINARY}},
    )
    async def put_attachment(
        request: Request,
        id: AttachmentId,
        site: Annotated[str, Query(description="The site's code", examples=["1085"])],
        purpose: Annotated[Purpose, Query(description="What it is for; void cheques: `cheque`")],
        name: Annotated[
            str,
            Query(
                max_length=LONGEST_GIVEN_NAME,
                description="What its sender calls it; left out: `document`",
            ),
        ] = "",
        by: Principal = admin,
    ) -> Response:
        """A JPEG, a PNG or a PDF, by what is in it: pictures are made anew without place and time,
        PDFs are refused if they do anything by themselves. Safe to send again. What a request, a
        message or a payment does not name within a day is deleted.
        """
        if not attachments.is_id(id):
            told = N_("must be a UUID such as 01939a7e-5c1b-7c7e-8f5e-3a1d2b4c5d6e")
            raise Invalid(errors=[Problem.Error("/path/id", told)])
        by.check_site(site)
        most = mebibytes(attachments.largest(settings, purpose))
        try:
            body = await capped_body(request, attachments.largest(settings, purpose), most)
        except TooLarge:
            raise FileTooLarge(limit=most) from None

        def keep() -> Response:
            record.read(lambda tx: sites.site(tx, site))
            kept, is_new = attachments.receive(
                record,
                settings,
                site=site,
                id=id.lower(),
                purpose=purpose,
                name=name,
                content=body,
                by=by.actor,
                at=now().replace(microsecond=0),
            )
            return JSONResponse(attachment_json(kept), 201 if is_new else 200)

        return await to_thread.run_sync(keep, limiter=threads)

    @routes.get(
        "/{id}",
        operation_id="getAttachment",
        summary="A file",
        response_class=Response,
        responses={
            200: {"content": _BINARY, "description": "To be saved, never to be shown in place"},
            404: {"description": "There is no such file, or none any more"},
        },
    )
    def get_attachment(id: AttachmentId, by: Principal = admin) -> Response:
        """The file as it was kept. That somebody read a void cheque is written down."""
        found, content = desk.read_file(id, by=by, at=now())
        return download(found, content)

    @routes.delete(
        "/{id}",
        operation_id="deleteAttachment",
        summary="Remove a file",
        status_code=204,
        responses={404: {"description": "There is no such file, or none any more"}},
    )
    def delete_attachment(id: AttachmentId, by: Principal = admin) -> None:
        """For what should never have been sent. What named it says that it was removed."""
        desk.remove_file(id, by=by, at=now())

    return routes
