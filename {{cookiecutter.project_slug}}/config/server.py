"""
The production server: ``python -m config.server``.

https://github.com/emmett-framework/granian
"""

import multiprocessing
import os
import tempfile

from environs import validate
from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings

from config.settings import LOGGING, METRICS, env

METRICS_PORT = 9100  # which the proxy does not know

STOP_TIMEOUT = 25  # seconds for the requests in progress

# Settings have read them. What is left in the environment, every request carries, and so error mails would too
SECRETS = ("DATABASE_URL", "EMAIL_URL", "SECRET_KEY", "SENTRY_DSN")


def main() -> None:
    """Serve until SIGTERM, then finish the requests in progress."""
    if METRICS:
        # The processes count in files there; the library wants to know it before it is imported
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="metrics-")
    from config.wsgi import application

    for name in SECRETS:
        os.environ.pop(name, None)
    # Imported once, for all processes: they share that memory, and start at once
    multiprocessing.set_start_method("fork")
    server = Granian(
        "config.wsgi:application",
        address="0.0.0.0",
        interface=Interfaces.WSGI,
        workers=env.int("WEB_CONCURRENCY", 0, validate=validate.Range(min=0))
        or default_processes(),
        blocking_threads=env.int("WEB_THREADS", 4, validate=validate.Range(min=1)),
        # Milliseconds; longer than a proxy keeps an idle connection, so that none is closed under a request
        http1_settings=HTTP1Settings(header_read_timeout=130_000),
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_TIMEOUT,
        log_dictconfig=LOGGING,
        websockets=False,
    )
    if METRICS:
        server.on_startup(serve_metrics)
    server.serve(target_loader=lambda: application, wrap_loader=False)


def default_processes() -> int:
    """One for each CPU, and two at most: beyond that, more containers are safer than a larger one."""
    return min(2, len(os.sched_getaffinity(0)))


def serve_metrics() -> None:
    """Serve the sums of all processes."""
    from prometheus_client import CollectorRegistry, multiprocess, start_http_server

    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    start_http_server(METRICS_PORT, registry=registry)


if __name__ == "__main__":
    main()
