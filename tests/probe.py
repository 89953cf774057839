"""What the tests add to a rendered project, as its user would: tasks that count, pages that enqueue them."""

import textwrap
from pathlib import Path

from tests.rendering import replace

FILES = {
    "probe/__init__.py": "",
    "probe/migrations/__init__.py": "",
    "probe/migrations/0001_initial.py": """
        from django.db import migrations, models


        class Migration(migrations.Migration):
            operations = [
                migrations.CreateModel(
                    "Run",
                    [
                        ("id", models.BigAutoField(primary_key=True)),
                        ("name", models.CharField(max_length=20)),
                    ],
                )
            ]
        """,
    "probe/models.py": """
        from django.db import models


        class Run(models.Model):
            name = models.CharField(max_length=20)
        """,
    "probe/tasks.py": """
        import os
        import signal
        import time

        {import_task}

        from probe.models import Run


        @task
        def mark(name, seconds=0):
            if seconds:
                Run.objects.create(name=f"{name} begins")
                time.sleep(seconds)
            Run.objects.create(name=name)


        @task
        def kill(name, whole):
            Run.objects.create(name=name)
            # Celery's worker runs a task in a child of its own
            os.kill(os.getppid() if whole else os.getpid(), signal.SIGKILL)
            time.sleep(60)


        enqueue = mark.{enqueue}
        """,
    "probe/urls.py": """
        from collections import Counter

        from django.db import connection, transaction
        from django.http import JsonResponse
        from django.urls import path

        from probe.models import Run
        from probe.tasks import enqueue


        def many(request, count):
            with transaction.atomic():
                for number in range(count):
                    enqueue(name=str(number))
            return JsonResponse({})


        def one(request, name, seconds):
            enqueue(name=name, seconds=seconds)
            return JsonResponse({})


        def runs(request):
            return JsonResponse(Counter(Run.objects.values_list("name", flat=True)))


        def execute(request):
            with connection.cursor() as cursor:
                cursor.execute(request.GET["statement"])
            return JsonResponse({})


        urlpatterns = [
            path("many/<int:count>", many),
            path("one/<str:name>/<int:seconds>", one),
            path("runs", runs),
            path("execute", execute),
        ]
        """,
}

# How each answer marks a task, and how it enqueues one
TASKS = {
    "database": {"import_task": "from django.tasks import task", "enqueue": "enqueue"},
    "celery": {
        "import_task": "from celery import shared_task as task",
        "enqueue": "delay_on_commit",
    },
}

# What would make a test wait for minutes
SHORTER = {
    "SHUTDOWN_TIMEOUT = 25": "SHUTDOWN_TIMEOUT = 3",
    "\nTIME_LIMIT = 240": "\nTIME_LIMIT = 10",
    "seconds=TIME_LIMIT + 60": "seconds=TIME_LIMIT + 5",
    "time.sleep(60)": "time.sleep(5)",
    '"visibility_timeout": 600': '"visibility_timeout": 10, "unacked_restore_throttle": 1, "unacked_mutex_expire": 10',
    '"schedule": 3600': '"schedule": 5',
}


def add_probe(project: Path, tasks: str) -> None:
    """Add the probe to a project with this answer to background_tasks, and shorten its times."""
    for name, text in FILES.items():
        for placeholder, value in TASKS[tasks].items():
            text = text.replace(f"{{{placeholder}}}", value)
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(textwrap.dedent(text).lstrip())
    replace(project / "config/settings.py", '    "pages",\n', '    "pages",\n    "probe",\n')
    home = '    path("", include("pages.urls")),\n'
    replace(project / "config/urls.py", home, home + '    path("probe/", include("probe.urls")),\n')
    for source in [*project.glob("config/*.py"), *project.glob("background/**/*.py")]:
        text = source.read_text()
        for old, new in SHORTER.items():
            text = text.replace(old, new)
        source.write_text(text)
