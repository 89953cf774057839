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

# The settings have read them, and nothing that shows its environment shall show them
SECRETS = (
    "DATABASE_URL",
    "EMAIL_URL",
    "SECRET_KEY",
    "SENTRY_DSN",
    # {% if cookiecutter.background_tasks == "celery" %}
    "VALKEY_URL",
    # {% endif %}
)

PROCESSES = env.int("WEB_CONCURRENCY", 0, validate=validate.Range(min=0))

THREADS = env.int("WEB_THREADS", 4, validate=validate.Range(min=1))


def main() -> None:
    """Serve until SIGTERM, then finish the requests in progress."""
    for name in SECRETS:
        os.environ.pop(name, None)
    # {% if cookiecutter.database != "sqlite" %}
    # Pages get limits of time, which migrations and other commands must not have
    from config.settings import DATABASES

    DATABASES["default"]["ENGINE"] = DATABASES["default"]["ENGINE"].replace(
        "django.db.backends.{{ cookiecutter.__backend }}", "config.database"
    )
    # {% endif %}
    if METRICS:
        # Set before prometheus_client is imported: the processes count in files there
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp()
        from config.metrics import serve_metrics

        serve_metrics()
    # Processes that fork share what is imported: two take 86 MB, and 132 under Granian's own command
    multiprocessing.set_start_method("fork")
    from config.wsgi import application

    Granian(
        "config.wsgi:application",
        address="0.0.0.0",
        interface=Interfaces.WSGI,
        # Two at most by default: for more, add containers
        workers=PROCESSES or min(2, len(os.sched_getaffinity(0))),
        blocking_threads=THREADS,
        # Milliseconds: longer than a proxy keeps an idle connection, so that it never reuses a closed one
        http1_settings=HTTP1Settings(header_read_timeout=130_000),
        respawn_failed_workers=True,
        # Seconds for the requests in progress, less than stop_grace_period
        workers_kill_timeout=25,
        log_dictconfig=LOGGING,
    ).serve(target_loader=lambda _: application)


if __name__ == "__main__":
    main()
