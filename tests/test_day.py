"""A working day in development: an app, its tests, a dependency, e-mail, and two ways to debug."""

import json
import os
import pty
import re
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.rendering import render, replace
from tests.stack import (
    Stack,
    development,
    get,
    given,
    needed,
    removed,
    started,
    unused_port,
    wait_for,
)

pytestmark = [pytest.mark.container, pytest.mark.xdist_group("day")]

BEGINNER = {
    "models.py": """
from django.db import models


class Tea(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self):
        return self.name
""",
    "admin.py": """
from django.contrib import admin

from tea.models import Tea


@admin.register(Tea)
class TeaAdmin(admin.ModelAdmin):
    list_display = ["name"]
""",
    "views.py": """
from django.http import HttpResponse

from tea.models import Tea


def teas(request):
    return HttpResponse(", ".join(tea.name for tea in Tea.objects.all()))
""",
    "tests.py": """
from django.test import TestCase

from tea.models import Tea


class TeaTest(TestCase):
    def test_tea_is_listed(self):
        Tea.objects.create(name="Assam")

        response = self.client.get("/tea/")

        self.assertContains(response, "Assam")
""",
}


@pytest.fixture(scope="module")
def day(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The default project with an API, where each test adds what it needs."""
    project = render(tmp_path_factory.mktemp("working day"), project_slug="day", rest_api="drf")
    ports = {"WEB_PORT": str(unused_port()), "MAIL_PORT": str(unused_port())}
    stack = development(given(project, 1000) if os.getuid() == 0 else project)
    stack.environment.update(ports)
    with started(stack):
        yield stack


def manage(stack: Stack, *arguments: str) -> str:
    """Run a command of Django in the running container."""
    return stack.execute("python", "manage.py", *arguments)


def write_pages(stack: Stack, path: str, source: str) -> None:
    """Add a page: an address, and the source of its view."""
    replace(
        stack.folder / "pages/urls.py",
        "urlpatterns = [",
        f'urlpatterns = [\n    path("{path}", views.{path.strip("/")}),',
    )
    with (stack.folder / "pages/views.py").open("a") as views:
        views.write(source)


def test_log_shows_an_address_that_opens(day: Stack) -> None:
    log = day.compose("logs", "web")

    shown = re.findall(r"http://[\w.:]+/", log)
    assert shown
    assert {httpx.get(address).status_code for address in shown} == {200}
    assert "WARNING" not in log


def test_commands_for_newcomers_and_assistants_work(day: Stack) -> None:
    page = (day.folder / "AGENTS.md").read_text()
    commands = dict.fromkeys(re.findall(r"`((?:docker compose|make) [^`]+)`", page))

    for command in commands:
        day.run(*command.replace("NAME", "iso8601").split())

    assert len(commands) >= 10
    assert (day.folder / "shop/models.py").exists()


@pytest.fixture(scope="module")
def tea(day: Stack) -> Path:
    """The app of a beginner, in the running stack."""
    manage(day, "startapp", "tea")
    app = day.folder / "tea"
    for name, source in BEGINNER.items():
        (app / name).write_text(source.lstrip())
    replace(day.folder / "config/settings.py", '    "users",', '    "tea",\n    "users",')
    replace(
        day.folder / "config/urls.py",
        "urlpatterns = [",
        'urlpatterns = [\n    path("tea/", teas),',
    )
    replace(
        day.folder / "config/urls.py",
        "\nurlpatterns",
        "\nfrom tea.views import teas\n\nurlpatterns",
    )
    manage(day, "makemigrations", "tea")
    manage(day, "migrate")
    return app


def test_new_app_works_and_passes_tests_and_checks(day: Stack, tea: Path) -> None:
    assert wait_for(day.port(), "/tea/").text == ""

    assert "tea/tests.py" in day.run("make", "test").stdout
    day.run("make", "format")
    day.run("make", "check")


def test_check_names_what_is_wrong_in_all_tools(day: Stack, tea: Path) -> None:
    (tea / "wrong.py").write_text("import os\nname: str = 1\nlist = [ ]\n")
    replace(tea / "models.py", "max_length=50", "max_length=51")
    try:
        done = day.run("make", "check", check=False)
    finally:
        replace(tea / "models.py", "max_length=51", "max_length=50")
        (tea / "wrong.py").unlink()

    assert done.returncode != 0
    for complaint in (
        "F401",
        "would be reformatted",
        "Incompatible types",
        "Alter field name on tea",
    ):
        assert complaint in done.stdout


def test_dependency_is_added_in_the_running_container(day: Stack) -> None:
    day.execute("uv", "add", "--no-sync", "tinycss2")
    day.compose("up", "--build", "--wait")

    assert day.execute("python", "-c", "import tinycss2; print('here')") == "here\n"
    assert 'name = "tinycss2"' in (day.folder / "uv.lock").read_text()


def test_reset_link_in_the_mail_leads_to_a_form(day: Stack) -> None:
    manage(
        day, "shell", "--command", "User.objects.create_user('ada', 'ada@example.com', 'a secret')"
    )
    base = f"http://127.0.0.1:{day.port()}"
    with httpx.Client(base_url=base, follow_redirects=True) as browser:
        page = browser.get("/accounts/password_reset/").text
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page)
        assert token
        browser.post(
            "/accounts/password_reset/",
            data={"email": "ada@example.com", "csrfmiddlewaretoken": token[1]},
        )
        mail = f"http://127.0.0.1:{day.environment['MAIL_PORT']}/api/v1/message/latest"
        link = None
        for _ in range(50):
            answer = httpx.get(mail)
            if answer.status_code == 200:
                link = re.search(r"http://\S+/reset/\S+", answer.json()["Text"])
                break
            time.sleep(0.2)
        assert link

        assert link[0].startswith(base)
        assert "new_password1" in browser.get(link[0]).text


def test_home_page_leads_to_what_a_developer_needs(day: Stack) -> None:
    page = day.get("/").text

    addresses = re.findall(r'class="button" href="([^"]+)"', page)
    assert [address.rstrip("/") for address in addresses] == [
        "/admin",
        "/api/docs",
        f"http://localhost:{day.environment['MAIL_PORT']}",
    ]
    for address in addresses:
        url = httpx.URL(f"http://127.0.0.1:{day.port()}/").join(address)
        assert httpx.get(url, follow_redirects=True).status_code == 200


def test_pages_have_the_toolbar_and_reload(day: Stack) -> None:
    page = day.get("/").text

    assert 'id="djDebug"' in page
    scripts = re.findall(r'<script[^>]* src="([^"]+)"', page)
    assert any("browser-reload" in script for script in scripts)
    assert {day.get(script).status for script in scripts} == {200}


def test_cookies_carry_the_name_of_the_project(day: Stack) -> None:
    answer = day.get("/accounts/login/")

    assert list(SimpleCookie(answer.headers["Set-Cookie"])) == ["day_csrftoken"]


def test_breakpoint_gives_a_prompt(day: Stack) -> None:
    write_pages(
        day,
        "stop/",
        "\n\ndef stop(request):\n    answer = 6 * 7\n    breakpoint()\n"
        "    return HttpResponse(f'went on with {answer}')\n",
    )
    manage(day, "check")
    ours, theirs = pty.openpty()
    command = ["docker", "compose", "attach", "web"]
    with subprocess.Popen(
        command,
        cwd=day.folder,
        env=os.environ | day.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as attached:
        os.close(theirs)
        answers: list[str] = []
        asking = threading.Thread(
            target=lambda: answers.append(wait_for(day.port(), "/stop/").text)
        )
        asking.start()
        try:
            read_until(ours, "(Pdb)")
            os.write(ours, b"p answer\n")
            assert "42" in read_until(ours, "(Pdb)")
            os.write(ours, b"answer = 43\ncontinue\n")
            asking.join(30)
            assert answers == ["went on with 43"]

            # Ctrl-P Ctrl-Q
            os.write(ours, b"\x10\x11")
            attached.wait(30)
        finally:
            attached.kill()
            os.close(ours)
    assert day.get("/").status == 200


def read_until(terminal: int, text: str) -> str:
    """What a terminal shows until a text appears."""
    shown = ""
    while text not in shown:
        assert select.select([terminal], [], [], 60)[0], shown
        shown += os.read(terminal, 4096).decode(errors="replace")
    return shown


class Debugger:
    """An editor, as the Debug Adapter Protocol sees it: https://microsoft.github.io/debug-adapter-protocol/"""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.stream = self.socket.makefile("rb")
        self.sent = 0

    def send(self, command: str, **arguments: Any) -> int:
        """Send a request; return its number."""
        self.sent += 1
        request = {"seq": self.sent, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(request).encode()
        self.socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return self.sent

    def wait(self, **wanted: Any) -> dict[str, Any]:
        """The next message that has these values."""
        while True:
            length = 0
            while (line := self.stream.readline().strip()) or not length:
                assert line, "the debugger has gone"
                length = int(line.rpartition(b":")[2])
            message: dict[str, Any] = json.loads(self.stream.read(length))
            if wanted.items() <= message.items():
                return message

    def ask(self, command: str, **arguments: Any) -> Any:
        """Send a request and return the body of its answer."""
        number = self.send(command, **arguments)
        answer = self.wait(type="response", request_seq=number)
        assert answer["success"], answer
        return answer.get("body")


def test_editor_attaches_and_stops_at_a_line(day: Stack) -> None:
    # Breakpoints then wait for the editor
    day.environment["DEBUGPY_PORT"] = str(unused_port())
    day.compose("up", "--wait")
    launch = json.loads((day.folder / ".vscode/launch.json").read_text())["configurations"][0]
    write_pages(
        day,
        "line/",
        "\n\ndef line(request):\n    answer = 6 * 7\n    return HttpResponse(f'line {answer}')\n",
    )
    wait_for(day.port(), "/line/")
    views = (day.folder / "pages/views.py").read_text().splitlines()
    number = 1 + next(i for i, text in enumerate(views) if "f'line" in text)
    editor = Debugger(int(day.environment["DEBUGPY_PORT"]))
    editor.ask("initialize", adapterID=launch["type"], pathFormat="path")
    mappings = [launch["pathMappings"][0] | {"localRoot": str(day.folder)}]
    attach = editor.send("attach", pathMappings=mappings)
    editor.wait(type="event", event="initialized")
    source = {"path": str(day.folder / "pages/views.py")}
    editor.ask("setBreakpoints", source=source, breakpoints=[{"line": number}])
    editor.ask("configurationDone")
    editor.wait(type="response", request_seq=attach)
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(get(day.port(), "/line/").text))
    asking.start()

    stopped = editor.wait(type="event", event="stopped")["body"]
    frame = editor.ask("stackTrace", threadId=stopped["threadId"])["stackFrames"][0]
    value = editor.ask("evaluate", expression="answer", frameId=frame["id"])
    editor.ask("continue", threadId=stopped["threadId"])
    editor.ask("disconnect")
    asking.join(30)

    assert (frame["source"]["path"], frame["line"]) == (source["path"], number)
    assert value["result"] == "42"
    assert answers == ["line 42"]


def test_editor_opens_the_project_in_its_container(tmp_path: Path, engine: None) -> None:
    npx = needed("npx")
    stack = development(render(tmp_path, project_slug="day-editor", database="sqlite"))
    cli = (npx, "--yes", "@devcontainers/cli@0.89.0")
    with removed(stack):
        opened = stack.run(*cli, "up", "--workspace-folder", ".").stdout
        tested = stack.run(*cli, "exec", "--workspace-folder", ".", "pytest", "-q").stdout

        assert '"remoteWorkspaceFolder":"/app"' in opened
        assert re.search(r"^\d+ passed", tested, re.MULTILINE)
