"""A caller and a service in one process: what they tell each other needs neither frames nor a stream.

A run that is accepted has its `Call` as a listener, as long as the call waits for it. Each call arrives before it
returns. `Accepted` and `Go` are noted at once, and a chunk that is not the last is given to whom the answer is passed
on to; what all else brings about waits for the event loop's next round, as it would after a stream's. What is under
way is bounded by each request's credit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hive_relay.link import Link
from hive_relay.replies import Key, Replies, Teller
from modelhive.relay.v1.relay_pb2 import CancelReason, Hello

if TYPE_CHECKING:
    from hive_relay.caller import Caller
    from hive_relay.run import Run


class LinkBeside(Link):
    """To a service in this process: `runs` are what it runs for the caller."""

    def __init__(self, runs: Mapping[Key, Run]) -> None:
        super().__init__()
        self._runs = runs

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

    def hello(self, own: Hello) -> None:
        self._caller.on_hello(self._link, own)

    def goodbye(self) -> None:
        self._caller.on_goodbye(self._link)

    def accepted(self, teller: Teller) -> None:
        if self._closed:  # whoever parted carries nothing any more
            return
        call = self._caller.on_accepted(self._link, teller.key)
        if call is None:
            teller.on_cancel()
        else:
            call.listen_to(teller)
            teller.on_go()

    is_full = False

    async def room(self) -> None:
        return

    def close(self) -> None:
        self._closed = True
        self._caller.part(self._link)
