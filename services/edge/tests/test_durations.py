"""Durations as Go writes and parses them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_edge.durations import MILLISECOND, MINUTE, SECOND, go_duration, milliseconds

UNITS = {"ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": 60 * MINUTE}


def parsed(text: str) -> int:
    """After Go's `ParseDuration`: decimal numbers, each with a unit; raises where there is anything else."""
    assert re.fullmatch(r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+", text), text
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", text)
    return round(sum(float(number) * UNITS[unit] for number, unit in parts))


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (12 * MILLISECOND, "12ms"),
        (SECOND - 1, "1s"),
        (SECOND, "1s"),
        (1500 * MILLISECOND, "1.5s"),
        (59_999 * MILLISECOND, "59.999s"),
        (MINUTE, "1m0s"),
        (6 * MINUTE, "6m0s"),
        (61_250 * MILLISECOND, "1m1.25s"),
        (60 * MINUTE, "1h0m0s"),
        (25 * 60 * MINUTE + SECOND, "25h0m1s"),
    ],
)
def test_how_spans_are_written(span: int, text: str) -> None:
    assert go_duration(span) == text


@given(st.integers(0, 10**16))
def test_what_is_written_is_the_span_in_milliseconds_rounded_up(span: int) -> None:
    assert parsed(go_duration(span)) == milliseconds(span) * MILLISECOND >= span
