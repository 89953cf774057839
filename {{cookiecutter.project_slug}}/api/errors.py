from collections.abc import Iterator
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler

from api.problems import CONTENT_TYPE, problem


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn an error of REST framework into a problem; what it does not know is left to Django."""
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, ValidationError):
        errors = list(flat(error.detail))
        response.data = problem(response.status_code, "Some values are wrong.", errors)
    else:
        response.data = problem(response.status_code, str(response.data["detail"]))
    response.content_type = CONTENT_TYPE
    return response


def flat(detail: Any, field: str = "") -> Iterator[dict[str, str]]:
    """List nested errors, each with the path of its field; the whole has the empty path."""
    if isinstance(detail, str):
        yield {"field": field.removesuffix("non_field_errors"), "detail": detail}
        return
    # A list holds messages, or the errors of the items of a list
    for key, inner in detail.items() if isinstance(detail, dict) else enumerate(detail):
        leads_to_field = not isinstance(inner, str)
        yield from flat(inner, f"{field}.{key}".strip(".") if leads_to_field else field)
