"""An e-mail of a task is sent once, and a page says so when the queue or the database is unavailable."""

from datetime import timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.core.mail import EmailMessage
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from background.models import IdempotencyKey
from users.forms import PasswordResetForm
from users.models import User


def ask_for_reset(client: Client, user: User) -> Any:
    """Send the form that enqueues the e-mail."""
    return client.post("/accounts/password_reset/", {"email": user.email})


def test_email_is_not_sent_twice_when_the_task_runs_twice(
    client: Client,
    user: User,
    mailoutbox: list[EmailMessage],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("users.forms.get_random_string", lambda length: "same")

    for _ in range(2):
        ask_for_reset(client, user)

    assert [message.to for message in mailoutbox] == [[user.email]]


def test_old_keys_are_deleted(db: None) -> None:
    IdempotencyKey.remember("old")
    long_ago = timezone.now() - timedelta(days=15)
    IdempotencyKey.objects.update(created_at=long_ago)

    IdempotencyKey.remember("new")

    assert [str(key) for key in IdempotencyKey.objects.all()] == ["new"]


@pytest.mark.parametrize(
    ("error", "usable", "status"),
    [
        (OperationalError("server closed the connection"), False, 503),
        (OperationalError("deadlock detected"), True, 500),
        (ZeroDivisionError(), False, 500),
    ],
)
def test_page_asks_for_a_retry_only_while_the_database_is_unavailable(
    client: Client,
    user: User,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    usable: bool,
    status: int,
) -> None:
    client.raise_request_exception = False
    monkeypatch.setattr(PasswordResetForm, "save", MagicMock(side_effect=error))
    monkeypatch.setattr(connection, "is_usable", lambda: usable)

    response = ask_for_reset(client, user)

    assert response.status_code == status
    assert ("Retry-After" in response.headers) == (status == 503)
    assert ("Please try again in a minute." in response.text) == (status == 503)
