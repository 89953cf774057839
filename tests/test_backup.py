"""The data of production is safe: what a backup holds comes back, row by row and file by file, or nothing changes."""

import hashlib
import json
import os
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.matrix import BY_DATABASE
from tests.production import fetch, serving, site, until
from tests.rendering import render
from tests.roles import AS_APP, AS_OWNER, CHANGES, not_denied
from tests.stack import Stack, on

pytestmark = pytest.mark.container

# What a careless dump loses; twelve megabytes are more than one packet of a server when written as hex
FILL = r"""
import os
from django.contrib.auth.models import Group
from django.db import connection
from users.models import User
texts = ["", "it's \"quoted\" \\ `x` $HOME {{ }} %s", "Zoë 🐍 \u202e", "a\tb\r\nc\n\\.\n-- d;\n",
         "CREATE ROLE postgres;", "NULL", r"\N", "x" * 2_000_000, None]
binaries = [b"", bytes(range(256)) * 3, os.urandom(12_000_000), None]
kind = {"postgresql": "bytea", "mysql": "longblob", "sqlite": "blob"}[connection.vendor]
text = {"postgresql": "text", "mysql": "longtext", "sqlite": "text"}[connection.vendor]
with connection.cursor() as cursor:
    cursor.execute(f"CREATE TABLE awkward (id int PRIMARY KEY, words {text}, bytes {kind})")
    cursor.execute("CREATE VIEW names AS SELECT username FROM users_user")
    for number in range(max(len(texts), len(binaries))):
        words, binary = texts[number % len(texts)], binaries[number % len(binaries)]
        cursor.execute("INSERT INTO awkward VALUES (%s, %s, %s)", [number, words, binary])
    if connection.vendor == "mysql":
        cursor.execute("CREATE TRIGGER t BEFORE INSERT ON awkward FOR EACH ROW SET NEW.id = NEW.id + 1")
        cursor.execute("CREATE PROCEDURE p() SELECT 'é'")
        cursor.execute("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1")
User.objects.bulk_create(User(username=f"user-{n}", first_name="Zoë 🐍") for n in range(3000))
group = Group.objects.create(name="it's")
group.user_set.set(User.objects.all()[:500])
os.makedirs("/data/media/deep/er", exist_ok=True)
os.makedirs("/data/media/empty", mode=0o700, exist_ok=True)
for number in range(300):
    with open(f"/data/media/deep/er/{number} 🐍's\n.bin", "wb") as file:
        file.write(os.urandom(number * 20))
with open("/data/media/.hidden", "w") as file:
    file.write("hidden")
os.chmod("/data/media/.hidden", 0o600)
"""

# Every row of every table and view, every file with its mode and time
COLLECT = r"""
import hashlib, json, os
from django.db import connection
def digest(entries):
    entries = sorted(hashlib.sha256(repr(entry).encode()).hexdigest() for entry in entries)
    return [len(entries), hashlib.sha256("".join(entries).encode()).hexdigest()]
def rows(cursor, query):
    cursor.execute(query)
    for row in cursor:
        yield [bytes(value) if isinstance(value, memoryview) else value for value in row]
found = {}
with connection.cursor() as cursor:
    for table in connection.introspection.table_names(cursor, include_views=True):
        found[table] = digest(rows(cursor, f"SELECT * FROM {connection.ops.quote_name(table)}"))
    if connection.vendor == "mysql":
        for kind, code in {"event": "event_definition", "routine": "routine_definition",
                           "trigger": "action_statement"}.items():
            found[kind] = digest(rows(cursor, f"SELECT {kind}_name, {code} FROM "
                                 f"information_schema.{kind}s WHERE {kind}_schema = DATABASE()"))
files = []
for folder, names, file_names in os.walk("/data/media"):
    for name in names + file_names:
        path = os.path.join(folder, name)
        status = os.stat(path)
        content = open(path, "rb").read() if name in file_names else b""
        files.append([path, status.st_mode, int(status.st_mtime) if content else 0, content])
found["files"] = digest(files)
print(json.dumps(found))
"""

ROOM = "services: {migrate: {deploy: {resources: {limits: {memory: 512M}}}}}"

