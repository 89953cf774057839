"""A rendered project on a Kubernetes cluster: start it as its page says, ask it, and remove all of it."""

import json
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.matrix import TEMPLATE
from tests.rendering import render
from tests.stack import Stack

FOLDER = "deploy/kubernetes"

# For a cluster that does not take today's manifests: they go through a command first
FILTERED = """
kubectl() {
    case "$1 $2" in
        "apply -k") command kubectl kustomize "$3" | $MANIFEST_FILTER | command kubectl apply -f - ;;
        "apply -f") cat "$3" | $MANIFEST_FILTER | command kubectl apply -f - ;;
        *) command kubectl "$@" ;;
    esac
}
"""

# Runs in the pod that asks the site
CLIENT = (TEMPLATE / "tests/client.py").read_text(encoding="utf-8")


class Site(Stack):
    """A project in a namespace of its name; `environment` leads to the cluster."""

    @property
    def kustomization(self) -> Path:
        """The file with the settings."""
        return self.folder / FOLDER / "kustomization.yaml"

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace of the site, and return what it prints."""
        return self.run("kubectl", f"--namespace={self.name}", *arguments).stdout

    def follow(self, heading: str, commands: int | None = None) -> None:
        """Run the commands, or the first few, under a heading of the page on Kubernetes."""
        page = (self.folder / FOLDER / "README.md").read_text()
        section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        lines = re.findall(r"^    (?:.*\\\n)*.*", section, re.MULTILINE)[:commands]
        filtered = FILTERED if "MANIFEST_FILTER" in os.environ else ""
        self.run("bash", "-e", "-o", "pipefail", "-c", filtered + "\n".join(lines))

    def load_images(self) -> None:
        """Copy the images of the manifests to the cluster, where there is a command for that."""
        if command := shlex.split(os.environ.get("LOAD_IMAGES", "")):
            manifests = self.run("kubectl", "kustomize", FOLDER).stdout
            self.run(*command, *sorted(set(re.findall(r"\bimage: (\S+)", manifests))))

    def workloads(self) -> list[str]:
        """The deployments and stateful sets, as KIND/NAME."""
        return self.kubectl("get", "deployments,statefulsets", "--output=name").split()

    def settle(self) -> None:
        """Wait until the database is migrated and every pod is ready."""
        self.kubectl("wait", "--for=condition=complete", "--timeout=300s", "job/migrate")
        for workload in self.workloads():
            self.kubectl("rollout", "status", "--timeout=300s", workload)

    def start_client(self, image: str) -> None:
        """Start a pod outside the namespace, as the ingress controller is: policies let it ask the site."""
        pod = (self.name, f"--image={image}", "--command", "--", "sleep", "infinity")
        self.run("kubectl", "--namespace=default", "run", *pod)
        ready = ("--for=condition=Ready", "--timeout=60s", f"pod/{self.name}")
        self.run("kubectl", "--namespace=default", "wait", *ready)

    def client(self, *command: str) -> str:
        """Run a command in that pod, and return what it prints."""
        pod = ("--namespace=default", "exec", self.name, "--")
        return self.run("kubectl", *pod, *command).stdout

    def ask(self, service: str, port: int, path: str, *until: str) -> dict[str, Any]:
        """What a service answers; or, until the client has a file, how often each outcome came."""
        host = f"{service}.{self.name}.svc"
        answer = self.client("python", "-c", CLIENT, host, str(port), path, *until)
        found: dict[str, Any] = json.loads(answer)
        return found


@contextmanager
def namespace(kubeconfig: str, folder: Path, name: str, **answers: str) -> Iterator[Site]:
    """Render a project for a cluster; afterwards nothing of it is left there."""
    project = render(folder, project_slug=name, deploy_to="kubernetes", **answers)
    site = Site(project, name, {"KUBECONFIG": kubeconfig})
    try:
        yield site
    except AssertionError as error:
        events = ("kubectl", f"--namespace={name}", "get", "pods,events")
        error.add_note(site.run(*events, check=False).stdout)
        raise
    finally:
        client = ("--namespace=default", "delete", "pod", name, "--now", "--ignore-not-found")
        site.run("kubectl", *client, check=False)
        site.run("kubectl", "delete", "namespace", name, "--ignore-not-found")
