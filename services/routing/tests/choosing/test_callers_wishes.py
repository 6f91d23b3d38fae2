"""The headers by which callers have a say in where they are served."""

from __future__ import annotations

import pytest

from hive_routing.choosing.terms import NO_WISHES, Region, Wishes
from hive_routing.choosing.wishes import HEADERS, read_hedge, read_region, with_header
from hive_runtime.errors import HiveError, Kind


@pytest.mark.parametrize(
    ("value", "region"),
    [
        ("eu", Region("eu")),
        (" EU-West-1 ", Region("eu-west-1")),
        ("eu;require", Region("eu", required=True)),
        ("eu ; Require", Region("eu", required=True)),
    ],
)
def test_a_region_is_preferred_or_required(value: str, region: Region) -> None:
    assert read_region(value) == region


@pytest.mark.parametrize("value", ["", ";require", "eu;", "eu;prefer", "eu,us", "e u", "eu-", "é", "x" * 65])
def test_what_is_no_region_is_refused(value: str) -> None:
    with pytest.raises(HiveError) as raised:
        read_region(value)
    assert (raised.value.kind, raised.value.param) == (Kind.INVALID, "x-hive-region")
    assert value[:80] in raised.value.message


@pytest.mark.parametrize(
    ("value", "seconds"), [("800", 0.8), (" 100 ", 0.1), ("60000", 60), ("0", 0), ("False", 0)]
)
def test_a_hedge_is_milliseconds(value: str, seconds: float) -> None:
    assert read_hedge(value) == seconds


@pytest.mark.parametrize("value", ["", "99", "60001", "-5", "0.8", "1s", "true", "9999999999", "²"])
def test_what_is_no_hedge_is_refused(value: str) -> None:
    with pytest.raises(HiveError) as raised:
        read_hedge(value)
    assert (raised.value.kind, raised.value.param) == (Kind.INVALID, "x-hive-hedge")


@pytest.mark.parametrize(
    ("region", "holds"), [("eu", True), ("eu-west-1", True), ("europe", False), ("us-eu", False), ("", False)]
)
def test_a_region_holds_what_is_within_it(region: str, holds: bool) -> None:
    assert Region("eu").holds(region) is holds


def test_headers_add_up() -> None:
    assert {b"x-hive-region", b"x-hive-hedge"} == HEADERS
    one = with_header(NO_WISHES, b"x-hive-region", b"eu;require")
    both = with_header(one, b"x-hive-hedge", b"250")
    assert both == Wishes(Region("eu", required=True), 0.25)
    with pytest.raises(HiveError):
        with_header(both, b"x-hive-hedge", "\u00e9".encode("latin-1"))
