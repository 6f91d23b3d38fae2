"""Server-sent events cut out of a byte stream, each with its exact bytes, however the bytes arrive."""

from __future__ import annotations

import re

MAX_EVENT_BYTES = 16 * 1024 * 1024
CR = 13
"""As a number, which `in` finds at once; bytes it tries to read as a number first, which takes five times as long."""

_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """More bytes came without a blank line than one event may have."""


class EventSplitter:
    """Collects bytes and gives whole events; lines may end with LF, CRLF or CR.

    waiting: the beginning of an event whose end has not come.
    """

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self.waiting = bytearray()
        self._searched = 0
        self._has_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are complete now, blank line included; raises EventTooLarge."""
        buffer = self.waiting
        if not buffer and 0 <= data.find(b"\n\n") == len(data) - 2 and CR not in data:
            return [data]  # as a rule a read brings exactly one
        buffer += data
        self._has_cr = self._has_cr or CR in data
        ends = self._ends_with_cr() if self._has_cr else self._ends()
        events = []
        start = 0
        for end in ends:
            events.append(bytes(buffer[start:end]))
            start = end
        del buffer[:start]
        self._has_cr = self._has_cr and bool(buffer)
        self._searched = max(0, len(buffer) - 3)
        if len(buffer) > self._max_bytes:
            raise EventTooLarge(f"an event has more than {self._max_bytes} bytes")
        return events

    def rest(self) -> bytes:
        """What came after the last blank line: an event that was not ended, or nothing but line ends."""
        return bytes(self.waiting)

    def _ends(self) -> list[int]:
        ends = []
        position = self.waiting.find(b"\n\n", self._searched)
        while position >= 0:
            ends.append(position + 2)
            position = self.waiting.find(b"\n\n", position + 2)
        return ends

    def _ends_with_cr(self) -> list[int]:
        ends = [blank.end() for blank in _BLANK_LINE.finditer(self.waiting, self._searched)]
        if ends and ends[-1] == len(self.waiting) and self.waiting.endswith(b"\r\n\r"):
            ends.pop()  # the LF that belongs to it is on its way
        return ends


def one_line(event: bytes) -> bytes | None:
    """The data of one event that is a data line and a blank line; None where the bytes are anything else."""
    end = len(event) - 2
    if event.startswith(b"data:") and event.find(b"\n") == end and event.endswith(b"\n") and CR not in event:
        return event[5:end].strip()
    return None


def read_event(event: bytes) -> tuple[bytes | None, bool]:
    """The data lines joined by LF, None where there are none; and whether the event carries an id."""
    data = one_line(event)
    if data is not None:
        return data, False
    lines = _lines(event)
    found = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    has_id = any(line == b"id" or line.startswith(b"id:") for line in lines)
    return (b"\n".join(found).strip() if found else None), has_id


def read_named(event: bytes) -> tuple[str, bytes | None]:
    """The event's name, empty where it has none; and its data lines joined by LF, None where there are none."""
    lines = _lines(event)
    data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    names = [line[6:].strip() for line in lines if line.startswith(b"event:")]
    name = names[-1].decode("utf-8", "replace") if names else ""
    return name, b"\n".join(data).strip() if data else None


def is_comment(event: bytes) -> bool:
    """Whether nothing but comments is in the event."""
    return all(not line or line.startswith(b":") for line in _lines(event))


def _lines(event: bytes) -> list[bytes]:
    return _LINE_END.split(event.removeprefix(_BYTE_ORDER_MARK))
