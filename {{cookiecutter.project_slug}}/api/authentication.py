"""Who calls: a program with a token, or a person whose browser is logged in."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from api.models import Token
from users.models import User


class BearerAuthentication(BaseAuthentication):
    """Take the key of a token from `Authorization: Bearer KEY`."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        user = Token.objects.user_of(key)
        if user is None:
            raise AuthenticationFailed("The token is unknown or has expired.")
        return user, None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
