from typing import Any

from django.contrib.auth import forms
from django.utils.crypto import get_random_string

from users.tasks import send_password_reset


class PasswordResetForm(forms.PasswordResetForm):
    """Django's own, but the page does not wait for the mail server: a worker sends the e-mail."""

    def send_mail(
        self,
        subject_template_name: str,
        email_template_name: str,
        context: dict[str, Any],
        from_email: str | None,
        to_email: str,
        html_email_template_name: str | None = None,
    ) -> None:
        """Called once for each account with the address; the task makes the token, so that the queue holds none."""
        arguments = {
            "key": get_random_string(32),
            "user_id": context["user"].pk,
            "protocol": context["protocol"],
            "domain": context["domain"],
            "site_name": context["site_name"],
        }
        # {% if cookiecutter.background_tasks == "database" %}
        # The queue is in the database, so a transaction that is rolled back enqueues nothing
        send_password_reset.enqueue(**arguments)
        # {% endif %}
        # {% if cookiecutter.background_tasks == "celery" %}
        send_password_reset.delay_on_commit(**arguments)
        # {% endif %}
