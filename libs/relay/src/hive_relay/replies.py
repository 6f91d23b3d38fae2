"""What a service process tells one of its callers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from hive_relay import frames
from hive_relay.frames import HeaderPairs
from hive_relay.mailbox import Mailbox
from hive_relay.summary import Summary
from hive_runtime.errors import HiveError
from modelhive.relay.v1.relay_pb2 import Hello, ReplyFrame

Key = tuple[str, int]
"""A request's id and the number of the attempt."""


class Listener(Protocol):
    """Who hears what comes of one attempt, in order."""

    def on_head(self, status: int, headers: HeaderPairs) -> None:
        """headers: the listener's own from now on."""

    def on_piece(self, data: bytes) -> bool:
        """A part of the body that is content and not the last, for a client that has it when this returns.

        False: there is none that takes it so; it is to be told as a chunk.
        """
        ...

    def on_chunk(self, data: bytes, content: bool, more: bool) -> bool:
        """A part of the body; whether the client has it already, so that it uses up no credit.

        content: it holds more than keep-alives and preamble. more: it is not the last.
        """
        ...

    def on_end(self, error: HiveError | None, usage: Summary | None, given_back: bool = False) -> None:
        """The last of an attempt. given_back: this process goes down, and another one may run it."""


class Nobody:
    """Listens to what nobody waits for (any more)."""

    def on_head(self, status: int, headers: HeaderPairs) -> None:
        return

    def on_piece(self, data: bytes) -> bool:
        return False

    def on_chunk(self, data: bytes, content: bool, more: bool) -> bool:
        return False

    def on_end(self, error: HiveError | None, usage: Summary | None, given_back: bool = False) -> None:
        return


NOBODY = Nobody()


class Teller(Protocol):
    """An attempt that this process runs, and who listens to it."""

    key: Key
    listener: Listener

    def on_go(self) -> None:
        """It may begin what cannot be undone."""

    def on_cancel(self) -> None:
        """Nobody waits for its answer."""


class Replies(ABC):
    """To one caller. Each is in order, and dropped once it is closed."""

    @abstractmethod
    def hello(self, own: Hello) -> None:
        """The first thing that is said."""

    @abstractmethod
    def goodbye(self) -> None:
        """No further request is taken."""

    @abstractmethod
    def accepted(self, teller: Teller) -> None:
        """This process would run it; from now on it has somebody who listens."""

    @property
    @abstractmethod
    def is_full(self) -> bool:
        """So much waits to be taken that a chunk has to wait, too."""

    @abstractmethod
    async def room(self) -> None:
        """Return once there is room for a further chunk."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more is said; may be called twice."""


class StreamReplies(Replies):
    """Over an rpc stream: `mailbox` holds the frames for it."""

    def __init__(self) -> None:
        self.mailbox: Mailbox[ReplyFrame] = Mailbox()

    def hello(self, own: Hello) -> None:
        self.mailbox.put(ReplyFrame(hello=own))

    def goodbye(self) -> None:
        self.mailbox.put(frames.goodbye())

    def accepted(self, teller: Teller) -> None:
        teller.listener = _Framing(self.mailbox, teller.key)
        self.mailbox.put(frames.accepted(*teller.key))

    @property
    def is_full(self) -> bool:
        return self.mailbox.is_full

    async def room(self) -> None:
        await self.mailbox.room()

    def close(self) -> None:
        self.mailbox.close()


class _Framing:
    """Makes frames of what comes of one attempt."""

    def __init__(self, mailbox: Mailbox[ReplyFrame], key: Key) -> None:
        self._mailbox = mailbox
        self._key = key

    def on_head(self, status: int, headers: HeaderPairs) -> None:
        self._mailbox.put(frames.head(*self._key, status, headers))

    def on_piece(self, data: bytes) -> bool:
        return False

    def on_chunk(self, data: bytes, content: bool, more: bool) -> bool:
        self._mailbox.put(frames.chunk(*self._key, data, content), len(data))
        return False

    def on_end(self, error: HiveError | None, usage: Summary | None, given_back: bool = False) -> None:
        self._mailbox.put(frames.end(*self._key, error, usage, given_back))
