from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI, Query, Router
from ninja.errors import AuthorizationError, ValidationError
from ninja.pagination import paginate
from ninja.security import django_auth

from api.problems import add_problems
from api.schemas import Pagination, UserFilter, UserIn, UserOut
from api.security import Bearer
from api.throttling import Throttle
from users.models import User

users = Router(tags=["users"])


@users.get("", response=list[UserOut], operation_id="users_list")
@paginate(Pagination)
def list_users(request: HttpRequest, query: Query[UserFilter]) -> QuerySet[User]:
    """All users, for staff; `search` looks into their names and addresses."""
    if not request.user.is_staff:
        raise AuthorizationError
    return query.filter(User.objects.order_by("pk"))


@users.get("me/", response=UserOut, operation_id="users_me_retrieve")
def me(request: HttpRequest) -> Any:
    """Who is calling."""
    return request.user


@users.patch("me/", response=UserOut, operation_id="users_me_partial_update")
def update_me(request: HttpRequest, name: UserIn) -> Any:
    """Change one's own name."""
    for field, value in name.model_dump(exclude_unset=True).items():
        setattr(request.user, field, value)
    request.user.save()
    return request.user


class Api(NinjaAPI):
    def get_openapi_schema(self, **options: Any) -> Any:
        return add_problems(super().get_openapi_schema(**options))


api = Api(
    title=settings.PROJECT_NAME,
    version="1",
    docs_url="docs/",
    openapi_url="v1/openapi.json",
    auth=[Bearer(), django_auth],
    throttle=[Throttle()],
)
api.add_router("v1/users/", users)


@api.exception_handler(ValidationError)
def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    return api.create_response(request, error.errors, status=422)
