"""A simulator on the test's loop, and clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import openai
import pytest

from hive_testing.simulator import Simulator


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        api_key="sk-test", base_url=sim.url, max_retries=0, timeout=5.0
    ) as connected:
        yield connected


@pytest.fixture
async def http(sim: Simulator) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=sim.control_url, timeout=5.0, trust_env=False) as connected:
        yield connected
