"""Celery, which runs Django's tasks: the worker, the scheduler, and the way from a task to its queue."""

import logging
import os
import signal
from logging.config import dictConfig
from pathlib import Path
from threading import Timer
from typing import Any

from celery import Celery, bootsteps
from celery.beat import PersistentScheduler
from celery.signals import setup_logging, worker_shutting_down
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.management import call_command
from django.tasks import Task, TaskResult, TaskResultStatus
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.signals import task_enqueued
from django.utils import timezone
from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError

from background.queue import QueueAway

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Checks ask MySQL for its version, and would end worker and scheduler while it is still starting
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")

logger = logging.getLogger(__name__)

# The health checks of worker and scheduler look at its age
HEARTBEAT = Path("/tmp/heartbeat")

# Seconds that SIGTERM leaves the tasks in progress; less than stop_grace_period in docker-compose.prod.yml
GRACE = 25

app = Celery("config")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


class CeleryBackend(BaseTaskBackend):
    """Lets `.enqueue()` of Django's tasks hand them to Celery; `@shared_task` works beside it."""

    supports_defer = True

    def enqueue[**P, R](
        self, task: "Task[P, R]", args: list[Any], kwargs: dict[str, Any]
    ) -> "TaskResult[P, R]":
        """Send the task's name and arguments to the broker, or raise QueueAway in a few seconds."""
        self.validate_task(task)
        options: dict[str, Any] = {"eta": task.run_after} if task.run_after else {}
        try:
            message = run.apply_async(
                (task.module_path, args, kwargs),
                # Its name in Celery's log
                shadow=task.module_path,
                queue=task.queue_name,
                **options,
            )
        except OperationalError as error:
            raise QueueAway(str(error)) from error
        result: TaskResult[P, R] = TaskResult(
            task=task,
            id=message.id,
            status=TaskResultStatus.READY,
            enqueued_at=timezone.now(),
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        task_enqueued.send(type(self), task_result=result)
        return result


@app.task
def run(path: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Call the function of one of Django's tasks, and of nothing else."""
    task = import_string(path)
    if not isinstance(task, Task):
        raise SuspiciousOperation(f"{path} is not a task")
    task.call(*args, **kwargs)


@app.task
def clear_sessions() -> None:
    """Delete sessions that have expired; the schedule is in the settings."""
    call_command("clearsessions")


@setup_logging.connect
def log_as_django_does(**kwargs: Any) -> None:
    """Keep Celery from setting up logging its own way."""
    dictConfig(settings.LOGGING)


@worker_shutting_down.connect
def hurry(how: str, **kwargs: Any) -> None:
    """Give back the tasks that do not end in time, before Docker kills the worker with them."""
    if how == "Warm":
        timer = Timer(GRACE, os.kill, (os.getpid(), signal.SIGQUIT))
        timer.daemon = True
        timer.start()


class Heartbeat(bootsteps.StartStopStep):
    """Touches a file while the worker has its broker, and logs the length of the queue each minute."""

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
    """Log how many tasks wait."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        queue = channel.queue_declare(app.conf.task_default_queue)
    fields = {"waiting": queue.message_count}
    logger.info("%(waiting)d tasks wait", fields, extra={"fields": fields})


class Scheduler(PersistentScheduler):
    """Touches a file each time it looks at the schedule."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, and return the seconds until the next look."""
        HEARTBEAT.touch()
        wait: float = super().tick(*args, **kwargs)
        return wait
