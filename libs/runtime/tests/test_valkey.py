"""The client of a shared Valkey server: what it asks, and how it fares while the server is away."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.valkey import Script
from hive_runtime.valkey.circuit import FAILURES, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Circuit
from hive_runtime.valkey.client import Address, BadAddress, NetworkValkey
from hive_testing.certificates import self_signed
from hive_testing.servers.ports import free_port
from hive_testing.servers.proxy import TcpProxy

COUNT = Script("return redis.call('INCR', KEYS[1])")
BOUND = 20
"""Seconds, for what takes a fraction of one on an idle machine."""


@pytest.fixture
async def valkey(redis: Any) -> AsyncIterator[NetworkValkey]:
    client = NetworkValkey(redis.url, SystemClock(), call_seconds=BOUND)
    await client.ask("FLUSHDB")
    yield client
    await client.close()


async def answers(client: NetworkValkey) -> bool:
    try:
        await client.ask("PING")
    except HiveError:
        return False
    return True


async def until_it_answers(client: NetworkValkey) -> None:
    async with asyncio.timeout(BOUND):
        while not await answers(client):
            await asyncio.sleep(0.01)


async def refusal(client: NetworkValkey) -> HiveError:
    with pytest.raises(HiveError) as raised:
        await client.get("key")
    return raised.value


async def test_what_is_put_is_there_until_its_time_is_over(valkey: NetworkValkey) -> None:
    await valkey.put("key", b"\x00\xff", 60)
    assert await valkey.get(b"key") == b"\x00\xff"
    assert 59_000 < await valkey.ask("PTTL", "key") <= 60_000
    await valkey.put("brief", b"", 0.0001)
    assert (await valkey.delete("key", "none"), await valkey.get("key")) == (1, None)


async def test_a_script_gets_keys_and_arguments_and_gives_numbers_and_bytes(valkey: NetworkValkey) -> None:
    script = Script("return {KEYS[1], ARGV[1], 9007199254740991, {}, false}")
    assert await valkey.run(script, ["key"], [b"\x00"]) == [b"key", b"\x00", 2**53 - 1, [], None]
    await valkey.ask("SCRIPT", "FLUSH")
    assert await valkey.run(script, ["key"], [b"\x00"]) == [b"key", b"\x00", 2**53 - 1, [], None]


async def test_what_the_server_refuses_is_unavailable_and_does_not_mean_that_it_is_away(
    valkey: NetworkValkey,
) -> None:
    for _ in range(2 * FAILURES):
        with pytest.raises(HiveError) as raised:
            await valkey.run(Script("return redis.call('NONSENSE')"), [], [])
        assert raised.value.kind is Kind.UNAVAILABLE
    assert valkey.trouble is None and await answers(valkey)


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_it_fails_at_once_while_the_server_is_away_and_works_when_it_is_back(
    redis: Any, how: str
) -> None:
    client = NetworkValkey(redis.url, SystemClock())
    try:
        await until_it_answers(client)
        getattr(redis, how)()
        for _ in range(FAILURES):
            error = await refusal(client)
            assert (error.kind, error.retry_after) == (Kind.UNAVAILABLE, 1)
        assert client.trouble
        redis.restore()
        await until_it_answers(client)
        assert client.trouble is None
    finally:
        await client.close()


async def test_a_server_may_come_later(redis: Any) -> None:
    client = NetworkValkey(redis.url, SystemClock())
    redis.stop()
    try:
        for _ in range(FAILURES):
            await refusal(client)
        redis.start()
        await until_it_answers(client)
    finally:
        await client.close()


async def test_a_call_whose_answer_is_lost_happens_once(redis: Any, valkey: NetworkValkey) -> None:
    with TcpProxy(redis.address) as proxy:
        client = NetworkValkey(f"redis://{proxy.address}/0", SystemClock())
        await until_it_answers(client)
        proxy.stall()
        with pytest.raises(HiveError):
            await client.run(COUNT, ["lost"], [])
        proxy.cut()
        proxy.restore()
        await until_it_answers(client)
        assert await client.run(COUNT, ["made"], []) == 1
        assert int(await valkey.get("lost") or 0) <= 1
        await client.close()


async def test_many_calls_under_way_all_end_when_the_server_goes(redis: Any) -> None:
    client = NetworkValkey(redis.url, SystemClock())
    await until_it_answers(client)
    redis.pause()
    async with asyncio.timeout(BOUND):
        ended = await asyncio.gather(*(client.get("key") for _ in range(500)), return_exceptions=True)
    assert {type(each) for each in ended} == {HiveError}
    await client.close()


async def test_a_client_that_is_closed_refuses(redis: Any) -> None:
    client = NetworkValkey(redis.url, SystemClock())
    await client.close()
    assert (await refusal(client)).kind is Kind.UNAVAILABLE
    client = NetworkValkey(redis.url, SystemClock())
    await until_it_answers(client)
    await client.close()
    await client.close()
    assert (await refusal(client)).kind is Kind.UNAVAILABLE


async def test_a_wrong_password_is_unavailable_and_not_shown(redis: Any) -> None:
    client = NetworkValkey(redis.url.replace("//", "//somebody:pa55word@"), SystemClock())
    for _ in range(FAILURES):
        error = await refusal(client)
    assert "pa55word" not in error.message + (client.trouble or "")
    await client.close()


SILENT = """
import asyncio, sys, uvloop
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError
from hive_runtime.valkey.client import NetworkValkey

