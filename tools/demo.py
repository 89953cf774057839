"""Render the default project into a temporary folder and start it; Ctrl-C stops it and cleans up."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

from tools.interpreter import UV, VERSIONS, supported_python

TEMPLATE = Path(__file__).resolve().parent.parent


def main() -> int:
    """Show the demo until Ctrl-C; return the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    docker = engine_answers()
    python = None if docker else supported_python()
    if not docker and not python:
        print(
            f"No Docker engine answers, and uv found and fetched no Python {', '.join(VERSIONS)}: "
            "start Docker or install one of them."
        )
        return 1
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TEMPLATE_SKIP"] = "git,uv"
        # Cookiecutter and uv leave temporary files behind: they go with the folder
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        project = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=folder))
        port = str(free_port(8000))
        try:
            if python:
                on_sqlite(project, port, python)
            else:
                in_docker(project, port)
        except KeyboardInterrupt:
            print("\nStopped, and everything is removed.")
        except subprocess.CalledProcessError as error:
            print(f"This command failed: {' '.join(map(str, error.cmd))}")
            return 1
    return 0


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
    environment = os.environ | names
    compose = ["docker", "compose", "--project-directory", str(project)]
    try:
        subprocess.run([*compose, "up", "--build", "--wait"], check=True, env=environment)
        announce(port)
        signal.pause()
    finally:
        down = [*compose, "down", "--volumes", "--rmi", "local"]
        subprocess.run(down, check=False, env=environment, start_new_session=True)


def on_sqlite(project: Path, port: str, python: str) -> None:
    """Serve the project with a Python of this machine until Ctrl-C."""
    environment = os.environ | {"UV_PYTHON": python}
    manage = [UV, "run", "--no-dev", "--group=server", "manage.py"]
    subprocess.run([*manage, "migrate"], check=True, cwd=project, env=environment)
    announce(port)
    subprocess.run([*manage, "runserver", port], check=True, cwd=project, env=environment)


def announce(port: str) -> None:
    """Say where the page is."""
    print(f"\nThe page: http://127.0.0.1:{port} (Ctrl-C stops it and cleans up)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
