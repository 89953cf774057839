"""Settings of the production server: https://gunicorn.org/reference/settings/"""

import os

from config.settings import LOGGING

bind = "0.0.0.0:8000"
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
graceful_timeout = 25
logconfig_dict = LOGGING
# The root file system is read-only: heartbeats go to memory, and nothing else is written
worker_tmp_dir = "/dev/shm"
control_socket_disable = True
