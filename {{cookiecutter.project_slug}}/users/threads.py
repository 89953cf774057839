"""What a page does not wait for."""

import logging
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.forms import PasswordResetForm
from django.db import close_old_connections

logger = logging.getLogger(__name__)

# Its thread starts with the first e-mail; a process that ends waits for those that are left
executor = ThreadPoolExecutor(max_workers=1)


def send_password_reset(address: str) -> None:
    """Send the link that sets a new password, for each account with the address; log errors."""
    close_old_connections()
    site = urlsplit(settings.SITE_URL)
    form = PasswordResetForm({"email": address})
    try:
        form.full_clean()
        form.save(domain_override=site.netloc, use_https=site.scheme == "https")
    except Exception:
        logger.exception("Password reset failed")
