"""The manifests for Kubernetes are the production stack: valid, hardened, and of one piece with Compose."""

import base64
import functools
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.conftest import render_variant
from tests.matrix import ANSWERS, CHOICES, SOURCE, VARIANTS, covering, name_of
from tests.stack import Stack, copy_of, wait_for

Object = dict[str, Any]

FOLDER = "deploy/kubernetes"


def asked() -> list[str]:
    """The questions on which the manifests depend: those that they, or the table of features, name."""
    text = "".join(path.read_text() for path in (SOURCE / FOLDER).iterdir())
    text += "".join(
        f"cookiecutter.{question}\n"
        for question, choices in ANSWERS["_features"].items()
        if any(path.startswith(f"{FOLDER}/") for paths in choices.values() for path in paths)
    )
    # A derived variable depends on those that its own text names
    found: set[str] = set()
    while named := set(re.findall(r"cookiecutter\.(\w+)", text)) - found:
        found |= named
        text = "".join(str(ANSWERS[name]) for name in named)
    return [question for question in CHOICES if question in found]


def distinct() -> dict[str, dict[str, str]]:
    """Few variants (answers that the manifests ask for → variant), with each pair of such answers.

    A guard asks one question, so two pieces that do not suit each other are in one of them.
    """
    every = {tuple(variant[question] for question in asked()): variant for variant in VARIANTS}
    chosen = covering([dict(zip(asked(), answers, strict=True)) for answers in every], 2)
    return {
        "-".join(answers.values()): every[*answers.values()] | {"deploy_to": "kubernetes"}
        for answers in chosen
    }


DISTINCT = distinct()

# One for each database, for the tests that start containers
DATABASES = {variant["database"]: name for name, variant in reversed(DISTINCT.items())}

# Those whose database is a server
SERVERS = [
    name for database, name in DATABASES.items() if "image" in ANSWERS["_databases"][database]
]


@pytest.fixture(scope="module")
def kubectl() -> str:
    """The path of kubectl; without it the test is skipped, or fails where REQUIRE_DOCKER is set."""
    found = shutil.which("kubectl")
    if not found and os.environ.get("REQUIRE_DOCKER"):
        pytest.fail("REQUIRE_DOCKER is set, but there is no kubectl")
    return found or pytest.skip("there is no kubectl")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.xdist_group(f"kubernetes-{name}")) for name in DISTINCT
    ],
)
def variant(request: pytest.FixtureRequest) -> dict[str, str]:
    return DISTINCT[request.param]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, variant: dict[str, str]) -> Path:
    # Not one of all the variants, which take much longer to render than these few
    folder = tmp_path_factory.mktemp("kubernetes")
    render_variant(variant, folder)
    return folder / name_of(variant)


@pytest.fixture(scope="module")
def built(kubectl: str, project: Path) -> str:
    """What kubectl would apply."""
    return build(kubectl, project)


@pytest.fixture(scope="module")
def objects(built: str) -> list[Object]:
    return list(yaml.load_all(built, Loader=yaml.CSafeLoader))


@pytest.fixture(scope="module")
def services(project: Path) -> dict[str, Object]:
    """The services of Compose (name → definition)."""
    file = yaml.safe_load((project / "docker-compose.prod.yml").read_text())
    found: dict[str, Object] = file["services"]
    return found


