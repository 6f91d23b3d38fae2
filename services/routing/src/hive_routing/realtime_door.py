"""The rpc door of realtime sessions: pieces in, messages to the session, messages out, pieces."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Self

import grpc.aio
from starlette.applications import Starlette

from hive_host import Host
from hive_relay.principal import Principal
from hive_routing.realtime.client_secrets import ClientSecrets
from hive_routing.realtime.opening import Opened as Ready
from hive_routing.realtime.opening import Opener, Wish
from hive_routing.realtime.port import Closed, Message
from hive_routing.realtime.session import Ending, Session
from hive_routing.realtime_rest import add_realtime
from hive_routing.spending import Payer
from hive_runtime import tracing
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.realtime import PIECE_BYTES, RESTARTING, SESSION_SECONDS, sendable
from hive_runtime.sealing import SealingKey
from hive_runtime.tags import tags_of
from modelhive.common.v1.common_pb2 import UsageSummary
from modelhive.routing.v1 import realtime_pb2 as pb
from modelhive.routing.v1.realtime_pb2_grpc import RealtimeServicer, add_RealtimeServicer_to_server

MESSAGE_BYTES = 16 * 1024 * 1024
STOP_SECONDS = 5.0
_PASSED = ("openai-beta", "openai-safety-identifier")


def open_realtime(host: Host, rest: Starlette, opener: Opener, key: SealingKey) -> RealtimeDoor:
    """Serve sessions, and the endpoints of their secrets. To be entered while the host runs."""
    secrets = ClientSecrets(key.text, host.clock)
    add_realtime(rest, opener, secrets, host.clock)
    door = RealtimeDoor(opener, secrets, host.clock)
    host.serve(RealtimeDoor.attach, door)
    gauge = host.metrics.gauge("hive_routing_sessions", "Realtime sessions that are open.", ("instance",))
    gauge.labels(host.instance).set_function(lambda: door.sessions)
    return door


class RealtimeDoor(RealtimeServicer):
    attach = staticmethod(add_RealtimeServicer_to_server)

    def __init__(self, opener: Opener, secrets: ClientSecrets, clock: Clock) -> None:
        self._opener = opener
        self._secrets = secrets
        self._clock = clock
        self._sessions: set[Session] = set()
        self._ended = asyncio.Event()
        self._leaving = False

    @property
    def sessions(self) -> int:
        """How many are open."""
        return len(self._sessions)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """This process goes down: end every session, so that its client goes on with another process."""
        self._leaving = True
        for session in self._sessions:
            session.stop(RESTARTING, "This server is going down.")
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                while self._sessions:
                    self._ended.clear()
                    await self._ended.wait()

    async def Redeem(self, request: pb.RedeemRequest, context: Any) -> pb.RedeemResponse:
        grant = self._secrets.read(request.secret)
        return pb.RedeemResponse(tenant_id=grant.tenant_id, key_id=grant.key_id)

    async def Converse(  # type: ignore[override]  # answers are written, not yielded: two tasks have something to say
        self, request_iterator: Any, context: Any
    ) -> None:
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("frame") != "open":
            raise HiveError(Kind.INVALID, "A session begins with `open`.")
        if self._leaving:
            raise HiveError(Kind.UNAVAILABLE, "This server is going down.", retry_after=1)
        tracing.note_request(first.open.request_id)
        client = _ClientLine(request_iterator, context)
        with _span(first.open) if tracing.is_on() else tracing.OFF:
            ready = await self._opener.open(self._wish(first.open), client)
            await context.write(pb.ConverseResponse(opened=pb.Opened()))
            ending = await self._run(ready, first.open)
        close = pb.Close(code=sendable(ending.code), reason=ending.reason, usage=_summary(ready))
        await context.write(pb.ConverseResponse(close=close))

    async def _run(self, ready: Ready, opening: pb.Open) -> Ending:
        left = opening.deadline_unix_ms / 1000 - self._clock.now()
        self._sessions.add(ready.session)
        try:
            return await ready.session.run(min(max(0.0, left), SESSION_SECONDS), ready.opening)
        finally:
            self._sessions.discard(ready.session)
            self._ended.set()

    def _wish(self, opening: pb.Open) -> Wish:
        headers = {each.name: each.value for each in opening.headers}
        principal = Principal.of(opening.principal)
        return Wish(
            request_id=opening.request_id,
            payer=Payer(principal.tenant_id, principal.key_id, tags_of(headers.get("x-hive-tags", ""))),
            allowed=principal.models,
            query=opening.query,
            headers={name: headers[name] for name in _PASSED if name in headers},
            guard=headers.get("x-hive-guard"),
            grant=self._secrets.read(opening.secret) if opening.secret else None,
        )


class _ClientLine:
    """`Line` to a client, through the edge that it came to."""

    def __init__(self, requests: Any, context: Any) -> None:
        self._requests = requests
        self._context = context
        self._writing = asyncio.Lock()

    async def receive(self) -> Message:
        parts: list[bytes] = []
        size = 0
        async for request in self._requests:
            if request.WhichOneof("frame") == "close":
                raise Closed(request.close.code, request.close.reason)
            piece = request.piece
            parts.append(piece.data)
            size += len(piece.data)
            if size > MESSAGE_BYTES:
                raise Closed(1009, "The message is too large.")
            if piece.is_last:
                return Message(b"".join(parts), piece.is_text)
        raise Closed(1006)

    async def send(self, message: Message) -> None:
        data = message.data
        last = max(0, len(data) - 1) // PIECE_BYTES
        async with self._writing:
            for number in range(last + 1):
                part = data[number * PIECE_BYTES : (number + 1) * PIECE_BYTES]
                piece = pb.Piece(data=part, is_text=message.is_text, is_last=number == last)
                try:
                    await self._context.write(pb.ConverseResponse(piece=piece))
                except grpc.aio.UsageError:
                    raise Closed(1006) from None

    async def close(self, code: int, reason: str) -> None:
        """The last frame of the call says it."""


def _summary(ready: Ready) -> UsageSummary:
    total, deployment = ready.charges.total, ready.deployment
    return UsageSummary(
        model=ready.charges.model.id,
        provider=deployment.provider_id,
        deployment=deployment.id,
        prompt_tokens=total.prompt,
        completion_tokens=total.completion,
        estimated=total.estimated,
        cost_nanos=total.cost,
        calls=total.responses,
        guards=ready.guard.names,
        guard_verdict=ready.guard.verdict,
    )


def _span(opening: pb.Open) -> Any:
    attributes: dict[str, tracing.Value] = {
        "http.route": "/realtime",
        "hive.request_id": opening.request_id,
    }
    return tracing.span(
        "process realtime", tracing.Role.CONSUMER, tracing.parent(opening.traceparent), attributes
    )
