"""Run the benchmark: `make bench`, or `make bench ARGUMENTS="--only start --rounds 3"`."""

import argparse
import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from statistics import median

from tools.bench.rows import ROWS
from tools.bench.sides import HERE, TEMPLATE, Failed, Side, book, clean, rendered, run
from tools.demo import engine_answers
from tools.interpreter import supported_python

# Label of a row → name of a side → one value for each round
Table = dict[str, dict[str, list[float]]]


def arguments(given: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--template",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="measure another checkout of the template beside this one",
    )
    parser.add_argument(
        "--only", action="append", choices=ROWS, metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="each measures every side"
    )
    parser.add_argument("--seconds", type=int, default=5, metavar="N", help="length of a load")
    return parser.parse_args(given)


def missing(rows: list[str]) -> list[str]:
    """The programs that rows need and that are not here."""
    tools = {"curl", *(ROWS[row].tool for row in rows)}
    return sorted(tool for tool in tools if not shutil.which(tool))


def set_environment(prefix: str, folder: str, seconds: int) -> None:
    """Set what every command finds in its environment; the server has CPU 0, if there are more, for itself."""
    cpus = int(run("docker", "info", "--format", "{" + "{.NCPU}" + "}"))
    others = f"1-{cpus - 1}" if cpus > 1 else ""
    os.environ |= {
        "BENCH": prefix,
        "COMPOSE_FILE": os.pathsep.join(["docker-compose.yml", f"{HERE}/compose.yaml"]),
        "DURATION": str(seconds),
        "OTHER_CPUS": others,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PIN": f"taskset --cpu-list {others}" if others and shutil.which("taskset") else "",
        "SERVER_CPU": "0" if others else "",
        "TEMPLATE_SKIP": "git,uv,docker",
        # What Cookiecutter and uv leave behind goes with the folder
        "TMPDIR": folder,
        "UV_PYTHON": supported_python() or "",
        "WEB_PORT": "0",
    }


def sides_of(templates: list[Path], folder: Path, prefix: str) -> list[Side]:
    """Make what is compared: this template, the book around the same project, and other templates."""
    ours = rendered("template", TEMPLATE, folder / f"{prefix}-0")
    sides = [ours, book(ours, folder / f"{prefix}-1")]
    for number, other in enumerate(templates, start=2):
        sides.append(rendered(str(other), other.resolve(), folder / f"{prefix}-{number}"))
    return sides


def three_digits(value: float) -> str:
    """The value with three significant digits, or all those before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def ratio(ours: list[float], theirs: list[float]) -> str:
    """How many times a value of ours is theirs: the median of all rounds, then the lowest and the highest."""
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    middle, lowest, highest = map(three_digits, (median(ratios), min(ratios), max(ratios)))
    return f"{middle} ({lowest}–{highest})"


def table(values: Table, labels: dict[str, str]) -> str:
    """The values as a Markdown table; `labels` are those of the sides by name, ours first."""
    ours, *others = labels
    heading = ["", labels[ours]]
    for other in others:
        heading += [labels[other], f"{labels[ours]} ÷ {labels[other]}"]
    lines = [heading, ["---"] * len(heading)]
    for row, found in values.items():
        cells = [row, three_digits(median(found[ours]))]
        for other in others:
            theirs = found.get(other)
            cells += (
                [three_digits(median(theirs)), ratio(found[ours], theirs)] if theirs else ["", ""]
            )
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def measured(row: str, sides: list[Side], rounds: int) -> Table:
    """Measure a row; raise Failed if that does not go through on every side."""
    values: Table = {}
    for number in range(rounds):
        print(f"{row}, round {number + 1}", flush=True)
        # What the first one has to read from the disk, the others find in memory
        begin = number % len(sides)
        for label, found in ROWS[row](sides[begin:] + sides[:begin], number).items():
            for side, value in found.items():
                values.setdefault(label, {}).setdefault(side, []).append(value)
    return values


def main(given: list[str]) -> int:
    """Measure, print the table, and leave nothing on the engine; return the exit status."""
    chosen = arguments(given)
    rows = [row for row in ROWS if row in (chosen.only or ROWS)]
    if not engine_answers():
        print("No Docker engine answers: the benchmark needs one.")
        return 1
    if tools := missing(rows):
        print(f"Missing: {', '.join(tools)}. They are packages of Debian, Ubuntu and Homebrew.")
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    prefix = f"bench-{secrets.token_hex(4)}"
    print(f"What is made has names with {prefix}, and is removed at the end.", flush=True)
    values: Table = {}
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        set_environment(prefix, folder, chosen.seconds)
        try:
            sides = sides_of(chosen.template, Path(folder), prefix)
            for row in rows:
                try:
                    values |= measured(row, sides, chosen.rounds)
                except Failed as error:
                    failed = True
                    print(f"{row}: {error}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            return 130
        except Failed as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            clean(prefix)
    print("\n" + table(values, {side.name: side.label for side in sides}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
