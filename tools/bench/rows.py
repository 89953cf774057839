"""The rows of the table: what each measures, in a sentence that the report carries, and its targets."""

import json
import os
import random
import re
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tools.bench import projects
from tools.bench.engine import Failed, run, wait_for
from tools.bench.load import Load, beside, offer, saturate, server_cpu
from tools.bench.report import BOOK, FLOOR, OURS, Result, Target
from tools.bench.subjects import DATABASE, HEADERS, Bench, Server

TWO_PROCESSES = ("--env=WEB_CONCURRENCY=2",)

# Small, without dependencies of their own: one is added in each round
ADDED = ("iso8601", "tomli-w", "toolz", "inflection", "zipp", "idna", "certifi", "pytz")


def plain_project(bench: Bench) -> Server:
    """Django's own startproject, in the floor's image, by the floor's server; its admin has an answer."""
    options = ("--env=DJANGO_SETTINGS_MODULE=plain_settings",)
    command = ("python", "server.py", "plain.wsgi")
    return Server(bench.floor_image, command, options=options, ready="/admin/login/")


def render(bench: Bench) -> list[Result]:
    """Rendering."""
    result = Result(
        "render",
        "Wall time of `cookiecutter --no-input`, hooks without git, uv and docker; the floor is a template "
        "of as many files of the same size, without hooks and with nothing to look up.",
        "s",
        (Target((FLOOR,), 1.5),),
    )
    floor = projects.floor_template(
        projects.render(bench.folder / "rendered", "site"), bench.folder / "floor-template"
    )

    def timed(template: Path) -> float:
        out = bench.folder / bench.unique("out")
        started = time.perf_counter()
        projects.cookiecutter(template, out)
        seconds = time.perf_counter() - started
        shutil.rmtree(out)
        return seconds

    sides = {OURS: lambda: timed(projects.TEMPLATE), FLOOR: lambda: timed(floor)}
    return [bench.rounds_of(result, sides)]


def size(bench: Bench) -> list[Result]:
    """The size of the image."""
    result = Result(
        "image",
        "Bytes of the image's layers, uncompressed, without those of the base image; the floor is the locked "
        "dependencies with bytecode and the bytecode of the standard library. The book has the same dependencies "
        "and gunicorn, and is shown without the template's server too. Of an image on another base, all.",
        "MB above base",
        (Target((FLOOR,), 1.1), Target((BOOK,), 1.35)),
    )
    below = bench.engine.layers(bench.base)
    alone = bench.copy(bench.book)
    projects.write_requirements(alone, "--prune=granian")
    images = {
        OURS: bench.image,
        BOOK: bench.book_image,
        FLOOR: bench.floor_image,
        "book without granian": bench.built(alone, "book-alone"),
    }
    for side, image in (images | {image: image for image in bench.images}).items():
        same = bench.engine.layers(image)[: len(below)] == below
        own = bench.engine.size(image) - (bench.engine.size(bench.base) if same else 0)
        result.add(side, own / 1e6)
    return [result]


def cold(bench: Bench) -> list[Result]:
    """The first build."""
    result = Result(
        "cold build",
        "Wall time of `docker build --no-cache` with the packages in uv's cache, but no environment of an "
        "earlier build; the floor is the build of its image. The book has no cache and fetches its packages.",
        "s",
        (Target((FLOOR,), 1.25),),
    )
    project = bench.copy(bench.project)
    for folder in (project, bench.floor):
        bench.engine.build(folder, "cold")

    def timed(folder: Path) -> float:
        return bench.engine.timed_build(folder, "cold", "--no-cache")[0]

    def ours() -> float:
        dockerfile = project / "Dockerfile"
        source = re.sub(
            'id="venv-.+?"',
            f'id="venv-{bench.engine.name(bench.unique())}"',
            dockerfile.read_text(),
        )
        dockerfile.write_text(source)
        return timed(project)

    return [
        bench.rounds_of(
            result,
            {
                OURS: ours,
                BOOK: lambda: timed(bench.book),
                FLOOR: lambda: timed(bench.floor),
            },
        )
    ]


