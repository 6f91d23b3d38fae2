"""The service's side of the relay: takes envelopes, queued or direct; one reply stream per caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from hive_relay import frames
from hive_relay.asgi import App
from hive_relay.mailbox import Mailbox
from hive_relay.run import Run, going_down
from hive_rpc import Network, Server
from hive_runtime import tracing
from hive_runtime.blobs import Blobs
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from modelhive.relay.v1.relay_pb2 import (
    CallerFrame,
    ExecuteRequest,
    ExecuteResponse,
    OpenRequest,
    ReplyFrame,
    RequestEnvelope,
)
from modelhive.relay.v1.relay_pb2_grpc import GatewayServicer, RepliesStub, add_GatewayServicer_to_server


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process carries at once: requests, and bytes of bodies that came by claim check."""

    requests: int = 4096
    body_bytes: int = 256 * 1024 * 1024


LAST_FRAMES_SECONDS = 2.0


class CallerStream:
    """The reply stream to one caller, and the runs whose answers it carries."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.mailbox: Mailbox[ReplyFrame] = Mailbox()
        self.runs: dict[tuple[str, int], Run] = {}
        self.carrier: asyncio.Task[None] | None = None


class Responder(GatewayServicer):
    """Runs requests through `app`; subscribe `take` to the request topic, `attach` it to `server`."""

    attach = staticmethod(add_GatewayServicer_to_server)

    def __init__(
        self,
        app: App,
        *,
        service: str,
        instance: str,
        server: Server,
        network: Network,
        blobs: Blobs,
        clock: Clock,
        tasks: Tasks,
        bounds: Bounds = Bounds(),
    ) -> None:
        self._app = app
        self._service = service
        self._instance = instance
        self._server = server
        self._network = network
        self._blobs = blobs
        self._clock = clock
        self._tasks = tasks
        self._bounds = bounds
        self._places = asyncio.Semaphore(bounds.requests)
        self._body_bytes = 0
        self._streams: dict[str, CallerStream] = {}
        self._draining = False

    @property
    def in_flight(self) -> int:
        return sum(len(stream.runs) for stream in self._streams.values())

    async def take(self, envelope: RequestEnvelope) -> None:
        """Start answering; returns at once, or waits while as many requests run as may.

        An envelope whose deadline has passed, or that runs here already, is dropped.
        """
        await self._places.acquire()
        try:
            run, stream = self._admit(envelope)
        except BaseException:
            self._places.release()
            raise
        if run is None or stream is None:
            self._places.release()
            return
        stream.runs[run.key] = run
        done = partial(self._done, run, stream, envelope.blob.size_bytes)
        try:
            run.task = self._tasks.spawn(self._carry(run), "run")
        except BaseException:
            done(None)
            raise
        # Not in the task itself: one that is cancelled before its first step never runs any of its code.
        run.task.add_done_callback(done)

    async def Execute(self, request: ExecuteRequest, context: Any) -> ExecuteResponse:
        if self._draining:
            raise going_down()
        await self.take(request.envelope)
        return ExecuteResponse()

    async def drain(self, seconds: float) -> bool:
        """Take no more, let the running ones end for so long, then give them back; true where none was left.

        Callers hear of it at once, so that they send nothing more and count what breaks off as no loss.
        """
        self._draining = True
        for stream in self._streams.values():
            stream.mailbox.put(frames.goodbye())
        runs = [run for stream in self._streams.values() for run in stream.runs.values()]
        tasks = [run.task for run in runs if run.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel("shutdown")
            await asyncio.gather(*late, return_exceptions=True)
        await self._say_goodbye()
        return not tasks or not late

    async def _say_goodbye(self) -> None:
        """Close the streams once their last frames have left, or could not for a while."""
        carriers = [stream.carrier for stream in self._streams.values() if stream.carrier is not None]
        for stream in self._streams.values():
            stream.mailbox.close()
        if carriers:
            await asyncio.wait(carriers, timeout=LAST_FRAMES_SECONDS)

    def _admit(self, envelope: RequestEnvelope) -> tuple[Run | None, CallerStream | None]:
        left = envelope.deadline_unix_ms / 1000 - self._clock.now()
        stream = self._stream(envelope.reply_to)
        if left <= 0 or (envelope.request_id, envelope.attempt) in stream.runs:
            return None, None
        run = Run(envelope, stream.mailbox, self._blobs, asyncio.get_running_loop().time() + left)
        if self._body_bytes + envelope.blob.size_bytes > self._bounds.body_bytes:
            run.refuse(HiveError(Kind.UNAVAILABLE, "Too many large bodies at once.", retry_after=1))
            return None, None
        if self._draining:
            run.decline()
            return None, None
        self._body_bytes += envelope.blob.size_bytes
        return run, stream

    async def _carry(self, run: Run) -> None:
        try:
            await run.execute(self._app)
        except asyncio.CancelledError as reason:
            if reason.args:  # our own shutdown; a caller that cancelled listens no more
                run.give_back()
            raise

    def _done(self, run: Run, stream: CallerStream, body_bytes: int, task: asyncio.Task[None] | None) -> None:
        stream.runs.pop(run.key, None)
        self._body_bytes -= body_bytes
        self._places.release()

    # The stream to a caller.

    def _stream(self, address: str) -> CallerStream:
        stream = self._streams.get(address)
        if stream is None:
            stream = self._streams[address] = CallerStream(address)
            with tracing.detached():  # it outlives the request that it is opened for
                stream.carrier = self._tasks.spawn(self._keep(stream), f"replies to {address}")
        return stream

    async def _keep(self, stream: CallerStream) -> None:
        """Carry frames both ways until the stream breaks; then whoever waited for answers is gone."""
        try:
            replies = RepliesStub(self._network.channel(stream.address)).Open(self._outgoing(stream))
            async for response in replies:
                for frame in response.frames:
                    self._on_frame(stream, frame)
        except HiveError:
            pass  # an unreachable caller means drop
        finally:
            del self._streams[stream.address]
            stream.mailbox.close()
            for run in list(stream.runs.values()):
                run.on_cancel()

    async def _outgoing(self, stream: CallerStream) -> AsyncIterator[OpenRequest]:
        hello = frames.hello(self._service, self._instance, self._server.address)
        yield OpenRequest(frames=[hello, frames.goodbye()] if self._draining else [hello])
        while batch := await stream.mailbox.take():
            yield OpenRequest(frames=batch)

    def _on_frame(self, stream: CallerStream, frame: CallerFrame) -> None:
        run = stream.runs.get((frame.request_id, frame.attempt))
        if run is None:
            return
        kind = frame.WhichOneof("frame")
        if kind == "go":
            run.on_go()
        elif kind == "credit":
            run.on_credit(frame.credit.bytes)
        elif kind == "cancel":
            run.on_cancel()
