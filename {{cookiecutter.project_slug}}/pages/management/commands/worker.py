"""The worker service: takes tasks out of the database, one at a time, and neither loses nor forgets one."""

import logging
import signal
import socket
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import Error, close_old_connections, connection
from django.tasks import TaskContext, TaskResultStatus
from django.tasks.signals import task_finished, task_started
from django.utils import timezone
from django.utils.crypto import get_random_string
from django_tasks_db.models import DBTaskResult
from django_tasks_db.utils import exclusive_transaction

logger = logging.getLogger(__name__)

# The health check looks at its age
HEARTBEAT = Path("/tmp/heartbeat")

NAME = f"{socket.gethostname()}-{get_random_string(8)}"

# Seconds for one task, so that one that takes longer has lost its worker
TIME_LIMIT = 240
# Seconds that SIGTERM leaves it; less than stop_grace_period in docker-compose.prod.yml
GRACE = 25
# A task that takes its worker down with it does so three times, not for ever
ATTEMPTS = 3


class TimeIsUp(BaseException):
    """Raised inside a task; not an Exception, so that no task takes it for its own."""


class Command(BaseCommand):
    help = "Run tasks until SIGTERM, then finish the one in progress or give it back."
    # Checks ask the database, which may not answer yet
    requires_system_checks = ()

    stopping = False
    # The task in progress
    running: DBTaskResult[..., Any] | None = None

    def handle(self, *args: Any, **options: Any) -> None:
        self.listen()
        next_look, next_cleaning = 0.0, time.monotonic() + 3600
        while not self.stopping:
            HEARTBEAT.touch()
            worked = False
            try:
                close_old_connections()
                if time.monotonic() > next_look:
                    next_look = time.monotonic() + 60
                    take_up_again()
                    log_queue()
                if time.monotonic() > next_cleaning:
                    next_cleaning = time.monotonic() + 3600
                    call_command("prune_db_task_results", queue_name="*")
                worked = self.work()
            except Error as error:
                # Not there yet, or not migrated yet, or for the moment not there any more
                logger.warning("No work: %s", str(error).partition("\n")[0])
            if not worked and not self.stopping:
                time.sleep(1)

    def listen(self) -> None:
        """Take signals from now on."""
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        signal.signal(signal.SIGALRM, self.time_is_up)

    def stop(self, *args: object) -> None:
        """Take no other task; the one in progress has a while to finish."""
        self.stopping = True
        if self.running:
            signal.alarm(GRACE)

    def time_is_up(self, *args: object) -> None:
        """Interrupt the task in progress."""
        if self.running:
            raise TimeIsUp

    def work(self) -> bool:
        """Run the next task, if there is one."""
        waiting = DBTaskResult.objects.ready()
        with exclusive_transaction(waiting.db):
            result = waiting.get_locked()
            if not result:
                return False
            result.claim(NAME)
        self.run(result)
        return True

    def run(self, result: DBTaskResult[..., Any]) -> None:
        """Run a task that is claimed, and write down how it ended."""
        try:
            sender = type(result.task.get_backend())
            task_started.send(sender, task_result=result.task_result)
            result.set_successful(self.call(result))
            task_finished.send(sender, task_result=result.task_result)
        except BaseException as error:
            if isinstance(error, TimeIsUp):
                # It may have been interrupted in the middle of an answer
                connection.close()
                if self.stopping:
                    give_back(result)
                    return
            result.set_failed(error)
            logger.exception("Task id=%s path=%s failed", result.pk, result.task_path)

    def call(self, result: DBTaskResult[..., Any]) -> Any:
        """Call the function of a task, for as long as it may take."""
        task, arguments = result.task, result.args_kwargs
        context = [TaskContext(task_result=result.task_result)]
        signal.alarm(TIME_LIMIT)
        self.running = result
        if self.stopping:
            signal.alarm(GRACE)
        try:
            return task.call(
                *(context if task.takes_context else []),
                *arguments["args"],
                **arguments["kwargs"],
            )
        finally:
            self.running = None
            signal.alarm(0)


def give_back(result: DBTaskResult[..., Any]) -> None:
    """Put a task back into the queue, unless another worker has done that already."""
    claimed = DBTaskResult.objects.running().filter(
        pk=result.pk, started_at=result.started_at
    )
    if claimed.update(status=TaskResultStatus.READY):
        logger.warning("Task id=%s path=%s given back", result.pk, result.task_path)


def take_up_again() -> None:
    """Put back the tasks whose worker was killed: they run for longer than any may."""
    earliest = timezone.now() - timedelta(seconds=TIME_LIMIT + 60)
    for result in DBTaskResult.objects.running().filter(started_at__lt=earliest):
        if len(result.worker_ids) < ATTEMPTS:
            give_back(result)
        else:
            result.set_failed(TimeIsUp())
            logger.error("Task id=%s path=%s given up", result.pk, result.task_path)


def log_queue() -> None:
    """Log how many tasks wait."""
    waiting = DBTaskResult.objects.ready().count()
    logger.info("%d tasks wait", waiting, extra={"fields": {"waiting": waiting}})
