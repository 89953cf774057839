"""Find a Python on which Django runs; the template itself may be used from an older one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# https://docs.djangoproject.com/en/6.1/faq/install/#what-python-version-can-i-use-with-django
OLDEST = (3, 12)
NEWEST = (3, 14)

UV = str(Path(sys.executable).with_name("uv"))


def supported_python() -> str | None:
    """Return the path of a Python on which the rendered project runs, fetched by uv if none is here.

    UV_PYTHON is believed first. Without any, and without a network, the answer is None.
    """
    for candidate in candidates():
        if runs(candidate):
            return candidate
    newest = "{}.{}".format(*NEWEST)
    subprocess.run([UV, "python", "install", newest], check=False, capture_output=True)
    find = [UV, "python", "find", "--managed-python", newest]
    return subprocess.run(find, check=False, capture_output=True, text=True).stdout.strip() or None


def candidates() -> Iterator[str]:
    """Yield the paths where a suitable Python may be, the likeliest first."""
    yield os.environ.get("UV_PYTHON", "")
    yield sys.executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        yield shutil.which(f"python3.{minor}") or ""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in sorted(pyenv.glob("versions/3.*/bin/python3"), reverse=True):
        yield str(found)


def runs(python: str) -> bool:
    """Whether this is the path of a Python that starts (pyenv's shims may not) and is new enough."""
    code = f"import sys; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
    try:
        return (
            subprocess.run([python, "-c", code], check=False, capture_output=True).returncode == 0
        )
    except OSError:
        return False
