"""What is measured: the default project, the book's Dockerfile around it, and the floors."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

from tools.bench.engine import Failed, run
from tools.interpreter import UV, supported_python

TEMPLATE = Path(__file__).resolve().parent.parent.parent
ANSWERS = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
COOKIECUTTER = str(Path(sys.executable).with_name("cookiecutter"))

# No step of the hooks that leaves the folder or asks the engine
OFFLINE = {"TEMPLATE_SKIP": "git,uv,docker"}

# The page with one database query, which both the template's project and the book's get
QUERY_PATH = "/bench/query"
QUERY_VIEW = '''

def one_query(request: HttpRequest) -> HttpResponse:
    """A page with one database query: a row by its primary key, through the home page's template."""
    user = User.objects.filter(pk=1).first()
    return render(request, "pages/home.html", {"running": {"user": user}})
'''

# A single stage, as tutorials have it; the server with its defaults
BOOK_DOCKERFILE = """\
FROM {base}
ENV PYTHONDONTWRITEBYTECODE=1
ENV PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
EXPOSE 8000
CMD ["gunicorn", "--bind", "0.0.0.0:8000", "config.wsgi"]
"""

# The book's image does not collect static files; pages that link to them need it
SERVED_DOCKERFILE = """\
FROM {image}
RUN SECRET_KEY=unused ALLOWED_HOSTS=unused DATABASE_URL=sqlite://:memory: EMAIL_URL=dummy: \\
    python manage.py collectstatic --no-input
"""

# The base image, the locked dependencies, bytecode of both, and a process that answers
FLOOR_DOCKERFILE = """\
FROM {uv} AS uv
FROM {base} AS bytecode
RUN stdlib="$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \\
    && python -m compileall -q -j 0 -x '/(site-packages|test)/' "$stdlib"
FROM {base} AS dependencies
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PROJECT_ENVIRONMENT=/opt/venv \\
    UV_PYTHON=/usr/local/bin/python3 UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv \\
    uv sync --locked --no-default-groups --group production
FROM bytecode
COPY --from=dependencies /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
RUN django-admin startproject plain .
COPY bare ./
CMD ["python", "server.py", "bare"]
"""

BARE = '''\
"""Answers, and does nothing else."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\\n"]
'''

# The same server as the template's, two processes, around any module that has an application
BARE_SERVER = """\
import importlib
import multiprocessing
import sys

from granian import Granian
from granian.constants import Interfaces

application = importlib.import_module(sys.argv[1]).application
multiprocessing.set_start_method("fork")
server = Granian(
    "", address="0.0.0.0", interface=Interfaces.WSGI, workers=2, blocking_threads=4, websockets=False
)
server.serve(target_loader=lambda: application, wrap_loader=False)
"""

# Django's own startproject, on the same database: appended to its settings
PLAIN_SETTINGS = """\
from plain.settings import *
import dj_database_url
ALLOWED_HOSTS = ["*"]
DATABASES = {"default": dj_database_url.config()}
DEBUG = False
"""


def render(folder: Path, slug: str) -> Path:
    """Render the default project, PostgreSQL, and lock its dependencies."""
    cookiecutter(TEMPLATE, folder, f"project_slug={slug}")
    project = folder / slug
    lock(project)
    return project


def cookiecutter(template: Path, folder: Path, *answers: str) -> None:
    """Render a template with its defaults, as one does it on the command line."""
    folder.mkdir(exist_ok=True)
    # Cookiecutter leaves temporary files behind: they go with the folder
    environment = OFFLINE | {"TMPDIR": str(folder)}
    command = (COOKIECUTTER, str(template), "--no-input", "--output-dir", str(folder))
    run(*command, *answers, env=environment)


def lock(project: Path) -> None:
    """Write uv.lock for what pyproject.toml asks for."""
    python = supported_python()
    if not python:
        raise Failed("no Python from 3.12 to 3.14 here, and uv could not fetch one")
    run(UV, "lock", cwd=project, env={"UV_PYTHON": python})


def add_query_page(project: Path) -> None:
    """Give the project a page that asks the database once."""
    views = project / "pages/views.py"
    source = views.read_text(encoding="utf-8") + QUERY_VIEW
    views.write_text(
        source.replace("import render\n", "import render\n\nfrom users.models import User\n", 1),
        encoding="utf-8",
    )
    urls = project / "pages/urls.py"
    urls.write_text(
        urls.read_text(encoding="utf-8").replace(
            "urlpatterns = [\n",
            f'urlpatterns = [\n    path("{QUERY_PATH[1:]}", views.one_query),\n',
        ),
        encoding="utf-8",
    )


def image_of(project: Path, argument: str) -> str:
    """The default of an image that the project's Dockerfile takes as an argument."""
    source = (project / "Dockerfile").read_text(encoding="utf-8")
    found = re.search(rf'^ARG {argument}="(.+)"', source, re.MULTILINE)
    if not found:
        raise Failed(f"the Dockerfile has no {argument}")
    return found[1]


