"""The subjects of a run: rendered projects, their images, a database, and containers that serve."""

import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tools.bench import projects
from tools.bench.engine import Engine, Failed, go, run, wait_for
from tools.bench.load import server_cpu
from tools.bench.report import BOOK, FLOOR, OURS, Result

DATABASE = projects.ANSWERS["_databases"]["postgresql"]
READY = "/health/ready"

# As a proxy would ask: production redirects plain HTTP, and refuses unknown hosts
HEADERS = {
    "Host": "example.com",
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
}

# What the project demands of its environment, for every image alike; and bounds
VARIABLES = {
    "ALLOWED_HOSTS": "example.com",
    "EMAIL_URL": "dummy:",
    "SECRET_KEY": "0123456789abcdef" * 4,
    "DATABASE_URL": DATABASE["url"].replace("${DATABASE_PASSWORD}", "bench").replace("NAME", "b"),
}
# The log as production keeps it, on loopback alone
OPTIONS = (
    *("--memory=512m", "--pids-limit=200", "--publish=127.0.0.1::8000"),
    *("--log-driver=json-file", "--log-opt=max-size=10m", "--log-opt=max-file=3"),
    *(f"--env={name}={value}" for name, value in VARIABLES.items()),
)


@dataclass(frozen=True)
class Server:
    """A way to serve: an image, its command if not the image's own, and how many containers of it."""

    image: str
    command: tuple[str, ...] = ()
    replicas: int = 1
    options: tuple[str, ...] = ()
    # Answers with 200 as soon as the server can do its work
    ready: str = READY


@dataclass
class Bench:
    """Everything that rows measure; each thing is made when the first row asks for it."""

    engine: Engine
    folder: Path
    rounds: int
    seconds: float
    # Other images to measure: the name as the user gave it
    images: list[str] = field(default_factory=list)
    image_env: str = ""
    image_ready: str = READY
    counter: int = 0

    def rounds_of(self, result: Result, sides: Mapping[str, Callable[[], float]]) -> Result:
        """Measure every side once in each round: A B A B, so that a slow minute hits all of them."""
        for number in range(self.rounds):
            for side, measure in sides.items():
                print(f"  {result.name}: {side}, round {number + 1}", flush=True)
                result.add(side, measure())
        return result

    def unique(self, part: str = "c") -> str:
        """A name that no other container, image or folder of this run has."""
        self.counter += 1
        return f"{part}{self.counter}"

    def copy(self, project: Path) -> Path:
        """A copy of a project, to be changed."""
        return Path(
            shutil.copytree(project, self.folder / self.unique("copy") / "site", symlinks=True)
        )

    @cached_property
    def project(self) -> Path:
        """The default project as it is rendered."""
        return projects.render(self.folder, "site")

    @cached_property
    def book(self) -> Path:
        """The same project with the book's Dockerfile."""
        return projects.book(self.project, self.folder / "book")

    @cached_property
    def floor(self) -> Path:
        """The folder of the floor."""
        return projects.floor(self.project, self.folder / "floor")

    @cached_property
    def base(self) -> str:
        """The base image of all of them."""
        return projects.image_of(self.project, "BASE_IMAGE")

    def built(self, project: Path, part: str) -> str:
        """The image of a project, built if need be."""
        self.engine.build(project, part)
        return self.engine.name(part)

    @cached_property
    def image(self) -> str:
        """The template's production image."""
        return self.built(self.project, OURS)

    @cached_property
    def book_image(self) -> str:
        """The book's image."""
        return self.built(self.book, BOOK)

    @cached_property
    def floor_image(self) -> str:
        """The floor's image."""
        return self.built(self.floor, FLOOR)

    @cached_property
    def page_image(self) -> str:
        """The template's image with the page that asks the database."""
        project = self.copy(self.project)
        projects.add_query_page(project)
        return self.built(project, "page")

    @cached_property
    def book_page_image(self) -> str:
        """The book's image with that page, and with collected static files, which pages link to."""
        project = self.copy(self.book)
        projects.add_query_page(project)
        image = self.built(project, "book-uncollected")
        folder = self.folder / "served"
        folder.mkdir()
        (folder / "Dockerfile").write_text(projects.SERVED_DOCKERFILE.format(image=image))
        return self.built(folder, "book-page")

    @cached_property
    def network(self) -> str:
        """The network on which the database is `db`: up, and with every migration applied."""
        network = self.engine.name("net")
        run("docker", "network", "create", network)
        database = self.engine.name("db")
        settings = {DATABASE["name_variable"]: "b", DATABASE["password_variable"]: "bench"}
        run(
            *("docker", "run", "--detach", "--name", database, "--network", network),
            *("--network-alias", "db", "--memory=1g", *self.pinned(False)),
            *(f"--env={name}={value}" for name, value in settings.items()),
            DATABASE["image"],
        )
        deadline = time.monotonic() + 120
        while True:
            try:
                run("docker", "exec", database, *DATABASE["health"].split())
                break
            except Failed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        run(
            *("docker", "run", "--rm", "--name", self.engine.name("migrate")),
            *("--network", network, *OPTIONS, self.image, "python", "manage.py", "migrate"),
        )
        return network

    def pinned(self, server: bool) -> tuple[str, ...]:
        """The option that gives a server one CPU for itself, or keeps a container off that one."""
        cpu = server_cpu()
        if cpu is None:
            return ("--cpus=1",) if server else ()
        every = range(int(run("docker", "info", "--format", go(".NCPU"))))
        rest = ",".join(str(number) for number in every if number != cpu)
        return (f"--cpuset-cpus={cpu if server else rest}",)

    def other(self, image: str) -> Server:
        """How an image of the user is run: with the project's variables, and a file of others."""
        options = (f"--env-file={self.image_env}",) if self.image_env else ()
        return Server(image, options=options, ready=self.image_ready)

    def create(self, server: Server, *options: str) -> str:
        """Create a container that is not started yet."""
        name = self.engine.name(self.unique())
        run(
            *("docker", "create", "--init", "--name", name, "--network", self.network),
            *(*OPTIONS, *server.options, *options, server.image, *server.command),
        )
        return name

    @contextmanager
    def serving(self, server: Server, *options: str) -> Iterator[list[int]]:
        """Run a server until it answers; gives the port of each replica."""
        names = [self.create(server, *options) for _ in range(server.replicas)]
        try:
            for name in names:
                run("docker", "start", name)
            ports = [self.engine.port(name) for name in names]
            try:
                for port in ports:
                    wait_for(port, server.ready, HEADERS)
            except Failed as error:
                raise Failed(f"{error}\n{run('docker', 'logs', '--tail=30', names[0])}") from error
            yield ports
        finally:
            for name in names:
                self.engine.remove(name)

    def cpu_seconds(self, count: int) -> float:
        """The CPU time that the newest containers have used, as their control groups count it."""
        command = (
            "cat /sys/fs/cgroup/cpu.stat 2>/dev/null || cat /sys/fs/cgroup/cpuacct/cpuacct.usage"
        )
        total = 0.0
        for number in range(self.counter - count + 1, self.counter + 1):
            shown = run("docker", "exec", self.engine.name(f"c{number}"), "sh", "-c", command)
            microseconds = re.search(r"usage_usec (\d+)", shown)
            total += int(microseconds[1]) / 1e6 if microseconds else int(shown) / 1e9
        return total
