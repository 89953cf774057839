"""Load on a port of the loopback address: as much as the server takes, or so many requests a second."""

import asyncio
import itertools
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import quantiles

from tools.bench.engine import Failed, run

GET_WRK = "wrk is missing; Debian and Ubuntu: apt-get install wrk, macOS: brew install wrk"

TIMEOUT = 30  # seconds until a request has failed


@dataclass(frozen=True)
class Load:
    """What a load found: answers a second, the 99th percentile in milliseconds, and what failed."""

    rate: float
    p99: float
    failed: int
    # Answers, and how many of them the server gave in each second of CPU time
    answers: float = 0
    per_cpu_second: float = 0.0


def wrk_is_here() -> bool:
    """Whether wrk can be run."""
    return shutil.which("wrk") is not None


def saturate(
    port: int, path: str, headers: Mapping[str, str], connections: int, seconds: float
) -> Load:
    """Send with wrk, on each connection the next request as soon as an answer is there.

    Its p99 is that of a closed loop: what clients feel who wait for their answers, all at once.
    """
    if not wrk_is_here():
        raise Failed(GET_WRK)
    output = run(
        *("wrk", "--latency", "--threads=1", f"--connections={connections}"),
        *(f"--duration={max(1, round(seconds))}s", f"--timeout={TIMEOUT}s"),
        *(f"--header={name}: {value}" for name, value in headers.items()),
        f"http://127.0.0.1:{port}{path}",
    )
    return wrk_load(output)


def wrk_load(output: str) -> Load:
    """Read what wrk prints."""
    rate = re.search(r"Requests/sec: +([\d.]+)", output)
    p99 = re.search(r"99% +([\d.]+)(us|ms|s|m)\b", output)
    if not rate or not p99:
        raise Failed(f"wrk says what it should not:\n{output}")
    milliseconds = {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[p99[2]]
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    errors = re.search(r"Socket errors: (.+)", output)
    failed = int(refused[1]) if refused else 0
    failed += sum(map(int, re.findall(r"\d+", errors[1]))) if errors else 0
    answers = re.search(r"(\d+) requests in", output)
    count = int(answers[1]) if answers else 0
    return Load(float(rate[1]), float(p99[1]) * milliseconds, failed, count)


def offer(
    port: int,
    path: str,
    headers: Mapping[str, str],
    rate: float,
    seconds: float,
    connections: int = 64,
) -> Load:
    """Send so many requests a second, whether or not the server keeps up.

    Every request has its time, and its latency counts from then, also when all connections were busy: a
    server that stalls is charged for those who would have come meanwhile (no coordinated omission).
    """
    return asyncio.run(_offer(port, path, headers, rate, seconds, connections))


async def _offer(
    port: int, path: str, headers: Mapping[str, str], rate: float, seconds: float, connections: int
) -> Load:
    """Share the schedule between connections, each of which takes the next request when it is free."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()
    total = max(1, round(rate * seconds))
    numbers = itertools.count()
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    started = loop.time() + 0.1

    async def client() -> int:
        failed = 0
        connection = Connection(port)
        while (number := next(numbers)) < total:
            due = started + number / rate
            await asyncio.sleep(due - loop.time())
            try:
                async with asyncio.timeout(TIMEOUT):
                    failed += await connection.ask(request) != 200
            except (OSError, EOFError, ValueError):
                failed += 1
                connection.close()
            latencies.append(loop.time() - due)
        connection.close()
        return failed

    failed = sum(await asyncio.gather(*(client() for _ in range(connections))))
    return Load(total / (loop.time() - started), percentile(latencies) * 1000, failed, total)


def percentile(latencies: list[float], part: int = 99) -> float:
    """The value below which so many percent of the latencies are."""
    if len(latencies) < 2:
        return latencies[0]
    return quantiles(latencies, n=100, method="inclusive")[part - 1]


class Connection:
    """A kept-alive connection, opened again when the server has closed it, as browsers and proxies do."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """Send a request, read the whole answer, and return its status."""
        reused = self.streams is not None
        try:
            return await self._ask(request)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            self.close()
            # A server may close an idle connection at any time, and then the request was not even read
            begun = isinstance(error, asyncio.IncompleteReadError) and error.partial
            if not reused or begun:
                raise
            return await self._ask(request)

    async def _ask(self, request: bytes) -> int:
        """Send a request on the open connection, or on a new one."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = re.search(r"\r\ncontent-length: *(\d+)", head)
        if length:
            await reader.readexactly(int(length[1]))
        if not length or re.search(r"\r\nconnection: *close", head):
            if not length:
                await reader.read()
            self.close()
        return int(head.split()[1])

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.streams:
            self.streams[1].close()
            self.streams = None


def server_cpu() -> int | None:
    """The CPU that a measured server has for itself; None if this machine has only one, or no pinning."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[0] if len(cpus) > 1 else None


@contextmanager
def beside(cpu: int | None) -> Iterator[None]:
    """Keep this process and those it starts off the CPU of the server."""
    if cpu is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before - {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
