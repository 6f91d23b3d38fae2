"""The price list that comes along, and the script that makes it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from hive_billing.listed import FILE, ListedPrices
from hive_runtime.money import UNITS, Tariff

ROOT = Path(__file__).resolve().parents[3]
OPENAI = "https://api.openai.com/v1"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/openai"


@pytest.fixture(scope="module")
def listed() -> ListedPrices:
    return ListedPrices.load()


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prices_script", ROOT / "scripts" / "prices.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["prices_script"] = module
    spec.loader.exec_module(module)
    return module


def prices(tariff: Tariff | None, prompt_tokens: int = 0) -> Mapping[str, int]:
    assert tariff is not None
    return tariff.prices(prompt_tokens)


def test_well_known_models_cost_what_their_vendors_say(listed: ListedPrices) -> None:
    assert prices(listed.find("openai", OPENAI, "gpt-4o")) == {
        "prompt": 2_500_000,
        "cached_prompt": 1_250_000,
        "completion": 10_000_000,
        "search": 10_000_000_000,
    }
    assert prices(listed.find("openai", OPENAI, "dall-e-3")) == {"image": 40_000_000_000}
    rerank = listed.find("openai", "https://api.cohere.com/compatibility/v1", "rerank-v3.5")
    assert prices(rerank) == {"search": 2_000_000_000}


def test_a_long_prompt_costs_more_at_google(listed: ListedPrices) -> None:
    tariff = listed.find("openai", GEMINI, "gemini-2.5-pro")
    assert prices(tariff, 200_000)["prompt"] == 1_250_000
    assert prices(tariff, 200_001)["prompt"] == 2_500_000
    assert prices(tariff, 200_001)["completion"] > prices(tariff, 200_000)["completion"]
    assert listed.find("openai", GEMINI, "models/gemini-2.5-pro") == tariff


def test_what_is_cached_is_cheaper_and_writing_it_dearer(listed: ListedPrices) -> None:
    claude = prices(listed.find("anthropic", "", "claude-sonnet-4-5-20250929"))
    assert claude["cached_prompt"] < claude["prompt"] < claude["cache_write_5m"] < claude["cache_write_1h"]
    deepseek = prices(listed.find("openai", "https://api.deepseek.com", "deepseek-v4-flash"))
    assert 0 < deepseek["cached_prompt"] * 10 < deepseek["prompt"] < deepseek["completion"]
    small, large = (listed.find("openai", OPENAI, name) for name in ("gpt-4o-mini", "gpt-4o"))
    assert prices(small)["prompt"] < prices(large)["prompt"]


def test_names_are_found_as_vendors_spell_them(listed: ListedPrices) -> None:
    found = listed.find("openai", OPENAI, "gpt-4o")
    assert (
        listed.find("openai", OPENAI, "GPT-4o") == listed.find("openai", OPENAI, "gpt-4o-2024-11-20") == found
    )
    assert listed.find("openai", OPENAI, "gpt-4o-20241120") == found
    assert listed.find("openai", "https://ours.openai.azure.com/openai/v1", "gpt-4o") == found
    router = "https://openrouter.ai/api/v1"
    assert prices(listed.find("openai", router, "anybody/anything:free")) == {"prompt": 0, "completion": 0}
    assert listed.find("openai", router, "openai/gpt-latest") is None
    assert listed.find("openai", router, "~openai/gpt-latest") is not None


@pytest.mark.parametrize(
    ("kind", "base_url", "model"),
    [
        ("openai", "http://127.0.0.1:9999/v1", "gpt-4o"),
        ("openai", "https://api.openai.com.example.test/v1", "gpt-4o"),
        ("openai", "https://example.test/api.openai.com", "gpt-4o"),
        ("openai", OPENAI, "no-such-model"),
        ("local", "", "smollm2-135m"),
        ("unheard-of", "", "gpt-4o"),
    ],
)
def test_nothing_is_listed_where_the_vendor_is_not(
    listed: ListedPrices, kind: str, base_url: str, model: str
) -> None:
    assert listed.find(kind, base_url, model) is None


def test_the_file_is_what_the_script_makes(script: ModuleType) -> None:
    if importlib.util.find_spec("genai_prices") is None:
        pytest.skip(
            "NOT CHECKED: the package genai-prices is absent, so listed_prices.json may be out of date"
        )
    made, _ = script.price_list()
    assert FILE.read_text() == made, "run scripts/prices.py"


def test_every_name_costs_what_the_package_says(script: ModuleType, listed: ListedPrices) -> None:
    if importlib.util.find_spec("genai_prices") is None:
        pytest.skip("NOT CHECKED: the package genai-prices is absent, so look-ups are not compared with it")
    from genai_prices.data import providers

    supplemented = {"openai": ("sora-2", "dall-e-"), "cohere": ("rerank",)}
    compared = 0
    for vendor in script.HOSTS:
        provider = next(each for each in providers if each.id == vendor)
        for model in provider.models:
            for name in script.names_of(model.match):
                nobody = script.NO_NAMES.get(vendor)
                plain = name.strip("*")
                if name.startswith("^") or (nobody and nobody.fullmatch(name)) or plain.endswith(":free"):
                    continue
                theirs = provider.find_model(plain, all_providers=providers)
                assert theirs is not None
                rates, _ = script.rates_of(script.prices_on(script.AS_OF, theirs.prices))
                if not rates or plain.startswith(supplemented.get(vendor, ("\0",))):
                    continue
                tariff = listed.find(vendor, "", plain)
                for start in (0, 10**9):
                    assert prices(tariff, start) == {
                        unit: steps[-1] if start else steps[0] for unit, steps in rates.items()
                    }, (vendor, plain)
                compared += 1
    assert compared > 1000


def test_the_list_is_small_whole_and_in_known_units(listed: ListedPrices) -> None:
    assert FILE.stat().st_size < 150 * 1024
    for vendor in listed._vendors.values():
        for names, rates in vendor.models:
            assert names and rates.keys() <= set(UNITS)
            assert all(number >= 0 for steps in rates.values() for number in steps)


LITELLM = """{
  "sample_spec": {"input_cost_per_token": 0.0},
  "small/model": {"litellm_provider": "small", "mode": "chat", "max_tokens": 4096,
    "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06,
    "input_cost_per_token_above_200k_tokens": 5e-06, "supports_vision": true},
  "painter": {"output_cost_per_image": 0.04, "mode": "image_generation"},
  "too-fine": {"input_cost_per_token": 1.23456789e-10},
  "nothing": {"max_tokens": 1}
}"""


def test_litellms_prices_become_a_snippet_of_the_configuration(script: ModuleType) -> None:
    assert script.snippet(script.from_litellm(LITELLM)) == (
        "models:\n"
        '  - id: "small/model"\n'
        '    price: {per: 1000000, prompt: "2.5", completion: "10", cached_prompt: "1.25"}\n'
        '    # prompts of more than 200000 tokens: {per: 1000000, prompt: "5"}\n'
        '  - id: "painter"\n'
        '    price: {per: 1, image: "0.04"}\n'
        "  # prompt: no whole number of pico-dollars\n"
        '  # - id: "too-fine"\n'
        '  #   price: {per: 1000000, prompt: "0.000123456789"}\n'
    )
