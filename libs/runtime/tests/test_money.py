"""Money as integers: exact against fractions, rounded once, and shown without a binary fraction."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_runtime.money import (
    LARGEST,
    STANDS_IN,
    UNITS,
    Tariff,
    cost,
    format_usd,
    parse_price,
    parse_usd,
    price_of,
    show_usd,
)

UNIT = st.sampled_from(UNITS)
COUNTS = st.dictionaries(UNIT, st.integers(0, 10_000_000))
PRICES = st.dictionaries(UNIT, st.integers(0, 1_000_000_000))


def exact(units: Mapping[str, int], prices: Mapping[str, int]) -> Fraction:
    """Nano-dollars, not rounded."""
    return sum((Fraction(count * price_of(unit, prices), 1000) for unit, count in units.items()), Fraction(0))


@given(COUNTS, PRICES)
def test_a_cost_is_the_exact_one_rounded_once_half_to_even(
    units: dict[str, int], prices: dict[str, int]
) -> None:
    assert cost(units, prices) == round(exact(units, prices))


@pytest.mark.parametrize(
    ("count", "picos", "nanos"),
    [
        (1, 499, 0),
        (1, 500, 0),
        (1, 501, 1),
        (1, 1500, 2),
        (3, 500, 2),
        (5, 500, 2),
        (1, 2501, 3),
        (0, 9999, 0),
    ],
)
def test_halves_go_to_the_even_nano_dollar(count: int, picos: int, nanos: int) -> None:
    assert cost({"prompt": count}, {"prompt": picos}) == nanos


def test_what_is_counted_apart_is_rounded_together() -> None:
    prices = {"prompt": 400, "completion": 400}
    assert cost({"prompt": 1}, prices) + cost({"completion": 1}, prices) == 0
    assert cost({"prompt": 1, "completion": 1}, prices) == 1


def test_a_unit_without_a_price_costs_what_stands_in_for_it() -> None:
    prices = {"prompt": 10, "cache_write_5m": 12, "completion": 50}
    assert price_of("cached_prompt", prices) == 10
    assert price_of("cache_write_1h", prices) == 12
    assert price_of("cache_write_1h", {"prompt": 10}) == 10
    assert price_of("reasoning", prices) == price_of("audio_out", prices) == 50
    assert price_of("image", prices) == 0
    assert price_of("cached_prompt", prices | {"cached_prompt": 0}) == 0


def test_whatever_stands_in_is_a_unit_and_no_two_wait_for_each_other() -> None:
    assert set(STANDS_IN) | set(STANDS_IN.values()) <= set(UNITS)
    for unit in UNITS:
        assert price_of(unit, {}) == 0


@given(st.integers(-LARGEST, LARGEST))
def test_an_amount_is_read_as_it_is_written(nanos: int) -> None:
    assert parse_usd(format_usd(nanos)) == nanos


@given(st.integers(-(10**6), 10**6), st.integers(0, 999_999_999))
def test_an_amount_is_written_exactly(dollars: int, nanos: int) -> None:
    amount = dollars * 1_000_000_000 + nanos
    assert Fraction(format_usd(amount)) == Fraction(amount, 1_000_000_000)
    assert len(format_usd(amount).partition(".")[2]) >= 2


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("0", 0),
        ("1", 1_000_000_000),
        ("0.10", 100_000_000),
        ("-1.000000001", -1_000_000_001),
        ("0.1234567890", 123_456_789),
        ("9223372036.854775807", LARGEST),
    ],
)
def test_amounts_that_can_be_read(text: str, nanos: int) -> None:
    assert parse_usd(text) == nanos


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a decimal"),
        ("ten", "not a decimal"),
        ("1e3", "not a decimal"),
        ("1,5", "not a decimal"),
        (" 1", "not a decimal"),
        ("+1", "not a decimal"),
        (".5", "not a decimal"),
        ("1.", "not a decimal"),
        ("0.0000000001", "finer than a nano-dollar"),
        ("9223372036.854775808", "too large"),
    ],
)
def test_amounts_that_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_usd(text)


@pytest.mark.parametrize(
    ("text", "per", "picos"),
    [("0.0375", 1_000_000, 37_500), ("3.00", 1_000_000, 3_000_000), ("0.04", 1, 40_000_000_000), ("0", 7, 0)],
)
def test_prices_that_can_be_read(text: str, per: int, picos: int) -> None:
    assert parse_price(text, per) == picos


@given(st.integers(0, 10**12), st.sampled_from([1, 1000, 1_000_000]))
def test_a_price_is_exact_or_refused(millionths: int, per: int) -> None:
    text = format_usd(millionths * 1000)
    wanted = Fraction(millionths, 10**6) / per * 10**12
    if wanted.denominator == 1 and wanted <= LARGEST:
        assert parse_price(text, per) == wanted
    else:
        with pytest.raises(ValueError, match=r"finer|too large"):
            parse_price(text, per)


@pytest.mark.parametrize(("text", "per"), [("-1", 1), ("x", 1), ("1", 3), ("0.0000000000001", 1)])
def test_prices_that_cannot_be_read(text: str, per: int) -> None:
    with pytest.raises(ValueError, match=r"finer|not a decimal"):
        parse_price(text, per)


@pytest.mark.parametrize(
    ("nanos", "down", "up"),
    [
        (120_000_000, "$0.12", "$0.12"),
        (500_000_000, "$0.50", "$0.50"),
        (129_999_999, "$0.12", "$0.13"),
        (0, "$0.00", "$0.00"),
        (12_345_678_901, "$12.34", "$12.35"),
        (10_000_000, "$0.01", "$0.01"),
        (9_999_999, "$0.0099", "$0.01"),
        (1_234_567, "$0.0012", "$0.0013"),
        (1, "$0.000000001", "$0.000000001"),
        (-120_000_000, "-$0.12", "-$0.12"),
        (-125_000_000, "-$0.13", "-$0.12"),
    ],
)
def test_amounts_as_people_read_them(nanos: int, down: str, up: str) -> None:
    assert show_usd(nanos) == down
    assert show_usd(nanos, up=True) == up


@given(st.integers(0, 10**15))
def test_what_is_shown_is_no_more_than_there_is_and_no_less_than_it_costs(nanos: int) -> None:
    assert parse_usd(show_usd(nanos).removeprefix("$")) <= nanos
    assert parse_usd(show_usd(nanos, up=True).removeprefix("$")) >= nanos
    if nanos:
        assert parse_usd(show_usd(nanos).removeprefix("$")) > 0


class TestTariffs:
    TIERED = Tariff.of(
        [("prompt", 100, 0), ("completion", 500, 0), ("prompt", 200, 200_000), ("completion", 700, 400_000)]
    )

    @pytest.mark.parametrize(
        ("prompt", "prices"),
        [
            (0, (100, 500)),
            (199_999, (100, 500)),
            (200_000, (200, 500)),
            (399_999, (200, 500)),
            (400_000, (200, 700)),
        ],
    )
    def test_the_highest_tier_that_is_reached_holds_for_the_whole_request(
        self, prompt: int, prices: tuple[int, int]
    ) -> None:
        found = self.TIERED.prices(prompt)
        assert (found["prompt"], found["completion"]) == prices

    def test_every_kind_of_prompt_token_counts_for_the_tier(self) -> None:
        units = {"prompt": 100_000, "cached_prompt": 60_000, "cache_write_5m": 40_000, "completion": 10}
        assert self.TIERED.cost(units) == cost(units, {"prompt": 200, "completion": 500})
        assert self.TIERED.cost(units | {"cached_prompt": 59_999}) < self.TIERED.cost(units) // 2 + 10

    @given(COUNTS, PRICES)
    def test_one_tier_costs_what_its_prices_say(self, units: dict[str, int], prices: dict[str, int]) -> None:
        tariff = Tariff.of((unit, picos, 0) for unit, picos in prices.items())
        assert tariff.cost(units) == cost(units, prices)

    @given(COUNTS, PRICES, PRICES, st.integers(1, 1_000_000))
    def test_the_order_of_rates_does_not_matter(
        self, units: dict[str, int], low: dict[str, int], high: dict[str, int], start: int
    ) -> None:
        rates = [(unit, picos, 0) for unit, picos in low.items()]
        rates += [(unit, picos, start) for unit, picos in high.items()]
        assert Tariff.of(rates) == Tariff.of(rates[::-1])
        prompt = sum(units.get(unit, 0) for unit in UNITS[:4]) + units.get("audio_in", 0)
        assert Tariff.of(rates).cost(units) == cost(units, low | high if prompt >= start else low)

    def test_the_same_rates_give_the_same_object_and_others_do_not(self) -> None:
        rates = [("prompt", 100, 0), ("completion", 500, 0)]
        assert Tariff.of(rates) is Tariff.of(iter(rates))
        assert Tariff.of(rates) != Tariff.of([*rates, ("prompt", 200, 1000)])

    def test_free_is_what_costs_nothing_at_any_length(self) -> None:
        assert Tariff.of([]).is_free
        assert Tariff.of([("prompt", 0, 0)]).is_free
        assert not Tariff.of([("prompt", 0, 0), ("prompt", 1, 100)]).is_free
