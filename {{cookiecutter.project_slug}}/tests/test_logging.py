"""Every log line of a request carries its id; production lines are JSON."""

import json
import logging
import re
from typing import Any

import pytest
from django.test import Client

from config.masks import mask
from conftest import PRODUCTION, Python
from users.models import User

# One line outside of a request, a page that does not exist, and one that fails
REQUESTS = """
import logging
from unittest.mock import patch

import django

django.setup()

from django.core.management import call_command
from django.test import Client

call_command("collectstatic", interactive=False, verbosity=0)
client = Client(raise_request_exception=False, headers={"host": "example.com"})
logging.getLogger("shop").warning("No stock", extra={"order_id": 5})
client.get("/none", {"q": "private"}, secure=True, headers={"x-request-id": "of-a-404"})
client.get("/accounts/reset/MQ/private/none", secure=True)
with patch("pages.views.render", side_effect=RuntimeError("broken on purpose")):
    client.get("/", secure=True, headers={"x-request-id": "of-a-500"})
"""


@pytest.fixture(scope="module")
def output(python: Python) -> str:
    """The log of production."""
    variables = PRODUCTION | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    return python("-c", REQUESTS, **variables).stdout


@pytest.fixture
def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_line_keeps_what_it_was_given(lines: list[dict[str, Any]]) -> None:
    time = lines[0].pop("time")

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", time)
    assert lines[0] == {
        "level": "WARNING",
        "logger": "shop",
        "message": "No stock",
        "request_id": "-",
        "order_id": 5,
    }


def test_every_line_of_a_request_carries_its_id(lines: list[dict[str, Any]]) -> None:
    told = [
        (line["request_id"], line["message"])
        for line in lines
        if line["request_id"].startswith("of-a-")
    ]

    assert told == [
        ("of-a-404", "GET /none 404"),
        ("of-a-404", "Not Found: /none"),
        ("of-a-500", "Internal Server Error: /"),
        ("of-a-500", "GET / 500"),
    ]


def test_request_leaves_one_line_with_its_outcome(lines: list[dict[str, Any]]) -> None:
    (line,) = [line for line in lines if line["message"] == "GET /none 404"]

    assert line["method"] == "GET"
    assert line["path"] == "/none"
    assert line["status"] == 404
    assert line["duration_ms"] > 0
    assert line["client"] == "127.0.0.1"


def test_error_keeps_its_traceback(lines: list[dict[str, Any]]) -> None:
    (line,) = [line for line in lines if line["level"] == "ERROR"]

    assert "RuntimeError: broken on purpose" in line["exception"]


def test_query_and_token_of_a_reset_stay_out_of_the_log(output: str) -> None:
    assert "GET /accounts/reset/MQ/***/none 404" in output
    assert "private" not in output


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET /accounts/reset/MQ/c5x2yz-1a2b/ 302", "GET /accounts/reset/MQ/***/ 302"),
        ("?next=c5x2yz-0123456789abcdef0123456789abcdef", "?next=***"),
        ("redis://:private@cache:6379/1 is away", "redis://***@cache:6379/1 is away"),
        ('"https://key@example.com/1"', '"https://***@example.com/1"'),
        ("https://example.com/ of ada@example.com",) * 2,
        ("GET /accounts/reset/done/ 200",) * 2,
    ],
)
def test_secrets_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_request_keeps_the_id_that_the_proxy_gave_it(client: Client) -> None:
    response = client.get("/no-such-page", headers={"x-request-id": "abc-123-def"})

    assert response.headers["X-Request-ID"] == "abc-123-def"


@pytest.mark.parametrize("given", ["", "short", "x" * 65, 'a "quote"', "new\nline."])
def test_request_without_a_usable_id_gets_one(client: Client, given: str) -> None:
    response = client.get("/no-such-page", headers={"x-request-id": given})

    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-ID"])


def test_line_names_the_user(
    client: Client, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "config.logging")

    client.get("/")
    client.force_login(user)
    client.get("/")

    users = [line.__dict__["user"] for line in caplog.records]
    assert users == [None, user.pk]
