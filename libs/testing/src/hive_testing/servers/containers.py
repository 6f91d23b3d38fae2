"""Servers in containers, where a Docker engine answers: never asked by the presence of the `docker` command."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from hive_testing.servers.errors import ServerFailed, ServerUnavailable
from hive_testing.servers.ports import HOST
from hive_testing.servers.process import START_SECONDS, STOP_SECONDS

if TYPE_CHECKING:  # the libraries take a while to import, and most test runs need none of them
    from testcontainers.core.container import DockerContainer

PING_SECONDS = 2.0
SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True)
class Image:
    """What to run. ports: of the container, by those of this machine: they stay through a restart."""

    reference: str
    ports: Mapping[int, int]
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()


def engine_answers() -> bool:
    """Whether a Docker engine answers a ping within two seconds: the one of DOCKER_HOST, or of the usual socket."""
    scheme, _, where = os.environ.get("DOCKER_HOST", "").partition("://")
    host, _, port = where.rpartition(":")
    family, address = (
        (socket.AF_INET, (host, int(port or 0))) if scheme == "tcp" else (socket.AF_UNIX, where or SOCKET)
    )
    try:
        with socket.socket(family) as connection:
            connection.settimeout(PING_SECONDS)
            connection.connect(address)
            connection.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def trouble() -> tuple[type[Exception], ...]:
    """What the engine's library raises."""
    from docker.errors import DockerException  # type: ignore[import-untyped]
    from requests import RequestException

    return DockerException, RequestException, OSError


@dataclass
class Container:
    """A server's switch, by way of its container. answers: as of a Process."""

    name: str
    image: Image
    answers: Callable[[], bool]
    _container: DockerContainer | None = None

    def start(self) -> None:
        """The image is fetched where it is not there; raises ServerUnavailable, ServerFailed."""
        try:
            if self._container is None:
                self._container = self._make().start()
            elif self._state() != "running":
                self._wrapped().start()
        except trouble() as error:
            raise ServerUnavailable(f"no container of {self.image.reference}: {error}") from error
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if time.monotonic() > deadline:
                log = self.log[-4000:]
                self.close()
                raise ServerFailed(f"{self.name} did not answer in {START_SECONDS:g} s: {log}")
            time.sleep(0.05)

    def stop(self) -> None:
        self.resume()
        if self._state() == "running":
            self._wrapped().stop(timeout=int(STOP_SECONDS))

    def kill(self) -> None:
        if self._state() in ("running", "paused"):
            self._wrapped().kill()
            self._wrapped().wait(timeout=STOP_SECONDS)

    def pause(self) -> None:
        if self._state() == "running":
            self._wrapped().pause()

    def resume(self) -> None:
        if self._state() == "paused":
            self._wrapped().unpause()

    def close(self) -> None:
        if self._container:
            self._container.stop()
            self._container = None

    @property
    def log(self) -> str:
        return (
            "".join(part.decode(errors="replace") for part in self._container.get_logs())
            if self._container
            else ""
        )

    def _make(self) -> DockerContainer:
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(self.image.reference, env={**self.image.environment})
        for own, ours in self.image.ports.items():
            # Of loopback alone; its library knows how, though its types do not say so.
            container.ports[str(own)] = cast(Any, (HOST, ours))
        return container.with_command([*self.image.command]) if self.image.command else container

    def _wrapped(self) -> Any:
        assert self._container, f"{self.name} was never started"
        return self._container.get_wrapped_container()

    def _state(self) -> str:
        if not self._container:
            return "absent"
        self._wrapped().reload()
        return str(self._wrapped().status)
