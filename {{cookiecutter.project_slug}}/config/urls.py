"""
URL configuration.

https://docs.djangoproject.com/en/6.1/topics/http/urls/
"""

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.urls import include, path, re_path

from pages.views import too_large

handler400 = "pages.views.bad_request"

handler500 = "pages.errors.server_error"

admin.site.site_header = admin.site.site_title = settings.PROJECT_NAME

urlpatterns = [
    # What the proxy appends to the address of a request that was too large
    re_path(".*body-too-large$", too_large),
    path("", include("pages.urls")),
    path("accounts/", include("users.urls")),
    path("admin/", admin.site.urls),
    # {% if cookiecutter.rest_api != "none" %}
    path("api/", include("api.urls")),
    # {% endif %}
    # While DEBUG is on; in production the proxy serves uploaded files
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
]

if settings.DEVELOPMENT_APPS:
    urlpatterns += [
        path("__debug__/", include("debug_toolbar.urls")),
        path("__reload__/", include("django_browser_reload.urls")),
    ]
