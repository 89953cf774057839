"""Hooks judge the answers and finish the project; whatever fails, the project stays."""

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from cookiecutter.exceptions import FailedHookException

from tests.cli import COOKIECUTTER, generate, stand_in
from tests.conftest import Bake
from tests.hooks import GOOD, post_gen, pre_gen
from tests.matrix import TEMPLATE


def test_good_answers_are_accepted() -> None:
    assert pre_gen.problems(GOOD) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("project_name", ""),
        ("project_name", "two\nlines"),
        ("project_slug", ""),
        ("project_slug", "My-Site"),
        ("project_slug", "1st-site"),
        ("project_slug", "site-"),
        ("project_slug", "postgres"),
        ("project_slug", "con"),
        ("project_slug", "../../etc"),
        ("project_slug", "a" * 51),
        ("nonroot_user", "root"),
        ("nonroot_user", "www-data"),
        ("nonroot_user", "two words"),
    ],
)
def test_bad_answer_is_named(name: str, value: str) -> None:
    typed = "__project_slug" if name == "project_slug" else name
    problems = pre_gen.problems(GOOD | {typed: value})

    assert list(problems) == [name]


def test_refusal_leaves_nothing_behind(tmp_path: Path) -> None:
    done = generate(tmp_path / "out", "project_slug=Not-Good")

    assert done.returncode == 1
    assert "error: project_slug is 'Not-Good': it takes" in done.stdout
    assert not list((tmp_path / "out").glob("*"))


def test_refusal_is_an_error_of_cookiecutter(bake: Bake) -> None:
    with pytest.raises(FailedHookException):
        bake(nonroot_user="root")


def test_env_has_variables_of_the_example_alone(bake: Bake) -> None:
    project = bake()

    env, example = (
        set(re.findall("^[A-Z_]+(?==)", (project / name).read_text(), re.MULTILINE))
        for name in (".env", ".env.example")
    )
    assert {"DEBUG", "HOST_UID", "HOST_GID"} == env <= example


@pytest.mark.parametrize(
    ("uid", "gid", "expected"),
    [
        (1000, 1000, (1000, 1000)),
        (501, 20, (501, 20)),  # macOS
        (0, 0, (10001, 10001)),
    ],
)
def test_container_runs_as_the_host_user(
    monkeypatch: pytest.MonkeyPatch, uid: int, gid: int, expected: tuple[int, int]
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(os, "getgid", lambda: gid)

    assert post_gen.container_user(rootless=False) == expected


def test_container_runs_as_the_images_account_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getuid")

    assert post_gen.container_user(rootless=False) == (10001, 10001)


def test_rootless_engine_maps_root_to_the_host_user(tmp_path: Path, commands: Path) -> None:
    stand_in(commands, "docker", "echo '[name=seccomp,profile=builtin name=rootless]'")

    generate(tmp_path, path=commands)

    assert "\nHOST_UID=0\nHOST_GID=0\n" in (tmp_path / "my-django-site/.env").read_text()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_project_of_root_belongs_to_the_images_account(tmp_path: Path, commands: Path) -> None:
    done = generate(tmp_path, path=commands)

    project = tmp_path / "my-django-site"
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in (project, *project.rglob("*"))}
    assert owners == {(10001, 10001)}
    assert "you are root" in done.stdout


def test_missing_tools_are_named_with_a_way_on(tmp_path: Path, commands: Path) -> None:
    done = generate(tmp_path, "docker_build=yes", path=commands)

    assert done.returncode == 0
    assert "uv is not installed; `make lock` writes it in the container" in done.stdout
    assert (
        "docker is not installed; try again with: docker build --tag my-django-site ."
        in done.stdout
    )
    assert "docker compose up" in done.stdout.splitlines()[-1]
    assert (tmp_path / "my-django-site/manage.py").exists()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'Cannot connect to the Docker daemon' >&2; exit 1", "Cannot connect"),
        ("echo 'RUN uv sync: exit code 2' >&2; exit 1", "exit code 2"),
    ],
)
def test_failed_build_keeps_the_project(
    tmp_path: Path, commands: Path, script: str, message: str
) -> None:
    stand_in(commands, "docker", script)

    done = generate(tmp_path, "docker_build=yes", path=commands)

    assert done.returncode == 0
    assert message in done.stdout
    assert "docker build failed, as it says above; try again with" in done.stdout
    assert (tmp_path / "my-django-site/manage.py").exists()


def test_failed_lock_keeps_the_project(tmp_path: Path, commands: Path) -> None:
    stand_in(commands, "uv", "echo 'dns error' >&2; exit 2")

    done = generate(tmp_path, path=commands)

    assert done.returncode == 0
    assert "uv could not resolve the dependencies; try `make lock` later" in done.stdout
    assert not (tmp_path / "my-django-site/uv.lock").exists()


def test_uv_locks_the_dependencies(tmp_path: Path, python: str) -> None:
    generate(tmp_path, TEMPLATE_SKIP="docker", UV_PYTHON=python)

    assert 'name = "django"' in (tmp_path / "my-django-site/uv.lock").read_text()


def test_closed_output_keeps_the_project(tmp_path: Path, commands: Path) -> None:
    # stdout is a pipe that nobody reads any more
    reader, writer = os.pipe()
    os.close(reader)
    command = [COOKIECUTTER, str(TEMPLATE), "--no-input", "--output-dir", str(tmp_path)]
    environment = os.environ | {"PATH": str(commands)}
    done = subprocess.run(command, check=False, env=environment, stdout=writer)
    os.close(writer)

    assert done.returncode == 0
    assert (tmp_path / "my-django-site/.env").exists()


def test_colour_is_for_terminals_without_no_color(tmp_path: Path, commands: Path) -> None:
    def on_terminal(folder: str, **variables: str) -> str:
        ours, theirs = pty.openpty()
        command = [
            COOKIECUTTER,
            str(TEMPLATE),
            "--no-input",
            "--output-dir",
            str(tmp_path / folder),
        ]
        environment = os.environ | {"PATH": str(commands)} | variables
        subprocess.run(command, check=True, env=environment, stdout=theirs)
        os.close(theirs)
        output = os.read(ours, 100_000).decode()
        os.close(ours)
        return output

    assert "\033[32m" in on_terminal("a", NO_COLOR="")
    assert "\033[" not in on_terminal("b", NO_COLOR="1")
    assert "\033[" not in generate(tmp_path / "c", path=commands).stdout


def test_checkout_on_windows_keeps_the_line_ends(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    git = ("git", "-c", "safe.directory=*", "-c", "user.name=Ada", "-c", "user.email=ada@localhost")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Start"]):
        subprocess.run([*git, "-C", project, *command], check=True)

    windows = [
        *git,
        "-c",
        "core.autocrlf=true",
        "clone",
        "-q",
        str(project),
        str(tmp_path / "clone"),
    ]
    subprocess.run(windows, check=True)

    scripts = [*(tmp_path / "clone").rglob("*.sh"), *(tmp_path / "clone").rglob("*.py")]
    assert scripts
    assert not [path for path in scripts if b"\r" in path.read_bytes()]
