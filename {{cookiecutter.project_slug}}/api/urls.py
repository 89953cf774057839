from django.urls import path
# {% if cookiecutter.rest_api == "drf" %}
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

from api.views import MeView, UserListView

urlpatterns = [
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="openapi")),
    path("v1/openapi.json", SpectacularJSONAPIView.as_view(), name="openapi"),
    path("v1/users/", UserListView.as_view()),
    path("v1/users/me/", MeView.as_view()),
]
# {% endif %}
# {% if cookiecutter.rest_api == "ninja" %}

from api.endpoints import api

urlpatterns = [path("", api.urls)]
# {% endif %}
