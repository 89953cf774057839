"""The worker runs what is enqueued, stops without losing a task, and takes up what a dead worker left."""

import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.tasks import TaskContext, task
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from pytest_django import Settings

from pages.management.commands import worker


@task(takes_context=True)
def add(context: "TaskContext[..., int]", a: int, b: int) -> int:
    return a + b


@task
def fail() -> None:
    raise ValueError("wrong")


@task
def get_signals(*numbers: int) -> None:
    for number in numbers:
        signal.raise_signal(number)


@pytest.fixture
def command(
    settings: Settings, db: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[worker.Command]:
    """A worker, whose signals are those of the test."""
    settings.TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
    monkeypatch.setattr(worker, "HEARTBEAT", tmp_path / "heartbeat")
    # The connection of a test belongs to the test
    monkeypatch.setattr(worker, "close_old_connections", MagicMock())
    monkeypatch.setattr(connection, "close", MagicMock())
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    command = worker.Command()
    command.listen()
    yield command
    for number, handler in handlers.items():
        signal.signal(number, handler)


def status() -> str:
    """The state of the only task there is."""
    return DBTaskResult.objects.get().status


def test_task_is_run(command: worker.Command) -> None:
    add.enqueue(1, b=2)

    assert command.work()
    assert not command.work()
    assert DBTaskResult.objects.get().return_value == 3


def test_task_that_fails_is_written_down_and_logged(
    command: worker.Command, caplog: pytest.LogCaptureFixture
) -> None:
    fail.enqueue()

    command.work()

    assert status() == "FAILED"
    assert "ValueError: wrong" in caplog.text


def test_task_that_is_no_more_fails_alone(command: worker.Command) -> None:
    fail.enqueue()
    DBTaskResult.objects.update(task_path="users.tasks.gone")

    command.work()

    assert status() == "FAILED"


def test_task_of_later_waits(command: worker.Command) -> None:
    add.using(run_after=timezone.now() + timedelta(minutes=1)).enqueue(1, 2)

    assert not command.work()


def test_sigterm_lets_the_task_in_progress_finish_and_starts_no_other(
    command: worker.Command,
) -> None:
    get_signals.enqueue(signal.SIGTERM)
    add.using(priority=-1).enqueue(1, 2)

    call_command(command)

    ended = DBTaskResult.objects.order_by("enqueued_at").values_list(
        "status", flat=True
    )
    assert list(ended) == ["SUCCESSFUL", "READY"]
    assert worker.HEARTBEAT.exists()


def test_task_that_takes_too_long_for_a_stop_is_given_back(
    command: worker.Command,
) -> None:
    get_signals.enqueue(signal.SIGTERM, signal.SIGALRM)

    call_command(command)

    assert status() == "READY"


def test_task_over_its_time_fails(command: worker.Command) -> None:
    get_signals.enqueue(signal.SIGALRM)

    command.work()

    assert status() == "FAILED"


def test_alarm_between_two_tasks_is_harmless(command: worker.Command) -> None:
    signal.raise_signal(signal.SIGALRM)


@pytest.mark.parametrize(
    ("workers", "after"), [(["a"], "READY"), (["a", "b", "c"], "FAILED")]
)
def test_task_of_a_dead_worker_is_taken_up_again_but_not_for_ever(
    command: worker.Command, workers: list[str], after: str
) -> None:
    add.enqueue(1, 2)
    long_ago = timezone.now() - timedelta(seconds=worker.TIME_LIMIT + 61)
    DBTaskResult.objects.update(
        status="RUNNING", started_at=long_ago, worker_ids=workers
    )

    worker.take_up_again()

    assert status() == after


def test_task_in_progress_is_left_alone(command: worker.Command) -> None:
    add.enqueue(1, 2)
    DBTaskResult.objects.update(status="RUNNING", started_at=timezone.now())

    worker.take_up_again()

    assert status() == "RUNNING"


def test_worker_waits_for_a_database_that_is_away(
    command: worker.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_signals.enqueue(signal.SIGTERM)
    answers = [OperationalError, True]
    monkeypatch.setattr(command, "work", MagicMock(side_effect=answers))
    waits = MagicMock(side_effect=lambda seconds: command.stop())
    monkeypatch.setattr(time, "sleep", waits)

    call_command(command)

    waits.assert_called_once_with(1)


def test_length_of_the_queue_is_logged(
    command: worker.Command, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    add.enqueue(1, 2)

    worker.log_queue()

    assert "1 tasks wait" in caplog.text
