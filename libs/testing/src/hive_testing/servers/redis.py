"""Redis on this machine: Debian's server, every write on disk before it is acknowledged."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from hive_testing.servers.commands import command
from hive_testing.servers.containers import Container, Image
from hive_testing.servers.control import Elsewhere
from hive_testing.servers.ports import HOST, free_port
from hive_testing.servers.process import Process
from hive_testing.servers.server import Server

IMAGE = "valkey/valkey:9.1.1-alpine3.24"


class Redis(Server):
    """A Redis or a Valkey. url: `redis://host:port/0`, for HIVE_CACHE_URL."""

    @property
    def address(self) -> str:
        """`host:port`, for a TcpProxy."""
        return self.url.partition("://")[2].rpartition("@")[2].partition("/")[0]


def redis_at(address: str) -> Redis:
    """The one that runs there. address: `redis://host:port/0`."""
    return Redis(address, "environment", Elsewhere("Redis"))


def start_redis(folder: Path) -> Redis:
    """Start one that keeps everything in `folder`, which exists. Raises ServerUnavailable, ServerFailed."""
    port = free_port()
    settings = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "no",  # a killed process loses nothing that the kernel has
        "save": "",
        "loglevel": "warning",
    }
    arguments = _arguments(settings)
    process = Process(
        "Redis", [command("redis-server", "redis-server"), *arguments], folder, lambda: _pongs(port)
    )
    process.start()
    return Redis(f"redis://{HOST}:{port}/0", "started here", process)


def redis_in_container() -> Redis:
    """The one of the cluster on a laptop. Raises ServerUnavailable, ServerFailed."""
    port = free_port()
    settings = {"appendonly": "yes", "appendfsync": "no", "save": ""}
    command = ["valkey-server", *_arguments(settings)]
    container = Container("Redis", Image(IMAGE, {6379: port}, command=command), lambda: _pongs(port))
    container.start()
    return Redis(f"redis://{HOST}:{port}/0", "testcontainers", container)


def _arguments(settings: Mapping[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in (f"--{name}", value)]


def _pongs(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
