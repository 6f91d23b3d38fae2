"""Rows on their way into the tables: in files as the engine reads them, until there are many or somebody asks.

An insert costs the engine about as much for one row as for a thousand, and makes a part that it has to merge later;
a file takes a batch in one write. Both are as durable: they outlast the process, and are left to the kernel to flush.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from google.protobuf.message import DecodeError

from hive_analytics.olap.columns import MESSAGES


class Arrivals:
    """Of one family: its events, each with its length before it."""

    def __init__(self, family: str, path: Path) -> None:
        """With what an earlier process left, up to where it was stopped in the middle of a batch."""
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.rows, self._bytes = _whole(family, path.read_bytes())
        os.ftruncate(self._file, self._bytes)

    def add(self, rows: Sequence[bytes]) -> None:
        """All of them or none. Raises OSError."""
        data = b"".join([part for row in rows for part in (_length(len(row)), row)])
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            os.ftruncate(self._file, self._bytes)
            raise
        self._bytes += len(data)
        self.rows += len(rows)

    def clear(self) -> None:
        os.ftruncate(self._file, 0)
        self.rows = self._bytes = 0


@lru_cache(4096)
def _length(number: int) -> bytes:
    """As a varint."""
    septets = bytearray()
    while number > 127:
        septets.append(number & 127 | 128)
        number >>= 7
    septets.append(number)
    return bytes(septets)


def _whole(family: str, data: bytes) -> tuple[int, int]:
    """How many events the data begins with, and where the last of them ends."""
    read = MESSAGES[family].FromString
    rows = end = 0
    while end < len(data):
        length = shift = 0
        place = end
        while place < len(data) and shift < 35:
            length |= (data[place] & 127) << shift
            shift += 7
            place += 1
            if data[place - 1] < 128:
                break
        # Nothing but zeros is what a machine without power leaves of the end of a file.
        if place + length > len(data) or (not length and not any(data[place:])):
            break
        try:
            read(data[place : place + length])
        except DecodeError:
            break
        rows, end = rows + 1, place + length
    return rows, end
