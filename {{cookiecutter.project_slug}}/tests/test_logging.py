"""Every log line carries the id of its request; production lines are JSON."""

import json
import logging
import re
import sys

import pytest
from django.test import Client

from config.logging import JsonFormatter, RequestIdFilter, request_id
from users.models import User


def test_request_gets_an_id(client: Client) -> None:
    response = client.get("/no-such-page")

    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-ID"])


def test_request_keeps_the_id_that_the_proxy_gave_it(client: Client) -> None:
    response = client.get("/no-such-page", headers={"x-request-id": "abc-123-def"})

    assert response.headers["X-Request-ID"] == "abc-123-def"


@pytest.mark.parametrize("given", ["short", "x" * 65, 'quote"and space', "new\nline."])
def test_request_id_of_another_form_is_replaced(client: Client, given: str) -> None:
    response = client.get("/no-such-page", headers={"x-request-id": given})

    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-ID"])


def test_request_leaves_one_line_with_its_outcome(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "config.middleware")

    client.get("/no-such-page?secret=1")

    record = next(r for r in caplog.records if r.name == "config.middleware")
    line = json.loads(JsonFormatter().format(record))
    assert line["message"] == "GET /no-such-page 404"
    assert line["path"] == "/no-such-page"
    assert line["status"] == 404
    assert line["duration_ms"] > 0


def test_line_names_the_user(
    client: Client, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "config.middleware")

    client.get("/")
    client.force_login(user)
    client.get("/")

    lines = [r for r in caplog.records if r.name == "config.middleware"]
    users = [line.__dict__["fields"]["user"] for line in lines]
    assert users == [None, user.pk]


def test_lines_of_a_request_share_its_id() -> None:
    token = request_id.set("the-id-of-this-request")
    record = logging.makeLogRecord({"msg": "hello"})

    RequestIdFilter().filter(record)
    request_id.reset(token)

    assert json.loads(JsonFormatter().format(record))["request_id"] == (
        "the-id-of-this-request"
    )


def test_exception_stays_on_one_line() -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        record = logging.makeLogRecord({"msg": "broken", "exc_info": sys.exc_info()})

    text = JsonFormatter().format(record)

    assert "\n" not in text
    assert "ZeroDivisionError" in json.loads(text)["exception"]
