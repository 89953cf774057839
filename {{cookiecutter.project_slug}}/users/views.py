from typing import Any

from django.contrib.auth import forms, views
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from users.forms import PasswordResetForm
from users.throttling import (
    RESET_BY_ACCOUNT,
    RESET_BY_ADDRESS,
    RESET_LINK,
    address_of,
    plain,
    remember,
    take,
)


class PasswordResetView(views.PasswordResetView):
    """Django's own, with limits, whether there is an account or not."""

    form_class = PasswordResetForm

    def form_valid(self, form: forms.PasswordResetForm) -> HttpResponse:
        take(
            {
                ("reset address", address_of(self.request)): RESET_BY_ADDRESS,
                ("reset", plain(form.cleaned_data["email"])): RESET_BY_ACCOUNT,
            }
        )
        return super().form_valid(form)


class PasswordResetConfirmView(views.PasswordResetConfirmView):
    """Django's own, with a limit on guessing links."""

    def dispatch(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        take({("reset link", address_of(request)): RESET_LINK})
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: forms.SetPasswordForm[Any]) -> HttpResponse:
        # Whoever reads the account's e-mail gets in, also while others guess its password
        remember(self.request, self.user)
        return super().form_valid(form)
