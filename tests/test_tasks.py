"""Background tasks on the production stack: each is done, and only once unless its worker was killed."""

import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.mailserver import log_of, mails_to, mailserver, use_mailserver
from tests.probe import add_probe
from tests.production import assert_locked_down, fetch, serving, site, under_load, until
from tests.rendering import render, replace
from tests.stack import Answer, Stack, on, started, wait_for

pytestmark = pytest.mark.container

# Errors of a database that is available
ERRORS = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$",
    "sqlite": "SELECT missing FROM probe_run",
}

# Whoever reads the pickle of this makes a folder
PLANT = """
import os, pickle

class Plant:
    def __reduce__(self):
        return os.mkdir, ("/tmp/planted",)
"""

PLANT_IN_CACHE = """
from django.core.cache import cache

key = cache.make_and_validate_key("planted")
cache._cache.get_client().set(key, pickle.dumps(Plant()))
cache.get("planted")
"""

PLANT_IN_QUEUE = """
from config.celery import app

app.send_task("os.mkdir", ["/tmp/planted"])
with app.connection_for_write() as connection:
    headers = {"task": "probe.tasks.mark", "id": "planted"}
    body = ([Plant()], {}, {})
    connection.Producer().publish(body, serializer="pickle", headers=headers, routing_key="celery")
"""

# One for each way to keep a queue (slug → answers)
STACKS = {
    f"tasks-{tasks}-{database}": {"background_tasks": tasks, "database": database}
    for tasks, database in (
        ("database", "postgresql"),
        ("database", "sqlite"),
        ("celery", "postgresql"),
    )
}


@contextmanager
def with_probe(project: Path) -> Iterator[Stack]:
    """Start a production stack with the probe in it, two accounts, and a mail server beside it."""
    add_probe(project, STACKS[project.name]["background_tasks"])
    stack = site(project)
    use_mailserver(stack)
    with serving(stack), mailserver(stack, "--env=REFUSE=1"):
        for person in ("ada", "grace"):
            stack.execute(
                *("env", "DJANGO_SUPERUSER_PASSWORD=a long enough passphrase"),
                *("python", "manage.py", "createsuperuser", "--no-input"),
                *(f"--username={person}", f"--email={person}@example.com"),
            )
        yield stack


def each(*slugs: str) -> pytest.MarkDecorator:
    """Run a test on these production stacks."""
    return on(with_probe, {slug: STACKS[slug] for slug in slugs})


each_stack = each(*STACKS)
each_server = each("tasks-database-postgresql", "tasks-celery-postgresql")
each_scheduler = each("tasks-celery-postgresql")


def runs(stack: Stack) -> Counter[str]:
    """How often each task has been run, by its name."""
    return Counter(json.loads(fetch(stack, "/probe/runs").text))


strangers = (f"stranger{number}" for number in itertools.count())


def ask_for_reset(stack: Stack, person: str = "") -> Answer:
    """Send the form of the password reset, for somebody else each time: an address gets only so many e-mails."""
    page = fetch(stack, "/accounts/password_reset/")
    token = re.search('csrfmiddlewaretoken" value="(.+?)"', page.text)
    assert token
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": page.headers["Set-Cookie"].partition(";")[0],
        "Referer": f"https://localhost:{stack.environment['HTTPS_PORT']}/",
        "X-CSRFToken": token[1],
    }
    body = f"email={person or next(strangers)}@example.com".encode()
    return fetch(stack, "/accounts/password_reset/", body, headers)


@each_stack
def test_every_container_is_locked_down(stack: Stack) -> None:
    assert_locked_down(stack)


@each_stack
def test_email_of_the_password_reset_arrives_though_it_was_refused_at_first(stack: Stack) -> None:
    answer = ask_for_reset(stack, "grace")

    until(lambda: mails_to(stack, "grace@example.com"))
    sent = mails_to(stack, "grace@example.com")
    link = re.search(r"https://localhost(/accounts/reset/\S+)", sent[0])
    worker = stack.compose("logs", "--no-log-prefix", "worker")
    assert answer.status == 302
    assert len(re.findall("REFUSED.*grace", log_of(stack))) == len(sent) == 1
    assert link
    assert fetch(stack, link[1]).status == 302
    assert "retry" in worker.lower()
    assert link[1].split("/")[-2] not in worker


