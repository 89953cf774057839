"""Metrics for Prometheus, while METRICS is on."""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from prometheus_client import (
    CollectorRegistry,
    Histogram,
    multiprocess,
    start_http_server,
)

REQUESTS = Histogram(
    "django_request_duration_seconds",
    "Time from the first middleware to the response.",
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
        # Clients must not be able to invent labels: each one takes memory for good
        method = request.method if request.method in METHODS else "other"
        view = request.resolver_match.view_name if request.resolver_match else "none"
        duration = time.perf_counter() - started
        REQUESTS.labels(method, view, response.status_code).observe(duration)
        return response


def serve_metrics() -> None:
    """Serve the totals of all processes on port 9100, which no proxy passes on."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    start_http_server(9100, registry=registry)
