"""The data of production is safe: what a backup holds comes back, row by row and file by file, or nothing changes."""

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.matrix import name_of
from tests.production import BY_DATABASE, each, fetch, prepared, serving
from tests.stack import Stack

pytestmark = pytest.mark.container

each_database = each(BY_DATABASE)
# What no tool of a database does: one with a server, and one without
with_and_without_server = each(("postgresql", "sqlite"))

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

# Pairs of users in one transaction, each row after the file that it names
WRITE = r"""
import hashlib, os
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
    """Run code in the application and return the last line it prints."""
    printed = stack.execute("python", "manage.py", "shell", "--no-imports", "--command", code)
    return printed.strip().rpartition("\n")[2]


def contents(stack: Stack) -> dict[str, list[Any]]:
    """What the stack holds: table → number of rows and their checksum; and the same of the files."""
    found: dict[str, list[Any]] = json.loads(python(stack, COLLECT))
    return found


def backup(stack: Stack) -> Path:
    """Make a backup and return its path."""
    start = time.monotonic()
    name = stack.run("make", "--silent", "backup").stdout.strip()
    seconds = time.monotonic() - start
    path = stack.folder / name
    print(f"measured: {name}: {path.stat().st_size} bytes in {seconds:.1f} s")
    return path


def restore(
    stack: Stack, file: Path | str, answer: str = "yes", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Restore a backup, with an answer to the question."""
    start = time.monotonic()
    command = f"echo {answer} | make --silent restore FILE={shlex.quote(str(file))}"
    done = stack.run("sh", "-c", command, check=check)
    print(f"{done.stdout}\nmeasured: restore: {time.monotonic() - start:.1f} s")
    return done


def backups(stack: Stack) -> set[Path]:
    """Whatever lies in the folder of the backups, hidden or not."""
    return set((stack.folder / "backups").iterdir())


def running(stack: Stack) -> str:
    """The containers and when they started, which tells whether any was touched."""
    started_at = "{" + "{.Name}} {" + "{.State.StartedAt}" + "}"
    containers = stack.compose("ps", "--all", "--quiet").split()
    return stack.run("docker", "inspect", "--format", started_at, *containers).stdout


@contextmanager
def up(
    rendered: Path, folder: Path, variant: dict[str, str], name: str, edit: str = ""
) -> Iterator[Stack]:
    """A filled production stack; nothing of it is left afterwards."""
    stack = prepared(rendered, folder, variant, name)
    if edit:
        stack.run("sed", "-i", edit, "docker-compose.prod.yml")
    with serving(stack):
        python(stack, FILL)
        yield stack


