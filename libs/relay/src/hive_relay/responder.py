"""The service's side of the relay: takes requests, queued, direct or handed; one reply stream per caller.

With a caller in the same process no stream is needed (`beside.py`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from hive_relay.asgi import App, Receive, Scope, Send
from hive_relay.beside import LinkBeside, RepliesBeside
from hive_relay.caller import Caller
from hive_relay.exchange import exchange_of
from hive_relay.replies import Key, Replies, StreamReplies
from hive_relay.request import Request, request_of
from hive_relay.run import Run, going_down
from hive_rpc import Network, Server
from hive_runtime import tracing
from hive_runtime.alarm import NEVER, Alarm
from hive_runtime.blobs import Blobs
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from modelhive.relay.v1.relay_pb2 import (
    CallerFrame,
    ExecuteRequest,
    ExecuteResponse,
    Hello,
    OpenRequest,
    RequestEnvelope,
)
from modelhive.relay.v1.relay_pb2_grpc import GatewayServicer, RepliesStub, add_GatewayServicer_to_server


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process carries at once: requests, and bytes of bodies that came by claim check."""

    requests: int = 4096
    body_bytes: int = 256 * 1024 * 1024


LAST_FRAMES_SECONDS = 2.0
REMEMBERED = 4096


class Asker:
    """A caller as a service process knows it: how it is told of answers, and what runs for it.

    carrier: who carries the frames; None where the caller is in this process.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.runs: dict[Key, Run] = {}
        self.replies: Replies
        self.carrier: asyncio.Task[None] | None = None


class Responder(GatewayServicer):
    """Runs requests through `app`. Subscribe `begin` and `begin_again` to their topic, `attach` it to `server`."""

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
        beside: Mapping[str, Caller] = MappingProxyType({}),
    ) -> None:
        """beside: the callers in this process, by their addresses."""
        self._app = app
        self._service = service
        self._instance = instance
        self._server = server
        self._network = network
        self._blobs = blobs
        self._clock = clock
        self._tasks = tasks
        self._bounds = bounds
        self._beside = beside
        self._places = bounds.requests
        self._queue: deque[asyncio.Future[None]] = deque()
        """Requests that wait for a place."""
        self._alarm = Alarm(self._look_at_runs)
        self._body_bytes = 0
        self._handed: dict[Key, None] = {}
        """Attempts that came by a stream, the latest ones: they are queued as well."""
        self._askers: dict[str, Asker] = {}
        self._running: set[Run] = set()
        self._draining = False

    @property
    def in_flight(self) -> int:
        return sum(len(asker.runs) for asker in self._askers.values())

    def begin(self, asked: RequestEnvelope | Request) -> Awaitable[None] | None:
        """Start answering; an awaitable, which does so in its turn, while as many requests run as may.

        A request whose deadline has passed, or that runs here already, is dropped. It comes without an envelope from
        a caller in this process.
        """
        request = asked if isinstance(asked, Request) else request_of(asked, self._clock)
        return self._begin(request, self._once_wanted if request.handed else None)

    def begin_again(self, envelope: RequestEnvelope) -> Awaitable[None] | None:
        """The same for what another process may have begun with, and not survived: its caller has to want it first."""
        return self._begin(request_of(envelope, self._clock), self._once_wanted)

    def _begin(self, request: Request, app: App | None) -> Awaitable[None] | None:
        if request.handed and (request.request_id, request.attempt) in self._handed:
            return None
        if not self._places:
            return self._begin_later(request, app)
        self._places -= 1
        self._begin_in_place(request, app)
        return None

    def _take_handed(self, envelope: RequestEnvelope) -> None:
        """The same for what comes by a caller's stream. Where there is no place it is let be: it is queued as well."""
        if not self._places or self._draining:
            return
        request, handed = request_of(envelope, self._clock), self._handed
        handed[request.request_id, request.attempt] = None
        if len(handed) > REMEMBERED:
            del handed[next(iter(handed))]
        self._places -= 1
        self._begin_in_place(request)

    async def _once_wanted(self, scope: Scope, receive: Receive, send: Send) -> None:
        await exchange_of(scope).go()
        await self._app(scope, receive, send)

    async def take(self, asked: RequestEnvelope | Request) -> None:
        """The same; returns once it is answered."""
        if (later := self.begin(asked)) is not None:
            await later

    async def _begin_later(self, request: Request, app: App | None) -> None:
        if self._places:  # one was given back since
            self._places -= 1
            self._begin_in_place(request, app)
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._free_place()
            raise
        self._begin_in_place(request, app)

    def _free_place(self) -> None:
        """Give the place to who waits longest."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._places += 1

    def _begin_in_place(self, request: Request, app: App | None = None) -> None:
        try:
            asker = self._asker(request.reply_to)
            run = self._admit(request, asker)
        except BaseException:
            self._free_place()
            raise
        if run is None:
            self._free_place()
            return
        asker.runs[run.key] = run
        self._running.add(run)
        done = partial(self._done, run, asker)
        try:
            run.task = self._tasks.spawn(run.execute(app or self._app), "run", done)
        except BaseException:
            run.is_owed = False
            done()
            raise
        self._alarm.at(run.deadline)
        asker.replies.accepted(run)

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
        for asker in self._askers.values():
            asker.replies.goodbye()
        runs = [run for asker in self._askers.values() for run in asker.runs.values()]
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
        carriers = [asker.carrier for asker in self._askers.values() if asker.carrier is not None]
        for asker in list(self._askers.values()):
            if asker.carrier is None:
                self._drop(asker)
            else:
                asker.replies.close()
        if carriers:
            await asyncio.wait(carriers, timeout=LAST_FRAMES_SECONDS)

    def _admit(self, request: Request, asker: Asker) -> Run | None:
        """None where it is not to run: it came too late or twice, or is refused."""
        run = Run(request, asker.replies, self._blobs)
        if run.deadline <= asyncio.get_running_loop().time() or run.key in asker.runs:
            return None
        if self._body_bytes + run.claimed_bytes > self._bounds.body_bytes:
            run.refuse(HiveError(Kind.UNAVAILABLE, "Too many large bodies at once.", retry_after=1))
            return None
        if self._draining:
            run.decline()
            return None
        self._body_bytes += run.claimed_bytes
        return run

    def _done(self, run: Run, asker: Asker) -> None:
        del asker.runs[run.key]
        self._running.discard(run)
        if run.is_owed and asker.carrier is None:
            # What ran here was stopped: whoever is beside hears of it by no stream that breaks.
            self._drop(asker)
        self._body_bytes -= run.claimed_bytes
        self._free_place()

    def _look_at_runs(self, now: float) -> float:
        """Stop those whose deadline has come, and tell when the next one comes."""
        for run in self._running:
            if run.deadline <= now:
                run.expire()
        return min((run.deadline for run in self._running if not run.has_expired), default=NEVER)

    # The way to a caller.

    def _asker(self, address: str) -> Asker:
        asker = self._askers.get(address)
        if asker is not None:
            return asker
        asker = self._askers[address] = Asker(address)
        caller = self._beside.get(address)
        if caller is not None:
            asker.replies = RepliesBeside(caller, LinkBeside(asker.runs))
        else:
            asker.replies = replies = StreamReplies()
            with tracing.detached():  # it outlives the request that it is opened for
                asker.carrier = self._tasks.spawn(self._keep(asker, replies), f"replies to {address}")
        asker.replies.hello(self._own)
        if self._draining:
            asker.replies.goodbye()
        return asker

    def _drop(self, asker: Asker) -> None:
        """End the way to a caller in this process; another one begins with its next request."""
        if self._askers.get(asker.address) is asker:
            del self._askers[asker.address]
        asker.replies.close()

    @property
    def _own(self) -> Hello:
        return Hello(service=self._service, instance=self._instance, address=self._server.address)

    async def _keep(self, asker: Asker, replies: StreamReplies) -> None:
        """Carry frames both ways until the stream breaks; then whoever waited for answers is gone."""
        try:
            stub = RepliesStub(self._network.channel(asker.address))
            async for response in stub.Open(_outgoing(replies)):
                for frame in response.frames:
                    self._on_frame(asker, frame)
        except HiveError:
            pass  # an unreachable caller means drop
        finally:
            del self._askers[asker.address]
            replies.close()
            for run in list(asker.runs.values()):
                run.on_cancel()

    def _on_frame(self, asker: Asker, frame: CallerFrame) -> None:
        if frame.HasField("envelope"):
            self._take_handed(frame.envelope)
            return
        run = asker.runs.get((frame.request_id, frame.attempt))
        if run is None:
            return
        kind = frame.WhichOneof("frame")
        if kind == "go":
            run.on_go()
        elif kind == "credit":
            run.on_credit(frame.credit.bytes)
        elif kind == "cancel":
            run.on_cancel()


async def _outgoing(replies: StreamReplies) -> AsyncIterator[OpenRequest]:
    while batch := await replies.mailbox.take():
        yield OpenRequest(frames=batch)
