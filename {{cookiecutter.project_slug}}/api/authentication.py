from typing import Any

from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from knox.auth import TokenAuthentication
from rest_framework.exceptions import Throttled
from rest_framework.request import Request

from api.throttling import wait_of


class BearerAuthentication(TokenAuthentication):  # type: ignore[misc]
    """Take the key of a token from `Authorization: Bearer KEY`."""

    def authenticate(self, request: Request) -> Any:
        """Return the user and the token, or None without a key; raise for a wrong one, or too many of them."""
        if "Authorization" in request.headers and (seconds := wait_of(request)):
            raise Throttled(seconds)
        return super().authenticate(request)

    def authenticate_credentials(self, token: bytes) -> Any:
        # Knox fails on bytes that are not UTF-8
        return super().authenticate_credentials(token.decode(errors="replace").encode())


class BearerScheme(KnoxTokenScheme):
    """The same for the OpenAPI document."""

    target_class = "api.authentication.BearerAuthentication"
    name = "bearer"
