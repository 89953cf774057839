"""Whatever is answered, the project is rendered with it unchanged, or refused with nothing left behind."""

import ast
import os
import pty
import shlex
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest
from cookiecutter.exceptions import CookiecutterException
from cookiecutter.generate import generate_context
from cookiecutter.main import cookiecutter
from cookiecutter.prompt import prompt_for_config
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.cli import COOKIECUTTER, generate
from tests.hooks import GOOD, pre_gen
from tests.matrix import ANSWERS, NAME, QUESTIONS, TEMPLATE, wrapped

# Each broke something once, here or in another template
AWKWARD = [
    NAME,
    "Jane O'Hara's Shop",
    'The "Best" Shop',
    "back\\slash",
    "trailing backslash \\",
    "{{ 7*7 }}",
    "{{ cookiecutter }}",
    "{% raw %}",
    "# {% if x %}",
    "# {# comment #}",
    "#}",
    "}}",
    '"""',
    "'''",
    "$HOME `id` $(id)",
    "</script><script>alert(1)</script>",
    "%s %(name)s %d",
    "{0} {name} {",
    "-rf --help",
    "../../etc/passwd",
    "/absolute",
    "CON",
    "Django",
    "3.14",
    "name: [yaml, *list, &anchor]",
    "#hash",
    "Zoë Müller's Café",
    "مرحبا بالعالم",
    "שלום",
    "李 雷",
    "👩‍👩‍👧 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🐍",
    "a" * 100,
    "\u00a0non\u00a0breaking\u00a0",
]
REFUSED = [
    "",
    " ",
    "two\nlines",
    "carriage\rreturn",
    "tab\there",
    "nul\0byte",
    "escape\x1b[31m",
    "bell\a",
    "delete\x7f",
    "right\u202eto left",
    "zero\u200bwidth",
    "\ufeffmark",
    "line\u2028separator",
    "lone \ud800 surrogate",
    "a" * 10_000,
]

awkward_text = st.one_of(
    st.text(max_size=120),
    st.lists(st.sampled_from([*AWKWARD, *REFUSED, " ", "a", "Z", "\\", '"', "'"]), max_size=4).map(
        "".join
    ),
)


def outcome(folder: Path, **answers: str) -> Path | None:
    """Render answers into an empty folder; gives the project, or nothing if they are refused."""
    context = {name: wrapped(value) for name, value in answers.items()}
    try:
        made = cookiecutter(
            str(TEMPLATE), no_input=True, extra_context=context, output_dir=str(folder)
        )
    except (CookiecutterException, OSError):
        # OSError: the file system refuses a name before any hook runs
        return None
    return Path(made)


def name_in(project: Path) -> set[str]:
    """The names that a project shows: on its pages, in its README and in its metadata."""
    settings_module = ast.parse((project / "config/settings.py").read_text(encoding="utf-8"))
    (page,) = [
        ast.literal_eval(node.value)
        for node in settings_module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PROJECT_NAME"
    ]
    readme = (project / "README.md").read_text(encoding="utf-8").split("\n")[0]
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {page, readme.removeprefix("# "), metadata["description"]}


@pytest.mark.parametrize("name", AWKWARD, ids=ascii)
def test_awkward_name_arrives_unchanged(name: str, tmp_path: Path) -> None:
    # These two are refused for their ends alone
    name = name.strip()

    project = outcome(tmp_path, project_name=name)

    assert project
    assert name_in(project) == {name}
    assert [path.name for path in tmp_path.iterdir()] == [project.name]


@pytest.mark.parametrize("name", REFUSED, ids=lambda name: ascii(name)[:20])
def test_impossible_name_is_refused(name: str, tmp_path: Path) -> None:
    assert outcome(tmp_path, project_name=name) is None
    assert list(tmp_path.iterdir()) == []


