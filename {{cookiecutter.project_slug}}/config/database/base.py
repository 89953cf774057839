"""
Django's database backend with limits of time, for the server: a page says so when it got no answer.

https://docs.djangoproject.com/en/6.1/ref/databases/#subclassing-the-built-in-database-backends
"""

# {% if cookiecutter.__backend == "mysql" %}
import select
# {% endif %}
import time
from typing import Any, ClassVar

# {% if cookiecutter.__backend == "postgresql" %}
from django.db.backends.postgresql import base
# {% endif %}
# {% if cookiecutter.__backend == "mysql" %}
from django.db.backends.mysql import base
# {% endif %}

# Seconds that a page waits for a connection, for the answer to a health check, and for any other
# answer: longer than the server takes to cancel a statement
CONNECT_TIMEOUT, HEALTH_TIMEOUT, TIMEOUT = 2, 1, 5

# Seconds without another attempt when the server does not answer
RETRY_AFTER = 2


class DatabaseWrapper(base.DatabaseWrapper):
    """While the server cannot be reached, one thread of a process tries to, and pages fail at once."""

    retry_at: ClassVar[float] = 0

    # {% if cookiecutter.__backend == "postgresql" %}
    timeout = TIMEOUT

    def get_connection_params(self) -> dict[str, Any]:
        """Called by Django for the arguments with which the driver connects."""
        timeouts = {"connect_timeout": CONNECT_TIMEOUT}
        return super().get_connection_params() | timeouts

    def wait(self, connection: Any, *args: Any, **kwargs: Any) -> Any:
        """Called by a connection that waits for an answer; closes it when none comes in time."""
        kwargs.setdefault("timeout", self.timeout)
        try:
            return type(connection).wait(connection, *args, **kwargs)
        except self.Database.OperationalError:
            status = connection.info.transaction_status
            if status == self.Database.pq.TransactionStatus.ACTIVE:
                connection.close()
            raise

    def is_usable(self) -> bool:
        """Called by Django before the first query of a request, and after an error."""
        self.timeout = HEALTH_TIMEOUT
        try:
            return super().is_usable()
        finally:
            self.timeout = TIMEOUT

    # {% endif %}
    # {% if cookiecutter.__backend == "mysql" %}
    def get_connection_params(self) -> dict[str, Any]:
        """Called by Django for the arguments with which the driver connects."""
        return super().get_connection_params() | {
            "connect_timeout": CONNECT_TIMEOUT,
            "read_timeout": TIMEOUT,
            "write_timeout": TIMEOUT,
        }

    def is_usable(self) -> bool:
        """Called by Django before the first query of a request, and after an error."""
        answer = select.poll()
        try:
            self.connection.send_query(b"SELECT 1")
            answer.register(self.connection.fileno(), select.POLLIN)
            if not answer.poll(HEALTH_TIMEOUT * 1000):
                return False
            self.connection.read_query_result()
            self.connection.store_result()
        except self.Database.Error:
            return False
        return True

    # {% endif %}
    # {% if cookiecutter.database != "sqlite" %}
    def init_connection_state(self) -> None:
        """Called by Django with a new connection: let the server cancel what takes longer."""
        super().init_connection_state()
        with self.cursor() as cursor:
            cursor.execute("{{ cookiecutter._databases[cookiecutter.database].time_limit }}")

    # {% endif %}
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Called by Django to connect; raises OperationalError."""
        if time.monotonic() < DatabaseWrapper.retry_at:
            raise self.Database.OperationalError("The last attempt to connect failed")
        if DatabaseWrapper.retry_at:
            DatabaseWrapper.retry_at = time.monotonic() + TIMEOUT
        try:
            connection = super().get_new_connection(conn_params)
        except self.Database.OperationalError:
            DatabaseWrapper.retry_at = time.monotonic() + RETRY_AFTER
            raise
        DatabaseWrapper.retry_at = 0
        # {% if cookiecutter.__backend == "postgresql" %}
        connection.wait = lambda *args, **kwargs: self.wait(connection, *args, **kwargs)
        # {% endif %}
        return connection
