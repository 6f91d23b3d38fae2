"""The rules of prices, each with its exact amount in pico-dollars per unit."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hive_billing.pricing import (
    FREE,
    Deployment,
    Model,
    Price,
    Provider,
    configured_tariff,
    dearest,
    parse_ceiling,
    price_all,
    rates_of,
)
from hive_runtime.money import Tariff

VENDOR = Provider("openai", "https://api.vendor.test/v1", free=False)
OTHER = Provider("openai", "https://api.other.test/v1", free=False)
UNKNOWN = Provider("openai", "http://127.0.0.1:9999/v1", free=False)
LOCAL = Provider("local", "", free=False)
OLLAMA = Provider("openai", "http://127.0.0.1:11434/v1", free=True)
PROVIDERS = {"vendor": VENDOR, "other": OTHER, "unknown": UNKNOWN, "local": LOCAL, "ollama": OLLAMA}

CHEAP = Tariff.of([("prompt", 2_000_000, 0), ("cached_prompt", 1_000_000, 0), ("completion", 9_000_000, 0)])
DEAR = Tariff.of([("prompt", 3_000_000, 0), ("completion", 8_000_000, 0)])
CEILING = Tariff.of([("prompt", 10_000_000, 0), ("completion", 30_000_000, 0)])


class List:
    """Two vendors with one model."""

    def find(self, kind: str, base_url: str, model: str) -> Tariff | None:
        return {(VENDOR.base_url, "m"): CHEAP, (OTHER.base_url, "m"): DEAR}.get((base_url, model))


def model(*at: str, configured: Tariff | None = None, fallbacks: tuple[str, ...] = ()) -> Model:
    return Model(tuple(Deployment(provider, "m") for provider in at), fallbacks, configured)


def priced(models: Mapping[str, Model], ceiling: Tariff | None = None) -> Mapping[str, Price]:
    return price_all(PROVIDERS, models, List(), ceiling).prices


def test_the_operators_price_comes_first_and_the_vendor_charges_its_own() -> None:
    own = configured_tariff({"prompt": "2.50", "completion": "10.00"}, 1_000_000)
    prices = priced({"a": model("vendor", configured=own)}, CEILING)
    assert prices["model/a"] == Price("configured", own)
    assert rates_of(own) == (("prompt", 2_500_000, 0), ("completion", 10_000_000, 0))
    assert prices["deployment/vendor/m"] == Price("listed", CHEAP)


def test_a_listed_model_costs_the_dearest_of_its_deployments_unit_by_unit() -> None:
    prices = priced({"a": model("vendor", "other")}, CEILING)
    assert prices["model/a"].source == "listed"
    # At the other vendor a cached token costs what any token of a prompt does.
    assert rates_of(prices["model/a"].tariff) == (
        ("prompt", 3_000_000, 0),
        ("cached_prompt", 3_000_000, 0),
        ("completion", 9_000_000, 0),
    )
    assert prices["deployment/vendor/m"] == Price("listed", CHEAP)
    assert prices["deployment/other/m"] == Price("listed", DEAR)


def test_the_dearest_counts_at_each_length_of_the_prompt() -> None:
    stepped = Tariff.of([("prompt", 1, 0), ("prompt", 9, 200_001), ("completion", 7, 0)])
    flat = Tariff.of([("prompt", 4, 0), ("completion", 5, 0), ("completion", 8, 100_000)])
    assert rates_of(dearest([stepped, flat])) == (
        ("prompt", 4, 0),
        ("completion", 7, 0),
        ("completion", 8, 100_000),
        ("prompt", 9, 200_001),
    )


@pytest.mark.parametrize("provider", ["local", "ollama"])
def test_what_runs_on_a_machine_of_the_operator_is_free(provider: str) -> None:
    prices = priced({"a": model(provider)}, CEILING)
    assert prices["model/a"] == prices[f"deployment/{provider}/m"] == Price("local", FREE)
    assert FREE.cost({"prompt": 10**9, "completion": 10**9, "reasoning": 10**9, "cached_prompt": 10**9}) == 0


def test_the_machine_of_the_operator_charges_nothing_whatever_tenants_pay() -> None:
    prices = priced({"a": model("local", configured=DEAR)})
    assert prices["model/a"] == Price("configured", DEAR)
    assert prices["deployment/local/m"] == Price("local", FREE)


def test_a_model_that_also_runs_elsewhere_is_not_free() -> None:
    assert priced({"a": model("local", "vendor")})["model/a"] == Price("listed", CHEAP)
    assert priced({"a": model("local", "unknown")})["model/a"] == Price("unpriced", None)


def test_what_nobody_lists_has_no_price_or_the_ceiling() -> None:
    assert priced({"a": model("unknown")}) == {
        "model/a": Price("unpriced", None),
        "deployment/unknown/m": Price("unpriced", None),
    }
    assert priced({"a": model("unknown")}, CEILING) == {
        "model/a": Price("ceiling", CEILING),
        "deployment/unknown/m": Price("model", CEILING),
    }


def test_an_unlisted_deployment_costs_what_the_dearest_of_its_models_does() -> None:
    prices = priced({"a": model("unknown", configured=CHEAP), "b": model("unknown", configured=DEAR)})
    assert prices["deployment/unknown/m"].source == "model"
    assert rates_of(prices["deployment/unknown/m"].tariff) == (
        ("prompt", 3_000_000, 0),
        ("cached_prompt", 3_000_000, 0),
        ("completion", 9_000_000, 0),
    )


def test_a_model_that_only_others_answer_for_costs_what_they_do() -> None:
    prices = priced(
        {"a": model(fallbacks=("b", "gone")), "b": model("vendor"), "c": model(fallbacks=("gone",))}
    )
    assert prices["model/a"] == Price("model", CHEAP)
    assert prices["model/c"] == Price("unpriced", None)


def test_a_model_waits_for_its_providers() -> None:
    found = price_all(
        {"vendor": VENDOR}, {"a": model("vendor", "late"), "b": model("vendor")}, List(), CEILING
    )
    assert found.prices.keys() == {"model/b", "deployment/vendor/m"}
    assert found.waiting == {"model/a", "deployment/late/m"}


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("prompt=10,completion=30", (("prompt", 10_000_000, 0), ("completion", 30_000_000, 0))),
        (" prompt = 0.0375 ,", (("prompt", 37_500, 0),)),
        ("image=40000", (("image", 40_000_000_000, 0),)),
        ("", ()),
    ],
)
def test_a_ceiling_is_dollars_per_million_units(text: str, rates: object) -> None:
    assert rates_of(parse_ceiling(text)) == rates


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prompt", "'prompt' is no price"),
        ("prompt=1,prompt=2", "'prompt=2' is no price of one more unit"),
        ("tokens=1", "no unit 'tokens'"),
        ("prompt=-1", "'-1' is not a decimal number"),
        ("prompt=1e3", "'1e3' is not a decimal number"),
        ("prompt=0.0000001", "finer than a pico-dollar"),
    ],
)
def test_a_wrong_ceiling_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_ceiling(text)


def test_rates_make_the_same_tariff_again() -> None:
    tariff = Tariff.of([("prompt", 1, 0), ("completion", 5, 0), ("prompt", 2, 1000), ("prompt", 3, 2000)])
    assert Tariff.of(rates_of(tariff)) == tariff
    assert Tariff.of(rates_of(Tariff.of([]))) == Tariff.of([])
