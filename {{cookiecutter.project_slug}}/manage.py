#!/usr/bin/env python
"""Django's command-line utility for administrative tasks."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # In the process that serves, not in the one that reloads it
    if os.environ.get("DEBUGPY_PORT") and "RUN_MAIN" in os.environ:
        import debugpy

        debugpy.listen(("0.0.0.0", 5678))
    execute_from_command_line(sys.argv)
