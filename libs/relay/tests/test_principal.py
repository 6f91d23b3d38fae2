"""Who asks is the same on the other side of a stream: no models is not all of them."""

from __future__ import annotations

import pytest

from hive_relay.principal import Principal


@pytest.mark.parametrize("models", [None, frozenset(), frozenset({"a", "b"})])
def test_it_survives_its_way(models: frozenset[str] | None) -> None:
    principal = Principal("t", "key_1", models)
    assert Principal.of(principal.message()) == principal