# Pairs of users in one transaction, each row after the file that it names
WRITE = r"""
import hashlib, os, time
from django.db import transaction
from users.models import User
os.makedirs("/data/media/written", exist_ok=True)
open("/tmp/writing", "w").close()
number = 0
while os.path.exists("/tmp/writing"):
    number += 1
    content = os.urandom(20_000)
    name = hashlib.sha256(content).hexdigest()
    with open(f"/data/media/written/{name}", "wb") as file:
        file.write(content)
    with transaction.atomic():
        User.objects.create(username=f"left-{number}", last_name=name)
        User.objects.create(username=f"right-{number}", last_name=name)
    time.sleep(0.02)
print(number)
"""

# What the writer has left: half pairs, and rows whose file is missing or another
CHECK = r"""
import hashlib, json
from users.models import User
left = dict(User.objects.filter(username__startswith="left-").values_list("username", "last_name"))
right = dict(User.objects.filter(username__startswith="right-").values_list("username", "last_name"))
broken = []
for name in left.values():
    try:
        content = open(f"/data/media/written/{name}", "rb").read()
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != name:
        broken.append(name)
halves = {n.partition("-")[2] for n in left} ^ {n.partition("-")[2] for n in right}
print(json.dumps({"pairs": len(left), "halves": len(halves), "broken": len(broken)}))
"""


def python(stack: Stack, code: str) -> str:
    """Run code beside the application, as the owner of its tables; return the last line it prints."""
    shell = ("python", "manage.py", "shell", "--no-imports", "--command", code)
    return stack.run(*AS_OWNER, *shell).stdout.strip().rpartition("\n")[2]


def contents(stack: Stack) -> dict[str, list[Any]]:
    """What the stack holds: table → number of rows and their checksum; and the same of the files."""
    found: dict[str, list[Any]] = json.loads(python(stack, COLLECT))
    return found


def backup(stack: Stack) -> Path:
    """Make a backup and return its path."""
    begun = time.monotonic()
    path = stack.folder / stack.run("make", "--silent", "backup").stdout.strip()
    print(f"measured: backup of {path.stat().st_size} bytes in {time.monotonic() - begun:.1f} s")
    return path


def restore(stack: Stack, file: Path, answer: str = "yes") -> tuple[int, str]:
    """Restore a backup, with an answer to the question: exit code and output."""
    begun = time.monotonic()
    command = f"echo {answer} | make --silent restore FILE='{file}'"
    done = stack.run("sh", "-c", command, check=False)
    print(f"{done.stdout}\nmeasured: restore in {time.monotonic() - begun:.1f} s")
    return done.returncode, done.stdout


def backups(stack: Stack) -> set[Path]:
    """Whatever lies in the folder of the backups, hidden or not."""
    return set((stack.folder / "backups").glob("*"))


def running(stack: Stack) -> str:
    """The containers and when they started, which tells whether any was touched."""
    started_at = "{" + "{.Name}} {" + "{.State.StartedAt}" + "}"
    project = f"label=com.docker.compose.project={stack.name}"
    containers = stack.run("docker", "ps", "--all", "--quiet", "--filter", project).stdout.split()
    return stack.run("docker", "inspect", "--format", started_at, *containers).stdout


@contextmanager
def filled(project: Path) -> Iterator[Stack]:
    """A production stack with data, whose owner has room to read all of it at once."""
    stack = site(project)
    (project / "room.yml").write_text(ROOM)
    stack.environment["COMPOSE_FILE"] += ":room.yml"
    with serving(stack):
        python(stack, FILL)
        yield stack


STACKS = {f"backup-{database}": answers for database, answers in BY_DATABASE.items()}

each_database = on(filled, STACKS)
# What no tool of a database does: one with a server, and one without
with_and_without_server = on(
    filled, {name: STACKS[name] for name in ("backup-postgresql", "backup-sqlite")}
)


