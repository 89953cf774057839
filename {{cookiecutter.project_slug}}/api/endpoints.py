from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI, Query
from ninja.errors import AuthorizationError, HttpError, ValidationError
from ninja.pagination import paginate

from api.problems import CONTENT_TYPE, document, problem
from api.schemas import Pagination, UserIn, UserOut, UserQuery
from api.security import Bearer, Session, Throttle
from users.models import User


class Api(NinjaAPI):
    def get_openapi_schema(self, **options: Any) -> Any:
        return document(super().get_openapi_schema(**options))


api = Api(
    title=settings.PROJECT_NAME,
    version="1",
    urls_namespace="api",
    docs_url=None,
    auth=[Bearer(), Session()],
    throttle=[Throttle(settings.API_RATE)],
)


@api.get("users/", response=list[UserOut], tags=["users"], operation_id="users_list")
@paginate(Pagination)
def list_users(request: HttpRequest, query: Query[UserQuery]) -> QuerySet[User]:
    """All users, for staff; `search` looks into their names and addresses."""
    if not request.user.is_staff:
        raise AuthorizationError
    return query.filter(User.objects.order_by("pk"))


@api.get(
    "users/me/", response=UserOut, tags=["users"], operation_id="users_me_retrieve"
)
def me(request: HttpRequest) -> Any:
    """Who is calling."""
    return request.user


@api.patch(
    "users/me/",
    response=UserOut,
    tags=["users"],
    operation_id="users_me_partial_update",
)
def update_me(request: HttpRequest, name: UserIn) -> Any:
    """Change one's own name."""
    assert isinstance(request.user, User)
    for field in name.model_fields_set:
        setattr(request.user, field, getattr(name, field))
    request.user.save(update_fields=name.model_fields_set)
    return request.user


def problem_response(request: HttpRequest, status: int, *details: Any) -> HttpResponse:
    response = api.create_response(request, problem(status, *details), status=status)
    response.headers["Content-Type"] = CONTENT_TYPE
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


@api.exception_handler(HttpError)
def http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    return problem_response(request, error.status_code, str(error))


@api.exception_handler(Http404)
def not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem_response(request, 404, str(error))


@api.exception_handler(ValidationError)
def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = []
    for found in error.errors:
        # The part of the request, in a body the name of the argument, then the field
        part, *path = found["loc"]
        field = ".".join(map(str, path[1:] if part == "body" else path))
        errors.append({"field": field, "detail": found["msg"]})
    return problem_response(request, 400, "Some values are wrong.", errors)


# For include() in api/urls.py
app_name = "api"
urlpatterns = api.urls[0]
