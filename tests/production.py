"""The production stack of a rendered project: made ready, asked over HTTPS, and kept busy."""

import http.client
import os
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.matrix import VARIANTS, name_of
from tests.stack import Answer, Stack, copy_of
from tools.demo import free_port

# The first variant of each database
BY_DATABASE = {variant["database"]: variant for variant in reversed(VARIANTS)}

# Caddy signs the certificate of localhost itself
TRUSTING = ssl._create_unverified_context()


def each(databases: Iterable[str]) -> pytest.MarkDecorator:
    """Run a test on the production stack of each database."""
    stacks = [
        pytest.param(
            BY_DATABASE[name], id=name, marks=pytest.mark.xdist_group(f"production-{name}")
        )
        for name in databases
    ]
    return pytest.mark.parametrize("stack", stacks, indirect=True, scope="module")


def prepared(rendered: Path, folder: Path, variant: dict[str, str], name: str) -> Stack:
    """A copy of a variant with its secrets, whose commands act on the production file."""
    copy_of(rendered / name_of(variant), folder / name, os.getuid())
    environment = {
        "COMPOSE_FILE": "docker-compose.prod.yml",
        "COMPOSE_PROJECT_NAME": name,
        "HTTP_PORT": str(free_port(0)),
        "HTTPS_PORT": str(free_port(0)),
        "IMAGE": name,
    }
    stack = Stack(folder / name, name, environment)
    stack.run("make", "secrets")
    return stack


def fetch(
    stack: Stack, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """Ask the proxy over HTTPS, with POST if there is a body."""
    port = int(stack.environment["HTTPS_PORT"])
    connection = http.client.HTTPSConnection("localhost", port, context=TRUSTING, timeout=60)
    try:
        connection.request("POST" if body else "GET", path, body, headers or {})
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        return Answer(response.status, dict(response.getheaders()), text)
    finally:
        connection.close()


@contextmanager
def load(stack: Stack, clients: int = 8, most: int = 20_000) -> Iterator[Counter[str]]:
    """Keep clients asking while the block runs; counts the answers by status, or by the error."""
    outcomes: Counter[str] = Counter()
    over = threading.Event()

    def client() -> None:
        while not over.is_set() and outcomes.total() < most:
            try:
                outcomes[str(fetch(stack, "/accounts/login/").status)] += 1
            except OSError as error:
                outcomes[repr(error)] += 1

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
    print(f"{outcomes.total()} requests: {dict(outcomes)}")
