"""The Docker engine: everything that a benchmark makes there has one prefix, by which it is taken away again."""

import os
import secrets
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

TIME_LIMIT = 900  # seconds, for any single command


class Failed(Exception):
    """A command failed; the text is its output."""


def run(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it prints; one that fails or takes too long ends the benchmark."""
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=cwd,
            env=os.environ | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIME_LIMIT,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{command} took more than {TIME_LIMIT} seconds") from error
    if done.returncode:
        raise Failed(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}")
    return done.stdout


def go(template: str) -> str:
    """A template for `--format`, in the double braces that Docker wants."""
    return "{" + "{" + template + "}" + "}"


@dataclass(frozen=True)
class Engine:
    """Names and removes what is made: containers, networks, volumes and images."""

    prefix: str = field(default_factory=lambda: f"bench-{secrets.token_hex(4)}")

    def name(self, part: str) -> str:
        """A name that clean() finds."""
        return f"{self.prefix}-{part}"

    def build(self, folder: Path, part: str, *options: str) -> str:
        """Build an image and return Docker's own report of the build."""
        command = ("docker", "build", "--progress=plain", "--tag", self.name(part), *options)
        return run(*command, str(folder))

    def timed_build(self, folder: Path, part: str, *options: str) -> tuple[float, str]:
        """Build an image; gives the seconds until `docker build` has ended, and its report."""
        started = time.perf_counter()
        report = self.build(folder, part, *options)
        return time.perf_counter() - started, report

    def size(self, image: str) -> int:
        """Bytes of all layers, uncompressed."""
        return int(run("docker", "image", "inspect", "--format", go(".Size"), image))

    def layers(self, image: str) -> list[str]:
        """The digests of an image's layers, the lowest first."""
        template = go('join .RootFS.Layers " "')
        return run("docker", "image", "inspect", "--format", template, image).split()

    def remove(self, container: str) -> None:
        """Remove a container, running or not, with its anonymous volumes."""
        run("docker", "rm", "--force", "--volumes", container)

    def port(self, container: str, inside: int = 8000) -> int:
        """The port of the loopback address that leads to a port of a running container."""
        return int(run("docker", "port", container, str(inside)).split()[0].rpartition(":")[2])

    def clean(self) -> None:
        """Remove all that has the prefix; the build cache stays, as after every build."""
        mine = ("--quiet", "--filter", f"name={self.prefix}")
        for container in run("docker", "container", "ls", "--all", *mine).split():
            self.remove(container)
        for kind in ("network", "volume"):
            for found in run("docker", kind, "ls", *mine).split():
                run("docker", kind, "rm", found)
        reference = f"reference={self.prefix}*"
        listed = run("docker", "image", "ls", "--quiet", "--filter", reference)
        for image in dict.fromkeys(listed.split()):
            run("docker", "rmi", "--force", image)


def status(port: int, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """Ask a port of the loopback address once; 0 if there is no answer yet."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, HTTPException):
        return 0, ""
    finally:
        connection.close()


def wait_for(
    port: int, path: str, headers: Mapping[str, str], text: str = "", seconds: float = 90
) -> None:
    """Ask every ten milliseconds until the answer is 200 and holds the text."""
    deadline = time.monotonic() + seconds
    while True:
        code, body = status(port, path, headers)
        if code == 200 and text in body:
            return
        if time.monotonic() > deadline:
            raise Failed(f"no 200 from {path} after {seconds} seconds: {code} {body[:500]}")
        time.sleep(0.01)
