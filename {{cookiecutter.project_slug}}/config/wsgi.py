"""
WSGI entry point: the module-level variable ``application``.

https://docs.djangoproject.com/en/6.1/howto/deployment/wsgi/
"""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from config.bodies import WholeBodies
from config.proxies import TrustedProxies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = TrustedProxies(
    WholeBodies(get_wsgi_application(), settings.MAX_BODY_SIZE),
    settings.TRUSTED_PROXIES,
)
