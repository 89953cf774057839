"""The manifests for Kubernetes are valid, and a cluster makes of them a site that serves and is locked down."""

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.cluster import FOLDER, Site, namespace
from tests.matrix import ANSWERS, VARIANTS, name_of
from tests.production import assert_confined, until
from tests.rendering import replace
from tests.roles import CHANGES, ESCAPES, not_denied

PAGE = "/accounts/login/"

# Together they have every object that an answer adds, and pods on one machine as well as on several
SITES = {
    "postgresql": {"background_tasks": "celery", "rest_api": "drf"},
    "sqlite": {"background_tasks": "database", "rest_api": "ninja"},
}
OTHER_SERVERS = [
    name for name, row in ANSWERS["_databases"].items() if "image" in row and name not in SITES
]


def absent(reason: str) -> NoReturn:
    """Skip the test, or fail it where REQUIRE_DOCKER is set."""
    if os.environ.get("REQUIRE_DOCKER"):
        pytest.fail(f"REQUIRE_DOCKER is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def kubectl() -> None:
    if not shutil.which("kubectl"):
        absent("there is no kubectl")


@pytest.fixture(scope="module")
def cluster(kubectl: None, engine: None) -> str:
    """The configuration of the cluster that is there for the tests: never simply the current one."""
    config = os.environ.get("TEST_KUBECONFIG", "")
    asked = ("kubectl", f"--kubeconfig={config}", "get", "nodes", "--request-timeout=10s")
    if not config or subprocess.run(asked, check=False, capture_output=True).returncode:
        absent("TEST_KUBECONFIG names no cluster that answers")
    return config


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(f"cluster-{name}")) for name in SITES],
)
def site(
    request: pytest.FixtureRequest, cluster: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site that was started with the commands of its page on Kubernetes."""
    database, folder = request.param, tmp_path_factory.mktemp("cluster")
    name = f"cluster-{database}"
    image = f"{name}:v1"
    with namespace(cluster, folder, name, database=database, **SITES[database]) as site:
        try:
            replace(site.kustomization, "newTag: latest", "newTag: v1")
            site.run("docker", "build", "--tag", image, ".")
            site.load_images()
            site.follow("Start")
            site.settle()
            site.start_client(image)
            yield site
        finally:
            site.run("docker", "rmi", "--force", image, check=False)


def test_kubectl_and_the_schemas_of_the_api_accept_the_manifests(
    kubectl: None, rendered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = kubernetes_validate.latest_version()
    read = kubernetes_validate.utils.schema_contents
    # It would read the same megabyte again for each object
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", functools.cache(read))

    for folder in distinct(rendered):
        command = ["kubectl", "kustomize", str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        for each in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader):
            # Of a field that the schema does not know it says so as well
            kubernetes_validate.validate(each, version, strict=True)


def distinct(rendered: Path) -> list[Path]:
    """The manifests of the variants, without those that differ in the name of the project alone."""
    found: dict[str, Path] = {}
    for name in map(name_of, VARIANTS):
        files = sorted((rendered / name / FOLDER).glob("*.yaml"))
        text = "".join(path.read_text() for path in files)
        found.setdefault(text.replace(name[5:], ""), rendered / name / FOLDER)
    del found[""]
    return list(found.values())


@pytest.mark.container
def test_page_answers_through_the_service(site: Site) -> None:
    answer = site.ask("web", 8000, PAGE)

    assert answer["status"] == 200
    assert '<html lang="en-us">' in answer["text"]


@pytest.mark.container
def test_uploaded_file_is_served_and_cannot_run_in_a_browser(site: Site) -> None:
    site.kubectl("exec", "deployment/web", "--", "sh", "-c", "echo hello > /data/media/hello.txt")

    answer = site.ask("media", 8080, "/media/hello.txt")

    assert (answer["status"], answer["text"]) == (200, "hello\n")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]


@pytest.mark.container
def test_every_container_is_locked_down(site: Site) -> None:
    # The job is over, so its pod once more, idle
    pod = json.loads(site.kubectl("get", "job/migrate", "--output=json"))["spec"]["template"]
    pod["spec"]["containers"][0]["command"] = ["sleep", "infinity"]
    pod["spec"]["terminationGracePeriodSeconds"] = 1
    pod |= {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "migrate"}}
    (site.folder / "migrate.json").write_text(json.dumps(pod))
    site.kubectl("create", "--filename=migrate.json")
    site.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod/migrate")

    for each in [*site.workloads(), "pod/migrate"]:
        into = ("kubectl", f"--namespace={site.name}", "exec", each, "--")
        assert_confined(site, *into)


@pytest.mark.container
def test_secrets_are_files_and_never_in_an_environment(site: Site) -> None:
    secrets = [path.read_text().strip() for path in (site.folder / "secrets").iterdir()]

    for workload in site.workloads():
        variables = site.kubectl("exec", workload, "--", "env")
        assert "PATH=" in variables
        assert not [secret for secret in secrets if secret in variables]


@pytest.mark.container
def test_site_may_change_rows_and_knows_no_other_password(site: Site) -> None:
    secrets = [path.read_text() for path in site.folder.glob("secrets/database_[op]*")]

    for workload in set(site.workloads()) - {"statefulset.apps/db"}:
        known = site.kubectl("exec", workload, "--", "sh", "-c", "cat /run/secrets/* || true")
        assert not [secret for secret in secrets if secret in known]
    web = ("kubectl", f"--namespace={site.name}", "exec", "deployment/web", "--")
    assert not_denied(site, *web, statements=ESCAPES) == {}
    assert not_denied(site, *web, statements=CHANGES) == {}


@pytest.mark.container
def test_update_keeps_the_files_and_where_pods_overlap_loses_no_request(site: Site) -> None:
    site.kubectl("exec", "deployment/web", "--", "touch", "/data/media/kept.txt")
    strategy = site.kubectl("get", "deployment/web", "--output=jsonpath={.spec.strategy.type}")
    replace(site.kustomization, "LANGUAGE_CODE=en-us", "LANGUAGE_CODE=de")

    with ThreadPoolExecutor() as pool:
        asking = pool.submit(site.ask, "web", 8000, PAGE, "/tmp/over")
        try:
            site.follow("Update")
            site.settle()
        finally:
            site.client("touch", "/tmp/over")
    outcomes = asking.result()
    print(f"measured: requests during an update: {outcomes}")

    until(lambda: '<html lang="de">' in site.ask("web", 8000, PAGE)["text"])
    assert site.ask("media", 8080, "/media/kept.txt")["status"] == 200
    assert set(outcomes) == {"200"} or strategy == "Recreate"


@pytest.mark.container
@pytest.mark.parametrize("database", OTHER_SERVERS)
def test_other_database_servers_start(cluster: str, tmp_path: Path, database: str) -> None:
    with namespace(cluster, tmp_path, f"cluster-{database}", database=database) as site:
        only = re.sub(r"  - (?!namespace|database)\w+\.yaml\n", "", site.kustomization.read_text())
        site.kustomization.write_text(only)
        site.load_images()

        site.follow("Start", commands=4)

        site.kubectl("rollout", "status", "--timeout=300s", "statefulset/db")