def rebuild(bench: Bench) -> list[Result]:
    """The build after a line of Python."""
    result = Result(
        "rebuild, a line of Python",
        "Wall time of `docker build` after a comment was added to a view. The book collects no static files, so "
        "collectstatic's own time, in a running container, is added to its side.",
        "s",
        (Target((BOOK, "collectstatic"), 1),),
    )
    sources = {OURS: bench.copy(bench.project), BOOK: bench.copy(bench.book)}
    for side, project in sources.items():
        bench.engine.build(project, f"rebuild-{side}")

    def timed(side: str) -> float:
        with (sources[side] / "pages/views.py").open("a") as view:
            view.write(f"# {bench.engine.prefix} {bench.unique()}\n")
        seconds, report = bench.engine.timed_build(sources[side], f"rebuild-{side}")
        if ran(report, "uv sync"):
            result.notes.append("a dependency step ran, and must not")
        return seconds

    def collectstatic() -> float:
        with bench.serving(Server(bench.image)):
            name = bench.engine.name(f"c{bench.counter}")
            started = time.perf_counter()
            run(
                *("docker", "exec", "--user=0", name),
                *("python", "manage.py", "collectstatic", "--no-input", "--clear"),
            )
            return time.perf_counter() - started

    bench.rounds_of(
        result,
        {OURS: lambda: timed(OURS), BOOK: lambda: timed(BOOK), "collectstatic": collectstatic},
    )
    return [result]


def ran(report: str, command: str) -> bool:
    """Whether a step with this command was run in a build, and not taken from the cache."""
    steps = re.findall(rf"^#(\d+) \[.+?\] RUN .*{re.escape(command)}", report, re.MULTILINE)
    return any(f"\n#{step} CACHED" not in report for step in steps)


def dependency(bench: Bench) -> list[Result]:
    """The build after one more dependency."""
    result = Result(
        "rebuild, one dependency more",
        "Wall time of `docker build` after a small package was added to pyproject.toml and its lock, or to the "
        "book's requirements.txt: another package in each round.",
        "s",
        (Target((BOOK,), 0.3),),
    )
    sources = {OURS: bench.copy(bench.project), BOOK: bench.copy(bench.book)}
    added = 0
    for side, project in sources.items():
        bench.engine.build(project, f"dependency-{side}")

    def add() -> None:
        nonlocal added
        package = ADDED[added % len(ADDED)]
        added += 1
        pyproject = sources[OURS] / "pyproject.toml"
        text = pyproject.read_text()
        # The comment keeps an earlier run's layer from being taken
        stamp = f'dependencies = [\n    # {bench.engine.prefix}\n    "{package}",'
        pyproject.write_text(text.replace("dependencies = [", stamp, 1))
        projects.lock(sources[OURS])
        with (sources[BOOK] / "requirements.txt").open("a") as requirements:
            requirements.write(f"{package}  # {bench.engine.prefix}\n")

    def ours() -> float:
        add()
        seconds, report = bench.engine.timed_build(sources[OURS], f"dependency-{OURS}")
        fetched = re.findall(r"Prepared (\d+) package", report)
        if fetched and fetched != ["1"]:
            result.notes.append(f"uv prepared {fetched} packages, and one is new")
        return seconds

    def theirs() -> float:
        return bench.engine.timed_build(sources[BOOK], f"dependency-{BOOK}")[0]

    return [bench.rounds_of(result, {OURS: ours, BOOK: theirs})]


def context(bench: Bench) -> list[Result]:
    """What is sent to the engine."""
    result = Result(
        "build context",
        "Bytes of all files that `COPY . .` copies from a folder with a virtual environment, a repository, "
        "node_modules, caches, a database and media, a megabyte each.",
        "MB",
        (Target((), 1, "<"),),
    )
    project = bench.copy(bench.project)
    projects.clutter(project)
    probe = bench.folder / "probe"
    probe.write_text("FROM scratch\nCOPY . .\n")
    out = bench.folder / "context"
    run("docker", "build", "--file", str(probe), "--output", f"type=local,dest={out}", str(project))
    sent = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    result.add(OURS, sent / 1e6)
    return [result]


def start(bench: Bench) -> list[Result]:
    """From a container to its first answer."""
    result = Result(
        "start",
        "From `docker start` of a container that exists to its first 200 of /health/ready, asked every ten "
        "milliseconds, with the database up and migrated; the floor is the same server around a function that "
        "answers. The plain project is Django's own startproject in the floor's image, with its first answer.",
        "s",
        (Target((BOOK,), 0.7), Target((FLOOR,), 1.5)),
    )
    servers = {
        OURS: Server(bench.image),
        BOOK: Server(bench.book_image),
        FLOOR: Server(bench.floor_image),
        "plain project": plain_project(bench),
    } | {image: bench.other(image) for image in bench.images}

    def timed(side: str) -> float:
        name = bench.create(servers[side])
        try:
            started = time.perf_counter()
            run("docker", "start", name)
            wait_for(bench.engine.port(name), servers[side].ready, HEADERS)
            return time.perf_counter() - started
        finally:
            bench.engine.remove(name)

    bench.network  # noqa: B018 -- the database is up before anything is timed
    sides = {side: partial(timed, side) for side in servers}
    return [bench.rounds_of(result, sides)]


