"""Tasks go to Celery after the commit and are retried; its worker and scheduler show that they are alive."""

import logging
import os
import signal
import smtplib
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from celery.signals import after_task_publish, setup_logging, worker_shutting_down
from django.contrib.sessions.models import Session
from django.core.mail import EmailMessage
from django.db import transaction
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError

from config import celery
from config.celery import app
from users.models import User


@pytest.fixture(autouse=True)
def heartbeat(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The heartbeat of a test is in a folder of its own."""
    monkeypatch.setattr(celery, "HEARTBEAT", tmp_path / "heartbeat")


@pytest.fixture
def send_message(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """What is called with a task's message, in place of the broker."""
    send = MagicMock()
    monkeypatch.setitem(app.conf, "task_always_eager", False)
    monkeypatch.setattr(app.amqp, "send_task_message", send)
    return send


def ask_for_reset(client: Client, user: User) -> Any:
    """Send the form that enqueues the e-mail."""
    return client.post("/accounts/password_reset/", {"email": user.email})


def test_page_enqueues_the_email_without_its_token(
    client: Client, user: User, send_message: MagicMock, mailoutbox: list[EmailMessage]
) -> None:
    ask_for_reset(client, user)

    _, name, message = send_message.call_args.args
    assert mailoutbox == []
    assert name == "users.tasks.send_password_reset"
    assert set(message.body[1]) == {"key", "address"}


def test_task_is_enqueued_after_the_commit(
    client: Client,
    user: User,
    send_message: MagicMock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_commit: list[Any] = []
    monkeypatch.setattr(transaction, "on_commit", at_commit.append)

    ask_for_reset(client, user)
    before = send_message.call_count
    at_commit[0]()

    assert before == 0
    assert send_message.call_count == 1


def test_page_asks_for_a_retry_while_the_broker_is_unavailable(
    client: Client, user: User, send_message: MagicMock
) -> None:
    client.raise_request_exception = False
    send_message.side_effect = OperationalError("connection refused")

    response = ask_for_reset(client, user)

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "10"


@pytest.mark.parametrize("refusals", [1, 6])
def test_email_is_retried_five_times_when_the_mail_server_refuses(
    client: Client,
    user: User,
    monkeypatch: pytest.MonkeyPatch,
    refusals: int,
) -> None:
    later = smtplib.SMTPServerDisconnected("later")
    send_mail = MagicMock(side_effect=[later] * refusals + [1])
    monkeypatch.setattr("users.tasks.send_mail", send_mail)

    ask_for_reset(client, user)

    assert send_mail.call_count == min(refusals + 1, 6)


def test_schedule_names_tasks_that_exist() -> None:
    schedule: dict[str, Any] = app.conf.beat_schedule

    assert {entry["task"] for entry in schedule.values()} <= set(app.tasks)


def test_expired_sessions_are_deleted(db: None) -> None:
    Session.objects.create(session_key="old", expire_date=timezone.now())

    celery.clear_sessions()

    assert not Session.objects.exists()


def test_worker_shows_that_it_is_alive_while_it_has_its_broker() -> None:
    consumer = MagicMock()
    step = celery.Heartbeat(consumer)

    step.start(consumer)
    step.stop(consumer)

    timers = consumer.timer.call_repeatedly
    assert celery.HEARTBEAT.exists()
    assert timers.return_value.cancel.call_count == timers.call_count


def test_scheduler_shows_that_it_is_alive_at_each_look(tmp_path: Path) -> None:
    scheduler = celery.Scheduler(app, schedule_filename=str(tmp_path / "schedule"))

    scheduler.tick()
    scheduler.close()

    assert celery.HEARTBEAT.exists()


def test_length_of_the_queue_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    connection = MagicMock()
    channel = connection.return_value.__enter__.return_value.default_channel
    channel.queue_declare.return_value.message_count = 3
    monkeypatch.setattr(app, "connection_for_read", connection)

    celery.log_queue()

    assert "3 tasks are waiting" in caplog.text


def test_id_of_an_enqueued_task_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    after_task_publish.send("users.tasks.add", headers={"id": "1"})

    assert "users.tasks.add[1] enqueued" in caplog.text


def test_tasks_have_a_while_to_finish_after_sigterm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timer = MagicMock()
    monkeypatch.setattr(celery, "Timer", timer)

    worker_shutting_down.send("worker", sig="SIGTERM", how="Warm", exitcode=0)
    worker_shutting_down.send("worker", sig="SIGQUIT", how="Cold", exitcode=0)

    timer.assert_called_once_with(celery.SHUTDOWN_TIMEOUT, celery.requeue_running_tasks)


def test_task_that_has_killed_three_workers_is_not_run_again(db: None) -> None:
    results = [celery.clear_sessions.apply(task_id="poison") for _ in range(4)]

    assert [result.state for result in results] == ["SUCCESS"] * 3 + ["FAILURE"]
    assert "3 workers were killed" in str(results[-1].result)


def test_task_that_is_requeued_after_sigterm_was_not_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kill = MagicMock()
    monkeypatch.setattr(os, "kill", kill)
    running = MagicMock(id="requeued", request_dict={"retries": 0})
    monkeypatch.setattr("celery.worker.state.active_requests", [running])
    celery.count_delivery("requeued", 0)

    celery.requeue_running_tasks()

    assert celery.count_delivery("requeued", 0) == 1
    kill.assert_called_once_with(os.getpid(), signal.SIGQUIT)


def test_logging_stays_as_django_set_it_up() -> None:
    handlers = logging.getLogger().handlers[:]

    app.log.setup(loglevel=logging.ERROR, redirect_stdouts=True)

    assert setup_logging.receivers
    assert logging.getLogger().handlers == handlers
