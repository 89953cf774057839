import platform

import django
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def home(request: HttpRequest) -> HttpResponse:
    """Show the first page; while DEBUG is on, with what is running."""
    return render(
        request, "pages/home.html", {"running": running() if settings.DEBUG else {}}
    )


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