def settings(bench: Bench) -> dict[str, Server]:
    """The server settings that are tried, all around the template's image, on the same CPU."""
    image = with_gunicorn(bench)

    def gunicorn(kind: str, processes: int, threads: int, replicas: int = 1) -> Server:
        options = (f"--worker-class={kind}", f"--workers={processes}", f"--threads={threads}")
        command = ("gunicorn", "--bind=0.0.0.0:8000", *options, "config.wsgi")
        return Server(image, command, replicas)

    def granian(processes: int, threads: int, replicas: int = 1) -> Server:
        options = (f"--env=WEB_CONCURRENCY={processes}", f"--env=WEB_THREADS={threads}")
        return Server(image, (), replicas, options)

    return {
        "gunicorn sync 1": gunicorn("sync", 1, 1),
        "gunicorn sync 2": gunicorn("sync", 2, 1),
        "gunicorn gthread 1×2": gunicorn("gthread", 1, 2),
        "gunicorn gthread 1×4": gunicorn("gthread", 1, 4),
        "gunicorn gthread 1×8": gunicorn("gthread", 1, 8),
        "gunicorn gthread 2×4": gunicorn("gthread", 2, 4),
        "gunicorn gthread 1×4, two replicas": gunicorn("gthread", 1, 4, 2),
        "granian 1×1": granian(1, 1),
        "granian 1×2": granian(1, 2),
        "granian 1×4": granian(1, 4),
        "granian 1×8": granian(1, 8),
        "granian 2×1": granian(2, 1),
        "granian 2×4": granian(2, 4),
        "granian 1×4, two replicas": granian(1, 4, 2),
    }


def with_gunicorn(bench: Bench) -> str:
    """The template's image with gunicorn beside its own server."""
    folder = bench.folder / "gunicorn"
    folder.mkdir()
    dockerfile = (
        f"FROM {bench.page_image}\nUSER 0\n"
        "RUN /usr/local/bin/python -m pip --python /opt/venv/bin/python install --no-cache-dir gunicorn\n"
        "USER 10001:10001\n"
    )
    (folder / "Dockerfile").write_text(dockerfile)
    return bench.built(folder, "gunicorn")


