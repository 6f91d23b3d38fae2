"""What a holder's folder tells of a process that has ended: its segments, and the attempts that it left open."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import structlog

from hive_routing.attempts import Attempt
from hive_routing.journal.records import MAGIC, Closed, Head, Opened, Price, Progress, Scan
from hive_routing.journal.segments import Segment, segments_of
from hive_routing.prices import PriceTag

log = structlog.get_logger(__name__)

_NO_PRICE = PriceTag("", 0, None)


@dataclass(slots=True)
class Story:
    """number, sequence: of the last attempt that was opened, of the last event that was written.

    last_file: highest number of a segment's file. attempts: those without an end, by number, with `delivered`,
    `duration_us` and `first_content_us` as last written; `last` is set where no later call of its request followed.
    """

    number: int = 0
    sequence: int = 0
    last_file: int = 0
    segments: list[Segment] = field(default_factory=list)
    attempts: dict[int, Attempt] = field(default_factory=dict)
    opened_in: dict[int, Segment] = field(default_factory=dict)
    newest: dict[tuple[str, int], Attempt] = field(default_factory=dict)
    """Of those without an end, the last call by request and attempt."""


def read_folder(folder: Path) -> Story:
    """Read all segments; what is damaged is logged and ends its segment. OSError where a file cannot be read."""
    story = Story()
    for number, path in segments_of(folder):
        story.last_file = number
        _read_segment(story, number, path)
    return story


def _read_segment(story: Story, number: int, path: Path) -> None:
    size = path.stat().st_size
    segment = Segment(path, number, story.sequence + 1, story.sequence, size=len(MAGIC))
    story.segments.append(segment)
    with path.open("rb", buffering=256 * 1024) as file:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            damage = "torn" if MAGIC.startswith(magic) or not magic.strip(b"\0") else "broken"
            segment.size = 0
            _report(path, damage, 0, size)
            return
        scan = Scan(file, len(MAGIC), size)
        chapter = _Chapter(story, segment)
        for offset, record in scan:
            chapter.take(record, segment.size)
            segment.size = offset
    _report(path, scan.damage, scan.offset, size)
    if scan.unknown:
        log.error(
            "the journal holds records that this release cannot read", path=str(path), count=scan.unknown
        )


class _Chapter:
    """The records of one segment."""

    def __init__(self, story: Story, segment: Segment) -> None:
        self._story = story
        self._segment = segment
        self._prices: dict[int, PriceTag] = {}

    def take(self, record: Head | Price | Opened | Progress | Closed, start: int) -> None:
        story = self._story
        match record:
            case Opened():
                self._open(record)
            case Closed():
                story.sequence = record.sequence
                self._segment.note_closed(record.sequence, start)
                self._close(record.number)
            case Progress():
                if (attempt := story.attempts.get(record.number)) is not None:
                    attempt.delivered = max(attempt.delivered, record.delivered)
                    attempt.duration_us = max(0, record.at_ms - attempt.started_ms) * 1000
                    attempt.first_content_us = record.first_content_us
            case Price():
                self._prices[record.index] = record.tag()
            case Head():
                story.number = max(story.number, record.number)
                story.sequence = max(story.sequence, record.sequence)
                self._segment.first = story.sequence + 1
                self._segment.last = story.sequence

    def _open(self, record: Opened) -> None:
        story = self._story
        price = self._prices.get(record.price, _NO_PRICE)
        attempt = record.to_attempt(price, self._prices.get(record.provider_price, _NO_PRICE))
        attempt.last = True
        key = attempt.request_id, attempt.attempt
        if (earlier := story.newest.get(key)) is not None:
            earlier.last = False
        story.newest[key] = attempt
        story.number = max(story.number, record.number)
        story.attempts[record.number] = attempt
        story.opened_in[record.number] = self._segment
        self._segment.opened += 1

    def _close(self, number: int) -> None:
        story = self._story
        if (attempt := story.attempts.pop(number, None)) is None:
            return  # it was opened in a segment that is gone
        story.opened_in.pop(number).opened -= 1
        key = attempt.request_id, attempt.attempt
        if story.newest.get(key) is attempt:
            del story.newest[key]


def _report(path: Path, damage: str, offset: int, size: int) -> None:
    if damage == "torn":
        log.warning("the journal's last record was cut off", path=str(path), offset=offset, size=size)
    elif damage:
        log.error(
            "the journal is damaged: the rest of the segment is lost",
            path=str(path),
            offset=offset,
            size=size,
        )
