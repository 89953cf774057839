"""A trusted proxy says where a request comes from, and nobody else does."""

import socket
from unittest.mock import Mock, patch
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from config.proxies import TrustedProxies


def tell(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """A site that answers with the address and the scheme of the request."""
    return [f"{environ['REMOTE_ADDR']} {environ['wsgi.url_scheme']}".encode()]


def ask(site: TrustedProxies, peer: str, forwarded: str = "203.0.113.7") -> str:
    """Send a request to the site as this peer, and return the answer."""
    environ = {
        "REMOTE_ADDR": peer,
        "HTTP_X_FORWARDED_FOR": forwarded,
        "HTTP_X_FORWARDED_PROTO": "https",
        "wsgi.url_scheme": "http",
    }
    return b"".join(site(environ, Mock())).decode()


def test_proxy_tells_the_address_and_the_scheme() -> None:
    site = TrustedProxies(tell, ["10.0.0.0/8"])

    assert ask(site, "10.1.1.1") == "203.0.113.7 https"


def test_what_the_client_claims_does_not_count() -> None:
    site = TrustedProxies(tell, ["10.0.0.0/8"])

    assert ask(site, "10.1.1.1", "1.1.1.1, 203.0.113.7") == "203.0.113.7 https"


@pytest.mark.parametrize("peer", ["192.0.2.1", "", "unix:"])
def test_stranger_is_not_believed(peer: str) -> None:
    site = TrustedProxies(tell, ["10.0.0.0/8"])

    assert ask(site, peer) == f"{peer} http"


def test_proxy_may_be_a_name_and_may_move() -> None:
    site = TrustedProxies(tell, ["proxy"])

    def found(address: str) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]

    with patch("socket.getaddrinfo", return_value=found("10.1.1.1")):
        assert ask(site, "10.1.1.1") == "203.0.113.7 https"
        assert ask(site, "10.1.1.2") == "10.1.1.2 http"
    with patch("socket.getaddrinfo", return_value=found("10.1.1.2")):
        assert ask(site, "10.1.1.2") == "203.0.113.7 https"
    with patch("socket.getaddrinfo", side_effect=socket.gaierror):
        assert ask(site, "10.1.1.3") == "10.1.1.3 http"
