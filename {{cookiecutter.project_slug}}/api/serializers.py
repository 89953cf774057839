from typing import Any

from django.db import models
from rest_framework import serializers

from users.models import User


class StringField(serializers.CharField):
    """A string, and not a number that could be written as one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class UserSerializer(serializers.ModelSerializer[User]):
    """A user, whose own name is all that can be changed here."""

    serializer_field_mapping = serializers.ModelSerializer.serializer_field_mapping | {
        models.CharField: StringField
    }

    class Meta:
        model = User
        fields = (
            "id",
            "username",
            "first_name",
            "last_name",
            "email",
            "is_staff",
            "is_active",
            "date_joined",
        )
        read_only_fields = (
            "id",
            "username",
            "email",
            "is_staff",
            "is_active",
            "date_joined",
        )


class UserQuery(serializers.Serializer[Any]):
    """How a list of users can be filtered."""

    search = serializers.CharField(max_length=150, required=False, allow_blank=True)
    is_active = serializers.BooleanField(required=False)
