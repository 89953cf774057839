"""Which proxies may say where a request comes from."""

import socket
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from granian.utils.proxies import wrap_wsgi_with_proxy_headers


class TrustedProxies:
    """Give an application the address and scheme that proxies forward: networks or host names."""

    def __init__(self, application: WSGIApplication, proxies: list[str]) -> None:
        self.application = application
        self.networks = [proxy for proxy in proxies if "/" in proxy]
        self.names = [proxy for proxy in proxies if "/" not in proxy]
        self.addresses: list[str] = []
        self.wrapped: WSGIApplication
        self.wrapped = wrap_wsgi_with_proxy_headers(application, self.networks)

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        # A proxy that was replaced has a new address
        if self.names and environ["REMOTE_ADDR"] not in self.addresses:
            addresses = [found for name in self.names for found in addresses_of(name)]
            trusted = self.networks + addresses
            self.wrapped = wrap_wsgi_with_proxy_headers(self.application, trusted)
            self.addresses = addresses
        return self.wrapped(environ, start_response)


def addresses_of(name: str) -> list[str]:
    """Return the addresses of a host name, or none while it cannot be resolved."""
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(name, None)]
    except socket.gaierror:
        return []
