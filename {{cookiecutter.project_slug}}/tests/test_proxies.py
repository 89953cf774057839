"""A request has the address that a trusted proxy saw, and nobody else can claim one."""

import logging
import socket
from unittest.mock import patch

import pytest
from django.test import Client
from pytest_django import Settings

from config.proxies import Proxies


def client_of(client: Client, caplog: pytest.LogCaptureFixture, **headers: str) -> str:
    """The client's address in the log line of a request with these headers."""
    caplog.set_level(logging.INFO, "config.middleware")
    client.get("/no-such-page", headers=headers)
    (line,) = [r for r in caplog.records if r.name == "config.middleware"]
    address: str = line.__dict__["fields"]["client"]
    return address


def test_proxy_tells_the_address_of_the_client(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    address = client_of(client, caplog, x_forwarded_for="203.0.113.7")

    assert address == "203.0.113.7"


def test_what_the_client_claims_itself_does_not_count(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    address = client_of(client, caplog, x_forwarded_for="1.1.1.1, 203.0.113.7")

    assert address == "203.0.113.7"


def test_without_the_header_it_is_the_peer(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert client_of(client, caplog) == "127.0.0.1"


def test_stranger_is_not_believed(
    client: Client, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT = True

    address = client_of(client, caplog, x_forwarded_for="203.0.113.7")
    response = client.get("/", headers={"x-forwarded-proto": "https"})

    assert address == "127.0.0.1"
    assert response.status_code == 301


def test_proxy_may_be_named_and_may_move() -> None:
    proxies = Proxies(["proxy"])

    def found(address: str) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]

    with patch("socket.getaddrinfo", return_value=found("10.1.1.1")):
        assert "10.1.1.1" in proxies
        assert "10.1.1.2" not in proxies
    with patch("socket.getaddrinfo", return_value=found("10.1.1.2")):
        assert "10.1.1.2" in proxies
    with patch("socket.getaddrinfo", side_effect=socket.gaierror):
        assert "10.1.1.3" not in proxies


@pytest.mark.parametrize("address", ["", "unix:", "10.0.0.1:80"])
def test_what_is_no_address_is_not_trusted(address: str) -> None:
    assert address not in Proxies(["10.0.0.0/8"])
