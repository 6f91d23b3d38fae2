"""What the cache keeps, for how long, and how much memory it takes."""

from __future__ import annotations

import tracemalloc
from collections import OrderedDict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hive_routing.caching.store import Cache, Entry, Local, Port

ENTRY = Entry("t", "m", "p", "p/m", (b"x" * 100,), False, ((b"a", b"b"),), {"prompt": 1}, False, 7, 1000)


class StillClock:
    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def cache(max_bytes: int = 1 << 20, max_entry_bytes: int = 1 << 20) -> tuple[Cache, StillClock]:
    clock = StillClock()
    return Cache(clock, max_bytes, max_entry_bytes), clock


def test_it_gives_back_what_was_put() -> None:
    kept, _ = cache()
    kept.put(b"k", ENTRY, 10)
    assert kept.get(b"k") is ENTRY
    assert kept.get(b"other") is None
    stats = kept.stats()
    assert (stats.entries, stats.bytes, stats.hits, stats.misses) == (1, ENTRY.size, 1, 1)


def test_its_time_ends() -> None:
    kept, clock = cache()
    kept.put(b"k", ENTRY, 10)
    clock.time += 9.9
    assert kept.get(b"k") is ENTRY
    clock.time += 0.1
    assert kept.get(b"k") is None
    stats = kept.stats()
    assert (stats.entries, stats.bytes, stats.expired, stats.misses) == (0, 0, 1, 1)
    kept.put(b"k", ENTRY, 0)
    assert kept.stats().entries == 0


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    kept, _ = cache(max_bytes=3 * ENTRY.size)
    for key in (b"1", b"2", b"3"):
        kept.put(key, ENTRY, 10)
    kept.get(b"1")
    kept.put(b"4", ENTRY, 10)
    assert [key for key in (b"1", b"2", b"3", b"4") if kept.get(key)] == [b"1", b"3", b"4"]
    assert kept.stats().evicted == 1


def test_a_large_entry_is_not_kept_and_pushes_nobody_out() -> None:
    kept, _ = cache(max_bytes=10 * ENTRY.size, max_entry_bytes=ENTRY.size)
    kept.put(b"k", ENTRY, 10)
    large = replace(ENTRY, chunks=(b"x" * 101,))
    kept.put(b"large", large, 10)
    assert kept.get(b"large") is None and kept.get(b"k") is ENTRY
    kept.put(b"k", large, 10)
    assert kept.get(b"k") is None, "the old answer must not outlive a newer one"


def test_a_tenant_is_cleared_alone() -> None:
    kept, _ = cache()
    kept.put(b"1", ENTRY, 10)
    kept.put(b"2", replace(ENTRY, tenant_id="u"), 10)
    kept.put(b"3", ENTRY, 10)
    assert kept.clear("t") == 2
    assert kept.get(b"2") is not None and kept.get(b"1") is None
    assert kept.clear() == 1
    assert kept.stats().bytes == 0


async def test_the_port_is_the_cache() -> None:
    kept, _ = cache()
    port: Port = Local(kept)
    await port.put(b"k", ENTRY, 10)
    assert await port.get(b"k") is ENTRY
    assert await port.clear("t") == 1


_steps = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 5), st.integers(0, 3000), st.integers(1, 5)),
    st.tuples(st.just("get"), st.integers(0, 5), st.just(0), st.just(0)),
    st.tuples(st.just("wait"), st.integers(1, 3), st.just(0), st.just(0)),
)


@given(st.lists(_steps, max_size=40))
def test_it_is_a_bounded_dictionary(steps: list[tuple[str, int, int, int]]) -> None:
    """Against a model: nothing but the bounds and the times make it differ from a dictionary."""
    bound = 6000
    kept, clock = cache(bound, 4000)
    model: OrderedDict[bytes, tuple[Entry, float]] = OrderedDict()
    for kind, number, size, ttl in steps:
        key = bytes([number])
        if kind == "wait":
            clock.time += number
        elif kind == "put":
            entry = replace(ENTRY, chunks=(b"x" * size,))
            kept.put(key, entry, ttl)
            model.pop(key, None)
            if entry.size <= 4000:
                model[key] = entry, clock.time + ttl
            while sum(entry.size for entry, _ in model.values()) > bound:
                model.popitem(last=False)
        else:
            found = model.get(key)
            if found is not None and found[1] <= clock.time:
                del model[key]
                found = None
            if found is not None:
                model.move_to_end(key)
            assert kept.get(key) is (found[0] if found else None)
        stats = kept.stats()
        assert stats.entries == len(model) and stats.bytes == sum(e.size for e, _ in model.values()) <= bound


def test_what_it_counts_is_what_it_takes() -> None:
    """An entry takes no more memory than its size says, whatever it is made of."""
    for chunks, size, headers in ((1, 10, 0), (1, 5000, 8), (200, 60, 8), (2000, 1, 0)):
        assert _taken(chunks, size, headers) <= 1.0


def _taken(chunks: int, size: int, headers: int) -> float:
    """Bytes of memory for each byte that the cache counts."""
    kept, _ = cache(max_bytes=1 << 30)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(200):
            made: dict[str, Any] = {
                "chunks": tuple(bytes([number]) + bytes(size) for _ in range(chunks)),
                "headers": tuple((b"name-%d" % each, b"value-%d" % each) for each in range(headers)),
                "usage": {f"unit-{each}": number + 1000 for each in range(4)},
            }
            kept.put(b"%032d" % number, replace(ENTRY, **made), 10)
        return (tracemalloc.get_traced_memory()[0] - before) / kept.stats().bytes
    finally:
        tracemalloc.stop()
