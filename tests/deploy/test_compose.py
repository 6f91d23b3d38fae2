"""docker-compose.yml says what it means: known settings, pinned images, an order that can be kept.

It is read here and not run: there may be no Docker where these tests run.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from hive_console.catalogue import PROVIDERS
from hive_runtime.sealing import SealingKey

ROOT = Path(__file__).resolve().parent.parent.parent
FILE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OWN = ["edge", "routing", "console", "billing", "guardrails", "analytics"]
JOBS = ["secrets", "topics", "migrate-console", "migrate-billing", "migrate-routing", "keys"]
BUILT = {name: service for name, service in SERVICES.items() if "build" in service}


def test_every_service_and_job_is_there() -> None:
    assert sorted(BUILT) == sorted(OWN + JOBS)


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_has_a_version(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert image
    assert re.match(r"\d+\.\d+", tag), "a name without a version is another image tomorrow"


@pytest.mark.parametrize("name", BUILT)
def test_an_image_is_built_of_a_lock_that_exists(name: str) -> None:
    arguments = BUILT[name]["build"]["args"]
    lock = "-".join(filter(None, [arguments["SERVICE"], arguments.get("EXTRAS")]))
    assert (ROOT / "requirements" / f"{lock}.lock").exists()
    assert BUILT[name]["image"].startswith(f"modelhive/{lock}:")


@pytest.mark.parametrize("name", BUILT)
def test_settings_are_known(name: str, variables: frozenset[str]) -> None:
    given = {key for key in BUILT[name].get("environment", {}) if key.startswith("HIVE_")}
    assert given <= variables


def test_console_is_told_of_every_provider_that_is_switched_on() -> None:
    environment = SERVICES["console"]["environment"]
    assert {each.variable for each in PROVIDERS} <= environment.keys()
    assert all(environment[each.variable] is None for each in PROVIDERS), "the value is the caller's"


@pytest.mark.parametrize("name", OWN)
def test_a_service_can_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "privileged" not in service
    assert "user" not in service, "the image's own is not root"
    assert service["environment"]["HIVE_RPC_ADVERTISE"] == name


def test_only_loopback_is_published() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"edge", "console", "jaeger"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_services_that_have_no_business_outside_cannot_get_there() -> None:
    assert FILE["networks"]["inside"]["internal"] is True
    outside = {name for name, service in SERVICES.items() if "outside" in service.get("networks", [])}
    assert outside == {"edge", "console", "routing", "jaeger"}
    nowhere = {name for name, service in SERVICES.items() if "networks" not in service}
    assert nowhere == {"secrets"}
    assert SERVICES["secrets"]["network_mode"] == "none"


def test_whoever_is_waited_for_says_when_it_is_there() -> None:
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in SERVICES[other]["healthcheck"], other
            else:
                assert how["condition"] == "service_completed_successfully"
                assert other in JOBS, other


def test_nothing_waits_for_itself() -> None:
    done: set[str] = set()
    while remaining := SERVICES.keys() - done:
        free = {name for name in remaining if not SERVICES[name].get("depends_on", {}).keys() - done}
        assert free, f"these wait for each other: {sorted(remaining)}"
        done |= free


@pytest.mark.parametrize("name", OWN)
def test_nobody_migrates_but_the_jobs(name: str) -> None:
    service, job = SERVICES[name], f"migrate-{name}"
    assert service["environment"]["HIVE_MIGRATE"] == "0"
    assert (job in service["depends_on"]) == (job in SERVICES)
    if job in SERVICES:
        assert SERVICES[job]["image"] == service["image"]
        assert SERVICES[job]["command"] == ["migrate"]
    assert "topics" in service["depends_on"]


def test_volumes_and_files_exist() -> None:
    used = set()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).is_file(), source
            else:
                used.add(source)
    assert used == FILE["volumes"].keys()


def test_urls_lead_to_services_that_are_there() -> None:
    hosts = set()
    for service in BUILT.values():
        environment = service.get("environment", {})
        for setting in ("HIVE_BUS_URL", "HIVE_CACHE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"):
            if setting in environment:
                hosts.add(urlsplit(environment[setting]).hostname)
        if rpc := environment.get("HIVE_RPC_URL"):
            assert rpc == "dns:///{service}:9090", "compose's names are the services'"
    assert hosts == {"kafka", "valkey", "otel-collector"}


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "deploy/compose" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_secrets_are_made_once_and_given_to_those_who_need_them(
    tmp_path: Path, variables: frozenset[str]
) -> None:
    run("make_secrets.py", str(tmp_path), str(os.getuid()))
    made = files(tmp_path)
    run("make_secrets.py", str(tmp_path), str(os.getuid()))
    assert files(tmp_path) == made
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    SealingKey.from_text(made["console/hive_credentials_key"])
    assert {name for name in made if name.endswith("credentials_key")} == {
        "kept/credentials_key", "console/hive_credentials_key", "routing/hive_credentials_key",
    }  # fmt: skip
    settings = {name.rpartition("/")[2].upper() for name in made if "/hive_" in name}
    assert settings <= variables
    assert urlsplit(made["billing/hive_sql_url"]).password == made["postgres/password"]
    assert urlsplit(made["analytics/hive_olap_url"]).password == made["clickhouse/password"]


def test_each_container_sees_its_own_secrets_alone() -> None:
    for name, service in SERVICES.items():
        mounted = {
            volume.partition(":")[0] for volume in service.get("volumes", []) if volume.startswith("secrets-")
        }
        owner = name.removeprefix("migrate-")
        expected = {"console" if name == "keys" else owner}
        if name != "secrets":
            assert mounted <= {f"secrets-{each}" for each in expected}, name
            assert bool(mounted) == ("HIVE_SECRETS_DIR" in service.get("environment", {})) or name in {
                "keys", "postgres", "clickhouse",
            }  # fmt: skip


def test_the_last_job_says_how_to_call(tmp_path: Path) -> None:
    run("make_secrets.py", str(tmp_path), str(os.getuid()))
    told = run("keys.py", str(tmp_path / "console"), "http://127.0.0.1:8080", "http://127.0.0.1:8081")
    made = files(tmp_path)
    assert "http://127.0.0.1:8080/v1" in told
    assert made["kept/bootstrap_key"] in told
    assert made["kept/admin_token"] in told
