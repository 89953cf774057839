"""Metrics for Prometheus, while METRICS is on; config/server.py serves them on port 9100."""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from prometheus_client import Histogram

REQUESTS = Histogram(
    "django_request_duration_seconds",
    "Time from the first middleware to the answer.",
    ["method", "view", "status"],
)

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class MetricsMiddleware:
    """Measure every request, by method, view and status."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = self.get_response(request)
        # Only names that the project chose: a label that clients make up would grow without end
        method = request.method if request.method in METHODS else "other"
        view = request.resolver_match.view_name if request.resolver_match else "none"
        duration = time.perf_counter() - started
        REQUESTS.labels(method, view, response.status_code).observe(duration)
        return response
