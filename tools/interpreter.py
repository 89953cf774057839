"""Find a Python on which the rendered project runs; the template itself may be used from an older one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ANSWERS = Path(__file__).resolve().parent.parent / "cookiecutter.json"
# The default first
VERSIONS: list[str] = json.loads(ANSWERS.read_text(encoding="utf-8"))["python_version"]

UV = str(Path(sys.executable).with_name("uv"))


def supported_python() -> str | None:
    """Return the path of a Python on which the rendered project runs, fetched by uv if none is here.

    UV_PYTHON is tried first. Without any, and without a network, the answer is None.
    """
    for candidate in candidates():
        if runs(candidate):
            return candidate
    subprocess.run([UV, "python", "install", VERSIONS[0]], check=False, capture_output=True)
    find = [UV, "python", "find", "--managed-python", VERSIONS[0]]
    return subprocess.run(find, check=False, capture_output=True, text=True).stdout.strip() or None


def candidates() -> Iterator[str]:
    """Yield the paths where a suitable Python may be, the likeliest first."""
    yield os.environ.get("UV_PYTHON", "")
    yield sys.executable
    for version in VERSIONS:
        yield shutil.which(f"python{version}") or ""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in sorted(pyenv.glob("versions/3.*/bin/python3"), reverse=True):
        yield str(found)


def runs(python: str) -> bool:
    """Whether this is the path of a Python that starts (pyenv's shims may not) and is supported."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        done = subprocess.run([python, "-c", code], check=False, capture_output=True, text=True)
    except OSError:
        return False
    return done.stdout.strip() in VERSIONS
