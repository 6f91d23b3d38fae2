"""The protocol of Valkey and Redis servers (RESP 2): commands as bytes, and replies out of the bytes that come."""

from __future__ import annotations

from collections.abc import Sequence

from hive_runtime.valkey.port import Argument, Reply

_OK = b"OK"


class Refusal(Exception):
    """The server's own words for why it does not do what it was asked."""


class Malformed(Exception):
    """What came is no reply."""


class _Incomplete(Exception):
    """The rest of the reply has not come yet."""


def command(arguments: Sequence[Argument]) -> bytes:
    parts = [b"*%d\r\n" % len(arguments)]
    for each in arguments:
        data = each.encode() if isinstance(each, str) else each
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Replies:
    """Cuts replies out of what comes, in whatever parts that does."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> list[Reply | Refusal]:
        """The replies that are whole with it, in their order. Raises Malformed; nothing can be read from then on."""
        if self._data:
            self._data += data
            if len(self._data) < self._needed:  # a large one comes in many parts
                return []
            data = bytes(self._data)
        found: list[Reply | Refusal] = []
        start = 0
        self._needed = 0
        try:
            while start < len(data):
                reply, start = self._reply(data, start)
                found.append(reply)
        except _Incomplete:
            self._needed = max(0, self._needed - start)
        except ValueError:
            raise Malformed(bytes(data[start : start + 20])) from None
        if self._data or start < len(data):
            self._data = bytearray(data[start:])
        return found

    def _reply(self, data: bytes, start: int) -> tuple[Reply | Refusal, int]:
        """The reply that begins there, and where the next one does."""
        end = data.find(b"\r\n", start)
        if end < 0:
            raise _Incomplete
        kind, line, after = data[start], data[start + 1 : end], end + 2
        if kind == 0x24:  # $: so many bytes
            if (size := int(line)) < 0:
                return None, after
            if len(data) < after + size + 2:
                self._needed = after + size + 2
                raise _Incomplete
            return data[after : after + size], after + size + 2
        if kind == 0x2B:  # +: a word
            return "OK" if line == _OK else line, after
        if kind == 0x3A:  # :: a whole number
            return int(line), after
        if kind == 0x2A:  # *: a list of so many
            if (count := int(line)) < 0:
                return None, after
            members: list[Reply] = []
            for _ in range(count):
                member, after = self._reply(data, after)
                members.append(member)
            return members, after
        if kind == 0x2D:  # -: an error
            return Refusal(line.decode("utf-8", "replace")), after
        raise ValueError
