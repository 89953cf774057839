"""Check the answers before anything is rendered: one sentence for each problem, and a command that works."""

import difflib
import json
import os
import re
import subprocess
import sys
import unicodedata
from typing import Any

Answers = dict[str, Any]

# What TEMPLATE_SKIP may leave out
TOOLS = ["git", "uv", "docker"]

NAME_LENGTH = 100
SLUG_LENGTH = 50
USER_LENGTH = 32

# Emoji and several scripts are written with these two, and with the tags of flags; every other
# invisible character could make a name, or the code that holds it, look like something it is not
JOINERS = "\u200c\u200d"

# Accounts and groups of the base images, which cannot be made again
RESERVED_USERS = [
    "_apt", "_ssh", "adm", "audio", "backup", "bin", "cdrom", "daemon", "dialout", "dip", "disk", "fax",
    "floppy", "games", "input", "irc", "kmem", "kvm", "list", "lp", "mail", "man", "news",
    "nobody", "nogroup", "operator", "plugdev", "proxy", "render", "root", "sasl", "sgx",
    "shadow", "src", "ssh", "staff", "sudo", "sync", "sys", "tape", "tty", "users", "utmp", "uucp",
    "video", "voice", "www-data",
]  # fmt: skip


def problems(answers: Answers) -> dict[str, tuple[str, str]]:
    """Return what is wrong with the answers: name → (a sentence, a value that would be accepted)."""
    found = {}
    # cookiecutter.json keeps a slug that could be a path from the file system, in __project_slug
    name, slug, user = (answers[key] for key in ("project_name", "__project_slug", "nonroot_user"))

    good_name = clean_name(name) or "My Django Site"
    if name != good_name:
        found["project_name"] = (
            f"takes 1 to {NAME_LENGTH} characters, none of them invisible, and no space at an end",
            good_name,
        )

    good_slug = clean_slug(slug) or clean_slug(name) or "my-django-site"
    reserved = {word: why for why, words in answers["_reserved_slugs"].items() for word in words}
    if slug != good_slug:
        found["project_slug"] = (
            f"takes a small letter, then up to {SLUG_LENGTH - 1} of a-z, 0-9 and single hyphens",
            f"my-{good_slug}" if good_slug in reserved else good_slug,
        )
    elif slug in reserved:
        found["project_slug"] = (f"must be another word, because it {reserved[slug]}", f"my-{slug}")

    good_user = (
        re.sub(r"[^a-z0-9_-]", "", user.lower()).lstrip("0123456789-")[:USER_LENGTH] or "app"
    )
    if user != good_user:
        found["nonroot_user"] = (
            f"takes a small letter, then up to {USER_LENGTH - 1} of a-z, 0-9, hyphen and underscore",
            good_user if good_user not in RESERVED_USERS else "app",
        )
    elif user in RESERVED_USERS:
        found["nonroot_user"] = (
            "must be another word, because the base image has this account",
            "app",
        )

    if answers["__license"] not in ("none", "MIT"):
        found["__license"] = ("takes MIT or none", "none")
    return found


