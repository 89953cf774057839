"""Health checks: /health/live says that the process answers, /health/ready that it can serve pages."""

from collections.abc import Callable

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse


class HealthMiddleware:
    """Answer health checks before any other middleware can refuse or redirect them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.migrated = False

    def __call__(self, request: HttpRequest) -> HttpResponse:
        match request.path:
            case "/health/live":
                return JsonResponse({"status": "ok"})
            case "/health/ready":
                problem = self.problem()
                response = JsonResponse(
                    {"status": problem or "ok"}, status=503 if problem else 200
                )
                # Django would log each 503 as an error, and mail it to ADMINS
                response._has_been_logged = True  # type: ignore[attr-defined]
                return response
            case _:
                return self.get_response(request)

    def problem(self) -> str:
        """Return why this process cannot serve pages, or an empty string."""
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            # Nothing unapplies migrations while the site runs, so they are read until they are complete
            self.migrated = self.migrated or not unapplied_migrations()
        except Error:
            return "database unreachable"
        return "" if self.migrated else "migrations missing"


def unapplied_migrations() -> bool:
    """Return whether the code has migrations that the database has not seen."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
