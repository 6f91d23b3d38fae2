"""One request on its way through the pipeline: who asks, for what, and what is known of it so far."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import msgspec

from hive_routing.answers import Headers, Send
from hive_routing.attempts import CacheStatus, Handling
from hive_routing.catalogue import Model
from hive_routing.choosing.terms import NO_WISHES, Wishes
from hive_routing.guarding.guarding import Guarded
from hive_routing.request import Request
from hive_routing.spending import Payer
from hive_routing.usage import Usage

_CACHE_HEADERS = [(b"x-hive-cache", each.name.lower().encode()) for each in CacheStatus]
"""By the number of each."""


class Spent(msgspec.Struct):
    """Who answered, the tokens of it, and what they cost. cost: nano-dollars."""

    model: str
    provider: str
    deployment: str
    usage: Usage
    cost: int
    calls: int


class Caller(msgspec.Struct):
    """Who asks, and on which terms.

    allowed: names of the models that may be asked; None: all. deadline: monotonic seconds.
    go: returns once a provider may be called. headers: what of the client's headers a provider may read.
    guard: the header `x-hive-guard` as it came. look_up: the cache may answer. idempotency_key: None where it has none.
    handling, spent: filled as soon as it is known, also where the answer fails later.
    """

    request_id: str
    attempt: int
    payer: Payer
    allowed: Collection[str] | None
    deadline: float
    go: Callable[[], Awaitable[None]]
    headers: dict[str, str] = {}
    guard: str | None = None
    look_up: bool = True
    idempotency_key: str | None = None
    wishes: Wishes = NO_WISHES
    handling: Handling = msgspec.field(default_factory=Handling)
    spent: Spent | None = None


class Visit(msgspec.Struct):
    """guarded: what the guards made of the prompt."""

    request: Request
    model: Model
    caller: Caller
    guarded: Guarded
    send: Send

    def note_guards(self) -> None:
        """For the books: what the guards have decided so far."""
        self.caller.handling.guards = self.guarded.guards
        self.caller.handling.guard_verdict = self.guarded.verdict

    def own_headers(self) -> Headers:
        """What the gateway itself did."""
        headers = [(b"x-hive-guard", self.guarded.header)]
        if status := self.caller.handling.cache:
            headers.append(_CACHE_HEADERS[status])
        return headers
