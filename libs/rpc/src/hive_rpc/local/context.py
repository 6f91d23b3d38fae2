"""The servicer's end of a local call: the context and the request iterator that a handler gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Never

import grpc.aio
from grpc import StatusCode

from hive_rpc.local.pipe import EOF
from hive_rpc.local.rpc import Metadata, Rpc


class LocalContext(grpc.aio.ServicerContext[Any, Any]):
    """What a handler may know and ask of its call. Compression and peer identities do not exist here."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._code: StatusCode | None = None
        self._details = ""
        self._trailing: Metadata = ()
        self.aborted: grpc.aio.AbortError | None = None

    async def read(self) -> Any:
        return await self._rpc.requests.get()

    async def write(self, message: Any) -> None:
        rpc = self._rpc
        if rpc.initial is None:
            rpc.open(())
        if not await rpc.responses.put(message):
            raise self.aborted or grpc.aio.UsageError("this call has ended: nothing more can be written")

    async def send_initial_metadata(self, initial_metadata: Iterable[Any]) -> None:
        if self._rpc.initial is not None:
            raise grpc.aio.UsageError("initial metadata has been sent already")
        self._rpc.open(tuple(initial_metadata))

    async def abort(
        self, code: StatusCode, details: str = "", trailing_metadata: Iterable[Any] = ()
    ) -> Never:
        if self.aborted is not None:
            raise grpc.aio.UsageError("abort was called already")
        self.aborted = grpc.aio.AbortError(f"aborted with {code.name}")
        self._rpc.end(code, details or self._details, tuple(trailing_metadata) or self._trailing)
        raise self.aborted

    async def abort_with_status(self, status: grpc.Status) -> Never:
        await self.abort(status.code, status.details, status.trailing_metadata)

    def set_trailing_metadata(self, trailing_metadata: Iterable[Any]) -> None:
        self._trailing = tuple(trailing_metadata)

    def trailing_metadata(self) -> Any:
        return self._trailing

    def invocation_metadata(self) -> Any:
        return self._rpc.metadata

    def set_code(self, code: StatusCode) -> None:
        self._code = code

    def code(self) -> Any:
        return self._code

    def set_details(self, details: str) -> None:
        self._details = details

    def details(self) -> str:
        return self._details

    def time_remaining(self) -> Any:
        return self._rpc.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._rpc.on_end(partial(callback, self))

    def cancelled(self) -> bool:
        return self._rpc.code is StatusCode.CANCELLED

    def done(self) -> bool:
        return self._rpc.done

    def peer(self) -> str:
        return "local"

    def peer_identities(self) -> None:
        return None

    def peer_identity_key(self) -> None:
        return None

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {}

    def set_compression(self, compression: grpc.Compression) -> None:
        return None

    def disable_next_message_compression(self) -> None:
        return None


class Requests:
    """The caller's messages as the async iterator that a handler gets."""

    __slots__ = ("_pipe",)

    def __init__(self, rpc: Rpc) -> None:
        self._pipe = rpc.requests

    def __aiter__(self) -> Requests:
        return self

    async def __anext__(self) -> Any:
        message = await self._pipe.get()
        if message is EOF:
            raise StopAsyncIteration
        return message