def unknown_answers(answers: Answers, words: list[str]) -> dict[str, tuple[str, str]]:
    """Return what looks like an answer and is none: name → (the nearest question, the value given)."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.isidentifier() and name not in answers:
            nearest = difflib.get_close_matches(name, public(answers), 1, cutoff=0)
            found[name] = (nearest[0], value)
    return found


def words_of_command(answers: Answers) -> list[str]:
    """Return the words of the command that runs this hook; nothing if it is not Cookiecutter's.

    Cookiecutter ignores a name=value that it does not know, and tells its hooks nothing of it.
    """
    parent = str(os.getppid())
    try:
        with open(f"/proc/{parent}/cmdline", encoding="utf-8", errors="replace") as command:
            words = command.read().split("\0")
    except OSError:
        # No Linux: here words with spaces come apart, so only what is nearly a question counts
        command_line = ["ps", "-ww", "-o", "args=", "-p", parent]
        try:
            done = subprocess.run(command_line, check=False, capture_output=True, text=True)
        except OSError:
            return []
        words = [
            word
            for word in done.stdout.split()
            if "=" not in word or difflib.get_close_matches(word.split("=")[0], public(answers))
        ]
    return words if any("cookiecutter" in os.path.basename(word) for word in words[:3]) else []


def public(answers: Answers) -> list[str]:
    """Return the questions that Cookiecutter asks."""
    return [name for name in answers if not name.startswith("_")]


def unknown_tools(skipped: str) -> dict[str, str]:
    """Return what TEMPLATE_SKIP names and the template does not use: name → the nearest tool."""
    names = [name for name in skipped.split(",") if name and name not in TOOLS]
    return {name: difflib.get_close_matches(name, TOOLS, 1, cutoff=0)[0] for name in names}


def clean_name(name: str) -> str:
    """Return the name without what could not be shown or stored, at most NAME_LENGTH characters of it."""
    one_line = re.sub(r"[\t-\r\x85\u2028\u2029]+", " ", name)
    return "".join(filter(is_visible, one_line)).strip()[:NAME_LENGTH].rstrip()


def is_visible(character: str) -> bool:
    """Whether a character may stand in a name: not control, format, surrogate, line or paragraph end."""
    if character in JOINERS or 0xE0020 <= ord(character) <= 0xE007F:
        return True
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def clean_slug(text: str) -> str:
    """Return the nearest slug to a text: a-z, 0-9 and single hyphens, a letter first; maybe nothing."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub("['`]", "", plain)).strip("-")
    return ("site-" + slug if slug[:1].isdigit() else slug)[:SLUG_LENGTH].strip("-")


def command(answers: Answers, corrections: dict[str, str]) -> str:
    """Return the command that generates the project again, with some answers corrected, for a shell."""
    import shlex  # only a refusal needs it

    words = ["cookiecutter", str(answers.get("_template", "")), "--no-input"]
    if answers.get("_checkout"):
        words += ["--checkout", answers["_checkout"]]
    output = answers.get("_output_dir", "")
    if output and output != os.environ.get("PWD"):
        words += ["--output-dir", output]
    for name, answer in (answers | corrections).items():
        if not name.startswith("_") or (name == "__license" and answer != "none"):
            words.append(f"{name}={literal(answer)}")
    return shlex.join(words)


def literal(answer: str) -> str:
    """Return an answer so that Jinja, which Cookiecutter applies to the command line, leaves it alone."""
    if not re.search(r"\{\{|# ?\{[%#]", answer):
        return answer
    escaped = answer.replace("\\", "\\\\").replace("'", "\\'")
    return "{" + "{ '" + escaped + "' }" + "}"


def shown(value: str) -> str:
    """Return a value in quotes, with nothing that a terminal would act on, and not too much of it."""
    return repr(value[:60]) + ("…" if len(value) > 60 else "")


def main(answers: Answers) -> None:
    """Exit 1 with all that is wrong with the answers, if anything is; nothing is left then."""
    found = problems(answers)
    unknown = unknown_answers(answers, words_of_command(answers))
    tools = unknown_tools(os.environ.get("TEMPLATE_SKIP", ""))
    if not found and not unknown and not tools:
        return
    given = answers | {"project_slug": answers["__project_slug"]}
    lines = [
        f"error: {name} is {shown(given[name])}: it {sentence}, like {shown(better)}."
        for name, (sentence, better) in found.items()
    ]
    lines += [
        f"error: {shown(name)} is no question; the nearest one is {nearest}."
        for name, (nearest, _) in unknown.items()
    ]
    lines += [
        f"error: TEMPLATE_SKIP has {shown(name)}: it takes {', '.join(TOOLS)}; the nearest one is {nearest}."
        for name, nearest in tools.items()
    ]
    corrections = dict(unknown.values()) | {name: better for name, (_, better) in found.items()}
    again = command(answers, corrections)
    print(
        *lines,
        "",
        "Nothing was made. This would work:",
        "",
        f"    {again}",
        "",
        sep="\n",
        file=sys.stderr,
    )
    sys.exit(1)


if __name__ == "__main__":
    main(json.loads(r"""{{ cookiecutter | tojson }}"""))
