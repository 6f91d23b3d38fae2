"""Console on a database server: away, back again, and shared by two replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from hive_testing.servers.postgres import Postgres

Start = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
async def url(postgres: Postgres) -> AsyncIterator[str]:
    url = postgres.create_database()
    yield f"{url}?schema=console"
    if postgres.how == "started here":
        postgres.restore()
    postgres.drop_databases([url])


async def refused(desk: Any, method: str, path: str, body: Any = None) -> None:
    """503, with the seconds after which to ask again; in words for the caller."""
    answer = await desk.client.request(method, f"/api/admin{path}", json=body)
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "1"
    assert "database is not available" in answer.json()["error"]["message"]


async def test_an_outage_of_the_database_is_a_503_and_heals(
    start: Start, url: str, postgres: Postgres
) -> None:
    async with start(sql_url=url) as desk:
        await desk.ask("POST", "/tenants", {"id": "before"})
        await asyncio.to_thread(postgres.kill)
        for _ in range(2):
            await refused(desk, "GET", "/tenants")
            await refused(desk, "POST", "/tenants", {"id": "meanwhile"})
        await asyncio.to_thread(postgres.start)
        await desk.ask("POST", "/tenants", {"id": "after"})
        found = await desk.ask("GET", "/tenants")
        assert {each["id"] for each in found["data"]} == {"default", "before", "after"}
        await desk.until(lambda records: "after" in records.keys("tenant"))


async def test_replicas_change_the_same_state_and_tell_it_in_order(start: Start, url: str) -> None:
    async with (
        start(sql_url=url) as one,
        start(sql_url=url, folder="other", bus=one.host.bus) as other,
    ):

        async def change(desk: Any, number: int) -> None:
            await desk.ask("POST", "/tenants", {"id": f"tenant-{number}"})
            for name in ("first", "second"):
                await desk.ask("PATCH", f"/tenants/tenant-{number}", {"name": f"{name} {number}"})

        known = len(one.records.story)
        await asyncio.gather(*(change((one, other)[number % 2], number) for number in range(12)))
        await one.until(lambda records: len(records.story) >= known + 36)
        told = [record for _, record in one.records.story[known:] if record is not None]
        assert len(told) == 36
        revisions = [record.revision for record in told]
        assert revisions == sorted(revisions)
        assert len(set(revisions)) == 36
        names = {record.tenant.id: record.tenant.name for record in told}
        assert names == {f"tenant-{number}": f"second {number}" for number in range(12)}
