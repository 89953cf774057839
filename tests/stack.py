"""A rendered project on a real engine: start it, ask it, and remove all that it made."""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage, HTTPResponse
from pathlib import Path

import pytest

# What the production image demands; HTTPS is asked for by the header of the proxy
PRODUCTION = {
    "ALLOWED_HOSTS": "example.com",
    "EMAIL_URL": "submission://mail.example.com",
    "SECRET_KEY": "0123456789abcdef" * 4,
}


def outside_make() -> dict[str, str]:
    """The environment without that of `make test`, under which a project's own make would say more."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    # Whose names may be written in any case
    headers: HTTPMessage
    text: str


@dataclass(frozen=True)
class Stack:
    """A project whose containers are up; `folder` holds it, `name` is its Compose project."""

    folder: Path
    name: str
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder; its output is the error's message."""
        done = subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env=outside_make() | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} exited {done.returncode}:\n{done.stdout}")
        return done

    def compose(self, *arguments: str) -> str:
        """Run Docker Compose and return what it prints."""
        return self.run("docker", "compose", *arguments).stdout

    def execute(self, *command: str, service: str = "web") -> str:
        """Run a command in the running container of a service."""
        return self.compose("exec", "--no-TTY", service, *command)

    def port(self) -> int:
        """The port of the loopback address on which the development server answers."""
        return int(self.compose("port", "web", "8000").rpartition(":")[2])

    def get(self, path: str) -> Answer:
        """Ask the development server."""
        return get(self.port(), path)


# From the folder of a rendered project to its stack, which runs while the block does
Start = Callable[[Path], AbstractContextManager[Stack]]


def on(start: Start, projects: Mapping[str, Mapping[str, str]]) -> pytest.MarkDecorator:
    """Run tests that take `stack` on each of these projects (slug → answers), started that way."""
    stacks = [
        pytest.param((start, slug, answers), id=slug, marks=pytest.mark.xdist_group(slug))
        for slug, answers in projects.items()
    ]
    return pytest.mark.parametrize("stack", stacks, indirect=True, scope="module")


def get(port: int, path: str, **headers: str) -> Answer:
    """Send a GET request to a port of the loopback address; underscores in header names become dashes."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers=names)
        response: HTTPResponse = connection.getresponse()
        text = response.read().decode(errors="replace")
        return Answer(response.status, response.headers, text)
    finally:
        connection.close()


def development(project: Path) -> Stack:
    """The development stack of a project, on any free ports."""
    return Stack(project, f"{project.name}-dev", {"WEB_PORT": "0", "MAIL_PORT": "0"})


@contextmanager
def started(stack: Stack) -> Iterator[Stack]:
    """Start a project and wait until it is healthy; afterwards nothing of it is left on the engine."""
    with removed(stack):
        stack.compose("up", "--build", "--wait", "--wait-timeout", "300")
        yield stack


@contextmanager
def removed(stack: Stack) -> Iterator[None]:
    """After the block, nothing of a project is left on the engine; a failure shows the end of its log."""
    try:
        yield
    except AssertionError as error:
        error.add_note(stack.run("docker", "compose", "logs", "--tail=50", check=False).stdout)
        raise
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "5")
    label = f"label=com.docker.compose.project={stack.name}"
    for kind in ("container", "volume", "network"):
        every = ["--all"] if kind == "container" else []
        left = stack.run("docker", kind, "ls", "--quiet", *every, "--filter", label)
        assert left.stdout == "", f"a {kind} is left"


@contextmanager
def production(stack: Stack, **variables: str) -> Iterator[int]:
    """Run the production image, locked down, beside the started stack; gives its port on loopback."""
    web = json.loads(stack.compose("config", "--format", "json"))["services"]["web"]
    servers = {k: v for k, v in web["environment"].items() if k.endswith("_URL")}
    variables |= servers | PRODUCTION
    settings = [f"--env={name}={value}" for name, value in variables.items()]
    # The same volumes, but not the source that development mounts
    volumes = [
        f"--volume={stack.name}_{volume['source']}:{volume['target']}"
        for volume in web["volumes"]
        if volume["type"] == "volume"
    ]
    container = f"{stack.name}-production"
    hardened = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp"]
    stack.run("docker", "build", "--tag", container, ".")
    try:
        stack.run(
            *(
                "docker",
                "run",
                "--detach",
                "--init",
                "--name",
                container,
                "--publish=127.0.0.1::8000",
            ),
            *(f"--network={stack.name}_default", *hardened, *settings, *volumes, container),
        )
        port = int(stack.run("docker", "port", container, "8000").stdout.rpartition(":")[2])
        wait_for(port)
        yield port
    except AssertionError as error:
        error.add_note(stack.run("docker", "logs", container, check=False).stdout)
        raise
    finally:
        stack.run("docker", "rm", "--force", "--volumes", container)
        stack.run("docker", "rmi", "--force", container)


def wait_for(port: int, path: str = "/health/ready", seconds: int = 60) -> Answer:
    """Ask until the answer is 200, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = get(port, path)
            if answer.status == 200:
                return answer
        except OSError:
            answer = None
        assert time.monotonic() < deadline, f"no 200 from {path}: {answer}"
        time.sleep(0.2)


def needed(command: str) -> str:
    """The path of a command that a test cannot do without: it fails where an engine is required, else skips."""
    path = shutil.which(command)
    if path is None:
        (pytest.fail if os.environ.get("REQUIRE_DOCKER") else pytest.skip)(f"no {command} here")
    return path


def unused_port() -> int:
    """A free port, below those that the system gives to outgoing connections at any moment."""
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("", random.randrange(20_000, 30_000)))
            except OSError:
                continue
            return int(probe.getsockname()[1])


def link_to(name: str, page: str) -> str:
    """The address of a static file by the name it has in the source, as the page gives it."""
    stem, dot, suffix = name.rpartition(".")
    found = re.search(rf'"(/static/{stem}\.[0-9a-f]{{12}}{re.escape(dot + suffix)})"', page)
    assert found, page
    return found[1]


def copy_of(project: Path, folder: Path, uid: int) -> Path:
    """Copy a project so that it belongs to a user, whose uid its containers take; only root can give it away."""
    return given(Path(shutil.copytree(project, folder)), uid)


def given(project: Path, uid: int) -> Path:
    """Give a project to a user, whose uid its containers take; only root can."""
    for path in (project, *project.rglob("*")):
        os.chown(path, uid, uid)
    env = project / ".env"
    if env.exists():
        env.write_text(re.sub(r"(?m)^(HOST_[UG]ID)=.*", rf"\g<1>={uid}", env.read_text()))
    return project
