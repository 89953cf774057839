"""
Django settings. What differs between machines comes from the environment: see .env.example.

https://docs.djangoproject.com/en/6.1/topics/settings/
https://docs.djangoproject.com/en/6.1/ref/settings/
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import environs
from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP
from pythonjsonlogger.core import RESERVED_ATTRS

BASE_DIR = Path(__file__).resolve().parent.parent

# FileAwareEnv takes SECRET_KEY from the file named by SECRET_KEY_FILE, as container secrets want it.
# A default of ... means that the variable must be set.
env = environs.FileAwareEnv(strip_whitespace=True)
env.read_env(BASE_DIR / ".env", recurse=False)


# https://docs.djangoproject.com/en/6.1/howto/deployment/checklist/

DEBUG = env.bool("DEBUG", False)

# The secret key and the database password of development, which production refuses
DEVELOPMENT_ONLY = "development-only"

SECRET_KEY = env.str("SECRET_KEY", DEVELOPMENT_ONLY)

if SECRET_KEY == DEVELOPMENT_ONLY and not DEBUG:
    raise ImproperlyConfigured("Production needs a SECRET_KEY of its own")

ALLOWED_HOSTS: Any = env.list(
    "ALLOWED_HOSTS", ["localhost", "127.0.0.1"] if DEBUG else ...
)

# Where the links in e-mails lead: never to the Host of a request, which its sender chooses
SITE_URL = env.str(
    "SITE_URL",
    "http://127.0.0.1:8000" if DEBUG else f"https://{ALLOWED_HOSTS[0]}",
)

CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])

# Proxies that may say where a request comes from: host names, or networks, by default every private one. They
# must drop headers with underscores, as Caddy does: X_Forwarded_For would arrive here as X-Forwarded-For
TRUSTED_PROXIES: list[str] = env.list(
    "TRUSTED_PROXIES",
    [
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    ],
)


# Application definition

PROJECT_NAME = "{{ cookiecutter.__project_name_quoted }}"

INSTALLED_APPS = [
    "pages",
    "users",
    # {% if cookiecutter.background_tasks != "none" %}
    "background",
    # {% endif %}
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    # {% if cookiecutter.rest_api != "none" %}
    "api",
    "corsheaders",
    # {% endif %}
]

# The group dev of pyproject.toml is installed, and wanted
DEVELOPMENT_APPS = (
    DEBUG
    and find_spec("debug_toolbar") is not None
    and "PYTEST_VERSION" not in os.environ
)

if DEVELOPMENT_APPS:
    INSTALLED_APPS += [
        "debug_toolbar",
        "django_browser_reload",
        # The system tells of a saved file at once; Django by itself looks once a second
        "django_watchfiles",
    ]

# Metrics for Prometheus take an image built with EXTRAS=metrics
METRICS = env.bool("METRICS", False)

if METRICS and not find_spec("prometheus_client"):
    raise ImproperlyConfigured("METRICS needs an image built with EXTRAS=metrics")

MIDDLEWARE = [
    "config.logging.RequestLogMiddleware",
    # Before what asks for an allowed host, HTTPS or a session
    "pages.health.HealthMiddleware",
    *(["config.metrics.MetricsMiddleware"] if METRICS else []),
    # {% if cookiecutter.rest_api != "none" %}
    "corsheaders.middleware.CorsMiddleware",
    "api.problems.ProblemMiddleware",
    "api.throttling.ThrottlingMiddleware",
    # {% endif %}
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "users.throttling.ThrottlingMiddleware",
]

if DEVELOPMENT_APPS:
    MIDDLEWARE += [
        "debug_toolbar.middleware.DebugToolbarMiddleware",
        "django_browser_reload.middleware.BrowserReloadMiddleware",
    ]

INTERNAL_IPS = ["127.0.0.1"]

DEBUG_TOOLBAR_CONFIG = {
    "SHOW_COLLAPSED": True,
    "SHOW_TOOLBAR_CALLBACK": "debug_toolbar.middleware.show_toolbar_with_docker",
}

ROOT_URLCONF = "config.urls"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.csp",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "pages.context_processors.project_name",
            ],
        },
    },
]

WSGI_APPLICATION = "config.wsgi.application"


# Database
# https://docs.djangoproject.com/en/6.1/ref/databases/

DATABASES = {
    "default": env.dj_db_url(
        "DATABASE_URL",
        f"sqlite:///{BASE_DIR / 'db.sqlite3'}" if DEBUG else ...,
        conn_health_checks=True,
        # Connections outlive requests, except under runserver, which has a new thread for each
        conn_max_age=0 if DEBUG else 60,
    )
}

if DATABASES["default"].get("PASSWORD") == DEVELOPMENT_ONLY and not DEBUG:
    raise ImproperlyConfigured("Production needs a DATABASE_URL with its own password")

DATABASE_OPTIONS: dict[str, dict[str, Any]] = {
    # {% if cookiecutter.__backend == "postgresql" %}
    "django.db.backends.postgresql": {"connect_timeout": 5},
    # {% endif %}
    # {% if cookiecutter.__backend == "mysql" %}
    "django.db.backends.mysql": {
        "charset": "utf8mb4",
        "connect_timeout": 5,
        "sql_mode": "TRADITIONAL",
    },
    # {% endif %}
    "django.db.backends.sqlite3": {
        # Readers do not wait for a writer, and a second writer waits seconds for the first
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
    },
}
DATABASES["default"].setdefault("OPTIONS", {})
DATABASES["default"]["OPTIONS"] |= DATABASE_OPTIONS[DATABASES["default"]["ENGINE"]]


# Authentication
# https://docs.djangoproject.com/en/6.1/topics/auth/

AUTH_USER_MODEL = "users.User"

AUTHENTICATION_BACKENDS = ["users.throttling.Backend"]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LOGIN_REDIRECT_URL = "home"

LOGOUT_REDIRECT_URL = "home"


# Internationalization
# https://docs.djangoproject.com/en/6.1/topics/i18n/

LANGUAGE_CODE = env.str("LANGUAGE_CODE", "en-us")

LOCALE_PATHS = [BASE_DIR / "locale"]

TIME_ZONE = env.str("TIME_ZONE", "UTC")

USE_I18N = True

USE_TZ = True


# Static files (CSS, JavaScript, images) and uploaded files
# https://docs.djangoproject.com/en/6.1/howto/static-files/

STATIC_URL = "static/"

STATIC_ROOT = BASE_DIR / "staticfiles"

STATICFILES_DIRS = [BASE_DIR / "static"]

MEDIA_URL = "media/"

MEDIA_ROOT = env.path("MEDIA_ROOT", BASE_DIR / "media")

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        # Names with a hash need collectstatic, which only the production image has run
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}


# Email
# https://docs.djangoproject.com/en/6.1/topics/email/

EMAIL = env.dj_email_url("EMAIL_URL", "console:" if DEBUG else ...)

MAILERS: dict[str, dict[str, Any]] = {"default": {"BACKEND": EMAIL["EMAIL_BACKEND"]}}

if EMAIL["EMAIL_HOST"]:
    MAILERS["default"]["OPTIONS"] = {
        "host": EMAIL["EMAIL_HOST"],
        "port": EMAIL["EMAIL_PORT"],
        "username": EMAIL["EMAIL_HOST_USER"],
        "password": EMAIL["EMAIL_HOST_PASSWORD"],
        "use_tls": EMAIL["EMAIL_USE_TLS"],
        "use_ssl": EMAIL["EMAIL_USE_SSL"],
        "timeout": EMAIL["EMAIL_TIMEOUT"] or 10,
    }

# Of this machine, where development shows what it sends
MAIL_PORT = env.int("MAIL_PORT", None)

DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("DEFAULT_FROM_EMAIL", "webmaster@localhost")

# Errors are sent to them
ADMINS: list[str] = env.list("ADMINS", [])


# {% if cookiecutter.background_tasks == "database" %}
# Background tasks: rows of the database, which `manage.py worker` runs
# https://docs.djangoproject.com/en/6.1/topics/tasks/

INSTALLED_APPS += ["django_tasks_db"]

TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}


# {% endif %}
# {% if cookiecutter.background_tasks == "celery" %}
# Background tasks and the cache, both in Valkey; while DEBUG is on, tasks run at once without it
# https://docs.celeryq.dev/en/stable/userguide/configuration.html

VALKEY_URL = env.str("VALKEY_URL", "" if DEBUG else "redis://cache:6379")

# Seconds after which a page no longer waits for the server
VALKEY_TIMEOUTS = {"socket_connect_timeout": 1, "socket_timeout": 1}

if VALKEY_URL:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"{VALKEY_URL}/1",
            # A pickle, with which Django would cache any object, runs code if somebody plants it
            "OPTIONS": VALKEY_TIMEOUTS
            | {"serializer": "django.contrib.sessions.serializers.JSONSerializer"},
        }
    }

CELERY_BROKER_URL = f"{VALKEY_URL}/0"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# The task of a killed worker runs again after this time: longer than any task may take
CELERY_BROKER_TRANSPORT_OPTIONS = VALKEY_TIMEOUTS | {"visibility_timeout": 600}
CELERY_TASK_ALWAYS_EAGER = not VALKEY_URL
CELERY_TASK_TIME_LIMIT = 240
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0.2}
CELERY_TIMEZONE = TIME_ZONE
CELERY_WORKER_CONCURRENCY = env.int("WORKER_CONCURRENCY", 2)
CELERY_WORKER_PREFETCH_MULTIPLIER = 1

CELERY_BEAT_SCHEDULER = "config.celery.Scheduler"
# Seconds, or a crontab() of celery.schedules
CELERY_BEAT_SCHEDULE = {
    "clear sessions": {"task": "config.celery.clear_sessions", "schedule": 3600},
}


# {% endif %}
# Security
# https://docs.djangoproject.com/en/6.1/topics/security/

SECURE_CSP = {
    "default-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    "object-src": [CSP.NONE],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
}

# On debug pages
DEFAULT_EXCEPTION_REPORTER_FILTER = "config.masks.ExceptionReporterFilter"

# The largest request, in bytes
MAX_BODY_SIZE = 1_000_000 * int(
    env.str(
        "MAX_BODY_SIZE",
        "10MB",
        validate=environs.validate.Regexp(
            r"[1-9]\d*MB$", error="must be whole megabytes, such as 10MB"
        ),
    ).removesuffix("MB")
)

if DEBUG:
    # Two projects on localhost keep their own sessions: browsers ignore the port
    SESSION_COOKIE_NAME = "{{ cookiecutter.project_slug }}_sessionid"
    CSRF_COOKIE_NAME = "{{ cookiecutter.project_slug }}_csrftoken"

if env.bool("HTTPS", not DEBUG):
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 3600)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True


# {% if cookiecutter.rest_api != "none" %}
# API

# How often one user, or one address without a user, may ask per sec, min, hour or day
API_RATE = env.str(
    "API_RATE",
    "600/min",
    validate=environs.validate.Regexp(
        r"[1-9]\d*/(sec|min|hour|day)$",
        error="takes a number of requests per sec, min, hour or day, like 600/min",
    ),
)

# Pages of these origins may call the API, with a token; their cookies are not accepted
CORS_ALLOWED_ORIGINS: list[str] = env.list("CORS_ALLOWED_ORIGINS", [])

CORS_URLS_REGEX = r"^/api/"


# {% endif %}
# {% if cookiecutter.rest_api == "drf" %}
# Django REST Framework
# https://www.django-rest-framework.org/api-guide/settings/
# https://drf-spectacular.readthedocs.io/en/latest/settings.html
# https://jazzband.github.io/django-rest-knox/settings/

# Without rest_framework, which would only add its pages for browsers
INSTALLED_APPS += ["drf_spectacular", "drf_spectacular_sidecar", "knox"]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "api.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["api.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_FILTER_BACKENDS": ["rest_framework.filters.SearchFilter"],
    "DEFAULT_PAGINATION_CLASS": "api.pagination.Pagination",
    "PAGE_SIZE": 20,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["api.throttling.Throttle"],
    "DEFAULT_METADATA_CLASS": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": PROJECT_NAME,
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": ["api.problems.add_problems"],
}

REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer"}


# {% endif %}
# {% if cookiecutter.rest_api == "ninja" %}
# Django Ninja
# https://django-ninja.dev/reference/settings/

# For the files of its documentation
INSTALLED_APPS += ["ninja"]

NINJA_PAGINATION_PER_PAGE = 20

NINJA_PAGINATION_MAX_LIMIT = 100


# {% endif %}
# Logging: for people in development, one JSON object a line in production
# https://docs.djangoproject.com/en/6.1/topics/logging/

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "config.logging.RequestIdFilter"},
        "no_health_checks": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: " /health/" not in record.getMessage(),
        },
    },
    "formatters": {
        "json": {
            "()": "config.logging.JsonFormatter",
            "fmt": ["levelname", "name", "message", "request_id"],
            "rename_fields": {
                "levelname": "level",
                "name": "logger",
                "exc_info": "exception",
            },
            "timestamp": "time",
            "reserved_attrs": [
                *RESERVED_ATTRS,
                # Django adds it, and its text has the query string
                "request",
                # {% if cookiecutter.background_tasks == "celery" %}
                # Celery adds it, with the arguments of a task
                "data",
                # {% endif %}
            ],
        },
        "plain": {
            "()": "config.logging.PlainFormatter",
            "format": "[%(request_id)s] %(levelname)s %(name)s: %(message)s",
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "filters": ["request_id"],
            "formatter": "plain" if DEBUG else "json",
        },
        "mail": {
            "class": "config.logging.MailHandler",
            "level": "ERROR",
            "filters": ["request_id"],
            "formatter": "plain",
        },
    },
    "root": {
        # Everything goes to the console; errors then go to ADMINS too
        "handlers": ["console", "mail"] if ADMINS and not DEBUG else ["console"],
        "level": env.str("LOG_LEVEL", "INFO"),
    },
    "loggers": {
        # Without the handlers that Django gives it
        "django": {"handlers": []},
        # {% if cookiecutter.background_tasks == "database" %}
        # At DEBUG it logs the id of a task beside that of the request that enqueues it
        "django.tasks": {"level": "DEBUG"},
        # {% endif %}
        # runserver prints a line for each request itself, but nobody reads those for health checks
        "django.server": {"filters": ["no_health_checks"]},
        "config.logging": {"level": "WARNING" if DEBUG else "NOTSET"},
    },
}


# Errors to Sentry, or what speaks its protocol; takes an image built with EXTRAS=sentry
# https://docs.sentry.io/platforms/python/integrations/django/

SENTRY_DSN = env.str("SENTRY_DSN", "")

if SENTRY_DSN:
    if not find_spec("sentry_sdk"):
        raise ImproperlyConfigured("SENTRY_DSN needs an image built with EXTRAS=sentry")

    import sentry_sdk
    from sentry_sdk.integrations.logging import ignore_logger
    from sentry_sdk.scrubber import EventScrubber

    from config.masks import mask_event

    # What any client can cause
    ignore_logger("django.security*")
    sentry_sdk.init(
        SENTRY_DSN,
        before_send=mask_event,
        # Recursive, since a password typed at login lies in a dictionary
        event_scrubber=EventScrubber(recursive=True),
    )
