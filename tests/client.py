"""Ask a service as an ingress controller does: HOST PORT PATH [FILE]; runs inside the cluster.

Prints the answer or, with FILE, asks until that file exists and prints how often each outcome came.
"""

import collections
import http.client
import json
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

HEADERS = {
    "Host": "example.com",
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Proto": "https",
}


def ask(host: str, port: str, path: str) -> dict[str, Any]:
    """The answer: its status, its text and its headers, by name."""
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request("GET", path, headers=HEADERS)
        answer = connection.getresponse()
        return {"status": answer.status, "text": answer.read().decode(), **answer.headers}
    finally:
        connection.close()


def outcomes(host: str, port: str, path: str, file: str) -> Iterator[str]:
    """The status of each answer, or the error, until the file exists."""
    while not pathlib.Path(file).exists():
        try:
            yield str(ask(host, port, path)["status"])
        except (OSError, http.client.HTTPException) as error:
            yield repr(error)
        # Enough to notice what is lost, and not so much that the autoscaler acts
        time.sleep(0.05)


if __name__ == "__main__":
    found = collections.Counter(outcomes(*sys.argv[1:])) if sys.argv[4:] else ask(*sys.argv[1:])
    print(json.dumps(found))
