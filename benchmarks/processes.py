"""The processes of a run: the upstream, the gateway in a data folder of its own, the load generator."""

from __future__ import annotations

import http.client
import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.bodies import Kind, requests
from benchmarks.load import Outcome, Plan
from benchmarks.measure import Tree

KEY = "sk-benchmarks-only"
ADMIN_TOKEN = "benchmarks-only"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 40.0
POLL = 0.005
SERVE = (str(Path(sys.executable).parent / "modelhive"), "serve")


class RunFailed(Exception):
    """The run cannot go on; its text says why."""


def raise_file_limit() -> int:
    """Allow this process and those it starts as many open files as the system lets them; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else sys.maxsize


@dataclass(frozen=True, slots=True)
class Upstream:
    port: int
    tree: Tree

    def release(self) -> None:
        """Let the streams that are held open finish."""
        status_of(self.port, b"POST /release HTTP/1.1\r\nhost: upstream\r\ncontent-length: 0\r\n\r\n")


@contextmanager
def upstream() -> Iterator[Upstream]:
    command = [sys.executable, "-m", "benchmarks.upstream"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            yield Upstream(int(process.stdout.readline()), Tree(process.pid))
        finally:
            process.stdin.close()
            _end(process)


@dataclass(frozen=True, slots=True)
class StartTimes:
    """Seconds from exec to the first 200."""

    ready: float
    first_chat: float


class Gateway:
    """A gateway that can be started again and again over the same data."""

    def __init__(self, folder: Path, upstream_port: int, command: Sequence[str] = SERVE) -> None:
        self.port, self.internal_port = free_ports(2)
        self.folder = folder
        self._command = command
        self._log = folder / "gateway.log"
        self._process: subprocess.Popen[bytes] | None = None
        config = folder / "modelhive.yaml"
        config.write_text(json.dumps(catalogue(upstream_port)))
        self._environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "HIVE_HOST": "127.0.0.1",
            "HIVE_PORT": str(self.port),
            "HIVE_INTERNAL_PORT": str(self.internal_port),
            "HIVE_DATA_DIR": str(folder / "data"),
            "HIVE_CONFIG": str(config),
            "HIVE_BOOTSTRAP_KEY": KEY,
            "HIVE_ADMIN_TOKEN": ADMIN_TOKEN,
            "HIVE_DISCOVER": "0",
            # A prepaid wallet: every request is held, as it is where money is short.
            "HIVE_BOOTSTRAP_CREDIT_USD": "100000",
        }

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def tree(self) -> Tree:
        return Tree(self.pid)

    def start(self) -> StartTimes:
        """Start it and wait until it answers a chat request."""
        began = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)
        ready = self._wait_for_200(b"GET /readyz HTTP/1.1\r\nhost: gateway\r\n\r\n") - began
        return StartTimes(ready, self._wait_for_200(next(requests(Kind.CHAT, self.port, KEY))) - began)

    def stop(self) -> None:
        """End it as an operator would, with SIGTERM; nothing happens where it does not run."""
        if self._process is not None:
            self._process.terminate()
            _end(self._process)
            self._process = None

    def signal(self, number: int) -> None:
        self._running().send_signal(number)

    def log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""

    def _wait_for_200(self, request: bytes) -> float:
        deadline = time.perf_counter() + START_TIMEOUT
        status = 0
        while time.perf_counter() < deadline:
            if self._running().poll() is not None:
                raise RunFailed(f"The gateway ended at its start:\n{self.log_tail()}")
            status = status_of(self.port, request)
            if status == 200:
                return time.perf_counter()
            time.sleep(POLL)
        path = request.split(b" ")[1].decode()
        raise RunFailed(
            f"{path} answers {status or 'nothing'} {START_TIMEOUT:g} s after the start:\n{self.log_tail()}"
        )

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RunFailed("The gateway does not run.")
        return self._process


def generate_load(plan: Plan, when_held: Callable[[], None] | None = None) -> Outcome:
    """Run the load generator; with a plan that holds streams, `when_held` is called while all are open."""
    command = [sys.executable, "-m", "benchmarks.load"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        try:
            process.stdin.write(msgspec.json.encode(plan) + b"\n")
            process.stdin.flush()
            if when_held is not None and process.stdout.readline() == b"\n":
                when_held()
            answer = process.stdout.readline()
        except BaseException:
            process.kill()
            raise
    if not answer:
        raise RunFailed(f"The load generator ended with {process.returncode}.")
    return msgspec.json.decode(answer, type=Outcome)


def catalogue(upstream_port: int) -> dict[str, object]:
    base_url = f"http://127.0.0.1:{upstream_port}/v1"
    failing_url = f"http://127.0.0.1:{upstream_port}/failing/v1"
    price = {"prompt": "2.50", "completion": "10.00", "per": 1_000_000}

    def deployment(provider: str) -> dict[str, object]:
        return {"provider": provider, "model": "bench-failover", "weight": 1}

    def model(name: str, **more: object) -> dict[str, object]:
        return {"id": name, "deployments": [{"provider": "bench", "model": name, "weight": 1}], **more}

    return {
        "providers": [
            {"name": "bench", "kind": "openai", "base_url": base_url, "api_key": "sk-upstream"},
            {"name": "failing", "kind": "openai", "base_url": failing_url, "api_key": "sk-upstream"},
        ],
        "models": [
            model("bench-model", price=price),
            model("bench-hold", price=price),
            model("bench-failover", price=price, deployments=[deployment("failing"), deployment("bench")]),
            model("bench-embed", mode="embedding", price={"prompt": "0.10", "per": 1_000_000}),
            model("bench-batch", mode="embedding", price={"prompt": "0.10", "per": 1_000_000}),
        ],
    }


def status_of(port: int, request: bytes) -> int:
    """The status that a request gets on a connection of its own; 0 where nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            answer.read()
            return answer.status
    except (OSError, http.client.HTTPException):
        return 0


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