@each_stack
def test_thousand_tasks_are_done_once_though_their_worker_is_stopped_twice(stack: Stack) -> None:
    begun = time.monotonic()
    fetch(stack, "/probe/many/1000")

    def done() -> dict[str, int]:
        return {name: count for name, count in runs(stack).items() if name.isdigit()}

    for part in (200, 500):
        until(lambda part=part: len(done()) >= part)  # type: ignore[misc]
        stack.compose("stop", "worker")
        assert part <= len(done()) < 1000
        stack.compose("start", "worker")
    until(lambda: len(done()) == 1000)
    stack.compose("stop", "worker")
    stack.compose("start", "worker")

    twice = sum(done().values()) - 1000
    print(f"measured: 1000 tasks in {time.monotonic() - begun:.1f} s, {twice} done twice")
    # Celery may hand out again what its two processes were at when one of the three stops came
    assert twice <= (6 if "celery" in stack.name else 0)


@each_stack
def test_task_in_progress_finishes_before_the_worker_stops(stack: Stack) -> None:
    fetch(stack, "/probe/one/short/2")
    until(lambda: runs(stack)["short begins"])

    stack.compose("stop", "worker")

    assert runs(stack)["short begins"] == runs(stack)["short"] == 1
    stack.compose("start", "worker")


@each_stack
def test_task_that_takes_longer_is_requeued_for_the_next_worker(
    stack: Stack,
) -> None:
    fetch(stack, "/probe/one/long/8")
    until(lambda: runs(stack)["long begins"])

    stack.compose("stop", "worker")
    unfinished = runs(stack)["long"]
    stack.compose("start", "worker")
    until(lambda: runs(stack)["long"])

    assert unfinished == 0
    assert runs(stack)["long begins"] == 2
    assert runs(stack)["long"] == 1


@each_stack
def test_task_of_a_killed_worker_is_run_again(stack: Stack) -> None:
    fetch(stack, "/probe/one/killed/5")
    until(lambda: runs(stack)["killed begins"])

    stack.compose("kill", "worker")
    stack.compose("start", "worker")
    until(lambda: runs(stack)["killed"])

    assert runs(stack)["killed begins"] == 2


def shell(stack: Stack, code: str) -> str:
    """Run code in Django's shell, and return what it prints, also when it raises an error."""
    command = ("docker", "compose", "exec", "-T", "web", "python", "manage.py", "shell", "-c", code)
    return stack.run(*command, check=False).stdout


def planted(stack: Stack, service: str) -> bool:
    """Whether something that was planted has run in a service."""
    command = ("docker", "compose", "exec", "-T", service, "test", "-e", "/tmp/planted")
    return stack.run(*command, check=False).returncode == 0


@each_stack
def test_task_that_kills_its_workers_is_given_up_after_three(stack: Stack) -> None:
    celery = "celery" in stack.name
    enqueue = "delay" if celery else "enqueue"

    def given_up() -> int:
        log = stack.compose("logs", "--no-log-prefix", "worker")
        return len(re.findall("RuntimeError: 3 workers were killed", log))

    # Celery's worker runs each task in a child: the task kills that, then the worker itself
    for whole in (False, True) if celery else (False,):
        name = f"kill {whole}"
        before = given_up()
        beside = f"[mark.{enqueue}(name=f'beside {name} {{number}}') for number in range(20)]"
        poison = f"kill.{enqueue}(name='{name}', whole={whole})"
        shell(stack, f"from probe.tasks import kill, mark; {poison}; {beside}")
        until(lambda before=before: given_up() > before)  # type: ignore[misc]
        time.sleep(15)

        done = runs(stack)
        assert done[name] == 3
        assert sum(key.startswith(f"beside {name}") for key in done) == 20
        assert given_up() == before + 1


@each_scheduler
def test_cache_asks_for_a_password_that_stays_in_its_files(stack: Stack) -> None:
    password = (stack.folder / "secrets/valkey_conf").read_text().split()[1]
    containers = stack.compose("ps", "--quiet").split()

    answer = shell(stack, "import redis; redis.Redis(host='cache').ping()")
    shown = stack.run("docker", "inspect", *containers).stdout
    for service in ("cache", "web", "worker"):
        everything = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ || true"
        shown += stack.execute("sh", "-c", everything, service=service)

    assert "already authenticated" in answer
    assert len(password) == 64
    assert password not in shown


@each_scheduler
def test_pickle_planted_in_the_cache_runs_nothing(stack: Stack) -> None:
    answer = shell(stack, PLANT + PLANT_IN_CACHE)

    assert "Error" in answer
    assert not planted(stack, "web")