def book(project: Path, folder: Path) -> Path:
    """The same Django project with the Dockerfile of the tutorials, and a server with its defaults."""
    shutil.copytree(project, folder, symlinks=True)
    dockerfile = BOOK_DOCKERFILE.format(base=image_of(project, "BASE_IMAGE"))
    (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    write_requirements(folder)
    return folder


def write_requirements(folder: Path, *options: str) -> None:
    """Write what uv.lock pins for production as requirements.txt, and gunicorn; options are those of uv."""
    python = supported_python()
    text = run(
        *(UV, "export", "--quiet", "--frozen", "--no-default-groups", "--group", "production"),
        *("--no-hashes", "--no-emit-project", "--no-header", *options),
        cwd=folder,
        env={"UV_PYTHON": str(python)},
    )
    (folder / "requirements.txt").write_text(f"{text}gunicorn\n", encoding="utf-8")


def floor(project: Path, folder: Path) -> Path:
    """The locked dependencies, and a process that answers."""
    (folder / "bare").mkdir(parents=True)
    for name in ("pyproject.toml", "uv.lock"):
        shutil.copy(project / name, folder / name)
    (folder / "bare/bare.py").write_text(BARE, encoding="utf-8")
    (folder / "bare/plain_settings.py").write_text(PLAIN_SETTINGS, encoding="utf-8")
    (folder / "bare/server.py").write_text(BARE_SERVER, encoding="utf-8")
    dockerfile = FLOOR_DOCKERFILE.format(
        base=image_of(project, "BASE_IMAGE"), uv=image_of(project, "UV_IMAGE")
    )
    (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    return folder


def floor_template(project: Path, folder: Path) -> Path:
    """A template of as many files of the same size as the project's, without hooks or conditions."""
    source = folder / "{{cookiecutter.project_slug}}"
    copied = ANSWERS["_copy_without_render"]
    source.mkdir(parents=True)
    (folder / "cookiecutter.json").write_text(
        json.dumps({"project_slug": "floor", "_copy_without_render": copied}), encoding="utf-8"
    )
    for path in project.rglob("*"):
        place = source / path.relative_to(project)
        if path.is_dir():
            place.mkdir(exist_ok=True)
        elif path.name not in (".env", "uv.lock"):
            # Braces mean something to Jinja, and these files are to be taken as they are
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes().replace(b"{", b"("))
    return folder


def clutter(project: Path) -> None:
    """Fill the project with what piles up in a working folder, and is no part of an image."""
    for name in (
        *(".venv/lib/python3.14/site-packages/big.so", ".git/objects/pack/big.pack"),
        *("node_modules/big/index.js", "db.sqlite3", "media/photo.jpg", ".mypy_cache/big.json"),
        *("backups/dump.sql", "staticfiles/big.js", "pages/__pycache__/views.cpython-314.pyc"),
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(os.urandom(1_000_000))
