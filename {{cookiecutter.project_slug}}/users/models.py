# {% if cookiecutter.rest_api != "none" %}
from typing import Any

# {% endif %}
from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person who can log in. A class of its own from the first migration, so that fields can be added."""

    # {% if cookiecutter.rest_api == "drf" %}
    def end_tokens(self) -> None:
        """Delete the keys of all programs that act for the user."""
        self.auth_token_set.all().delete()  # type: ignore[attr-defined]

    # {% endif %}
    # {% if cookiecutter.rest_api == "ninja" %}
    def end_tokens(self) -> None:
        """Delete the keys of all programs that act for the user."""
        self.token_set.all().delete()

    # {% endif %}
    # {% if cookiecutter.rest_api != "none" %}
    def save(self, *args: Any, **options: Any) -> None:
        """Store the account; a change of its password ends its tokens, as Django ends its sessions."""
        changed = self.pk and self._password is not None
        super().save(*args, **options)
        if changed:
            self.end_tokens()

    def set_unusable_password(self) -> None:
        """Take the password away, which is a change for save() too."""
        super().set_unusable_password()
        self._password = ""

    # {% endif %}

class Counter(models.Model):
    """How often something has been tried in a window of time; users/throttling.py counts."""

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField(default=0)
    expires = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key
