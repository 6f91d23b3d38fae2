"""One attempt to call a model, from before it is sent to what it cost, and the port of the log that keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

import msgspec

from hive_routing.prices import PriceTag
from hive_runtime.tracing import NOTHING, Span


class Outcome(IntEnum):
    """What became of an attempt; numbers as in the contract (`modelhive.events.v1.Outcome`)."""

    ANSWERED = 1
    REFUSED = 2
    UNSENT = 3
    UNANSWERED = 4
    BROKEN = 5
    ABANDONED = 6
    RECOVERED = 7


ANSWERED = Outcome.ANSWERED
"""That of nearly all, at hand: on Python 3.11 a member of an enum takes far longer to find than a name of a module."""


class CacheStatus(IntEnum):
    """Whether the answer came from the cache; numbers as in the contract (`modelhive.events.v1.CacheStatus`)."""

    NONE = 0
    MISS = 1
    HIT = 2
    BYPASS = 3


class Handling(msgspec.Struct):
    """What became of a request on its way: grows while it is handled.

    guards: those that read the request or its answer. guard_verdict: the heaviest, as in the contract.
    replayed: the answer is that of an earlier request with the same Idempotency-Key. dispatched: a provider was asked.
    """

    cache: CacheStatus = CacheStatus.NONE
    guards: Sequence[str] = ()
    guard_verdict: int = 0
    replayed: bool = False
    dispatched: bool = False


class Attempt(msgspec.Struct):
    """Known before it is sent, and kept by the journal from then on: the first block. Known at its end: the others.

    attempt: counts the processes that the request was given to; call: the calls of this process to deployments.
    deployment: `<provider>/<the provider's own name of the model>`. started_ms: Unix milliseconds.
    prompt: units of the prompt, by our own count. price: what the tenant pays; provider_price: what is charged.
    began: the same in monotonic seconds. scopes: what the money is held in.
    held, cost, provider_cost, carried: nano-dollars. generation: of the leases that carry it.
    delivered: output tokens that the caller was sent, about. units: by unit; absent is not known, zero is none.
    """

    request_id: str
    attempt: int
    call: int
    tenant_id: str
    key_id: str
    endpoint: str
    model: str
    provider: str
    deployment: str
    started_ms: int
    streamed: bool
    prompt: dict[str, int]
    price: PriceTag
    provider_price: PriceTag
    began: float = 0.0
    scopes: tuple[str, ...] = ()
    held: int = 0
    tags: tuple[str, ...] = ()

    handling: Handling = msgspec.field(default_factory=Handling)
    duration_us: int = 0
    first_content_us: int | None = None
    outcome: Outcome = Outcome.UNSENT
    error: str = ""
    last: bool = False
    upstream_request_id: str = ""

    units: dict[str, int] = {}
    estimated: bool = False
    cost: int = 0
    provider_cost: int = 0
    carried: int = 0
    generation: int = 0
    delivered: int = 0

    number: int = 0
    """Its place in the journal, given by `UsageLog.open`."""
    span: Span = NOTHING
    """Its place in its request's trace, given there too."""


class UsageLog(Protocol):
    """Keeps attempts so that none is forgotten, whatever happens to this process. No method waits or raises
    for want of a network; all are a write to a local file at most."""

    def open(self, attempt: Attempt) -> None:
        """Before it is sent: from now on a crash settles it."""
        ...

    def progress(self, attempt: Attempt) -> None:
        """`delivered` has grown. To be called about once a second at most."""
        ...

    def close(self, attempt: Attempt) -> None:
        """What it cost is final: written before the caller hears the end of its answer, and told to all."""
        ...
