from django.contrib.auth.views import PasswordResetView
from django.urls import path

from users.forms import PasswordResetForm

urlpatterns = [
    path(
        "password_reset/",
        PasswordResetView.as_view(form_class=PasswordResetForm),
        name="password_reset",
    ),
]
