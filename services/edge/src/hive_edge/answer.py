"""One answer on its way to a client: the service's, or an error in the words of the client's dialect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hive_edge.durations import go_duration, milliseconds
from hive_edge.limits import Rate, Refused, Standing
from hive_relay import Call
from hive_relay.asgi import AnswerCut, Send
from hive_relay.frames import HeaderPairs
from hive_runtime.clock import Clock
from hive_runtime.dialects import Dialect, error_body, error_event, error_headers
from hive_runtime.errors import HiveError


class Answer:
    """What goes back to one client; it ends in exactly one way.

    standing: of the client's key, for the rate-limit headers. complete: the service's answer came to its end.
    events: of a stream, sent so far; as a rule each holds one token. sent: bytes of its body.
    began: monotonic seconds of the first byte of its body, None until then. error: what it ended with.
    """

    def __init__(self, send: Send, request_id: str, dialect: Dialect, clock: Clock) -> None:
        self.request_id = request_id
        self.status = 0
        self.sent = 0
        self.began: float | None = None
        self.error: HiveError | None = None
        self.standing = Standing()
        self.complete = False
        self.events = 0
        self._send = send
        self._dialect = dialect
        self._clock = clock
        self._streaming = False
        self._before = 0
        """Events that the client had from a connection before this one."""

    async def relay(self, call: Call, before_end: Callable[[], Awaitable[None]]) -> None:
        """Pass the service's answer on as it comes; credit follows what the client takes.

        before_end: done when all of it is here, before the client gets its last byte.
        """
        status, headers = await call.head()
        data, complete = await call.read()
        if complete and not any(name == b"content-length" for name, _ in headers):
            headers.append((b"content-length", str(len(data)).encode()))
        self._streaming = any(name == b"content-type" and b"event-stream" in value for name, value in headers)
        self._before = next((int(value) for name, value in headers if name == b"x-hive-resumed"), 0)
        await self._start(status, headers)
        while not complete:
            await self._pass(data)
            call.taken(len(data))
            data, complete = await call.read()
        await before_end()
        await self._pass(data, complete=True)
        self.complete = True

    async def _pass(self, data: bytes, *, complete: bool = False) -> None:
        self.sent += len(data)
        if self._streaming:
            self.events += data.count(b"\n\n")
        await self._send({"type": "http.response.body", "body": data, "more_body": not complete})

    async def fail(self, error: HiveError) -> None:
        """End with an error: as a body of its own, or as a stream's last event."""
        self.error = error
        if self.status == 0:
            body = error_body(self._dialect, error, self.request_id)
            headers = error_headers(error)
            headers.append((b"content-length", str(len(body)).encode()))
            if isinstance(error, Refused):
                self.standing = error.standing
                headers += _retry_headers(error)
            await self._start(error.status, headers)
            await self._send({"type": "http.response.body", "body": body, "more_body": False})
        elif self._streaming:
            number = self._before + self.events
            event = error_event(self._dialect, error, self.request_id, number)
            await self._send({"type": "http.response.body", "body": event, "more_body": False})
        else:
            raise AnswerCut(error.message)

    async def _start(self, status: int, headers: HeaderPairs) -> None:
        self.status = status
        self.began = self._clock.monotonic()
        number = self.request_id.encode()
        headers += [(b"x-request-id", number), (b"request-id", number)]
        if not any(name == b"x-hive-request-id" for name, _ in headers):  # of a stream that can be resumed
            headers.append((b"x-hive-request-id", number))
        requests, tokens = self.standing
        if requests is not None:
            headers += _rate_headers(requests, b"requests")
        if tokens is not None:
            headers += _rate_headers(tokens, b"tokens")
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


def _rate_headers(rate: Rate, of: bytes) -> HeaderPairs:
    return [
        (b"x-ratelimit-limit-" + of, b"%d" % rate.limit),
        (b"x-ratelimit-remaining-" + of, b"%d" % rate.remaining),
        (b"x-ratelimit-reset-" + of, go_duration(rate.reset).encode()),
    ]


def _retry_headers(refused: Refused) -> HeaderPairs:
    """Finer than `retry-after`, for the SDKs that read it."""
    return [] if refused.wait is None else [(b"retry-after-ms", b"%d" % milliseconds(refused.wait))]
