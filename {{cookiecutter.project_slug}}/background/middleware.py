"""A page that says so when the queue or the database is unavailable."""

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
# {% if cookiecutter.background_tasks == "celery" %}
from kombu.exceptions import OperationalError as QueueUnavailable
# {% endif %}

logger = logging.getLogger(__name__)


class ServiceUnavailableMiddleware:
    """Answer 503 and ask for a retry while the queue or the database is unavailable."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Called by Django with what a view raised; None leaves it to the usual error page."""
        if settings.DEBUG or not is_unavailable(exception):
            return None
        logger.error("Queue or database unavailable", exc_info=exception)
        # Without the request: the template would ask the database for its user
        response = render(None, "503.html", status=503)
        response.headers["Retry-After"] = "10"
        return response


def is_unavailable(exception: Exception) -> bool:
    """Whether a server is unavailable; a deadlock or a missing column is another error."""
    # {% if cookiecutter.background_tasks == "celery" %}
    if isinstance(exception, QueueUnavailable):
        return True
    # {% endif %}
    return isinstance(exception, Error) and (
        connection.connection is None or not connection.is_usable()
    )
