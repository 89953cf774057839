from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView, RetrieveUpdateAPIView
from rest_framework.permissions import IsAdminUser

from api.serializers import UserSerializer
from users.models import User


@extend_schema_view(get=extend_schema(summary="List users"))
class UserListView(ListAPIView[User]):
    """All users, for staff; `search` looks into their names and addresses."""

    permission_classes = (IsAdminUser,)
    queryset = User.objects.order_by("pk")
    search_fields = ("username", "first_name", "last_name", "email")
    serializer_class = UserSerializer


@extend_schema_view(
    get=extend_schema(summary="Show who is calling"),
    patch=extend_schema(summary="Change one's own name"),
)
class MeView(RetrieveUpdateAPIView[User]):
    """Who is calling; their own name is theirs to change."""

    http_method_names = ("get", "patch")
    serializer_class = UserSerializer

    def get_object(self) -> Any:
        return self.request.user
