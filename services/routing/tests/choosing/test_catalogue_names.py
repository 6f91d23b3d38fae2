"""Models by their names, their other names and patterns; which of them a caller may ask."""

from __future__ import annotations

from typing import Any

import pytest

from hive_routing.catalogue import MOST_NAMES, Catalogue, Model
from hive_runtime.errors import HiveError, Kind


@pytest.fixture
def catalogue(make_model: Any, make_deployment: Any) -> Catalogue:
    found = Catalogue()
    found.put(make_model("gpt-5", "real-5", aliases=("gpt-latest", "fast")))
    found.put(make_model("claude-opus", "opus"))
    found.put(make_model("claude-*", make_deployment("claude-*")))
    found.put(make_model("anthropic/*", make_deployment("*"), make_deployment("fixed")))
    found.put(make_model("claude-sonnet-*", "sonnet"))
    return found


def found(catalogue: Catalogue, name: str, allowed: set[str] | None = None) -> tuple[str, list[str]] | None:
    try:
        model = catalogue.find(name, allowed)
    except HiveError as error:
        assert (error.kind, error.param, error.reason) == (Kind.NOT_FOUND, "model", "model_not_found")
        return None
    return model.id, [each.model for each in model.deployments]


@pytest.mark.parametrize(
    ("name", "id", "models"),
    [
        ("gpt-5", "gpt-5", ["real-5"]),
        ("gpt-latest", "gpt-5", ["real-5"]),
        ("claude-opus", "claude-opus", ["opus"]),
        ("claude-haiku-4", "claude-haiku-4", ["claude-haiku-4"]),
        ("claude-sonnet-4", "claude-sonnet-4", ["sonnet"]),
        ("anthropic/claude-opus", "anthropic/claude-opus", ["claude-opus", "fixed"]),
    ],
)
def test_names_are_found(catalogue: Catalogue, name: str, id: str, models: list[str]) -> None:
    assert found(catalogue, name) == (id, models)


@pytest.mark.parametrize(
    "name", ["gpt-6", "claude-", "claude-*", "anthropic/*", "claude-a/../b", "Claude-x", ""]
)
def test_others_are_not(catalogue: Catalogue, name: str) -> None:
    assert found(catalogue, name) is None


def test_what_a_pattern_makes_remembers_how_operators_wrote_it(catalogue: Catalogue) -> None:
    model = catalogue.find("anthropic/claude-opus", None)
    assert model.declared == "anthropic/*"
    assert [each.declared for each in model.deployments] == ["p/*", "p/fixed"]
    assert [each.id for each in model.deployments] == ["p/claude-opus", "p/fixed"]
    assert model.headers == ((b"x-hive-model", b"anthropic/claude-opus"),)
    assert dict(model.groups[0][0].headers)[b"x-hive-deployment"] == b"p/claude-opus"
    assert catalogue.find("gpt-latest", None).declared == "gpt-5"


@pytest.mark.parametrize(
    ("name", "allowed", "is_found"),
    [
        ("gpt-5", {"gpt-5"}, True),
        ("gpt-latest", {"gpt-5"}, True),
        ("gpt-latest", {"gpt-latest"}, True),
        ("gpt-5", {"gpt-latest"}, False),
        ("fast", {"gpt-latest"}, False),
        ("claude-haiku-4", {"claude-*"}, True),
        ("claude-haiku-4", {"claude-haiku-4"}, True),
        ("claude-haiku-4", {"claude-haiku-5"}, False),
        ("claude-opus", {"claude-*"}, False),
        ("gpt-5", set(), False),
    ],
)
def test_a_list_allows_by_any_of_the_names(
    catalogue: Catalogue, name: str, allowed: set[str], is_found: bool
) -> None:
    assert (found(catalogue, name, allowed) is not None) is is_found


def test_the_list_shows_aliases_and_no_patterns(catalogue: Catalogue) -> None:
    names = [model.id for model in catalogue.all(None)]
    assert names == ["claude-opus", "fast", "gpt-5", "gpt-latest"]
    assert [model.id for model in catalogue.all({"fast", "claude-*"})] == ["fast"]
    assert [model.id for model in catalogue.all({"gpt-5"})] == ["fast", "gpt-5", "gpt-latest"]


def test_an_exact_name_comes_before_an_alias(catalogue: Catalogue, make_model: Any) -> None:
    catalogue.put(make_model("fast", "real-fast"))
    assert found(catalogue, "fast") == ("fast", ["real-fast"])
    catalogue.drop("fast")
    assert found(catalogue, "fast") == ("gpt-5", ["real-5"])


def test_what_changes_is_seen_at_once(catalogue: Catalogue, make_model: Any, make_deployment: Any) -> None:
    assert found(catalogue, "claude-haiku-4") == ("claude-haiku-4", ["claude-haiku-4"])
    catalogue.put(make_model("claude-*", make_deployment("new-*")))
    assert found(catalogue, "claude-haiku-4") == ("claude-haiku-4", ["new-haiku-4"])
    catalogue.put(make_model("gpt-5", "other", aliases=("quick",)))
    assert found(catalogue, "gpt-latest") is None
    assert found(catalogue, "quick") == ("gpt-5", ["other"])
    catalogue.drop("gpt-5")
    catalogue.drop("claude-*")
    catalogue.drop("never there")
    assert found(catalogue, "quick") is None
    assert found(catalogue, "claude-haiku-4") is None
    assert found(catalogue, "claude-sonnet-4") is not None


def test_an_alias_that_moves_to_another_model_stays_there(catalogue: Catalogue, make_model: Any) -> None:
    catalogue.put(make_model("gpt-6", "real-6", aliases=("gpt-latest",)))
    catalogue.put(make_model("gpt-5", "real-5"))
    assert found(catalogue, "gpt-latest") == ("gpt-6", ["real-6"])


def test_as_many_names_are_remembered_as_fit(catalogue: Catalogue) -> None:
    for number in range(MOST_NAMES + 10):
        catalogue.find(f"claude-{number}", None)
    assert len(catalogue._named) == MOST_NAMES
    assert catalogue.find("claude-3", None) is catalogue.find("claude-3", None)


def test_fallbacks_are_found_by_any_name(catalogue: Catalogue, make_model: Any) -> None:
    names = ("fast", "claude-x", "no-such", "m", "gpt-5")
    m: Model = make_model("m", "a", fallbacks=names, context_fallbacks=("anthropic/big", "m"))
    catalogue.put(m)
    assert [each.id for each in catalogue.with_fallbacks(m, None)] == ["m", "gpt-5", "claude-x", "gpt-5"]
    assert [each.id for each in catalogue.with_fallbacks(m, {"m", "claude-*"})] == ["m", "claude-x"]
    assert [each.id for each in catalogue.context_fallbacks(m, None)] == ["anthropic/big"]
    assert catalogue.context_fallbacks(m, {"m"}) == []
