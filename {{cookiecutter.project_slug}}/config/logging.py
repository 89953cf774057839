"""One log line for each request, its id on every line that it causes, and errors by e-mail."""

import logging
import re
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from threading import Thread

from django.core.mail import mail_admins
from django.http import HttpRequest, HttpResponse
from django.utils.functional import LazyObject, empty
from pythonjsonlogger import json

from config.masks import mask

logger = logging.getLogger(__name__)

request_id: ContextVar[str] = ContextVar("request_id", default="-")


class RequestIdFilter(logging.Filter):
    """Add the id of the current request to every record, or "-" outside of requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


class JsonFormatter(json.JsonFormatter):
    """One JSON object a line, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class PlainFormatter(logging.Formatter):
    """Text for people, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class MailHandler(logging.Handler):
    """
    Mail errors to ADMINS, so many a minute at most, in a thread that no request waits for.

    The thread ends when nothing is left to send: a process that stops has sent its errors, and one
    that was forked starts a thread of its own.
    """

    def __init__(self, most_a_minute: int = 10) -> None:
        super().__init__()
        self.times: deque[float] = deque(maxlen=most_a_minute)
        self.texts: deque[str] = deque()
        self.thread: Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record that was logged; it is dropped if there were too many in the last minute."""
        # What any client can cause: a wrong host, too many fields
        if record.name.startswith("django.security"):
            return
        now = time.monotonic()
        if len(self.times) == self.times.maxlen and now < self.times[0] + 60:
            return
        try:
            self.times.append(now)
            self.texts.append(self.format(record))
            if not self.thread or not self.thread.is_alive():
                self.thread = Thread(target=self.send)
                self.thread.start()
        except Exception:  # noqa: BLE001 -- logging an error must not be another one
            self.handleError(record)

    def send(self) -> None:
        """Mail every text; if the mail server is away, the log has them."""
        while text := self.next_text():
            try:
                mail_admins(text.splitlines()[0][:200], text)
            except OSError as error:
                logger.warning("Error not mailed: %r", error)
                self.texts.clear()

    def next_text(self) -> str | None:
        """Return what to send next; None ends the thread, before another record can count on it."""
        self.acquire()
        try:
            if self.texts:
                return self.texts.popleft()
            self.thread = None
            return None
        finally:
            self.release()


class RequestLogMiddleware:
    """Take the id from X-Request-ID or make one, send it back, and log each request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        given = request.headers.get("X-Request-ID", "")
        accepted = re.fullmatch(r"[A-Za-z0-9._-]{8,64}", given)
        # Stays until the next request: Django logs "Not Found" after all middleware
        request_id.set(given if accepted else uuid.uuid4().hex)
        response = self.get_response(request)
        response.headers["X-Request-ID"] = request_id.get()
        logger.log(
            logging.DEBUG if request.path.startswith("/health/") else logging.INFO,
            "%s %s %s",
            request.method,
            request.path,
            response.status_code,
            extra={
                "method": request.method,
                "path": request.path,
                "status": response.status_code,
                "duration_ms": round((time.perf_counter() - started) * 1000, 1),
                "client": request.META.get("REMOTE_ADDR"),
                "user": user_of(request),
            },
        )
        return response


def user_of(request: HttpRequest) -> object:
    """Return the id of the user, or None if nothing has looked it up: logging makes no query."""
    user = getattr(request, "user", None)
    if isinstance(user, LazyObject) and user._wrapped is empty:
        return None
    return getattr(user, "pk", None)
