"""HTTP as tests speak it: raw bytes on a connection, whole answers, and waiting with a bound."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

TIMEOUT = 20.0


def eventually(probe: Callable[[], T | None], seconds: float = 20.0, what: str = "it") -> T:
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

    def asked_by(self, credential: str) -> Door:
        """The same listener for another caller."""
        return Door(self.url, credential)

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
