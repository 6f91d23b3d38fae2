"""One request and what is known of its answer."""

from __future__ import annotations

from benchmarks import answers
from benchmarks.bodies import Kind

ENDS = {Kind.EMBEDDINGS: answers.EMBEDDINGS_END, Kind.BATCH: answers.BATCH_END}
"""What stands once in a whole answer, where that is not the usage of a chat."""

MARKS = {Kind.TRANSLATED: (answers.MESSAGES_MARK, answers.MESSAGES_END)}
"""Streams of another dialect: what stands once in each chunk with content, and what ends them."""


class Exchange:
    """An answer in one piece. Moments are seconds of one monotonic clock."""

    __slots__ = ("ended", "fault", "kind", "scheduled", "sent", "tail")

    def __init__(self, kind: Kind, scheduled: float) -> None:
        self.kind = kind
        self.scheduled = scheduled
        self.sent = 0.0
        self.ended = 0.0
        self.tail = b""
        self.fault: str | None = None

    def received(self, data: bytes, moment: float) -> None:
        self.tail += data

    def end(self, status: int, moment: float) -> None:
        """The answer is whole as far as HTTP goes; what it lacks becomes its `fault`."""
        self.ended = moment
        if status != 200:
            self.fault = f"status {status}: {self.tail[:300].decode(errors='replace')}"
        elif not self._complete():
            self.fault = f"incomplete answer, it ends in {self.tail[-100:].decode(errors='replace')!r}"

    def fail(self, fault: str, moment: float) -> None:
        """There will be no answer."""
        self.ended = moment
        self.fault = fault

    def _complete(self) -> bool:
        return ENDS.get(self.kind, answers.CHAT_END) in self.tail


class StreamExchange(Exchange):
    """A streamed answer: when its first content came, and how far apart the pieces were."""

    __slots__ = ("chunks", "first", "gaps", "last")

    def __init__(self, kind: Kind, scheduled: float) -> None:
        super().__init__(kind, scheduled)
        self.chunks = 0
        self.first = 0.0
        self.last = 0.0
        self.gaps: list[float] = []

    @property
    def begun(self) -> bool:
        """Has content come, or will none come any more?"""
        return bool(self.chunks or self.ended)

    def received(self, data: bytes, moment: float) -> None:
        content, end = MARKS.get(self.kind, (answers.CONTENT_MARK, answers.STREAM_END))
        seen = self.tail + data
        marks = seen.count(content)
        if marks:
            self._content(marks, moment)
        # What follows the last mark is kept: the next one, or the end, may be cut in two.
        behind = seen.rpartition(content)[2]
        self.tail = answers.STREAM_END if end in behind else behind[-300:]

    def _content(self, marks: int, moment: float) -> None:
        """Chunks that come together are 0 s apart."""
        if self.chunks:
            self.gaps.append(moment - self.last)
        else:
            self.first = moment
        self.gaps.extend([0.0] * (marks - 1))
        self.chunks += marks
        self.last = moment

    def _complete(self) -> bool:
        chunks = answers.HELD_CHUNKS if self.kind is Kind.HOLD else answers.CHUNKS
        return self.chunks == chunks and self.tail == answers.STREAM_END


class LoopExchange(Exchange):
    """Two turns of an agent: the answer to the first asks for a tool, the second brings what the tool said."""

    __slots__ = ("turns",)

    def __init__(self, kind: Kind, scheduled: float) -> None:
        super().__init__(kind, scheduled)
        self.turns = 0

    @property
    def goes_on(self) -> bool:
        """Is the second turn to be sent?"""
        return self.turns == 1 and self.fault is None

    def end(self, status: int, moment: float) -> None:
        super().end(status, moment)
        self.turns += 1
        self.tail = b""

    def _complete(self) -> bool:
        return super()._complete() and (answers.TOOL_CALL_MARK in self.tail) == (self.turns == 0)


def exchange(kind: Kind, scheduled: float) -> Exchange:
    if kind is Kind.TOOLS:
        return LoopExchange(kind, scheduled)
    return (StreamExchange if kind.streamed else Exchange)(kind, scheduled)
