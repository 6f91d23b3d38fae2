"""Copies of requests for another model: how many, when, and that nobody notices."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hive_routing.catalogue import Catalogue, Model
from hive_routing.choosing.mirrors import Mirrors
from hive_routing.choosing.terms import Mirror, Routing
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks


class Hall:
    """Mirrors, and what was copied to whom."""

    def __init__(self, model: Any, most: int = 32) -> None:
        self.failures: list[BaseException] = []
        self.copied: list[str] = []
        self.ended = 0
        self.going = asyncio.Event()
        self.catalogue = Catalogue()
        self.catalogue.put(model("other", "b", aliases=("alias",)))
        self.tasks = Tasks(lambda name, error: self.failures.append(error))
        self.mirrors = Mirrors(self.catalogue, self.tasks, random.Random(3), most)

    async def copy(self, model: Model) -> None:
        self.copied.append(model.id)
        try:
            await self.going.wait()
        finally:
            self.ended += 1


@pytest.fixture
async def hall(make_model: Any) -> AsyncIterator[Hall]:
    hall = Hall(make_model, most=3)
    yield hall
    await hall.tasks.close()
    assert hall.failures == []


def mirrored(make_model: Any, percent: float = 100, to: str = "other") -> Model:
    model: Model = make_model("m", "a", routing=Routing(mirror=Mirror(to, percent)))
    return model


async def test_a_copy_goes_to_the_other_model_without_waiting(hall: Hall, make_model: Any) -> None:
    assert hall.mirrors.reflect(mirrored(make_model), hall.copy)
    assert hall.copied == []
    await asyncio.sleep(0)
    assert hall.copied == ["other"]
    assert hall.mirrors.reflect(mirrored(make_model, to="alias"), hall.copy)
    await asyncio.sleep(0)
    assert hall.copied == ["other", "other"]


async def test_a_model_without_a_mirror_is_not_copied(hall: Hall, make_model: Any) -> None:
    assert not hall.mirrors.reflect(make_model("m", "a"), hall.copy)
    assert not hall.mirrors.reflect(mirrored(make_model, to="out-of-service"), hall.copy)
    assert len(hall.tasks) == 0


async def test_so_many_of_a_hundred_are_copied(hall: Hall, make_model: Any) -> None:
    hall.going.set()
    model, copies = mirrored(make_model, percent=5), 0
    for _ in range(4000):
        copies += hall.mirrors.reflect(model, hall.copy)
        await asyncio.sleep(0)
    assert 150 <= copies <= 250
    assert hall.mirrors.left_out == 0


async def test_what_is_too_much_at_once_is_left_out(hall: Hall, make_model: Any) -> None:
    assert [hall.mirrors.reflect(mirrored(make_model), hall.copy) for _ in range(5)] == [True] * 3 + [
        False
    ] * 2
    assert hall.mirrors.left_out == 2
    hall.going.set()
    await hall.tasks.settle(1)
    assert hall.mirrors.reflect(mirrored(make_model), hall.copy)


async def test_a_failure_troubles_nobody(hall: Hall, make_model: Any) -> None:
    async def fail(model: Model) -> None:
        raise HiveError(Kind.UPSTREAM_FAILED, "down")

    assert hall.mirrors.reflect(mirrored(make_model), fail)
    assert await hall.tasks.settle(1)


async def test_closing_ends_what_runs(hall: Hall, make_model: Any) -> None:
    for _ in range(2):
        hall.mirrors.reflect(mirrored(make_model), hall.copy)
    await asyncio.sleep(0)
    await hall.mirrors.close()
    assert hall.ended == 2
    assert len(hall.tasks) == 0