async def main(url, nowhere):
    for each in (url, nowhere):
        client = NetworkValkey(each, SystemClock(), call_seconds=2 if each == url else 0.1)
        try:
            assert await client.ask("PING") == b"PONG" and each == url
        except HiveError:
            assert each == nowhere
        await client.close()

uvloop.run(main(*sys.argv[1:]))
"""


def test_it_writes_nothing_to_the_standard_output_and_warns_of_nothing_on_uvloop(redis: Any) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", SILENT, redis.url, nowhere]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert "Warning" not in result.stderr and "Traceback" not in result.stderr, result.stderr


def test_addresses(tmp_path: Path) -> None:
    assert Address.of("redis://cache") == Address("cache", 6379, 0)
    assert Address.of("redis://:p%40ss@10.0.0.1:7000/3") == Address("10.0.0.1", 7000, 3, None, "p@ss")
    _, certificate = self_signed(tmp_path)
    found = Address.of(f"rediss://u:p@cache/1?ca={certificate}")
    assert found == Address("cache", 6379, 1, "u", "p", True, certificate.read_text())


@pytest.mark.parametrize(
    "content", ["", "\n", "pem", "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_certificates_trusts_nobody_by_mistake(tmp_path: Path, content: str) -> None:
    (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(BadAddress, match="no certificates"):
        Address.of(f"rediss://cache?ca={tmp_path}/ca.pem")


@pytest.mark.parametrize(
    "url",
    [
        "http://:secret@cache",
        "redis://:secret@cache/first",
        "redis://:secret@cache:port/0",
        "redis://:secret@/0",
        "rediss://:secret@cache/0?ca=/nowhere/ca.pem",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(BadAddress) as raised:
        Address.of(url)
    assert "secret" not in str(raised.value)


class StillClock(SystemClock):
    time = 1000.0

    def monotonic(self) -> float:
        return self.time


def test_the_circuit_lets_one_call_try_after_each_pause_until_one_succeeds() -> None:
    clock = StillClock()
    circuit = Circuit("cache", clock)
    for _ in range(FAILURES - 1):
        assert circuit.lets_through()
        circuit.failed("gone")
    assert circuit.trouble is None
    circuit.failed("gone")
    assert circuit.trouble == "gone"
    pause = FIRST_PAUSE_SECONDS
    for _ in range(8):
        assert not circuit.lets_through()
        clock.time += pause
        assert circuit.lets_through()
        assert not circuit.lets_through()
        circuit.failed("still gone")
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    clock.time += pause
    assert circuit.lets_through()
    circuit.succeeded()
    assert circuit.trouble is None and circuit.lets_through()
    circuit.failed("a single one")
    assert circuit.trouble is None


def test_failures_that_are_not_in_a_row_open_nothing() -> None:
    circuit = Circuit("cache", StillClock())
    for _ in range(10):
        circuit.failed("gone")
        circuit.succeeded()
    assert circuit.trouble is None
