"""One segment of the journal: what is known of its file without reading it."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hive_routing.journal.records import MAGIC, Closed, Scan

_NAME = re.compile(r"(\d{8,})\.log")
_EVERY = 64
"""So many events apart are the places in a segment that are remembered."""


@dataclass(slots=True)
class Segment:
    """first, last: sequences of the events that are closed in it; none where last is below first.

    opened: attempts that were opened in it and whose end is not written. size: valid bytes.
    """

    path: Path
    number: int
    first: int
    last: int
    opened: int = 0
    size: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)
    """Sequence of an event and the offset of its record."""
    _next_place: int = 0
    """The first sequence whose place is to be remembered again."""

    def note_closed(self, sequence: int, start: int) -> None:
        """An event was written at the offset `start`."""
        self.last = sequence
        if sequence >= self._next_place:
            self.places.append((sequence, start))
            self._next_place = sequence + _EVERY

    def place_before(self, sequence: int) -> int:
        """An offset from which on the events behind `sequence` are found."""
        found = len(MAGIC)
        for known, offset in self.places:
            if known > sequence:
                break
            found = offset
        return found

    def __contains__(self, sequence: int) -> bool:
        return self.first <= sequence <= self.last


@dataclass(frozen=True, slots=True)
class Reading:
    """Finds closed events in segments, in any thread; made by `Journal.reading`.

    parts: path, where to start, where to stop; tail: events that are in no file.
    """

    parts: Sequence[tuple[Path, int, int]]
    tail: Sequence[tuple[int, bytes]]
    after: int
    limit: int

    def events(self) -> list[tuple[int, bytes]]:
        """Sequence and event, in order, `limit` at most. OSError where a file cannot be read."""
        found: list[tuple[int, bytes]] = []
        for path, start, end in self.parts:
            try:
                file = path.open("rb", buffering=256 * 1024)
            except FileNotFoundError:
                continue  # receipted and deleted in the meantime
            with file:
                file.seek(start)
                for _, record in Scan(file, start, end):
                    if isinstance(record, Closed) and record.sequence > self.after:
                        found.append((record.sequence, record.event))
                        if len(found) == self.limit:
                            return found
        found.extend(self.tail)
        return found[: self.limit]


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.log"


def segments_of(folder: Path) -> list[tuple[int, Path]]:
    """Number and path of each segment, the oldest first."""
    found = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match)


class Living:
    """Which holders' processes run, on this machine: those that hold their folders.

    To be made before anybody recovers what ended processes left, for that takes their folders' locks. Blocks a little.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        names = [home.name for home in folder.iterdir() if home.is_dir()] if folder.is_dir() else []
        self.ended = frozenset(name for name in names if not self._holds(name))
        """Those whose folders were there already, without their processes."""

    def __contains__(self, holder: str) -> bool:
        return holder not in self.ended and self._holds(holder)

    def known(self, holder: str) -> bool | None:
        """Whether it runs; None where nothing on this machine tells."""
        if holder in self.ended:
            return False
        return self._holds(holder) if (self._folder / holder).is_dir() else None

    def _holds(self, holder: str) -> bool:
        home = self._folder / holder
        if not home.is_dir():
            return False
        try:
            held = lock(home)
        except FileNotFoundError:  # it has just been deleted
            return False
        if held is None:
            return True
        os.close(held)
        return False


def lock(folder: Path) -> int | None:
    """Hold a holder's folder until the file descriptor that this gives is closed; None where somebody lives in it."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
