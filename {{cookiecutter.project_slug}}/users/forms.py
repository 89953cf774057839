from typing import Any

from django.contrib.auth import forms
# {% if cookiecutter.background_tasks != "none" %}
from django.utils.crypto import get_random_string

from users.tasks import send_password_reset
# {% endif %}
# {% if cookiecutter.background_tasks == "none" %}

from users.threads import executor, send_password_reset
# {% endif %}


class PasswordResetForm(forms.PasswordResetForm):
    """Django's own, which does not look for accounts itself, so that its time does not tell if there is one."""

    def save(self, *args: Any, **options: Any) -> None:
        """Have the e-mail sent, if there are accounts with the address."""
        address = self.cleaned_data["email"]
        # {% if cookiecutter.background_tasks == "none" %}
        executor.submit(send_password_reset, address)
        # {% endif %}
        # {% if cookiecutter.background_tasks == "database" %}
        # The queue is in the database, so a transaction that is rolled back enqueues nothing
        send_password_reset.enqueue(key=get_random_string(32), address=address)
        # {% endif %}
        # {% if cookiecutter.background_tasks == "celery" %}
        send_password_reset.delay_on_commit(key=get_random_string(32), address=address)
        # {% endif %}
