"""A started gateway for tests: `modelhive serve` as a process of its own, its two doors, its footprint."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import httpx2
import openai
import psutil
import yaml

T = TypeVar("T")

COMMAND = Path(sys.executable).with_name("modelhive")
PRICE = {"prompt": "2.50", "completion": "10", "per": 1_000_000}
"""What every model of a test costs: $2.50 and $10 per million tokens."""
KEY = "sk-hive-scenario-key-of-tenant-default"
ADMIN_TOKEN = "hive-admin-scenario-token"
ANSWERS_AT = re.compile(r"ModelHive answers at (\S+)/v1\s+\(internal:\s+(\S+?)\)")
START_SECONDS = 30.0
STOP_SECONDS = 15.0
TIMEOUT = 20.0


def eventually(probe: Callable[[], T], seconds: float = 5.0, what: str = "it") -> T:
    """The first truthy value of `probe`, asked again and again; raises AssertionError with the last one."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about within {seconds:g} s; last: {found!r}")
        time.sleep(0.02)
    return found


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer as its bytes said it. `complete`: the framing came to its end before the connection did."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool = True

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The inner object of an error body in OpenAI's form."""
        assert self.headers["content-type"].startswith("application/json"), self
        inner: dict[str, Any] = self.json["error"]
        return inner

    @property
    def events(self) -> list[str]:
        """The data of each event of a stream; comments are left out. Raises where a line is neither."""
        frames = [frame for frame in re.split(r"(?:\r?\n){2,}", self.body.decode()) if frame]
        lines = [line for frame in frames for line in frame.splitlines() if not line.startswith(":")]
        assert all(line.startswith("data: ") for line in lines), lines
        return [line.removeprefix("data: ") for line in lines]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """The events as JSON, without the [DONE]."""
        return [json.loads(event) for event in self.events if event != "[DONE]"]

    @property
    def text(self) -> str:
        """What a chat stream said."""
        deltas = [choice["delta"] for chunk in self.chunks for choice in chunk.get("choices", ())]
        return "".join(delta.get("content") or "" for delta in deltas)


class Connection:
    """A TCP connection on which a test says exactly what it wants. Every wait ends after `TIMEOUT`."""

    def __init__(self, address: tuple[str, int], receive_buffer: int | None) -> None:
        self._socket = socket.socket()
        self._buffer = b""
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(TIMEOUT)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Raises OSError where the other side has closed."""
        self._socket.sendall(data)

    def send_what_it_takes(self, data: bytes) -> None:
        """The same, but the other side may close in the middle: it may have answered already."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send(data)

    def end_sending(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def read(self) -> bytes:
        """What comes next; empty where the other side has closed."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        try:
            return self._socket.recv(65536)
        except ConnectionResetError:
            return b""

    def read_until(self, mark: bytes) -> bytes:
        """Up to and with `mark`; less where the other side closes before."""
        found = b""
        while mark not in found and (data := self.read()):
            found += data
        end = found.find(mark) + len(mark) if mark in found else len(found)
        self._buffer = found[end:]
        return found[:end]

    def read_all(self) -> bytes:
        """All that comes until the other side closes."""
        return b"".join(iter(self.read, b""))

    def read_answer(self) -> RawAnswer:
        """The next answer, interim ones skipped; asserts that there is one."""
        head = self.read_until(b"\r\n\r\n").decode("latin-1")
        assert head.startswith("HTTP/1.1 "), f"no answer but {head!r}"
        status, fields = int(head[9:12]), head.split("\r\n")[1:-2]
        if status == 100:
            return self.read_answer()
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
        body, complete = self._read_body(headers)
        return RawAnswer(status, headers, body, complete)

    def _read_body(self, headers: Mapping[str, str]) -> tuple[bytes, bool]:
        if headers.get("transfer-encoding") == "chunked":
            return self._read_chunks()
        return self._read_exactly(int(headers.get("content-length", "0")))

    def _read_exactly(self, size: int) -> tuple[bytes, bool]:
        found = b""
        while len(found) < size and (data := self.read()):
            found += data
        self._buffer = found[size:]
        return found[:size], len(found) >= size

    def _read_chunks(self) -> tuple[bytes, bool]:
        parts: list[bytes] = []
        while line := self.read_until(b"\r\n"):
            data, complete = self._read_exactly(int(line, 16) + 2)
            if len(data) == 2 or not complete:
                return b"".join(parts), complete
            parts.append(data[:-2])
        return b"".join(parts), False


class Door:
    """One of the gateway's listeners; `credential` goes with every `ask` that brings none of its own."""

    def __init__(self, url: str, credential: str) -> None:
        self.url = url
        self._credential = credential
        where = urlsplit(url)
        self._address = (where.hostname or "", where.port or 0)

    def connect(self, receive_buffer: int | None = None) -> Connection:
        """receive_buffer: bytes that the kernel takes in for a client that does not read."""
        return Connection(self._address, receive_buffer)

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> RawAnswer:
        """One request on a connection of its own. body: bytes as they are, anything else as JSON."""
        with self.connect() as connection:
            connection.send_what_it_takes(self.request(method, path, body, headers))
            return connection.read_answer()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        keep_alive: bool = False,
    ) -> bytes:
        """The bytes of a request."""
        fields = {"host": "gateway", "authorization": f"Bearer {self._credential}"} | dict(headers or {})
        if headers is not None and headers.keys() & {"authorization", "x-api-key", "api-key"}:
            fields = {"host": "gateway"} | dict(headers)
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        if body is not None:
            fields = {"content-type": "application/json", "content-length": str(len(data))} | fields
        if not keep_alive:
            fields["connection"] = "close"
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + data


