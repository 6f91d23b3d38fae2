"""One stage for all tests of a module: SDKs are slow to make."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from hive_routing.idempotency import MIGRATIONS
from hive_sql import open_database
from hive_testing.simulator import Simulator

pytest.register_assert_rewrite("services.routing.tests.matrix.checks")

from services.routing.tests.matrix.stage import Stage  # noqa: E402  # what it imports is rewritten


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    path: Path = tmp_path_factory.mktemp("matrix") / "routing.db"
    async with (
        Simulator(strict=True) as sim,
        open_database(f"sqlite+aiosqlite:///{path}", MIGRATIONS) as database,
    ):
        stage = Stage(sim, database)
        await stage.open()
        yield stage
        await stage.close()


@pytest.fixture
def stage(whole_stage: Stage) -> Stage:
    whole_stage.clear()
    return whole_stage
