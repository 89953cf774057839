import platform

import django
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views import defaults


def home(request: HttpRequest) -> HttpResponse:
    """Show the first page; while DEBUG is on, with what is running."""
    context = {"running": running(), "links": links()} if settings.DEBUG else {}
    return render(request, "pages/home.html", context)


def favicon(request: HttpRequest) -> HttpResponse:
    """Lead to the icon from pages that name none, such as the admin's."""
    return redirect(static("favicon.svg"))


def too_large(request: HttpRequest) -> HttpResponse:
    """Say that a body is over a limit; the proxy shows this page too."""
    return render(request, "413.html", status=413)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django refused to read, with 413 if it is too large."""
    if isinstance(exception, RequestDataTooBig):
        return too_large(request)
    return defaults.bad_request(request, exception)


def running() -> dict[str, str]:
    """Return the name and version of everything that takes part in a response."""
    database_version = ".".join(
        str(number) for number in connection.get_database_version()
    )
    return {
        "Python": platform.python_version(),
        "Django": django.get_version(),
        connection.display_name: database_version,
        "Debug": "on",
    }


def links() -> dict[str, str]:
    """Return where a developer goes next: a label and an address each."""
    found = {_("Administration"): reverse("admin:index")}
    # {% if cookiecutter.rest_api != "none" %}
    found[_("API")] = "/api/docs/"
    # {% endif %}
    if settings.MAIL_PORT:
        found[_("E-mail")] = f"http://localhost:{settings.MAIL_PORT}/"
    return found
