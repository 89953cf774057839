from django.contrib.auth import urls
from django.urls import path

from users.views import PasswordResetConfirmView, PasswordResetView

urlpatterns = [
    path("password_reset/", PasswordResetView.as_view(), name="password_reset"),
    path(
        "reset/<uidb64>/<token>/",
        PasswordResetConfirmView.as_view(),
        name="password_reset_confirm",
    ),
    *urls.urlpatterns,
]
