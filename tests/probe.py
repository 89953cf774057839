"""What the tests add to a rendered project, as its user would: tasks that count, pages that enqueue them."""

import textwrap
from pathlib import Path

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
        import time

        from django.tasks import task

        from probe.models import Run


        @task
        def mark(name, seconds=0):
            if seconds:
                Run.objects.create(name=f"{name} begins")
                time.sleep(seconds)
            Run.objects.create(name=name)
        """,
    "probe/urls.py": """
        from collections import Counter

        from django.db import transaction
        from django.http import JsonResponse
        from django.urls import path

        from background.queue import enqueue_after_commit
        from probe.models import Run
        from probe.tasks import mark


        def many(request, count):
            with transaction.atomic():
                for number in range(count):
                    enqueue_after_commit(mark, name=str(number))
            return JsonResponse({})


        def one(request, name, seconds):
            enqueue_after_commit(mark, name=name, seconds=seconds)
            return JsonResponse({})


        def runs(request):
            return JsonResponse(Counter(Run.objects.values_list("name", flat=True)))


        urlpatterns = [
            path("many/<int:count>", many),
            path("one/<str:name>/<int:seconds>", one),
            path("runs", runs),
        ]
        """,
}

# What would make a test wait for minutes
SHORTER = {
    "GRACE = 25": "GRACE = 3",
    "\nTIME_LIMIT = 240": "\nTIME_LIMIT = 10",
    "seconds=TIME_LIMIT + 60": "seconds=TIME_LIMIT + 5",
    '"visibility_timeout": 600': '"visibility_timeout": 10',
    '"schedule": 3600': '"schedule": 5',
}


def add_probe(project: Path) -> None:
    """Add the probe to a project, and shorten its times."""
    for name, text in FILES.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(textwrap.dedent(text).lstrip())
    replace(project / "config/settings.py", '    "pages",\n', '    "pages",\n    "probe",\n')
    home = '    path("", include("pages.urls")),\n'
    replace(project / "config/urls.py", home, home + '    path("probe/", include("probe.urls")),\n')
    sources = [*project.glob("config/*.py"), *project.glob("*/management/commands/*.py")]
    for source in sources:
        text = source.read_text()
        for old, new in SHORTER.items():
            text = text.replace(old, new)
        source.write_text(text)


def replace(file: Path, old: str, new: str) -> None:
    """Replace a text that must be there."""
    source = file.read_text()
    assert old in source
    file.write_text(source.replace(old, new))
