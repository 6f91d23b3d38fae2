"""The id of a stream that can be resumed: it names the process that runs it, and no address of that."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import NamedTuple

from hive_runtime.errors import HiveError, Kind

_POSITION = re.compile(r"([\w-]{1,64})\.([0-9a-f]{8})([0-9a-f]{8}):(\d{1,12})", re.ASCII)


def tag_of(instance: str) -> str:
    """Eight hex digits that stand for an instance of a service."""
    return blake2b(instance.encode(), digest_size=4).hexdigest()


class StreamId(NamedTuple):
    """request_id: of the request that began it. owner: the tag of its instance. start: of this start of it, as hex."""

    request_id: str
    owner: str
    start: str

    def __str__(self) -> str:
        return f"{self.request_id}.{self.owner}{self.start}"


class Position(NamedTuple):
    """Where a client was in a stream when its connection was lost. events: those with data that it has seen."""

    stream: StreamId
    events: int

    @classmethod
    def parse(cls, last_event_id: str) -> Position | None:
        """What the header `Last-Event-ID` says; None where it is not of this form."""
        found = _POSITION.fullmatch(last_event_id.strip())
        if found is None:
            return None
        return cls(StreamId(found[1], found[2], found[3]), int(found[4]))


def stream_lost() -> HiveError:
    """What is told who asks for a stream whose process is gone."""
    said = (
        "This stream has ended with the process that ran it: it cannot be resumed. Ask again from the start."
    )
    return HiveError(Kind.UPSTREAM_FAILED, said, "Last-Event-ID", reason="stream_lost", should_retry=False)