@pytest.fixture(scope="module")
def stack(
    engine: None,
    request: pytest.FixtureRequest,
    rendered: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """The production stack of a database, with data."""
    variant: dict[str, str] = request.param
    folder = tmp_path_factory.mktemp("backup")
    with up(rendered, folder, variant, f"backup-{variant['database']}") as running_stack:
        yield running_stack


@each_database
def test_backup_is_one_file_for_its_owner_with_a_list_of_what_is_in_it(stack: Stack) -> None:
    kind = BY_DATABASE.keys() & set(stack.name.split("-"))

    path = backup(stack)

    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(rf"{stack.name}-\d{{8}}T\d{{6}}Z\.tar\.gz", path.name)
    with tarfile.open(path) as archive:
        parts = {name: archive.extractfile(name) for name in archive.getnames()}
        read = {name: part.read() for name, part in parts.items() if part}
    listed = dict(line.split()[::-1] for line in read.pop("SHA256SUMS").decode().splitlines())
    assert listed == {name: hashlib.sha256(part).hexdigest() for name, part in read.items()}
    assert set(listed) == {f"{kind.pop()}.dump", "media.tar"}


@each_database
def test_everything_comes_back_after_the_volumes_are_lost(stack: Stack) -> None:
    before = contents(stack)
    path = backup(stack)
    made = backups(stack)

    stack.compose("down", "--volumes")
    restore(stack, path)

    print("measured:", stack.name, {name: count for name, (count, _) in before.items()})
    assert contents(stack) == before
    assert backups(stack) == made
    assert fetch(stack, "/accounts/login/").status == 200


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

    told = restore(stack, path).stdout
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
    command = ["docker", "compose", "exec", "-T", "web", "python", "manage.py", "shell", "-c"]
    with subprocess.Popen(
        [*command, WRITE],
        cwd=stack.folder,
        env=os.environ | stack.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        try:
            time.sleep(3)
            path = backup(stack)
            time.sleep(1)
        finally:
            stack.execute("rm", "-f", "/tmp/writing")
            written = int(writer.communicate(timeout=60)[0].split()[-1])

    restore(stack, path)

    found = json.loads(python(stack, CHECK))
    print("measured:", stack.name, "written:", written, "found:", found)
    assert 0 < found["pairs"] < written
    assert found["halves"] == 0
    assert found["broken"] == 0


@with_and_without_server
def test_older_backup_is_migrated(stack: Stack) -> None:
    stack.execute("python", "manage.py", "migrate", "sessions", "zero")
    path = backup(stack)

    restore(stack, path)

    assert "[ ]" not in stack.execute("python", "manage.py", "showmigrations")


@with_and_without_server
def test_nothing_changes_without_a_whole_backup_and_a_yes(stack: Stack, tmp_path: Path) -> None:
    path = backup(stack)
    whole = path.read_bytes()
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "truncated.tar.gz").write_bytes(whole[: len(whole) // 2])
    (bad / "almost.tar.gz").write_bytes(whole[:-4])
    for part in range(1, 6):
        flipped = bytearray(whole)
        flipped[len(whole) * part // 6] ^= 1
        (bad / f"flipped-{part}.tar.gz").write_bytes(flipped)
    (bad / "text.tar.gz").write_text("no archive")
    (bad / "empty.tar.gz").touch()
    repacked = tmp_path / "repacked"
    repacked.mkdir()
    with tarfile.open(path) as archive:
        archive.extractall(repacked, filter="data")
    dump = next(repacked.glob("*.dump")).name
    pack(bad / "foreign.tar.gz", repacked, {"SHA256SUMS": "SHA256SUMS", "README.md": dump})
    pack(
        bad / "other-kind.tar.gz",
        repacked,
        {"SHA256SUMS": "SHA256SUMS", "oracle.dump": dump, "media.tar": "media.tar"},
    )
    pack(
        bad / "swapped.tar.gz",
        repacked,
        {"SHA256SUMS": "SHA256SUMS", dump: "media.tar", "media.tar": dump},
    )
    before, made, containers = contents(stack), backups(stack), running(stack)

    for file in [*sorted(bad.iterdir()), tmp_path / "missing.tar.gz"]:
        refused = restore(stack, file, check=False)
        sentence = refused.stdout.strip().splitlines()
        assert refused.returncode != 0, file
        assert sentence[0].endswith("nothing was changed."), file
        assert len(sentence) == 2, "the second is the one of make"
    for answer in ("no", "y", "''"):
        assert "Nothing was changed." in restore(stack, path, answer, check=False).stdout

    assert backups(stack) == made
    assert running(stack) == containers
    assert contents(stack) == before


def pack(file: Path, folder: Path, members: dict[str, str]) -> None:
    """Write an archive of files from a folder (name in the archive → file)."""
    with tarfile.open(file, "w:gz") as archive:
        for name, source in members.items():
            archive.add(folder / source, name)


@with_and_without_server
def test_backup_that_fails_or_is_interrupted_leaves_nothing(stack: Stack) -> None:
    made = backups(stack)

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
        while not [*stack.folder.glob("backups/.*/*.dump")] and interrupted.poll() is None:
            time.sleep(0.01)
        os.killpg(interrupted.pid, signal.SIGINT)

    assert unreadable.returncode != 0
    assert "No backup: the media could not be read." in unreadable.stdout
    assert interrupted.returncode != 0
    assert backups(stack) == made
    left = stack.run("docker", "ps", "--all", "--quiet", "--filter", f"name={stack.name}-files")
    assert left.stdout == ""


@pytest.mark.xdist_group("production-postgresql")
def test_postgresql_goes_from_one_major_version_to_the_next(
    engine: None, rendered: Path, tmp_path: Path
) -> None:
    name = "backup-upgrade"
    kept = f"{name}_db_17"
    database = name_of(BY_DATABASE["postgresql"]).replace("-", "_")
    old, new = (
        '17|; s|"db:.*"|"db:/var/lib/postgresql/data"|',
        '18|; s|"db:.*"|"db:/var/lib/postgresql"|',
    )

    def ask(*queries: str) -> str:
        commands = [f"--command={query}" for query in queries]
        psql = ("psql", "--username=postgres", "--no-align", "--tuples-only", *commands)
        return site.execute(*psql, database, service="db").strip()

    def use(version: str) -> None:
        site.run("sed", "-i", f"s|postgres:1[78]|postgres:{version}", "docker-compose.prod.yml")

    def volumes() -> list[str]:
        return site.run(
            "docker", "volume", "ls", "--quiet", "--filter", f"name={name}"
        ).stdout.split()

    role = "SELECT rolpassword, has_table_privilege(rolname, 'users_user', 'SELECT') FROM pg_authid WHERE rolname = 'it''s'"
    password = "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'"
    try:
        with up(
            rendered, tmp_path, BY_DATABASE["postgresql"], name, f"s|postgres:18|postgres:{old}"
        ) as site:
            ask(
                "CREATE ROLE \"it's\" LOGIN PASSWORD 'secret'",
                'GRANT SELECT ON users_user TO "it\'s"',
                "CREATE FUNCTION fine(int) RETURNS bool LANGUAGE sql"
                " AS 'SELECT count(*) >= 0 FROM users_user'",
                "CREATE TABLE unloadable (id int CHECK (fine(id)))",
                "INSERT INTO unloadable VALUES (1)",
            )
            before, there, roles = contents(site), volumes(), (ask(role), ask(password))

            use(new)
            failed = site.run("make", "upgrade-db", check=False)
            assert failed.returncode != 0
            assert "The data was not changed, and is of PostgreSQL 17" in failed.stdout
            assert volumes() == there
            use(old)
            site.compose("up", "--wait")
            assert contents(site) == before

            ask("DROP TABLE unloadable")
            before = contents(site)
            use(new)
            start = time.monotonic()
            upgraded = site.run("make", "upgrade-db").stdout
            print("measured:", upgraded, f"{time.monotonic() - start:.1f} s", before)
            assert contents(site) == before
            assert ask("SHOW server_version").startswith("18")
            assert (ask(role), ask(password)) == roles
            assert fetch(site, "/accounts/login/").status == 200
            assert f"docker volume rm {kept}" in upgraded
            assert volumes() == sorted([*there, kept])

            assert "nothing to do" in site.run("make", "upgrade-db").stdout
            # The old server still reads what is kept
            single = (
                f'echo "SELECT count(*) FROM users_user" | postgres --single -D /old {database}'
            )
            asked = (
                "docker",
                "run",
                "--rm",
                "--network=none",
                "--user=postgres",
                f"--volume={kept}:/old",
            )
            told = site.run(*asked, "--entrypoint=sh", "postgres:17", "-c", single).stdout
            assert 'count = "3000"' in told
    finally:
        subprocess.run(["docker", "volume", "rm", "--force", kept], check=True, capture_output=True)
