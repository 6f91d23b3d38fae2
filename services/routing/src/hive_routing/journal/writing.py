"""The journal of one holder as it is written: a write(2) per record, nothing kept back in this process."""

from __future__ import annotations

import errno
import os
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Self

import structlog

from hive_routing.attempts import Attempt
from hive_routing.journal.reading import Story, read_folder
from hive_routing.journal.records import MAGIC, Closed, Head, Opened, Price, Progress, encodable, framed
from hive_routing.journal.segments import Reading, Segment, lock, segment_path
from hive_routing.journal.syncing import Sync
from hive_routing.prices import PriceTag
from hive_runtime.errors import HiveError, Kind

log = structlog.get_logger(__name__)

SEGMENT_BYTES = 16 * 1024 * 1024

_HOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,199}")
_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors that another file would not help against."""

_PROBE = framed(Progress(0, 0, 0, None))
"""Says nothing of any attempt: they are counted from 1."""


class Journal:
    """Belongs to one event loop's thread, but for `Sync.run`, `Reading.events` and unlinking, which may block.

    sequence: of the last event that was closed; durable: of the last one that power loss cannot take.
    failure: why the last write failed; empty while all is well. failures: how many records could not be written.
    wake: called when there is something to be made durable where there was nothing before, and when a write failed.
    """

    def __init__(self, folder: Path, holder: str, lock: int, story: Story, segment_bytes: int) -> None:
        self.holder = holder
        self.sequence = story.sequence
        self.durable = story.sequence
        self.failure = ""
        self.failures = 0
        self.wake: Callable[[], object] = _nobody
        self._folder = folder
        self._lock = lock
        self._limit = segment_bytes
        self._full_at = 0
        """Bytes from which on the current segment takes no more records; 0 where there is none that takes any."""
        self._number = story.number
        self._written = story.sequence
        self._last_file = story.last_file
        self._segments = story.segments
        self._opened = story.opened_in
        self._unwritten: deque[tuple[Closed, Segment]] = deque()
        self._prices: dict[tuple[str, int], int] = {}
        self._file = -1
        """Of the current segment; negative where none is open for writing."""
        self._current = Segment(folder, 0, 1, 0)
        self._dirty = False
        self._retired: list[int] = []
        self._durable_file = story.last_file
        self._shut = False

    @classmethod
    def create(cls, folder: Path, holder: str, segment_bytes: int = SEGMENT_BYTES) -> Self:
        """A new journal in `<folder>/<holder>`; may block a little.

        holder: a name that no process had before. ValueError where it cannot name a folder, OSError where the
        disk refuses or the folder exists.
        """
        if not _HOLDER.fullmatch(holder):
            raise ValueError(f"holder={holder!r} cannot name a folder: use letters, digits and `_.:-`")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        home = folder / holder
        if home.exists():
            raise FileExistsError(errno.EEXIST, "the journal of this holder exists already", str(home))
        # Nobody looks at hidden folders, so that one without its lock is never taken for a dead process's.
        hidden = folder / f".{holder}"
        hidden.mkdir(mode=0o700, exist_ok=True)
        held = lock(hidden)
        if held is None:
            raise BlockingIOError(errno.EAGAIN, "another process makes the journal of this holder", str(home))
        try:
            hidden.rename(home)
            journal = cls(home, holder, held, Story(), segment_bytes)
            journal._rotate()
        except BaseException:
            os.close(held)
            raise
        return journal

    @classmethod
    def reopen(
        cls, folder: Path, holder: str, segment_bytes: int = SEGMENT_BYTES
    ) -> tuple[Self, list[Attempt]] | None:
        """The journal that an ended process left, and the attempts without an end in the order of their opening.

        None where that process lives. Reads all of it: to be called in a thread. Writes nothing until an attempt
        is closed. OSError where it cannot be read.
        """
        home = folder / holder
        held = lock(home)
        if held is None:
            return None
        try:
            story = read_folder(home)
        except BaseException:
            os.close(held)
            raise
        journal = cls(home, holder, held, story, segment_bytes)
        return journal, [attempt for _, attempt in sorted(story.attempts.items())]

    @property
    def open_count(self) -> int:
        """Attempts that were opened and not closed."""
        return len(self._opened)

    @property
    def tellable(self) -> int:
        """Events up to this sequence may be told: what a reader has heard of is not lost with the power any more.

        While the disk refuses writes there is nothing to wait for, and all may be told.
        """
        return self.sequence if self._unwritten else self.durable

    @property
    def dirty(self) -> bool:
        """Something is written that is not yet durable, or waits for the disk to take it."""
        return self._dirty or bool(self._unwritten)

    def __contains__(self, sequence: int) -> bool:
        """Whether the event can still be read."""
        return any(sequence in segment for segment in self._segments) or any(
            closed.sequence == sequence for closed, _ in self._unwritten
        )

    def is_open(self, number: int) -> bool:
        return number in self._opened

    def open(self, attempt: Attempt) -> None:
        """Write down that it is about to be sent, and give it its number.

        Raises HiveError `unavailable` where the disk does not take it: then it must not be sent.
        """
        number = self._number + 1
        try:
            if self._current.size >= self._full_at or self._unwritten:
                self._prepare()
            self._append(self._opening(number, attempt))
        except OSError as error:
            self._prices.clear()  # one of them may not have been written
            self._fail(error)
            message = "Calls cannot be recorded just now, so this one was not made. Try again in a moment."
            raise HiveError(Kind.UNAVAILABLE, message, retry_after=1) from error
        self._number = attempt.number = number
        self._current.opened += 1
        self._opened[number] = self._current
        if self.failure:
            self._recover()

    def progress(self, number: int, delivered: int, at_ms: int, first_content_us: int | None) -> None:
        """Write down how far it has come; where the disk does not take it, nothing is. Never raises."""
        if number not in self._opened:
            return
        try:
            if self._current.size >= self._full_at or self._unwritten:
                self._prepare()
            self._append(framed(Progress(number, delivered, at_ms, first_content_us)))
        except OSError as error:
            self._fail(error)

    def close(self, number: int, event: bytes) -> None:
        """Write down its end. The event must carry the sequence `self.sequence + 1`, which is then taken.

        What the disk does not take stays in memory, in order, until it does. Does nothing where no such attempt
        is open. Never raises.
        """
        opened = self._opened.pop(number, None)
        if opened is None:
            return
        self.sequence = sequence = self.sequence + 1
        closed = Closed(number, sequence, event)
        try:
            if self._current.size >= self._full_at or self._unwritten:
                self._prepare()
            self._write(closed, opened)
        except OSError as error:
            self._fail(error)
            self._unwritten.append((closed, opened))

    def retry(self) -> None:
        """Try again to write what the disk has refused, or anything at all: `failure` is empty where it works."""
        if not self.failure:
            return
        try:
            self._prepare()
            self._append(_PROBE)
            self._recover()
        except OSError as error:
            self._fail(error)

    def begin_sync(self) -> Sync | None:
        """What is to be made durable by `Sync.run` in a thread, and then `end_sync`; None: nothing."""
        if not self._dirty or self._file < 0:
            return None
        files, self._retired = self._retired, []
        try:
            files.append(os.dup(self._file))
        except OSError as error:
            self._retired = files
            self._fail(error)
            return None
        self._dirty = False
        folder = self._folder if self._last_file > self._durable_file else None
        return Sync(files, folder, self._written, self._last_file)

    def end_sync(self, sync: Sync) -> None:
        """The sync has run; one that failed is over as well, for there is nothing more to wait for."""
        if sync.error is not None:
            self._fail(sync.error)
        else:
            self._durable_file = max(self._durable_file, sync.last_file)
        self.durable = max(self.durable, sync.through)

    def sync(self) -> None:
        """Make all that is written durable, here and now; blocks."""
        if (sync := self.begin_sync()) is not None:
            sync.run()
            self.end_sync(sync)

    def reading(self, after: int, limit: int) -> Reading:
        """Finds the events behind the sequence `after`, to be run in a thread."""
        parts = [
            (segment.path, segment.place_before(after + 1), segment.size)
            for segment in self._segments
            if segment.last > after and segment.last >= segment.first
        ]
        tail = [(c.sequence, c.event) for c, _ in self._unwritten if c.sequence > after]
        return Reading(parts, tail, after, limit)

    def release(self, through: int) -> list[Path]:
        """Segments that nobody needs any more if all events up to this sequence are kept: unlink them, in order."""
        freed = []
        while len(self._segments) > 1:
            segment = self._segments[0]
            # The oldest first: an attempt that was opened in one segment may end in a later one. And never the
            # newest, which knows the numbers, nor any before the newest is sure to survive.
            if segment.opened or segment.last > through or self._last_file > self._durable_file:
                break
            freed.append(self._segments.pop(0).path)
        return freed

    def shut(self) -> None:
        """Close the files and let go of the folder; what is in them stays. May be called twice."""
        if self._shut:
            return
        self._shut = True
        for fd in (*self._retired, self._file, self._lock):
            if fd >= 0:
                os.close(fd)
        self._retired, self._file, self._full_at = [], -1, 0

    def remove(self) -> None:
        """Delete the folder: all of it is kept elsewhere. May block. OSError where it cannot be deleted."""
        for segment in self._segments:  # the oldest first, as in `release`
            segment.path.unlink(missing_ok=True)
        for path in self._folder.iterdir():
            path.unlink(missing_ok=True)
        self._folder.rmdir()
        self.shut()

    def set_aside(self) -> Path:
        """Keep the folder under a name where nobody reads it any more; gives that name."""
        aside = self._folder.with_name(f".damaged-{self.holder}")
        self._folder.rename(aside)
        self.shut()
        return aside

    def _opening(self, number: int, attempt: Attempt) -> bytes:
        price = self._prices.get(attempt.price.key)
        if price is None:
            price = self._add_price(attempt.price)
        provider_price = self._prices.get(attempt.provider_price.key)
        if provider_price is None:
            provider_price = self._add_price(attempt.provider_price)
        try:
            return framed(Opened.of(number, attempt, price, provider_price))
        except UnicodeEncodeError:
            return framed(Opened.of(number, encodable(attempt), price, provider_price))

    def _add_price(self, tag: PriceTag) -> int:
        """Write down a price that does not stand in the segment yet; gives its index there."""
        index = self._prices[tag.key] = len(self._prices)
        self._append(framed(Price.of(index, tag)))
        return index

    def _prepare(self) -> None:
        """The current segment takes another record, in the order in which records were made."""
        if self._current.size >= self._full_at:
            self._make_room()
        if self._unwritten:
            self._flush()

    def _make_room(self) -> None:
        try:
            self._rotate()
        except OSError:
            if not self._full_at:
                raise
            self._full_at += self._limit // 4  # the one at hand takes more; try again a little later

    def _flush(self) -> None:
        while self._unwritten:
            closed, opened = self._unwritten[0]
            self._write(closed, opened)
            self._unwritten.popleft()

    def _write(self, closed: Closed, opened: Segment) -> None:
        data = framed(closed)
        start = self._current.size
        self._append(data)
        self._current.note_closed(closed.sequence, start)
        self._written = closed.sequence
        opened.opened -= 1

    def _append(self, data: bytes) -> None:
        size = len(data)
        try:
            written = os.write(self._file, data)
            if written != size:
                self._append_rest(data, written)
        except OSError as error:
            if error.errno not in _FULL:
                self._full_at = 0
            raise
        self._current.size += size
        if not self._dirty:
            self._soil()

    def _soil(self) -> None:
        """Something is to be made durable."""
        if not self._dirty:
            self._dirty = True
            self.wake()

    def _append_rest(self, data: bytes, written: int) -> None:
        """The disk took a part of a record only."""
        try:
            while written != len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            self._cut_off()
            raise

    def _cut_off(self) -> None:
        """Take the part of a record away that was written: what comes behind it could not be read."""
        try:
            os.ftruncate(self._file, self._current.size)
        except OSError:
            self._full_at = 0

    def _rotate(self) -> None:
        """Begin a new segment. OSError where the disk refuses: then the one before is as it was."""
        if self._shut:
            raise OSError(errno.EBADF, "the journal is shut")
        self._last_file += 1
        path = segment_path(self._folder, self._last_file)
        data = MAGIC + framed(Head(self.holder, self._number, self._written))
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, "the disk took a part of a segment's head only")
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        if self._file >= 0:
            self._retired.append(self._file)
        self._file, self._full_at = fd, self._limit
        self._soil()
        self._prices.clear()
        self._current = Segment(path, self._last_file, self._written + 1, self._written, size=len(data))
        self._segments.append(self._current)

    def _fail(self, error: OSError) -> None:
        self.failures += 1
        reason = error.strerror or str(error)
        if reason != self.failure:
            log.error("the journal cannot be written", holder=self.holder, error=reason)
        self.failure = reason
        self.wake()

    def _recover(self) -> None:
        log.info("the journal can be written again", holder=self.holder)
        self.failure = ""


def _nobody() -> None:
    """Is to be woken."""
