from typing import Any

from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from knox.auth import TokenAuthentication


class BearerAuthentication(TokenAuthentication):  # type: ignore[misc]
    """Take the key of a token from `Authorization: Bearer KEY`."""

    def authenticate_credentials(self, token: bytes) -> Any:
        # Knox fails on bytes that are not UTF-8
        return super().authenticate_credentials(token.decode(errors="replace").encode())


class BearerScheme(KnoxTokenScheme):  # type: ignore[no-untyped-call]
    """The same for the OpenAPI document."""

    target_class = "api.authentication.BearerAuthentication"
    name = "bearer"
