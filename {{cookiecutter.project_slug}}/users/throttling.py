"""
Limits on guessing, counted in the database, which all replicas share.

A window of time begins with the first attempt and ends by itself: nobody is locked out for good.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from ipaddress import IPv6Address, IPv6Network
from math import ceil
from typing import Any, NamedTuple
from unicodedata import normalize

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.crypto import get_random_string

from users.models import Counter, User


class Limit(NamedTuple):
    """How often something may be tried in so many seconds."""

    most: int
    seconds: int


type Limits = dict[tuple[object, ...], Limit]

# Wrong passwords for one account from one address or one known browser, for one account, and from one address
LOGIN = Limit(10, 600)
LOGIN_BY_ACCOUNT = Limit(50, 600)
LOGIN_BY_ADDRESS = Limit(200, 600)

# E-mails to one address, requests for them from one address, and visits to the pages behind their links
RESET_BY_ACCOUNT = Limit(5, 3600)
RESET_BY_ADDRESS = Limit(50, 600)
RESET_LINK = Limit(100, 600)

# Seconds for which a browser is known
KNOWN = 90 * 86400


class TooManyAttempts(Exception):
    """A limit is reached for so many seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def count(limit: Limit, *name: object) -> int:
    """Count one more, and return 0; beyond the limit return the seconds to wait."""
    now = timezone.now()
    expires = now + timedelta(seconds=limit.seconds)
    counter, created = Counter.objects.get_or_create(
        key=key_of(*name), defaults={"expires": expires}
    )
    if created:
        yesterday = now - timedelta(days=1)
        Counter.objects.filter(expires__lt=yesterday).delete()
    # Each condition is part of its update, so that no two requests take the same place
    same = Counter.objects.filter(pk=counter.pk)
    if counter.expires <= now:
        same.filter(expires__lte=now).update(count=0, expires=expires)
    if same.filter(count__lt=limit.most).update(count=F("count") + 1):
        return 0
    return wait(limit, *name) or 1


def wait(limit: Limit, *name: object) -> int:
    """Return how many seconds a limit is still reached, or 0."""
    now = timezone.now()
    reached = Counter.objects.filter(
        key=key_of(*name), count__gte=limit.most, expires__gt=now
    ).first()
    return ceil((reached.expires - now).total_seconds()) if reached else 0


def key_of(*name: object) -> str:
    """Return what is stored of a name, which is short, and tells no address."""
    return sha256(repr(name).encode()).hexdigest()


def take(limits: Limits) -> None:
    """Count an attempt under every name, or under none and raise TooManyAttempts."""
    taken: Limits = {}
    for name, limit in limits.items():
        if seconds := count(limit, *name):
            give_back(taken)
            raise TooManyAttempts(seconds)
        taken[name] = limit


def give_back(limits: Limits) -> None:
    """Undo take(), because the attempt was a success."""
    keys = [key_of(*name) for name in limits]
    Counter.objects.filter(key__in=keys, count__gt=0).update(count=F("count") - 1)


def address_of(request: HttpRequest) -> str:
    """Return the address of a client; of IPv6 the network, because it has as many addresses as it likes."""
    address: str = request.META["REMOTE_ADDR"]
    try:
        found = IPv6Address(address)
    except ValueError:
        return address
    return str(found.ipv4_mapped or IPv6Network((found, 64), strict=False))


def plain(name: str) -> str:
    """Return the same for all names that a database could take for one: ADA, ada and adá."""
    return re.sub(r"[^\w.@+-]", "", normalize("NFKD", name).casefold())


class Backend(ModelBackend):
    """Django's own, with limits on wrong passwords, for every page that logs in."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **options: Any,
    ) -> Any:
        """Return the user, or None; raise TooManyAttempts without a look at the password."""
        if request is None or username is None or password is None:
            return super().authenticate(request, username, password, **options)
        limits = limits_of(request, username)
        take(limits)
        user = super().authenticate(request, username, password, **options)
        if user:
            give_back(limits)
            remember(request, user)
        return user


def limits_of(request: HttpRequest, username: str) -> Limits:
    """
    Return the limits of an attempt to log in.

    A browser that has logged in to the account before is counted alone, so that guesses of others,
    from wherever they come, do not keep its user out.
    """
    user = User.objects.filter(username=username).first()
    device = request.get_signed_cookie("device", "", max_age=KNOWN) or ""
    if user and device.startswith(f"{user.pk}:"):
        return {("device", device): LOGIN}
    account, address = plain(user.username if user else username), address_of(request)
    return {
        ("login address", address): LOGIN_BY_ADDRESS,
        ("login account", account): LOGIN_BY_ACCOUNT,
        ("login", account, address): LOGIN,
    }


def remember(request: HttpRequest, user: Any) -> None:
    """Let ThrottlingMiddleware tell the browser that its user has proved to be this one."""
    request.META["users.device"] = f"{user.pk}:{get_random_string(22)}"


class ThrottlingMiddleware:
    """Answer TooManyAttempts, and give browsers the cookie by which they are known."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if device := request.META.get("users.device"):
            response.set_signed_cookie(
                "device",
                device,
                max_age=KNOWN,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return response

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Called by Django with what a view raised; None leaves it to others."""
        if not isinstance(exception, TooManyAttempts):
            return None
        minutes = ceil(exception.seconds / 60)
        response = render(request, "429.html", {"minutes": minutes}, status=429)
        response.headers["Retry-After"] = str(exception.seconds)
        return response
