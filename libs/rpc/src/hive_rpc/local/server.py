"""One local server: the servicers of one instance of a service, and the calls that they answer."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, cast

import grpc.aio
from grpc import StatusCode

from hive_rpc.local.context import LocalContext
from hive_rpc.local.rpc import Rpc
from hive_rpc.local.serving import Begin, Run, begin, beginner, runner, serve
from hive_runtime.tasks import OnFailure, Tasks

T = TypeVar("T")


class Directory(Protocol):
    """Where servers are found while they serve."""

    def enter(self, server: LocalServer) -> None: ...

    def leave(self, server: LocalServer) -> None: ...


class LocalServer:
    """A `Server` of the rpc port, reached as `local:<service>/<instance>`."""

    def __init__(self, service: str, instance: str, directory: Directory, on_failure: OnFailure) -> None:
        self.service = service
        self.address = f"local:{service}/{instance}"
        self._directory = directory
        self._servicers: list[object] = []
        self._found: dict[type, Any] = {}
        """Of `servicer`, which is asked for every call."""
        self._methods: dict[str, Run] = {}
        self._prompt: dict[str, Begin] = {}
        self._on_failure = on_failure
        self._running: set[Rpc] = set()
        self._tasks = Tasks(on_failure)

    def add(self, register: Callable[[Any, grpc.aio.Server], None], servicer: object) -> None:
        register(servicer, cast(grpc.aio.Server, self))
        self._servicers.append(servicer)
        self._found.clear()

    def servicer(self, kind: type[T]) -> T | None:
        """The first of its servicers that is a `kind`."""
        if kind not in self._found:
            self._found[kind] = next((each for each in self._servicers if isinstance(each, kind)), None)
        found: T | None = self._found[kind]
        return found

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Called by the generated code. A method that is not asynchronous is not served."""
        for name, method in method_handlers.items():
            run = runner(method)
            if run is not None:
                self._methods[f"/{service_name}/{name}"] = run
            prompt = beginner(method)
            if prompt is not None:
                self._prompt[f"/{service_name}/{name}"] = prompt

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Called by the generated code with what `add_registered_method_handlers` gets by name."""

    async def start(self) -> None:
        self._directory.enter(self)

    async def stop(self, grace: float) -> None:
        self._directory.leave(self)
        await self._tasks.settle(grace)
        for rpc in tuple(self._running):
            rpc.kill(StatusCode.UNAVAILABLE, "the server has stopped")
        await self._tasks.close()

    def accept(self, rpc: Rpc, request: Any) -> None:
        """Start the handler of a call, in a context of its own: it inherits nothing from the caller."""
        run = self._methods.get(rpc.method)
        if run is None:
            rpc.end(StatusCode.UNIMPLEMENTED, f"{self.address} does not serve {rpc.method}")
            return
        inside, context = contextvars.Context(), LocalContext(rpc)
        if rpc.method in self._prompt:
            try:
                rest = inside.run(begin, self._prompt[rpc.method], rpc, request, context)
            except Exception as error:
                self._on_failure(rpc.method, error)
                return
            if rest is None:
                return
            run = rest
        rpc.join(self._running)
        rpc.handler = inside.run(self._tasks.spawn, serve(run, rpc, request, context), rpc.method)
