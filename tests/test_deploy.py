"""`make deploy` replaces the running site without losing a request, and takes a broken image back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.production import BY_DATABASE, load, prepared, serving
from tests.stack import Stack

pytestmark = [pytest.mark.container, pytest.mark.xdist_group("deploy")]


@pytest.fixture(scope="module")
def stack(
    engine: None, rendered: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A production stack, up and healthy."""
    name = "deploy"
    folder = tmp_path_factory.mktemp(name)
    with serving(prepared(rendered, folder, BY_DATABASE["postgresql"], name)) as up:
        yield up


def deploy(stack: Stack, change: str) -> tuple[int, set[str]]:
    """Deploy an image with a change at the end of its Dockerfile, under load: exit code and outcomes."""
    dockerfile = stack.folder / "Dockerfile"
    before = dockerfile.read_text()
    dockerfile.write_text(f"{before}{change}\n")
    try:
        with load(stack) as outcomes:
            code = stack.run("make", "deploy", check=False).returncode
        assert outcomes.total() > 100
        return code, set(outcomes)
    finally:
        dockerfile.write_text(before)


def containers(stack: Stack) -> set[str]:
    return set(stack.compose("ps", "--all", "--quiet", "web").split())


def test_new_image_takes_over(stack: Stack) -> None:
    old = containers(stack)

    outcome = deploy(stack, "LABEL version=2")

    assert outcome == (0, {"200"})
    assert len(containers(stack)) == 2
    assert not containers(stack) & old


def test_image_that_needs_a_minute_takes_over(stack: Stack) -> None:
    old = containers(stack)

    outcome = deploy(stack, 'CMD ["sh", "-c", "sleep 60; exec python -m config.server"]')

    assert outcome == (0, {"200"})
    assert not containers(stack) & old


@pytest.mark.parametrize(
    "change",
    [
        pytest.param('CMD ["false"]', id="exits at once"),
        pytest.param(
            'HEALTHCHECK --interval=1s --retries=3 CMD ["false"]', id="never gets healthy"
        ),
        pytest.param('RUN ["false"]', id="is not built"),
        pytest.param(
            "USER root\nRUN echo broken > users/migrations/0002_broken.py\nUSER 10001",
            id="does not migrate",
        ),
    ],
)
def test_broken_image_is_taken_back(stack: Stack, change: str) -> None:
    old = containers(stack)

    code, outcomes = deploy(stack, change)
    stack.compose("up", "--wait")

    assert code != 0
    assert outcomes == {"200"}
    assert containers(stack) == old


def test_new_secret_is_taken_over(stack: Stack) -> None:
    secret = stack.folder / "secrets" / "secret_key"
    before = secret.read_text()
    secret.unlink()

    outcome = deploy(stack, "")

    assert outcome == (0, {"200"})
    assert stack.execute("cat", "/run/secrets/secret_key") == secret.read_text() != before
