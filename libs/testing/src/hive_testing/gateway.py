"""A started gateway for tests: `modelhive serve` as a process of its own, and its footprint."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import psutil

from hive_testing.http import TIMEOUT, Connection, Door, RawAnswer, eventually
from hive_testing.served import (
    ADMIN_TOKEN,
    COMMAND,
    KEY,
    PRICE,
    Launch,
    Served,
    clean_environment,
    run_command,
)

__all__ = [
    "ADMIN_TOKEN",
    "COMMAND",
    "KEY",
    "PRICE",
    "TIMEOUT",
    "Connection",
    "Door",
    "Footprint",
    "Gateway",
    "Launch",
    "RawAnswer",
    "Served",
    "clean_environment",
    "eventually",
    "run_command",
]

ANSWERS_AT = re.compile(r"ModelHive answers at (\S+)/v1\s+\(internal:\s+(\S+?)\)")
START_SECONDS = 30.0
STOP_SECONDS = 15.0


class Footprint(NamedTuple):
    """What a process holds. files: open descriptors but the connections that are kept to providers."""

    files: int
    tasks: int
    in_flight: int


class Gateway(Served):
    """`with Gateway(folder, catalogue) as gateway:` starts the process; leaving it stops it with SIGTERM."""

    def __init__(self, folder: Path, catalogue: Mapping[str, Any] | None = None, **settings: str) -> None:
        super().__init__(folder, catalogue, settings)
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        self.spawn()
        try:
            eventually(self._answers, START_SECONDS, "the line with the addresses")
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code = self.stop()
        if error is None:
            assert code == 0, f"the gateway ended with {code}: {self.log[-2000:]}"
            assert self.complaints() == []

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it."""
        with (self.folder / "stdout").open("wb") as out, (self.folder / "stderr").open("wb") as err:
            self._process = subprocess.Popen(
                [COMMAND, "serve"], env=self.environment, cwd=self.folder, stdout=out, stderr=err
            )
        return self._process

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM, and the exit code; kills what does not end in time."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """The exit code; kills what does not end in time."""
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        """What it wrote on stdout."""
        return (self.folder / "stdout").read_text()

    @property
    def log(self) -> str:
        """What it wrote on stderr."""
        return (self.folder / "stderr").read_text()

    def complaints(self) -> list[str]:
        """The lines of the log that speak of a failure inside the process."""
        marks = ('"level": "error"', '"level": "critical"', "Traceback", "never awaited", "never retrieved")
        return [line for line in self.log.splitlines() if any(mark in line for mark in marks)]

    @property
    def url(self) -> str:
        return self._urls()[0]

    @property
    def internal_url(self) -> str:
        return self._urls()[1]

    def footprint(self, provider_url: str) -> Footprint:
        """provider_url: whose kept connections do not count."""
        figures = self.metrics()
        process, port = psutil.Process(self.pid), urlsplit(provider_url).port
        peers = [each.raddr for each in process.net_connections("tcp")]
        kept = sum(1 for peer in peers if peer and peer.port == port)
        tasks, in_flight = figures["hive_process_tasks"], figures["hive_edge_in_flight"]
        return Footprint(process.num_fds() - kept, int(tasks), int(in_flight))

    def settles(self, provider_url: str, most: Footprint, seconds: float = 10.0) -> Footprint:
        """Wait until the process holds no more than it did; raises AssertionError where it goes on to."""
        found: list[Footprint] = []

        def is_settled() -> bool:
            found.append(self.footprint(provider_url))
            return all(now <= before for now, before in zip(found[-1], most, strict=True))

        try:
            eventually(is_settled, seconds)
        except AssertionError:
            raise AssertionError(f"before: {most}, {seconds:g} s afterwards: {found[-1]}") from None
        return found[-1]

    @property
    def memory(self) -> int:
        """Resident bytes of the process, without its children."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"the gateway did not start: {self.output}{self.log}"
        return bool(ANSWERS_AT.search(self.output))

    def _urls(self) -> tuple[str, str]:
        found = ANSWERS_AT.search(self.output)
        assert found, "the gateway has not started"
        return found[1], found[2]
