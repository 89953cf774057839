from datetime import timedelta

from django.db import models
from django.utils import timezone

# Longer than any task stays in the queue
MAX_AGE = timedelta(days=14)


class IdempotencyKey(models.Model):
    """
    The key of something that must not happen twice, such as an e-mail. A task may run twice,
    because its worker can be killed just before the queue learns that the task is done.
    """

    key = models.CharField(max_length=64, primary_key=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return self.key

    @classmethod
    def remember(cls, key: str) -> None:
        """Store the key of what has just happened, and delete keys that are no longer needed."""
        cls.objects.filter(created_at__lt=timezone.now() - MAX_AGE).delete()
        cls.objects.get_or_create(key=key)
