"""The rpc port: generated stubs and servicers, unchanged, over whatever network an adapter is.

An address is a string that only the adapter understands. A channel to a *service* name reaches any of its
instances, and its calls spread over them; a channel to a server's own `address` reaches that one.

Contract of every adapter (`hive_rpc.conformance` proves it): unary, server, client and bidirectional
streams; metadata; deadlines (the servicer sees what is left, the caller gets HiveError `timeout`);
cancellation of the caller cancels the servicer's handler; a HiveError raised by a servicer arrives at
the caller as the same HiveError (texts above 4 KiB cut), any other exception as `internal` without its
text, a plain gRPC status as the nearest kind; an address where nobody serves is `unavailable`; when a
server stops, open streams end with `unavailable`.

What callers and servicers can rely on, and must keep to:

* Handlers are coroutines or async generators. They inherit no context variable of the caller. One that mostly
  answers without waiting may be `prompt`: inside one process its answer is there when the call has been made.
  What it does for messages it may offer without them to callers of its process, who find it by `beside`.
* A message belongs to nobody once it was sent: neither side changes it, it may be one object.
* A slow reader holds a fast writer: `write` waits. One `read` and one `write` at a time on a call.
* A wait on a call that is cancelled cancels the call; so does dropping the call, or `aclose()` of its
  iterator. Only the caller's own cancelling raises CancelledError at the caller.
* A handler that waits for the next request of a call that was cut off sees CancelledError or the end of
  the stream; wherever else it waits, CancelledError.
* `write` on a call that failed raises its HiveError, on one that ended well InvalidStateError.
* The caller's request iterator is closed with the call; an exception of it cancels the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import grpc.aio

Channel = grpc.aio.Channel
"""What generated stubs are made of."""


class Server(Protocol):
    """One process's servicers behind one address."""

    @property
    def address(self) -> str:
        """Where this very server is reached; known once it has started."""
        ...

    def add(self, register: Callable[[Any, grpc.aio.Server], None], servicer: object) -> None:
        """Serve `servicer`; `register` is the generated `add_…Servicer_to_server`. Before `start` only."""
        ...

    async def start(self) -> None: ...

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let running ones end for `grace` seconds, then cancel them.

        May be called before `start` and again; a server that has stopped does not start again.
        """
        ...


class Network(Protocol):
    """Makes servers and channels."""

    def server(self, service: str, instance: str) -> Server:
        """A server for one instance of a service; instances of one service share its name."""
        ...

    def channel(self, target: str) -> Channel:
        """A channel for generated stubs, to a service's name or a server's address.

        Cheap: nothing connects here, and a server may start later. Errors of calls through it are raised
        as HiveError.
        """
        ...

    def reaches_others(self, service: str) -> bool:
        """Whether a service may have instances that this process has not heard of.

        Where it may, a call to its name is worth trying after all known ones were lost.
        """
        ...

    async def close(self) -> None:
        """Stop every server at once and end every call."""
        ...