def load_on(
    bench: Bench, server: Server, path: str, connections: int, measure: Callable[..., Load]
) -> Load:
    """Put a load on a server that has one CPU for itself; replicas share the connections and that CPU."""
    cpu = server_cpu()
    with bench.serving(server, *bench.pinned(True)) as ports, beside(cpu):
        share = max(1, connections // len(ports))

        def on(port: int, seconds: float) -> Load:
            return measure(port, path, HEADERS, connections=share, seconds=seconds)

        with ThreadPoolExecutor(len(ports)) as pool:
            # The first requests fill caches and open connections
            list(pool.map(lambda port: saturate(port, path, HEADERS, share, 1), ports))
            before = bench.cpu_seconds(len(ports))
            loads = list(pool.map(lambda port: on(port, bench.seconds), ports))
            used = bench.cpu_seconds(len(ports)) - before
    return Load(
        sum(load.rate for load in loads),
        max(load.p99 for load in loads),
        sum(load.failed for load in loads),
        per_cpu_second=sum(load.answers for load in loads) / used,
    )


def requests(bench: Bench) -> list[Result]:
    """How many pages a second one CPU gives."""
    found = []
    servers = {
        OURS: Server(bench.page_image),
        BOOK: Server(bench.book_page_image),
    } | {image: bench.other(image) for image in bench.images}
    tried = settings(bench)
    for name, path, factor in (("home page", "/", 1.5), ("query", projects.QUERY_PATH, 1.25)):
        targets = (Target((BOOK,), factor, "≥"), Target(("best tried",), 0.9, "≥"))
        wall = Result(
            f"requests, {name}",
            "Answers a second to wrk with 16 connections, the container on one CPU that has nothing else to "
            "do, its database and wrk on the others; each container as its image starts it.",
            "1/s",
            targets,
        )
        busy = Result(
            f"requests, {name}, of CPU time",
            "The same answers for each second that the container's processes were on the CPU: what others do "
            "on the machine meanwhile changes it little.",
            "1/CPU s",
        )
        for number in range(bench.rounds):
            for side, server in (servers | tried).items():
                print(f"  {wall.name}: {side}, round {number + 1}", flush=True)
                # An image of the user need not have the page with a query
                if side in bench.images and path != "/":
                    continue
                load = load_on(bench, server, path, 16, saturate)
                wall.add(side, load.rate)
                busy.add(side, load.per_cpu_second)
                wall.failed[side] = wall.failed.get(side, 0) + load.failed
        for result in (wall, busy):
            medians = {side: statistics.median(result.values[side]) for side in tried}
            best = max(medians, key=medians.__getitem__)
            result.values["best tried"] = result.values[best]
            result.notes.append(f"best tried: {best}")
        found += [wall, busy]
    return found


def latency(bench: Bench) -> list[Result]:
    """How long the slowest hundredth waits."""
    servers = {OURS: Server(bench.page_image), BOOK: Server(bench.book_page_image)}
    path = projects.QUERY_PATH
    book_rate = load_on(bench, servers[BOOK], path, 16, saturate).rate
    offered = book_rate * 0.7
    steady = Result(
        "p99, same offered rate",
        "99th percentile of the latency of the page with a query on one CPU, at seven tenths of what the book's "
        "server can take, sent whether or not answers come; counted from the moment a request was due.",
        "ms",
        (Target((BOOK,), 1, "<"),),
        notes=[f"offered: {offered:.0f} requests a second"],
    )
    connections = saturating(bench)
    crowd = Result(
        "p99, twice saturated",
        "99th percentile of the latency of the same page when wrk keeps twice as many connections busy as "
        "saturate one process of the template's server.",
        "ms",
        (Target((BOOK,), 1, "<"),),
        notes=[f"connections: {2 * connections}"],
    )

    def at_rate(
        port: int, path: str, headers: Mapping[str, str], connections: int, seconds: float
    ) -> Load:
        return offer(port, path, headers, offered, seconds, connections)

    def p99(result: Result, side: str, count: int, measure: Callable[..., Load]) -> float:
        load = load_on(bench, servers[side], path, count, measure)
        result.failed[side] = result.failed.get(side, 0) + load.failed
        return load.p99

    for result, count, measure in ((steady, 64, at_rate), (crowd, 2 * connections, saturate)):
        sides = {side: partial(p99, result, side, count, measure) for side in servers}
        bench.rounds_of(result, sides)
    return [steady, crowd]


def saturating(bench: Bench) -> int:
    """The connections beyond which one process of the template's server answers no faster: doubled until 5 %."""
    server = Server(bench.page_image, options=("--env=WEB_CONCURRENCY=1",))
    connections, best = 1, 0.0
    while connections <= 64:
        rate = load_on(bench, server, projects.QUERY_PATH, connections, saturate).rate
        if rate < best * 1.05:
            return connections // 2
        connections, best = connections * 2, rate
    return connections // 2


def memory(bench: Bench) -> list[Result]:
    """What a site at rest takes."""
    result = Result(
        "memory at rest",
        "What `docker stats` says of a container two seconds after fifty requests, two processes as the product "
        "runs them; the floor is the same server with two processes around Django's own startproject.",
        "MB",
        (Target((FLOOR,), 1.1), Target((), 121)),
    )
    servers = {
        OURS: Server(bench.image, options=TWO_PROCESSES, ready="/accounts/login/"),
        BOOK: Server(bench.book_page_image, ready="/accounts/login/"),
        FLOOR: plain_project(bench),
        "bare function": Server(bench.floor_image),
    } | {image: bench.other(image) for image in bench.images}

    def megabytes(side: str) -> float:
        with bench.serving(servers[side]) as ports:
            for _ in range(50):
                wait_for(ports[0], servers[side].ready, HEADERS)
            time.sleep(2)
            return used_memory(bench.engine.name(f"c{bench.counter}"))

    return [bench.rounds_of(result, {side: partial(megabytes, side) for side in servers})]


def used_memory(container: str) -> float:
    """The megabytes that `docker stats` shows: without the part of the file cache that is not in use."""
    template = "{" + "{.MemUsage}" + "}"
    shown = run("docker", "stats", "--no-stream", "--format", template, container)
    found = re.match(r"([\d.]+)(KiB|MiB|GiB)", shown)
    if not found:
        raise Failed(f"docker stats says {shown}")
    return float(found[1]) * {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}[found[2]] / 1e6


class Development:
    """The development stack of a copy of the project, under a name of its own."""

    def __init__(self, bench: Bench, without: str = "") -> None:
        self.name = bench.engine.name(bench.unique("dev"))
        self.project = bench.copy(bench.project)
        if without:
            pyproject = self.project / "pyproject.toml"
            pyproject.write_text(re.sub(rf'    "{without}.*\n', "", pyproject.read_text()))
            projects.lock(self.project)
        if os.getuid() == 0:
            run("chown", "--recursive", "10001:10001", str(self.project))
        self.environment = {"COMPOSE_PROJECT_NAME": self.name, "WEB_PORT": "0"}

    def compose(self, *arguments: str) -> str:
        """Run Docker Compose in the project."""
        return run("docker", "compose", *arguments, cwd=self.project, env=self.environment)

    def port(self) -> int:
        """The port of the page, which Docker chooses anew at each start."""
        return int(self.compose("port", "web", "8000").rpartition(":")[2])

    def remove(self) -> None:
        """Take down what Compose made."""
        self.compose("down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "5")


def reload(bench: Bench) -> list[Result]:
    """From a saved file to the new page."""
    result = Result(
        "reload",
        "In development: from the moment settings.py was saved to the page that shows the change, asked every "
        "ten milliseconds; saved at random moments, three in each round. The book is the same project with "
        "Django's own reloader, which looks once a second.",
        "s",
        (Target((), 1),),
    )
    stacks = {OURS: Development(bench), BOOK: Development(bench, without="django-watchfiles")}
    try:
        for stack in stacks.values():
            stack.compose("up", "--build", "--wait", "--wait-timeout", "300")
        text = (bench.project / "config/settings.py").read_text()

        def timed(stack: Development) -> float:
            port = stack.port()
            wait_for(port, "/", {})
            # Neither reloader notices a change that comes before its first look
            time.sleep(random.uniform(2, 4))
            word = f"Saved {bench.unique()}"
            started = time.perf_counter()
            edited = re.sub(r'PROJECT_NAME = ".*"', f'PROJECT_NAME = "{word}"', text)
            (stack.project / "config/settings.py").write_text(edited)
            wait_for(port, "/", {}, f"<title>{word}</title>")
            return time.perf_counter() - started

        sides = {side: partial(timed, stack) for side, stack in stacks.items()}
        for _ in range(3):
            bench.rounds_of(result, sides)
    finally:
        for stack in stacks.values():
            stack.remove()
    return [result]


def again(bench: Bench) -> list[Result]:
    """Development, started once more."""
    result = Result(
        "up again",
        "From `docker compose up` of a stopped stack, nothing changed, to the page; compared with the sum of "
        "`docker start` of the database alone until it takes connections and of Django alone until the page.",
        "s",
        (Target(("database", "Django"), 1.3),),
    )
    stack = Development(bench)
    try:
        stack.compose("up", "--build", "--wait", "--wait-timeout", "300")
        names = json.loads(
            "[" + ",".join(stack.compose("ps", "--format=json").split("\n")[:-1]) + "]"
        )
        container = {entry["Service"]: entry["Name"] for entry in names}

        def up() -> float:
            stack.compose("stop")
            started = time.perf_counter()
            stack.compose("up", "--detach")
            wait_for(bench.engine.port(container["web"]), "/", {})
            return time.perf_counter() - started

        def database() -> float:
            stack.compose("stop")
            started = time.perf_counter()
            run("docker", "start", container["db"])
            until = f"until {DATABASE['health']}; do sleep 0.02; done"
            run("docker", "exec", container["db"], "sh", "-c", until)
            return time.perf_counter() - started

        def django() -> float:
            stack.compose("stop", "web")
            started = time.perf_counter()
            run("docker", "start", container["web"])
            wait_for(bench.engine.port(container["web"]), "/", {})
            return time.perf_counter() - started

        bench.rounds_of(result, {OURS: up, "database": database, "Django": django})
    finally:
        stack.remove()
    return [result]


ROWS: dict[str, Callable[[Bench], list[Result]]] = {
    "render": render,
    "size": size,
    "cold": cold,
    "rebuild": rebuild,
    "dependency": dependency,
    "context": context,
    "start": start,
    "requests": requests,
    "latency": latency,
    "memory": memory,
    "reload": reload,
    "again": again,
}

# Those that need wrk
LOADED = ("requests", "latency")
