"""LiteLLM's keys and teams: what its management API tells of them, and what they are here."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from hive_console.importing.litellm import Imported, Listed, import_litellm
from hive_console.importing.report import Level
from hive_console.wire import NewKey, NewTenant
from hive_runtime.money import Tariff

NOW = 1_790_000_000
HASH = hashlib.sha256(b"sk-an-old-key").hexdigest()
SOURCE = {
    "model_list": [
        {
            "model_name": "gpt-4o",
            "litellm_params": {"model": "gpt-4o"},
            "model_info": {"access_groups": ["good"]},
        },
        {
            "model_name": "fast",
            "litellm_params": {"model": "groq/x"},
            "model_info": {"access_groups": ["good", "cheap"]},
        },
        {"model_name": "anthropic/*", "litellm_params": {"model": "anthropic/*"}},
    ],
    "router_settings": {"model_group_alias": {"gpt-4": "gpt-4o"}},
}


def imported(keys: object, teams: object = (), tenant: str = "default") -> Imported:
    listed = Listed([("keys.json", keys)], [teams] if teams else [], tenant)
    return import_litellm(SOURCE, lambda *_: Tariff.of([("prompt", 1, 0)]), NOW, listed)


def of_keys(found: Imported) -> str:
    return "\n".join(
        str(line) for line in found.report.lines if "keys.json" in line.path or "teams" in line.path
    )


def body(**fields: Any) -> dict[str, Any]:
    """What becomes of one key; it is one that the admin API takes."""
    found = imported([{"token": HASH, "key_name": "sk-...-key", **fields}])
    (key,) = found.keys
    NewKey.model_validate(dict(key.body))
    for tenant in found.tenants:
        NewTenant.model_validate(dict(tenant))
    return {
        name: value
        for name, value in key.body.items()
        if name not in ("tenant", "name", "sha256", "last_four")
    }


def test_a_key_stays_the_same() -> None:
    found = imported(
        {"keys": [{"token": HASH, "key_alias": "laptop", "key_name": "sk-...-key"}], "total_pages": 1}
    )

    assert [each.body for each in found.keys] == [
        {"tenant": "default", "name": "laptop", "sha256": HASH, "last_four": "-key"}
    ]
    assert of_keys(found) == ""


@pytest.mark.parametrize(
    "answer",
    [
        {"key": HASH, "info": {"key_alias": "x"}},
        [{"key": "sk-an-old-key", "info": {"key_alias": "x"}}],
        [{"keys": [{"token": HASH, "key_alias": "x"}]}, {"keys": []}],
        {"keys": [{"token": "sk-an-old-key", "key_alias": "x"}]},
    ],
)
def test_the_forms_in_which_keys_are_told(answer: object) -> None:
    (key,) = imported(answer).keys

    assert (key.body["sha256"], key.body["name"]) == (HASH, "x")


def test_limits() -> None:
    found = body(rpm_limit=60, tpm_limit=100_000, max_parallel_requests=4, expires="2027-01-31T12:00:00Z")

    assert found == {"rpm": 60, "tpm": 100_000, "concurrency": 4, "expires_at": 1_801_396_800}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_budget": 10}, {"budget_usd": "10"}),
        ({"max_budget": 10, "spend": 2.5}, {"budget_usd": "7.5"}),
        ({"max_budget": 1, "spend": 2}, {"budget_usd": "0"}),
        ({"max_budget": 0.1, "spend": 0.0000000004}, {"budget_usd": "0.099999999"}),
        ({"max_budget": 5, "budget_duration": "1d"}, {"caps": {"day_usd": "5"}}),
        ({"max_budget": 5, "budget_duration": "24h", "spend": 3}, {"caps": {"day_usd": "5"}}),
        ({"max_budget": 5, "budget_duration": "7d"}, {"caps": {"week_usd": "5"}}),
        ({"max_budget": 5, "budget_duration": "30d"}, {"caps": {"month_usd": "5"}}),
        ({"max_budget": 5, "budget_duration": "1mo"}, {"caps": {"month_usd": "5"}}),
        ({"budget_duration": "30d"}, {}),
    ],
)
def test_budgets_that_are_the_same_here(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert body(**fields) == expected
    lines = imported([{"token": HASH, **fields}]).report.lines
    assert {line.level for line in lines if "keys.json" in line.path} <= {Level.DIFFERS}


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("1h", {"caps": {"day_usd": "5"}}),
        ("3d", {"caps": {"week_usd": "5"}}),
        ("14d", {"caps": {"month_usd": "5"}}),
        ("90d", {"budget_usd": "4"}),
        ("soon", {"budget_usd": "4"}),
    ],
)
def test_budgets_of_other_spans_are_never_larger(duration: str, expected: dict[str, Any]) -> None:
    fields = {"max_budget": 5, "spend": 1, "budget_duration": duration}

    assert body(**fields) == expected
    assert "budget_duration" in of_keys(imported([{"token": HASH, **fields}]))


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ([], None),
        (["all-proxy-models"], None),
        (["all-team-models"], None),
        (["gpt-4"], ["gpt-4"]),
        (["good"], ["gpt-4o", "fast"]),
        (["cheap", "fast"], ["fast"]),
        (["anthropic/*", "anthropic/claude-x"], ["anthropic/*", "anthropic/claude-x"]),
        (["missing", "gpt-4o"], ["gpt-4o"]),
        (["missing"], []),
    ],
)
def test_models(models: list[str], expected: list[str] | None) -> None:
    assert body(models=models).get("models") == expected
    assert ("'missing'" in of_keys(imported([{"token": HASH, "models": models}]))) is ("missing" in models)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"blocked": True}, "is blocked"),
        ({"expires": "2020-01-01T00:00:00"}, "has expired"),
        ({"rpm_limit": 0}, "may make no request"),
        ({"team_id": "litellm-dashboard"}, "a session of LiteLLM's UI"),
        ({"token": "not-a-hash"}, "without its hash"),
        ({"token": None}, "without its hash"),
    ],
)
def test_keys_that_stay_behind(fields: dict[str, Any], words: str) -> None:
    found = imported([{"token": HASH, "key_alias": "x", **fields}])

    assert found.keys == [] and words in of_keys(found)


def test_what_a_key_cannot_have_here() -> None:
    found = imported(
        [
            {
                "token": HASH,
                "metadata": {"model_rpm_limit": {"gpt-4o": 3}, "owner": "x"},
                "aliases": {"a": "gpt-4o"},
                "soft_budget": 3,
                "model_max_budget": {"gpt-4o": 1},
                "permissions": {},
            },
            HASH,
        ]
    )

    said = of_keys(found)
    for words in (
        "model_rpm_limit",
        "model_max_budget",
        "aliases",
        "soft_budget",
        "metadata",
        "return_full_object",
    ):
        assert words in said
    assert "permissions" not in said


def test_the_limits_of_a_tier_hold_where_a_key_has_none() -> None:
    tier = {"max_budget": 3, "budget_duration": "1d", "rpm_limit": 10, "tpm_limit": 20, "soft_budget": None}
    found = body(litellm_budget_table=tier, budget_id="tier-1", tpm_limit=5, rpm_limit=None, max_budget=None)

    assert found == {"rpm": 10, "tpm": 5, "caps": {"day_usd": "3"}}


def test_several_pages() -> None:
    assert "one page of 3" in of_keys(imported({"keys": [], "total_pages": 3}))


def test_teams_are_tenants() -> None:
    teams = [
        {
            "team_id": "9f0c-red",
            "team_alias": "Red",
            "models": ["good"],
            "max_budget": 100,
            "budget_duration": "30d",
            "rpm_limit": 10,
        },
        {"team_id": "blue team", "blocked": True, "max_budget": 50, "spend": 20},
    ]
    found = imported(
        [
            {"token": HASH, "team_id": "9f0c-red"},
            {"token": "0" * 64, "team_id": "green"},
            {"token": "1" * 64},
        ],
        teams,
        tenant="house",
    )

    assert found.tenants == [
        {
            "id": "9f0c-red",
            "name": "Red",
            "billing": {"mode": "metered", "caps": {"month_usd": "100"}},
            "models": ["gpt-4o", "fast"],
        },
        {"id": "blue-team", "name": "", "billing": {"mode": "metered"}, "disabled": True},
        {"id": "green", "name": "", "billing": {"mode": "metered"}},
    ]
    assert [each.body["tenant"] for each in found.keys] == ["9f0c-red", "green", "house"]
    said = of_keys(found)
    assert "a limit of all keys of a team together" in said
    assert "$30 of it is left" in said
    assert "the team 'green' becomes a tenant" in said
