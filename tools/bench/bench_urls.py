"""What the measured project gets: a page that asks the database once and ends with a word that can be edited."""

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path

WORD = "unedited"


def query(request: HttpRequest) -> HttpResponse:
    """Look for a user by primary key, and show the home page."""
    user = get_user_model().objects.filter(pk=1).first()
    response = render(request, "pages/home.html", {"running": {"user": user}})
    response.write(WORD)
    return response


urlpatterns = [path("query", query), path("", include("config.urls"))]
