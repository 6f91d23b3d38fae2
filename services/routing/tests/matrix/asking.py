"""What a client asks and hears, in no dialect's words; each SDK's client puts it into its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from hive_routing.dialects.form import Stop

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSVFT0YK"
PNG_URL = "https://example.com/bee.png"
PDF_URL = "https://example.com/bee.pdf"


@dataclass(frozen=True, slots=True)
class Ask:
    """The first turn. tools: names of functions that take a city. Media: `data` or `url`, or empty for none."""

    text: str = "Hello there"
    system: str = ""
    tools: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    thinks: bool = False
    image: str = ""
    document: str = ""
    stop: tuple[str, ...] = ()
    max_output: int = 4000
    marks_cache: bool = False
    answers: int = 1
    top_k: int | None = None
    seed: int | None = None
    penalty: float | None = None
    logprobs: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """What a tool gave. image: a picture beside it."""

    text: str
    image: bool = False


@dataclass(frozen=True, slots=True)
class Called:
    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figures:
    """Tokens: prompt and completion are all of them, the others parts of these."""

    prompt: int
    completion: int
    cached: int = 0
    written: int = 0
    reasoning: int = 0


@dataclass(slots=True)
class Heard:
    """One answer. stop: in the words of the client's dialect. said: the SDK's own objects, for the next turn."""

    text: str
    stop: str
    usage: Figures
    said: Any
    thinking: str = ""
    refusal: str = ""
    calls: list[Called] = field(default_factory=list)
    sequence: str | None = None
    others: list[str] = field(default_factory=list)
    """Texts of further answers."""
    logprobs: int = 0
    """Tokens that have one."""


class Asker(Protocol):
    """An official SDK in front of the gateway. Bodies are keyword arguments of its method."""

    name: str
    stops: ClassVar[dict[Stop, str]]

    def first(self, model: str, ask: Ask) -> dict[str, Any]: ...

    async def ask(self, body: dict[str, Any], stream: bool) -> Heard:
        """Raises what the SDK raises."""
        ...

    def next(self, body: dict[str, Any], heard: Heard, given: tuple[Given, ...]) -> dict[str, Any]:
        """The body of the next turn: with what the tools gave, or with another question where none was called."""
        ...

    async def close(self) -> None: ...
