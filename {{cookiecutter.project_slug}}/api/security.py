"""Who calls: a program with a token, or a person whose browser is logged in."""

import threading

from django.http import HttpRequest
from ninja.errors import AuthenticationError, AuthorizationError
from ninja.security import HttpBearer, SessionAuth
from ninja.throttling import UserRateThrottle
from ninja.utils import check_csrf

from api.models import Token
from users.models import User


class Bearer(HttpBearer):
    """Take the key of a token from `Authorization: Bearer KEY`."""

    def authenticate(self, request: HttpRequest, token: str) -> User:
        user = Token.objects.user_of(token)
        if user is None:
            raise AuthenticationError(message="The token is unknown or has expired.")
        request.user = user
        return user


class Session(SessionAuth):
    """Take the user of the session; a request that changes something needs the CSRF token."""

    def __init__(self) -> None:
        # Checked below, once someone is logged in: nobody at all is a 401, not a 403
        super().__init__(csrf=False)

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        if not isinstance(request.user, User):
            return None
        if check_csrf(request):
            raise AuthorizationError(message="The CSRF token is missing or wrong.")
        return request.user


class Throttle(threading.local, UserRateThrottle):
    """Count the requests of a user, or of an address.

    One object serves all threads and keeps the request at hand, so each thread has its own.
    """

    def get_ident(self, request: HttpRequest) -> str:
        """The address that the server sees, not what X-Forwarded-For claims."""
        return str(request.META["REMOTE_ADDR"])
