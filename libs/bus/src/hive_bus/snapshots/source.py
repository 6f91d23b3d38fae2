"""The owner of a STATE topic, as those who live from its state hear it beside the bus."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from hive_bus.port import M


@dataclass(frozen=True)
class Record(Generic[M]):
    """The last word of the owner on one key; `message` is None where it is retired.

    revision: grows with the changes of the key. Of a retired key it is the one that retired it.
    """

    key: str
    revision: int
    message: M | None


@dataclass(frozen=True)
class Portion(Generic[M]):
    """A part of what the owner tells.

    through: with this portion all changes up to this revision are told; None: more follows. The first one ends
    the owner's whole state; each later one says that the changes since are complete, also where there are none.
    """

    records: Sequence[Record[M]]
    through: int | None


@dataclass(frozen=True)
class Source(Generic[M]):
    """How messages of one kind are ordered, and how their owner is heard.

    revision: of a message; the same count as `Record.revision`.
    watch: follows the owner from its whole state on. Raises HiveError where it cannot be reached or goes away.
        None: it is heard over the bus alone.
    reused: a retired key can come back with the revision that it had.
    """

    revision: Callable[[M], int]
    watch: Callable[[], AsyncGenerator[Portion[M], None]] | None = None
    reused: bool = False