@each_database
def test_backup_is_one_file_for_its_owner_with_a_list_of_what_is_in_it(stack: Stack) -> None:
    path = backup(stack)

    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(rf"{stack.name}-\d{{8}}T\d{{6}}Z\.tar\.gz", path.name)
    with tarfile.open(path) as archive:
        parts = {name: archive.extractfile(name) for name in archive.getnames()}
        read = {name: part.read() for name, part in parts.items() if part}
    listed = dict(line.split()[::-1] for line in read.pop("SHA256SUMS").decode().splitlines())
    assert listed == {name: hashlib.sha256(part).hexdigest() for name, part in read.items()}
    assert set(listed) == {f"{STACKS[stack.name]['database']}.dump", "media.tar"}


@each_database
def test_everything_comes_back_after_the_volumes_are_lost(stack: Stack) -> None:
    before = contents(stack)
    path = backup(stack)
    made = backups(stack)

    stack.compose("down", "--volumes")
    # As on another machine
    for secret in (stack.folder / "secrets").iterdir():
        secret.unlink()
    stack.run("make", "secrets")
    code, _ = restore(stack, path)

    print("measured:", {name: count for name, (count, _) in before.items()})
    assert code == 0
    assert contents(stack) == before
    assert backups(stack) == made
    assert fetch(stack, "/accounts/login/").status == 200
    assert not_denied(stack, *AS_APP, statements=CHANGES) == {}


@each_database
def test_restoring_replaces_everything_and_can_be_undone(stack: Stack) -> None:
    before = contents(stack)
    path = backup(stack)
    made = backups(stack)
    python(
        stack,
        "from django.db import connection as c; from users.models import User\n"
        "c.cursor().execute('CREATE TABLE extra (id int)')\n"
        "User.objects.create(username='extra'); User.objects.filter(username='user-1').delete()\n"
        "open('/data/media/deep/extra', 'w').write('x'); open('/data/media/.hidden', 'w').close()",
    )
    changed = contents(stack)

    _, told = restore(stack, path)
    (safety,) = backups(stack) - made
    restored = contents(stack)
    restore(stack, safety)

    assert f"backups/{safety.name}" in told
    assert changed != before
    assert restored == before
    assert contents(stack) == changed
    python(stack, "from django.db import connection as c; c.cursor().execute('DROP TABLE extra')")


