from django.http import HttpRequest
from ninja.errors import AuthenticationError, Throttled
from ninja.security import HttpBearer

from api.models import Token
from api.throttling import wait_of
from users.models import User


class Bearer(HttpBearer):
    """Take the key of a token from `Authorization: Bearer KEY`."""

    def authenticate(self, request: HttpRequest, token: str) -> User:
        if seconds := wait_of(request):
            raise Throttled(wait=seconds)
        user = Token.user_of(token)
        if user is None:
            raise AuthenticationError(message="The token is unknown or has expired.")
        request.user = user
        return user
