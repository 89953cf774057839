"""Work is given to the worker after the commit, tried again when it fails, and not done twice."""

import logging
import smtplib
from datetime import timedelta
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.db import OperationalError, transaction
from django.tasks import default_task_backend
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from background import queue
from background.models import Done
from background.queue import ATTEMPTS, QueueAway, enqueue_after_commit
from users.models import User
from users.tasks import send_password_reset

# Before the fixture of conftest.py replaces it
ON_COMMIT = transaction.on_commit

ARGUMENTS: dict[str, Any] = {
    "protocol": "https",
    "domain": "example.com",
    "site_name": "Tea",
}


@pytest.fixture
def enqueued(settings: Settings) -> list[Any]:
    """What is enqueued, instead of being run."""
    settings.TASKS = {
        "default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}
    }
    results: list[Any] = default_task_backend.results  # type: ignore[attr-defined]
    return results


@pytest.fixture
def broken_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail server that refuses for now."""

    def refuse(*arguments: Any) -> None:
        raise smtplib.SMTPServerDisconnected("later")

    monkeypatch.setattr("users.tasks.send_mail", refuse)


def test_password_reset_page_only_enqueues(
    client: Client, user: User, enqueued: list[Any], mailoutbox: list[EmailMessage]
) -> None:
    response = client.post("/accounts/password_reset/", {"email": user.email})

    assert response.status_code == 302
    assert mailoutbox == []
    assert [result.task.name for result in enqueued] == ["send_password_reset"]
    assert enqueued[0].kwargs["user_id"] == user.pk


def test_queue_and_log_hold_no_token_and_no_address(
    client: Client,
    user: User,
    enqueued: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    client.post("/accounts/password_reset/", {"email": user.email})

    assert "token" not in enqueued[0].kwargs
    assert user.email not in str(enqueued[0].kwargs)
    assert user.email not in caplog.text
    assert enqueued[0].id in caplog.text


@pytest.mark.django_db(transaction=True)
def test_task_is_enqueued_after_the_commit(
    enqueued: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "on_commit", ON_COMMIT)

    with transaction.atomic():
        enqueue_after_commit(send_password_reset, key="k", user_id=1, **ARGUMENTS)
        before = len(enqueued)

    assert before == 0
    assert len(enqueued) == 1


@pytest.mark.django_db(transaction=True)
def test_task_of_an_undone_transaction_is_never_enqueued(
    enqueued: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "on_commit", ON_COMMIT)

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        enqueue_after_commit(send_password_reset, key="k", user_id=1, **ARGUMENTS)
        _ = 1 / 0

    assert enqueued == []


def test_email_is_tried_again_when_the_mail_server_refuses(
    user: User, enqueued: list[Any], broken_mail: None
) -> None:
    before = timezone.now()

    send_password_reset.call(key="k", user_id=user.pk, attempt=2, **ARGUMENTS)

    (result,) = enqueued
    assert result.kwargs["attempt"] == 3
    assert result.kwargs["key"] == "k"
    assert result.task.run_after - before >= timedelta(seconds=20)
    assert not Done.objects.exists()


def test_last_attempt_fails_loudly(
    user: User, enqueued: list[Any], broken_mail: None
) -> None:
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send_password_reset.call(
            key="k", user_id=user.pk, attempt=ATTEMPTS, **ARGUMENTS
        )

    assert enqueued == []


def test_email_is_not_sent_twice_when_the_task_runs_twice(
    user: User, mailoutbox: list[EmailMessage]
) -> None:
    for _ in range(2):
        send_password_reset.call(key="k", user_id=user.pk, **ARGUMENTS)

    assert len(mailoutbox) == 1
    assert mailoutbox[0].to == [user.email]
    assert "https://example.com/accounts/reset/" in str(mailoutbox[0].body)


def test_account_that_is_gone_gets_no_email(
    db: None, mailoutbox: list[EmailMessage]
) -> None:
    send_password_reset.call(key="k", user_id=1, **ARGUMENTS)

    assert mailoutbox == []


def test_what_was_done_long_ago_is_forgotten(db: None) -> None:
    Done.remember("old")
    Done.objects.update(at=timezone.now() - timedelta(days=15))

    Done.remember("new")

    assert [str(done) for done in Done.objects.all()] == ["new"]


@pytest.mark.parametrize("error", [QueueAway("no"), OperationalError("no")])
def test_page_that_cannot_enqueue_says_so(
    client: Client, user: User, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*arguments: Any, **more: Any) -> None:
        raise error

    monkeypatch.setattr(queue, "enqueue", refuse)

    response = client.post("/accounts/password_reset/", {"email": user.email})

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "10"
    assert "Please try again in a minute." in response.content.decode()


def test_other_errors_stay_what_they_are(
    client: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.raise_request_exception = False
    monkeypatch.setattr(queue, "enqueue", lambda *arguments, **more: 1 / 0)

    response = client.post("/accounts/password_reset/", {"email": user.email})

    assert response.status_code == 500
