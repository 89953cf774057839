"""The production file on a Swarm: deployed, updated and rolled back without losing a request, restored from a backup."""

import re
import time
from collections.abc import Iterator

import pytest

from tests.conftest import render_variant
from tests.production import answers, load, prepared, until, variant_of
from tests.stack import Stack

pytestmark = [pytest.mark.container, pytest.mark.swarm]


@pytest.fixture(scope="module")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack on a Swarm of one node; afterwards the engine is as it was."""
    name, variant = "swarm", variant_of("celery", "postgresql")
    rendered = tmp_path_factory.mktemp("rendered")
    render_variant(variant, rendered)
    stack = prepared(rendered, tmp_path_factory.mktemp(name), variant, name)
    state = "{" + "{.Swarm.LocalNodeState}" + "}"
    if stack.run("docker", "info", "--format", state).stdout.strip() != "inactive":
        pytest.skip("the engine is part of a swarm")
    stack.run("docker", "swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        stack.run("make", "deploy-stack")
        until(lambda: answers(stack))
        yield stack
    finally:
        stack.run("docker", "stack", "rm", "--detach=false", name, check=False)
        stack.run("docker", "swarm", "leave", "--force")
        remove_volumes(stack)
        images = stack.run("docker", "images", "--quiet", name).stdout.split()
        stack.run("docker", "rmi", "--force", *images, check=False)


def remove_volumes(stack: Stack) -> None:
    """Remove the volumes of a stack, once its containers are gone."""
    label = f"label=com.docker.stack.namespace={stack.name}"
    listed = ("docker", "volume", "ls", "--quiet", "--filter", label)
    for _ in range(60):
        volumes = stack.run(*listed).stdout.split()
        if not volumes or not stack.run("docker", "volume", "rm", *volumes, check=False).returncode:
            return
        time.sleep(0.5)
    raise AssertionError(f"volumes are left: {volumes}")


def deploy(stack: Stack, change: str) -> tuple[int, set[str]]:
    """Deploy an image with a change at the end of its Dockerfile, under load: exit code and outcomes."""
    dockerfile = stack.folder / "Dockerfile"
    before = dockerfile.read_text()
    dockerfile.write_text(f"{before}{change}\n")
    try:
        with load(stack) as outcomes:
            done = stack.run("make", "deploy-stack", check=False)
        assert outcomes.total() > 100
        return done.returncode, set(outcomes)
    finally:
        dockerfile.write_text(before)


def image(stack: Stack) -> str:
    """The image that the service runs now."""
    field = "{" + "{.Image}" + "}"
    listed = ("docker", "service", "ls", "--format", field, "--filter", f"name={stack.name}_web")
    return stack.run(*listed).stdout.strip()


def web(stack: Stack) -> str:
    """A container of the site."""
    label = f"label=com.docker.swarm.service.name={stack.name}_web"
    return stack.run("docker", "ps", "--quiet", "--filter", label).stdout.split()[0]


def test_every_service_runs_and_the_worker_works(stack: Stack) -> None:
    label = f"label=com.docker.stack.namespace={stack.name}"
    services = ("docker", "service", "ls", "--filter", label)
    fields = "{" + "{.Name}} {" + "{.Replicas}}"
    enqueue = "from users.tasks import send_password_reset as s; s.delay('k', 0, 'https', '', '')"

    def replicas() -> dict[str, str]:
        listed = stack.run(*services, "--format", fields).stdout.splitlines()
        return dict(line.removeprefix(f"{stack.name}_").split()[:2] for line in listed)

    one = dict.fromkeys(("proxy", "migrate", "db", "worker", "scheduler", "cache"), "1/1")
    until(lambda: replicas() == one | {"web": "2/2"})
    stack.run("docker", "exec", web(stack), "python", "manage.py", "shell", "-c", enqueue)

    def log() -> str:
        return stack.run("docker", "service", "logs", f"{stack.name}_worker").stdout

    until(lambda: re.search(r"send_password_reset\[.+?\] succeeded", log()))


def test_new_image_takes_over(stack: Stack) -> None:
    before = image(stack)

    assert deploy(stack, "LABEL version=2") == (0, {"200"})
    assert image(stack) != before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param('CMD ["false"]', id="exits at once"),
        pytest.param(
            'HEALTHCHECK --interval=1s --retries=3 CMD ["false"]', id="never gets healthy"
        ),
    ],
)
def test_broken_image_is_rolled_back(stack: Stack, change: str) -> None:
    before = image(stack)

    code, outcomes = deploy(stack, change)

    assert code != 0
    assert outcomes == {"200"}
    assert image(stack) == before


def test_new_secret_is_taken_over(stack: Stack) -> None:
    secret = stack.folder / "secrets" / "secret_key"
    before = secret.read_text()
    secret.unlink()

    assert deploy(stack, "") == (0, {"200"})

    told = stack.run("docker", "exec", web(stack), "cat", "/run/secrets/secret_key").stdout
    assert told == secret.read_text() != before


def test_backup_brings_back_what_was_lost(stack: Stack) -> None:
    count = "from users.models import User; print('users:', User.objects.count())"
    manage = ("docker", "exec", web(stack), "python", "manage.py")
    stack.run(*manage, "shell", "--command", "User.objects.create_user('ada')")

    archive = stack.run("make", "--silent", "backup").stdout.split()[-1]
    stack.run(*manage, "shell", "--command", "User.objects.all().delete()")
    stack.run("sh", "-c", f"echo yes | make restore FILE={archive}")

    until(lambda: answers(stack))
    told = stack.run("docker", "exec", web(stack), *manage[3:], "shell", "--command", count).stdout
    assert "users: 1" in told


def test_image_that_needs_a_minute_takes_over(stack: Stack) -> None:
    before = image(stack)
    stack.environment["WEB_REPLICAS"] = "1"

    outcome = deploy(stack, 'CMD ["sh", "-c", "sleep 60; exec python -m config.server"]')

    assert outcome == (0, {"200"})
    assert image(stack) != before
