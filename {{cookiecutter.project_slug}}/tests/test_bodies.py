"""What is sent is taken whole, or refused."""

from io import BytesIO
from unittest.mock import Mock
from wsgiref.util import setup_testing_defaults

import pytest
from django.conf import settings
from django.core.exceptions import BadRequest
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client

from config.bodies import WholeBodies, WholeBody

pytestmark = pytest.mark.django_db

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=frontier"


def status_of_form(content_type: str, body: BytesIO, length: int) -> str:
    """Send a form to the login page as the server does, and return the status."""
    environ = {
        "CONTENT_LENGTH": str(length),
        "CONTENT_TYPE": content_type,
        "HTTP_COOKIE": f"{settings.CSRF_COOKIE_NAME}={'x' * 32}",
        "HTTP_HOST": "testserver",
        "PATH_INFO": "/accounts/login/",
        "REQUEST_METHOD": "POST",
        "wsgi.input": body,
    }
    setup_testing_defaults(environ)
    start_response = Mock()
    WholeBodies(WSGIHandler(), limit=1000)(environ, start_response)
    status: str = start_response.call_args.args[0]
    return status


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (URLENCODED, b"username=ada&password="),
        (MULTIPART, b"--frontier\r\nContent-Disposition: form-data; name="),
    ],
)
def test_form_that_is_cut_short_is_refused(content_type: str, body: bytes) -> None:
    status = status_of_form(content_type, BytesIO(body), len(body) + 1)

    assert status == "400 Bad Request"


def test_whole_form_is_read() -> None:
    # And refused, because it has no CSRF token
    assert status_of_form(URLENCODED, BytesIO(b"a=b"), 3) == "403 Forbidden"


def test_body_over_the_limit_is_refused_when_it_was_read() -> None:
    body = BytesIO(b"x" * 1001)

    assert status_of_form(URLENCODED, body, 1001).startswith("413 ")
    assert not body.read()


def test_line_that_is_cut_short_is_refused() -> None:
    body = WholeBody(BytesIO(b"line\nend"))

    assert body.readline(2) == b"li"
    assert body.readline(100) == b"ne\n"
    with pytest.raises(BadRequest):
        body.readline(100)


def test_form_that_is_too_large_is_told_so(client: Client) -> None:
    answer = client.post("/accounts/login/", {"username": "x" * 3_000_000})

    assert answer.status_code == 413
    assert b"Nothing was saved" in answer.content


def test_proxy_finds_the_same_page_at_every_address(client: Client) -> None:
    for path in ("/", "/admin/"):
        assert client.get(f"{path}body-too-large").status_code == 413


def test_other_requests_that_django_refuses_are_bad(client: Client) -> None:
    fields = "&".join(f"a{number}" for number in range(1001))

    assert client.get(f"/accounts/login/?{fields}").status_code == 400
