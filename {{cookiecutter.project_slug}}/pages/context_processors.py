from django.conf import settings
from django.http import HttpRequest


def site_name(request: HttpRequest) -> dict[str, str]:
    """Let every template show the name of the site."""
    return {"site_name": settings.SITE_NAME}
