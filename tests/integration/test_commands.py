"""The `modelhive` command beside a running gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hive_testing.gateway import Door, Gateway, clean_environment, eventually, run_command
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.embedded


def parsed(gateway: Gateway, *arguments: str) -> Any:
    """What a command prints with --json."""
    done = gateway.command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def status(gateway: Gateway, key: str) -> int:
    return Door(gateway.url, key).ask("GET", "/v1/models").status


def test_a_key_from_its_making_to_its_end(gateway: Gateway) -> None:
    made = gateway.command("keys", "create", "for a person")
    key = made.stdout.strip()
    assert made.returncode == 0 and key.startswith("sk-hive-") and "\n" not in key
    eventually(lambda: status(gateway, key) == 200)

    (row,) = [each for each in parsed(gateway, "keys", "list") if each["name"] == "for a person"]
    assert (row["tenant"], row["last_four"], row["revoked"]) == ("default", key[-4:], False)
    assert row["models"] is row["expires_at"] is None and key not in json.dumps(row)
    listed = gateway.command("keys", "list", COLUMNS="200").stdout
    assert row["id"] in listed and "for a person" in listed and key not in listed

    assert gateway.command("keys", "revoke", row["id"]).returncode == 0
    eventually(lambda: status(gateway, key) == 401, seconds=1.0, what="the refusal of a revoked key")
    (row,) = [each for each in parsed(gateway, "keys", "list") if each["name"] == "for a person"]
    assert row["revoked"] is True


def test_a_key_with_bounds(gateway: Gateway) -> None:
    gateway.admin("POST", "/tenants", {"id": "of-commands"})
    wanted = [
        "--tenant",
        "of-commands",
        "--model",
        "gpt-4o",
        "--model",
        "backup",
        "--expires-at",
        "4000000000",
    ]
    made = parsed(gateway, "keys", "create", "bounded", *wanted)

    assert (made["tenant"], made["expires_at"]) == ("of-commands", 4_000_000_000)
    assert sorted(made["models"]) == ["backup", "gpt-4o"]
    eventually(lambda: status(gateway, made["key"]) == 200)
    ids = [each["id"] for each in Door(gateway.url, made["key"]).ask("GET", "/v1/models").json["data"]]
    assert ids == ["backup", "gpt-4o"]
    assert [each["id"] for each in parsed(gateway, "keys", "list", "--tenant", "of-commands")] == [made["id"]]
    assert parsed(gateway, "keys", "revoke", made["id"])["id"] == made["id"]


def test_a_revoked_key_is_refused_within_a_second(gateway: Gateway, simulator: SimulatorThread) -> None:
    made = gateway.add_key()
    gateway.admin("DELETE", f"/keys/{made['id']}")

    eventually(lambda: status(gateway, made["key"]) == 401, seconds=1.0)


def test_the_models(gateway: Gateway) -> None:
    found = {each["id"]: each for each in parsed(gateway, "models")}
    assert {"gpt-4o", "gemini/gemini-2.5-pro", "local/smollm2-135m"} <= found.keys()
    assert found["gpt-4o"]["source"] == "file"

    shown = gateway.command("models", COLUMNS="200")
    assert shown.returncode == 0
    assert "gemini/gemini-2.5-pro" in shown.stdout and "sim:gemini-2.5-pro" in shown.stdout


def test_a_configuration_that_is_fine(gateway: Gateway) -> None:
    found = parsed(gateway, "check")
    assert (found["providers"], found["models"]) == (4, 5)

    shown = gateway.command("check")
    assert shown.returncode == 0 and "catalogue.yaml" in shown.stdout


@pytest.mark.parametrize(
    "arguments",
    [["keys", "revoke", "key_nothing"], ["keys", "create", "x", "--tenant", "nobody"]],
    ids=" ".join,
)
def test_what_the_gateway_refuses(gateway: Gateway, arguments: list[str]) -> None:
    done = gateway.command(*arguments)

    assert done.returncode == 1 and done.stdout == ""
    assert "error:" in done.stderr and arguments[-1] in done.stderr and "Traceback" not in done.stderr


def test_a_wrong_token(gateway: Gateway) -> None:
    done = gateway.command("keys", "list", HIVE_ADMIN_TOKEN="hive-admin-wrong")

    assert done.returncode == 1 and "token" in done.stderr and "Traceback" not in done.stderr


def test_no_gateway(tmp_path: Path) -> None:
    environment = clean_environment(tmp_path, HIVE_INTERNAL_PORT="1")
    without_token = run_command(["models"], environment, tmp_path)
    without_gateway = run_command(
        ["models"], environment | {"HIVE_ADMIN_TOKEN": "hive-admin-token"}, tmp_path
    )

    assert without_token.returncode == without_gateway.returncode == 1
    assert "HIVE_ADMIN_TOKEN" in without_token.stderr
    assert "modelhive serve" in without_gateway.stderr
    assert "Traceback" not in without_token.stderr + without_gateway.stderr


def test_help(tmp_path: Path) -> None:
    done = run_command(["--help"], clean_environment(tmp_path), tmp_path)

    assert done.returncode == 0
    assert all(name in done.stdout for name in ("serve", "check", "keys", "models"))
