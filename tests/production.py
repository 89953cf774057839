"""The production stack of a rendered project: made ready, asked over HTTPS, and kept busy."""

import http.client
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.stack import Answer, Stack, started, unused_port

# Caddy signs the certificate of localhost itself
TRUSTING = ssl._create_unverified_context()


def site(project: Path) -> Stack:
    """The production stack of a rendered project, with its secrets, on free ports."""
    ports = {"HTTP_PORT": str(unused_port()), "HTTPS_PORT": str(unused_port())}
    stack = Stack(project, project.name, {"COMPOSE_FILE": "docker-compose.prod.yml"} | ports)
    stack.run("make", "secrets")
    return stack


def fetch(
    stack: Stack,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    method: str = "",
) -> Answer:
    """Ask the proxy over HTTPS, with POST if there is a body and no other method."""
    port = int(stack.environment["HTTPS_PORT"])
    connection = http.client.HTTPSConnection("localhost", port, context=TRUSTING, timeout=60)
    try:
        connection.request(method or ("POST" if body else "GET"), path, body, headers or {})
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        return Answer(response.status, response.headers, text)
    finally:
        connection.close()


def until(condition: Callable[[], object], seconds: int = 180) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.2)


def answers(stack: Stack) -> bool:
    """Whether the proxy has its certificate, and a page to show."""
    try:
        return fetch(stack, "/").status == 200
    except OSError:
        return False


@contextmanager
def serving(stack: Stack) -> Iterator[Stack]:
    """Start a production stack, and wait until it answers; afterwards its images are gone too."""
    try:
        with started(stack):
            until(lambda: answers(stack))
            yield stack
    finally:
        images = (stack.name, f"{stack.name}:previous")
        stack.run("docker", "rmi", "--force", *images, check=False)


@contextmanager
def serving_project(project: Path) -> Iterator[Stack]:
    """Start the production stack of a rendered project."""
    with serving(site(project)) as stack:
        yield stack


@contextmanager
def load(stack: Stack, clients: int = 8, most: int = 20_000) -> Iterator[Counter[str]]:
    """Keep clients asking while the block runs; counts the answers by status, or by the error.

    Each pauses between two requests, since the machine has other tests to run.
    """
    outcomes: Counter[str] = Counter()
    over = threading.Event()

    def client() -> None:
        while not over.is_set() and outcomes.total() < most:
            try:
                outcomes[str(fetch(stack, "/accounts/login/").status)] += 1
            except OSError as error:
                outcomes[repr(error)] += 1
            over.wait(0.05)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        yield outcomes
        time.sleep(1)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    failed = outcomes.total() - outcomes["200"]
    print(f"measured: {outcomes.total()} requests, {failed} failed: {dict(outcomes)}")


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code, what it said, and which answers the clients got meanwhile."""

    code: int
    output: str
    answers: set[str]


def under_load(stack: Stack, *command: str) -> Outcome:
    """Run a command while clients keep asking."""
    with load(stack) as outcomes:
        done = stack.run(*command, check=False)
    assert outcomes.total() > 100
    return Outcome(done.returncode, done.stdout, set(outcomes))


@contextmanager
def changed(file: Path, addition: str) -> Iterator[None]:
    """A file with something at its end while the block runs."""
    before = file.read_text()
    file.write_text(f"{before}{addition}\n")
    try:
        yield
    finally:
        file.write_text(before)


def deploy(stack: Stack, change: str = "", *command: str) -> Outcome:
    """Deploy under load an image with a change at the end of its Dockerfile, by `make deploy` if not told otherwise."""
    with changed(stack.folder / "Dockerfile", change):
        return under_load(stack, *(command or ("make", "deploy")))


def assert_locked_down(stack: Stack) -> None:
    """No container of the stack has a right that it does not need."""
    for service in stack.compose("ps", "--services").split():
        into = ("docker", "compose", "exec", "-T", service)
        assert_confined(stack, *into, may_bind=service == "proxy")


def assert_confined(stack: Stack, *into: str, may_bind: bool = False) -> None:
    """No process of a container is root, holds or can gain a capability, or can write to its root.

    `into` is the command that runs others in the container; a server that binds low ports may hold the capability for it.
    """
    status = stack.run(*into, "sh", "-c", "cat /proc/[0-9]*/status || true").stdout
    write = stack.run(*into, "sh", "-c", "echo > /written", check=False).stdout

    assert "0" not in re.findall(r"^Uid:\s+(\d+)", status, re.MULTILINE), into
    assert set(re.findall(r"^NoNewPrivs:\s+(\d)", status, re.MULTILINE)) == {"1"}, into
    assert "Read-only file system" in write, into
    # NET_BIND_SERVICE is the eleventh capability
    allowed = {"0" * 16, "0000000000000400"} if may_bind else {"0" * 16}
    assert set(re.findall(r"^CapEff:\s+(\w+)", status, re.MULTILINE)) <= allowed, into
