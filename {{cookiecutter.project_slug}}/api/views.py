from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView, RetrieveUpdateAPIView
from rest_framework.permissions import IsAdminUser

from api.serializers import UserQuery, UserSerializer
from users.models import User


@extend_schema(parameters=[UserQuery])
class UserListView(ListAPIView[User]):
    """All users, for staff; `search` looks into their names and addresses."""

    permission_classes = (IsAdminUser,)
    serializer_class = UserSerializer

    def get_queryset(self) -> QuerySet[User]:
        query = UserQuery(data=self.request.query_params.dict())
        query.is_valid(raise_exception=True)
        users = User.objects.order_by("pk")
        if "is_active" in query.validated_data:
            users = users.filter(is_active=query.validated_data["is_active"])
        if search := query.validated_data.get("search"):
            users = users.filter(
                Q(username__icontains=search)
                | Q(first_name__icontains=search)
                | Q(last_name__icontains=search)
                | Q(email__icontains=search)
            )
        return users


class MeView(RetrieveUpdateAPIView[User]):
    """Who is calling; their own name is theirs to change."""

    http_method_names = ("get", "patch")
    serializer_class = UserSerializer

    def get_object(self) -> User:
        assert isinstance(self.request.user, User)
        return self.request.user
