"""The worker of django-tasks-db, with what it lacks in production."""

import itertools
import logging
import os
import signal
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread, Timer, current_thread, main_thread
from typing import Any

from django.core.management import call_command
from django.db import Error, close_old_connections, connection
from django.dispatch import receiver
from django.tasks import TaskResult, TaskResultStatus
from django.tasks.signals import task_started
from django.utils import timezone
from django_tasks_db.management.commands import db_worker
from django_tasks_db.models import DBTaskResult

logger = logging.getLogger(__name__)

# The health check looks at its age
HEARTBEAT = Path("/tmp/heartbeat")

# Seconds that a task may take
TIME_LIMIT = 240

# Seconds that SIGTERM leaves a task; less than stop_grace_period in docker-compose.prod.yml
SHUTDOWN_TIMEOUT = 25

# A task whose workers were killed this often is not run again
MAX_ATTEMPTS = 3


class TimeLimitExceeded(BaseException):
    """Raised inside a task; not an Exception, which the task could catch by mistake."""


class Worker(db_worker.Worker):
    """The library's worker, which also has a heartbeat, limits tasks, and requeues abandoned ones."""

    current: DBTaskResult[..., Any] | None = None

    def run(self) -> None:
        """Run tasks until a signal, and wait for a database that is unavailable."""
        Thread(target=self.maintain, daemon=True).start()
        while True:
            try:
                return super().run()
            except Error as error:
                # Not started, not migrated, or being restarted
                message = str(error).partition("\n")[0]
                logger.warning("Database unavailable: %s", message)
                time.sleep(1)

    def maintain(self) -> None:
        """Touch the heartbeat and look after the queue every minute, in a thread of its own."""
        for minute in itertools.count():
            # run_task() does it for a task, so that one that never ends is noticed
            if not self.running_task:
                HEARTBEAT.touch()
            # run() reports a database that is unavailable
            with suppress(Error):
                close_old_connections()
                # Tasks that have been running for longer than any may: their worker was killed
                longest = timedelta(seconds=TIME_LIMIT + 60)
                running = DBTaskResult.objects.running()
                abandoned = running.filter(started_at__lt=timezone.now() - longest)
                if requeued := abandoned.update(status=TaskResultStatus.READY):
                    logger.warning("Requeued %d abandoned tasks", requeued)
                waiting = DBTaskResult.objects.ready().count()
                logger.info("%d tasks are waiting", waiting, extra={"waiting": waiting})
                if minute % 60 == 0:
                    call_command("prune_db_task_results", queue_name="*")
            time.sleep(60)

    def run_task(self, db_task_result: DBTaskResult[..., Any]) -> None:
        """Run a task, for as long as TIME_LIMIT allows."""
        HEARTBEAT.touch()
        self.current = db_task_result
        # With --reload tasks run in another thread, which gets no signal
        if current_thread() is main_thread():
            signal.alarm(TIME_LIMIT)
        try:
            super().run_task(db_task_result)
        finally:
            signal.alarm(0)

    def configure_signals(self) -> None:
        """Take signals from now on."""
        super().configure_signals()
        signal.signal(signal.SIGALRM, self.interrupt)

    def interrupt(self, *args: object) -> None:
        """Raise TimeLimitExceeded inside the task in progress."""
        if self.running_task:
            # A query that was interrupted leaves its connection unusable
            connection.close()
            raise TimeLimitExceeded

    def shutdown(self, *args: object) -> None:
        """
        End after the task in progress, or SHUTDOWN_TIMEOUT seconds later.

        The library's own would end at once between the moment it claims a task and its start.
        """
        self.running = False
        timer = Timer(SHUTDOWN_TIMEOUT, self.requeue)
        timer.daemon = True
        timer.start()

    def requeue(self) -> None:
        """Requeue the task in progress, without counting this attempt, and end the process."""
        try:
            if self.running_task and self.current:
                DBTaskResult.objects.running().filter(pk=self.current.pk).update(
                    status=TaskResultStatus.READY,
                    worker_ids=self.current.worker_ids[:-1],
                )
                logger.warning("Task id=%s requeued", self.current.pk)
        finally:
            os._exit(0)


@receiver(task_started)
def limit_attempts(task_result: "TaskResult[..., Any]", **kwargs: Any) -> None:
    """Make a task fail that may have killed its workers; the library handles the error."""
    if task_result.attempts > MAX_ATTEMPTS:
        raise RuntimeError(f"{MAX_ATTEMPTS} workers were killed while running the task")


class Command(db_worker.Command):
    # Checks ask the database, which may not answer yet
    requires_system_checks = ()

    def handle(self, **options: Any) -> None:
        # The library offers no other way to name the class
        db_worker.Worker = Worker  # type: ignore[misc]
        super().handle(**options)
