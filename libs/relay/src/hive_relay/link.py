"""A service process as its caller knows it, and what is told to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hive_relay import frames
from hive_relay.mailbox import Mailbox
from modelhive.relay.v1.relay_pb2 import CallerFrame, CancelReason, Hello

if TYPE_CHECKING:
    from hive_relay.call import Call


class Link(ABC):
    """Who is at the other end, once it said `Hello`.

    leaving: it said `Goodbye`, so it takes no more, and its end will be no accident. calls: that it is to answer.
    handed: calls that it was handed and nobody has accepted yet.
    """

    def __init__(self) -> None:
        self.peer = Hello()
        self.leaving = False
        self.calls: set[Call] = set()
        self.handed: set[Call] = set()

    @abstractmethod
    def credit(self, request_id: str, attempt: int, size: int) -> None:
        """It may send so many bytes more."""

    @abstractmethod
    def cancel(self, request_id: str, attempt: int, reason: CancelReason.ValueType) -> None:
        """Nobody waits for its answer."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more is told; may be called twice."""

    def take(self, call: Call) -> None:
        """It accepted the call, be it one that another one was handed."""
        call.link = self
        self.calls.add(call)
        call.unhand()

    def give_up(self) -> Iterable[Call]:
        """All that it was to answer, and what it may have begun with."""
        calls = [*self.calls, *self.handed]
        self.calls, self.handed = set(), set()
        return calls


class StreamLink(Link):
    """At the other end of an rpc stream: `mailbox` holds the frames for it."""

    def __init__(self) -> None:
        super().__init__()
        self.mailbox: Mailbox[CallerFrame] = Mailbox()

    @property
    def takes_more(self) -> bool:
        """Whoever is at its other end reads what comes, as far as can be seen from here."""
        return not (self.mailbox.is_closed or self.mailbox.is_full)

    def go(self, request_id: str, attempt: int) -> None:
        """This attempt of this process may begin what cannot be undone."""
        self.mailbox.put(frames.go(request_id, attempt))

    def hand(self, call: Call, frame: CallerFrame, size: int) -> None:
        """Give it the call's request."""
        self.handed.add(call)
        call.handed = self
        self.mailbox.put(frame, size)

    def credit(self, request_id: str, attempt: int, size: int) -> None:
        self.mailbox.put(frames.credit(request_id, attempt, size))

    def cancel(self, request_id: str, attempt: int, reason: CancelReason.ValueType) -> None:
        self.mailbox.put(frames.cancel(request_id, attempt, reason))

    def close(self) -> None:
        self.mailbox.close()
