from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

# {% if cookiecutter.rest_api == "drf" %}
FOLDER = files("drf_spectacular_sidecar").joinpath(
    "static/drf_spectacular_sidecar/swagger-ui-dist"
)
# {% endif %}
# {% if cookiecutter.rest_api == "ninja" %}
FOLDER = files("ninja").joinpath("static/ninja")
# {% endif %}
NAMES = ("swagger-ui-bundle.js", "swagger-ui.css", "swagger-ui.css.map")


class SwaggerUIFinder(BaseFinder):
    """Finds what /api/docs/ loads, as swagger-ui/…, and nothing else of the package that has it.

    As an installed app, that package would add 25 MB to the static files.
    """

    def __init__(self, app_names: Any = None, *args: Any, **kwargs: Any) -> None:
        self.storage = FileSystemStorage(str(FOLDER))
        self.storage.prefix = "swagger-ui"  # type: ignore[attr-defined]

    def find(self, path: str, find_all: bool = False) -> Any:
        folder, _, name = path.rpartition("/")
        found = folder == "swagger-ui" and name in NAMES
        paths = [self.storage.path(name)] if found else []
        return paths if find_all else next(iter(paths), None)

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterable[Any]:
        return [(name, self.storage) for name in NAMES]
