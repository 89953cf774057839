"""Settings of the production server: https://gunicorn.org/reference/settings/"""

import os
import tempfile
from typing import Any

from config.settings import LOGGING, METRICS

# The logger that mails errors looks up the settings
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

bind = "0.0.0.0:8000"
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
# One import for all processes: a fifth less memory, and a quarter less work until the first answer
preload_app = True
graceful_timeout = 25
logconfig_dict = LOGGING
# The root file system is read-only: heartbeats go to memory, and nothing else is written
worker_tmp_dir = "/dev/shm"
control_socket_disable = True

if METRICS:
    # Where the processes of the server count; the library wants to know it before it is imported
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="metrics-")
    from prometheus_client import CollectorRegistry, multiprocess, start_http_server

    def when_ready(server: object) -> None:
        """Serve the sums on a port that the proxy does not know."""
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        start_http_server(9100, registry=registry)

    def child_exit(server: object, worker: Any) -> None:
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
