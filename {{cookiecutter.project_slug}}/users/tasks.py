"""What the worker does for this app."""

from django.contrib.auth.tokens import default_token_generator
from django.core.mail import send_mail
from django.tasks import task
from django.template.loader import render_to_string
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from background.models import Done
from background.queue import try_again
from users.models import User


@task
def send_password_reset(
    key: str,
    user_id: int,
    protocol: str,
    domain: str,
    site_name: str,
    attempt: int = 1,
) -> None:
    """Send the link that sets a new password: once, and again until the mail server takes it."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or Done.objects.filter(key=key).exists():
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
    try:
        send_mail(subject.strip(), body, None, [user.email])
    # The mail server is away, or refuses for now
    except OSError as error:
        try_again(
            send_password_reset,
            error,
            attempt,
            key=key,
            user_id=user_id,
            protocol=protocol,
            domain=domain,
            site_name=site_name,
        )
    else:
        Done.remember(key)
