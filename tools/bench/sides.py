"""The sides of the comparison: rendered projects, commands that run in them, and the end of all they made."""

import json
import os
import shlex
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE.parent.parent

TIME_LIMIT = 900  # seconds, for any single command

REQUIREMENTS = """\
uv add --no-sync --group production gunicorn
uv export --no-default-groups --group production --no-hashes --no-emit-project --output-file requirements.txt
"""

# As most tutorials have it: a single stage, and a server with its defaults
BOOK = """\
FROM {base}
ENV PYTHONDONTWRITEBYTECODE=1
ENV PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
RUN SECRET_KEY=unused ALLOWED_HOSTS=unused DATABASE_URL=sqlite://:memory: EMAIL_URL=dummy: \\
    python manage.py collectstatic --no-input
EXPOSE 8000
CMD ["gunicorn", "--bind", "0.0.0.0:8000", "config.wsgi"]
"""


class Failed(Exception):
    """A command failed; the text is its output."""


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command and return what it prints; raise Failed if it fails, or ends with all it started if stopped."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=TIME_LIMIT)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failed(f"{command} took more than {TIME_LIMIT} seconds") from error
            raise
    if process.returncode:
        raise Failed(f"{command[0]} exited {process.returncode}:\n{output}")
    return output


@dataclass(frozen=True)
class Side:
    """One column of the table: a project in a folder whose name is that of its image and Compose project too."""

    label: str
    template: Path
    folder: Path

    @property
    def name(self) -> str:
        """What the names of all that the side makes begin with."""
        return self.folder.name

    def base(self) -> str:
        """The base image of the default project."""
        answers = json.loads((self.template / "cookiecutter.json").read_text(encoding="utf-8"))
        return f"python:{answers['python_version'][0]}-{answers['debian_tag'][0]}"

    def script(self, text: str, number: int = 0) -> str:
        """Shell commands, to be run in the project's folder in round `number`."""
        variables = {
            "NAME": self.name,
            "COMPOSE_PROJECT_NAME": self.name,
            "TEMPLATE": self.template,
            "BASE": self.base(),
            # Keeps a build from taking a layer of an earlier run or round
            "STAMP": f"{self.name}-{number}",
        }
        exports = " ".join(f"{name}={shlex.quote(str(v))}" for name, v in variables.items())
        return f"set -e\ncd {shlex.quote(str(self.folder))}\nexport {exports}\n{text}"

    def run(self, text: str, number: int = 0) -> str:
        """Run shell commands in the project's folder and return what they print."""
        return run("sh", "-c", self.script(text, number))


def rendered(label: str, template: Path, folder: Path) -> Side:
    """Render the default project of a template, lock its dependencies, and give it a page with one query."""
    options = ("--no-input", "--output-dir", str(folder.parent))
    run("cookiecutter", str(template), *options, f"project_slug={folder.name}")
    run("uv", "lock", cwd=folder)
    shutil.copy(HERE / "bench_urls.py", folder)
    with (folder / "config/settings.py").open("a", encoding="utf-8") as settings:
        settings.write('ROOT_URLCONF = "bench_urls"\n')
    return Side(label, template, folder)


def book(of: Side, folder: Path) -> Side:
    """The same project with the Dockerfile of the tutorials."""
    shutil.copytree(of.folder, folder, symlinks=True)
    side = Side("book", of.template, folder)
    (folder / "Dockerfile").write_text(BOOK.format(base=side.base()), encoding="utf-8")
    side.run(REQUIREMENTS)
    return side


def clean(prefix: str) -> None:
    """Remove from the engine all that was made under a prefix, but the build cache."""
    named = f"--filter=name={prefix}"
    for kind, found, remove in (
        ("container", ("--all", named), ("rm", "--force", "--volumes")),
        ("network", (named,), ("rm",)),
        ("volume", (named,), ("rm",)),
        # Those too that a later build left without a name
        ("image", ("--all", f"--filter=label=bench={prefix}"), ("rm", "--force")),
    ):
        names = run("docker", kind, "ls", "--quiet", *found).split()
        if names:
            run("docker", kind, *remove, *dict.fromkeys(names))
