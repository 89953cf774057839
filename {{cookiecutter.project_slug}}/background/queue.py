"""
Work for the worker: give it away with enqueue_after_commit, and try_again when it fails.

https://docs.djangoproject.com/en/6.1/topics/tasks/
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.tasks import Task
from django.utils import timezone

logger = logging.getLogger(__name__)

type Job = Task[..., Any]

ATTEMPTS = 6


class QueueAway(Exception):
    """The queue takes no task now."""


def enqueue_after_commit(task: Job, **arguments: Any) -> None:
    """Give a task to the worker once the data it needs is there to be seen; arguments are JSON."""
    transaction.on_commit(lambda: enqueue(task, **arguments))


def enqueue(task: Job, **arguments: Any) -> None:
    """Give a task to the worker, and log its id under that of the request; arguments stay secret."""
    result = task.enqueue(**arguments)
    fields = {"task": task.module_path, "task_id": result.id}
    logger.info("Enqueued %(task)s %(task_id)s", fields, extra={"fields": fields})


def try_again(task: Job, error: Exception, attempt: int, **arguments: Any) -> None:
    """
    Enqueue a task that has failed once more: after 10 seconds, then after twice as long each time.
    The last attempt, or a queue that cannot wait, raises the error.
    """
    if attempt >= ATTEMPTS or not task.get_backend().supports_defer:
        raise error
    delay = timedelta(seconds=10 * 2 ** (attempt - 1))
    logger.warning(
        "%s failed (%r), attempt %d of %d", task.name, error, attempt, ATTEMPTS
    )
    later = task.using(run_after=timezone.now() + delay)
    enqueue(later, attempt=attempt + 1, **arguments)


class QueueAwayMiddleware:
    """Answer 503 with a page that says so when the queue, or the database, is away."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, error: Exception
    ) -> HttpResponse | None:
        """Called by Django with what a view raised; None leaves it to the usual error page."""
        if settings.DEBUG or not isinstance(
            error, QueueAway | OperationalError | InterfaceError
        ):
            return None
        logger.error("Queue or database away", exc_info=error)
        # Without the request: its user would be asked of the database
        response = render(None, "503.html", status=503)
        response.headers["Retry-After"] = "10"
        return response
