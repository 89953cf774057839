"""Which peers may speak for a client, and whose address a request then has."""

import ipaddress
import socket
from collections.abc import Callable, Iterable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PROTO")


class Proxies:
    """The addresses of networks, like 10.0.0.0/8, and of whatever host names stand for now."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self.networks = [
            ipaddress.ip_network(entry) for entry in trusted if "/" in entry
        ]
        self.names = [entry for entry in trusted if "/" not in entry]
        self.resolved: set[str] = set()

    def __contains__(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if any(parsed in network for network in self.networks):
            return True
        # A proxy that was replaced has another address
        if address not in self.resolved:
            self.resolved = {
                found for name in self.names for found in addresses_of(name)
            }
        return address in self.resolved


def addresses_of(name: str) -> set[str]:
    """The addresses of a host name or address; none while it stands for nothing."""
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(name, None)}
    except socket.gaierror:
        return set()


class ProxyMiddleware:
    """Take the client's address from X-Forwarded-For, and ignore such headers from anyone but a proxy."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.proxies = Proxies(settings.TRUSTED_PROXIES)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.META.get("REMOTE_ADDR", "") in self.proxies:
            # The last one is what the proxy itself saw; those before it, anyone can write
            client = (
                request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
            )
            request.META["REMOTE_ADDR"] = client or request.META["REMOTE_ADDR"]
        else:
            for name in FORWARDED:
                request.META.pop(name, None)
        return self.get_response(request)
