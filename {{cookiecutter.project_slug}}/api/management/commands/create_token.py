from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
# {% if cookiecutter.rest_api == "drf" %}
from knox.models import AuthToken

# {% endif %}
# {% if cookiecutter.rest_api == "ninja" %}

from api.models import Token
# {% endif %}
from users.models import User


class Command(BaseCommand):
    help = "Make a token with which a program uses the API as a user, and print its key, this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--days", type=int, default=365, help="until it expires")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = User.objects.get_by_natural_key(options["username"])
        except User.DoesNotExist as error:
            raise CommandError(f"no user {options['username']}") from error
        lifetime = timedelta(days=options["days"])
        # {% if cookiecutter.rest_api == "drf" %}
        self.stdout.write(AuthToken.objects.create(user, lifetime)[1])
        # {% endif %}
        # {% if cookiecutter.rest_api == "ninja" %}
        self.stdout.write(Token.issue(user, lifetime))
        # {% endif %}
