"""Run the benchmark: `make bench`, or `make bench ARGUMENTS="--only start --rounds 3"`."""

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from tools.bench.engine import Engine, Failed
from tools.bench.load import GET_WRK, wrk_is_here
from tools.bench.report import Result, others, table
from tools.bench.rows import LOADED, ROWS
from tools.bench.subjects import READY, Bench
from tools.demo import engine_answers


def arguments(given: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds, each measures every side")
    parser.add_argument("--seconds", type=float, default=5, help="length of a load")
    parser.add_argument(
        "--only", action="append", choices=ROWS, metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value")
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="NAME",
        help="measure another image too: it listens on port 8000, and takes the project's variables",
    )
    parser.add_argument("--image-env", default="", metavar="FILE", help="more variables for it")
    parser.add_argument("--image-ready", default=READY, metavar="PATH", help="answers 200 when up")
    return parser.parse_args(given)


def machine() -> dict[str, int]:
    """What the numbers depend on most."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cores": os.cpu_count() or 1, "memory_gb": round(memory / 1e9)}


def measured(bench: Bench, rows: list[str]) -> list[Result]:
    """The results of the rows; one that fails says so and does not keep the others from being measured."""
    results = []
    for row in rows:
        print(f"{row} …", flush=True)
        try:
            results += ROWS[row](bench)
        except Failed as error:
            print(f"{row} failed: {error}", file=sys.stderr, flush=True)
            results.append(Result(row, "", "", notes=["failed"]))
    return results


def main(given: list[str]) -> int:
    """Measure, print the table, and leave nothing on the engine; return the exit status."""
    chosen = arguments(given)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not engine_answers():
        print("No Docker engine answers: the benchmark needs one.")
        return 1
    rows = chosen.only or list(ROWS)
    if not wrk_is_here() and set(rows) & set(LOADED):
        rows = [row for row in rows if row not in LOADED]
        print(f"{GET_WRK}. Left out: {', '.join(LOADED)}.")
    engine = Engine()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(
            *(engine, Path(folder), chosen.rounds, chosen.seconds),
            *(chosen.image, chosen.image_env, chosen.image_ready),
        )
        try:
            results = measured(bench, rows)
        except KeyboardInterrupt:
            print("\nStopped, and everything is removed.")
            return 130
        finally:
            engine.clean()
    print(f"\n{table(results)}\n\n{others(results)}")
    if chosen.json:
        report = {"machine": machine(), "rounds": chosen.rounds}
        rows_found = [result.as_json() for result in results]
        chosen.json.write_text(json.dumps(report | {"rows": rows_found}, indent=2) + "\n")
    return 1 if any("failed" in result.notes for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