class Footprint(NamedTuple):
    """What a process holds. files: open descriptors but the connections that are kept to providers."""

    files: int
    tasks: int
    in_flight: int


def clean_environment(folder: Path, **settings: str) -> dict[str, str]:
    """An environment with nothing of this machine in it but where programs are; the home is `folder`."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "HIVE_DATA_DIR": str(folder / "data"),
        "HIVE_PORT": "0",
        "HIVE_INTERNAL_PORT": "0",
        "HIVE_DISCOVER": "0",
        "HIVE_DRAIN_SECONDS": "3",
        "HIVE_ANALYTICS_BATCH_SECONDS": "0.2",  # many tests wait for what was kept
        "HIVE_CACHE_SECONDS": "0",  # most tests ask the same thing twice and want to be answered twice
        **settings,
    }


class Gateway:
    """`with Gateway(folder, catalogue) as gateway:` starts the process; leaving it stops it with SIGTERM.

    catalogue: the configuration file as plain values. settings: further environment variables; an empty
    HIVE_BOOTSTRAP_KEY or HIVE_ADMIN_TOKEN lets the first start make one, which `output` then shows.
    """

    _numbers = itertools.count(1)

    def __init__(self, folder: Path, catalogue: Mapping[str, Any] | None = None, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"HIVE_BOOTSTRAP_KEY": KEY, "HIVE_ADMIN_TOKEN": ADMIN_TOKEN} | settings
        if catalogue is not None:
            (folder / "catalogue.yaml").write_text(yaml.safe_dump(dict(catalogue)))
            settings = {"HIVE_CONFIG": str(folder / "catalogue.yaml")} | settings
        self.folder = folder
        self.environment = clean_environment(folder, **{k: v for k, v in settings.items() if v})
        self.key = settings["HIVE_BOOTSTRAP_KEY"]
        self.admin_token = settings["HIVE_ADMIN_TOKEN"]
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

    @property
    def public(self) -> Door:
        """The listener for callers."""
        return Door(self.url, self.key)

    @property
    def internal(self) -> Door:
        """The listener for operators."""
        return Door(self.internal_url, self.admin_token)

    def raw(self) -> Connection:
        """A connection to the public listener."""
        return self.public.connect()

    def client(self, **options: Any) -> openai.OpenAI:
        """The official client, without retries; `options` are its own."""
        http = httpx2.Client(trust_env=False)
        return openai.OpenAI(**self._client_options(options), http_client=http)

    def async_client(self, **options: Any) -> openai.AsyncOpenAI:
        http = httpx2.AsyncClient(trust_env=False)
        return openai.AsyncOpenAI(**self._client_options(options), http_client=http)

    def command(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run `modelhive …` beside this gateway, with its environment and its ports."""
        port = str(urlsplit(self.internal_url).port)
        environment = self.environment | {"HIVE_INTERNAL_PORT": port} | settings
        return run_command(arguments, environment, self.folder)

    def admin(self, method: str, path: str, body: object = None) -> Any:
        """A call of the admin API that must succeed."""
        answer = self.internal.ask(method, f"/api/admin{path}", body)
        assert answer.status == 200, answer
        return answer.json

    def add_model(
        self, *, provider: str = "sim", model: str = "", fallbacks: Sequence[str] = (), mode: str = "chat"
    ) -> str:
        """A model of the test's own, known to callers when this returns; at the provider it has that name too."""
        id = f"own-{next(self._numbers)}"
        deployment = {"provider": provider, "model": model or id}
        wanted: dict[str, Any] = {
            "id": id,
            "deployments": [deployment],
            "fallbacks": list(fallbacks),
            "mode": mode,
        }
        wanted["price"] = PRICE
        self.admin("POST", "/models", wanted)
        eventually(lambda: self.public.ask("GET", f"/v1/models/{id}").status == 200, what=f"model {id}")
        return id

    def add_key(self, tenant: str = "default", models: Sequence[str] | None = None) -> dict[str, Any]:
        """An API key that callers can use when this returns."""
        body = {"tenant": tenant, "name": "own", "models": models}
        made: dict[str, Any] = self.admin("POST", "/keys", body)
        eventually(lambda: self._lets_in(made["key"]), what="the new key")
        return made

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics by their names and labels."""
        return dict(_samples(self.internal.ask("GET", "/metrics").body.decode()))

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

    def _lets_in(self, key: str) -> bool:
        return Door(self.url, key).ask("GET", "/v1/models").status == 200

    def _client_options(self, options: dict[str, Any]) -> dict[str, Any]:
        defaults = {"base_url": f"{self.url}/v1", "api_key": self.key, "max_retries": 0, "timeout": TIMEOUT}
        return defaults | options


def run_command(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """`modelhive …` to its end; raises TimeoutExpired."""
    return subprocess.run(
        [COMMAND, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def _samples(page: str) -> Iterator[tuple[str, float]]:
    for line in page.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            yield name, float(value)