def build(kubectl: str, project: Path) -> str:
    """Let kubectl put the manifests of a project together; it has nothing to complain about."""
    command = [kubectl, "kustomize", str(project / FOLDER)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def of_kind(objects: list[Object], kind: str) -> dict[str, Object]:
    """The objects of a kind (name → object)."""
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def workloads(objects: list[Object]) -> dict[str, Object]:
    """The pods' templates (name of the workload → template)."""
    found = {}
    for each in objects:
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found[each["metadata"]["name"]] = spec["template"]
    return found


def containers(objects: list[Object]) -> list[Object]:
    """Every container, those that only prepare a pod included."""
    pods = [template["spec"] for template in workloads(objects).values()]
    return [each for pod in pods for each in pod.get("initContainers", []) + pod["containers"]]


def environment(template: Object, objects: list[Object]) -> dict[str, str]:
    """What the container of a pod finds in its environment."""
    (container,) = template["spec"]["containers"]
    variables: dict[str, str] = {}
    for source in container.get("envFrom", []):
        variables |= of_kind(objects, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    return variables | {each["name"]: each["value"] for each in container.get("env", [])}


def compose_environment(service: Object) -> dict[str, str]:
    """The environment that a service always has; what it may take from .env is not in it."""
    pairs = (line.split("=", 1) for line in service.get("environment", []) if "=" in line)
    return {name: default(value) for name, value in pairs}


def arguments(container: Object) -> list[str]:
    """What a container, or a service of Compose, runs instead of the image's own command."""
    command: Any = container.get("command", container.get("args", []))
    if isinstance(command, list) and command[:2] == ["sh", "-c"]:
        command = command[2].removeprefix("exec ")
    return shlex.split(command) if isinstance(command, str) else list(map(str, command))


def default(text: str) -> str:
    """A value in Compose's notation, where no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def selected(selector: Object, objects: list[Object]) -> list[Object]:
    """The pods' templates that carry the labels of a selector."""
    wanted = selector.get("matchLabels", {}).items()
    return [
        pod for pod in workloads(objects).values() if wanted <= pod["metadata"]["labels"].items()
    ]


def ports(templates: list[Object]) -> set[str | int]:
    """The names and numbers of the ports of some pods."""
    found = [
        port
        for template in templates
        for container in template["spec"]["containers"]
        for port in container.get("ports", [])
    ]
    return {port["name"] for port in found} | {port["containerPort"] for port in found}


read_schema = functools.cache(kubernetes_validate.utils.schema_contents)


def all_values(tree: object, key: str) -> Iterator[Any]:
    """Every value that a key has, however deep."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                yield value
            yield from all_values(value, key)
    elif isinstance(tree, list):
        for item in tree:
            yield from all_values(item, key)


def test_a_choice_of_each_question_that_the_manifests_name_is_tested() -> None:
    assert set(asked()) == {"database", "rest_api", "background_tasks"}
    for question in asked():
        assert {variant[question] for variant in DISTINCT.values()} == set(CHOICES[question])


def test_schemas_of_the_api_accept_everything(
    objects: list[Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = kubernetes_validate.latest_version()
    # It would read the same megabyte again for each object
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", read_schema)

    for each in objects:
        # Of a field that the schema does not know it says so as well
        kubernetes_validate.validate(each, version, strict=True)


def test_everything_is_in_the_namespace_that_refuses_what_is_not_restricted(
    objects: list[Object], project: Path
) -> None:
    (namespace,) = of_kind(objects, "Namespace").values()
    levels = {f"pod-security.kubernetes.io/{mode}" for mode in ("enforce", "warn", "audit")}

    assert namespace["metadata"]["labels"] == dict.fromkeys(levels, "restricted")
    assert {each["metadata"].get("namespace", project.name) for each in objects} == {project.name}


# https://kubernetes.io/docs/concepts/security/pod-security-standards/
def test_every_pod_is_restricted(objects: list[Object]) -> None:
    for name, template in workloads(objects).items():
        pod = template["spec"]
        context = pod["securityContext"]

        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] > 0, name
        assert context["runAsGroup"] > 0, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        kinds = {kind for volume in pod.get("volumes", []) for kind in volume} - {"name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}, name


def test_every_container_is_locked_down(objects: list[Object]) -> None:
    fields = {"allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"}
    for container in containers(objects):
        name, context = container["name"], container["securityContext"]

        # No other field, which could take back what the pod promises
        assert set(context) == fields, name
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["readOnlyRootFilesystem"] is True, name
        assert context["capabilities"]["drop"] == ["ALL"], name
        added = context["capabilities"].get("add", [])
        assert added == (["NET_BIND_SERVICE"] if name == "media" else []), name
        assert not {"hostPort", "hostIP"} & {key for p in container.get("ports", []) for key in p}


def test_every_container_says_what_it_needs_and_has_the_limit_of_compose(
    objects: list[Object], services: dict[str, Object]
) -> None:
    for container in containers(objects):
        name, resources = container["name"], container["resources"]
        service = services["proxy" if name == "media" else name]
        limit = service["deploy"]["resources"]["limits"]["memory"]

        assert set(resources["requests"]) == {"cpu", "memory"}, name
        assert resources["limits"] == {"memory": f"{limit}i"}, name


def test_services_images_and_settings_are_those_of_compose(
    objects: list[Object], services: dict[str, Object]
) -> None:
    pods = workloads(objects)
    hosts = of_kind(objects, "Ingress")["site"]["spec"]["tls"][0]["hosts"]

    # Where Compose has its proxy, the cluster has an ingress, and a server for uploaded files
    assert set(pods) - {"media"} == set(services) - {"proxy"}
    for name, template in pods.items():
        service = services["proxy" if name == "media" else name]
        (container,) = template["spec"]["containers"]
        assert container["image"] == default(service["image"]), name
        if name not in ("media", "migrate"):
            assert arguments(container) == arguments(service), name
        if name != "media":
            expected = compose_environment(service)
            from_env = set(service.get("environment", []))
            found = {
                key: value
                for key, value in environment(template, objects).items()
                if key not in from_env
            }
            if "ALLOWED_HOSTS" in expected:
                expected["ALLOWED_HOSTS"] = ",".join(hosts)
                assert found.pop("TRUSTED_PROXIES").count("/") == 3
                assert expected.pop("TRUSTED_PROXIES") == "proxy"
            assert found == expected, name


def test_probes_ask_the_health_checks(objects: list[Object], services: dict[str, Object]) -> None:
    pods = workloads(objects)
    (web,) = pods["web"]["spec"]["containers"]
    (media,) = pods["media"]["spec"]["containers"]
    paths = {probe: web[probe]["httpGet"]["path"] for probe in web if probe.endswith("Probe")}

    assert paths == {
        "startupProbe": "/health/live",
        "livenessProbe": "/health/live",
        "readinessProbe": "/health/ready",
    }
    assert media["readinessProbe"]["httpGet"]["path"] == "/health/live"
    for container in (web, media):
        for probe in all_values(container, "httpGet"):
            assert probe["port"] in {port["name"] for port in container["ports"]}
    for name in {"db", "cache", "worker", "scheduler"} & set(pods):
        (container,) = pods[name]["spec"]["containers"]
        probes = {probe: each for probe, each in container.items() if probe.endswith("Probe")}
        steady = "readinessProbe" if name in ("db", "cache") else "livenessProbe"
        assert set(probes) == {"startupProbe", steady}, name
        for probe in probes.values():
            assert probe["exec"]["command"] == ["sh", "-c", services[name]["healthcheck"]["test"]]
            assert f"{probe['timeoutSeconds']}s" == services[name]["healthcheck"]["timeout"]


def test_selectors_meet_pods(objects: list[Object]) -> None:
    for kind in ("Deployment", "StatefulSet", "PodDisruptionBudget"):
        for name, each in of_kind(objects, kind).items():
            assert list(all_values(each, "selector"))
            (chosen,) = selected(each["spec"]["selector"], objects)
            assert chosen is workloads(objects)[name]
    for name, service in of_kind(objects, "Service").items():
        (chosen,) = selected({"matchLabels": service["spec"]["selector"]}, objects)
        assert chosen is workloads(objects)[name]
        wanted = {port["targetPort"] for port in service["spec"].get("ports", [])}
        assert wanted <= ports([chosen]), name
    for scaler in of_kind(objects, "HorizontalPodAutoscaler").values():
        target = scaler["spec"]["scaleTargetRef"]
        assert target["name"] in of_kind(objects, target["kind"])
    for key in ("podSelector", "labelSelector"):
        for selector in all_values(objects, key):
            assert set(selector) <= {"matchLabels"}
            assert selected(selector, objects), selector


def test_references_lead_to_something(objects: list[Object]) -> None:
    claims, maps = of_kind(objects, "PersistentVolumeClaim"), of_kind(objects, "ConfigMap")

    for name, template in workloads(objects).items():
        volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
        own = of_kind(objects, "StatefulSet").get(name, {"spec": {}})["spec"]
        volumes |= {c["metadata"]["name"]: c for c in own.get("volumeClaimTemplates", [])}
        mounted = {mount["name"] for mount in next(all_values(template, "volumeMounts"))}
        assert mounted == set(volumes), name
        used = [volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume]
        assert set(used) <= set(maps), name
        assert set(all_values(template, "claimName")) <= set(claims), name
        assert set(all_values(template, "secretName")) <= {"site-secrets"}, name


def test_addresses_lead_to_services(objects: list[Object]) -> None:
    (ingress,) = of_kind(objects, "Ingress").values()
    (rule,) = ingress["spec"]["rules"]
    services = of_kind(objects, "Service")
    paths = {each["path"]: each["backend"]["service"] for each in rule["http"]["paths"]}

    assert [rule["host"]] == ingress["spec"]["tls"][0]["hosts"]
    assert {path: backend["name"] for path, backend in paths.items()} == {
        "/media": "media",
        "/": "web",
    }
    for backend in paths.values():
        names = {port["name"] for port in services[backend["name"]]["spec"]["ports"]}
        assert backend["port"]["name"] in names


def test_network_is_closed_but_for_what_must_pass(objects: list[Object], project: Path) -> None:
    policies = of_kind(objects, "NetworkPolicy")
    pods = workloads(objects)
    elsewhere = {
        "key": "kubernetes.io/metadata.name",
        "operator": "NotIn",
        "values": [project.name],
    }
    with_url = {n for n, pod in pods.items() if "DATABASE_URL_FILE" in environment(pod, objects)}

    assert policies["closed"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    for name in ("web", "media"):
        (rule,) = policies[name]["spec"]["ingress"]
        assert rule["from"] == [{"namespaceSelector": {"matchExpressions": [elsewhere]}}]
        assert {port["port"] for port in rule["ports"]} <= ports([pods[name]])
    # Metrics too
    assert "METRICS_PORT = 9100" in (project / "config/server.py").read_text()
    assert {"port": 9100} in policies["web"]["spec"]["ingress"][0]["ports"]
    assert policies["media"]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policies["media"]["spec"]
    assert set(policies) == {"closed", "web", "media"} | {"db", "cache"} & set(pods)
    for server in {"db", "cache"} & set(pods):
        (rule,) = policies[server]["spec"]["ingress"]
        (source,) = rule["from"]
        assert set(source) == {"podSelector"}
        reaching = selected(source["podSelector"], objects)
        assert {name for name in pods if pods[name] in reaching} == with_url
        assert selected(policies[server]["spec"]["podSelector"], objects) == [pods[server]]
        assert policies[server]["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert "egress" not in policies[server]["spec"]


def test_replicas_are_as_many_as_the_database_bears(
    objects: list[Object], variant: dict[str, str]
) -> None:
    replicas = ANSWERS["_databases"][variant["database"]]["replicas"]
    deployment = of_kind(objects, "Deployment")["web"]["spec"]
    scalers = of_kind(objects, "HorizontalPodAutoscaler")
    uploads = of_kind(objects, "PersistentVolumeClaim")["uploads"]["spec"]["accessModes"]

    if replicas == 1:
        assert deployment["replicas"] == 1
        assert deployment["strategy"] == {"type": "Recreate"}
        assert not scalers
        assert not of_kind(objects, "PodDisruptionBudget")
        assert uploads == ["ReadWriteOnce"]
        # The volumes are on one machine, and so is every pod
        assert all("podAffinity" in pod["spec"]["affinity"] for pod in workloads(objects).values())
    else:
        assert "replicas" not in deployment, "each update would undo what the autoscaler did"
        assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0}
        assert scalers["web"]["spec"]["minReplicas"] == replicas
        assert of_kind(objects, "PodDisruptionBudget")["web"]["spec"] == {
            "maxUnavailable": 1,
            "selector": deployment["selector"],
        }
        assert uploads == ["ReadWriteMany"]


def test_scheduler_is_alone(objects: list[Object], services: dict[str, Object]) -> None:
    deployments = of_kind(objects, "Deployment")

    assert ("scheduler" in deployments) == ("scheduler" in services)
    if "scheduler" in deployments:
        assert deployments["scheduler"]["spec"]["replicas"] == 1
        assert deployments["scheduler"]["spec"]["strategy"] == {"type": "Recreate"}


def test_stopping_pod_has_the_time_it_takes(
    objects: list[Object], services: dict[str, Object], project: Path
) -> None:
    server = re.search(r"STOP_TIMEOUT = (\d+)", (project / "config/server.py").read_text())
    pod = workloads(objects)["web"]["spec"]
    (sleep,) = all_values(pod, "sleep")

    assert server
    assert pod["terminationGracePeriodSeconds"] >= sleep["seconds"] + int(server[1]) + 5
    for name in {"db", "cache", "worker"} & set(services):
        seconds = workloads(objects)[name]["spec"]["terminationGracePeriodSeconds"]
        assert f"{seconds}s" == services[name]["stop_grace_period"], name


def test_secrets_are_files_that_make_secrets_makes(
    kubectl: str, project: Path, tmp_path: Path
) -> None:
    copy = copy_of(project, tmp_path / project.name, os.getuid())
    Stack(copy, project.name).run("make", "secrets")
    secrets = {path.name: path.read_text().strip() for path in (copy / "secrets").iterdir()}

    output = build(kubectl, copy)

    objects = list(yaml.load_all(output, Loader=yaml.CSafeLoader))
    assert not of_kind(objects, "Secret")
    for name, value in secrets.items():
        if name != "database_url" or "@" in value:
            assert value not in output
            assert base64.b64encode(value.encode()).decode() not in output
    for name, template in workloads(objects).items():
        variables = environment(template, objects)
        files = [Path(path) for key, path in variables.items() if key.endswith("_FILE")]
        assert {path.name for path in files} <= set(secrets), name
        assert {str(path.parent) for path in files} <= {"/run/secrets"}, name
        mounts = [mount["mountPath"] for mount in next(all_values(template, "volumeMounts"))]
        assert not files or "/run/secrets" in mounts, name
        # Only files: nothing takes a secret into the environment
        assert not list(all_values(template, "secretKeyRef")), name
        assert not list(all_values(template, "secretRef")), name


def hardened(template: Object) -> list[str]:
    """The options with which Docker starts a container as locked down as that of a pod."""
    context, (container,) = template["spec"]["securityContext"], template["spec"]["containers"]
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    return [
        f"--user={context['runAsUser']}:{context['runAsGroup']}",
        *("--read-only", "--security-opt=no-new-privileges", "--cap-drop=ALL"),
        *(
            f"--cap-add={name}"
            for name in container["securityContext"]["capabilities"].get("add", [])
        ),
        *(
            f"--tmpfs={mount['mountPath']}:mode=1777"
            for mount in container["volumeMounts"]
            if "emptyDir" in volumes.get(mount["name"], {})
        ),
    ]


@pytest.mark.container
@pytest.mark.parametrize("variant", DATABASES.values(), indirect=True, scope="module")
def test_media_serves_uploaded_files_as_the_proxy_of_compose_does(
    engine: None, objects: list[Object], project: Path, tmp_path: Path
) -> None:
    template = workloads(objects)["media"]
    stack, name = Stack(tmp_path, project.name), f"{project.name}-media"
    tmp_path.chmod(0o755)
    (tmp_path / "hello.txt").write_text("hello\n")
    volumes = (
        f"--volume={project / FOLDER / 'Caddyfile'}:/etc/caddy/Caddyfile:ro",
        f"--volume={tmp_path}:/srv/media:ro",
    )
    options = (*hardened(template), *volumes, "--publish=127.0.0.1::8080")
    image = template["spec"]["containers"][0]["image"]
    try:
        stack.run("docker", "run", "--detach", f"--name={name}", *options, image)
        port = int(stack.run("docker", "port", name, "8080").stdout.rpartition(":")[2])
        wait_for(port, "/health/live")
        answer = wait_for(port, "/media/hello.txt")

        compose = (project / "Caddyfile").read_text()
        own = (project / FOLDER / "Caddyfile").read_text()
        rules = re.compile(r"handle_path /media/.*?\n\t}", re.DOTALL)
        assert answer.text == "hello\n"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert "Server" not in answer.headers
        assert rules.findall(own) == rules.findall(compose) != []
    finally:
        stack.run("docker", "rm", "--force", "--volumes", name, check=False)


@pytest.mark.container
@pytest.mark.parametrize("variant", SERVERS, indirect=True, scope="module")
def test_database_starts_as_restricted_as_its_pod_is(
    engine: None, objects: list[Object], services: dict[str, Object], project: Path, tmp_path: Path
) -> None:
    template = workloads(objects)["db"]
    stack, name = Stack(tmp_path, project.name), f"{project.name}-db"
    container, context = template["spec"]["containers"][0], template["spec"]["securityContext"]
    data = next(m["mountPath"] for m in container["volumeMounts"] if m["name"] == "data")
    (tmp_path / "database_password").write_text("0123456789abcdef")
    tmp_path.chmod(0o755)
    volume = f"--volume={name}:{data}:nocopy"
    # What the cluster makes of fsGroup: a folder of root, and of the group, which may write there
    prepare = f"chown 0:{context['fsGroup']} {data} && chmod 2775 {data} && id -u {services['db']['user']}"
    root = ("--rm", "--user=0:0", "--network=none", "--entrypoint=sh", volume)
    options = (
        *hardened(template),
        *("--network=none", volume, f"--volume={tmp_path}:/run/secrets:ro"),
        *(f"--env={key}={value}" for key, value in environment(template, []).items()),
    )
    try:
        uid = stack.run("docker", "run", *root, container["image"], "-c", prepare).stdout
        stack.run("docker", "run", "--detach", f"--name={name}", *options, container["image"])
        probe = ("docker", "exec", name, *container["readinessProbe"]["exec"]["command"])
        deadline = time.monotonic() + 120
        while stack.run(*probe, check=False).returncode:
            assert time.monotonic() < deadline, stack.run("docker", "logs", name).stdout
            time.sleep(1)

        assert int(uid) == context["runAsUser"]
    finally:
        stack.run("docker", "rm", "--force", "--volumes", name, check=False)
        stack.run("docker", "volume", "rm", "--force", name, check=False)
