"""The scenarios of the official Node SDKs, in `tests/node`: each file is a run of Node of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hive_testing.gateway import PRICE, Launch, Served, clean_environment
from hive_testing.simulator import SimulatorThread

NODE = Path(__file__).parents[1] / "node"
SCENARIOS = ["abort", "chat", "embeddings", "errors", "models"]
DIALECTS = ["anthropic", "google", "responses", "vercel"]
"""Scenarios over providers of every dialect."""


@pytest.fixture(scope="module")
def told(catalogue: dict[str, Any], provider: SimulatorThread, launch: Launch) -> Iterator[Served]:
    """A gateway whose providers do what their models' names say."""
    models = {
        "limited": ("sim", "sim/status=429,retry_after=60"),
        "failing": ("sim", "sim/status=500"),
        "unreachable": ("unreachable", "anything"),
        "silent": ("impatient", "sim/silent=true"),
        "cut": ("sim", "sim/cut_after=3,chunk_delay=0.2"),
        "endless": ("sim", "sim/chunks=1000,chunk_bytes=4,chunk_delay=0.02"),
    }
    further = [
        {"id": id, "deployments": [{"provider": place, "model": name}], "price": PRICE}
        for id, (place, name) in models.items()
    ]
    patient = [
        each | {"timeouts": {"first_byte": 3}} if each["name"] == "impatient" else each
        for each in catalogue["providers"]
    ]
    everything = {"providers": patient, "models": [*catalogue["models"], *further]}
    with launch("node", everything, {"edge": 1, "routing": 1}) as running:
        yield running


def test_every_scenario_is_run() -> None:
    assert sorted(path.stem for path in NODE.glob("*.mjs")) == sorted([*SCENARIOS, *DIALECTS, "gateway"])


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(told: Served, simulator: SimulatorThread, name: str) -> None:
    run(name, told, SCENARIO_PROVIDER=simulator.control_url)


@pytest.mark.parametrize("name", DIALECTS)
def test_dialect(polyglot: Served, poor: str, name: str) -> None:
    run(name, polyglot, SCENARIO_POOR_KEY=poor)


def run(name: str, gateway: Served, **more: str) -> None:
    environment = clean_environment(gateway.folder) | {
        "SCENARIO_URL": gateway.url,
        "SCENARIO_KEY": gateway.key,
        **more,
    }
    done = subprocess.run(
        ["node", "--test-reporter=tap", f"{name}.mjs"],
        cwd=NODE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout and "# skipped 0" in done.stdout and "# pass 0" not in done.stdout
