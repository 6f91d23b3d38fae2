"""What a service tells of a request says the same on the other side of a stream."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hive_relay.summary import Summary, message_of, summary_of

FULL = Summary("m", "p", "p/m", 30, 12, True, 7, 2, 1, ("secrets", "pii"), 3, True)


@pytest.mark.parametrize("summary", [Summary(), FULL, replace(FULL, cost_nanos=0)])
def test_it_survives_its_way(summary: Summary) -> None:
    assert summary_of(message_of(summary)) == summary


def test_the_fields_are_those_of_the_contract() -> None:
    told = message_of(FULL)
    assert {name: getattr(told, name) for name in FULL.__struct_fields__ if name != "guards"} == {
        name: getattr(FULL, name) for name in FULL.__struct_fields__ if name != "guards"
    }


def test_a_cost_that_is_too_large_to_be_told_costs_nobody_the_answer() -> None:
    assert message_of(replace(FULL, cost_nanos=2**70)).cost_nanos == 2**63 - 1
