from django.urls import path

from api.openapi import openapi
from api.views import MeView, UserListView

urlpatterns = [
    path("openapi.json", openapi),
    path("users/", UserListView.as_view()),
    path("users/me/", MeView.as_view()),
]
