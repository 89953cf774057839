from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from api.models import Token
from users.models import User


class Command(BaseCommand):
    help = "Make a token with which a program uses the API as a user, and print its key, this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="", help="what the token is for")
        parser.add_argument("--days", type=int, default=365, help="until it expires")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = User.objects.get_by_natural_key(options["username"])
        except User.DoesNotExist as error:
            raise CommandError(f"no user {options['username']}") from error
        self.stdout.write(Token.objects.issue(user, options["name"], options["days"]))
