"""Clusters that tests may break: each file has one of its own, whole again after every test."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from hive_testing.cluster import Cluster
from hive_testing.gateway import PRICE, Launch
from hive_testing.simulator import SimulatorThread

CREDIT = Decimal(1000)
MODELS = {
    "plain": "gpt-4o",
    "slow": "sim/latency=3",
    "stream": "sim/chunks=200,chunk_bytes=8,chunk_delay=0.1",
    "endless": "sim/chunks=100000,chunk_bytes=8,chunk_delay=0.05",
}
"""By what their provider does."""


@pytest.fixture(scope="module")
def provider() -> Iterator[SimulatorThread]:
    """The provider of this file's cluster, with its own bill."""
    with SimulatorThread(keep=50_000) as running:
        yield running


@pytest.fixture(scope="module")
def catalogue(provider: SimulatorThread) -> dict[str, Any]:
    here = {"kind": "openai", "base_url": provider.url, "api_key": "sk-sim"}
    models = [
        {"id": id, "deployments": [{"provider": "sim", "model": name}], "price": PRICE}
        for id, name in MODELS.items()
    ]
    return {"providers": [{"name": "sim", **here}], "models": models}


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Environment variables of this file's cluster, beside the usual ones."""
    return {}


@pytest.fixture(scope="module")
def own(catalogue: dict[str, Any], settings: dict[str, str], launch: Launch) -> Iterator[Cluster]:
    fixed = {"HIVE_BOOTSTRAP_CREDIT_USD": str(CREDIT), "HIVE_LOCAL_MODELS": "0", "HIVE_DISCOVER": "0"}
    with launch("cluster", catalogue, **fixed, **settings) as running:
        assert isinstance(running, Cluster)
        yield running


@pytest.fixture
def cluster(own: Cluster) -> Iterator[Cluster]:
    """All of it runs at the start of a test, and again at its end."""
    own.restore()
    yield own
    own.restore()
