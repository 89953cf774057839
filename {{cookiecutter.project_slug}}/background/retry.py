"""Retries with a delay, which Django's tasks do not have."""

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, cast

from django.tasks import Task
from django.utils import timezone
from django.utils.module_loading import import_string

logger = logging.getLogger(__name__)


def retry[**P, R](
    *exceptions: type[Exception], backoff: int, max_retries: int
) -> Callable[[Callable[P, R]], Callable[P, R | None]]:
    """
    Decorate a function below @task: enqueue the task again when it raises one of the exceptions.

    The first delay is backoff seconds, and each further one is twice as long. The exception of
    the last attempt is raised.
    """

    def decorator(function: Callable[P, R]) -> Callable[P, R | None]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R | None:
            retries = cast(int, kwargs.pop("retries", 0))
            try:
                return function(*args, **kwargs)
            except exceptions as error:
                if retries == max_retries:
                    raise
                delay = backoff * 2**retries
                logger.warning("Retry in %d s: %r", delay, error)
            task: Task[..., R] = import_string(
                f"{function.__module__}.{function.__qualname__}"
            )
            later = task.using(run_after=timezone.now() + timedelta(seconds=delay))
            arguments: Any = args[1:] if task.takes_context else args
            later.enqueue(*arguments, **kwargs, retries=retries + 1)
            return None

        return run

    return decorator
