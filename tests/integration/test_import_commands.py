"""`modelhive import litellm`: what LiteLLM was told goes on here, with the names and keys that callers have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hive_testing.gateway import Gateway, clean_environment, eventually, run_command
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.embedded

OLD_KEY = "sk-LiteLLM-made-this-key-Qw12"
RED_KEY = "sk-LiteLLM-key-of-the-red-team"
SECRET = "sk-secret-of-the-provider"


def sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def configuration(provider: SimulatorThread, key: str) -> dict[str, Any]:
    costs = {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05}
    served = {"api_base": provider.url, "api_key": key, **costs}
    return {
        "model_list": [
            {"model_name": "house", "litellm_params": {"model": "openai/sim-one", "rpm": 100, **served}},
            {"model_name": "house", "litellm_params": {"model": "openai/sim-two", "rpm": 300, **served}},
            {"model_name": "spare", "litellm_params": {"model": "openai/sim-three", **served}},
            {"model_name": "sim/*", "litellm_params": {"model": "openai/*", **served}},
        ],
        "router_settings": {
            "fallbacks": [{"house": ["spare"]}],
            "model_group_alias": {"gpt-4": "house"},
            "routing_strategy": "simple-shuffle",
        },
    }


KEYS = {
    "keys": [
        {
            "token": sha256(OLD_KEY),
            "key_name": f"sk-...{OLD_KEY[-4:]}",
            "key_alias": "laptop",
            "models": ["house", "sim/*"],
            "rpm_limit": 500,
            "max_budget": 2,
            "spend": 0.5,
        },
        {"token": sha256(RED_KEY), "key_alias": "red", "team_id": "team-red", "models": []},
    ],
    "total_pages": 1,
}
TEAMS = [
    {
        "team_id": "team-red",
        "team_alias": "Red",
        "max_budget": 100,
        "budget_duration": "30d",
        "models": ["spare"],
    }
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, provider: SimulatorThread) -> Path:
    """LiteLLM's configuration, with the key in a variable and as plain text, and what its API told."""
    made = tmp_path_factory.mktemp("litellm")
    (made / "config.yaml").write_text(yaml.safe_dump(configuration(provider, "os.environ/SIM_KEY")))
    (made / "plain.yaml").write_text(yaml.safe_dump(configuration(provider, SECRET)))
    (made / "keys.json").write_text(json.dumps(KEYS))
    (made / "teams.json").write_text(json.dumps(TEAMS))
    return made


@pytest.fixture(scope="module")
def moved(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that was started with what the command wrote, and has the keys."""
    written = folder / "modelhive.yaml"
    environment = clean_environment(folder, SIM_KEY="sk-sim")
    done = run_command(["import", "litellm", "config.yaml", "-o", str(written)], environment, folder)
    assert done.returncode == 0, done.stderr
    with Gateway(
        tmp_path_factory.mktemp("moved"), None, HIVE_CONFIG=str(written), SIM_KEY="sk-sim"
    ) as gateway:
        applied = apply(gateway, folder, "config.yaml")
        assert applied["applied"]["keys"] == {"made": 2, "changed": 0, "kept": 0}
        for secret in (OLD_KEY, RED_KEY):
            gateway.wait_for_key(secret)
        yield gateway


def apply(gateway: Gateway, folder: Path, config: str, code: int = 0) -> Any:
    arguments = [
        str(folder / config),
        "--keys",
        str(folder / "keys.json"),
        "--teams",
        str(folder / "teams.json"),
    ]
    done = gateway.command("import", "litellm", *arguments, "--apply", "--json")
    assert done.returncode == code, done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    return json.loads(done.stdout)


def said(gateway: Gateway, key: str, model: str) -> str:
    with gateway.client(api_key=key) as client:
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}])
    return str(answer.choices[0].message.content)


def models_of(gateway: Gateway, key: str) -> list[str]:
    answer = gateway.public.asked_by(key).ask("GET", "/v1/models")
    return [each["id"] for each in answer.json["data"]]


@pytest.mark.parametrize("model", ["house", "gpt-4", "sim/anything"])
def test_an_old_key_asks_for_a_model_by_its_old_name(moved: Gateway, model: str) -> None:
    assert said(moved, OLD_KEY, model)


def test_the_limits_of_a_key_came_along(moved: Gateway) -> None:
    assert {"house", "gpt-4"} <= set(models_of(moved, OLD_KEY)) and "spare" not in models_of(moved, OLD_KEY)
    (key,) = [each for each in moved.admin("GET", "/keys")["data"] if each["name"] == "laptop"]

    assert (key["rpm"], key["last_four"], key["budget"]["funded_usd"]) == (500, OLD_KEY[-4:], "1.50")


def test_a_team_is_a_tenant(moved: Gateway) -> None:
    tenant = moved.admin("GET", "/tenants/team-red")

    assert (tenant["name"], tenant["billing"]["mode"]) == ("Red", "metered")
    assert tenant["billing"]["caps"]["month_usd"] == "100.00"
    assert models_of(moved, RED_KEY) == ["spare"]
    assert said(moved, RED_KEY, "spare")


def test_it_may_be_done_again(moved: Gateway, folder: Path) -> None:
    again = apply(moved, folder, "config.yaml")["applied"]

    assert again["keys"] == {"made": 0, "changed": 0, "kept": 2}
    assert again["tenants"] == {"made": 0, "changed": 0, "kept": 1}
    assert (again["providers"]["kept"], again["models"]["kept"]) == (1, 3)


def test_without_a_file_everything_goes_through_the_api(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Gateway(tmp_path_factory.mktemp("applied"), None) as gateway:
        first = apply(gateway, folder, "plain.yaml")
        assert first["complete"] and first["configuration"] is None
        assert (first["applied"]["providers"]["made"], first["applied"]["models"]["made"]) == (1, 3)
        again = apply(gateway, folder, "plain.yaml")["applied"]
        assert (again["providers"]["changed"], again["models"]["changed"]) == (1, 3)

        gateway.wait_for_key(OLD_KEY)
        eventually(lambda: "gpt-4" in models_of(gateway, OLD_KEY))
        assert said(gateway, OLD_KEY, "gpt-4")
        assert gateway.admin("GET", "/models/house")["fallbacks"] == ["spare"]


def test_what_is_written_where_nothing_else_is_said(folder: Path) -> None:
    done = run_command(["import", "litellm", "plain.yaml"], clean_environment(folder), folder)

    assert done.returncode == 3
    written = yaml.safe_load(done.stdout)
    assert [each["id"] for each in written["models"]] == ["house", "spare", "sim/*"]
    assert "to do:" in done.stderr and "IMPORTED" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_a_file_that_is_there_is_left_alone(folder: Path) -> None:
    (folder / "mine.yaml").write_text("models: []\n")
    done = run_command(
        ["import", "litellm", "config.yaml", "-o", "mine.yaml"], clean_environment(folder), folder
    )

    assert done.returncode == 1 and "mine.yaml is there already" in done.stderr
    assert (folder / "mine.yaml").read_text() == "models: []\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.yaml"], "there is no such file"),
        (["config.yaml", "--keys", "config.yaml"], "is not JSON"),
        (["config.yaml", "--teams", "missing.json"], "cannot be read"),
        (["config.yaml", "--apply"], "admin token"),
    ],
)
def test_mistakes(folder: Path, arguments: list[str], words: str) -> None:
    done = run_command(["import", "litellm", *arguments], clean_environment(folder), folder)

    assert done.returncode == 1 and words in done.stderr and "Traceback" not in done.stderr
