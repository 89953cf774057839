"""The migrate service of docker-compose.prod.yml."""

import signal
import time
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection

LOCKS = {
    # {% if cookiecutter.__backend == "postgresql" %}
    "postgresql": "SELECT pg_advisory_lock(6174)",
    # {% endif %}
    # {% if cookiecutter.__backend == "mysql" %}
    "mysql": "SELECT GET_LOCK('migrate', 3600)",
    # {% endif %}
    # Of one machine, and of one such service
    "sqlite": "SELECT 1",
}

# The health check looks for it
MIGRATED = Path("/tmp/migrated")


class Command(BaseCommand):
    help = "Migrate once the database answers, under a lock, then wait for a signal."
    # Checks ask the database, which may not answer yet; migrate makes its own
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        stop = {signal.SIGTERM, signal.SIGINT}
        lock_database()
        call_command("migrate", interactive=False, skip_checks=False)
        connection.close()
        MIGRATED.touch()
        signal.pthread_sigmask(signal.SIG_BLOCK, stop)
        signal.sigwait(stop)


def lock_database() -> None:
    """Wait for the database, and for others that migrate it; closing the connection unlocks it."""
    while True:
        try:
            with connection.cursor() as cursor:
                cursor.execute(LOCKS[connection.vendor])
            return
        except OperationalError:
            connection.close()
            time.sleep(1)
