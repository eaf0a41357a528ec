"""The OpenAPI document as it really is: errors are problems, and keys are named."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from enforcement_api.problems import MEDIA_TYPE

_KEYLESS = {"enrolDevice", "getAuthority", "isLive", "isReady"}
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
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for operations in document["paths"].values():
        for operation in operations.values():
            responses = operation["responses"]
            responses.pop("422", None)
            for status, response in responses.items():
                if status[0] in "45":
                    responses[status] = _problem(response["description"])
            responses["default"] = _problem("A problem; its detail says what to do next")
            if operation["operationId"] not in _KEYLESS:
                operation["security"] = [{"key": []}]
                responses["401"] = _problem("No key, a wrong one, or a revoked device")
                responses["403"] = _problem("A key of another role or site")
    app.openapi_schema = document
    return document