@given(name=awkward_text)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_name_is_rendered_or_refused(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = outcome(Path(folder), project_name=name)

        assert project or list(Path(folder).iterdir()) == []
        if project:
            assert name_in(project) == {name}
            assert list(Path(folder).iterdir()) == [project]


@given(slug=awkward_text, user=awkward_text)
@example(slug="../../outside", user="app")
@example(slug="/tmp/absolute/outside", user="app")
@example(slug="a/b/c", user="app")
@example(slug="a/../b", user="app")
@example(slug="a/..", user="app")
@example(slug="a/b/../../..", user="app")
@example(slug="./a", user="app")
@example(slug="-rf", user="app")
@example(slug=".", user="app")
@example(slug="nul\0byte", user="app")
@example(slug="a" * 300, user="app")
@example(slug="my--site", user="app")
@example(slug="site-", user="app")
@example(slug="my-site", user="root")
@example(slug="con", user="app")
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_slug_and_account_are_rendered_or_refused(slug: str, user: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder) / "one" / "two"
        inside.mkdir(parents=True)
        (inside / "mine.txt").write_text("mine")

        project = outcome(inside, project_slug=slug, nonroot_user=user)

        mine = {inside, inside.parent, inside / "mine.txt"}
        made = [path for path in Path(folder).rglob("*") if path not in mine]
        assert (inside / "mine.txt").read_text() == "mine"
        if project:
            assert project.parent == inside
            assert all(path.is_relative_to(project) for path in made)
        else:
            assert made == []
            assert not Path("/tmp/absolute").exists()


@given(name=awkward_text, slug=awkward_text, user=awkward_text)
@settings(max_examples=500, deadline=None)
def test_suggested_answers_are_accepted(name: str, slug: str, user: str) -> None:
    answers = GOOD | {"project_name": name, "__project_slug": slug, "nonroot_user": user}

    better = {key: value for key, (_, value) in pre_gen.problems(answers).items()}
    better["__project_slug"] = better.get("project_slug", slug)

    assert pre_gen.problems(answers | better) == {}


def default_slug(name: str) -> str:
    """The slug that Cookiecutter offers for a name."""
    context = generate_context(
        TEMPLATE / "cookiecutter.json", extra_context={"project_name": wrapped(name)}
    )
    slug: str = prompt_for_config(context, no_input=True)["project_slug"]
    return slug


@given(name=awkward_text)
@settings(max_examples=100, deadline=None)
def test_default_slug_of_any_name_is_accepted(name: str) -> None:
    assert "project_slug" not in pre_gen.problems(GOOD | {"__project_slug": default_slug(name)})


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Zoë Müller's Café", "zoe-mullers-cafe"),
        ("Jane O’Hara’s Shop", "jane-oharas-shop"),
        ("2nd Site", "site-2nd-site"),
        ("!!!", "my-django-site"),
        ("a" * 80, "a" * 50),
        ("李 雷", "li-lei"),
        ("Postgres", "my-postgres"),
        ("localhost", "my-localhost"),
    ],
)
def test_default_slug_follows_from_the_name(name: str, slug: str) -> None:
    assert default_slug(name) == slug


@pytest.mark.parametrize(
    "name", ["{{ 7*7 }} 'and' \"quotes\" \\ # {% if %}", "Zoë's $HOME `id`", "x\ny"]
)
def test_offered_command_renders_the_project(name: str, tmp_path: Path) -> None:
    answers = [f"project_name={wrapped(name)}", "project_slug=Not Good", "database=mariadb"]
    refused = generate(tmp_path / "a folder", *answers)
    (line,) = [
        line for line in refused.stdout.splitlines() if line.startswith("    cookiecutter /")
    ]

    words = shlex.split(line)
    subprocess.run([COOKIECUTTER, *words[1:]], check=True, capture_output=True)

    project = tmp_path / "a folder" / "not-good"
    assert name_in(project) == {pre_gen.clean_name(name)}
    assert "mariadb" in (project / "docker-compose.yml").read_text()


def test_sentences_come_before_anything_else_and_name_each_answer(tmp_path: Path) -> None:
    done = generate(tmp_path / "out", "project_slug=../x", "nonroot_user=root", "__license=GPL")

    sentences = done.stdout.partition("\n\n")[0].splitlines()
    assert [sentence.split()[1] for sentence in sentences] == [
        "project_slug",
        "nonroot_user",
        "__license",
    ]
    assert all(sentence.startswith("error: ") and ", like '" in sentence for sentence in sentences)
    assert not (tmp_path / "x").exists()


def test_existing_folder_is_not_touched(tmp_path: Path) -> None:
    mine = tmp_path / "my-django-site" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")

    done = generate(tmp_path)

    assert done.returncode != 0
    assert [*tmp_path.rglob("*")] == [mine.parent, mine]


@pytest.mark.parametrize(
    "name", ["{{ 7*7 }}", "{% raw %}", "# {% if x %}", '\\ " \' """', "</script> 🐍 %s", "$(id)"]
)
def test_what_is_typed_is_taken_literally(name: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [COOKIECUTTER, str(TEMPLATE), "--output-dir", str(tmp_path)],
        env=os.environ | {"HOME": str(tmp_path / "home")},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as running:
        typed = [name, "typed-site", *[""] * (len(QUESTIONS) - 2)]
        os.write(ours, "".join(f"{line}\n" for line in typed).encode())
        assert running.wait(60) == 0
    os.close(theirs)
    os.close(ours)

    assert name_in(tmp_path / "typed-site") == {name}


def test_every_choice_of_every_question_is_known_to_the_tests() -> None:
    assert [q for q in QUESTIONS if isinstance(ANSWERS[q], str)] == [
        "project_name",
        "project_slug",
        "nonroot_user",
    ]


def test_unknown_answer_is_refused_with_the_nearest_question(tmp_path: Path) -> None:
    done = generate(tmp_path, "databse=mysql")

    assert done.returncode == 1
    assert "error: 'databse' is no question; the nearest one is database.\n" in done.stdout
    assert " database=mysql " in done.stdout
    assert not list(tmp_path.iterdir())


def test_answer_that_holds_an_equals_sign_is_no_unknown_one(tmp_path: Path) -> None:
    done = generate(tmp_path, "project_name=Tea databse=mysql", TEMPLATE_SKIP="git,uv,docker")

    assert done.returncode == 0, done.stdout


def test_unknown_tool_to_skip_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    done = generate(tmp_path, TEMPLATE_SKIP="gti,uv")

    assert done.returncode == 1
    assert "TEMPLATE_SKIP has 'gti'" in done.stdout
    assert "the nearest one is git.\n" in done.stdout
    assert not list(tmp_path.iterdir())
