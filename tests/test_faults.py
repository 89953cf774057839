"""Whatever is missing, broken or interrupted while a project is generated, the project is there and whole."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli import COOKIECUTTER, IDENTITY, copy_of_template, generate, stand_in
from tests.hooks import post_gen
from tests.matrix import TEMPLATE
from tools.interpreter import UV

SLUG = "my-django-site"

NOBODY = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


def assert_whole(project: Path) -> None:
    """The project has its files, and the whole of its .env."""
    assert (project / "manage.py").exists()
    assert (project / "templates/base.html").exists()
    assert re.search(r"^HOST_GID=\d+\n\Z", (project / ".env").read_text(), re.MULTILINE)


def git(project: Path, *arguments: str) -> str:
    command = ["git", "-c", "safe.directory=*", *arguments]
    done = subprocess.run(command, check=True, cwd=project, capture_output=True, text=True)
    return done.stdout.strip()


def test_no_git_no_uv_no_docker(tmp_path: Path, commands: Path) -> None:
    done = generate(tmp_path, "docker_build=yes", path=commands)

    assert done.returncode == 0
    assert_whole(tmp_path / SLUG)
    assert [
        line.split()[2].rstrip(":") for line in done.stdout.splitlines() if "not done" in line
    ] == [
        "uv.lock",
        "git",
        "image",
    ]


def test_docker_without_a_daemon(tmp_path: Path) -> None:
    if not shutil.which("docker"):
        pytest.skip("no docker command")

    done = generate(
        tmp_path, "docker_build=yes", TEMPLATE_SKIP="git,uv", DOCKER_HOST="tcp://127.0.0.1:9"
    )

    assert done.returncode == 0
    assert_whole(tmp_path / SLUG)
    assert "docker build failed, as it says above" in done.stdout


@pytest.fixture
def broken_daemon() -> Iterator[str]:
    """The address of a Docker daemon that answers every request with an error."""

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500, "broken on purpose")

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Broken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_daemon_that_answers_errors(tmp_path: Path, broken_daemon: str) -> None:
    if not shutil.which("docker"):
        pytest.skip("no docker command")

    done = generate(tmp_path, "docker_build=yes", TEMPLATE_SKIP="git,uv", DOCKER_HOST=broken_daemon)

    assert done.returncode == 0
    assert_whole(tmp_path / SLUG)
    assert "docker build failed, as it says above" in done.stdout


@pytest.mark.container
def test_build_that_fails(engine: None, tmp_path: Path) -> None:
    template = copy_of_template(tmp_path)
    with (template / "{{cookiecutter.project_slug}}/Dockerfile").open("a") as dockerfile:
        dockerfile.write("RUN echo broken on purpose && false\n")

    done = generate(tmp_path, "docker_build=yes", template=template, TEMPLATE_SKIP="git,uv")

    assert done.returncode == 0
    assert_whole(tmp_path / SLUG)
    assert "broken on purpose" in done.stdout
    assert done.stdout.splitlines()[-2].startswith("not done  image: docker build failed")


def test_no_network(tmp_path: Path, python: str) -> None:
    done = generate(
        tmp_path,
        TEMPLATE_SKIP="git,docker",
        UV_PYTHON=python,
        UV_CACHE_DIR=str(tmp_path / "cache"),
        UV_DEFAULT_INDEX="http://127.0.0.1:9/simple",
        UV_FIND_LINKS="",
        UV_HTTP_RETRIES="0",
        PATH=f"{Path(UV).parent}:{os.environ['PATH']}",
    )

    assert done.returncode == 0
    assert_whole(tmp_path / SLUG)
    assert "try `make lock` later" in done.stdout


def test_interrupt_in_the_middle_of_the_build(tmp_path: Path, commands: Path) -> None:
    stand_in(
        commands,
        "docker",
        f'if [ "$1" = build ]; then : > {commands}/building; exec /bin/sleep 60; fi',
    )
    command = [COOKIECUTTER, str(TEMPLATE), "--no-input", "--output-dir", str(tmp_path)]
    with subprocess.Popen(
        [*command, "docker_build=yes"],
        env=os.environ | {"PATH": str(commands), "TEMPLATE_SKIP": "git,uv"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        deadline = time.monotonic() + 60
        while not (commands / "building").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        output, _ = running.communicate(timeout=60)

    assert_whole(tmp_path / SLUG)
    assert "build image: interrupted" in output
    assert "docker compose up" in output


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that takes the files of a project and little more."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_full_disk(small_disk: Path, commands: Path) -> None:
    stand_in(commands, "uv", "/bin/dd if=/dev/zero of=uv.lock bs=64k")

    done = generate(small_disk, path=commands)

    assert done.returncode == 0
    assert_whole(small_disk / SLUG)
    assert "uv could not resolve the dependencies" in done.stdout


def test_full_disk_while_env_is_written(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small_disk / ".env.example").write_text("A=1\n" * 10_000)
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "everything else").write_bytes(bytes(10**6))
    monkeypatch.chdir(small_disk)

    with pytest.raises(post_gen.NotDone, match=r"No space left on device; `cp .env.example .env`"):
        post_gen.write_env({})

    assert not (small_disk / ".env").exists()


def test_read_only_home(tmp_path: Path, python: str) -> None:
    # Cookiecutter itself wants to write there, unless it is told of another place; /proc refuses even root
    config = tmp_path / "config.yaml"
    config.write_text(
        f"replay_dir: {tmp_path / 'replay'}\ncookiecutters_dir: {tmp_path / 'templates'}\n"
    )

    done = generate(
        tmp_path / "out",
        TEMPLATE_SKIP="docker",
        HOME="/proc/self",
        XDG_CACHE_HOME="/proc/self/cache",
        COOKIECUTTER_CONFIG=str(config),
        UV_PYTHON=python,
        PATH=f"{Path(UV).parent}:{os.environ['PATH']}",
        environment=IDENTITY,
    )

    assert done.returncode == 0
    assert_whole(tmp_path / "out" / SLUG)
    assert "git: a repository with a first commit" in done.stdout


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "> /dev/full", "< /dev/null"])
def test_output_that_is_closed_or_full(tmp_path: Path, commands: Path, redirection: str) -> None:
    command = f'"$0" "$1" --no-input --output-dir "$2" {redirection}'

    subprocess.run(
        ["/bin/sh", "-c", command, COOKIECUTTER, TEMPLATE, tmp_path],
        check=True,
        env=os.environ | {"PATH": f"{commands}", "TEMPLATE_SKIP": ""},
    )

    assert_whole(tmp_path / SLUG)


def test_path_with_spaces_and_other_letters(tmp_path: Path) -> None:
    folder = tmp_path / "Zoë's projects 李"

    done = generate(folder, TEMPLATE_SKIP="uv,docker", environment=IDENTITY | NOBODY)

    assert done.returncode == 0
    assert_whole(folder / SLUG)
    assert (
        git(folder / SLUG, "log", "--format=%an %s") == "Ada Start from cookiecutter-django-docker"
    )
    assert f"cd '{tmp_path}/Zoë'\"'\"'s projects 李/{SLUG}'" in done.stdout


def test_output_that_knows_ascii_alone(tmp_path: Path, commands: Path) -> None:
    done = generate(
        tmp_path / "李", path=commands, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C"
    )

    assert done.returncode == 0
    assert_whole(tmp_path / "李" / SLUG)


def test_project_that_is_rendered_over_keeps_its_env(tmp_path: Path, commands: Path) -> None:
    generate(tmp_path, path=commands)
    (tmp_path / SLUG / ".env").write_text("WEB_PORT=8001\n")

    done = generate(tmp_path, "--overwrite-if-exists", path=commands)

    assert done.returncode == 0
    assert (tmp_path / SLUG / ".env").read_text() == "WEB_PORT=8001\n"


def test_no_identity_for_git(tmp_path: Path) -> None:
    done = generate(tmp_path, TEMPLATE_SKIP="uv,docker", environment=NOBODY)

    assert "there is a repository, but no first commit: set user.name and user.email" in done.stdout
    assert (tmp_path / SLUG / ".git").is_dir()


def test_folder_inside_a_repository(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)

    done = generate(tmp_path, TEMPLATE_SKIP="uv,docker", environment=IDENTITY)

    assert "the folder is inside a repository already" in done.stdout
    assert not (tmp_path / SLUG / ".git").exists()


def test_commit_holds_the_project_without_its_secrets(tmp_path: Path) -> None:
    generate(tmp_path, TEMPLATE_SKIP="uv,docker", environment=IDENTITY | NOBODY)

    committed = git(tmp_path / SLUG, "ls-files").splitlines()
    assert {".env.example", "manage.py", ".gitignore"} <= set(committed)
    assert ".env" not in committed
    assert git(tmp_path / SLUG, "status", "--porcelain") == ""


@pytest.mark.parametrize("tools", ["git", "uv", "docker", "git,uv,docker"])
def test_every_tool_can_be_skipped(tools: str, tmp_path: Path, commands: Path) -> None:
    log = tmp_path / "log"
    for tool in ("git", "uv", "docker"):
        stand_in(commands, tool, f"echo {tool} >> {log}; exit 1")

    generate(tmp_path, "docker_build=yes", path=commands, TEMPLATE_SKIP=tools)

    called = set(log.read_text().split()) if log.exists() else set()
    assert called == {"git", "uv", "docker"} - set(tools.split(","))


@pytest.mark.container
def test_volumes_of_an_earlier_project_are_told_of(engine: None, tmp_path: Path) -> None:
    name = "left-over-site-dev"
    volume = ["docker", "volume"]
    label = f"com.docker.compose.project={name}"
    subprocess.run([*volume, "create", "--label", label, f"{name}_database"], check=True)
    try:
        done = generate(tmp_path, "project_slug=left-over-site", TEMPLATE_SKIP="git,uv")
    finally:
        subprocess.run([*volume, "rm", f"{name}_database"], check=True)

    assert f" warning  docker has volumes of an earlier project {name}" in done.stdout
