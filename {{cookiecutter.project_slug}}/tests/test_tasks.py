"""An e-mail of a task is sent once."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone

from background.models import IdempotencyKey
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
