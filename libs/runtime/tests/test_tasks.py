"""Tasks have an owner: what fails is heard of, what is left is ended."""

from __future__ import annotations

import asyncio

import pytest

from hive_runtime.tasks import Tasks


async def test_a_failure_is_reported_and_ends_nobody_else() -> None:
    heard: list[tuple[str, str]] = []
    tasks = Tasks(lambda name, error: heard.append((name, str(error))))

    async def fails() -> None:
        raise ValueError("broken")

    other = tasks.spawn(asyncio.sleep(60), "other")
    failing = tasks.spawn(fails(), "failing")
    await asyncio.wait([failing])
    assert heard == [("failing", "broken")] and not other.done() and len(tasks) == 1
    await tasks.close()
    assert other.cancelled() and len(tasks) == 0


async def test_nothing_starts_after_the_end() -> None:
    tasks = Tasks(lambda name, error: None)
    await tasks.close()
    with pytest.raises(RuntimeError, match="late"):
        tasks.spawn(asyncio.sleep(0), "late")


async def test_settling_waits_for_so_long() -> None:
    tasks = Tasks(lambda name, error: None)
    release = asyncio.Event()
    tasks.spawn(release.wait(), "waits")
    assert not await tasks.settle(0.01)
    release.set()
    assert await tasks.settle(10)
    await tasks.close()


async def test_the_end_of_a_task_is_told_even_where_it_never_began() -> None:
    tasks, ended = Tasks(lambda name, error: None), list[str]()
    tasks.spawn(asyncio.sleep(0), "runs", lambda: ended.append("runs"))
    tasks.spawn(asyncio.sleep(0), "never begins", lambda: ended.append("never begins")).cancel()
    assert await tasks.settle(10)
    assert sorted(ended) == ["never begins", "runs"]
