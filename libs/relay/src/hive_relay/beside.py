"""A caller and a service in one process: what they tell each other needs neither frames nor a stream.

Each call arrives before it returns. `Accepted` and `Go` are noted at once; what all else brings about waits for the
event loop's next round, as it would after a stream's. What is under way is bounded by each request's credit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hive_relay.frames import HeaderPairs
from hive_relay.link import Link
from hive_relay.replies import Key, Replies
from hive_runtime.errors import HiveError
from modelhive.common.v1.common_pb2 import UsageSummary
from modelhive.relay.v1.relay_pb2 import CancelReason, Hello

if TYPE_CHECKING:
    from hive_relay.caller import Caller
    from hive_relay.run import Run


class LinkBeside(Link):
    """To a service in this process: `runs` are what it runs for the caller."""

    def __init__(self, runs: Mapping[Key, Run]) -> None:
        super().__init__()
        self._runs = runs

    def go(self, request_id: str, attempt: int) -> None:
        if (run := self._runs.get((request_id, attempt))) is not None:
            run.on_go()

    def credit(self, request_id: str, attempt: int, size: int) -> None:
        if (run := self._runs.get((request_id, attempt))) is not None:
            run.on_credit(size)

    def cancel(self, request_id: str, attempt: int, reason: CancelReason.ValueType) -> None:
        if (run := self._runs.get((request_id, attempt))) is not None:
            run.on_cancel()

    def close(self) -> None:
        """What runs is left alone: whoever goes down ends it in its own way."""


class RepliesBeside(Replies):
    """To a caller in this process."""

    def __init__(self, caller: Caller, link: Link) -> None:
        self._caller = caller
        self._link = link
        self._closed = False
        caller.join(link)

    def hello(self, own: Hello) -> None:
        self._caller.on_hello(self._link, own)

    def goodbye(self) -> None:
        self._caller.on_goodbye(self._link)

    def accepted(self, key: Key) -> None:
        if (
            not self._closed
        ):  # whoever parted carries nothing any more; all else asks for a call that it carries
            self._caller.on_accepted(self._link, key)

    def head(self, key: Key, status: int, headers: HeaderPairs) -> None:
        if (call := self._caller.awaited(self._link, key)) is not None:
            call.on_head(status, headers)

    def chunk(self, key: Key, data: bytes, content: bool) -> None:
        if (call := self._caller.awaited(self._link, key)) is not None:
            call.on_chunk(data, content)

    def end(
        self, key: Key, error: HiveError | None, usage: UsageSummary | None, given_back: bool = False
    ) -> None:
        if (call := self._caller.awaited(self._link, key)) is not None:
            self._caller.on_end(self._link, call, error, usage, given_back)

    is_full = False

    async def room(self) -> None:
        return

    def close(self) -> None:
        self._closed = True
        self._caller.part(self._link)
