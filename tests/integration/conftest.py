"""The started gateway over the provider simulator, and clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import httpx2
import openai
import pytest

from hive_testing.cluster import Cluster, Ground
from hive_testing.gateway import PRICE, Gateway, Launch, Served
from hive_testing.servers.clickhouse import ClickHouse
from hive_testing.servers.kafka import Kafka, start_kafka
from hive_testing.servers.postgres import Postgres
from hive_testing.servers.redis import Redis
from hive_testing.simulator import SimulatorThread
from tests.integration.official_sdks import Sdks


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
def ground(
    kafka: Kafka,
    postgres: Postgres,
    redis: Redis,
    clickhouse: ClickHouse,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ground]:
    """The servers that clusters stand on; the brokers that it starts end with it."""
    with ExitStack() as stack:

        def broker() -> Kafka:
            if kafka.how != "started here":
                return kafka
            started = start_kafka(tmp_path_factory.mktemp("kafka"))
            stack.callback(started.stop)
            return started

        yield Ground(broker, postgres, redis, clickhouse)


@pytest.fixture(scope="session")
def launch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Launch:
    """Starts what the scenarios run against: the embedded gateway, or with `--cluster` processes on real servers."""
    if request.config.getoption("--cluster"):
        ground: Ground = request.getfixturevalue("ground")
        return lambda name, catalogue=None, services=None, /, **settings: Cluster(
            tmp_path_factory.mktemp(name), ground.fresh(), catalogue, services, **settings
        )
    return lambda name, catalogue=None, services=None, /, **settings: Gateway(
        tmp_path_factory.mktemp(name), catalogue, **settings
    )


@pytest.fixture(scope="session")
def gateway(catalogue: dict[str, Any], launch: Launch) -> Iterator[Served]:
    """The gateway that most tests share; each takes `model` where it lets a provider fail."""
    with launch("gateway", catalogue) as running:
        yield running


@pytest.fixture
def simulator(provider: SimulatorThread) -> Iterator[SimulatorThread]:
    """The provider, with nothing scripted, called or billed yet."""
    provider.reset()
    yield provider
    provider.reset()


PLAIN = {
    "openai": "gpt-4.1",
    "compatible": "qwen3-8b",
    "anthropic": "claude-haiku-4-5",
    "gemini": "gemini-2.5-flash",
    "bedrock": "amazon.nova-lite-v1:0",
}
"""Providers of every dialect, and a model of each."""
THINKING = {
    "openai": "gpt-5.2",
    "compatible": "deepseek-r2",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-3-pro",
    "bedrock": "anthropic.claude-sonnet-4-5-v1:0",
}
"""Models that show their thoughts. Where these are signed, or encrypted, they have to come back so."""
FAILING = {
    "limited": "sim/status=429,retry_after=60",
    "cut": "sim/cut_after=7,chunk_delay=0.05,content=It lives in a hive with ten thousand sisters.",
}


@pytest.fixture(scope="session")
def polyglot_gateway(provider: SimulatorThread, launch: Launch) -> Iterator[Served]:
    """A gateway with providers of every dialect: models `openai`, `openai-thinks`, `openai-limited` and so on."""
    root = {"base_url": provider.control_url, "api_key": "sk-sim"}
    versioned = root | {"base_url": provider.url}
    providers: list[dict[str, Any]] = [
        {"name": "openai", "kind": "openai", **versioned},
        {"name": "compatible", "kind": "compatible", **versioned},
        {"name": "anthropic", "kind": "anthropic", **root},
        {"name": "gemini", "kind": "gemini", **root},
        {"name": "bedrock", "kind": "bedrock", **root, "options": {"region": "eu-central-1"}},
        {"name": "cohere", "kind": "cohere", **root},
    ]
    failing = {f"{name}-{how}": (name, model) for name in PLAIN for how, model in FAILING.items()}
    thinking = {f"{name}-thinks": (name, model) for name, model in THINKING.items()}
    served = {name: (name, model) for name, model in PLAIN.items()} | thinking | failing
    models = [
        {"id": id, "deployments": [{"provider": name, "model": model}], "price": PRICE}
        for id, (name, model) in served.items()
    ]
    models += [
        {
            "id": id,
            "deployments": [{"provider": "cohere", "model": model}],
            "mode": "rerank",
            "price": {"search": "10", "per": 1000},
        }
        for id, model in (("ranker", "rerank-v3.5"), ("ranker-limited", FAILING["limited"]))
    ]
    with launch("polyglot", {"providers": providers, "models": models}) as running:
        yield running


@pytest.fixture
def polyglot(polyglot_gateway: Served, simulator: SimulatorThread) -> Served:
    """That gateway, over providers that refuse what the real ones would."""
    for model in PLAIN.values():
        simulator.script(model=model, strict=True)
    for name, model in THINKING.items():
        strict = name != "compatible"  # OpenAI itself shows no thoughts in chats
        simulator.script(model=model, strict=strict, thinking="I look it up.")
    return polyglot_gateway


@pytest.fixture(scope="session")
def connected(polyglot_gateway: Served) -> Iterator[Sdks]:
    with httpx.Client(trust_env=False) as http, httpx2.Client(trust_env=False) as http2:
        yield Sdks(polyglot_gateway, http, http2)


@pytest.fixture
def sdks(polyglot: Served, connected: Sdks) -> Sdks:
    """The official SDKs, as clients of that gateway."""
    return connected


@pytest.fixture(scope="session")
def poor(polyglot_gateway: Served) -> str:
    """A key of that gateway with $0.05, which are too few for twenty thousand tokens."""
    made: str = polyglot_gateway.add_key(budget_usd="0.05")["key"]
    return made


@pytest.fixture
def model(gateway: Served) -> str:
    """A model that no other test asks: its provider may fail without being avoided elsewhere."""
    return gateway.add_model()


@pytest.fixture(scope="session")
def client(gateway: Served) -> Iterator[openai.OpenAI]:
    with gateway.client() as connected:
        yield connected


@pytest.fixture
async def async_client(gateway: Served) -> AsyncIterator[openai.AsyncOpenAI]:
    async with gateway.async_client() as connected:
        yield connected
