"""Every page in a real browser, wide and narrow, light and dark: complete, quiet and usable by everyone."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    sync_playwright,
)

from tests.production import serving_project
from tests.rendering import render
from tests.stack import Stack, development, needed, started

pytestmark = pytest.mark.container

PASSWORD = "a long enough passphrase"

PAGES = [
    "/",
    "/accounts/login/",
    "/accounts/password_reset/",
    "/accounts/password_reset/done/",
    "/accounts/reset/MQ/wrong-token/",
    "/no-such-page",
    "/admin/login/",
    "/api/docs/",
]
AFTER_LOGIN = [
    "/",
    "/accounts/password_change/",
    "/admin/",
    "/admin/users/user/",
    "/admin/users/user/add/",
]
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")

# What is not the project's own: the toolbar, Swagger, and a button of Django's admin
AXE = {"exclude": [["#djDebugRoot"], ["#swagger-ui"], [".theme-toggle"]]}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a screen."""
    chromium = needed("chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((start, api), id=f"{start}-{api}", marks=pytest.mark.xdist_group(start))
        for start in ("development", "production")
        for api in ("drf", "ninja")
    ],
)
def address(
    request: pytest.FixtureRequest, engine: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a site with an administrator, in development and in production."""
    start, api = request.param
    project = render(
        tmp_path_factory.mktemp("browser"),
        project_slug=f"browser-{start[:3]}-{api}",
        database="sqlite",
        rest_api=api,
    )
    create = f"User.objects.create_superuser('ada', 'ada@example.com', '{PASSWORD}')"
    running = started(development(project)) if start == "development" else serving_project(project)
    with running as stack:
        stack.execute("python", "manage.py", "shell", "--command", create)
        yield base(stack)


def base(stack: Stack) -> str:
    """Where a browser finds the site."""
    port = stack.environment.get("HTTPS_PORT")
    return f"https://localhost:{port}" if port else f"http://127.0.0.1:{stack.port()}"


def problems(context: BrowserContext, address: str, path: str) -> list[str]:
    """What is wrong with a page: errors and warnings of its console, a scroll to the side, what axe finds serious."""
    for _ in range(5):
        page = context.new_page()
        try:
            found = problems_of(page, address, path)
        except Error as error:
            found = [str(error)]
        page.close()
        # The network of another test, which comes or goes, interrupts Chromium
        if not any("NETWORK_CHANGED" in text or "destroyed" in text for text in found):
            return found
    return found


def problems_of(page: Page, address: str, path: str) -> list[str]:
    """What is wrong with a page that is opened once; raises Error if that fails."""
    console: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            console.append(f"{message.type}: {message.text}")

    page.on("console", listen)
    page.on("pageerror", lambda error: console.append(str(error)))
    page.goto(address + path)
    page.wait_for_timeout(300)
    # Chromium itself reports this status. Later axe adds a style, which the Content-Security-Policy forbids
    found = [text for text in console if path != "/no-such-page" or "404" not in text]
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append("scrolls to the side")
    for violation in Axe().run(page, context=AXE).response["violations"]:
        if violation["impact"] in ("serious", "critical"):
            nodes = [node["target"][0] for node in violation["nodes"][:3]]
            found.append(f"axe: {violation['id']}: {nodes}")
    if shots := os.environ.get("SCREENSHOTS"):
        width = page.viewport_size["width"] if page.viewport_size else 0
        name = f"{width}{path}".replace("/", "_")
        page.screenshot(path=Path(shots) / f"{name}.png", full_page=True)
    return found


def log_in(context: BrowserContext, address: str) -> None:
    """Log in by the form, again if the network of another test interrupts Chromium."""
    page = context.new_page()
    for attempts_left in reversed(range(5)):
        try:
            page.goto(f"{address}/accounts/login/")
            page.fill("input[name=username]", "ada")
            page.fill("input[name=password]", PASSWORD)
            page.press("input[name=password]", "Enter")
            page.wait_for_url(f"{address}/", timeout=10_000)
            return
        except Error:
            if not attempts_left:
                raise


@pytest.mark.parametrize(("width", "scheme"), list(itertools.product(WIDTHS, SCHEMES)), ids=str)
def test_pages_are_quiet_and_usable(
    address: str, browser: Browser, width: int, scheme: str
) -> None:
    context = browser.new_context(
        ignore_https_errors=True,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    found = {}
    for path in PAGES:
        found[path] = problems(context, address, path)
    log_in(context, address)
    for path in AFTER_LOGIN:
        found[f"{path} after login"] = problems(context, address, path)
    context.close()

    assert {path: texts for path, texts in found.items() if texts} == {}
