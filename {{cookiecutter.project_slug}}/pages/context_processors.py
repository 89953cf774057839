from django.conf import settings
from django.http import HttpRequest


def project_name(request: HttpRequest) -> dict[str, str]:
    """Let every template show the name of the project."""
    return {"project_name": settings.PROJECT_NAME}
