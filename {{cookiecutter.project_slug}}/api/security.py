from threading import local

from django.http import HttpRequest
from ninja.errors import AuthenticationError
from ninja.security import HttpBearer
from ninja.throttling import UserRateThrottle

from api.models import Token
from users.models import User


class Bearer(HttpBearer):
    """Take the key of a token from `Authorization: Bearer KEY`."""

    def authenticate(self, request: HttpRequest, token: str) -> User:
        user = Token.user_of(token)
        if user is None:
            raise AuthenticationError(message="The token is unknown or has expired.")
        request.user = user
        return user


class Throttle(local, UserRateThrottle):
    """Count requests by thread: the class itself keeps the one at hand in an object that all threads share."""
