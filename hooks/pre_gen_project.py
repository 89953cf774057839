"""Judge the answers before anything is rendered."""

import json
import re
import sys
from typing import Any

# Accounts of Debian's base system, which useradd would refuse to make again
SYSTEM_ACCOUNTS = [
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp",
    "proxy", "www-data", "backup", "list", "irc", "_apt", "nobody", "adm", "tty", "disk",
    "kmem", "dialout", "fax", "voice", "cdrom", "floppy", "tape", "sudo", "audio", "dip",
    "operator", "src", "shadow", "utmp", "video", "sasl", "plugdev", "staff", "users",
    "nogroup",
]  # fmt: skip


def problems(answers: dict[str, Any]) -> list[str]:
    """Return everything that is wrong with the answers, a plain sentence each; nothing when all is well."""
    found = []
    name, slug, user = (answers[key] for key in ("project_name", "project_slug", "nonroot_user"))
    if not name.strip() or not name.isprintable():
        found.append(
            f"project_name is {name!r}: give it at least one letter, and no control characters."
        )
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,49}", slug):
        found.append(
            f"project_slug is {slug!r}: it takes a small letter, then up to 49 of a-z, 0-9 and '-', like my-site."
        )
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", user):
        found.append(
            f"nonroot_user is {user!r}: it takes a small letter, then up to 31 of a-z, 0-9, '_' and '-', like app."
        )
    elif user in SYSTEM_ACCOUNTS:
        found.append(
            f"nonroot_user is {user!r}, which Debian already has: choose another name, like app."
        )
    return found


def main(answers: dict[str, Any]) -> None:
    """Print every problem and exit 1 if there is one."""
    found = problems(answers)
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    if found:
        sys.exit(1)


if __name__ == "__main__":
    main(json.loads(r"""{{ cookiecutter | tojson }}"""))
