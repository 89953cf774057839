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

# The settings have read them; Granian gives the rest of the environment to every request, so to error mails
SECRETS = [
    "DATABASE_URL",
    "EMAIL_URL",
    "SECRET_KEY",
    "SENTRY_DSN",
    # {% if cookiecutter.background_tasks == "celery" %}
    "VALKEY_URL",
    # {% endif %}
]


def main() -> None:
    """Serve until SIGTERM, then finish the requests in progress."""
    for name in SECRETS:
        os.environ.pop(name, None)
    if METRICS:
        # Before prometheus_client is imported: the processes count in files there
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp()
        from config import metrics

        metrics.serve()

    # Imported before the fork, the application shares its memory between the processes:
    # two take 86 MB instead of the 132 of Granian's own command
    from config.wsgi import application

    multiprocessing.set_start_method("fork")
    Granian(
        "config.wsgi:application",
        address="0.0.0.0",
        interface=Interfaces.WSGI,
        # Two at most by default: beyond that, more containers are safer than a larger one
        workers=env.int("WEB_CONCURRENCY", 0, validate=validate.Range(min=0))
        or min(2, len(os.sched_getaffinity(0))),
        blocking_threads=env.int("WEB_THREADS", 4, validate=validate.Range(min=1)),
        # Milliseconds: longer than proxies keep idle connections, so that none is closed under a request
        http1_settings=HTTP1Settings(header_read_timeout=130_000),
        respawn_failed_workers=True,
        # Seconds for the requests in progress, less than stop_grace_period
        workers_kill_timeout=25,
        log_dictconfig=LOGGING,
    ).serve(target_loader=lambda _: application)


if __name__ == "__main__":
    main()
