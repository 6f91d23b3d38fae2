"""The started gateway over the provider simulator, and clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest

from hive_testing.gateway import PRICE, Gateway
from hive_testing.simulator import SimulatorThread


@pytest.fixture(scope="session")
def provider() -> Iterator[SimulatorThread]:
    """One simulator for all tests; take `simulator` to look at what arrived in yours."""
    with SimulatorThread() as running:
        yield running


@pytest.fixture(scope="session")
def catalogue(provider: SimulatorThread) -> dict[str, Any]:
    """The configuration: the simulator as several providers, and the models that the API reference names."""
    here = {"kind": "openai", "base_url": provider.url, "api_key": "sk-sim"}
    impatient = {"connect": 1, "first_byte": 0.5, "idle": 0.5, "total": 10}
    return {
        "providers": [
            {"name": "sim", **here},
            {"name": "impatient", **here, "timeouts": impatient},
            {"name": "renaming", **here, "output_bound_field": "max_completion_tokens"},
            {"name": "unreachable", "kind": "openai", "base_url": "http://127.0.0.1:1/v1"},
        ],
        "models": [
            _model("gpt-4o", fallbacks=["backup"]),
            _model("backup"),
            _model("gemini/gemini-2.5-pro", "gemini-2.5-pro"),
            _model("gpt-3.5-turbo-instruct"),
            _model("text-embedding-3-small", mode="embedding"),
        ],
    }


def _model(id: str, name: str = "", **fields: Any) -> dict[str, Any]:
    deployments = [{"provider": "sim", "model": name or id, "weight": 1}]
    return {"id": id, "deployments": deployments, "price": PRICE, **fields}


@pytest.fixture(scope="session")
def gateway(catalogue: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The process that most tests share; each takes `model` where it lets a provider fail."""
    with Gateway(tmp_path_factory.mktemp("gateway"), catalogue) as running:
        yield running


@pytest.fixture
def simulator(provider: SimulatorThread) -> Iterator[SimulatorThread]:
    """The provider, with nothing scripted, called or billed yet."""
    provider.reset()
    yield provider
    provider.reset()


@pytest.fixture
def model(gateway: Gateway) -> str:
    """A model that no other test asks: its provider may fail without being avoided elsewhere."""
    return gateway.add_model()


@pytest.fixture(scope="session")
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with gateway.client() as connected:
        yield connected


@pytest.fixture
async def async_client(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with gateway.async_client() as connected:
        yield connected
