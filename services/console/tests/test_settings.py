"""What console reads from its environment, and what it makes of nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from hive_console.settings import ConsoleSettings


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_variables_are_read_and_empty_ones_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HIVE_ADMIN_TOKEN": "token-of-the-test",
        "HIVE_BOOTSTRAP_KEY": "",
        "HIVE_CONFIG": "/etc/hive/prod.yaml",
        "HIVE_DISCOVER": "0",
        "HIVE_LOCAL_MODELS": "false",
        "OPENAI_API_KEY": "sk-upstream",
    }.items():
        monkeypatch.setenv(name, value)
    settings = ConsoleSettings()
    assert settings.admin_token is not None
    assert settings.admin_token.get_secret_value() == "token-of-the-test"
    assert settings.bootstrap_key is None
    assert settings.file == Path("/etc/hive/prod.yaml")
    assert (settings.discover, settings.local_models) == (False, False)
    assert settings.environment["OPENAI_API_KEY"] == "sk-upstream"


def test_no_secret_is_in_its_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HIVE_ADMIN_TOKEN", "HIVE_BOOTSTRAP_KEY", "HIVE_CREDENTIALS_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "very-secret-value")
    assert "very-secret-value" not in repr(ConsoleSettings())


def test_the_file_of_the_folder_is_read_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIVE_CONFIG", raising=False)
    assert ConsoleSettings().file is None
    (tmp_path / "modelhive.yaml").touch()
    assert ConsoleSettings().file == Path("modelhive.yaml")


def test_a_secret_that_can_be_guessed_is_taken_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIVE_BOOTSTRAP_KEY", "sk-test")
    monkeypatch.setenv("HIVE_ADMIN_TOKEN", "long-enough-to-be-a-token")
    assert [warning.split()[0] for warning in ConsoleSettings().warnings] == ["HIVE_BOOTSTRAP_KEY"]
