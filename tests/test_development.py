"""Development in containers, as one lives in it: a clone starts, edits show, dependencies arrive, projects stay apart."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli import generate
from tests.hooks import pre_gen
from tests.matrix import CHOICES
from tests.production import fetch, serving, site
from tests.rendering import render, replace
from tests.stack import Stack, development, given, removed, started, unused_port, wait_for

pytestmark = [pytest.mark.container, pytest.mark.xdist_group("development")]

SHELL = ("python", "manage.py", "shell", "--command")


@pytest.fixture(scope="module")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack on SQLite, the quickest one, that the tests of this file change."""
    folder = tmp_path_factory.mktemp("development")
    with started(development(render(folder, project_slug="dev-one", database="sqlite"))) as running:
        yield running


@pytest.fixture(scope="module")
def clone(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A project as it comes out of its repository, without .env, that belongs to uid 1000."""
    if os.getuid() not in (0, 1000):
        pytest.skip("a clone without .env runs as uid 1000, which only root or that user can be")
    origin = render(tmp_path_factory.mktemp("origin"), project_slug="dev-clone")
    git = ("git", "-c", "safe.directory=*", "-c", "user.name=Ada", "-c", "user.email=ada@localhost")
    folder = tmp_path_factory.mktemp("clone") / origin.name
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Start"]):
        subprocess.run([*git, "-C", origin, *command], check=True)
    subprocess.run([*git, "clone", "-q", origin, folder], check=True)
    stack = development(given(folder, 1000))
    with removed(stack):
        yield stack


def test_clone_starts_by_docker_compose_up_alone(clone: Stack) -> None:
    assert not (clone.folder / ".env").exists()

    clone.compose("up", "--wait")

    assert "<dt>PostgreSQL</dt>" in clone.get("/").text


@pytest.mark.parametrize("target", ["check", "test", "lock"])
def test_make_works_in_a_clone(clone: Stack, target: str) -> None:
    clone.run("make", target)

    assert {path.lstat().st_uid for path in clone.folder.rglob("*")} == {1000}


def test_image_of_an_earlier_answer_is_not_run(engine: None, tmp_path: Path) -> None:
    earlier, later = (
        development(
            render(tmp_path / api, project_slug="dev-again", database="sqlite", rest_api=api)
        )
        for api in ("none", "drf")
    )
    with removed(later):
        earlier.compose("up", "--wait")
        earlier.compose("down")

        later.compose("up", "--wait")

        assert later.get("/api/v1/openapi.json").status == 200


def test_forgotten_f_never_touches_production(engine: None, tmp_path: Path) -> None:
    project = render(tmp_path, project_slug="dev-beside")
    ports = {"HTTP_PORT": str(unused_port()), "HTTPS_PORT": str(unused_port())}
    site = Stack(project, project.name, {"COMPOSE_FILE": "docker-compose.prod.yml"} | ports)
    beside = development(project)
    site.run("make", "secrets")
    given(project, project.stat().st_uid)
    with serving(site), removed(beside):
        site.execute(*SHELL, "User.objects.create_user('ada')")
        database = site.compose("ps", "--quiet", "db")

        beside.compose("run", "--rm", "web", "python", "manage.py", "makemigrations")
        beside.compose("up", "--wait")
        beside.execute(*SHELL, "User.objects.create_user('bob')")
        beside.compose("down", "--volumes")

        assert site.compose("ps", "--quiet", "db") == database
        assert site.execute(*SHELL, "print(*User.objects.all())").splitlines()[-1] == "ada"
        assert fetch(site, "/accounts/login/").status == 200


@pytest.mark.skipif(os.getuid() != 0, reason="asks what root leaves to others")
def test_development_starts_beside_the_secrets_and_backups_of_root(
    engine: None, tmp_path: Path
) -> None:
    # What root generates belongs to the account in the image
    project = given(render(tmp_path, project_slug="dev-of-root", database="sqlite"), 10001)
    production, stack = site(project), development(project)
    with removed(production), removed(stack):
        production.run("make", "backup")

        stack.compose("up", "--build", "--wait")

        replace(project / "config/settings.py", 'PROJECT_NAME = "', 'PROJECT_NAME = "Edited ')
        eventually(stack, "/", "<title>Edited ")
        stack.compose("run", "--rm", "--no-TTY", "web", "pytest", "-q")
        stack.compose("run", "--rm", "--no-TTY", "web", "sh", "-ec", "ruff check .; mypy .")


def eventually(
    stack: Stack, path: str, text: str, seconds: int = 120, again: Path | None = None
) -> None:
    """Ask for a page until it holds a text, saving a file again each time."""
    deadline = time.monotonic() + seconds
    while text not in (page := wait_for(stack.port(), path).text):
        assert time.monotonic() < deadline, page
        time.sleep(1)
        if again:
            again.touch()


def depend_on(package: str, folder: Path) -> None:
    replace(folder / "pyproject.toml", "dependencies = [", f'dependencies = [\n    "{package}",')


def test_edited_python_shows_without_a_restart(stack: Stack) -> None:
    replace(stack.folder / "config/settings.py", 'PROJECT_NAME = "', 'PROJECT_NAME = "Edited ')

    eventually(stack, "/", "<title>Edited ")


def test_edited_template_shows_without_a_restart(stack: Stack) -> None:
    replace(stack.folder / "templates/pages/home.html", "It works.", "It works indeed.")

    # The reloader misses a change made just before its first look, so the file is saved again
    eventually(stack, "/", "It works indeed.", again=stack.folder / "templates/pages/home.html")


def test_uploaded_files_go_to_the_volume_and_are_served(stack: Stack) -> None:
    stack.execute("sh", "-c", "echo hello > /data/media/hello.txt")

    assert stack.get("/media/hello.txt").text == "hello\n"
    assert not (stack.folder / "media").exists()


def test_new_dependency_is_there_after_a_build_with_the_volumes_kept(stack: Stack) -> None:
    stack.execute("sh", "-c", "echo kept > /data/media/kept.txt")
    depend_on("tinycss2", stack.folder)

    stack.compose("up", "--wait")

    assert stack.execute("python", "-c", "import tinycss2; print('here')") == "here\n"
    assert stack.get("/media/kept.txt").text == "kept\n"


def test_make_lock_pins_the_new_dependency(stack: Stack) -> None:
    stack.run("make", "lock")

    lock = stack.folder / "uv.lock"
    assert 'name = "tinycss2"' in lock.read_text()
    assert lock.stat().st_uid == stack.folder.stat().st_uid


def test_watch_rebuilds_when_a_dependency_is_added(stack: Stack) -> None:
    command = ["docker", "compose", "up", "--watch"]
    environment = os.environ | stack.environment
    log = (stack.folder.parent / "watch.log").open("w+")
    with subprocess.Popen(
        command, cwd=stack.folder, env=environment, stdout=log, stderr=log, text=True
    ) as watching:
        try:
            wait_for_text(Path(log.name), "Watch enabled")
            depend_on("iso8601", stack.folder)
            wait_for_text(Path(log.name), "Rebuilding service")
            deadline = time.monotonic() + 120
            probe = ("docker", "compose", "exec", "-T", "web", "python", "-c", "import iso8601")
            while stack.run(*probe, check=False).returncode:
                assert time.monotonic() < deadline, Path(log.name).read_text()
                time.sleep(0.5)
        finally:
            watching.terminate()
            watching.wait(60)
            log.close()
    stack.compose("up", "--wait")


def wait_for_text(file: Path, text: str, seconds: int = 120) -> None:
    deadline = time.monotonic() + seconds
    while text not in file.read_text():
        assert time.monotonic() < deadline, file.read_text()
        time.sleep(0.2)


def test_two_projects_run_side_by_side(stack: Stack) -> None:
    project = render(stack.folder.parent, project_slug="dev-two", database="sqlite")

    with started(development(project)) as other:
        other.execute("sh", "-c", "echo two > /data/media/two.txt")

        assert other.port() != stack.port()
        assert other.get("/").status == stack.get("/").status == 200
        assert stack.get("/media/two.txt").status == 404


def test_context_holds_the_source_and_nothing_else(stack: Stack, tmp_path: Path) -> None:
    decoys = [
        *(".env", ".env.local", ".git/config", ".venv/bin/python", "node_modules/a/b.js"),
        *("venv/bin/python", ".mypy_cache/a", ".ruff_cache/a", ".pytest_cache/a", ".coverage"),
        *("media/photo.jpg", "db.sqlite3", "db.sqlite3-wal", "staticfiles/a.css"),
        *("pages/__pycache__/a.pyc", "tests/test_a.py"),
    ]
    folder = tmp_path / "project"
    shutil.copytree(stack.folder, folder, symlinks=True)
    for decoy in decoys:
        (folder / decoy).parent.mkdir(parents=True, exist_ok=True)
        (folder / decoy).write_text("decoy")
    probe = tmp_path / "Dockerfile"
    probe.write_text("FROM scratch\nCOPY . .\n")

    stack.run(
        *("docker", "build", "--quiet", "--file", str(probe)),
        *("--output", f"type=local,dest={tmp_path / 'context'}", str(folder)),
    )

    held = {str(p.relative_to(tmp_path / "context")) for p in (tmp_path / "context").rglob("*")}
    assert {"manage.py", "config/settings.py", ".env.example", "uv.lock"} <= held
    assert not held & set(decoys)


def test_base_image_and_index_can_come_from_a_mirror(stack: Stack) -> None:
    mirror = {"BASE_IMAGE": "mirror.example/python:mine"}
    mirrored = Stack(stack.folder, stack.name, stack.environment | mirror)
    release = ("run", "--rm", "--no-deps", "web", "cat", "/etc/os-release")
    stack.run("docker", "tag", "python:3.13-slim-bookworm", mirror["BASE_IMAGE"])
    try:
        assert "bookworm" in mirrored.compose(*release)
        assert "trixie" in stack.compose(*release)
    finally:
        stack.run("docker", "rmi", "--force", mirror["BASE_IMAGE"])

    wrong = stack.run(
        *("docker", "build", "--no-cache-filter=dependencies", "--target=dependencies"),
        *("--build-arg=UV_DEFAULT_INDEX=http://127.0.0.1:9/simple", "."),
        check=False,
    )
    assert wrong.returncode != 0
    assert "127.0.0.1:9" in wrong.stdout


def test_stale_lock_stops_the_production_build(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(stack.folder, folder, symlinks=True)
    depend_on("webencodings", folder)

    done = stack.run("docker", "build", "--target=dependencies", str(folder), check=False)

    assert done.returncode != 0
    assert re.search("lockfile .*needs to be updated", done.stdout)


def test_build_without_a_lock_warns(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(stack.folder, folder, symlinks=True)
    (folder / "uv.lock").unlink()

    done = stack.run("docker", "build", "--target=dependencies", "--progress=plain", str(folder))

    assert "WARNING: no uv.lock, so this build is not reproducible" in done.stdout


def test_hook_builds_the_image_when_asked(engine: None, tmp_path: Path, python: str) -> None:
    answers = ("docker_build=yes", "project_slug=built-by-hook")
    done = generate(tmp_path, *answers, UV_PYTHON=python)
    try:
        listed = ["docker", "image", "ls", "--quiet", "built-by-hook:latest"]
        image = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    finally:
        subprocess.run(["docker", "rmi", "--force", "built-by-hook"], check=False)

    assert image.strip()
    assert "the image built-by-hook:latest is built" in done.stdout
    assert "collectstatic" in done.stdout, "Docker's own progress is shown"


@pytest.mark.parametrize("debian_tag", CHOICES["debian_tag"])
def test_no_account_of_the_base_image_can_be_asked_for(engine: None, debian_tag: str) -> None:
    image = f"python:{CHOICES['python_version'][0]}-{debian_tag}"
    command = ["docker", "run", "--rm", image, "cat", "/etc/passwd", "/etc/group"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    names = {line.partition(":")[0] for line in listing.splitlines()}
    assert names <= set(pre_gen.RESERVED_USERS)
