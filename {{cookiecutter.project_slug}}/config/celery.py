"""
Celery: the worker and the scheduler.

https://docs.celeryq.dev/en/stable/django/first-steps-with-django.html
"""

import logging
import os
import signal
from pathlib import Path
from threading import Timer
from typing import Any

from celery import Celery, bootsteps
from celery.beat import PersistentScheduler
from celery.signals import after_task_publish, setup_logging, worker_shutting_down
from celery.worker import state
from django.core.cache import cache
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Checks ask MySQL for its version, and would end worker and scheduler while it is still starting
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")

logger = logging.getLogger(__name__)

# The health checks of worker and scheduler look at its age
HEARTBEAT = Path("/tmp/heartbeat")

# Seconds that SIGTERM leaves a task; less than stop_grace_period in docker-compose.prod.yml
SHUTDOWN_TIMEOUT = 25

# A task whose workers were killed this often is not run again
MAX_DELIVERIES = 3

app = Celery("config")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@app.task
def clear_sessions() -> None:
    """Delete sessions that have expired; the schedule is in the settings."""
    call_command("clearsessions")


@setup_logging.connect
def keep_django_logging(**kwargs: Any) -> None:
    """Leave logging as Django has set it up: Celery does so as soon as this signal has a receiver."""


@after_task_publish.connect
def log_enqueued(sender: str, headers: dict[str, Any], **kwargs: Any) -> None:
    """Log the id of a task beside that of the request; its arguments stay secret."""
    logger.info("Task %s[%s] enqueued", sender, headers["id"])


@worker_shutting_down.connect
def requeue_late_tasks(how: str, **kwargs: Any) -> None:
    """
    Requeue the tasks that still run SHUTDOWN_TIMEOUT seconds after SIGTERM.

    Celery's worker_soft_shutdown_timeout would block the worker for all of this time, so that it
    neither ends as soon as the tasks have, nor tells the queue which of them are done.
    """
    if how == "Warm":
        timer = Timer(SHUTDOWN_TIMEOUT, requeue_running_tasks)
        timer.daemon = True
        timer.start()


def requeue_running_tasks() -> None:
    """Requeue the tasks in progress, without counting these deliveries, and end the worker."""
    try:
        for request in tuple(state.active_requests):
            count_delivery(request.id, request.request_dict["retries"], -1)
    finally:
        os.kill(os.getpid(), signal.SIGQUIT)


def count_delivery(task_id: str, retries: int, change: int = 1) -> int:
    """Change how often a task, or a retry of it, has been delivered, and return that number."""
    key = f"deliveries:{task_id}:{retries}"
    cache.add(key, 0, timeout=86_400)
    deliveries: int = cache.incr(key, change)
    return deliveries


def limit_deliveries(task: Any, task_id: str, *arguments: Any) -> None:
    """Called before each task: make one fail that may have killed its workers."""
    if count_delivery(task_id, task.request.retries) > MAX_DELIVERIES:
        raise RuntimeError(
            f"{MAX_DELIVERIES} workers were killed while running the task"
        )


app.conf.task_annotations = {"*": {"before_start": limit_deliveries}}


class Heartbeat(bootsteps.StartStopStep):
    """Touch a file while the worker has its broker: Celery's own heartbeats go to other workers."""

    requires = ("celery.worker.consumer:Connection",)

    def start(self, consumer: Any) -> None:
        """Called on each new connection to the broker."""
        HEARTBEAT.touch()
        self.timers = [
            consumer.timer.call_repeatedly(10.0, HEARTBEAT.touch),
            consumer.timer.call_repeatedly(60.0, log_queue),
        ]

    def stop(self, consumer: Any) -> None:
        """Called when the connection is gone."""
        for timer in self.timers:
            timer.cancel()


app.steps["consumer"].add(Heartbeat)


def log_queue() -> None:
    """Log how many tasks are waiting."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        waiting = channel.queue_declare(app.conf.task_default_queue).message_count
    logger.info("%d tasks are waiting", waiting, extra={"waiting": waiting})


class Scheduler(PersistentScheduler):
    """Touch a file at each look at the schedule."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Enqueue what is due, and return the seconds until the next look."""
        HEARTBEAT.touch()
        wait: float = super().tick(*args, **kwargs)
        return wait
