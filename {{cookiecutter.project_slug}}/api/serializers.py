from typing import Any

from rest_framework import serializers

from users.models import User


class StringField(serializers.CharField):
    """A string, and not a number that could be written as one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class UserSerializer(serializers.ModelSerializer[User]):
    """A user, who can change their own name."""

    first_name = StringField(max_length=150, allow_blank=True, required=False)
    last_name = StringField(max_length=150, allow_blank=True, required=False)

    class Meta:
        model = User
        read_only_fields = ("id", "username", "email", "is_staff", "date_joined")
        fields = (*read_only_fields, "first_name", "last_name")
