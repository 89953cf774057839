from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.commands import runserver


class Command(runserver.Command):
    """Django's own, which in a container shows the address that opens on this machine."""

    # Static files come from WhiteNoise, as in production: this is not the command of staticfiles

    addr: str

    def on_bind(self, server_port: int) -> None:
        shown = urlsplit(settings.SITE_URL)
        if self.addr == "0.0.0.0" and shown.hostname and shown.port:
            self.addr, server_port = shown.hostname, shown.port
        super().on_bind(server_port)
