"""What a service process tells one of its callers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from hive_relay import frames
from hive_relay.frames import HeaderPairs
from hive_relay.mailbox import Mailbox
from hive_runtime.errors import HiveError
from modelhive.common.v1.common_pb2 import UsageSummary
from modelhive.relay.v1.relay_pb2 import Hello, ReplyFrame

Key = tuple[str, int]
"""A request's id and the number of the attempt."""


class Replies(ABC):
    """To one caller. Each is in order, and dropped once it is closed."""

    @abstractmethod
    def hello(self, own: Hello) -> None:
        """The first thing that is said."""

    @abstractmethod
    def goodbye(self) -> None:
        """No further request is taken."""

    @abstractmethod
    def accepted(self, key: Key) -> None:
        """This process would run it."""

    @abstractmethod
    def head(self, key: Key, status: int, headers: HeaderPairs) -> None: ...

    @abstractmethod
    def chunk(self, key: Key, data: bytes, content: bool) -> None:
        """A part of the body. content: it holds more than keep-alives and preamble."""

    @abstractmethod
    def end(
        self, key: Key, error: HiveError | None, usage: UsageSummary | None, given_back: bool = False
    ) -> None:
        """The last of an attempt. given_back: this process goes down, and another one may run it."""

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

    def accepted(self, key: Key) -> None:
        self.mailbox.put(frames.accepted(*key))

    def head(self, key: Key, status: int, headers: HeaderPairs) -> None:
        self.mailbox.put(frames.head(*key, status, headers))

    def chunk(self, key: Key, data: bytes, content: bool) -> None:
        self.mailbox.put(frames.chunk(*key, data, content), len(data))

    def end(
        self, key: Key, error: HiveError | None, usage: UsageSummary | None, given_back: bool = False
    ) -> None:
        self.mailbox.put(frames.end(*key, error, usage, given_back))

    @property
    def is_full(self) -> bool:
        return self.mailbox.is_full

    async def room(self) -> None:
        await self.mailbox.room()

    def close(self) -> None:
        self.mailbox.close()
