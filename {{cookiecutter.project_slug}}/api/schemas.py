from datetime import datetime
from typing import Annotated

from ninja import Field, FilterLookup, FilterSchema, Schema
from ninja.pagination import LimitOffsetPagination
from pydantic import BaseModel, ConfigDict, StringConstraints

# Without the one character that PostgreSQL cannot store
Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=150, pattern=r"^[^\x00]*$"),
]


class UserOut(Schema):
    id: int
    username: str
    first_name: str
    last_name: str
    email: str
    is_staff: bool
    date_joined: datetime


class UserIn(BaseModel):
    """What users can change about themselves; what is left out stays."""

    # A Schema of Ninja would take any value for an object without attributes
    model_config = ConfigDict(from_attributes=False)

    first_name: Text = ""
    last_name: Text = ""


class UserFilter(FilterSchema):
    """How a list of users can be filtered."""

    search: Annotated[
        Text,
        FilterLookup(
            [
                "username__icontains",
                "first_name__icontains",
                "last_name__icontains",
                "email__icontains",
            ]
        ),
    ] = ""


class Pagination(LimitOffsetPagination):
    """Ninja's own, with an offset that every database can take."""

    class Input(LimitOffsetPagination.Input):
        offset: int = Field(0, ge=0, lt=2**31)
