"""What all watches over a provider's stream have in common: events go on as they are, once there is content.

Held back until then is whatever comes before it, so that another deployment can still answer. A stream ends in exactly
one way: `done` is set, or `failure` is. No I/O happens here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from hive_routing.providers.failures import broken_answer
from hive_routing.providers.sse import EventSplitter, EventTooLarge
from hive_routing.tokens import Countable
from hive_routing.usage import Usage
from hive_runtime.errors import HiveError

MAX_HELD_BYTES = 1024 * 1024
CHARS_PER_TOKEN = 4


class ForwardedStream(ABC):
    """One stream. Feed it what the provider sends, forward what it gives back.

    last: what comes behind all content and is a part of the stream itself.
    is_content: whether what `feed` gave last holds more than comments.
    is_answered: what may still come is no content.
    goes_on: there is content, what `feed` gave last is more of it, and nothing has ended or failed with it.
    delivered: about how many tokens came so far: pieces of text, or a token for every four characters of them.
    begun: what the provider stated of the prompt when it began, in dialects where it does.
    """

    def __init__(self, provider: str) -> None:
        self.failure: HiveError | None = None
        self.done = False
        self.is_content = False
        self.is_answered = False
        self.goes_on = False
        self.delivered = 0
        self.last = b""
        self.begun: Usage | None = None
        self._provider = provider
        self._begun = False
        self._splitter = EventSplitter()
        self._held: list[bytes] = []
        self._held_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """What can be forwarded now; empty until the first content. Look at `failure` and `done` then."""
        try:
            events = self._splitter.feed(data)
        except EventTooLarge:
            self._fail("sent an event that is too large")
            return b""
        return self._forward(events)

    def feed_end(self) -> bytes:
        """The provider has sent all; sets `done` or `failure`."""
        rest = self._splitter.rest()
        forwarded = self._forward([rest.rstrip(b"\r\n") + b"\n\n"] if rest.strip() else [])
        if not self.done and self.failure is None:
            self._close()
        return forwarded

    @property
    @abstractmethod
    def stated(self) -> Usage | None:
        """The usage that the provider said last."""

    @property
    @abstractmethod
    def model(self) -> str:
        """As the provider calls it; empty where nothing came."""

    @property
    @abstractmethod
    def finish_reasons(self) -> Sequence[str]:
        """Of the choices that have finished, in their order."""

    @abstractmethod
    def output(self) -> Countable:
        """What was generated so far, for counting."""

    @abstractmethod
    def break_off(self) -> None:
        """The provider's stream broke or fell silent: `done` is set where all of the answer has come."""

    @abstractmethod
    def closing(self, usage: Usage | None) -> bytes:
        """What tells the usage at the very end, in dialects where it is no part of the stream itself.

        usage: what is told where the provider stated none.
        """

    @abstractmethod
    def cut(self) -> bytes:
        """End the answer here, for want of money; gives what still goes out. Sets `done` and `last`."""

    @abstractmethod
    def _pass(self, event: bytes) -> bytes:
        """The bytes of one event that go on."""

    def _close(self) -> None:
        """The provider has sent all, and has not said whether that was all."""
        self._finish()

    def _finish(self) -> None:
        """The provider said that this was all."""
        if self.is_answered:
            self.done = True
        else:
            self._fail("ended the stream before the answer was finished")

    def _fail(self, problem: str) -> None:
        self.failure = broken_answer(self._provider, problem)

    def _forward(self, events: list[bytes]) -> bytes:
        self.is_content = False
        forwarded = []
        for event in events:
            if self.done or self.failure is not None:
                break
            forwarded.append(self._pass(event))
        self._look()
        if self._begun:
            released = b"".join([*self._held, *forwarded]) if self._held else b"".join(forwarded)
            self._held.clear()
            return released
        self._hold(b"".join(forwarded))
        return b""

    def _look(self) -> None:
        """Say what came of that which was fed last."""
        ended = self.is_answered or self.done or self.failure is not None
        self.goes_on = self._begun and self.is_content and not ended

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > MAX_HELD_BYTES:
            self._fail("sent a megabyte without any content")
