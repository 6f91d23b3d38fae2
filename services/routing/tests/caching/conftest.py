"""Answers are kept in memory, or at a server: what uses the cache is tested with both."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hive_routing.caching import Cache, Local, Port, Shared
from hive_runtime.clock import SystemClock
from hive_runtime.valkey.client import NetworkValkey

PATIENT = 30.0
"""Seconds: the machine may be busy."""


@pytest.fixture(params=["memory", "valkey"])
async def answers(request: pytest.FixtureRequest) -> AsyncIterator[Port]:
    clock = SystemClock()
    if request.param == "memory":
        yield Local(Cache(clock, 1 << 24, 1 << 20))
        return
    valkey = NetworkValkey(request.getfixturevalue("redis").url, clock, call_seconds=PATIENT)
    await valkey.ask("FLUSHDB")
    yield Shared(valkey, clock, 1 << 20)
    await valkey.close()
