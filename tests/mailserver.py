"""A mail server beside a production stack, which prints what it gets."""

from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string, policy

from tests.stack import Stack

# With REFUSE it refuses the first e-mail to each address for now; each e-mail takes DELAY seconds
SERVER = """
import os, socketserver, time

class Sink(socketserver.StreamRequestHandler):
    refused = set()

    def handle(self):
        self.say("220 sink")
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"RCPT" and "REFUSE" in os.environ and line not in Sink.refused:
                Sink.refused.add(line)
                print("REFUSED", line, flush=True)
                self.say("451 later")
            elif word == b"DATA":
                self.say("354 go on")
                body = b"".join(iter(self.rfile.readline, b".\\r\\n"))
                time.sleep(float(os.environ["DELAY"]))
                print("MAIL", body.decode(), flush=True)
                self.say("250 taken")
            else:
                self.say("221 bye" if word == b"QUIT" else "250 ok")

    def say(self, text):
        self.wfile.write(text.encode() + b"\\r\\n")

socketserver.ThreadingTCPServer(("", 8025), Sink).serve_forever()
"""


def use_mailserver(stack: Stack) -> None:
    """Name the mail server in the secrets of a stack that has not started yet."""
    secret = stack.folder / "secrets" / "email_url"
    secret.unlink()
    secret.write_text("smtp://sink:8025")


@contextmanager
def mailserver(stack: Stack, *options: str, delay: float = 0) -> Iterator[None]:
    """A mail server in the network through which the stack reaches the world."""
    stack.run(
        *("docker", "run", "--detach", "--name", f"{stack.name}-sink", f"--env=DELAY={delay}"),
        *(f"--network={stack.name}_front", "--network-alias=sink", *options),
        *(stack.name, "python", "-c", SERVER),
    )
    try:
        yield
    finally:
        stack.run("docker", "rm", "--force", f"{stack.name}-sink")


def log_of(stack: Stack) -> str:
    """What the mail server has printed."""
    return stack.run("docker", "logs", f"{stack.name}-sink").stdout


def mails_to(stack: Stack, address: str) -> list[str]:
    """The texts of the e-mails to an address."""
    return [
        str(message_from_string(mail, policy=policy.default).get_content())
        for mail in log_of(stack).split("MAIL ")[1:]
        if f"To: {address}" in mail
    ]
