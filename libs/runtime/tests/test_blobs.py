"""Blobs: whole or not at all, in parts, swept by age; in a folder, in S3 over real HTTP, and held in memory."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hive_runtime.blobs import Blobs, ObjectBlobs, blobs_of
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.held_blobs import HeldBlobs

MOTO = """
import logging, sys
logging.disable(logging.CRITICAL)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False)
server.start()
print("up", flush=True)
sys.stdin.read()
"""


class LateClock(SystemClock):
    """Runs two hours ahead where it is told so: what was just written is old."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class S3:
    """moto's server in a process of its own, with one bucket."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", MOTO, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None and self.process.stdout.readline() == b"up\n"
        self.ask("PUT", "/bucket")

    def ask(self, method: str, path: str) -> bytes:
        with urllib.request.urlopen(urllib.request.Request(self.address + path, method=method)) as answer:
            found: bytes = answer.read()
            return found

    def url(self, prefix: str) -> str:
        return f"s3://bucket/{prefix}?endpoint={self.address}&region=eu-test-1"

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        server = S3(port)
        yield server
        server.close()


@pytest.fixture
def clock() -> LateClock:
    return LateClock()


@pytest.fixture(params=["folder", "s3", "held"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, clock: LateClock) -> Blobs:
    """Every test that asks for it runs on all. What is held has room for some of it: the rest lies in a folder."""
    if request.param == "held":
        return HeldBlobs(blobs_of(f"file://{tmp_path}", tmp_path / "nowhere", clock), clock, most=1_000_000)
    if request.param == "folder":
        return blobs_of(f"file://{tmp_path}", tmp_path / "nowhere", clock)
    server: S3 = request.getfixturevalue("s3")
    return blobs_of(server.url(f"{tmp_path.parent.name}/{tmp_path.name}"), tmp_path / "nowhere", clock)


async def parts(count: int, broken: bool = False, size: int = 100_000) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number % 256]) * size
    if broken:
        raise ValueError("the client went away")


async def exists(blobs: Blobs, path: str) -> bool:
    try:
        _ = [part async for part in blobs.read(path)]
    except HiveError as error:
        assert error.kind is Kind.NOT_FOUND
        return False
    return True


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("count", [0, 1, 20, 130])
async def test_what_was_written_is_read_in_parts(blobs: Blobs, count: int) -> None:
    """The largest is uploaded in several parts."""
    assert await blobs.write("requests/a", parts(count)) == count * 100_000
    found = [part async for part in blobs.read("requests/a")]
    assert b"".join(found) == b"".join([part async for part in parts(count)])
    assert max((len(part) for part in found), default=0) < 2_000_000
    await blobs.delete("requests/a")
    await blobs.delete("requests/a")
    assert not await exists(blobs, "requests/a")


@pytest.mark.parametrize("count", [1, 20, 130])
async def test_a_broken_write_leaves_nothing(blobs: Blobs, count: int) -> None:
    with pytest.raises(ValueError, match="went away"):
        await blobs.write("requests/a", parts(count, broken=True))
    assert not await exists(blobs, "requests/a")


async def test_a_broken_write_leaves_what_was_there(blobs: Blobs) -> None:
    await blobs.write("requests/a", parts(1))
    with pytest.raises(ValueError, match="went away"):
        await blobs.write("requests/a", parts(130, broken=True))
    assert b"".join([part async for part in blobs.read("requests/a")]) == bytes(100_000)


async def test_reading_what_is_not_there(blobs: Blobs) -> None:
    with pytest.raises(HiveError) as caught:
        _ = [part async for part in blobs.read("requests/a")]
    assert caught.value.kind is Kind.NOT_FOUND


async def test_sweeping_takes_what_is_old(blobs: Blobs, clock: LateClock) -> None:
    await blobs.write("requests/one", parts(1))
    await blobs.write("requests/deep/two", parts(1))
    await blobs.write("kept/three", parts(1))
    assert await blobs.sweep("requests", older_than=3600) == 0
    clock.ahead = 7200
    assert await blobs.sweep("requests", older_than=3600) == 2
    assert not await exists(blobs, "requests/one")
    assert await exists(blobs, "kept/three")


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


async def test_no_upload_is_left_open(s3: S3, tmp_path: Path) -> None:
    blobs = blobs_of(s3.url(tmp_path.name), tmp_path, SystemClock())
    with pytest.raises(ValueError, match="went away"):
        await blobs.write("requests/a", parts(130, broken=True))
    assert b"<Upload>" not in s3.ask("GET", "/bucket?uploads")


async def test_a_storage_that_is_away_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as nobody, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        blobs = blobs_of(f"s3://bucket/x?endpoint={address}", tmp_path, SystemClock())

        async def read() -> None:
            _ = [part async for part in blobs.read("a")]

        for work in (
            blobs.write("a", parts(1)),
            blobs.write("a", parts(130)),
            read(),
            blobs.delete("a"),
            blobs.sweep("a", 1),
        ):
            with pytest.raises(HiveError) as caught:
                await work
            assert (caught.value.kind, caught.value.retry_after) == (Kind.UNAVAILABLE, 1)
            assert "127.0.0.1" not in caught.value.message


async def test_a_storage_that_stops_answering_is_unavailable(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hive_runtime.blobs.STALL_SECONDS", 0.5)
    blobs = blobs_of(s3.url(tmp_path.name), tmp_path, SystemClock())
    s3.process.send_signal(signal.SIGSTOP)
    try:
        for work in (blobs.write("a", parts(1)), blobs.delete("a"), blobs.sweep("a", 1)):
            with pytest.raises(HiveError) as caught:
                await work
            assert caught.value.kind is Kind.UNAVAILABLE
    finally:
        s3.process.send_signal(signal.SIGCONT)
    await blobs.write("b", parts(1))
    assert await exists(blobs, "b")


async def test_a_folder_without_room_is_unavailable(tmp_path: Path) -> None:
    blobs = blobs_of("", tmp_path, SystemClock())
    (tmp_path / "blobs" / "requests").write_text("a file where a folder should be")
    with pytest.raises(HiveError) as caught:
        await blobs.write("requests/a", parts(1))
    assert caught.value.kind is Kind.UNAVAILABLE


@pytest.mark.parametrize(
    "url", ["s3:///x", "s3://b/x?color=red", "s3://user:pw@b/x", "file://host/x", "file:", "gs://b", "/blobs"]
)
def test_what_names_no_storage_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="give file:///<folder> or s3://"):
        blobs_of(url, tmp_path, SystemClock())
