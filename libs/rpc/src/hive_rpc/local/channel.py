"""The channel that generated stubs take: calling a method of it starts a local call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc.aio

from hive_rpc.local.call import LocalCall, StreamStreamCall, StreamUnaryCall, UnaryStreamCall, UnaryUnaryCall
from hive_rpc.local.context import Requests
from hive_rpc.local.rpc import Rpc
from hive_runtime.tasks import Tasks

if TYPE_CHECKING:
    from hive_rpc.local.server import LocalServer

T = TypeVar("T")
Dispatch = Callable[[str, Rpc, Any], None]
Pick = Callable[[str], "LocalServer | None"]
"""The server that the next call to a target reaches."""


class LocalChannel(grpc.aio.Channel):
    """A way to one target. The arguments `credentials`, `wait_for_ready` and `compression` mean nothing."""

    is_near = True

    def __init__(self, target: str, limit: int, dispatch: Dispatch, pick: Pick, tasks: Tasks) -> None:
        self._target = target
        self._limit = limit
        self._dispatch = dispatch
        self._pick = pick
        self._tasks = tasks

    def unary_unary(self, method: str, *codec: Any, **options: Any) -> Any:
        return _OneRequest(self, method, UnaryUnaryCall)

    def unary_stream(self, method: str, *codec: Any, **options: Any) -> Any:
        return _OneRequest(self, method, UnaryStreamCall)

    def stream_unary(self, method: str, *codec: Any, **options: Any) -> Any:
        return _ManyRequests(self, method, StreamUnaryCall)

    def stream_stream(self, method: str, *codec: Any, **options: Any) -> Any:
        return _ManyRequests(self, method, StreamStreamCall)

    def start(self, method: str, request: Any, timeout: float | None, metadata: Any) -> Rpc:
        """Start a call; without a request its handler gets the stream of them."""
        rpc = Rpc(method, tuple(metadata or ()), self._limit, timeout)
        self._dispatch(self._target, rpc, Requests(rpc) if request is None else request)
        rpc.watch_deadline()
        return rpc

    def feed(self, rpc: Rpc, requests: Any) -> None:
        """Write what the caller's iterator gives, as long as the call lasts."""
        if not rpc.done:
            rpc.feeder = self._tasks.spawn(_feed(rpc, requests), f"requests of {rpc.method}")

    def servicer(self, kind: type[T]) -> T | None:
        """See `hive_rpc.beside`."""
        server = self._pick(self._target)
        return None if server is None else server.servicer(kind)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        return None

    async def channel_ready(self) -> None:
        return None

    async def close(self, grace: float | None = None) -> None:
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _Method:
    """One rpc method as a stub holds it."""

    def __init__(self, channel: LocalChannel, method: str, kind: type[LocalCall]) -> None:
        self._channel = channel
        self._method = method
        self._kind = kind


class _OneRequest(_Method):
    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> LocalCall:
        return self._kind(self._channel.start(self._method, request, timeout, metadata))


class _ManyRequests(_Method):
    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> LocalCall:
        rpc = self._channel.start(self._method, None, timeout, metadata)
        if request_iterator is not None:
            self._channel.feed(rpc, request_iterator)
        return self._kind(rpc)


async def _feed(rpc: Rpc, requests: Any) -> None:
    try:
        await _put_all(rpc, requests)
    except Exception:
        rpc.cancel()
        raise
    rpc.requests.close()


async def _put_all(rpc: Rpc, requests: Any) -> None:
    if not isinstance(requests, AsyncIterable):
        for request in requests:
            await rpc.requests.put(request)
        return
    try:
        async for request in requests:
            await rpc.requests.put(request)
    finally:
        if isinstance(requests, AsyncGenerator):
            await requests.aclose()
