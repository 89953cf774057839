"""Health checks: /health/live says that the process answers, /health/ready that it can serve pages."""

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.deprecation import MiddlewareMixin


class HealthMiddleware(MiddlewareMixin):
    """Answer health checks before any other middleware can refuse or redirect them."""

    migrated = False

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Return the answer to a health check, or None if the request is for a page."""
        if request.path == "/health/live":
            return JsonResponse({"status": "ok"})
        if request.path != "/health/ready":
            return None
        problem = self.problem()
        status = 503 if problem else 200
        response = JsonResponse({"status": problem or "ok"}, status=status)
        # Django would log each 503 as an error, and mail it to ADMINS
        response._has_been_logged = True  # type: ignore[attr-defined]
        return response

    def problem(self) -> str:
        """Return why this process cannot serve pages, or an empty string."""
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            # Nothing unapplies migrations while the site runs: once complete, always complete
            self.migrated = self.migrated or not unapplied_migrations()
        except Error:
            return "database unreachable"
        return "" if self.migrated else "migrations missing"


def unapplied_migrations() -> bool:
    """Return whether the code has migrations that the database has not seen."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
