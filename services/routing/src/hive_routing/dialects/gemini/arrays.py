"""A stream as Google sends it without `alt=sse`: one JSON array that grows."""

from __future__ import annotations

from hive_routing.providers.sse import EventSplitter, read_event


class ArrayStream:
    """Turns the frames of a stream, however they are cut, into the elements of an array."""

    def __init__(self) -> None:
        self._splitter = EventSplitter()
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """What can go out now. Raises EventTooLarge."""
        return b"".join([self._element(event) for event in self._splitter.feed(data)])

    def end(self) -> bytes:
        """The rest, when all has been fed."""
        rest = self._element(self._splitter.rest() + b"\n\n")
        return rest + (b"]" if self._begun else b"[]")

    def _element(self, event: bytes) -> bytes:
        data, _ = read_event(event)
        if not data:
            return b""
        before = b",\r\n" if self._begun else b"["
        self._begun = True
        return before + data
