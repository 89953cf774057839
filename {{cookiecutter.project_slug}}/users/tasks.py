"""What the worker does for this app."""

from urllib.parse import urlsplit

# {% if cookiecutter.background_tasks == "celery" %}
from celery import shared_task
from celery.contrib.django.task import DjangoTask
# {% endif %}
from django.conf import settings
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import send_mail
# {% if cookiecutter.background_tasks == "database" %}
from django.tasks import task
# {% endif %}
from django.template.loader import render_to_string
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from background.models import IdempotencyKey
# {% if cookiecutter.background_tasks == "database" %}
from background.retry import retry
# {% endif %}


# OSError: the mail server is unavailable, or refuses for now
# {% if cookiecutter.background_tasks == "database" %}
@task
@retry(OSError, backoff=10, max_retries=5)
# {% endif %}
# {% if cookiecutter.background_tasks == "celery" %}
@shared_task(
    base=DjangoTask,
    autoretry_for=(OSError,),
    retry_backoff=10,
    retry_jitter=True,
    max_retries=5,
)
# {% endif %}
def send_password_reset(key: str, address: str) -> None:
    """Send the link that sets a new password, once for each key and account with the address."""
    site = urlsplit(settings.SITE_URL)
    for user in PasswordResetForm().get_users(address):
        sent = f"{key}-{user.pk}"
        if IdempotencyKey.objects.filter(key=sent).exists():
            continue
        context = {
            "user": user,
            "uid": urlsafe_base64_encode(force_bytes(user.pk)),
            "token": default_token_generator.make_token(user),
            "protocol": site.scheme,
            "domain": site.netloc,
            "site_name": site.netloc,
        }
        subject = render_to_string("registration/password_reset_subject.txt", context)
        body = render_to_string("registration/password_reset_email.html", context)
        send_mail(subject.strip(), body, None, [user.email])
        IdempotencyKey.remember(sent)
