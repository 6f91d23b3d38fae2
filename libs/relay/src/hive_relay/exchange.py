"""What a handler may know and ask of the request that it answers, beside the ASGI scope.

A service's ASGI app finds it as `scope["hive"]`. Three habits come with it:

* Before anything that cannot be undone (a provider call), `await exchange.go()`.
* A body message that is not content (keep-alive, preamble) carries `"hive.content": False`.
* What goes wrong is raised as HiveError, before or in the middle of the answer: the caller's edge words it
  in the client's dialect, as an error body or as the error event that ends a stream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec

from hive_relay.principal import Principal
from hive_relay.summary import Summary


class Exchange(msgspec.Struct, eq=False):
    """One (request, attempt) as the service sees it; `deadline` is in the clock's monotonic seconds."""

    request_id: str
    attempt: int
    principal: Principal
    deadline: float
    traceparent: str
    go: Callable[[], Awaitable[None]]
    """Returns once the caller lets exactly this attempt and process go on; raises CancelledError if never."""
    usage: Summary | None = None
    """Set by the handler before it returns: travels in the `End` frame."""


def exchange_of(scope: Any) -> Exchange:
    """The exchange of an ASGI scope that a relay has made."""
    return cast(Exchange, scope["hive"])
