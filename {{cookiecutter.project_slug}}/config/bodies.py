"""A body that is too large or cut short is refused: the server passes it on without an error."""

from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from django.core.exceptions import BadRequest, RequestDataTooBig


class WholeBodies:
    """Give an application bodies up to a limit, which raise an exception where they end too early."""

    def __init__(self, application: WSGIApplication, limit: int) -> None:
        self.application = application
        self.limit = limit

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        stream = environ["wsgi.input"]
        if int(environ.get("CONTENT_LENGTH") or 0) > self.limit:
            environ["wsgi.input"] = RefusedBody()
        else:
            environ["wsgi.input"] = WholeBody(stream)
        answer = self.application(environ, start_response)
        # The server closes a connection of which it has not read everything, and the answer can get lost
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            while stream.read(65536):
                pass
        return answer


class WholeBody:
    """A body for Django, which never asks for more than Content-Length promises."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def read(self, size: int) -> bytes:
        """Return exactly that many bytes, or raise BadRequest."""
        data: bytes = self.stream.read(size)
        if len(data) < size:
            raise BadRequest("The body ended before its Content-Length")
        return data

    def readline(self, size: int) -> bytes:
        """Return the rest of a line, or that many bytes of it, or raise BadRequest."""
        line: bytes = self.stream.readline(size)
        if len(line) < size and not line.endswith(b"\n"):
            raise BadRequest("The body ended before its Content-Length")
        return line


class RefusedBody:
    """A body over the limit, which nobody can read."""

    def read(self, size: int) -> bytes:
        """Raise RequestDataTooBig."""
        raise RequestDataTooBig("The body is larger than MAX_BODY_SIZE")

    readline = read
