"""The Redis of the tests: it answers, and comes back with its data."""

from __future__ import annotations

import socket

import pytest

from hive_testing.servers.proxy import TcpProxy
from hive_testing.servers.redis import Redis


def ask(address: str, line: str, seconds: float = 5.0) -> str:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(f"{line}\r\n".encode())
        return connection.recv(1024).decode()


def test_a_killed_server_comes_back_with_its_data(redis: Redis) -> None:
    assert redis.url == f"redis://{redis.address}/0"
    assert ask(redis.address, "SET mind kept") == "+OK\r\n"
    redis.kill()
    with pytest.raises(ConnectionRefusedError):
        ask(redis.address, "GET mind")
    redis.start()
    assert ask(redis.address, "GET mind") == "$4\r\nkept\r\n"


def test_a_paused_server_is_silent_and_goes_on(redis: Redis) -> None:
    redis.pause()
    with pytest.raises(TimeoutError):
        ask(redis.address, "PING", 0.2)
    redis.resume()
    assert ask(redis.address, "PING") == "+PONG\r\n"


def test_what_a_test_has_killed_is_restored(redis: Redis) -> None:
    redis.stop()
    redis.restore()
    redis.restore()
    assert ask(redis.address, "PING") == "+PONG\r\n"


def test_a_proxy_stands_between(redis: Redis) -> None:
    with TcpProxy(redis.address) as proxy:
        assert ask(proxy.address, "PING") == "+PONG\r\n"
        proxy.stall()
        with pytest.raises(TimeoutError):
            ask(proxy.address, "PING", 0.2)
        proxy.cut()
        with pytest.raises(ConnectionRefusedError):
            ask(proxy.address, "PING")
        proxy.restore()
        assert ask(proxy.address, "PING") == "+PONG\r\n"