@each_database
def test_backup_is_consistent_while_the_site_is_written_to(stack: Stack) -> None:
    shell = ("docker", "compose", "exec", "-T", "web", "python", "manage.py", "shell", "-c")
    environment = os.environ | stack.environment
    with subprocess.Popen(
        [*shell, WRITE], cwd=stack.folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as writer:
        try:
            until(lambda: json.loads(python(stack, CHECK))["pairs"] > 10)
            path = backup(stack)
        finally:
            stack.execute("rm", "-f", "/tmp/writing")
            written = int(writer.communicate(timeout=60)[0].split()[-1])

    restore(stack, path)

    found = json.loads(python(stack, CHECK))
    print("measured: written:", written, "found:", found)
    assert 0 < found["pairs"] < written
    assert found["halves"] == 0
    assert found["broken"] == 0


@with_and_without_server
def test_older_backup_is_migrated(stack: Stack) -> None:
    stack.run(*AS_OWNER, "python", "manage.py", "migrate", "sessions", "zero")
    path = backup(stack)

    restore(stack, path)

    assert "[ ]" not in stack.execute("python", "manage.py", "showmigrations")


def bad_backups(whole: Path, folder: Path) -> Iterator[Path]:
    """Files that are no backup, or no longer the one that they were."""
    content, parts = whole.read_bytes(), folder / "parts"
    with tarfile.open(whole) as archive:
        archive.extractall(parts, filter="data")
    dump = next(parts.glob("*.dump")).name
    written = {"half": content[: len(content) // 2], "almost": content[:-4]}
    written |= {"text": b"no archive", "empty": b""}
    for part in (1, 3, 5):
        flipped = bytearray(content)
        flipped[len(content) * part // 6] ^= 1
        written[f"flipped-{part}"] = bytes(flipped)
    for name, text in written.items():
        (folder / f"{name}.tar.gz").write_bytes(text)
        yield folder / f"{name}.tar.gz"
    # Name in the archive → part of the whole one
    packed = {
        "foreign": {"SHA256SUMS": "SHA256SUMS", "README.md": dump},
        "other-kind": {"SHA256SUMS": "SHA256SUMS", "oracle.dump": dump, "media.tar": "media.tar"},
        "swapped": {"SHA256SUMS": "SHA256SUMS", dump: "media.tar", "media.tar": dump},
    }
    for name, members in packed.items():
        with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
            for member, source in members.items():
                archive.add(parts / source, member)
        yield folder / f"{name}.tar.gz"
    yield folder / "missing.tar.gz"


@with_and_without_server
def test_nothing_changes_without_a_whole_backup_and_a_yes(stack: Stack, tmp_path: Path) -> None:
    path = backup(stack)
    before, made, containers = contents(stack), backups(stack), running(stack)

    for file in bad_backups(path, tmp_path):
        code, told = restore(stack, file)
        sentence, *of_make = told.strip().splitlines()
        assert code != 0, file
        assert sentence.endswith("nothing was changed."), file
        assert len(of_make) == 1
    for answer in ("no", "y", "''"):
        assert "Nothing was changed." in restore(stack, path, answer)[1]

    assert backups(stack) == made
    assert running(stack) == containers
    assert contents(stack) == before


@with_and_without_server
def test_backup_that_fails_or_is_interrupted_leaves_nothing(stack: Stack) -> None:
    made, containers = backups(stack), running(stack)

    stack.execute("sh", "-c", "echo > /data/media/closed; chmod 0 /data/media/closed")
    unreadable = stack.run("make", "backup", check=False)
    stack.execute("rm", "-f", "/data/media/closed")
    with subprocess.Popen(
        ["make", "backup"],
        cwd=stack.folder,
        env=os.environ | stack.environment,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as interrupted:
        until(lambda: [*stack.folder.glob("backups/.*/*.dump")])
        os.killpg(interrupted.pid, signal.SIGINT)

    assert unreadable.returncode != 0
    assert "No backup: the media could not be read." in unreadable.stdout
    assert interrupted.returncode != 0
    assert backups(stack) == made
    until(lambda: running(stack) == containers)


def commands_of(page: Path, heading: str) -> list[str]:
    """The commands that a page shows under a heading."""
    section = page.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall("^    (.+)$", section, re.MULTILINE)


@pytest.mark.xdist_group("backup-upgrade")
def test_postgresql_goes_from_one_major_version_to_the_next_as_documented(
    engine: None, tmp_path: Path
) -> None:
    project = render(tmp_path, project_slug="backup-upgrade")
    file = project / "docker-compose.prod.yml"
    commands = commands_of(project / "deploy" / "backups.md", "A newer PostgreSQL")

    def replace(*pairs: tuple[str, str]) -> None:
        text = file.read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        file.write_text(text)

    def run(command: str) -> str:
        return stack.run("sh", "-c", f"echo yes | {command}").stdout

    replace(
        ("postgres:18", "postgres:17"), ("db:/var/lib/postgresql", "db:/var/lib/postgresql/data")
    )
    with filled(project) as stack:
        before = contents(stack)
        *prepare, bring_back, clean_up = commands

        archive = [run(command) for command in prepare][-1].split()[-1]
        replace(
            ("postgres:17", "postgres:18"),
            ("db:/var/lib/postgresql/data", "db-18:/var/lib/postgresql"),
            ("\n  db:\n  uploads:", "\n  db-18:\n  uploads:"),
        )
        run(bring_back.replace("backups/NAME.tar.gz", archive))

        version = stack.execute(
            "psql", "--username=postgres", "-c", "SHOW server_version", service="db"
        )
        assert re.search(r"^ 18", version, re.MULTILINE)
        assert contents(stack) == before
        assert fetch(stack, "/accounts/login/").status == 200
        assert not_denied(stack, *AS_APP, statements=CHANGES) == {}
        # The server of before still reads what is kept
        single = 'echo "SELECT count(*) FROM users_user" | postgres --single -D /old backup_upgrade'
        old_server = ("docker", "run", "--rm", "--network=none", "--user=postgres")
        kept = "--volume=backup-upgrade_db:/old"
        told = stack.run(*old_server, kept, "--entrypoint=sh", "postgres:17", "-c", single)
        assert 'count = "3000"' in told.stdout
        run(clean_up)
