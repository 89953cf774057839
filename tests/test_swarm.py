"""On a Swarm: deployed, updated and rolled back without losing a request, restored from a backup."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.production import answers, deploy, site, until
from tests.roles import CHANGES, not_denied
from tests.stack import Stack, on

DEPLOY = ("sh", "deploy/swarm/deploy.sh")


@contextmanager
def on_a_swarm(project: Path) -> Iterator[Stack]:
    """Start a project on a Swarm of one node; afterwards the engine is as it was."""
    stack = site(project)
    state = "{" + "{.Swarm.LocalNodeState}" + "}"
    if stack.run("docker", "info", "--format", state).stdout.strip() != "inactive":
        pytest.skip("the engine is part of a swarm")
    # Not the default addresses, where the machine may have its own network, or one of an earlier swarm
    pool = "--default-addr-pool=10.77.0.0/16"
    stack.run("docker", "swarm", "init", "--advertise-addr=127.0.0.1", pool)
    try:
        stack.run(*DEPLOY)
        until(lambda: answers(stack))
        yield stack
    finally:
        stack.run("docker", "stack", "rm", stack.name, check=False)
        until(lambda: not left(stack, "container"))
        # A node that leaves with a network keeps it, and its name, until the engine starts again
        until(lambda: not left(stack, "network"))
        stack.run("docker", "swarm", "leave", "--force")
        stack.run("docker", "volume", "rm", "--force", *left(stack, "volume"))
        images = stack.run("docker", "images", "--quiet", stack.name).stdout.split()
        stack.run("docker", "rmi", "--force", *images, check=False)


pytestmark = [
    pytest.mark.container,
    pytest.mark.swarm,
    on(on_a_swarm, {"on-swarm": {"background_tasks": "celery", "deploy_to": "swarm"}}),
]


def left(stack: Stack, kind: str) -> list[str]:
    """What is there of a kind that belongs to the stack."""
    label = f"label=com.docker.stack.namespace={stack.name}"
    every = ["--all"] if kind == "container" else []
    return stack.run("docker", kind, "ls", "--quiet", *every, "--filter", label).stdout.split()


def image(stack: Stack, service: str = "web") -> str:
    """The image that a service runs now."""
    field = "{" + "{.Spec.TaskTemplate.ContainerSpec.Image}" + "}"
    inspect = ("docker", "service", "inspect", "--format", field, f"{stack.name}_{service}")
    return stack.run(*inspect).stdout.strip()


def web(stack: Stack) -> str:
    """A container of the site."""
    label = f"label=com.docker.swarm.service.name={stack.name}_web"
    return stack.run("docker", "ps", "--quiet", "--filter", label).stdout.split()[0]


def test_every_service_runs_and_the_worker_works(stack: Stack) -> None:
    label = f"label=com.docker.stack.namespace={stack.name}"
    services = ("docker", "service", "ls", "--filter", label)
    fields = "{" + "{.Name}} {" + "{.Replicas}}"
    enqueue = "from users.tasks import send_password_reset as s; s.delay('k', 'nobody@example.com')"

    listed = stack.run(*services, "--format", fields).stdout.splitlines()
    replicas = dict(line.removeprefix(f"{stack.name}_").split(maxsplit=1) for line in listed)
    one = dict.fromkeys(("proxy", "media", "db", "worker", "scheduler", "cache"), "1/1")
    assert replicas == one | {"web": "2/2", "migrate": "0/1 (1/1 completed)"}
    stack.run("docker", "exec", web(stack), "python", "manage.py", "shell", "-c", enqueue)

    def log() -> str:
        return stack.run("docker", "service", "logs", f"{stack.name}_worker").stdout

    until(lambda: re.search(r"send_password_reset\[.+?\] succeeded", log()))


def test_new_image_takes_over(stack: Stack) -> None:
    before = image(stack)

    outcome = deploy(stack, "LABEL version=2", *DEPLOY)

    assert (outcome.code, outcome.answers) == (0, {"200"}), outcome
    assert image(stack) == image(stack, "worker") != before


BROKEN_MIGRATION = """
COPY <<END users/migrations/0003_broken.py
from django.db import migrations

class Migration(migrations.Migration):
    dependencies = [("users", "0002_counter")]
    operations = [migrations.RunSQL("nonsense")]
END
"""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param('CMD ["sh", "-c", "echo no port; exit 3"]', "no port", id="exits at once"),
        pytest.param(
            'HEALTHCHECK --interval=1s --retries=10 CMD ["false"]',
            "Started worker",
            id="never gets healthy",
        ),
        pytest.param(BROKEN_MIGRATION, 'syntax error at or near "nonsense"', id="does not migrate"),
    ],
)
def test_broken_image_is_rolled_back_and_its_log_shown(
    stack: Stack, change: str, told: str
) -> None:
    before = image(stack)

    outcome = deploy(stack, change, *DEPLOY)

    assert outcome.code == 1
    assert outcome.answers == {"200"}
    assert told in outcome.output.partition("Waiting")[2]
    assert image(stack) == image(stack, "worker") == before


def test_new_secret_is_taken_over(stack: Stack) -> None:
    secret = stack.folder / "secrets" / "secret_key"
    before = secret.read_text()
    secret.unlink()
    stack.run("make", "secrets")

    outcome = deploy(stack, "", *DEPLOY)

    told = stack.run("docker", "exec", web(stack), "cat", "/run/secrets/secret_key").stdout
    assert (outcome.code, outcome.answers) == (0, {"200"}), outcome
    assert told == secret.read_text() != before


def test_backup_brings_back_what_was_lost(stack: Stack) -> None:
    count = "from users.models import User; print('users:', User.objects.count())"
    manage = ("docker", "exec", web(stack), "python", "manage.py")
    stack.run(*manage, "shell", "--command", "User.objects.create_user('ada')")

    archive = stack.run("sh", "deploy/swarm/backup.sh").stdout.split()[-1]
    stack.run(*manage, "shell", "--command", "User.objects.all().delete()")
    stack.run("sh", "-c", f"echo yes | sh deploy/swarm/restore.sh {archive}")

    until(lambda: answers(stack))
    told = stack.run("docker", "exec", web(stack), *manage[3:], "shell", "--command", count).stdout
    assert "users: 1" in told
    assert not_denied(stack, "docker", "exec", web(stack), statements=CHANGES) == {}


def test_image_that_needs_longer_than_a_health_check_takes_over(stack: Stack) -> None:
    before = image(stack)
    stack.environment["WEB_REPLICAS"] = "1"

    outcome = deploy(stack, 'CMD ["sh", "-c", "sleep 35; exec python -m config.server"]', *DEPLOY)

    assert (outcome.code, outcome.answers) == (0, {"200"}), outcome
    assert image(stack) != before
