"""An answer as it goes over the wire: a head, then the steps in which the body is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import NamedTuple

from hive_testing.simulator.bill import Meter

JSON = "application/json"
EVENT_STREAM = "text/event-stream; charset=utf-8"

REASONS = {each.value: each.phrase for each in HTTPStatus}
JSON_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    b"x-request-id: req_sim%d\r\ncontent-length: %d\r\n\r\n"
)


class Step(NamedTuple):
    """Bytes of the body, written together; each step of a chunked body is an HTTP chunk.

    tokens  completion tokens generated with them; None where nothing is
    wait    seconds before they are written; None: they may travel with the step before, 0: they may not
    """

    data: bytes
    tokens: int | None = None
    wait: float | None = None


class Ending(Enum):
    """What happens after the last step."""

    COMPLETE = "complete"
    CUT = "cut"
    RESET = "reset"
    STALL = "stall"


@dataclass(slots=True)
class Answer:
    """`head` is empty where nothing is answered; `latency` is the wait before it in seconds."""

    head: bytes
    steps: Iterable[Step]
    latency: float = 0.0
    chunked: bool = False
    ending: Ending = Ending.COMPLETE
    meter: Meter | None = None


def head(
    status: int,
    content_type: str,
    length: int | None,
    number: int,
    keep_alive: bool = True,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The status line and the headers; without a length the body is chunked."""
    if status == 200 and content_type is JSON and length is not None and keep_alive and not headers:
        return JSON_HEAD % (number, length)
    fields = {"content-type": content_type, "x-request-id": f"req_sim{number}"}
    if length is None:
        fields |= {"transfer-encoding": "chunked", "cache-control": "no-cache"}
    else:
        fields["content-length"] = str(length)
    if not keep_alive:
        fields["connection"] = "close"
    fields |= headers or {}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\n{lines}\r\n".encode("latin-1")


def plain(
    status: int, body: bytes, number: int, keep_alive: bool = True, headers: Mapping[str, str] | None = None
) -> Answer:
    """A JSON answer that nothing disturbs."""
    return Answer(head(status, JSON, len(body), number, keep_alive, headers), (Step(body),))
