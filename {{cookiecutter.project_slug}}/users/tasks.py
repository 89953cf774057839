"""What the worker does for this app."""

# {% if cookiecutter.background_tasks == "celery" %}
from celery import shared_task
from celery.contrib.django.task import DjangoTask
# {% endif %}
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
from users.models import User


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
def send_password_reset(
    key: str, user_id: int, protocol: str, domain: str, site_name: str
) -> None:
    """Send the link that sets a new password, once for each key."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or IdempotencyKey.objects.filter(key=key).exists():
        return
    context = {
        "user": user,
        "uid": urlsafe_base64_encode(force_bytes(user.pk)),
        "token": default_token_generator.make_token(user),
        "protocol": protocol,
        "domain": domain,
        "site_name": site_name,
    }
    subject = render_to_string("registration/password_reset_subject.txt", context)
    body = render_to_string("registration/password_reset_email.html", context)
    send_mail(subject.strip(), body, None, [user.email])
    IdempotencyKey.remember(key)
