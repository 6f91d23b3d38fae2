"""Blobs: whole or not at all, in parts, swept by age."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hive_runtime.blobs import ObjectBlobs
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind


async def parts(count: int, broken: bool = False) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number % 256]) * 100_000
    if broken:
        raise ValueError("the client went away")


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_what_was_written_is_read_in_parts(tmp_path: Path) -> None:
    blobs = ObjectBlobs.in_folder(tmp_path, SystemClock())
    assert await blobs.write("requests/a", parts(20)) == 2_000_000
    found = [part async for part in blobs.read("requests/a")]
    assert b"".join(found) == b"".join([part async for part in parts(20)])
    assert max(len(part) for part in found) < 2_000_000
    await blobs.delete("requests/a")
    await blobs.delete("requests/a")
    assert files(tmp_path) == []


async def test_a_broken_write_leaves_nothing(tmp_path: Path) -> None:
    blobs = ObjectBlobs.in_folder(tmp_path, SystemClock())
    with pytest.raises(ValueError, match="went away"):
        await blobs.write("requests/a", parts(20, broken=True))
    assert files(tmp_path) == []


async def test_reading_what_is_not_there(tmp_path: Path) -> None:
    blobs = ObjectBlobs.in_folder(tmp_path, SystemClock())
    with pytest.raises(HiveError) as caught:
        _ = [part async for part in blobs.read("requests/a")]
    assert caught.value.kind is Kind.NOT_FOUND


async def test_sweeping_takes_what_is_old(tmp_path: Path) -> None:
    clock = SystemClock()
    blobs = ObjectBlobs.in_folder(tmp_path, clock)
    await blobs.write("requests/old", parts(1))
    await blobs.write("requests/new", parts(1))
    await blobs.write("kept/old", parts(1))
    for path in ("requests/old", "kept/old"):
        os.utime(tmp_path / path, (clock.now() - 7200, clock.now() - 7200))
    assert await blobs.sweep("requests", older_than=3600) == 1
    assert files(tmp_path) == ["kept/old", "requests/new"]


async def test_sweeping_takes_what_a_killed_process_had_begun(tmp_path: Path) -> None:
    clock = SystemClock()
    blobs = ObjectBlobs.in_folder(tmp_path, clock)
    begun = parts(1_000_000)
    writing = asyncio.create_task(blobs.write("requests/a", begun))
    async with asyncio.timeout(10):
        while not files(tmp_path):
            await asyncio.sleep(0.001)
    drafts = files(tmp_path)
    killed = tmp_path / "requests" / "b#1"
    (tmp_path / drafts[0]).rename(killed)  # as if the process had ended here
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    killed.write_bytes(b"x")
    os.utime(killed, (clock.now() - 7200, clock.now() - 7200))
    assert "#" in drafts[0]
    assert await blobs.sweep("requests", older_than=3600) == 1
    assert not killed.exists()
