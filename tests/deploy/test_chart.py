"""The Helm chart, rendered as Helm does it: every manifest is valid, and together they mean what they should.

It is rendered here and not run: there is no cluster where these tests run.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import helm_python as helm
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from hive_edge.routes import EXACT
from hive_runtime.sealing import SealingKey

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "deploy/helm/modelhive"
OWN = ["edge", "routing", "billing", "guardrails", "analytics", "console"]
KUBERNETES = ["1.27", "1.37"]
"""The oldest that the chart admits, and the newest whose schemas are at hand."""
SEALED = "sealed"
EXAMPLES: dict[str, dict[str, Any]] = {
    "default": {},
    "minimal": yaml.safe_load((CHART / "values-minimal.yaml").read_text()),
    "production": yaml.safe_load((CHART / "values-production.yaml").read_text()),
    "half": {  # some servers bundled, some not, and every switch the other way
        "kafka": {"url": "kafka+ssl://hive:secret@broker:9093?mechanism=SCRAM-SHA-512"},
        "secrets": {"existing": SEALED},
        "keda": {"enabled": True, "authenticationRef": "kafka"},
        "services": {"routing": {"autoscaling": {"enabled": True}}, "edge": {"settings": {"HIVE_LOG_LEVEL": "debug"}}},
        "jobs": {"topics": False},
    },
}  # fmt: skip

Manifest: TypeAlias = dict[str, Any]


class Release:
    """What would be applied: the manifests, by what they are and what they are called."""

    def __init__(self, values: dict[str, Any]) -> None:
        with helm.Chart.load(CHART) as chart:
            rendered = chart.render(values, name="bees", namespace="apiary")
        self.manifests: list[Manifest] = [
            manifest
            for path, text in rendered.items()
            if not path.endswith("NOTES.txt")
            for manifest in yaml.safe_load_all(text)
            if manifest
        ]

    def of(self, *kinds: str) -> list[Manifest]:
        return [each for each in self.manifests if each["kind"] in kinds]

    def the(self, kind: str, name: str) -> Manifest:
        (found,) = (each for each in self.of(kind) if each["metadata"]["name"] == name)
        return found

    def workload(self, service: str) -> Manifest:
        (found,) = (each for each in self.of("Deployment", "StatefulSet") if component(each) == service)
        return found

    def pods(self) -> Iterator[tuple[str, Manifest]]:
        """Every pod that there would be: its name here, and its template."""
        for each in self.of("Deployment", "StatefulSet", "Job"):
            yield each["metadata"]["name"], each["spec"]["template"]

    def own_pods(self) -> Iterator[tuple[str, Manifest]]:
        images = "modelhive/"
        for name, pod in self.pods():
            if images in pod["spec"]["containers"][0]["image"]:
                yield name, pod


def component(manifest: Manifest) -> str:
    return str(manifest["metadata"]["labels"]["app.kubernetes.io/component"])


def container(pod: Manifest) -> dict[str, Any]:
    (found,) = pod["spec"]["containers"]
    return dict(found)


def variables_of(pod: Manifest) -> dict[str, str | None]:
    return {each["name"]: each.get("value") for each in container(pod)["env"]}


@cache
def released(example: str) -> Release:
    return Release(EXAMPLES[example])


@pytest.fixture(params=EXAMPLES)
def release(request: pytest.FixtureRequest) -> Release:
    return released(request.param)


CUSTOM: dict[str, dict[str, Any]] = {
    "ScaledObject": {
        "type": "object",
        "required": ["scaleTargetRef", "triggers"],
        "additionalProperties": False,
        "properties": {
            "scaleTargetRef": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {key: {"type": "string"} for key in ("apiVersion", "kind", "name")},
            },
            "minReplicaCount": {"type": "integer", "minimum": 0},
            "maxReplicaCount": {"type": "integer", "minimum": 1},
            "pollingInterval": {"type": "integer"},
            "cooldownPeriod": {"type": "integer"},
            "triggers": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["type", "metadata"],
                    "additionalProperties": False,
                    "properties": {
                        "type": {"enum": ["cpu", "kafka"]},
                        "metricType": {"enum": ["Utilization", "AverageValue"]},
                        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                        "authenticationRef": {"type": "object", "required": ["name"]},
                    },
                },
            },
        },
    },
    "ServiceMonitor": {
        "type": "object",
        "required": ["selector", "endpoints"],
        "additionalProperties": False,
        "properties": {
            "selector": {"type": "object", "required": ["matchLabels"]},
            "targetLabels": {"type": "array", "items": {"type": "string"}},
            "endpoints": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {key: {"type": "string"} for key in ("port", "path", "interval")},
                },
            },
        },
    },
}
"""What is written here of kinds that Kubernetes itself does not know."""


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_chart_has_no_faults(example: str) -> None:
    report = helm.lint(CHART, EXAMPLES[example], strict=True)
    assert report["errors"] == []
    assert [each["error"] for each in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("example", EXAMPLES)
def test_every_manifest_is_valid(example: str, version: str) -> None:
    for manifest in released(example).manifests:
        if schema := CUSTOM.get(manifest["kind"]):
            Draft202012Validator(schema).validate(manifest["spec"])
        else:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_nothing_is_there_twice(release: Release) -> None:
    names = Counter((each["kind"], each["metadata"]["name"]) for each in release.manifests)
    assert [name for name, count in names.items() if count > 1] == []
    for name, pod in release.pods():
        variables = Counter(each["name"] for each in container(pod).get("env", []))
        assert [variable for variable, count in variables.items() if count > 1] == [], name


def test_every_service_runs(release: Release) -> None:
    assert {component(each) for each in release.of("Deployment", "StatefulSet")} >= set(OWN)


@pytest.mark.parametrize("example", ["default", "production"])
def test_names_fit(example: str) -> None:
    with helm.Chart.load(CHART) as chart:
        rendered = chart.render(EXAMPLES[example], name="a" * 53, namespace="apiary", revision=9999)
    names = {
        name for text in rendered.values() for name in re.findall(r"^  name: (\S+)$", text, re.MULTILINE)
    }
    assert all(name.startswith("a") for name in names)
    assert [name for name in names if len(name) > 63] == []


def test_settings_are_known(release: Release, variables: frozenset[str]) -> None:
    for name, pod in release.own_pods():
        given = {each for each in variables_of(pod) if each.startswith("HIVE_")}
        assert given <= variables, name
        for volume in pod["spec"]["volumes"]:
            for item in volume.get("secret", {}).get("items", []):
                assert item["path"].upper() in variables, name


def test_a_setting_of_a_service_wins(variables: frozenset[str]) -> None:
    half = released("half")
    assert variables_of(half.workload("edge")["spec"]["template"])["HIVE_LOG_LEVEL"] == "debug"
    assert variables_of(half.workload("routing")["spec"]["template"])["HIVE_LOG_LEVEL"] == "info"


def test_a_container_can_do_no_more_than_it_must(release: Release) -> None:
    for name, pod in release.pods():
        security, own = container(pod)["securityContext"], container(pod)
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["runAsNonRoot"] is True, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True, name
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        assert pod["spec"]["enableServiceLinks"] is False, name
        assert own["resources"]["requests"].keys() >= {"cpu", "memory"}, name
        assert "memory" in own["resources"]["limits"], name
    for name, pod in release.own_pods():
        assert container(pod)["securityContext"]["readOnlyRootFilesystem"] is True, name
        mounts = {each["mountPath"]: each for each in container(pod)["volumeMounts"]}
        assert {"/data", "/tmp"} <= mounts.keys(), name
        writable = {path for path, mount in mounts.items() if not mount.get("readOnly")}
        assert writable <= {"/data", "/tmp", "/blobs"}, name


def test_images_have_versions(release: Release) -> None:
    for name, pod in release.pods():
        image, _, tag = container(pod)["image"].rpartition(":")
        assert image and re.match(r"\d+\.\d+", tag), name


def test_an_image_has_a_lock(release: Release) -> None:
    for _, pod in release.own_pods():
        image = container(pod)["image"].rpartition(":")[0].rpartition("/")[2]
        assert (ROOT / "requirements" / f"{image}.lock").exists(), image


def test_compose_and_chart_stand_on_the_same_servers() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    bundled = yaml.safe_load((CHART / "values.yaml").read_text())["bundled"]
    for server in ("kafka", "postgres", "valkey", "clickhouse"):
        assert bundled[server]["image"] == compose[server]["image"]


def test_selectors_find_the_pods_they_mean(release: Release) -> None:
    pods = {name: pod["metadata"]["labels"] for name, pod in release.pods()}

    def found(selector: dict[str, str]) -> set[str]:
        return {name for name, labels in pods.items() if selector.items() <= labels.items()}

    for each in release.of("Deployment", "StatefulSet"):
        name = each["metadata"]["name"]
        assert found(each["spec"]["selector"]["matchLabels"]) == {name}
    for each in release.of("Service"):
        (name,) = found(each["spec"]["selector"])
        assert name.endswith(component(each))
    for each in release.of("PodDisruptionBudget"):
        assert found(each["spec"]["selector"]["matchLabels"]) == {each["metadata"]["name"]}
    for each in release.of("NetworkPolicy"):
        assert found(each["spec"]["podSelector"]["matchLabels"]) or component(each) == "job", each["metadata"]


def test_ports_lead_to_containers_that_have_them(release: Release) -> None:
    for service in release.of("Service"):
        pod = release.workload(component(service))["spec"]["template"]
        ports = {each["name"] for each in container(pod)["ports"]}
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports
    for workload in release.of("StatefulSet"):
        assert release.the("Service", workload["spec"]["serviceName"])
    for _, pod in release.pods():
        ports = {each["name"] for each in container(pod).get("ports", [])}
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container(pod).get(kind, {})
            for how in ("httpGet", "tcpSocket"):
                assert how not in probe or probe[how]["port"] in ports


def test_the_ports_are_those_of_the_image_and_the_settings() -> None:
    exposed = re.findall(r"^EXPOSE (.*)$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    ports = {
        port["containerPort"] for _, pod in released("default").own_pods() for port in container(pod).get("ports", [])
    }  # fmt: skip
    assert ports == {int(port) for port in exposed[0].split()} == {8080, 8081, 9090}


def test_services_find_each_other_by_name(release: Release) -> None:
    for service in OWN:
        url = variables_of(release.workload(service)["spec"]["template"])["HIVE_RPC_URL"]
        assert url is not None
        for other in OWN:
            host, _, port = url.removeprefix("dns:///").format(service=other).rpartition(":")
            name, namespace, _ = host.split(".", 2)
            assert namespace == "apiary"
            found = release.the("Service", name)["spec"]
            assert found["clusterIP"] == "None", "one address would hide the pods from gRPC"
            assert {"name": "grpc", "port": int(port), "targetPort": "grpc"} in found["ports"]


def test_a_process_has_a_name_and_an_address_of_its_own(release: Release) -> None:
    for service in OWN:
        env = container(release.workload(service)["spec"]["template"])["env"]
        fields = {
            each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in env if "valueFrom" in each
        }
        assert fields == {"HIVE_INSTANCE": "metadata.name", "HIVE_RPC_ADVERTISE": "status.podIP"}


def test_probes_ask_for_life_and_for_readiness(release: Release) -> None:
    for service in OWN:
        own = container(release.workload(service)["spec"]["template"])
        assert own["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert own["startupProbe"]["httpGet"]["path"] == "/healthz"
        # The billing process that waits to take over is not ready, and an update must not wait for it.
        expected = "/healthz" if service == "billing" else "/readyz"
        assert own["readinessProbe"]["httpGet"]["path"] == expected


def test_a_pod_has_the_time_to_finish(release: Release) -> None:
    for service in OWN:
        pod = release.workload(service)["spec"]["template"]
        given = variables_of(pod)
        needed = float(given["HIVE_DRAIN_SECONDS"] or 0) + float(given["HIVE_DRAIN_DELAY_SECONDS"] or 0)
        assert pod["spec"]["terminationGracePeriodSeconds"] >= needed + 30
        probe = container(pod)["readinessProbe"]
        noticed = probe["periodSeconds"] * probe["failureThreshold"]
        assert noticed < float(given["HIVE_DRAIN_DELAY_SECONDS"] or 0)


def test_only_the_public_listener_of_the_edge_is_open_to_the_world() -> None:
    production = released("production")
    (ingress,) = production.of("Ingress")
    backends = [
        path["backend"]["service"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]
    ]
    assert backends == [{"name": "bees-modelhive", "port": {"name": "http"}}]
    public = production.the("Service", "bees-modelhive")
    assert public["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "public"}]
    assert component(public) == "edge"
    assert "/chat/completions" in EXACT
    for example in EXAMPLES:
        types = {each["spec"].get("type", "ClusterIP") for each in released(example).of("Service")}
        assert types == {"ClusterIP"}
    assert not released("default").of("Ingress")


def test_routing_keeps_its_journal(release: Release) -> None:
    workload = release.workload("routing")
    assert workload["kind"] == "StatefulSet"
    (claim,) = workload["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data"
    assert {"name": "data", "mountPath": "/data"} in container(workload["spec"]["template"])["volumeMounts"]
    assert workload["spec"]["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }


def test_billing_knows_how_many_processes_borrow(release: Release) -> None:
    routing = release.workload("routing")
    least = [
        each["spec"].get("minReplicas") or each["spec"]["minReplicaCount"]
        for each in release.of("HorizontalPodAutoscaler", "ScaledObject")
        if each["spec"]["scaleTargetRef"]["name"] == routing["metadata"]["name"]
    ] or [routing["spec"]["replicas"]]
    told = variables_of(release.workload("billing")["spec"]["template"])["HIVE_BILLING_HOLDERS"]
    assert [told] == [str(count) for count in least]


def test_credentials_are_for_those_who_need_them(release: Release) -> None:
    holders: dict[str, set[str]] = {}
    for name, pod in release.own_pods():
        for volume in pod["spec"]["volumes"]:
            for item in volume.get("secret", {}).get("items", []):
                holders.setdefault(item["key"], set()).add(name.removeprefix("bees-modelhive-"))
    assert holders["hive_credentials_key"] == {"routing", "console"}
    assert holders["hive_admin_token"] == holders["hive_bootstrap_key"] == {"console"}
    sql = {re.sub(r"(migrate-\w+?)-\d+$", r"\1", name) for name in holders["hive_sql_url"]}
    migrations = {"migrate-routing", "migrate-billing", "migrate-console"}
    assert sql == {"routing", "billing", "console", *migrations}


def test_the_secret_has_what_is_asked_for() -> None:
    for example in ("default", "minimal"):
        release = released(example)
        (secret,) = release.of("Secret")
        data = secret["stringData"]
        for _, pod in release.pods():
            for volume in pod["spec"].get("volumes", []):
                for item in volume.get("secret", {}).get("items", []):
                    assert volume["secret"]["secretName"] == secret["metadata"]["name"]
                    assert data[item["key"]]
            for each in container(pod).get("env", []):
                if reference := each.get("valueFrom", {}).get("secretKeyRef"):
                    assert reference["name"] == secret["metadata"]["name"]
                    assert data[reference["key"]]
        SealingKey.from_text(data["hive_credentials_key"])
        for url, server in (("hive_sql_url", "postgres"), ("hive_olap_url", "clickhouse")):
            parts = urlsplit(data[url])
            assert parts.password == data[f"{server}_password"]
            assert release.the("Service", str(parts.hostname))
        assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_a_production_release_makes_no_secrets_and_brings_no_servers() -> None:
    production = released("production")
    assert not production.of("Secret", "PersistentVolumeClaim")
    assert {component(each) for each in production.of("Deployment", "StatefulSet")} == set(OWN)
    documented = re.findall(r"--from-literal=(\w+)=", (CHART / "values-production.yaml").read_text())
    asked = {
        item["key"]
        for _, pod in production.own_pods()
        for volume in pod["spec"]["volumes"]
        for item in volume.get("secret", {}).get("items", [])
    }
    assert asked == set(documented)


def test_topics_and_schemas_come_before_new_pods() -> None:
    production = released("production")
    weights = {}
    for job in production.of("Job"):
        notes = job["metadata"]["annotations"]
        assert notes["helm.sh/hook"] == "pre-install,pre-upgrade"
        weights[container(job["spec"]["template"])["args"][0]] = int(notes["helm.sh/hook-weight"])
    assert weights["topics"] < weights["migrate"]
    assert len(production.of("Job")) == 4


def test_jobs_do_not_wait_for_servers_that_start_after_them() -> None:
    for example in ("default", "minimal", "half"):
        for job in released(example).of("Job"):
            assert "helm.sh/hook" not in job["metadata"].get("annotations", {})
            assert job["metadata"]["name"].endswith("-1"), (
                "a job cannot be changed: each revision has its own"
            )
    assert not [job for job in released("half").of("Job") if "topics" in job["metadata"]["name"]]


def test_nobody_migrates_but_the_jobs(release: Release) -> None:
    verbs = {
        container(job["spec"]["template"])["image"]: container(job["spec"]["template"])["args"]
        for job in release.of("Job")
        if "migrate" in job["metadata"]["name"]
    }
    for service in OWN:
        pod = release.workload(service)["spec"]["template"]
        assert variables_of(pod)["HIVE_MIGRATE"] == "0"
        has_tables = "hive_sql_url" in str(pod["spec"]["volumes"])
        assert (container(pod)["image"] in verbs) == has_tables, service


def test_what_is_scaled_is_scaled_by_one_alone(release: Release) -> None:
    targets: Counter[str] = Counter()
    for each in release.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = each["spec"]["scaleTargetRef"]
        assert "replicas" not in release.the(target["kind"], target["name"])["spec"]
        targets[target["name"]] += 1
    assert all(count == 1 for count in targets.values())
    for service in OWN:
        workload = release.workload(service)
        assert ("replicas" in workload["spec"]) != (workload["metadata"]["name"] in targets)


def test_lag_is_asked_of_the_brokers() -> None:
    (scaled,) = released("half").of("ScaledObject")
    (trigger,) = (each for each in scaled["spec"]["triggers"] if each["type"] == "kafka")
    assert trigger["metadata"]["bootstrapServers"] == "broker:9093"
    assert trigger["metadata"]["topic"] == "hive.requests.routing"
    assert trigger["authenticationRef"] == {"name": "kafka"}


class Network:
    """What the network policies of a release allow, asked pod by pod."""

    def __init__(self, release: Release) -> None:
        self._policies = [each["spec"] for each in release.of("NetworkPolicy")]
        self._labels = {name: pod["metadata"]["labels"] for name, pod in release.pods()}
        self._ports = {
            name: {port["name"]: port["containerPort"] for port in container(pod).get("ports", [])}
            for name, pod in release.pods()
        }

    def allows(self, source: str, target: str, port: str) -> bool:
        """Between two pods of the release."""
        return self._open("Egress", source, target, port, target) and self._open(
            "Ingress", target, source, port, target
        )

    def leaves(self, source: str, address: str, port: int) -> bool:
        """From a pod to an address outside."""
        rules = self._rules("Egress", source)
        return any(
            self._has_port(rule, port, {}) and ("to" not in rule or self._has_address(rule["to"], address))
            for rule in rules
        )

    def enters(self, target: str, port: str) -> bool:
        """From anywhere outside."""
        return any(
            "from" not in rule and self._has_port(rule, port, self._ports[target])
            for rule in self._rules("Ingress", target)
        )

    def _open(self, direction: str, pod: str, peer: str, port: str, owner: str) -> bool:
        key = "to" if direction == "Egress" else "from"
        return any(
            self._has_port(rule, port, self._ports[owner])
            and (key not in rule or any(self._is_peer(each, peer) for each in rule[key]))
            for rule in self._rules(direction, pod)
        )

    def _rules(self, direction: str, pod: str) -> list[dict[str, Any]]:
        chosen = [
            policy
            for policy in self._policies
            if policy["podSelector"]["matchLabels"].items() <= self._labels[pod].items()
        ]
        assert any(direction in policy["policyTypes"] for policy in chosen), f"{pod} is not isolated"
        return [rule for policy in chosen for rule in policy.get(direction.lower()) or []]

    def _is_peer(self, peer: dict[str, Any], pod: str) -> bool:
        if "ipBlock" in peer or "namespaceSelector" in peer:
            return False
        return bool(peer["podSelector"]["matchLabels"].items() <= self._labels[pod].items())

    @staticmethod
    def _has_port(rule: dict[str, Any], port: str | int, names: dict[str, int]) -> bool:
        numbers = {port, names.get(str(port), port)}
        return "ports" not in rule or any(each["port"] in numbers for each in rule["ports"])

    @staticmethod
    def _has_address(peers: list[dict[str, Any]], address: str) -> bool:
        asked = ipaddress.ip_address(address)
        for peer in peers:
            block = peer.get("ipBlock")
            if block and asked in ipaddress.ip_network(block["cidr"]):
                return not any(asked in ipaddress.ip_network(each) for each in block.get("except", []))
        return False


CALLS = {
    "edge": {"routing", "console"},
    "routing": {"edge", "billing", "guardrails", "analytics", "console"},
    "billing": {"routing", "console"},
    "guardrails": {"console"},
    "analytics": {"billing"},
    "console": {"routing", "billing", "guardrails", "analytics"},
}
NEEDS = {
    "kafka": set(OWN),
    "valkey": {"edge", "routing"},
    "postgres": {"routing", "billing", "console"},
    "clickhouse": {"analytics"},
}


@pytest.fixture(params=["default", "production"])
def network(request: pytest.FixtureRequest) -> Network:
    return Network(released(request.param))


def test_services_talk_to_those_they_ask_and_to_no_others(network: Network) -> None:
    for source in OWN:
        reached = {
            target
            for target in OWN
            if network.allows(f"bees-modelhive-{source}", f"bees-modelhive-{target}", "grpc")
        }
        assert reached == CALLS[source], source


def test_only_the_edge_hears_clients(network: Network) -> None:
    for service in OWN:
        pod = f"bees-modelhive-{service}"
        assert not network.enters(pod, "internal")
        assert not network.enters(pod, "grpc")
    assert Network(released("default")).enters("bees-modelhive-edge", "public")
    assert not Network(released("production")).enters("bees-modelhive-edge", "public"), "the controller alone"


def test_only_routing_reaches_the_internet() -> None:
    network = Network(released("production"))
    for service in OWN:
        assert network.leaves(f"bees-modelhive-{service}", "203.0.113.9", 443) == (service == "routing")
    assert network.leaves("bees-modelhive-routing", "2001:db8::1", 443)
    for private in ("10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "fd00::1"):
        assert not network.leaves("bees-modelhive-routing", private, 443), private


def test_each_server_hears_those_who_need_it() -> None:
    network = Network(released("default"))
    for server, users in NEEDS.items():
        for service in OWN:
            allowed = network.allows(f"bees-modelhive-{service}", f"bees-modelhive-{server}", "server")
            assert allowed == (service in users), (service, server)
    for job in ("topics-1", "migrate-console-1"):
        assert network.allows(f"bees-modelhive-{job}", "bees-modelhive-kafka", "server")
        assert network.allows(f"bees-modelhive-{job}", "bees-modelhive-postgres", "server")


def test_production_reaches_its_servers() -> None:
    network = Network(released("production"))
    for service, address, port in [
        ("edge", "10.20.1.5", 9092),
        ("edge", "10.20.3.5", 6379),
        ("routing", "10.20.5.5", 443),
        ("billing", "10.20.2.5", 5432),
        ("analytics", "10.20.4.5", 8443),
        ("migrate-billing", "10.20.2.5", 5432),
        ("topics", "10.20.1.5", 9092),
    ]:
        assert network.leaves(f"bees-modelhive-{service}", address, port), (service, address)
    assert not network.leaves("bees-modelhive-guardrails", "10.20.2.5", 5432)


def test_metrics_are_scraped_from_every_service() -> None:
    production = released("production")
    (monitor,) = production.of("ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    scraped = {
        component(each)
        for each in production.of("Service")
        if wanted <= each["metadata"]["labels"].items()
        and endpoint["port"] in {port["name"] for port in each["spec"]["ports"]}
    }
    assert scraped == set(OWN)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no secrets": ({"bundled": {"enabled": False}}, "secrets.existing"),
    "a caller of nobody": ({"services": {"edge": {"calls": ["router"]}}}, "router"),
    "no host": ({"ingress": {"enabled": True}}, "ingress.hosts"),
    "a lost volume": ({"services": {"edge": {"storage": {"size": "1Gi"}}}}, "StatefulSet"),
    "a misspelt value": ({"servces": {}}, "servces"),
    "a setting that is none": ({"settings": {"LOG_LEVEL": "info"}}, "LOG_LEVEL"),
    "a URL of another kind": ({"kafka": {"url": "broker:9092"}}, "kafka"),
    "no replicas": ({"services": {"edge": {"replicas": 0}}}, "replicas"),
    "lag of nobody knows where": (
        {
            "bundled": {"enabled": False},
            "secrets": {"existing": SEALED},
            "keda": {"enabled": True},
            "services": {"routing": {"autoscaling": {"enabled": True}}},
        },
        "keda.bootstrapServers",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_values_that_cannot_work_are_refused(why: str) -> None:
    values, named = REFUSED[why]
    with pytest.raises(helm.HelmError, match=re.escape(named)), helm.Chart.load(CHART) as chart:
        chart.validate_schema(chart.merge_values(values))
        chart.render(values, name="bees", namespace="apiary")


def test_openshift_may_choose_the_user() -> None:
    values = {"podSecurityContext": {"runAsUser": None, "fsGroup": None}}
    for _, pod in Release(values).own_pods():
        assert pod["spec"]["securityContext"].keys().isdisjoint({"runAsUser", "fsGroup"})


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_notes_lead_to_what_there_is(example: str) -> None:
    with helm.Chart.load(CHART) as chart:
        notes = chart.render(EXAMPLES[example], name="bees", namespace="apiary")[
            "modelhive/templates/NOTES.txt"
        ]
    assert "port-forward svc/bees-modelhive 8080:80" in notes
    assert ("This is a trial" in notes) == (example != "production")
