"""One simulator for the tests that block, and clients of every provider's own SDK for it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any, NamedTuple

import anthropic
import boto3  # type: ignore[import-untyped]
import cohere
import httpx
import httpx2
import openai
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from google import genai

from hive_testing.simulator import SimulatorThread

ACCESS, SECRET = "AKIDSIM", "a secret"


class Clients(NamedTuple):
    raw: httpx2.Client
    claude: anthropic.Anthropic
    gpt: openai.OpenAI
    gemini: genai.Client
    bedrock: Any
    ranker_v1: cohere.Client
    ranker_v2: cohere.ClientV2


@pytest.fixture(scope="session")
def running() -> Iterator[SimulatorThread]:
    with SimulatorThread() as simulator:
        yield simulator


@pytest.fixture
def provider(running: SimulatorThread) -> SimulatorThread:
    running.reset()
    return running


@pytest.fixture(scope="session")
def clients(running: SimulatorThread) -> Iterator[Clients]:
    """A client costs more than what is asked with it."""
    url, secure = running.control_url, ssl.create_default_context()
    plain = httpx2.Client(base_url=url, timeout=5.0, trust_env=False, verify=secure)
    connection = httpx.Client(trust_env=False, verify=secure)  # Cohere's SDK does not close its own
    google = genai.Client(api_key="key", http_options={"base_url": url})
    amazon = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
        config=Config(retries={"max_attempts": 0}),
    )
    claude = anthropic.Anthropic(api_key="sk-ant", base_url=url, max_retries=0)
    gpt = openai.OpenAI(api_key="sk-test", base_url=running.url, max_retries=0, timeout=5.0)
    v1 = cohere.Client(api_key="key", base_url=url, httpx_client=connection)
    v2 = cohere.ClientV2(api_key="key", base_url=url, httpx_client=connection)
    yield Clients(plain, claude, gpt, google, amazon, v1, v2)
    for client in (plain, connection, google, amazon, claude, gpt):
        client.close()


@pytest.fixture
def raw(provider: SimulatorThread, clients: Clients) -> httpx2.Client:
    """Plain HTTP, with what every provider wants to see."""
    clients.raw.headers["anthropic-version"] = "2023-06-01"
    return clients.raw


@pytest.fixture
def claude(provider: SimulatorThread, clients: Clients) -> anthropic.Anthropic:
    return clients.claude


@pytest.fixture
def gpt(provider: SimulatorThread, clients: Clients) -> openai.OpenAI:
    return clients.gpt


@pytest.fixture
def gemini(provider: SimulatorThread, clients: Clients) -> genai.Client:
    return clients.gemini


@pytest.fixture
def bedrock(provider: SimulatorThread, clients: Clients) -> Any:
    """Every one of its requests has to be signed."""
    provider.require_key(f"{ACCESS}:{SECRET}")
    return clients.bedrock


@pytest.fixture
def ranker_v1(provider: SimulatorThread, clients: Clients) -> cohere.Client:
    return clients.ranker_v1


@pytest.fixture
def ranker_v2(provider: SimulatorThread, clients: Clients) -> cohere.ClientV2:
    return clients.ranker_v2
