"""ClickHouse in tests: where there is none, an HTTP front over chDB stands in for it."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from hive_testing.servers.containers import Container, Image
from hive_testing.servers.control import Elsewhere
from hive_testing.servers.ports import HOST, free_port
from hive_testing.servers.process import Process
from hive_testing.servers.server import Server

IMAGE = "clickhouse/clickhouse-server:26.3.9.8"
SECONDS = 30.0


class ClickHouse(Server):
    """A ClickHouse, or what stands in for it. url: `http://host:port`, for HIVE_OLAP_URL; a database may follow."""

    @property
    def address(self) -> str:
        """`host:port`, for a TcpProxy."""
        where = urlsplit(self.url)
        return f"{where.hostname}:{where.port or 8123}"

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} ENGINE = Atomic")
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def drop_database(self, url: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {urlsplit(url).path.strip('/')} SYNC")

    def execute(self, statement: str) -> str:
        """What one statement gives, as text with tabs. Raises urllib's HTTPError."""
        where = urlsplit(self.url)
        parameters = urlencode({"user": where.username or "default", "password": where.password or ""})
        request = urllib.request.Request(f"{where.scheme}://{self.address}/?{parameters}", statement.encode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=SECONDS
        ) as answer:
            text: str = answer.read().decode()
            return text


def clickhouse_at(address: str) -> ClickHouse:
    """The one that runs there. address: `http://user:password@host:port`."""
    return ClickHouse(address, "environment", Elsewhere("ClickHouse"))


def start_clickhouse(folder: Path) -> ClickHouse:
    """Start the front, which keeps everything in `folder`. Raises ServerFailed."""
    port, data = free_port(), folder / "data"
    command = [sys.executable, "-m", "hive_testing.servers.clickhouse_front", str(data), str(port)]
    process = Process("ClickHouse", command, folder, lambda: _pings(port), {"TZ": "UTC"})
    process.start()
    return ClickHouse(f"http://{HOST}:{port}", "started here", process)


def clickhouse_in_container() -> ClickHouse:
    """The real server, the one of the cluster on a laptop. Raises ServerUnavailable, ServerFailed."""
    port = free_port()
    image = Image(IMAGE, {8123: port}, {"CLICKHOUSE_SKIP_USER_SETUP": "1", "TZ": "UTC"})
    container = Container("ClickHouse", image, lambda: _pings(port))
    container.start()
    return ClickHouse(f"http://{HOST}:{port}", "testcontainers", container)


def _pings(port: int) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://{HOST}:{port}/ping", timeout=2
        ) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
