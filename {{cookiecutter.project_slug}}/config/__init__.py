# {% if cookiecutter.background_tasks == "celery" %}
"""Makes Celery known to every process, so that `@shared_task` finds it."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
# {% endif %}
