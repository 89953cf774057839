"""Errors in the form of RFC 9457: whatever fails under /api/ answers application/problem+json."""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

CONTENT_TYPE = "application/problem+json"

SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {
                    "field": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

# 406 and 415 only where the framework looks at the headers behind them
STATUSES = (400, 401, 403, 404, 405, 406, 415, 429, 500)


def problem(
    status: int, detail: str = "", errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """Describe an error; `errors` says what is wrong with each field."""
    described: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
    }
    if detail:
        described["detail"] = detail
    if errors:
        described["errors"] = errors
    return described


class ProblemMiddleware:
    """Replace error pages under /api/: those of Django, of other middleware and of a failed view."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        status = response.status_code
        # While DEBUG is on, Django's page about an exception says more
        if (
            not request.path.startswith("/api/")
            or status < 400
            or (status == 500 and settings.DEBUG)
            or response.headers.get("Content-Type") == CONTENT_TYPE
        ):
            return response
        # The response stays, because its headers and cookies still count
        response.content = json.dumps(problem(status)).encode()
        response.headers["Content-Type"] = CONTENT_TYPE
        response.headers["Content-Length"] = str(len(response.content))
        return response


def document(schema: dict[str, Any]) -> dict[str, Any]:
    """Add to an OpenAPI document the errors that every operation can answer."""
    schema["components"].setdefault("schemas", {})["Problem"] = SCHEMA
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in schema["paths"].values():
        for operation in path.values():
            for status in STATUSES:
                operation["responses"].setdefault(
                    str(status),
                    {"description": HTTPStatus(status).phrase, "content": content},
                )
    return schema
