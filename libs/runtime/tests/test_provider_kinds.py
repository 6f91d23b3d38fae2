"""Kinds of providers: their addresses, and what is wrong with what operators write."""

from __future__ import annotations

import pytest

from hive_runtime.provider_kinds import KINDS, operations


@pytest.mark.parametrize(
    ("kind", "base_url", "options", "address"),
    [
        ("groq", "", {}, "https://api.groq.com/openai/v1"),
        ("groq", "http://gpu.test/v1", {}, "http://gpu.test/v1"),
        ("azure", "", {"resource": "acme"}, "https://acme.openai.azure.com"),
        ("azure", "https://proxy.test", {"resource": "acme"}, "https://proxy.test"),
        ("azure", "", {}, ""),
        ("vertex", "", {"project": "p"}, "https://aiplatform.googleapis.com"),
        (
            "vertex",
            "",
            {"project": "p", "location": "europe-west4"},
            "https://europe-west4-aiplatform.googleapis.com",
        ),
        ("vllm", "", {}, ""),
        ("local", "", {}, ""),
    ],
)
def test_a_kind_has_an_address_of_its_own(
    kind: str, base_url: str, options: dict[str, str], address: str
) -> None:
    assert KINDS[kind].address(base_url, options) == address


@pytest.mark.parametrize(
    ("kind", "options", "places"),
    [
        ("openai", {}, []),
        ("local", {}, []),
        ("local", {"speaks": "chat"}, ["options.speaks"]),
        ("any-llm", {"provider": "watsonx"}, []),
        ("any-llm", {}, ["options.provider"]),
        ("vllm", {"speaks": "chat, rerank"}, ["base_url"]),
        ("vllm", {"speaks": " , "}, ["options.speaks", "base_url"]),
        ("databricks", {"workspace": "dbc-1.cloud.test:8443"}, []),
        ("databricks", {"workspace": "https://dbc-1.test"}, ["options.workspace"]),
        ("databricks", {"workspace": "a.test/x?y"}, ["options.workspace"]),
        ("vertex", {"location": "a b"}, ["options.location", "options.project"]),
        ("azure", {"resource": "a", "api_version": "2024\n"}, ["options.api_version"]),
        ("azure", {"auth": "Bearer"}, ["options.auth", "base_url"]),
        ("azure", {"a": "1", "b": "2"}, ["options.a", "options.b", "base_url"]),
    ],
)
def test_every_problem_is_told_with_its_place(kind: str, options: dict[str, str], places: list[str]) -> None:
    found = list(KINDS[kind].problems("", options))
    assert [place for place, _ in found] == places
    assert all(words for _, words in found)


def test_a_list_of_operations_may_have_blanks() -> None:
    assert operations(" chat, responses,, rerank ") == ("chat", "responses", "rerank")
