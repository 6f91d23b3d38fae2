"""Whole configurations of LiteLLM's: what becomes of each, and what is told of the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from hive_console.configuration import ConfigurationError, load
from hive_console.importing.litellm import Imported, import_litellm
from hive_console.importing.report import Level
from hive_console.importing.source import read_source
from hive_runtime.money import Tariff

DATA = Path(__file__).with_name("data")
NAMES = ("small", "azure_fleet", "clouds", "wildcards", "everything", "mistakes")
NOW = 1_790_000_000
FLAT = Tariff.of([("prompt", 2_500_000, 0), ("completion", 10_000_000, 0)])
PRICED = {
    ("openai", "gpt-4o"),
    ("azure", "gpt-35-turbo"),
    ("openai", "text-embedding-3-small"),
    ("groq", "llama-3.3-70b-versatile"),
    ("vertex", "gemini-2.5-flash"),
    ("gemini", "gemini-2.5-flash"),
    ("fireworks", "accounts/fireworks/models/llama-v3p3-70b-instruct"),
}
SECRET = re.compile(r"(?:sk|gsk)-plain|plain-[a-z]+-secret|secret-header|user:pw")


class Everything(dict[str, str]):
    """An environment in which every variable is set."""

    def get(self, name: str, default: object = None) -> str:
        return "https://a.example" if name.endswith("_BASE") else "value"


def imported(name: str) -> Imported:
    found = import_litellm(
        read_source(DATA / f"{name}.yaml"),
        lambda kind, _, model: FLAT if (kind, model) in PRICED else None,
        NOW,
    )
    found.report.add(found.lines_for_file())
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration(name: str) -> None:
    assert imported(name).text(f"{name}.yaml") == (DATA / f"{name}.expected.yaml").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_the_report(name: str) -> None:
    said = "".join(f"{line.level.value}: {line}\n" for line in imported(name).report.lines)

    assert said == (DATA / f"{name}.report.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_can_be_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "modelhive.yaml"
    found = imported(name)
    path.write_text(found.text(f"{name}.yaml"))
    environment: Mapping[str, str] = Everything()

    declared = load(path, environment)

    assert [each.name for each in declared.providers] == [each["name"] for each in found.providers]
    assert [each.id for each in declared.models] == [each["id"] for each in found.models]
    assert all(each.enabled for each in declared.providers)


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_shown(name: str) -> None:
    found = imported(name)
    told = " ".join(str(line) for line in found.report.lines)

    assert SECRET.search(found.text(name) + told + repr(found)) is None


@pytest.mark.parametrize(("name", "is_complete"), [(name, name == "small") for name in NAMES])
def test_only_what_is_carried_over_whole_is_complete(name: str, is_complete: bool) -> None:
    assert imported(name).report.is_complete is is_complete


def test_the_secrets_are_there_for_whoever_applies_them() -> None:
    found = imported("everything")

    assert [each.value for each in found.secrets] == ["sk-plain-text-secret-of-openai"]
    assert found.environment == {"GROQ_API_KEY": "gsk-plain-text-secret-of-groq"}


def test_the_same_twice_is_told_once() -> None:
    lines = imported("everything").report.lines

    assert len(lines) == len(set(lines))
    assert [line.level for line in lines] == sorted((line.level for line in lines), key=list(Level).index)


def test_own_values_count_before_included_ones() -> None:
    source = read_source(DATA / "everything.yaml")

    assert [each["model_name"] for each in source["model_list"]] == ["chat", "second"]
    assert source["litellm_settings"]["num_retries"] == 3
    assert "include" not in source


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a list", "must be a mapping"),
        ("a: [1", "is not YAML"),
        ("include: [missing.yaml]", "include: missing.yaml: there is no such file"),
        ("include: config.yaml", "includes itself"),
    ],
)
def test_a_source_that_cannot_be_read(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"{text}\n")

    with pytest.raises(ConfigurationError, match=re.escape(words)):
        read_source(path)


def test_an_empty_source() -> None:
    found = import_litellm({}, lambda *_: FLAT, NOW)

    assert found.text("config.yaml").endswith("providers: []\nmodels: []\n")
