"""The channel that generated stubs take: it connects when it is used, and again after it was let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc.aio

from hive_rpc.remote.call import (
    RemoteCall,
    StreamRequest,
    StreamStreamCall,
    StreamUnaryCall,
    UnaryStreamCall,
    UnaryUnaryCall,
    end_with,
    feed,
)
from hive_rpc.remote.hooks import Hooks
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks


class RemoteChannel(grpc.aio.Channel):
    """A way to one target. It counts the calls that run, so that its network can close one that is idle."""

    def __init__(
        self, target: str, connect: Callable[[], grpc.aio.Channel], tasks: Tasks, hooks: Hooks
    ) -> None:
        self.target = target
        self.running = 0
        self.last_used = 0.0
        self.hooks = hooks
        self.tasks = tasks
        self._connect = connect
        self._channel: grpc.aio.Channel | None = None
        self._closed = False
        self._methods: dict[str, _Method] = {}

    def unary_unary(self, method: str, *codec: Any, **options: Any) -> Any:
        return self._method(_OneRequest, "unary_unary", UnaryUnaryCall, method, codec, options)

    def unary_stream(self, method: str, *codec: Any, **options: Any) -> Any:
        return self._method(_OneRequest, "unary_stream", UnaryStreamCall, method, codec, options)

    def stream_unary(self, method: str, *codec: Any, **options: Any) -> Any:
        return self._method(_ManyRequests, "stream_unary", StreamUnaryCall, method, codec, options)

    def stream_stream(self, method: str, *codec: Any, **options: Any) -> Any:
        return self._method(_ManyRequests, "stream_stream", StreamStreamCall, method, codec, options)

    def open(self) -> grpc.aio.Channel:
        """The connection's channel. Raises HiveError `unavailable` once the network has closed."""
        if self._channel is None:
            if self._closed:
                raise HiveError(Kind.UNAVAILABLE, "This process is going down.")
            self._channel = self._connect()
        return self._channel

    def release(self) -> grpc.aio.Channel | None:
        """Take the connection away, to be closed; the next call opens another one."""
        channel, self._channel = self._channel, None
        return channel

    def refuse(self) -> None:
        """Open no connection any more; what runs on one that is closed now ends as `unavailable`."""
        self._closed = True

    def was_closed(self) -> bool:
        return self._closed

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.open().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self.open().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self.open().channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """End every call of it as `unavailable`."""
        self.refuse()
        channel = self.release()
        if channel is not None:
            await channel.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def began(self, call: Any) -> None:
        """Count a call until it ends."""
        self.running += 1
        call.add_done_callback(self._ended)

    def _ended(self, call: object) -> None:
        self.running -= 1
        self.last_used = asyncio.get_running_loop().time()

    def _method(
        self,
        style: type[_Method],
        kind: str,
        call: type[RemoteCall],
        name: str,
        codec: tuple[Any, ...],
        options: dict[str, Any],
    ) -> _Method:
        known = self._methods.get(name)
        if known is None:
            options.pop("_registered_method", None)
            known = self._methods[name] = style(self, kind, call, name, codec, options)
        return known


class _Method:
    """One rpc method as a stub holds it."""

    def __init__(
        self,
        channel: RemoteChannel,
        kind: str,
        call: type[RemoteCall],
        name: str,
        codec: tuple[Any, ...],
        options: dict[str, Any],
    ) -> None:
        self._channel = channel
        self._kind = kind
        self._call = call
        self._name = name
        self._codec = codec
        self._options = options
        self._made_of: grpc.aio.Channel | None = None
        self._callable: Any = None

    def start(self, request: Any, timeout: float | None, metadata: Any, wait_for_ready: bool | None) -> Any:
        channel = self._channel.open()
        if channel is not self._made_of:
            self._callable = getattr(channel, self._kind)(self._name, *self._codec, **self._options)
            self._made_of = channel
        outgoing = self._channel.hooks.outgoing
        if outgoing is not None:
            metadata = (*(metadata or ()), *outgoing())
        call = self._callable(request, timeout=timeout, metadata=metadata, wait_for_ready=wait_for_ready)
        self._channel.began(call)
        return call


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
    ) -> RemoteCall:
        start = partial(self.start, request, timeout, metadata, wait_for_ready)
        call = self._call(start(), self._channel.was_closed)
        if isinstance(call, UnaryUnaryCall):
            call.again = start
        return call


class _ManyRequests(_Method):
    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> RemoteCall:
        inner = self.start(None, timeout, metadata, wait_for_ready)
        call = self._call(inner, self._channel.was_closed)
        if request_iterator is not None:
            assert isinstance(call, StreamRequest)
            call.fed = True
            end_with(inner, self._channel.tasks.spawn(feed(inner, request_iterator), self._name))
        return call
