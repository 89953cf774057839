from django.urls import include, path
from django.views.generic import TemplateView

urlpatterns = [
    path("docs/", TemplateView.as_view(template_name="api/docs.html")),
    # {% if cookiecutter.rest_api == "drf" %}
    path("v1/", include("api.routes")),
    # {% endif %}
    # {% if cookiecutter.rest_api == "ninja" %}
    path("v1/", include("api.endpoints")),
    # {% endif %}
]
