"""The caller's side of the relay: sends requests, serves `Replies`, and decides who runs a request.

The rules, all in this file:
* Exactly one (attempt, process) gets `Go`; every other `Accepted` is told that it is stale.
* No `Accepted` within a second: the next attempt goes directly to another live instance, where there is one.
* A stream that breaks before the client got content: the same, but a request may lose two processes, no more.
  Then it is refused for a while (`losses.py`).
* A process that is going down says so: what it gives back or had not ended goes elsewhere and counts as no loss.
* A stream that breaks later: the answer ends with an error.
* What only one instance can answer goes there directly, and nowhere else.
* While few requests come, each is handed to an instance by its stream as well, and need not wait for the queue.

Where no other instance is known, but there may be some, the attempt goes to the service by its name. An instance
that is looked for is found the same way: whoever gets an envelope introduces itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

import msgspec

from hive_bus import Bus
from hive_relay import frames
from hive_relay.call import Call
from hive_relay.handing import Handing
from hive_relay.link import Link, StreamLink
from hive_relay.losses import MOST_LOSSES, CostlyBodies, fingerprint_of
from hive_relay.replies import Key
from hive_relay.request import Request, envelope_of
from hive_relay.stream_id import stream_lost, tag_of
from hive_relay.summary import summary_of
from hive_rpc import Network, Server, error_of
from hive_runtime.alarm import NEVER, Alarm
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from modelhive.relay.v1.relay_pb2 import (
    CancelReason,
    ExecuteRequest,
    Hello,
    OpenRequest,
    OpenResponse,
    ReplyFrame,
    RequestEnvelope,
)
from modelhive.relay.v1.relay_pb2_grpc import GatewayStub, RepliesServicer, add_RepliesServicer_to_server


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds a caller waits: for an `Accepted` before it asks someone else, and before it gives up."""

    accepted: float = 1.0
    anyone: float = 10.0


LOOKS_PER_SECOND = 10
"""Calls that nobody accepted are looked at together, so often at the most."""

MOST_SILENCES = 3
"""So many attempts are made because nobody accepted: services that are behind must not get more to do."""

PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between calls of a service by its name; the last one repeats."""

FEWEST_KNOCKS = 4
"""Calls of a service by its name at once, while one of its instances is looked for."""


class Caller(RepliesServicer):
    """Sends requests to services and hands out their answers; it is served with `attach` by `server`."""

    attach = staticmethod(add_RepliesServicer_to_server)

    def __init__(
        self,
        *,
        server: Server,
        bus: Bus,
        network: Network,
        clock: Clock,
        tasks: Tasks,
        patience: Patience = Patience(),
        few: float = 160.0,
    ) -> None:
        """few: calls per second; while there are no more, each is handed to an instance by its stream as well."""
        self._server = server
        self._bus = bus
        self._network = network
        self._clock = clock
        self._tasks = tasks
        self._patience = patience
        self._calls: dict[str, Call] = {}
        self._links: dict[str, dict[str, Link]] = {}  # by service and instance
        self._ways_beside: dict[str, Callable[[object], bool]] = {}  # by service
        self._costly = CostlyBodies()
        self._handing = Handing(bus, clock, tasks, few, self._send_directly)
        self._turn = 0
        self._alarm = Alarm(self._look_at_calls)

    @property
    def in_flight(self) -> int:
        return len(self._calls)

    async def call(self, request: Request) -> Call:
        """Send the request; the call it returns must be closed.

        Raises HiveError `unavailable` where nobody can take it, `upstream_failed` where it is refused because
        it has cost processes, or where its owner is gone (`stream_lost`).
        """
        owner = await self._find(request.service, request.owner) if request.owner else None
        now = asyncio.get_running_loop().time()
        request.reply_to = self._server.address
        request.deadline = now + request.seconds
        self._costly.check(request)
        call = Call(request, now, self)
        self._calls[request.request_id] = call
        try:
            is_sent = owner is None and request.queued and self._way_beside(request.service)(request)
            if call.link is None:
                self._be_patient(call, now)
            if not is_sent:
                await self._send(call, request, owner)
        except BaseException:
            call.close()
            raise
        return call

    def give_all_up(self) -> None:
        """End every call that is in flight: this process is going down."""
        error = HiveError(Kind.UNAVAILABLE, "This server is going down.", retry_after=1)
        for call in list(self._calls.values()):
            call.give_up(CancelReason.CANCEL_REASON_SHUTDOWN, error)

    async def Open(
        self, request_iterator: AsyncIterator[OpenRequest], context: Any
    ) -> AsyncIterator[OpenResponse]:
        """One stream per service process: its reply frames in, our frames out."""
        link = StreamLink()
        reader = self._tasks.spawn(self._listen(link, request_iterator), "relay replies")
        try:
            while batch := await link.mailbox.take():
                yield OpenResponse(frames=batch)
        finally:
            reader.cancel()
            self.part(link)

    # What services tell, be it over a stream or in this process.

    def part(self, link: Link) -> None:
        """A service process is gone: others answer what it had not begun to. May be called twice."""
        link.close()
        self._unlist(link)
        for call in link.give_up():
            self._lost(call, link)

    def on_hello(self, link: Link, peer: Hello) -> None:
        link.peer = peer
        self._links.setdefault(peer.service, {})[peer.instance] = link

    def on_goodbye(self, link: Link) -> None:
        link.leaving = True
        self._unlist(link)

    def on_accepted(self, link: Link, key: Key) -> Call | None:
        """The call, whose one attempt this is from now on; None where it is stale."""
        request_id, attempt = key
        call = self._calls.get(request_id)
        if call is None or call.link is not None or call.attempt != attempt:
            return None
        link.take(call)
        call.due = call.deadline
        self._alarm.at(call.deadline)
        return call

    # What calls tell.

    def forget(self, call: Call) -> None:
        self._calls.pop(call.request_id, None)
        call.unhand()
        if call.link is not None:
            call.link.calls.discard(call)

    def gives_elsewhere(self, call: Call) -> bool:
        if call.link is not None:
            call.link.calls.discard(call)
        return self._elsewhere(call)

    # How a request reaches a process.

    def _way_beside(self, service: str) -> Callable[[object], bool]:
        """To a process of the service that is this one (`Bus.beside`)."""
        way = self._ways_beside.get(service)
        if way is None:
            way = self._ways_beside[service] = self._bus.beside(RequestEnvelope, {"service": service})
        return way

    async def _send(self, call: Call, request: Request, owner: Link | None) -> None:
        if owner is not None:
            call.is_bound = True
            self._tasks.spawn(self._hand_over(call, request, owner), "relay to the owner")
            return
        if request.queued:
            links = self._links.get(call.service, {}).values()
            if (link := self._handing.whom(request, links, call.started)) is not None:
                self._handing.hand(call, request, link)
                return
            try:
                await self._bus.publish(envelope_of(request, self._clock))
            except HiveError as error:
                if error.kind is not Kind.UNAVAILABLE or error.retry_after is not None:
                    raise  # a bus that is full says when to come back; only one that is away is passed by
            else:
                self._handing.is_refused = False
                return
        self._send_directly(call, request)

    def _send_directly(self, call: Call, request: Request) -> None:
        """To a process that is known, or in its turn to whoever the service's name leads to."""
        link = None if self._looks_around(call.service) else self._another(call)
        if link is not None:
            call.try_with(link)
        self._tasks.spawn(self._hand_over(call, request, link), "relay direct")

    async def _find(self, service: str, tag: str) -> Link:
        """The live instance with this tag. Raises HiveError `upstream_failed` where it is none, after a while."""
        for pause in (*PAUSES, None):
            links = self._links.get(service, {})
            for link in links.values():
                if tag_of(link.peer.instance) == tag:
                    return link
            if pause is None or not self._network.reaches_others(service):
                break
            await self._knock(service, max(FEWEST_KNOCKS, len(links) + 2))
            await self._clock.sleep(pause)
        raise stream_lost()

    async def _knock(self, service: str, times: int) -> None:
        """Have instances introduce themselves: one that gets an envelope says `Hello`, be it long expired."""
        envelope = RequestEnvelope(
            service=service, reply_to=self._server.address, attempt=1, deadline_unix_ms=1
        )
        seconds = self._patience.accepted
        await asyncio.gather(*(self._execute(envelope, None, seconds) for _ in range(times)))

    def _looks_around(self, service: str) -> bool:
        """Whether it is time to go by the service's name, which leads to instances that are not known yet."""
        if not self._network.reaches_others(service):
            return False
        self._turn = (self._turn + 1) % (len(self._links.get(service, {})) + 1)
        return self._turn == 0

    def _be_patient(self, call: Call, now: float) -> None:
        """Look at it when nobody has accepted it for too long, or at its deadline where that is sooner."""
        together = ceil((now + self._patience.accepted) * LOOKS_PER_SECOND) / LOOKS_PER_SECOND
        call.due = min(together, call.deadline)
        self._alarm.at(call.due)

    def _look_at_calls(self, now: float) -> float:
        """Do what is due, and tell when something is next."""
        for call in [call for call in self._calls.values() if call.due <= now]:
            act = self._expired if call.deadline <= now else self._not_accepted
            try:
                call.context.run(act, call)
            except Exception as error:  # one call's, which must not cost the others their deadlines
                said = f"the deadline of {call.request_id} could not be looked at"
                asyncio.get_running_loop().call_exception_handler({"message": said, "exception": error})
                call.due = NEVER
                call.fail(HiveError(Kind.INTERNAL, "The request could not be given to anybody."))
        return min((call.due for call in self._calls.values()), default=NEVER)

    def _not_accepted(self, call: Call) -> None:
        """Nobody accepted in time: ask another live instance.

        Where there is only one, the record most likely lies in its queue: sending it once more would only
        add to what that instance is behind with.
        """
        now = asyncio.get_running_loop().time()
        if now - call.started >= self._patience.anyone:
            call.fail(HiveError(Kind.UNAVAILABLE, "No process took the request in time.", retry_after=1))
            return
        self._be_patient(call, now)
        others = self._reaches_others(call)
        if call.silences >= MOST_SILENCES or not (others or len(self._links.get(call.service, {})) > 1):
            return
        other = self._another(call)
        if other is not None or others:
            call.silences += 1
            self._attempt_again(call, other)

    def _expired(self, call: Call) -> None:
        call.give_up(
            CancelReason.CANCEL_REASON_DEADLINE,
            HiveError(Kind.TIMEOUT, "The request did not finish before its deadline."),
        )

    def _another(self, call: Call) -> Link | None:
        """The live instance with the least to do that was not asked for this call yet."""
        if call.is_bound:
            return None
        links = self._links.get(call.service, {})
        held = call.link or call.handed
        tried = call.tried if held is None else {*call.tried, held.peer.instance}
        free = [link for link in links.values() if link.peer.instance not in tried]
        return min(free, key=lambda link: len(link.calls), default=None)

    def _reaches_others(self, call: Call) -> bool:
        return not call.is_bound and self._network.reaches_others(call.service)

    def _elsewhere(self, call: Call) -> bool:
        """Start over with another process; false where there is none."""
        other = self._another(call)
        if other is None and not self._reaches_others(call):
            return False
        self._attempt_again(call, other)
        call.started = asyncio.get_running_loop().time()
        self._be_patient(call, call.started)
        return True

    def _attempt_again(self, call: Call, link: Link | None) -> None:
        """Give the request to `link`'s process, or to whoever the service's name leads to.

        From now on earlier attempts are stale.
        """
        assert call.request is not None, "an answer that was shown is nobody else's any more"
        call.restart(call.attempt + 1)
        if link is not None:
            call.try_with(link)
        call.request = msgspec.structs.replace(call.request, attempt=call.attempt, handed=False)
        self._tasks.spawn(self._hand_over(call, call.request, link), "relay attempt")

    async def _hand_over(self, call: Call, request: Request, link: Link | None) -> None:
        """Give the request to one process directly; where it cannot take it, to another one."""
        pauses = iter(PAUSES)
        envelope = envelope_of(request, self._clock)
        while (error := await self._execute(envelope, link)) is not None:
            if error.kind is Kind.TIMEOUT or not self._waits_for(call, request):
                return  # whoever accepts it answers, whatever became of our call; the timer knows if nobody does
            if (other := self._another(call)) is not None:
                self._attempt_again(call, other)
                return
            waited = asyncio.get_running_loop().time() - call.started
            others = self._reaches_others(call)
            if call.is_bound and error.kind is Kind.UNAVAILABLE:
                error = stream_lost()
            if error.kind is not Kind.UNAVAILABLE or not others or waited >= self._patience.anyone:
                call.fail(error)
                return
            link = None
            await self._clock.sleep(next(pauses, PAUSES[-1]))
            if not self._waits_for(call, request):
                return

    def _waits_for(self, call: Call, request: Request) -> bool:
        """Whether this attempt still has to be accepted by someone."""
        return not call.finished and call.attempt == request.attempt and call.link is None

    async def _execute(
        self, envelope: RequestEnvelope, link: Link | None, seconds: float | None = None
    ) -> HiveError | None:
        target = envelope.service if link is None else link.peer.address
        stub = GatewayStub(self._network.channel(target))
        try:
            await stub.Execute(ExecuteRequest(envelope=envelope), timeout=seconds or self._patience.anyone)
        except HiveError as error:
            return error
        return None

    # What comes back.

    async def _listen(self, link: StreamLink, requests: AsyncIterator[OpenRequest]) -> None:
        try:
            async for request in requests:
                for frame in request.frames:
                    self._on_frame(link, frame)
        finally:
            link.close()

    def _on_frame(self, link: StreamLink, frame: ReplyFrame) -> None:
        kind = frame.WhichOneof("frame")
        if kind == "hello":
            self.on_hello(link, frame.hello)
            return
        if kind == "goodbye":
            self.on_goodbye(link)
            return
        request_id, attempt = frame.request_id, frame.attempt
        if kind == "accepted":
            if self.on_accepted(link, (request_id, attempt)) is None:
                link.cancel(request_id, attempt, CancelReason.CANCEL_REASON_STALE)
            else:
                link.go(request_id, attempt)
            return
        call = self._calls.get(request_id)
        if call is None or call.link is not link or call.attempt != attempt:
            return  # nobody waits for what comes of this attempt any more
        if kind == "chunk":
            call.on_chunk(frame.chunk.data, frame.chunk.content)
        elif kind == "head":
            call.on_head(frame.head.status, frames.header_pairs(frame.head.headers))
        elif kind == "end":
            end = frame.end
            error = error_of(end.failure) if end.HasField("failure") else None
            usage = summary_of(end.usage) if end.HasField("usage") else None
            call.on_end(error, usage, end.given_back)

    def _unlist(self, link: Link) -> None:
        links = self._links.get(link.peer.service, {})
        if links.get(link.peer.instance) is link:
            del links[link.peer.instance]

    def _lost(self, call: Call, link: Link) -> None:
        if call.finished:
            return
        if not link.leaving:
            self._count_loss(call)
        if call.shown:
            said = f"The answer broke off after {call.delivered} bytes: the process that gave it was lost."
            call.fail(HiveError(Kind.UPSTREAM_FAILED, said, reason="attempt_lost"))
        elif call.is_bound:
            call.fail(stream_lost())
        elif call.losses >= MOST_LOSSES:
            said = f"{call.losses} processes were lost while they ran this request; it is not tried again."
            call.fail(HiveError(Kind.UPSTREAM_FAILED, said, reason="attempt_lost", should_retry=False))
        elif (refusal := self._costly.refusal(call.fingerprint)) is not None:
            call.fail(refusal)
        elif not self._elsewhere(call):
            said = "The process that ran this request was lost, and there is no other."
            call.fail(HiveError(Kind.UPSTREAM_FAILED, said, reason="attempt_lost"))

    def _count_loss(self, call: Call) -> None:
        call.losses += 1
        if call.request is not None:
            call.fingerprint = fingerprint_of(call.request)
        if call.losses >= MOST_LOSSES:
            self._costly.add(call.fingerprint)
