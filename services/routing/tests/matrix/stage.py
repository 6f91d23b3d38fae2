"""The routing application in front of one simulated provider of every kind, and the SDKs that ask it."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_sql import Database
from hive_testing.simulator import Simulator
from services.routing.tests.conftest import Gateway
from services.routing.tests.matrix.asking import Asker
from services.routing.tests.matrix.provided import PROVIDED, Provided
from services.routing.tests.matrix.sdk_chat import ChatAsker
from services.routing.tests.matrix.sdk_gemini import GeminiAsker
from services.routing.tests.matrix.sdk_messages import MessagesAsker
from services.routing.tests.matrix.sdk_responses import ResponsesAsker
from services.routing.tests.matrix.sdk_transport import Door

PRICE = {
    "prompt": 1_000_000,
    "cached_prompt": 100_000,
    "cache_write_5m": 1_250_000,
    "cache_write_1h": 2_000_000,
    "completion": 4_000_000,
    "reasoning": 4_000_000,
}
"""Pico-dollars."""
IMPATIENT = "-impatient"
"""Behind the names of providers that are not waited for."""


class Stage:
    """Models are called as the dialects of their providers are."""

    def __init__(self, sim: Simulator, database: Database) -> None:
        self.sim = sim
        self.gateway = Gateway(sim, database)
        self.door = Door(self.gateway)
        self.askers: dict[str, Asker] = {
            each.name: each(self.door) for each in (ChatAsker, MessagesAsker, ResponsesAsker, GeminiAsker)
        }

    async def open(self) -> None:
        for dialect, each in PROVIDED.items():
            await self._add_provider(dialect, each, 10)
            await self._add_provider(f"{dialect}{IMPATIENT}", each, 1)
            await self.gateway.add_model(dialect, (f"{dialect}:{each.model}",), PRICE)

    async def _add_provider(self, name: str, each: Provided, seconds: float) -> None:
        await self.gateway.add_provider(
            name,
            each.url(self.sim.control_url),
            each.credential,
            kind=each.kind,
            options=each.options,
            timeouts={"connect": 10, "first_byte": seconds, "idle": seconds, "total": 60},
        )

    def clear(self) -> None:
        """Forget what other tests did."""
        self.sim.reset()
        self.gateway.log.closed.clear()
        self.gateway.log.opened.clear()

    @property
    def asked(self) -> Any:
        """The last body that a client sent."""
        return msgspec.json.decode(self.door.asked)

    async def close(self) -> None:
        for asker in self.askers.values():
            await asker.close()
        await self.gateway.close()
