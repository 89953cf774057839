from django.contrib import admin
from django.http import HttpRequest

from api.models import Token


@admin.register(Token)
class TokenAdmin(admin.ModelAdmin):
    """Shows tokens and deletes them; `manage.py create_token` makes them."""

    list_display = ("__str__", "user", "created", "expires")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
