"""Errors reach those who can do something about them, and metrics count what happens."""

import logging
from collections.abc import Callable
from unittest.mock import patch

import pytest
from django.core.mail import EmailMessage
from django.db import OperationalError, connection
from django.test import Client
from prometheus_client import REGISTRY
from pytest_django import Settings

from config.logging import MailHandler
from conftest import PRODUCTION, Python

PROVOKE = """
from unittest.mock import patch
import django
django.setup()
from django.core.management import call_command
from django.test import Client
call_command("collectstatic", interactive=False, verbosity=0)
client = Client(raise_request_exception=False, headers={"host": "example.com"})
typed = {"password": " ".join(["open", "sesame"])}
many = {f"name{number}": number for number in range(1001)}
assert client.get("/accounts/login/", many, secure=True).status_code == 400
error = RuntimeError("broken on purpose: redis://:" + "pass" + "phrase@cache")
with patch("pages.views.render", side_effect=error):
    assert client.get("/", typed, secure=True).status_code == 500
"""


def run(python: Python, code: str, **variables: str) -> str:
    """Run code under the production settings and return what it prints."""
    variables = PRODUCTION | {"DJANGO_SETTINGS_MODULE": "config.settings"} | variables
    done = python("-c", code, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("admins", "receivers"),
    [("ada@example.com,bob@example.com", "ada@example.com, bob@example.com"), ("", "")],
)
def test_errors_are_mailed_to_admins_if_there_are_any(
    python: Python, admins: str, receivers: str
) -> None:
    tell = """
import threading
for thread in set(threading.enumerate()) - {threading.main_thread()}:
    thread.join()
from django.core import mail
print("sent to:", *[", ".join(m.to) for m in getattr(mail, "outbox", [])])
"""

    told = run(python, PROVOKE + tell, ADMINS=admins, EMAIL_URL="memory:")

    assert told.splitlines()[-1] == f"sent to: {receivers}".strip()


@pytest.fixture
def log(settings: Settings, mailoutbox: list[EmailMessage]) -> Callable[..., list[str]]:
    """Logs errors so many times, and returns the e-mails that this makes."""
    settings.ADMINS = ["ada@example.com"]

    def log(message: str, name: str = "shop", times: int = 1) -> list[str]:
        handler = MailHandler()
        for _ in range(times):
            record = logging.LogRecord(name, 40, "", 0, message, None, None)
            handler.handle(record)
        while thread := handler.thread:
            thread.join()
        return [f"{mail.subject}: {mail.body}" for mail in mailoutbox]

    return log


def test_what_any_client_can_cause_is_mailed_to_nobody(
    log: Callable[..., list[str]],
) -> None:
    assert log("Too many fields", name="django.security.TooManyFieldsSent") == []


def test_flood_of_errors_is_no_flood_of_mails(log: Callable[..., list[str]]) -> None:
    assert len(log("broken", times=1000)) == 10


def test_mail_server_that_is_away_is_asked_once(log: Callable[..., list[str]]) -> None:
    with patch("config.logging.mail_admins", side_effect=OSError) as mail_admins:
        log("broken", times=5)

    assert mail_admins.call_count < 5


@pytest.mark.parametrize(
    ("error", "usable", "status"),
    [
        (OperationalError("server closed the connection"), False, 503),
        (OperationalError("deadlock detected"), True, 500),
        (ZeroDivisionError(), False, 500),
    ],
)
@pytest.mark.django_db
def test_page_asks_for_a_retry_only_while_the_database_is_unavailable(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    usable: bool,
    status: int,
) -> None:
    client.raise_request_exception = False
    monkeypatch.setattr(connection, "is_usable", lambda: usable)

    with patch("pages.views.render", side_effect=error):
        response = client.get("/")

    assert response.status_code == status
    assert ("Retry-After" in response.headers) == (status == 503)
    assert ("Please try again in a minute." in response.text) == (status == 503)


def test_debug_page_masks_secrets_in_settings(
    client: Client, settings: Settings
) -> None:
    settings.DEBUG = True
    settings.CACHE_URL = "redis://:private@cache:6379"
    client.raise_request_exception = False

    with patch("pages.views.render", side_effect=RuntimeError):
        page = client.get("/").text

    assert "redis://***@cache:6379" in page
    assert "private" not in page


def test_errors_go_to_sentry_without_passwords(python: Python) -> None:
    instead_of_sending = """
import config.settings, sentry_sdk
sentry_sdk.get_client().transport.capture_envelope = lambda e: print("event:", e.get_event())
"""

    told = run(
        python, instead_of_sending + PROVOKE, SENTRY_DSN="http://key@localhost/1"
    )

    (event,) = [line for line in told.splitlines() if line.startswith("event:")]
    assert "'value': 'broken on purpose: redis://***@cache'" in event
    assert "open sesame" not in event
    assert "passphrase" not in event


def test_metrics_count_requests_by_view_and_status(
    client: Client, settings: Settings
) -> None:
    settings.MIDDLEWARE = ["config.metrics.MetricsMiddleware", *settings.MIDDLEWARE]

    client.get("/accounts/login/")
    client.generic("NONSENSE", "/no-such-page")

    for labels in (("GET", "login", "200"), ("other", "none", "404")):
        named = dict(zip(("method", "view", "status"), labels, strict=True))
        name = "django_request_duration_seconds_count"
        assert REGISTRY.get_sample_value(name, named) == 1


@pytest.mark.parametrize(
    ("variable", "value", "module", "extra"),
    [
        ("METRICS", "true", "prometheus_client", "metrics"),
        ("SENTRY_DSN", "https://key@example.com/1", "sentry_sdk", "sentry"),
    ],
)
def test_variable_that_needs_an_extra_says_so(
    python: Python, variable: str, value: str, module: str, extra: str
) -> None:
    code = f"import sys; sys.modules['{module}'] = None; import config.settings"

    done = python("-c", code, **PRODUCTION, **{variable: value})

    assert done.returncode != 0
    assert f"{variable} needs an image built with EXTRAS={extra}" in done.stderr
