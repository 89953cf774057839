from datetime import datetime
from typing import Annotated, Any

from django.core.paginator import EmptyPage, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from ninja import Field, FilterLookup, FilterSchema, Schema
from ninja.pagination import PaginationBase
from pydantic import BaseModel, ConfigDict, StringConstraints, WithJsonSchema

# PostgreSQL stores every character but this one
NO_NUL = r"^[^\x00]*$"

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=150, pattern=NO_NUL)
]


class UserOut(Schema):
    id: int
    username: str
    first_name: str
    last_name: str
    email: str
    is_staff: bool
    is_active: bool
    date_joined: datetime


class UserIn(BaseModel):
    """What users can change about themselves; what is left out stays."""

    # A Schema of Ninja would take any value for an object without attributes
    model_config = ConfigDict(from_attributes=False)

    first_name: Name = ""
    last_name: Name = ""


class UserQuery(FilterSchema):
    """How a list of users can be filtered."""

    search: Annotated[
        str,
        Field(max_length=150, pattern=NO_NUL),
        FilterLookup(
            [
                "username__icontains",
                "first_name__icontains",
                "last_name__icontains",
                "email__icontains",
            ]
        ),
    ] = ""
    # None is what is left out: no query can hold it, so the document does not offer it
    is_active: Annotated[bool | None, WithJsonSchema({"type": "boolean"})] = None


class Pagination(PaginationBase):
    """Pages of 20 results, or of page_size."""

    class Input(Schema):
        page: int = Field(1, ge=1)
        page_size: int = Field(20, ge=1, le=100)

    class Output(Schema):
        count: int
        results: list[Any]

    items_attribute = "results"

    def paginate_queryset(
        self,
        queryset: QuerySet[Any],
        pagination: Input,
        request: HttpRequest,
        **params: Any,
    ) -> dict[str, Any]:
        paginator = Paginator(queryset, pagination.page_size)
        try:
            page = paginator.page(pagination.page)
        except EmptyPage as error:
            raise Http404("Invalid page.") from error
        return {"count": paginator.count, "results": list(page)}
