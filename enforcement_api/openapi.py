"""The OpenAPI document as it really is: errors are problems, and keys are named."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from enforcement_api.problems import MEDIA_TYPE

_KEYLESS = {"enrolDevice", "getAuthority", "isLive", "isReady", "tellPaymentEvent"}
_KEY_OR_LOCAL = {"getMetrics"}
"""What asks for a key only when it is asked from another machine."""
_STATELESS = {"isLive"}
"""What asks neither the record nor the disk."""
_TAGS = (
    "sites",
    "plate updates",
    "checks",
    "infractions",
    "sync",
    "devices",
    "numbers",
    "events",
    "patrols",
    "patrollers",
    "hotlist",
    "products",
    "holders",
    "requests",
    "subscriptions",
    "payments",
    "courtesy",
    "attachments",
    "operations",
)
"""The chapters, in a reader's order; routes stand in that in which they are looked for."""
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457; `title` and `detail` follow Accept-Language.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["/problems/unknown-site"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do next."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def _problems(operation: dict[str, Any]) -> dict[str, str]:
    """What any operation of its kind may be answered with, besides what it says itself."""
    parameters = operation.get("parameters", ())
    places = {parameter["in"] for parameter in parameters}
    told: dict[str, str] = {}
    if operation["operationId"] not in _KEYLESS:
        told["401"] = "No key, a wrong one, or a revoked device"
        told["403"] = "A key of another role or site"
    if "path" in places or "site" in {parameter["name"] for parameter in parameters}:
        told["404"] = "There is nothing of that name"
    if "requestBody" in operation:
        told["408"] = "The body stopped arriving"
        told["413"] = "The body is too large"
        told["415"] = "This kind of body, or its compression, is not taken here"
    if places or "requestBody" in operation:
        told["422"] = "The request has values that cannot be taken: `errors` says where"
    if operation["operationId"] not in _STATELESS:
        told["429"] = "Too many requests: wait as long as Retry-After says"
        told["503"] = "The record is busy or cannot be reached: try again"
        told["507"] = "The service cannot write to its disk; nothing was kept"
    return told


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, made once: FastAPI's, with our errors in the place of its own."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        summary=app.summary,
        license_info=app.license_info,
        routes=app.routes,
        tags=[{"name": name} for name in _TAGS],
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for operations in document["paths"].values():
        for operation in operations.values():
            if operation["operationId"] in _KEY_OR_LOCAL:
                operation["security"] = [{}, {"key": []}]
            elif operation["operationId"] not in _KEYLESS:
                operation["security"] = [{"key": []}]
            said = operation["responses"]
            if "HTTPValidationError" in str(said.get("422")):  # FastAPI's own
                del said["422"]
            told = _problems(operation)
            told |= {status: said[status]["description"] for status in said if status[0] in "45"}
            said |= {status: _problem(told[status]) for status in sorted(told)}
    app.openapi_schema = document
    return document
