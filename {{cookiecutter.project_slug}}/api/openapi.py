"""The OpenAPI document, with what drf-spectacular cannot know."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.views import SpectacularJSONAPIView

from api.authentication import BearerAuthentication
from api.problems import document


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How programs authenticate."""

    target_class = BearerAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


def add_problems(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Add the errors; the settings name this function."""
    return document(result)


openapi = SpectacularJSONAPIView.as_view()
