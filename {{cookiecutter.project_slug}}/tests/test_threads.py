"""E-mail is sent by a thread, for which no page waits, and without which no process ends."""

import re
from unittest.mock import MagicMock

import pytest
from django.core.mail import EmailMessage
from django.db import DatabaseError
from django.test import Client

from conftest import Python
from users.models import User

END = """
import time
from users.threads import executor
executor.submit(time.sleep, 0.5)
executor.submit(print, "sent")
print("end")
"""


def test_email_that_cannot_be_sent_leaves_a_line_in_the_log(
    client: Client,
    user: User,
    mailoutbox: list[EmailMessage],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gone = MagicMock(side_effect=DatabaseError)
    monkeypatch.setattr("users.threads.PasswordResetForm.get_users", gone)

    response = client.post("/accounts/password_reset/", {"email": user.email})

    assert response.status_code == 302
    assert mailoutbox == []
    assert "Password reset failed" in caplog.text


def test_process_ends_after_its_last_email(python: Python) -> None:
    setup = "import django; django.setup()"

    done = python(
        "-c", setup + END, DEBUG="true", DJANGO_SETTINGS_MODULE="config.settings"
    )

    assert re.fullmatch(r"end\s+sent\s+", done.stdout), done.stderr
