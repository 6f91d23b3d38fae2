"""The frameworks that people build with, each in a conversation of two turns with a tool, streamed.

They want versions that the locked tree cannot have, so they live in an environment of their own (`make test` makes
it); `tests/frameworks` has a program for each, which says what it saw, a line for each conversation.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hive_testing.gateway import Served, clean_environment

ROOT = Path(__file__).parents[2]
FRAMEWORKS = ROOT / "tests" / "frameworks"
PYTHON = ROOT / ".venv" / "frameworks" / "bin" / "python"
PROVIDERS = ["openai", "compatible", "anthropic", "gemini", "bedrock"]
MODELS = [name + suffix for name in PROVIDERS for suffix in ("", "-thinks")]
ANSWER = "Echo: sunny in Rome, 23 degrees"

pytestmark = pytest.mark.embedded  # what a cluster does to the dialects, the official SDKs show


def run(gateway: Served, framework: str, *models: str) -> list[dict[str, Any]]:
    """What the program of a framework saw, in the conversations that it had with each of the models."""
    environment = clean_environment(gateway.folder) | {
        "SCENARIO_URL": gateway.url,
        "SCENARIO_KEY": gateway.key,
    }
    done = subprocess.run(
        [PYTHON, FRAMEWORKS / f"run_{framework}.py", *models],
        env=environment,
        cwd=FRAMEWORKS,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def names(told: list[dict[str, Any]]) -> list[str]:
    return [each["name"] for each in told]


def check(seen: dict[str, Any]) -> None:
    """The tool was called once, and the answer came piece by piece."""
    assert seen["calls"] == [{"city": "Rome"}], seen
    assert "".join(seen["pieces"]) == ANSWER and len(seen["pieces"]) > 1, seen


def test_every_program_is_run() -> None:
    programs = sorted(path.stem.removeprefix("run_") for path in FRAMEWORKS.glob("run_*.py"))
    assert programs == ["agents", "instructor", "langchain", "llama_index"]


def test_the_agents_sdk_of_openai(polyglot: Served) -> None:
    told = run(polyglot, "agents", *MODELS)
    assert names(told) == [f"{way} {model}" for model in MODELS for way in ("responses", "chained", "chat")]
    for each in told:
        check(each)
        assert each["final"] == ANSWER and each["turns"] == 2 and each["tokens"] > 0, each


def test_langchain(polyglot: Served) -> None:
    told = run(polyglot, "langchain", *MODELS)
    assert names(told) == [f"{way} {model}" for model in MODELS for way in ("chat", "responses", "messages")]
    for each in told:
        check(each)
        assert each["final"] == ANSWER and each["tokens"] > 0, each


def test_llama_index(polyglot: Served) -> None:
    told = run(polyglot, "llama_index", *MODELS)
    assert names(told) == [f"chat {model}" for model in MODELS]
    for each in told:
        check(each)


def test_instructor(polyglot: Served) -> None:
    """It asks for one call at a time in messages, which is refused where the provider cannot be asked for it."""
    models = ["openai", "compatible", "anthropic"]
    told = run(polyglot, "instructor", *models)
    assert names(told) == [f"{way} {model}" for model in models for way in ("chat", "messages")]
    for each in told:
        assert each["calls"] == [{"city": "Rome"}]
        *parts, report = [json.loads(piece) for piece in each["pieces"]]
        assert report == {"sunny": False, "degrees": 0}
        assert parts[0] == {"sunny": None, "degrees": None}


def test_nothing_of_it_leaves_this_machine(polyglot: Served) -> None:
    """As is true of all other tests: `stay_here` is what the programs begin with."""
    for path in FRAMEWORKS.glob("run_*.py"):
        assert "\nstay_here()\n" in path.read_text(), path
