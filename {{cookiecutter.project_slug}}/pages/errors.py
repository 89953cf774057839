"""The page for an exception: one asks to try again later, while a server is unavailable."""

import logging
import sys

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views import defaults
# {% if cookiecutter.background_tasks == "celery" %}
from kombu.exceptions import OperationalError as QueueUnavailable
# {% endif %}

logger = logging.getLogger(__name__)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 while the database or the queue is unavailable, and 500 otherwise."""
    exception = sys.exception()
    if not is_unavailable(exception):
        return defaults.server_error(request)
    logger.error("Service Unavailable: %s: %s", request.path, exception)
    # Without the request: the template would ask the database for its user
    response = render(None, "503.html", status=503)
    response.headers["Retry-After"] = "10"
    # Django would add a traceback, and there may be many of them
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def is_unavailable(exception: BaseException | None) -> bool:
    """Whether a server is unavailable; a deadlock or a missing column is another error."""
    # {% if cookiecutter.background_tasks == "celery" %}
    if isinstance(exception, QueueUnavailable):
        return True
    # {% endif %}
    return isinstance(exception, Error) and (
        connection.connection is None or not connection.is_usable()
    )
