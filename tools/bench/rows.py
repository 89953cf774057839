"""The rows of the table: what each measures, with which tool, and in which unit."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from tools.bench.sides import HERE, Failed, Side, run

# Label of a row of the table → name of a side → value
Found = dict[str, dict[str, float]]

BUILD = "docker build --label bench=$BENCH --tag $NAME ."
DEVELOPMENT = "docker compose up --build --detach --wait"
# One side's containers never run while another is measured
STOP = "docker ps --quiet --filter name=$BENCH | xargs -r docker stop -t 1"
# As the proxy in front would ask; production redirects the rest
HEADERS = "--header 'X-Forwarded-For: 203.0.113.7' --header 'X-Forwarded-Proto: https'"
WRK = f"$PIN wrk --connections=16 --threads=1 --timeout=30s {HEADERS}"
MEASURE = f"{WRK} --duration=${{DURATION}}s --script='{HERE}/wrk.lua'"


def create(service: str) -> str:
    """Commands that create a container of the production image, with its database up and migrated."""
    return f"""{BUILD}
docker compose up --detach --wait db
docker compose run --rm {service} python manage.py migrate
docker compose create --no-build {service}"""


def until_answer(service: str, path: str, text: str = ".") -> str:
    """Commands that wait until a page of a running container has a text, and leave its $address."""
    return f"""address=$(docker port $NAME-{service}-1 8000)
deadline=$(($(date +%s) + 90))
until curl --silent --fail --max-time 10 {HEADERS} "http://$address{path}" | grep --quiet "{text}"; do
  [ "$(date +%s)" -lt $deadline ] || {{ docker logs --tail 30 $NAME-{service}-1; exit 1; }}
  sleep 0.01
done"""


@dataclass(frozen=True)
class Timed:
    """A row that hyperfine measures: how long commands take, after others that prepare them."""

    label: str
    prepare: str
    command: str
    with_book: bool = True
    tool = "hyperfine"

    def __call__(self, sides: list[Side], number: int) -> Found:
        """Run the commands once on each side; raise Failed if one fails."""
        measured = [side for side in sides if self.with_book or side.label != "book"]
        export = sides[0].folder.with_name("hyperfine.json")
        options = ["--show-output", "--runs=1", f"--export-json={export}", "--cleanup", STOP]
        for side in measured:
            options += ["--prepare", side.script(self.prepare, number)]
            options += [side.script(self.command, number)]
        run("hyperfine", *options)
        times = [result["median"] for result in json.loads(export.read_text())["results"]]
        return {self.label: {side.name: time for side, time in zip(measured, times, strict=True)}}


@dataclass(frozen=True)
class Printed:
    """Rows whose commands print what they measure; `read` makes label → value of their output."""

    commands: str
    read: Callable[[str], dict[str, float]]
    tool: str = "docker"

    def __call__(self, sides: list[Side], number: int) -> Found:
        """Run the commands once on each side; raise Failed if one fails."""
        found: Found = {}
        for side in sides:
            output = side.run(self.commands, number)
            side.run(STOP)
            for label, value in self.read(output).items():
                found.setdefault(label, {})[side.name] = value
        return found


def size(output: str) -> dict[str, float]:
    """Read the sizes in bytes of an image and of its base, which are the last two lines."""
    image, base = output.split()[-2:]
    return {"size of the image above its base, MB": (int(image) - int(base)) / 1e6}


def memory(output: str) -> dict[str, float]:
    """Read the last line, in which `docker stats` says something like `80.5MiB / 512MiB`."""
    used = output.splitlines()[-1].partition("MiB")[0]
    return {"memory at rest, MB": float(used) * 1024**2 / 1e6}


def load(output: str) -> dict[str, float]:
    """Read the two lines of JSON that wrk.lua prints; raise Failed if a request was not answered."""
    home, query = (json.loads(line) for line in output.splitlines() if line.startswith("{"))
    if home["failed"] or query["failed"]:
        raise Failed(f"requests failed: {output}")
    return {
        "home page, pages a second": home["rate"],
        "page with one query, pages a second": query["rate"],
        "99 of 100 of these take less than, milliseconds": query["p99"],
    }


ROWS: dict[str, Timed | Printed] = {
    "render": Timed(
        "render the project, seconds",
        prepare="rm -rf ../rendered",
        command='cookiecutter "$TEMPLATE" --no-input --output-dir ../rendered',
        with_book=False,
    ),
    "size": Printed(
        f"""{BUILD}
echo "FROM $BASE" | docker build --label bench=$BENCH --tag $NAME-base -
docker image inspect --format '{{{{.Size}}}}' $NAME $NAME-base""",
        size,
    ),
    "build": Timed(
        "build the image, seconds",
        # Packages are in uv's cache then; older versions of the template keep an environment too
        prepare=f"""{BUILD}
sed -i.bak "s/id=\\"venv-[^\\"]*/id=\\"$STAMP/" Dockerfile""",
        command=f"{BUILD} --no-cache",
    ),
    "edit": Timed(
        "build it again after an edit of a page, seconds",
        prepare=f'{BUILD}\necho "# $STAMP" >> pages/views.py',
        command=BUILD,
    ),
    "dependencies": Timed(
        "build it again after an edit of pyproject.toml, seconds",
        # The packages are fetched already, except by the book, which keeps none
        prepare=f'{BUILD}\necho "# $STAMP" | tee -a pyproject.toml >> requirements.txt',
        command=BUILD,
    ),
    "start": Timed(
        "first answer after a start, seconds",
        prepare=create("server"),
        command=f"docker start $NAME-server-1\n{until_answer('server', '/health/ready')}",
    ),
    "load": Printed(
        f"""{create("pinned")}
docker start $NAME-pinned-1
{until_answer("pinned", "/health/ready")}
{WRK} --duration=1s http://$address/
{MEASURE} http://$address/
{MEASURE} http://$address/query""",
        load,
        tool="wrk",
    ),
    "memory": Printed(
        f"""{create("server")}
docker start $NAME-server-1
{until_answer("server", "/health/ready")}
curl --silent --output /dev/null {HEADERS} "http://$address/accounts/login/?[1-50]"
sleep 2
docker stats --no-stream --format '{{{{.MemUsage}}}}' $NAME-server-1""",
        memory,
    ),
    "reload": Timed(
        "a saved edit shows in development, seconds",
        # A change before the reloader's first look would stay unnoticed
        prepare=f"{DEVELOPMENT}\nsleep 3",
        command=f"""echo "WORD = '$STAMP'" >> bench_urls.py
{until_answer("web", "/query", "$STAMP")}""",
        with_book=False,
    ),
    "again": Timed(
        "docker compose up once more, seconds",
        prepare=f"{DEVELOPMENT}\ndocker compose stop",
        command=f"docker compose up --detach\n{until_answer('web', '/')}",
        with_book=False,
    ),
}