@each_scheduler
def test_what_is_planted_in_the_queue_runs_nothing_and_holds_nobody_up(stack: Stack) -> None:
    shell(stack, PLANT + PLANT_IN_QUEUE)

    fetch(stack, "/probe/one/planted/0")
    until(lambda: runs(stack)["planted"])

    log = stack.compose("logs", "--no-log-prefix", "worker")
    assert "unregistered task" in log
    assert "ContentDisallowed" in log
    assert not planted(stack, "worker")


@each_scheduler
def test_new_password_of_the_cache_reaches_every_process(stack: Stack) -> None:
    secrets = [stack.folder / "secrets" / name for name in ("valkey_conf", "valkey_url")]
    old = secrets[1].read_text().strip()
    for secret in secrets:
        secret.unlink()

    outcome = under_load(stack, "make", "deploy")
    fetch(stack, "/probe/one/rotated/0")

    until(lambda: runs(stack)["rotated"])
    answer = shell(stack, f"import redis; redis.Redis.from_url('{old}').ping()")
    assert (outcome.code, outcome.answers) == (0, {"200"}), outcome.output
    assert "invalid username-password pair" in answer


@each_server
def test_page_answers_503_at_once_while_queue_or_database_is_unavailable(stack: Stack) -> None:
    # A database that is silent, not gone, holds up every page
    ways = [("db", "stop", "start")]
    if "cache" in stack.compose("ps", "--services").split():
        ways += [("cache", "pause", "unpause"), ("cache", "stop", "start")]

    for server, stop, start in ways:
        ask_for_reset(stack)
        stack.compose(stop, server)
        try:
            begun = time.monotonic()
            answer = ask_for_reset(stack)
            took = time.monotonic() - begun
        finally:
            stack.compose(start, server)
        print(f"measured: {stop} {server}, answer after {took:.1f} s")
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "10"
        assert "Please try again in a minute." in answer.text
        assert took < 20
        until(lambda: ask_for_reset(stack).status == 302)


@each_stack
def test_other_error_of_the_database_is_no_reason_to_try_again(stack: Stack) -> None:
    statement = ERRORS[stack.name.rpartition("-")[2]]

    answer = fetch(stack, "/probe/execute?" + urlencode({"statement": statement}))

    assert answer.status == 500


@each_scheduler
def test_scheduler_enqueues_what_is_due(stack: Stack) -> None:
    sessions = "from django.contrib.sessions.models import Session as S; "
    expired = (
        "from django.utils import timezone as t; S(session_key='old', expire_date=t.now()).save()"
    )

    shell(stack, sessions + expired)

    left = "print('left:', S.objects.filter(pk='old').count())"
    until(lambda: "left: 0" in shell(stack, sessions + left))


@each_stack
def test_worker_that_is_stuck_is_seen(stack: Stack) -> None:
    container = json.loads(stack.compose("config", "--format", "json"))["services"]["worker"]
    check = container["healthcheck"]["test"][1]

    def healthy() -> bool:
        command = ("docker", "compose", "exec", "-T", "worker", "sh", "-c", check)
        return stack.run(*command, check=False).returncode == 0

    def run(command: str) -> None:
        stack.execute("sh", "-c", command, service="worker")

    until(healthy)
    run("kill -STOP -1; touch -d '7 minutes ago' /tmp/heartbeat")
    time.sleep(15)
    stuck = healthy()
    run("kill -CONT -1")

    assert not stuck
    until(healthy)


@pytest.mark.parametrize(
    "tasks",
    [
        pytest.param(tasks, marks=pytest.mark.xdist_group(f"tasks-development-{tasks}"))
        for tasks in ("database", "celery")
    ],
)
def test_worker_of_development_runs_the_edited_source(
    engine: None, tasks: str, tmp_path: Path
) -> None:
    slug = f"tasks-development-{tasks}"
    folder = render(tmp_path, project_slug=slug, background_tasks=tasks, database="sqlite")
    add_probe(folder, tasks)
    enqueue = "from probe.tasks import enqueue; enqueue(name='{}')"
    with started(Stack(folder, slug, {"COMPOSE_PROJECT_NAME": slug, "WEB_PORT": "0"})) as stack:

        def ran(task: str, name: str) -> bool:
            stack.execute("python", "manage.py", "shell", "-c", enqueue.format(task))
            # The site restarts on the same edit
            return name in wait_for(stack.port(), "/probe/runs").text

        until(lambda: ran("first", "first"))
        mark = "def mark(name, seconds=0):\n"
        replace(folder / "probe/tasks.py", mark, mark + "    name = 'x'\n")
        until(lambda: ran("second", "x"))
