from django.contrib import admin
from django.http import HttpRequest

from api.models import Token


@admin.register(Token)
class TokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows tokens and deletes them; `manage.py create_token` makes them, and shows the key."""

    list_display = ("__str__", "user", "created", "expires")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Token | None = None
    ) -> bool:
        return False
