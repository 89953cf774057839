"""Render the default project into a temporary folder and start it; Ctrl-C stops it and cleans up."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from tools.interpreter import UV, VERSIONS, supported_python

TEMPLATE = Path(__file__).resolve().parent.parent

# Ctrl-C, `kill`, and a terminal that is closed
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Show the demo until Ctrl-C; return the exit status."""
    for number in SIGNALS:
        signal.signal(number, stop)
    docker = engine_answers()
    python = None if docker else supported_python()
    if not docker and not python:
        print(
            f"No Docker engine answers, and uv found and fetched no Python {', '.join(VERSIONS)}: "
            "start Docker or install one of them."
        )
        return 1
    with tempfile.TemporaryDirectory() as folder:
        # Cookiecutter and uv leave temporary files behind: they go with the folder
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        try:
            project = rendered(Path(folder))
            port = str(free_port(8000))
            if python:
                on_sqlite(project, port, python)
            else:
                in_docker(project, port)
        except KeyboardInterrupt:
            say("\nStopped, and everything is removed.")
        except subprocess.CalledProcessError as error:
            say(f"This command failed: {' '.join(map(str, error.cmd))}")
            return 1
    return 0


def stop(number: int, frame: FrameType | None) -> None:
    """End the demo; from now on nothing interrupts the cleaning up."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def say(sentence: str) -> None:
    """Print a line, if there still is a terminal."""
    with contextlib.suppress(OSError):
        print(sentence, flush=True)


def rendered(folder: Path) -> Path:
    """Render the default project into a folder; what its hooks advise applies to a project that stays."""
    command = [sys.executable, "-m", "cookiecutter", str(TEMPLATE), "--no-input", "-o", str(folder)]
    skipped = os.environ | {"TEMPLATE_SKIP": "git,uv,docker"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=skipped)
    return next(path for path in folder.iterdir() if (path / "manage.py").exists())


def engine_answers() -> bool:
    """Whether there is a Docker engine."""
    try:
        command = ["docker", "version"]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def free_port(wanted: int) -> int:
    """Return the wanted port of the loopback address if it is free, else another that is."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port is free")


def in_docker(project: Path, port: str) -> None:
    """Serve the project with Docker Compose until Ctrl-C, then remove all that Compose made."""
    # A name of its own, so that no project of the user's is touched
    names = {"COMPOSE_PROJECT_NAME": f"demo-{secrets.token_hex(4)}", "WEB_PORT": port}
    names["MAIL_PORT"] = str(free_port(8025))
    environment = os.environ | names
    compose = ["docker", "compose", "--project-directory", str(project)]
    try:
        say(
            "Building the image of the default project and starting it; the first time takes a few minutes."
        )
        subprocess.run([*compose, "up", "--build", "--wait"], check=True, env=environment)
        announce(port)
        signal.pause()
    finally:
        down = [*compose, "down", "--volumes", "--rmi", "local"]
        # In a session of its own: Compose listens to signals that its parent ignores
        subprocess.run(down, check=False, env=environment, start_new_session=True)


def on_sqlite(project: Path, port: str, python: str) -> None:
    """Serve the project with a Python of this machine until Ctrl-C."""
    say("No Docker engine answers, so this uses SQLite; the first time, packages are fetched.")
    os.environ["UV_PYTHON"] = python
    os.chdir(project)
    manage = [UV, "run", "--no-dev", "--group=server", "manage.py"]
    subprocess.run([*manage, "migrate"], check=True, stdout=subprocess.DEVNULL)
    announce(port)
    # Without its own way of saying where the page is
    subprocess.run([*manage, "runserver", port], check=True, stdout=subprocess.DEVNULL)


def announce(port: str) -> None:
    """Say where the page is."""
    say(f"\nThe page: http://127.0.0.1:{port} (Ctrl-C stops it and cleans up)")


if __name__ == "__main__":
    sys.exit(main())
