"""`make deploy` replaces the running site without losing a request, or says what failed; `make rollback` goes back."""

import pytest

from tests.production import Outcome, changed, deploy, fetch, serving_project, under_load
from tests.stack import Stack, on

pytestmark = [
    pytest.mark.container,
    on(serving_project, {"deploy": {"background_tasks": "database"}}),
]

# What is at the end of a Dockerfile
BROKEN_MIGRATION = """
USER root
RUN echo 'raise SystemExit("no such column")' > users/migrations/0002_broken.py
USER 10001:10001
"""


def containers(stack: Stack, service: str = "web") -> set[str]:
    """The ids of a service's containers."""
    return set(stack.compose("ps", "--all", "--quiet", service).split())


def versions(stack: Stack, service: str = "web") -> set[str]:
    """The labels of the images that a service runs."""
    label = "{" + '{index .Config.Labels "version"}' + "}"
    told = stack.run("docker", "inspect", "--format", label, *containers(stack, service)).stdout
    return set(told.split())


def ended_well(outcome: Outcome) -> bool:
    """Whether a command succeeded, and no client has noticed it."""
    return (outcome.code, outcome.answers) == (0, {"200"})


def test_new_image_takes_over(stack: Stack) -> None:
    web, worker = containers(stack), containers(stack, "worker")

    outcome = deploy(stack, "LABEL version=2")

    assert ended_well(outcome), outcome
    assert len(containers(stack)) == 2
    assert not containers(stack) & web
    assert not containers(stack, "worker") & worker


def test_image_that_starts_slowly_takes_over(stack: Stack) -> None:
    old = containers(stack)

    outcome = deploy(stack, 'CMD ["sh", "-c", "sleep 20; exec python -m config.server"]')

    assert ended_well(outcome), outcome
    assert not containers(stack) & old


def test_rollback_goes_back_to_the_image_before_and_forward_again(stack: Stack) -> None:
    deploy(stack, "LABEL version=good")
    deploy(stack, "LABEL version=bad")

    back = under_load(stack, "make", "rollback")
    after = versions(stack) | versions(stack, "worker")
    forward = under_load(stack, "make", "rollback")

    assert ended_well(back), back
    assert ended_well(forward), forward
    assert after == {"good"}
    assert versions(stack) == {"bad"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param('CMD ["sh", "-c", "echo no port; exit 3"]', "no port", id="exits at once"),
        pytest.param(
            'HEALTHCHECK --interval=1s --retries=10 CMD ["false"]',
            "Started worker",
            id="never gets healthy",
        ),
        pytest.param('RUN ["false"]', "did not complete successfully", id="is not built"),
        pytest.param(BROKEN_MIGRATION, "no such column", id="does not migrate"),
    ],
)
def test_broken_image_is_rolled_back_and_its_log_shown(
    stack: Stack, change: str, told: str
) -> None:
    old = containers(stack)

    outcome = deploy(stack, change)
    stack.compose("up", "--wait")

    assert outcome.code != 0
    assert outcome.answers == {"200"}
    assert told in outcome.output
    assert "the old one serves on" in outcome.output
    assert containers(stack) == old


def test_new_secret_reaches_every_process(stack: Stack) -> None:
    secret = stack.folder / "secrets" / "secret_key"
    before = secret.read_text()
    secret.unlink()

    outcome = deploy(stack)

    assert ended_well(outcome), outcome
    for service in ("web", "worker"):
        told = stack.execute("cat", "/run/secrets/secret_key", service=service)
        assert told == secret.read_text() != before


def test_new_caddyfile_reaches_the_proxy(stack: Stack) -> None:
    caddyfile = stack.folder / "Caddyfile"
    text = caddyfile.read_text()
    # As git and editors do, which leaves the container with the file as it was
    caddyfile.unlink()
    caddyfile.write_text(text.replace("\t\t-Via\n", "\t\t-Via\n\t\tX-Served-By caddy\n"))

    outcome = deploy(stack)

    # A few requests are lost while Caddy changes its configuration under load
    assert outcome.code == 0
    assert fetch(stack, "/").headers["X-Served-By"] == "caddy"


def test_broken_caddyfile_changes_nothing(stack: Stack) -> None:
    old = containers(stack)

    with changed(stack.folder / "Caddyfile", "nonsense {"):
        outcome = under_load(stack, "make", "deploy")

    assert outcome.code != 0
    assert outcome.answers == {"200"}
    assert "syntax error" in outcome.output
    assert containers(stack) == old


def test_first_start_that_fails_shows_the_log_of_the_migration(stack: Stack) -> None:
    stack.compose("down")

    with changed(stack.folder / "Dockerfile", BROKEN_MIGRATION):
        first = stack.run("make", "deploy", check=False)

    assert first.returncode != 0
    assert "no such column" in first.stdout
