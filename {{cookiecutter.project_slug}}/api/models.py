import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone

from users.models import User


class Token(models.Model):
    """Lets a program act for a user, until it expires or is deleted in the admin."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=100, blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField()

    def __str__(self) -> str:
        return self.name or f"Token {self.pk}"

    @classmethod
    def issue(cls, user: User, lifetime: timedelta) -> str:
        """Make a token for a user, and return its key: no one can show it again."""
        key = secrets.token_urlsafe(32)
        expires = timezone.now() + lifetime
        cls.objects.create(user=user, digest=digest(key), expires=expires)
        return key

    @classmethod
    def user_of(cls, key: str) -> User | None:
        """Return the active user to whom a key belongs, if its token has not expired."""
        return User.objects.filter(
            is_active=True,
            token__digest=digest(key),
            token__expires__gt=timezone.now(),
        ).first()


def digest(key: str) -> str:
    """Return what is stored of a key. It is random and long, so no slow hash has to protect it."""
    return hashlib.sha256(key.encode()).hexdigest()
