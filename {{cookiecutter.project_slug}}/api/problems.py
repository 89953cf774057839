"""Errors in the form of RFC 9457: whatever fails under /api/ answers application/problem+json."""

import json
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

CONTENT_TYPE = "application/problem+json"

SCHEMA = {
    "type": "object",
    "required": ["title", "status"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {},
    },
}


class ProblemMiddleware:
    """Rewrite errors under /api/, whether the framework, Django or a middleware answered them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        status = response.status_code
        # While DEBUG is on, Django's page about an exception says more
        if status < 400 or (status == 500 and settings.DEBUG):
            return response
        if request.path.startswith("/api/"):
            # The response stays, because its headers and cookies still count
            response.content = json.dumps(problem(response)).encode()
            response.headers["Content-Type"] = CONTENT_TYPE
            response.headers["Content-Length"] = str(len(response.content))
            if status == 401:
                response.headers.setdefault("WWW-Authenticate", "Bearer")
        return response


def problem(response: HttpResponse) -> dict[str, Any]:
    """Describe an error; `errors` is what the framework says about fields that are wrong."""
    described: dict[str, Any] = {
        "title": response.reason_phrase,
        "status": response.status_code,
    }
    if response.headers.get("Content-Type", "").startswith("application/json"):
        said = json.loads(response.content)
        if isinstance(said, dict) and isinstance(said.get("detail"), str):
            described["detail"] = said["detail"]
        else:
            described["errors"] = said
    return described


def add_problems(result: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Say in an OpenAPI document that every operation can answer with a problem."""
    result["components"]["schemas"]["Problem"] = SCHEMA
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in result["paths"].values():
        for operation in path.values():
            operation["responses"]["default"] = {
                "description": "Error",
                "content": content,
            }
    return result
