"""Single entries of LiteLLM's configuration, and what they are here."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_console.importing.litellm import Imported, import_litellm
from hive_console.importing.prefixes import ELSEWHERE, VENDORS, split_model
from hive_runtime.money import Tariff
from hive_runtime.provider_kinds import KINDS


def imported(*entries: dict[str, Any], **sections: Any) -> Imported:
    return import_litellm(
        {"model_list": list(entries), **sections}, lambda *_: Tariff.of([("prompt", 1, 0)]), 0
    )


def entry(name: str = "m", info: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": params, "model_info": info or {}}


def told(found: Imported) -> str:
    return "\n".join(map(str, found.report.lines))


def test_every_prefix_is_a_kind_that_is_known() -> None:
    assert {vendor.kind for vendor in VENDORS.values()} <= KINDS.keys()
    assert not VENDORS.keys() & ELSEWHERE


@pytest.mark.parametrize(
    ("text", "named", "has_address", "expected"),
    [
        ("azure/x", "", False, ("azure", "x")),
        ("openrouter/openai/gpt-4o", "", False, ("openrouter", "openai/gpt-4o")),
        ("gpt-4o", "", False, ("openai", "gpt-4o")),
        ("claude-opus-4-5", "", False, ("anthropic", "claude-opus-4-5")),
        ("gemini-2.5-pro", "", False, ("vertex_ai", "gemini-2.5-pro")),
        ("anthropic.claude-v2", "", False, ("bedrock", "anthropic.claude-v2")),
        ("mine", "groq", False, ("groq", "mine")),
        ("groq/mine", "groq", False, ("groq", "mine")),
        ("mine", "", True, ("openai", "mine")),
        ("mine", "", False, None),
        ("meta-llama/x", "", False, None),
    ],
)
def test_whose_a_model_is(text: str, named: str, has_address: bool, expected: tuple[str, str] | None) -> None:
    assert split_model(text, named, has_address=has_address) == expected


@pytest.mark.parametrize(
    ("params", "provider", "model"),
    [
        (
            {"model": "openai/x", "api_base": "https://api.openai.com/v1", "api_key": "os.environ/K"},
            {"kind": "openai", "api_key": "${K}"},
            "x",
        ),
        (
            {
                "model": "openai/x",
                "api_base": "https://h.example/v1/chat/completions",
                "api_key": "os.environ/K",
            },
            {"kind": "compatible", "base_url": "https://h.example/v1", "api_key": "${K}"},
            "x",
        ),
        (
            {
                "model": "azure/x",
                "api_base": "https://r.openai.azure.com/openai",
                "azure_ad_token": "os.environ/T",
            },
            {
                "kind": "azure",
                "base_url": "https://r.openai.azure.com",
                "api_key": "${T}",
                "options": {"auth": "bearer"},
            },
            "x",
        ),
        (
            {"model": "anthropic/c", "api_base": "https://h.example/v1/messages"},
            {"kind": "anthropic", "base_url": "https://h.example", "api_key": "${ANTHROPIC_API_KEY}"},
            "c",
        ),
        (
            {"model": "bedrock/arn:aws:bedrock:eu-west-1:1:inference-profile/x", "api_key": "os.environ/B"},
            {"kind": "bedrock", "api_key": "${B}", "options": {"region": "${AWS_REGION_NAME}"}},
            "arn:aws:bedrock:eu-west-1:1:inference-profile/x",
        ),
        (
            {"model": "vertex_ai/gemini-2.5-pro"},
            {"kind": "vertex", "options": {"project": "${VERTEXAI_PROJECT}"}},
            "gemini-2.5-pro",
        ),
        (
            {"model": "ollama/llama3", "api_base": "http://localhost:11434"},
            {"kind": "ollama", "free": True, "base_url": "http://localhost:11434/v1"},
            "llama3",
        ),
        (
            {"model": "hosted_vllm/q"},
            {"kind": "vllm", "base_url": "${HOSTED_VLLM_API_BASE}"},
            "q",
        ),
        (
            {"model": "azure_ai/mistral-large", "api_base": "https://m.eastus.models.ai.azure.com"},
            {
                "kind": "compatible",
                "base_url": "https://m.eastus.models.ai.azure.com",
            },
            "mistral-large",
        ),
    ],
)
def test_where_it_is_served(params: dict[str, Any], provider: dict[str, Any], model: str) -> None:
    found = imported(entry(**params))

    (only,) = found.providers
    assert {name: value for name, value in only.items() if name != "name"} == provider
    assert found.models[0]["deployments"] == [{"provider": only["name"], "model": model}]


def test_a_server_without_a_name_for_its_key_gets_a_good_one() -> None:
    found = imported(
        entry(model="openai/x", api_base="https://10.0.0.7/v1", api_key="hidden-one"),
        entry("n", model="openai/y", api_base="https://llm.acme.example/v1", api_key="hidden-two"),
        entry("o", model="openai/z", api_base="https://llm.acme.example/v1", api_key="hidden-two"),
        entry("p", model="gpt-4o", api_key="hidden-three"),
        entry("q", model="gpt-4o"),
    )

    assert [each["api_key"] for each in found.providers] == [
        "${IMPORTED_OPENAI_API_KEY}",
        "${IMPORTED_LLM_OPENAI_API_KEY}",
        "${IMPORTED_OPENAI_API_KEY_2}",
        "${OPENAI_API_KEY}",
    ]


@pytest.mark.parametrize(
    ("limits", "weights"),
    [
        ([{"weight": 3}, {"weight": 1}], [3, 1]),
        ([{"weight": 0.25}, {"weight": 0.5}], [1, 2]),
        ([{"weight": 2}, {}], [1, 0]),
        ([{"rpm": 100}, {"rpm": 300}], [1, 3]),
        ([{"tpm": 1000}, {"tpm": 1000}], [None, None]),
        ([{}, {}], [None, None]),
        ([{"weight": 4_000_000}, {"weight": 1}], [1_000_000, 1]),
    ],
)
def test_weights(limits: list[dict[str, Any]], weights: list[int | None]) -> None:
    entries = [
        entry(model="gpt-4o", api_key=f"os.environ/K{number}", **each) for number, each in enumerate(limits)
    ]
    deployments = imported(*entries).models[0]["deployments"]

    assert [each.get("weight") for each in deployments] == weights


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=5).filter(any))
def test_weights_keep_their_order_and_their_zeros(weights: list[int]) -> None:
    entries = [
        entry(model="gpt-4o", api_key=f"os.environ/K{number}", weight=each)
        for number, each in enumerate(weights)
    ]
    found = [each.get("weight", 1) for each in imported(*entries).models[0]["deployments"]]

    assert all(0 <= each <= 1_000_000 for each in found)
    if len(set(found)) > 1:
        assert [each == 0 for each in found] == [each == 0 for each in weights]
        ranked = sorted(range(len(weights)), key=lambda each: weights[each])
        assert [found[each] for each in ranked] == sorted(found)


def test_the_same_deployment_twice_is_one() -> None:
    once = entry(model="gpt-4o", weight=2)
    found = imported(once, once, entry(model="groq/x", weight=1))

    assert [each["weight"] for each in found.models[0]["deployments"]] == [4, 1]


@pytest.mark.parametrize(
    ("orders", "expected"),
    [([1, 2], [None, 1]), ([5, 2], [1, None]), ([None, 1], [1, None]), ([None, None], [None, None])],
)
def test_order(orders: list[int | None], expected: list[int | None]) -> None:
    entries = [
        entry(model="gpt-4o", api_key=f"os.environ/K{number}", order=order)
        for number, order in enumerate(orders)
    ]

    assert [each.get("order") for each in imported(*entries).models[0]["deployments"]] == expected


@pytest.mark.parametrize(
    ("strategy", "routing"),
    [
        ("simple-shuffle", None),
        ("least-busy", "least_busy"),
        ("latency-based-routing", "lowest_latency"),
        ("cost-based-routing", "cheapest"),
        ("usage-based-routing", "least_busy"),
        ("of-my-own", None),
    ],
)
def test_the_strategy_is_of_models_with_several_deployments(strategy: str, routing: str | None) -> None:
    found = imported(
        entry(model="gpt-4o"),
        entry(model="groq/x"),
        entry("alone", model="gpt-4o"),
        router_settings={"routing_strategy": strategy},
    )

    policies = [each.get("routing", {}).get("policy") for each in found.models]
    assert policies == [routing, None]
    assert ("routing_strategy" in told(found)) is (strategy in ("usage-based-routing", "of-my-own"))


def test_prices() -> None:
    found = imported(
        entry("a", model="gpt-4o", input_cost_per_token="1e-07", output_cost_per_token=0.0000004),
        entry("b", {"output_cost_per_image": 0.04}, model="openai/gpt-image-1"),
        entry("c", model="gpt-4o", input_cost_per_token_above_200k_tokens=2e-6),
        entry("d", {"input_cost_per_token": 9}, model="gpt-4o", input_cost_per_token=0),
    )

    assert [each.get("price") for each in found.models] == [
        {"prompt": "0.1", "completion": "0.4", "per": 1_000_000},
        {"image": "0.04", "per": 1},
        None,
        {"prompt": "0", "per": 1_000_000},
    ]
    assert "input_cost_per_token_above_200k_tokens" in told(found)


TIERED = Tariff.of([("prompt", 1, 0), ("prompt", 2, 1000)])


@pytest.mark.parametrize(
    ("tariff", "price"),
    [
        (
            Tariff.of([("prompt", 2_500_000, 0), ("completion", 10_000_000, 0)]),
            {"prompt": "2.5", "completion": "10", "per": 1_000_000},
        ),
        (TIERED, None),
        (None, None),
    ],
)
def test_a_base_model_says_the_price(tariff: Tariff | None, price: dict[str, Any] | None) -> None:
    of_mine = entry(
        "mine", {"base_model": "azure/gpt-4o"}, model="azure/of-mine", api_base="os.environ/AZURE_API_BASE"
    )

    def list_price(kind: str, base_url: str, model: str) -> Tariff | None:
        return tariff if (kind, base_url, model) == ("azure", "", "gpt-4o") else None

    found = import_litellm({"model_list": [of_mine]}, list_price, 0)

    assert found.models[0].get("price") == price
    assert ("no price is known" in told(found)) is (price is None)


def test_odd_names_do_not_take_a_model_with_them() -> None:
    found = imported(
        entry("a", model="gpt-4o", region_name="EU West!"),
        entry(
            "b",
            model="bedrock/x",
            aws_region_name="eu-central-1",
            aws_bedrock_runtime_endpoint=f"https://{'x' * 60}.a",
        ),
        entry(
            "c",
            model="bedrock/x",
            aws_region_name="eu-west-1",
            aws_bedrock_runtime_endpoint=f"https://{'x' * 60}.a",
        ),
        router_settings={"model_group_alias": {"my own": "a", "fine": "a"}},
    )

    assert [each["id"] for each in found.models] == ["a", "b", "c"]
    assert found.models[0]["aliases"] == ["fine"]
    assert "region_name" in told(found) and "my own" in told(found)


def test_a_fallback_to_what_could_not_be_kept_is_taken_out() -> None:
    found = imported(
        entry("a", model="gpt-4o"),
        entry("b b", model="gpt-4o"),
        router_settings={"fallbacks": [{"a": ["b b"]}]},
    )

    assert [each["id"] for each in found.models] == ["a"]
    assert not found.models[0].get("fallbacks") and "b b" not in found.text("config.yaml")
    assert "'a' falls back to 'b b', which could not be kept" in told(found)


def test_timeouts_are_how_long_nothing_may_come() -> None:
    found = imported(
        entry("a", model="gpt-4o", timeout=5),
        entry("b", model="gpt-4o", timeout=1200.5),
        entry("c", model="gpt-4o"),
        router_settings={"timeout": 45},
        litellm_settings={"request_timeout": 99},
    )

    assert [each["timeouts"] for each in found.providers] == [
        {"first_byte": 5},
        {"first_byte": 1200.5, "total": 1200.5},
        {"first_byte": 45},
    ]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMED = st.sampled_from(
    [
        "model",
        "api_key",
        "api_base",
        "weight",
        "order",
        "rpm",
        "timeout",
        "organization",
        "tags",
        "stream_timeout",
    ]
)
ENTRY = st.fixed_dictionaries(
    {
        "model_name": st.sampled_from(["a", "b", "*", "x/*"]) | ANYTHING,
        "litellm_params": st.dictionaries(NAMED, ANYTHING, max_size=5).map(
            lambda params: {"model": "gpt-4o", **params}
        ),
        "model_info": st.dictionaries(
            st.sampled_from(["id", "mode", "access_groups", "max_input_tokens"]), ANYTHING, max_size=3
        ),
    }
)
ROUTER = st.dictionaries(
    st.sampled_from(
        ["fallbacks", "model_group_alias", "routing_strategy", "timeout", "context_window_fallbacks"]
    ),
    ANYTHING,
    max_size=4,
)


@given(st.lists(ENTRY | ANYTHING, max_size=4), ROUTER | ANYTHING, ANYTHING)
def test_whatever_stands_there_is_read(entries: list[Any], router: Any, settings: Any) -> None:
    found = imported(*entries, router_settings=router, litellm_settings=settings, credential_list=settings)

    found.text("config.yaml")
