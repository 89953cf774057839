"""Errors reach those who can do something about them, and metrics count what happens."""

import pytest
from django.test import Client
from prometheus_client import REGISTRY
from pytest_django import Settings

from .conftest import PRODUCTION, Python

PROVOKE = """
from unittest.mock import patch
import django
django.setup()
from django.core.management import call_command
from django.test import Client
call_command("collectstatic", interactive=False, verbosity=0)
client = Client(raise_request_exception=False, headers={"host": "example.com"})
typed = {"password": " ".join(["open", "sesame"])}
with patch("pages.views.render", side_effect=RuntimeError("broken on purpose")):
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
from django.core import mail
print("sent to:", *[", ".join(m.to) for m in getattr(mail, "outbox", [])])
"""

    told = run(python, PROVOKE + tell, ADMINS=admins, EMAIL_URL="memory:")

    assert told.splitlines()[-1] == f"sent to: {receivers}".strip()


def test_errors_go_to_sentry_without_the_password(python: Python) -> None:
    instead_of_sending = """
import config.settings, sentry_sdk
sentry_sdk.get_client().transport.capture_envelope = lambda e: print(e.get_event())
"""

    told = run(
        python, instead_of_sending + PROVOKE, SENTRY_DSN="http://key@localhost/1"
    )

    assert "'type': 'RuntimeError', 'value': 'broken on purpose'" in told
    assert "open sesame" not in told


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
