import errno
import platform
import sys

import django
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views import defaults


def home(request: HttpRequest) -> HttpResponse:
    """The first page; while DEBUG is on it also tells what is running."""
    return render(
        request, "pages/home.html", {"running": running() if settings.DEBUG else {}}
    )


def running() -> dict[str, str]:
    """Name and version of everything that takes part in answering a request."""
    database_version = ".".join(
        str(number) for number in connection.get_database_version()
    )
    return {
        "Python": platform.python_version(),
        "Django": django.get_version(),
        connection.display_name: database_version,
        "Debug": "on",
    }


def server_error(request: HttpRequest) -> HttpResponse:
    """The page for an error that nobody foresaw; it says so if the reason is a full disk."""
    error = sys.exc_info()[1]
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return HttpResponse(render_to_string("507.html"), status=507)
    return defaults.server_error(request)
