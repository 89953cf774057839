from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A person who can log in. A class of its own from the first migration, so that fields can be added."""
