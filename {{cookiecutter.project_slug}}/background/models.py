from datetime import timedelta

from django.db import models
from django.utils import timezone

# Longer than any queue holds a task
MEMORY = timedelta(days=14)


class Done(models.Model):
    """
    What must not happen twice, and has happened. A queue may hand out a task again, if the worker
    died before it could say that it was done; the task then finds its key here.
    """

    key = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return self.key

    @classmethod
    def remember(cls, key: str) -> None:
        """Note what has just happened, and forget what is long ago."""
        cls.objects.filter(at__lt=timezone.now() - MEMORY).delete()
        cls.objects.get_or_create(key=key)
