"""Blobs held in memory: no file while there is room, none lost where there is none, and the room comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hive_runtime.blobs import ObjectBlobs
from hive_runtime.clock import SystemClock
from hive_runtime.held_blobs import HeldBlobs

MOST = 1000


async def content(*parts: bytes, broken: bool = False) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if broken:
        raise ValueError("the client went away")


def files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


@pytest.fixture
def blobs(tmp_path: Path) -> HeldBlobs:
    clock = SystemClock()
    return HeldBlobs(ObjectBlobs.in_folder(tmp_path, clock), clock, MOST)


async def read(blobs: HeldBlobs, path: str) -> bytes:
    return b"".join([part async for part in blobs.read(path)])


async def test_what_fits_is_no_file_and_one_part(blobs: HeldBlobs, tmp_path: Path) -> None:
    whole = bytes(MOST)
    assert await blobs.write("requests/a", content(whole)) == MOST
    assert [part is whole async for part in blobs.read("requests/a")] == [True]
    assert (files(tmp_path), blobs.held_bytes) == (0, MOST)
    await blobs.delete("requests/a")
    assert blobs.held_bytes == 0


async def test_what_does_not_fit_lies_beyond(blobs: HeldBlobs, tmp_path: Path) -> None:
    await blobs.write("requests/a", content(b"a" * 600))
    assert await blobs.write("requests/b", content(b"b" * 300, b"c" * 300, b"d")) == 601
    assert await read(blobs, "requests/b") == b"b" * 300 + b"c" * 300 + b"d"
    assert (files(tmp_path), blobs.held_bytes) == (1, 600)
    await blobs.delete("requests/b")
    await blobs.delete("requests/a")
    assert (files(tmp_path), blobs.held_bytes) == (0, 0)


@pytest.mark.parametrize("size", [300, 900])
async def test_a_broken_write_gives_its_room_back(blobs: HeldBlobs, tmp_path: Path, size: int) -> None:
    with pytest.raises(ValueError, match="went away"):
        await blobs.write("requests/a", content(bytes(size), bytes(size), broken=True))
    assert (files(tmp_path), blobs.held_bytes) == (0, 0)


@pytest.mark.parametrize(("first", "second"), [(10, 20), (10, 2000), (2000, 10), (2000, 3000)])
async def test_the_last_one_of_a_name_counts(
    blobs: HeldBlobs, tmp_path: Path, first: int, second: int
) -> None:
    for size in (first, second):
        await blobs.write("requests/a", content(b"x" * size))
    assert len(await read(blobs, "requests/a")) == second
    await blobs.delete("requests/a")
    assert (files(tmp_path), blobs.held_bytes) == (0, 0)
