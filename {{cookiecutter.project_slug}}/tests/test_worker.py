"""The worker runs what is enqueued, stops without losing a task, and requeues what a killed worker left."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.core.mail import EmailMessage
from django.core.management import call_command
from django.db import OperationalError, transaction
from django.dispatch import receiver
from django.tasks import TaskContext, TaskResult, task
from django.tasks.signals import task_finished
from django.test import Client
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from pytest_django import Settings

from background.management.commands import worker
from background.retry import retry
from users.models import User
from users.tasks import send_password_reset


@task(takes_context=True)
def add(context: "TaskContext[..., int]", a: int, b: int) -> int:
    return a + b


@task
def fail() -> None:
    raise ValueError("wrong")


@task(takes_context=True)
@retry(ValueError, backoff=10, max_retries=1)
def fail_again(context: "TaskContext[..., None]", message: str) -> None:
    raise ValueError(message)


@task
def get_signal(number: int) -> None:
    signal.raise_signal(number)


@pytest.fixture(autouse=True)
def worker_of_a_test(
    transactional_db: None,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[None]:
    """Tasks go to the database; a worker leaves the process of the test, and its signals, alone."""
    settings.TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
    monkeypatch.setattr(worker, "HEARTBEAT", tmp_path / "heartbeat")
    monkeypatch.setattr(worker.Command, "configure_logging", MagicMock())
    monkeypatch.setattr(worker, "Thread", MagicMock())
    monkeypatch.setattr(worker, "Timer", MagicMock())
    monkeypatch.setattr(os, "_exit", MagicMock())
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGALRM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def worker_with(running: bool) -> worker.Worker:
    """A worker that has a task in progress, or has none."""
    made = worker.Worker.__new__(worker.Worker)
    made.running_task = running
    return made


def maintain(maintained: worker.Worker) -> None:
    """Look after the queue once."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(time, "sleep", MagicMock(side_effect=InterruptedError))
        maintained.maintain()


def run_worker(*options: str) -> None:
    """Run every task that is waiting."""
    call_command("worker", "--batch", "--no-startup-delay", *options)


def statuses() -> list[str]:
    """The status of each task, in the order in which they were enqueued."""
    results = DBTaskResult.objects.order_by("enqueued_at")
    return [result.status for result in results]


def test_task_is_run_and_shows_that_the_worker_is_alive() -> None:
    add.enqueue(1, b=2)

    run_worker()

    assert DBTaskResult.objects.get().return_value == 3
    assert worker.HEARTBEAT.exists()


def test_task_that_fails_is_logged_and_tells_its_receivers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    received = []

    @receiver(task_finished)
    def remember(task_result: "TaskResult[..., Any]", **kwargs: Any) -> None:
        received.append(task_result.status)

    fail.enqueue()

    run_worker()

    assert received == statuses() == ["FAILED"]
    assert "ValueError: wrong" in caplog.text


def test_task_that_no_longer_exists_fails_alone() -> None:
    fail.enqueue()
    DBTaskResult.objects.update(task_path="users.tasks.gone")
    add.enqueue(1, 2)

    run_worker()

    assert statuses() == ["FAILED", "SUCCESSFUL"]


def test_worker_takes_the_tasks_of_its_queues(settings: Settings) -> None:
    settings.TASKS["default"]["QUEUES"] = ["default", "slow"]
    add.enqueue(1, 2)
    add.using(queue_name="slow").enqueue(1, 2)

    run_worker("--queue-name=slow")

    assert statuses() == ["READY", "SUCCESSFUL"]


def test_sigterm_lets_the_task_in_progress_finish_and_starts_no_other() -> None:
    get_signal.enqueue(signal.SIGTERM)
    add.enqueue(1, 2)

    run_worker()

    assert statuses() == ["SUCCESSFUL", "READY"]


def test_task_that_takes_too_long_after_sigterm_is_requeued() -> None:
    add.enqueue(1, 2)
    late = worker_with(running=True)
    late.current = DBTaskResult.objects.get()
    late.current.claim("this worker")

    late.requeue()

    assert statuses() == ["READY"]
    assert DBTaskResult.objects.get().worker_ids == []


def test_task_over_its_time_limit_fails() -> None:
    get_signal.enqueue(signal.SIGALRM)

    run_worker()

    assert statuses() == ["FAILED"]
    assert "TimeLimitExceeded" in DBTaskResult.objects.get().traceback


def test_task_of_a_killed_worker_is_requeued_but_not_for_ever() -> None:
    add.enqueue(1, 2)
    long_ago = timezone.now() - timedelta(seconds=worker.TIME_LIMIT + 61)
    after = []

    for _ in range(worker.MAX_ATTEMPTS + 1):
        DBTaskResult.objects.get().claim("killed")
        DBTaskResult.objects.update(started_at=long_ago)
        maintain(worker_with(running=False))
        after += statuses()
    run_worker()

    assert set(after) == {"READY"}
    assert statuses() == ["FAILED"]
    assert "workers were killed" in DBTaskResult.objects.get().traceback


def test_row_that_names_no_task_runs_nothing(tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    add.enqueue(1, 2)
    arguments = {"args": [str(planted)], "kwargs": {}}
    DBTaskResult.objects.update(task_path="os.mkdir", args_kwargs=arguments)

    run_worker()

    assert statuses() == ["FAILED"]
    assert not planted.exists()


def test_task_in_progress_is_left_alone() -> None:
    add.enqueue(1, 2)
    DBTaskResult.objects.get().claim("another worker")

    maintain(worker_with(running=False))

    assert statuses() == ["RUNNING"]


def test_worker_waits_for_a_database_that_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = MagicMock(side_effect=[OperationalError, None])
    monkeypatch.setattr(worker.Worker.__base__, "run", answers)
    monkeypatch.setattr(time, "sleep", MagicMock())

    run_worker()

    assert answers.call_count == 2


@pytest.mark.parametrize("running", [False, True])
def test_worker_shows_that_it_is_alive_between_its_tasks(running: bool) -> None:
    maintain(worker_with(running=running))

    assert worker.HEARTBEAT.exists() != running


def test_length_of_the_queue_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    add.enqueue(1, 2)

    maintain(worker_with(running=False))

    assert "1 tasks are waiting" in caplog.text


def test_failed_task_is_retried_later_with_its_arguments_and_then_fails() -> None:
    before = timezone.now()
    fail_again.enqueue(message="wrong")

    run_worker()

    (second,) = DBTaskResult.objects.filter(status="READY")
    assert second.run_after - before >= timedelta(seconds=10)
    DBTaskResult.objects.update(run_after=before)
    run_worker()
    assert statuses() == ["SUCCESSFUL", "FAILED"]
    second.refresh_from_db()
    assert "ValueError: wrong" in second.traceback


def test_page_enqueues_the_email_without_its_token(
    client: Client,
    user: User,
    mailoutbox: list[EmailMessage],
    caplog: pytest.LogCaptureFixture,
) -> None:
    client.post("/accounts/password_reset/", {"email": user.email})

    enqueued = DBTaskResult.objects.get()
    arguments = enqueued.args_kwargs["kwargs"]
    assert mailoutbox == []
    assert set(arguments) == {"key", "address"}
    assert user.email not in caplog.text
    assert str(enqueued.pk) in caplog.text


def test_transaction_that_is_rolled_back_enqueues_nothing(db: None) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        send_password_reset.enqueue(key="key", address="ada@example.com")
        _ = 1 / 0

    assert statuses() == []
