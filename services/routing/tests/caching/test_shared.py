"""Stores of answers as the port says, and what is particular to one that processes share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hive_routing.caching import Entry, Port, Shared
from hive_routing.caching.keys import tenant_tag
from hive_routing.caching.valkey import FORM, _decoded, _encode
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.valkey.client import NetworkValkey

ENTRY = Entry("t", "m", "p", "p/m", (b"x" * 100,), False, ((b"a", b"b"),), {"prompt": 1}, False, 7, 1000)
OTHER = replace(ENTRY, tenant_id="*")
BOUND = 20


def key(entry: Entry, name: bytes = b"k") -> bytes:
    return tenant_tag(entry.tenant_id) + name.ljust(32, b"\0")


# Both


async def test_it_gives_back_what_was_put(answers: Port) -> None:
    await answers.put(key(ENTRY), ENTRY, 60)
    assert await answers.get(key(ENTRY)) == ENTRY
    assert await answers.get(key(ENTRY, b"other")) is None
    await answers.put(key(ENTRY), replace(ENTRY, cost=8), 60)
    assert await answers.get(key(ENTRY)) == replace(ENTRY, cost=8)
    answers.followers += 1
    stats = await answers.stats()
    assert (stats.entries, stats.hits, stats.misses, stats.followers) == (1, 2, 1, 1)
    assert stats.bytes > 100


@pytest.mark.parametrize(("entry", "seconds"), [(ENTRY, 0.0), (replace(ENTRY, chunks=(b"x" * 2**20,)), 60.0)])
async def test_what_is_not_to_be_kept_takes_away_what_was_there(
    answers: Port, entry: Entry, seconds: float
) -> None:
    await answers.put(key(ENTRY), ENTRY, 60)
    await answers.put(key(ENTRY), entry, seconds)
    assert await answers.get(key(ENTRY)) is None


async def test_its_time_ends(answers: Port) -> None:
    await answers.put(key(ENTRY), ENTRY, 0.01)
    async with asyncio.timeout(BOUND):
        while await answers.get(key(ENTRY)) is not None:
            await asyncio.sleep(0.001)


async def test_a_tenant_is_cleared_alone(answers: Port) -> None:
    for number in range(1200):
        await answers.put(key(ENTRY, b"%d" % number), ENTRY, 60)
    await answers.put(key(OTHER), OTHER, 60)
    assert await answers.clear("nobody") == 0
    assert await answers.clear("*") == 1
    assert await answers.get(key(OTHER)) is None and await answers.get(key(ENTRY, b"7")) == ENTRY
    await answers.put(key(OTHER), OTHER, 60)
    assert await answers.clear("t") == 1200
    assert await answers.get(key(OTHER)) == OTHER
    assert await answers.clear() == 1
    assert (await answers.stats()).entries == 0


# Shared


@pytest.fixture
async def valkey(redis: Any) -> AsyncIterator[NetworkValkey]:
    client = NetworkValkey(redis.url, SystemClock(), call_seconds=BOUND)
    await client.ask("FLUSHDB")
    yield client
    await client.close()


ENTRIES = st.builds(
    Entry,
    st.text(max_size=5),
    st.text(max_size=5),
    st.text(max_size=5),
    st.text(max_size=5),
    st.lists(st.binary(max_size=20), max_size=4).map(tuple),
    st.booleans(),
    st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple),
    st.dictionaries(st.text(max_size=3), st.integers(0, 2**63 - 1), max_size=3),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**63 - 1),
)


@given(ENTRIES)
def test_an_entry_is_the_same_after_its_journey(entry: Entry) -> None:
    assert _decoded(FORM + _encode(entry), key(entry)) == entry


@given(st.integers(0, 200), st.integers(0, 255))
def test_what_was_damaged_is_no_answer_or_the_whole_one(position: int, byte: int) -> None:
    value = bytearray(FORM + _encode(ENTRY))
    assert _decoded(bytes(value[:position]), key(ENTRY)) in (None, ENTRY)
    assert len(value) > position or _decoded(bytes(value[:position]), key(ENTRY)) == ENTRY
    value[position % len(value)] = byte
    _decoded(bytes(value), key(ENTRY))  # raises nothing


async def test_processes_share_answers_and_figures(valkey: NetworkValkey) -> None:
    one, other = [Shared(valkey, SystemClock(), 1 << 20) for _ in range(2)]
    await one.put(key(ENTRY), ENTRY, 60)
    assert await other.get(key(ENTRY)) == ENTRY
    assert await other.get(key(ENTRY, b"none")) is None
    await other.stats()
    assert await one.get(key(ENTRY)) == ENTRY
    stats = await one.stats()
    assert (stats.entries, stats.hits, stats.misses) == (1, 2, 1)


async def test_nobody_gets_what_stands_under_the_key_of_another_tenant(valkey: NetworkValkey) -> None:
    store = Shared(valkey, SystemClock(), 1 << 20)
    await store.put(key(OTHER), ENTRY, 60)
    assert await store.get(key(OTHER)) is None


async def test_the_form_of_another_release_is_no_answer(valkey: NetworkValkey) -> None:
    store = Shared(valkey, SystemClock(), 1 << 20)
    await store.put(key(ENTRY), ENTRY, 60)
    (name,) = (await valkey.ask("SCAN", "0", "MATCH", "hive:cache:*:*", "COUNT", "1000"))[1]
    value = await valkey.get(name) or b""
    await valkey.put(name, b"2" + value[1:], 60)
    assert await store.get(key(ENTRY)) is None


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_one_that_is_away_has_no_answers_and_stops_nobody(redis: Any, how: str) -> None:
    client = NetworkValkey(redis.url, SystemClock())
    store = Shared(client, SystemClock(), 1 << 20)
    getattr(redis, how)()
    async with asyncio.timeout(BOUND):
        for _ in range(100):  # 25 seconds, were each to wait
            assert await store.get(key(ENTRY)) is None
            await store.put(key(ENTRY), ENTRY, 60)
        for call in (store.clear(), store.stats()):
            with pytest.raises(HiveError) as raised:
                await call
            assert raised.value.kind is Kind.UNAVAILABLE
        redis.restore()
        while await store.get(key(ENTRY)) is None:
            await store.put(key(ENTRY), ENTRY, 60)
            await asyncio.sleep(0.01)
    await client.close()


async def test_nobody_waits_until_an_answer_is_kept(answers: Port) -> None:
    answers.keep(key(ENTRY), ENTRY, 60)
    async with asyncio.timeout(BOUND):
        while await answers.get(key(ENTRY)) != ENTRY:
            await asyncio.sleep(0.001)


async def test_whoever_asks_while_an_answer_is_on_its_way_to_the_server_gets_it(
    valkey: NetworkValkey,
) -> None:
    store, other = [Shared(valkey, SystemClock(), 1 << 20) for _ in range(2)]
    before = asyncio.ensure_future(store.get(key(ENTRY)))
    await asyncio.sleep(0)
    store.keep(key(ENTRY), ENTRY, 60)
    assert (await store.get(key(ENTRY)), await before) == (ENTRY, ENTRY)
    async with asyncio.timeout(BOUND):
        while store._keeping:
            await asyncio.sleep(0.001)
    assert await other.get(key(ENTRY)) == ENTRY


async def test_what_cannot_be_kept_is_nobodys_failure(redis: Any) -> None:
    client = NetworkValkey(redis.url, SystemClock())
    store = Shared(client, SystemClock(), 1 << 20)
    await client.close()
    store.keep(key(ENTRY), ENTRY, 60)
    async with asyncio.timeout(BOUND):
        while store._keeping:
            await asyncio.sleep(0.001)
