"""What a test may ask of a realtime session, and what it gets to know of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Turn:
    """How one response goes; unset: an echo.

    text: what is said. usage: laid over what is counted. no_usage: none is stated.
    drop_after: deltas, then the connection is gone without a word; close_after: then it is closed with `code`.
    pause_after: deltas, then nothing until the client cancels or leaves. fail: it ends as failed, without usage.
    """

    text: str | None = None
    usage: dict[str, Any] | None = None
    no_usage: bool = False
    drop_after: int | None = None
    close_after: int | None = None
    code: int = 1011
    pause_after: int | None = None
    fail: bool = False


@dataclass(slots=True)
class Line:
    """Of the bill: what one response was. status: as it ended."""

    model: str
    status: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(slots=True)
class Heard:
    """One session as the provider saw it. events: of the client, in their order. closed: the code that it got."""

    path: str
    headers: dict[str, str]
    subprotocols: str
    events: list[dict[str, Any]] = field(default_factory=list)
    closed: int | None = None

    @property
    def model(self) -> str:
        asked = parse_qs(urlsplit(self.path).query)
        return (asked.get("model") or asked["deployment"])[0]
