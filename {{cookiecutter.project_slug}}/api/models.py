import hashlib
import secrets
from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from users.models import User


class TokenManager(models.Manager["Token"]):
    def issue(self, user: User, name: str = "", days: int = 365) -> str:
        """Make a token for a user, and return its key: no one can show it again."""
        key = secrets.token_urlsafe(32)
        expires = timezone.now() + timedelta(days=days)
        self.create(user=user, name=name, digest=digest(key), expires=expires)
        return key

    def user_of(self, key: str) -> User | None:
        """The active user to whom a key belongs, while its token has not expired."""
        token = (
            self.select_related("user")
            .filter(digest=digest(key), expires__gt=timezone.now())
            .first()
        )
        return token.user if token and token.user.is_active else None


class Token(models.Model):
    """Lets a program act for a user. Deleting it, which the admin can do, shuts the program out."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=100, blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField()

    objects: ClassVar[TokenManager] = TokenManager()

    def __str__(self) -> str:
        return self.name or f"Token {self.pk}"


def digest(key: str) -> str:
    """What is stored of a key. It is random and long, so no slow hash has to protect it."""
    return hashlib.sha256(key.encode()).hexdigest()
