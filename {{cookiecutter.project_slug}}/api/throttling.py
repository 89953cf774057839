"""The limit of the API, API_RATE: each request counts once, by its user or by its address."""

from collections.abc import Callable
from threading import local
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
# {% if cookiecutter.rest_api == "drf" %}
from rest_framework.throttling import BaseThrottle
# {% endif %}
# {% if cookiecutter.rest_api == "ninja" %}
from ninja.throttling import BaseThrottle
# {% endif %}

from users.throttling import Limit, address_of, count, wait

SECONDS = {"sec": 1, "min": 60, "hour": 3600, "day": 86400}


def limit() -> Limit:
    """Return API_RATE as numbers."""
    number, _, period = settings.API_RATE.partition("/")
    return Limit(int(number), SECONDS[period])


def count_once(request: Any) -> int:
    """Count a request of Django or of a framework, and return 0, or the seconds to wait."""
    if "api.counted" in request.META:
        return 0
    request.META["api.counted"] = True
    user = getattr(request, "user", None)
    name = user.pk if user and user.is_authenticated else address_of(request)
    return count(limit(), "api", name)


def wait_of(request: Any) -> int:
    """Return for how many seconds no key is taken from the address of a request, or 0."""
    return wait(limit(), "api", address_of(request))


class Throttle(local, BaseThrottle):
    """Counts before the view; the threads share Ninja's object, but not what it knows."""

    seconds = 0

    def allow_request(self, request: Any, view: Any = None) -> bool:
        """Whether the request is within the limit."""
        self.seconds = count_once(request)
        return not self.seconds

    def wait(self) -> float:
        """Return the seconds of Retry-After."""
        return self.seconds


class ThrottlingMiddleware:
    """Counts what a framework refuses before it asks Throttle, such as a wrong key."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path.startswith("/api/"):
            return response
        if response.status_code in (401, 403) and (seconds := count_once(request)):
            return HttpResponse(status=429, headers={"Retry-After": str(seconds)})
        return response
