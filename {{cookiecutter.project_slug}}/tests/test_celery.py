"""Celery takes Django's tasks, tells when its broker is away, and is set up to lose nothing."""

import logging
import signal
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from celery.signals import worker_shutting_down
from django.contrib.sessions.models import Session
from django.core.exceptions import SuspiciousOperation
from django.core.mail import EmailMessage
from django.utils import timezone
from kombu.exceptions import OperationalError
from pytest_django import Settings

from background.queue import QueueAway
from config import celery
from config.celery import app
from users.models import User
from users.tasks import send_password_reset

ARGUMENTS: dict[str, Any] = {
    "protocol": "https",
    "domain": "example.com",
    "site_name": "Tea",
}


@pytest.fixture(autouse=True)
def celery_backend(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Tasks go to Celery, which has no broker here."""
    settings.TASKS = {"default": {"BACKEND": "config.celery.CeleryBackend"}}
    monkeypatch.setattr(celery, "HEARTBEAT", tmp_path / "heartbeat")


def test_task_travels_by_its_name_and_runs(
    user: User, monkeypatch: pytest.MonkeyPatch, mailoutbox: list[EmailMessage]
) -> None:
    monkeypatch.setitem(app.conf, "task_always_eager", True)

    result = send_password_reset.enqueue(key="k", user_id=user.pk, **ARGUMENTS)

    assert result.id
    assert mailoutbox[0].to == [user.email]


def test_later_task_is_sent_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = MagicMock(return_value=MagicMock(id="1"))
    monkeypatch.setattr(celery.run, "apply_async", sent)
    later = timezone.now()

    send_password_reset.using(run_after=later).enqueue(key="k", user_id=1, **ARGUMENTS)

    assert sent.call_args.kwargs["eta"] == later
    assert sent.call_args.kwargs["queue"] == "default"


def test_broker_that_is_away_keeps_the_queue_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refuse = MagicMock(side_effect=OperationalError("no"))
    monkeypatch.setattr(celery.run, "apply_async", refuse)

    with pytest.raises(QueueAway):
        send_password_reset.enqueue(key="k", user_id=1, **ARGUMENTS)


def test_message_can_call_nothing_but_a_task() -> None:
    with pytest.raises(SuspiciousOperation):
        celery.run("os.getcwd", [], {})


def test_nothing_is_lost_by_the_settings() -> None:
    conf: Any = app.conf

    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"
    assert conf.task_ignore_result
    assert (
        conf.task_soft_time_limit
        < conf.task_time_limit
        < conf.broker_transport_options["visibility_timeout"]
    )


def test_schedule_names_tasks_that_exist() -> None:
    schedule: dict[str, Any] = app.conf.beat_schedule

    assert {entry["task"] for entry in schedule.values()} <= set(app.tasks)


def test_expired_sessions_are_deleted(db: None) -> None:
    Session.objects.create(session_key="old", expire_date=timezone.now())

    celery.clear_sessions()

    assert not Session.objects.exists()


def test_worker_beats_while_it_has_its_broker() -> None:
    consumer = MagicMock()
    step = celery.Heartbeat(consumer)

    step.start(consumer)
    step.stop(consumer)

    assert celery.HEARTBEAT.exists()
    assert consumer.timer.call_repeatedly.call_count == 2
    assert consumer.timer.call_repeatedly.return_value.cancel.call_count == 2


def test_scheduler_beats_at_each_look(tmp_path: Path) -> None:
    scheduler = celery.Scheduler(app, schedule_filename=str(tmp_path / "schedule"))

    assert scheduler.tick() > 0
    scheduler.close()
    assert celery.HEARTBEAT.exists()


def test_length_of_the_queue_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    connection = MagicMock()
    declared = connection.return_value.__enter__.return_value.default_channel
    declared.queue_declare.return_value.message_count = 3
    monkeypatch.setattr(app, "connection_for_read", connection)

    celery.log_queue()

    assert "3 tasks wait" in caplog.text


def test_stop_gives_tasks_in_progress_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = MagicMock()
    monkeypatch.setattr(celery, "Timer", timer)

    worker_shutting_down.send("worker", sig="SIGTERM", how="Warm", exitcode=0)
    worker_shutting_down.send("worker", sig="SIGQUIT", how="Cold", exitcode=0)

    ((grace, _, (_, number)), _) = timer.call_args
    assert timer.call_count == 1
    assert grace == celery.GRACE
    assert number == signal.SIGQUIT


def test_logging_stays_that_of_django(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    configure = MagicMock()
    monkeypatch.setattr(celery, "dictConfig", configure)

    celery.log_as_django_does()

    configure.assert_called_once_with(settings.LOGGING)
